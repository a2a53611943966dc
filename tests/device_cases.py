"""What is run on a device, emulated or real: each op as a small graph, and small networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.graph import Graph
from pycnn.model import Model
from pycnn.weights import ArrayWeights

Build = Callable[[Graph, str], str]  # graph, input -> output

IMAGE = (20, 9, 7)  # no multiples of a vector, nor of a tile


def _concat(g: Graph, x: str) -> str:
    """Members in place, an aligned one and one that ends anywhere, and one that must be copied."""
    a = g.conv2d("a", x, 16, 1)
    b = g.conv2d("b", x, 13, 3, padding=1)
    c = g.max_pool2d("c", x, 3, 1, padding=1)
    return g.concat("y", [a, b, c])


def _residual(g: Graph, x: str) -> str:
    a = g.conv2d("a", x, 24, 3, padding=1)
    return g.relu("y", g.add("sum", g.conv2d("b", a, 24, 3, padding=1), a))


def _classifier(g: Graph, x: str) -> str:
    return g.linear("y", g.flatten("flat", g.relu("r", g.conv2d("a", x, 8, 3))), 10)


def _flatten_that_is_read_twice(g: Graph, x: str) -> str:
    flat = g.flatten("flat", g.conv2d("a", x, 8, 3))
    return g.add("y", g.linear("k", flat, 280), flat)


CASES: dict[str, Build] = {
    "conv 1x1": lambda g, x: g.conv2d("y", x, 40, 1),
    "conv 3x3": lambda g, x: g.conv2d("y", x, 24, 3, padding=1),
    "conv behind a conv": lambda g, x: g.conv2d("y", g.conv2d("a", x, 32, 1), 40, 3, padding=1),
    "conv 3x3 stride 2": lambda g, x: g.conv2d("y", x, 24, 3, stride=2, padding=1),
    "conv 5x3, uneven padding": lambda g, x: g.conv2d("y", x, 8, (5, 3), padding=(2, 1, 0, 1)),
    "conv 7x7 stride 2": lambda g, x: g.conv2d("y", x, 16, 7, stride=2, padding=3),
    "conv dilated": lambda g, x: g.conv2d("y", x, 8, 3, padding=2, dilation=2),
    "conv grouped": lambda g, x: g.conv2d("y", x, 8, 3, padding=1, groups=4),
    "conv depthwise": lambda g, x: g.conv2d("y", x, 20, 3, padding=1, groups=20),
    "conv without bias": lambda g, x: g.conv2d("y", x, 7, 3, bias=False),
    "conv, batch norm, relu": lambda g, x: g.relu(
        "y", g.batch_norm("bn", g.conv2d("a", x, 16, 3, bias=False))
    ),
    "residual": _residual,
    "linear": _classifier,
    "linear on vectors": lambda g, x: g.linear("y", g.global_avg_pool("p", x), 30),
    "flatten": lambda g, x: g.flatten("y", x),
    "flatten that is read twice": _flatten_that_is_read_twice,
    "max_pool2d": lambda g, x: g.max_pool2d("y", x, 3, 2, padding=1, ceil_mode=True),
    "avg_pool2d": lambda g, x: g.avg_pool2d("y", x, 2, 2, count_include_pad=False),
    "global_avg_pool": lambda g, x: g.global_avg_pool("y", x),
    "global_max_pool": lambda g, x: g.global_max_pool("y", x),
    "lrn": lambda g, x: g.lrn("y", x, 5, alpha=1.0),
    "relu": lambda g, x: g.relu("y", x),
    "sigmoid": lambda g, x: g.sigmoid("y", x),
    "tanh": lambda g, x: g.tanh("y", x, 1.7159, 2 / 3),
    "affine": lambda g, x: g.affine("y", x, 2.0, -1.0),
    "leaky_relu": lambda g, x: g.leaky_relu("y", x, 0.1),
    "clip": lambda g, x: g.clip("y", x, -0.5, 0.75),
    "hard_sigmoid": lambda g, x: g.hard_sigmoid("y", x),
    "hard_swish": lambda g, x: g.hard_swish("y", x),
    "pow": lambda g, x: g.pow("y", g.affine("a", g.sigmoid("s", x), 1.0, 0.5), 1.5),
    "sqrt": lambda g, x: g.sqrt("y", g.sigmoid("s", x)),
    "add": lambda g, x: g.add("y", x, g.sigmoid("s", x)),
    "binary": lambda g, x: g.binary("y", x, g.global_avg_pool("p", x), "mul"),
    "binary with a constant": lambda g, x: g.prelu("y", x),
    "batch_norm": lambda g, x: g.batch_norm("y", x),
    "channel_affine": lambda g, x: g.channel_affine("y", x),
    "concat": _concat,
    "shortcut_a": lambda g, x: g.shortcut_a("y", x, 30, 2),
    "pad": lambda g, x: g.pad("y", x, (1, 2, 0, 1), channels=(1, 0), value=0.5),
    "slice": lambda g, x: g.slice("y", x, (1, 9, 2), (None, None, None), (1, None, None)),
    "gather": lambda g, x: g.gather("y", x, [3, 0, 19]),
    "permute": lambda g, x: g.permute("y", x, (4, 5, 63), (1, 0, 2), (20, 9, 7)),
    "dropout": lambda g, x: g.dropout("y", x),
    "softmax": lambda g, x: g.softmax("y", x),
    "log_softmax": lambda g, x: g.log_softmax("y", x),
    "rbf": lambda g, x: g.rbf("y", g.global_avg_pool("p", x), 12),
}


def graph_of(build: Build, image: tuple[int, int, int] = IMAGE) -> Graph:
    g = Graph("case")
    g.output(build(g, g.input("data", image)))
    return g


def small_resnet() -> Graph:
    """A stem, a plain block, a block with a projection, and a classifier."""
    g = Graph("small_resnet")
    x = g.input("data", (3, 16, 16))
    x = g.relu(
        "conv1_relu", g.batch_norm("bn1", g.conv2d("conv1", x, 16, 3, padding=1, bias=False))
    )
    for block, (channels, stride) in enumerate([(16, 1), (32, 2)]):
        y = g.conv2d(f"{block}a", x, channels, 3, stride, padding=1, bias=False)
        y = g.relu(f"{block}a_relu", g.batch_norm(f"{block}a_bn", y))
        y = g.conv2d(f"{block}b", y, channels, 3, padding=1, bias=False)
        y = g.batch_norm(f"{block}b_bn", y)
        if stride > 1:
            x = g.conv2d(f"{block}s", x, channels, 1, stride, bias=False)
            x = g.batch_norm(f"{block}s_bn", x)
        x = g.relu(f"{block}_relu", g.add(f"{block}_add", y, x))
    g.output(g.linear("fc", g.global_avg_pool("pool", x), 10))
    return g


def small_inception() -> Graph:
    """Pool, LRN, and a module of four branches that is written in place."""
    g = Graph("small_inception")
    x = g.input("data", (3, 23, 23))
    x = g.relu("conv1_relu", g.conv2d("conv1", x, 16, 7, 2, padding=3))
    x = g.lrn("norm1", g.max_pool2d("pool1", x, 3, 2, ceil_mode=True), 5, alpha=0.1)
    branches = [g.relu("1x1_relu", g.conv2d("1x1", x, 16, 1))]
    for size, reduced, out in ((3, 24, 32), (5, 4, 8)):
        y = g.relu(f"r{size}_relu", g.conv2d(f"r{size}", x, reduced, 1))
        y = g.conv2d(f"c{size}", y, out, size, padding=size // 2)
        branches.append(g.relu(f"c{size}_relu", y))
    y = g.conv2d("proj", g.max_pool2d("pool", x, 3, 1, padding=1), 12, 1)
    x = g.concat("output", [*branches, g.relu("proj_relu", y)])
    g.output(g.softmax("prob", g.linear("fc", g.dropout("drop", g.global_avg_pool("gap", x)), 10)))
    return g


def large_activations() -> Graph:
    """64 MiB of them for each image of 16 KiB."""
    return graph_of(lambda g, x: g.global_avg_pool("y", g.conv2d("a", x, 4096, 1)), (1, 64, 64))


def arrays_for(graph: Graph, seed: int = 0) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Parameters of the size that keeps values near 1, and variances that are positive."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in graph.parameters.items():
        values = rng.standard_normal(shape)
        if name.endswith("running_var"):
            values = np.abs(values) + 0.5
        elif len(shape) > 1:
            values /= np.sqrt(np.prod(shape[1:]))
        found[name] = values.astype(np.float32)
    return found


def model_of(graph: Graph, **how: Any) -> Model:
    return Model(graph, ArrayWeights(arrays_for(graph)), **how)


def batch_for(graph: Graph, n: int, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    (size,) = graph.inputs.values()
    return np.random.default_rng(seed).standard_normal((n, *size), np.float32)
