"""Each convolution and linear layer inside its network: algorithm, time, distance from its limit.

The network runs as it always does, but notes when each step began; a layer's time is the median
over the runs. Its *limit* is the larger of two times: the multiplications of the algorithm that it
uses (Winograd's are fewer than the layer's multiply-adds) at the machine's peak, and its bytes,
packed weights, input and output once each, at the speed of reading memory. What lies in a cache
can be faster than that, and a share above 100 %.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import pycnn
from benchmarks.machine import DISTURBED, OthersBusy
from benchmarks.markdown import table
from pycnn import _core
from pycnn.graph import Node
from pycnn.opset import Shape

FLAGGED_PART, FLAGGED_SHARE = 0.03, 0.75
_WINOGRAD = re.compile(r"winograd_f(\d+)x\1_(\d+)x\2(?:_stride(\d+))?")


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer in a network's run."""

    name: str
    geometry: str
    algorithm: str
    ms: float
    part: float  # of the network's time
    gflops: float  # 2 x the layer's multiply-adds over its time, whatever the algorithm
    compute_limit_ms: float
    memory_limit_ms: float

    @property
    def share(self) -> float:
        """Of the limit that binds: 1 is as fast as can be."""
        return max(self.compute_limit_ms, self.memory_limit_ms) / self.ms


@dataclass(frozen=True)
class Network:
    """A network's layers, and what the other ops and the whole took, in milliseconds."""

    network: str
    batch: int
    threads: int
    ms: float
    layers: list[Layer]
    other_ms: dict[str, float]  # by op
    others_cpus: float  # that others kept busy meanwhile


def measure(name: str, batch: int, threads: int, peaks: dict[str, float], runs: int) -> Network:
    """The median time of each step over `runs` runs, and how far each layer is from its limit."""
    optimize = "latency" if batch == 1 else "throughput"
    model = pycnn.load(name, weights="random", threads=threads, optimize=optimize)
    (size,) = model.graph.inputs.values()
    x = np.random.default_rng(0).standard_normal((batch, *size), np.float32)
    plan = model.compile(batch)
    plan.profile([x], threads)  # touches every page
    others = OthersBusy()
    profiles = [plan.profile([x], threads) for _ in range(runs)]
    others_cpus = others.cpus()
    ms: Counter[str] = Counter()  # by node: some have several steps
    for steps in zip(*profiles, strict=True):
        ms[steps[0][0]] += 1e3 * statistics.median(seconds for _, seconds in steps)

    nodes = {node.name: node for node in plan.graph.nodes}
    shapes = plan.graph.shapes(plan.inputs)
    layers: list[Layer] = []
    other: Counter[str] = Counter()
    for step, step_ms in ms.items():
        node = nodes.get(step)  # an input or output has none: its layout is changed
        if node is not None and node.op in ("conv2d", "linear"):
            inputs = [shapes[source] for source in node.inputs]
            weight = plan.graph.param_shapes(node)["weight"]
            cost = _Cost.of(node, inputs, weight, shapes[step])
            layers.append(_layer(step, cost, step_ms, ms.total(), peaks))
        else:
            other[node.op if node else "layout"] += step_ms
    return Network(name, batch, threads, ms.total(), layers, dict(other), others_cpus)


@dataclass(frozen=True)
class _Cost:
    """What a layer cannot do without."""

    geometry: str
    algorithm: str
    macs: int
    products: int  # multiplications of the algorithm
    bytes: int

    @classmethod
    def of(cls, node: Node, inputs: Sequence[Shape], weight: Sequence[int], y: Shape) -> _Cost:
        k, c, r, s = (*weight, 1, 1)[:4]
        macs = math.prod(y) * c * r * s
        products, weights = macs, k * c * r * s
        algorithm, geometry = "gemm", f"{c}->{k}"
        if node.op == "conv2d":
            algorithm = _algorithm(node, inputs[0], weight)
            stride, groups = node.attrs["stride"][0], node.attrs["groups"]
            geometry = f"{r}x{s} {c * groups}->{k} {y[2]}x{y[3]}"
            geometry += f" /{stride}" if stride > 1 else ""
            geometry += f" {groups} groups" if groups > 1 else ""
        if match := _WINOGRAD.fullmatch(algorithm):
            output, points = _winograd(*(int(part or 1) for part in match.groups()))
            tiles = y[0] * math.ceil(y[2] / output) * math.ceil(y[3] / output)
            weights = points * c * k
            products = tiles * weights
        elems = sum(map(math.prod, inputs)) + math.prod(y) + weights
        return cls(geometry, algorithm, macs, products, 4 * elems)


def _algorithm(node: Node, x: Shape, weight: Sequence[int]) -> str:
    params = _core.Conv2dParams(
        stride=node.attrs["stride"],
        padding=node.attrs["padding"],
        dilation=node.attrs["dilation"],
        groups=node.attrs["groups"],
        algorithm=node.attrs.get("algorithm", "auto"),
    )
    return _core.conv2d_select(params, x, weight)


def _winograd(output: int, filter_size: int, stride: int) -> tuple[int, int]:
    """Side of the output tile, and products of a tile: a stride cuts the filter into its phases."""
    phases = [math.ceil((filter_size - phase) / stride) for phase in range(stride)]
    return output, sum(output + taps - 1 for taps in phases) ** 2


def _layer(name: str, cost: _Cost, ms: float, total_ms: float, peaks: dict[str, float]) -> Layer:
    return Layer(
        name=name,
        geometry=cost.geometry,
        algorithm=cost.algorithm,
        ms=ms,
        part=ms / total_ms,
        gflops=2e-6 * cost.macs / ms,
        compute_limit_ms=2e-6 * cost.products / peaks["compute_gflops"],
        memory_limit_ms=1e-6 * cost.bytes / peaks["read_gbps"],
    )


# Printing -----------------------------------------------------------------------------------------


def line(found: Network) -> str:
    """The sums of a network."""
    layers_ms = sum(layer.ms for layer in found.layers)
    rest = ", ".join(f"{op} {ms:.3f}" for op, ms in sorted(found.other_ms.items()))
    return (
        f"{found.network}, batch {found.batch}, threads {found.threads}: {found.ms:.3f} ms, "
        f"convolution and linear {layers_ms:.3f}, {rest}{_disturbed(found)}"
    )


def _disturbed(found: Network) -> str:
    busy = found.others_cpus > DISTURBED
    return f"; others kept {found.others_cpus:.1f} CPUs busy" if busy else ""


def as_json(results: Sequence[Network]) -> list[dict[str, Any]]:
    return [asdict(result) for result in results]


def markdown(results: Sequence[Network], heading: str) -> str:
    """A table for each network; equal layers share a row."""
    text = ["# Layers in their networks", "", heading, "", *_EXPLANATION, ""]
    for found in results:
        rest = found.ms - sum(layer.ms for layer in found.layers)
        others = ", ".join(f"{op} {_ms(ms)}" for op, ms in found.other_ms.items())
        text += [
            f"## {found.network}, batch {found.batch}, {found.threads} threads: {_ms(found.ms)} ms",
            "",
            f"Neither convolution nor linear: {_ms(rest)} ms, {rest / found.ms:.1%} ({others})"
            f"{_disturbed(found)}.",
            "",
            *_rows(found),
            "",
        ]
    return "\n".join(text)


_EXPLANATION = """\
Each layer where it runs, the median over the runs; equal layers share a row with the mean of their
times and the sum of their parts. GFLOP/s are 2 x multiply-adds over the time: beyond the peak with
Winograd. The limit is the larger of the algorithm's own multiplications at the compute peak and its
bytes (packed weights, input, output, each once) at the reading peak; from a cache it can be faster.
! marks layers above 3 % of the network's time that are below 75 % of their limit.
""".splitlines()


def _rows(found: Network) -> list[str]:
    groups: dict[tuple[str, str], list[Layer]] = {}
    for layer in found.layers:
        groups.setdefault((layer.geometry, layer.algorithm), []).append(layer)
    rows = []
    for (geometry, algorithm), group in groups.items():
        ms = statistics.mean(layer.ms for layer in group)
        share = statistics.mean(layer.share for layer in group)
        slow = max(one.part for one in group) > FLAGGED_PART and share < FLAGGED_SHARE
        one = group[0]
        binds = "compute" if one.compute_limit_ms >= one.memory_limit_ms else "memory"
        rows.append(
            (one.name + (f" and {len(group) - 1} more" if len(group) > 1 else ""), geometry)
            + (algorithm, _ms(ms), f"{statistics.mean(layer.gflops for layer in group):.0f}")
            + (f"{share:.0%}{' !' if slow else ''}", binds)
            + (f"{sum(layer.part for layer in group):.1%}",)
        )
    head = ("layer", "geometry", "algorithm", "ms", "GFLOP/s", "share of the limit", "binds")
    return table((*head, "part of the time"), rows)


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
