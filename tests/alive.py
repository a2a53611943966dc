"""Random weights under which every layer of a `torch_networks.Net` has something to say.

torch's own initial weights fade out or blow up over 20 to 152 layers, leave every batch norm the
identity and every LRN without effect: swapped statistics or a forgotten branch would pass. Here
each layer is drawn, then scaled to the signal that reaches it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch_layers import ChannelAffine, ConnectedConv2d, Net, Rbf

BATCH_NORM_BIAS = 1.5
LRN_INPUT_STD = 80.0  # alpha = 1e-4 is felt from about here: 1 + 1e-4 * 80^2 / 2 = 1.3


def randomise(net: Net, seed: int) -> Net:
    """Draw all weights and statistics of `net` from `seed`, in place, and give it back.

    Convolutions and linear layers: He's scale, filters of mean zero (or the mean of the ReLUs
    before would grow into a constant that drowns the image), then scaled so that the output has
    standard deviation 1. Batch norm: weight in 0.5..1.5, bias about 1.5, the statistics near the
    true ones (variance wrong by 0.5..2 times). The bias leaves most ReLUs open: with half of them
    shut a random net of 50 layers is chaotic, and float32 differs from float64 by more than any
    tolerance, in torch as here. RBF weights are +1 and -1.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(t: Tensor) -> Tensor:
        return torch.randn(t.shape, generator=generator)

    def uniform(t: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(t.shape, generator=generator)

    results = {"data": torch.randn(2, *net.input_shape, generator=generator)}
    loud = layers_before_lrn(net)
    with torch.no_grad():
        for name, module, inputs in net.steps:
            xs = [results[i] for i in inputs]
            if isinstance(module, (nn.Conv2d, nn.Linear, ConnectedConv2d)):
                std = LRN_INPUT_STD if name in loud else 1.0
                w = normal(module.weight) * math.sqrt(2.0 / module.weight[0].numel())
                module.weight.copy_(w - w.flatten(1).mean(1).view(-1, *[1] * (w.ndim - 1)))
                if module.bias is not None:
                    module.bias.zero_()
                module.weight.mul_(std / module(*xs).std())
                if module.bias is not None:
                    module.bias.copy_(0.1 * std * normal(module.bias))
            elif isinstance(module, nn.BatchNorm2d):
                variance, mean = torch.var_mean(xs[0], dim=(0, 2, 3))
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(BATCH_NORM_BIAS + 0.1 * normal(module.bias))
                module.running_mean.copy_(mean + 0.1 * normal(mean))
                module.running_var.copy_(variance * uniform(variance, 0.5, 2.0))
            elif isinstance(module, ChannelAffine):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(0.1 * normal(module.bias))
            elif isinstance(module, Rbf):
                module.weight.copy_(normal(module.weight).sign())
            results[name] = module(*xs)
    return net


def stds(net: Net, x: Tensor) -> dict[str, float]:
    """The standard deviation of each node's result."""
    with torch.no_grad():
        return {name: float(y.std()) for name, y in net.forward_all(x).items()}


def layers_before_lrn(net: Net) -> set[str]:
    """The convolutions whose results reach an LRN through ReLUs and pools alone."""
    steps = {name: (module, inputs) for name, module, inputs in net.steps}
    found = set()
    for _, module, inputs in net.steps:
        if isinstance(module, nn.LocalResponseNorm):
            while not isinstance(steps[inputs[0]][0], nn.Conv2d):
                inputs = steps[inputs[0]][1]
            found.add(inputs[0])
    return found
