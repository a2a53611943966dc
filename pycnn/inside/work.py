"""What a compiled layer cannot do without: multiplications and bytes; and the machine's limits."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pycnn import _core
from pycnn.backend import Cpu, Parameters, Wanted
from pycnn.graph import Graph, Node
from pycnn.opset import DEFAULT_TUNING, Array, Shape, dense_weight_shape

__all__ = ["Limits", "Work", "measure_limits", "work_of"]


@dataclass(frozen=True)
class Work:
    """What a layer has to do.

    Attributes
    ----------
    geometry
        Of a convolution or linear layer: "3x3 64->128 56x56 /2"; else empty.
    algorithm
        Of these; else empty.
    macs
        Multiply-adds of the layer, whatever the algorithm.
    products
        Multiplications of the algorithm: Winograd's are fewer.
    bytes
        Packed weights, inputs and output, once each.
    """

    geometry: str
    algorithm: str
    macs: int
    products: int
    bytes: int

    def compute_ms(self, limits: Limits) -> float:
        """Time of the products at the machine's best."""
        return 2e-6 * self.products / limits.compute_gflops

    def memory_ms(self, limits: Limits) -> float:
        """Time of the bytes at the speed of memory; what lies in a cache can be faster."""
        return 1e-6 * self.bytes / limits.read_gbps


def work_of(graph: Graph, node: Node, shapes: Mapping[str, Shape]) -> Work:
    """Say what a node of a plan's graph has to do; `shapes` are those of all values."""
    y = shapes[node.name]
    elems = sum(math.prod(shapes[name]) for name in node.inputs) + math.prod(y)
    if node.op not in ("conv2d", "linear"):
        return Work("", "", 0, 0, 4 * elems)
    params = graph.param_shapes(node)
    k, c, r, s = (*dense_weight_shape(node.attrs, params), 1, 1)[:4]
    pooled = 2 if node.attrs.get("max_pool") else 1  # y is, the products are not
    height, width = pooled * y[2], pooled * y[3]
    macs = y[0] * y[1] * height * width * c * r * s
    products, weights = macs, k * c * r * s
    algorithm, geometry = "gemm", f"{c}->{k}"
    if node.op == "conv2d":
        algorithm = node.attrs["algorithm"]
        stride, groups = node.attrs["stride"][0], node.attrs["groups"]
        geometry = f"{r}x{s} {c * groups}->{k} {height}x{width}"
        geometry += f" /{stride}" if stride > 1 else ""
        geometry += f" {groups} groups" if groups > 1 else ""
        if form := _core.conv2d_winograd(algorithm):
            output, points, transformed = form
            tiles = y[0] * math.ceil(height / output) * math.ceil(width / output)
            products = tiles * points * c * k
            weights = points * c * k if transformed else weights
    return Work(geometry, algorithm, macs, products, 4 * (elems + weights))


# The machine --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """The most that the machine gives to so many threads.

    Attributes
    ----------
    compute_gflops
        2 x float32 multiply-adds a second.
    read_gbps
        10^9 bytes a second, from memory.
    """

    compute_gflops: float
    read_gbps: float


_REPEATS = 12


@functools.cache
def measure_limits(threads: int, isa: str) -> Limits:
    """Measure the limits, in about a second; once for each number of threads.

    The engine's own best case: a product of matrices that stay in the caches, and a matrix of 134
    MB, read once. On a Zen 4 core these are 98 % and 100 % of what benchmarks/peak.cpp, which does
    nothing else, gets out of it.
    """
    multiply = _graph_of_one("conv2d", 256, 256, 16)
    small = _graph_of_one("conv2d", 512, 64, 16)
    read = _graph_of_one("linear", 8192, 4096, 1)
    gflops = max(
        2e-9 * sum(graph.macs().values()) / _fastest_s(graph, threads, isa)
        for graph in (multiply, small)
    )
    gbps = 4e-9 * math.prod(read.parameters["y.weight"]) / _fastest_s(read, threads, isa)
    return Limits(gflops, gbps)


def _graph_of_one(op: str, channels: int, out: int, side: int) -> Graph:
    graph = Graph(op)
    # Behind another layer, so that the input is in the layout of the kernels.
    x = graph.relu("x", graph.input("data", (channels, side, side)))
    graph.output(graph.conv2d("y", x, out, 1) if op == "conv2d" else graph.linear("y", x, out))
    return graph


def _fastest_s(graph: Graph, threads: int, isa: str) -> float:
    arrays = {name: np.full(shape, 1e-3, np.float32) for name, shape in graph.parameters.items()}

    def source(node: Node) -> Parameters:
        return Parameters({role: arrays[name] for role, name in node.params.items()}, mapped=False)

    ((name, (c, h, w)),) = graph.inputs.items()
    x: Array = np.ones((1, c, h, w), np.float32)
    backend = Cpu(threads, isa, DEFAULT_TUNING)
    plan = backend.compile(Wanted(graph, {name: (1, c, h, w)}, {name: "float32"}, source))
    step = plan.program.names.index("y")
    return min(plan.profile([x], threads)[step][1] for _ in range(_REPEATS))
