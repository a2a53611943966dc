"""The layers of tests/torch_networks.py, and what holds them together."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAIN_OUTPUT = "main"  # the logits, where a network has several outputs


class Net(nn.Module):
    """A list of named layers, run in order. Each reads the results of earlier ones by name."""

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.input_shape = input_shape  # C, H, W
        self.steps: list[tuple[str, nn.Module, tuple[str, ...]]] = []
        self.last = "data"
        self.extra_outputs: dict[str, str] = {}  # output -> node, beside the last node

    def layer(self, name: str, module: nn.Module, *inputs: str) -> str:
        """Append a layer that reads `inputs`, or the layer appended before it; give its name."""
        self.add_module(name, module)
        self.steps.append((name, module, inputs or (self.last,)))
        self.last = name
        return name

    def forward_all(self, x: Tensor) -> dict[str, Tensor]:
        results = {"data": x}
        for name, module, inputs in self.steps:
            results[name] = module(*(results[i] for i in inputs))
        return results

    def forward(self, x: Tensor) -> Any:
        """Logits (N, K); a dict of them where there are auxiliary heads."""
        results = self.forward_all(x)
        if not self.extra_outputs:
            return results[self.last]
        outputs = {MAIN_OUTPUT: self.last, **self.extra_outputs}
        return {output: results[node] for output, node in outputs.items()}


# Layers that torch lacks. x is (N, C, H, W).


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3): f(1) = 1, f(-1) = -1 (LeCun 1998, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class ChannelAffine(nn.Module):
    """y[n, c] = x[n, c] weight[c] + bias[c]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


# Which maps of s2 each of the 16 maps of c3 reads (LeCun 1998, table I): 60 connections.
C3_INPUTS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)


class ConnectedConv2d(nn.Module):
    """A 5x5 convolution with one filter per connection of table I: weight (60, 5, 5), bias (16).

    The filters are in the order of the output map, then of the input map.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(sum(map(len, C3_INPUTS)), 5, 5))
        self.bias = nn.Parameter(torch.zeros(len(C3_INPUTS)))

    def forward(self, x: Tensor) -> Tensor:
        maps, first = [], 0
        for inputs in C3_INPUTS:
            filters = self.weight[first : first + len(inputs)]
            maps.append(F.conv2d(x[:, list(inputs)], filters[None]))
            first += len(inputs)
        return torch.cat(maps, dim=1) + self.bias[:, None, None]


class Rbf(nn.Module):
    """y[n, k] = -sum_j (x[n, j] - weight[k, j])^2. The weights are fixed: a buffer."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(out_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return -((x[:, None, :] - self.weight) ** 2).sum(dim=2)


class ShortcutA(nn.Module):
    """ResNet's option A: every stride-th pixel, half of the new channels, zero, on each side."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.side = (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        zeros = x.new_zeros(x.shape[0], self.side, *x.shape[2:])
        return torch.cat([zeros, x, zeros], dim=1)


class Add(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Concat(nn.Module):
    def forward(self, *xs: Tensor) -> Tensor:
        return torch.cat(xs, dim=1)


class GlobalAveragePool(nn.Module):
    """(N, C, H, W) -> (N, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True)


class FlatLinear(nn.Linear):
    """A linear layer that flattens first (Caffe's InnerProduct)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


def ceil_max_pool(kernel_size: int, stride: int, padding: int = 0) -> nn.Module:
    """Caffe's pooling. It is torch's with `ceil_mode` as long as stride <= kernel_size."""
    return nn.MaxPool2d(kernel_size, stride, padding, ceil_mode=True)


def lrn() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
