"""Each convolution and linear layer inside its network: algorithm, time, distance from its limit.

The network runs as it always does, but notes when each step began; a layer's time is the median
over the runs. Its *limit* is the larger of two times: the multiplications of the algorithm that it
uses (Winograd's are fewer than the layer's multiply-adds) at the machine's peak, and its bytes,
packed weights, input and output once each, at the speed of reading memory. What lies in a cache
can be faster than that, and a share above 100 %.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import pycnn
from benchmarks.machine import DISTURBED, OthersBusy
from benchmarks.markdown import table
from pycnn.inside.work import Limits, Work, work_of

FLAGGED_PART, FLAGGED_SHARE = 0.03, 0.75


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

    limits = Limits(peaks["compute_gflops"], peaks["read_gbps"])
    nodes = {node.name: node for node in plan.graph.nodes}
    shapes = plan.graph.shapes(plan.inputs)
    layers: list[Layer] = []
    other: Counter[str] = Counter()
    for step, step_ms in ms.items():
        node = nodes.get(step)  # an input or output has none: its layout is changed
        if node is not None and node.op in ("conv2d", "linear"):
            work = work_of(plan.graph, node, shapes)
            layers.append(_layer(step, work, step_ms, ms.total(), limits))
        else:
            other[node.op if node else "layout"] += step_ms
    return Network(name, batch, threads, ms.total(), layers, dict(other), others_cpus)


def _layer(name: str, work: Work, ms: float, total_ms: float, limits: Limits) -> Layer:
    return Layer(
        name=name,
        geometry=work.geometry,
        algorithm=work.algorithm,
        ms=ms,
        part=ms / total_ms,
        gflops=2e-6 * work.macs / ms,
        compute_limit_ms=work.compute_ms(limits),
        memory_limit_ms=work.memory_ms(limits),
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
