"""The networks of tests/torch_networks.py as the other runtimes get them: inference, nothing else.

Every engine has the same weights. Batch norm is folded into the convolution before it and dropout
is gone, as the runtimes' own converters would do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from alive import randomise
from torch_layers import Add, Concat, FlatLinear, GlobalAveragePool, Net
from torch_networks import build, weights

__all__ = [
    "Add",
    "Concat",
    "FlatLinear",
    "GlobalAveragePool",
    "Inference",
    "Net",
    "network",
    "weights",
]

Step = tuple[str, nn.Module, tuple[str, ...]]  # name, module, names of what it reads


def network(name: str) -> Net:
    """A network with random weights under which every layer has something to say."""
    return randomise(build(name), seed=0).eval()


class Inference(nn.Module):
    """The steps of a `Net` without batch norm and dropout, ReLU in place where that is safe."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.input_shape = net.input_shape
        self.steps = _fold(net.steps)
        readers = [source for _, _, sources in self.steps for source in sources]
        last_use: dict[str, str] = {}
        for name, module, sources in self.steps:
            if isinstance(module, nn.ReLU):
                module.inplace = readers.count(sources[0]) == 1
            self.add_module(name, module)
            last_use.update(dict.fromkeys(sources, name))
        self.dead_after = {
            name: [source for source in set(sources) if last_use[source] == name]
            for name, _, sources in self.steps
        }

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K). Results are let go after their last use."""
        values = {"data": x}
        for name, module, sources in self.steps:
            values[name] = module(*(values[source] for source in sources))
            for source in self.dead_after[name]:
                del values[source]
        return values[name]


def _fold(steps: list[Step]) -> list[Step]:
    modules = {name: module for name, module, _ in steps}
    stands_for: dict[str, str] = {}  # a step that is gone -> the step whose result is its own
    kept: list[Step] = []
    for name, module, inputs in steps:
        sources = tuple(stands_for.get(source, source) for source in inputs)
        if isinstance(module, nn.BatchNorm2d):
            convolution = modules[inputs[0]]
            fused = torch.nn.utils.fuse_conv_bn_eval(convolution, module)
            convolution.weight, convolution.bias = fused.weight, fused.bias
        if isinstance(module, nn.BatchNorm2d | nn.Dropout):
            stands_for[name] = sources[0]
        else:
            kept.append((name, module, sources))
    return kept
