"""Where a network's time goes, layer by layer, and how far that is from the machine's limits."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pycnn.compile import Plan
from pycnn.inside.draw.canvas import document, escape
from pycnn.inside.work import Limits, measure_limits, work_of
from pycnn.opset import Array
from pycnn.tables import html_table, text_table

__all__ = ["LayerTime", "Profile", "profile"]


@dataclass(frozen=True)
class LayerTime:
    """One layer of a run.

    Attributes
    ----------
    name, op, algorithm, geometry
        What was fused into a layer is in it: names are of the last layer of these.
    ms
        The median time; several steps of one layer together.
    part
        Of the network's time, 0 to 1.
    gflops
        2 x the layer's multiply-adds over its time, whatever the algorithm; 0 for other ops.
    gbps
        10^9 bytes of packed weights, inputs and output over the time.
    limit_ms
        The larger of the algorithm's multiplications at the machine's best and the bytes at the
        speed of memory; what lies in a cache can be faster.
    binds
        Which of these it is: "compute" or "memory".
    """

    name: str
    op: str
    algorithm: str
    geometry: str
    ms: float
    part: float
    gflops: float
    gbps: float
    limit_ms: float
    binds: str

    @property
    def share(self) -> float:
        """Of the limit: 1 is as fast as can be."""
        return self.limit_ms / self.ms if self.ms else 0.0


@dataclass(frozen=True)
class Profile:
    """Times of all layers; printing it gives a table.

    Attributes
    ----------
    ms
        Sum of the layers' times.
    run_ms
        Median of runs that were not profiled, in between.
    overhead
        What profiling added to the fastest run, 0.01 for one per cent: the clock is read between
        layers.
    """

    network: str
    batch: int
    threads: int
    isa: str
    runs: int
    limits: Limits
    layers: tuple[LayerTime, ...]
    ms: float
    run_ms: float
    overhead: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        layers = [{**asdict(layer), "share": layer.share} for layer in self.layers]
        return {**asdict(self), "layers": layers}

    def trace(self) -> str:
        """JSON of the layers one after the other, for chrome://tracing and ui.perfetto.dev."""
        events: list[dict[str, Any]] = [
            {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": self.network}}
        ]
        start_us = 0.0
        for layer in self.layers:
            facts = asdict(layer)
            args = {key: facts[key] for key in ("algorithm", "geometry", "gflops", "gbps")}
            events.append(
                {
                    "name": layer.name,
                    "cat": layer.op,
                    "ph": "X",
                    "pid": 1,
                    "tid": 1,
                    "ts": start_us,
                    "dur": 1e3 * layer.ms,
                    "args": {**args, "share": layer.share},
                }
            )
            start_us += 1e3 * layer.ms
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})

    def chart(self) -> str:
        """Draw the layers in SVG: as wide as their time, as high as their share of the limit."""
        return _chart(self)

    def _cells(self) -> list[tuple[str, ...]]:
        rows = [
            (
                layer.name,
                layer.op,
                layer.algorithm,
                _ms(layer.ms),
                f"{layer.part:.1%}",
                f"{layer.gflops:.0f}" if layer.gflops else "",
                f"{layer.gbps:.1f}" if layer.gbps else "",
                f"{layer.share:.0%}" if layer.limit_ms else "",
                layer.binds,
            )
            for layer in self.layers
        ]
        share = sum(layer.limit_ms for layer in self.layers) / self.ms
        return [*rows, ("all", "", "", _ms(self.ms), "100.0%", "", "", f"{share:.0%}", "")]

    def _title(self) -> str:
        threads = "thread" if self.threads == 1 else "threads"
        return (
            f"{self.network}, batch {self.batch}, {self.threads} {threads}, {self.isa}: "
            f"{_ms(self.run_ms)} ms, {self.overhead:+.1%} while profiled; limits "
            f"{self.limits.compute_gflops:.0f} GFLOP/s, {self.limits.read_gbps:.1f} GB/s"
        )

    def __str__(self) -> str:
        return f"{self._title()}\n{text_table(_HEADER, self._cells(), left=3, total=True)}"

    def _repr_html_(self) -> str:
        return html_table(self._title(), _HEADER, self._cells(), left=3, total=True)


_HEADER = ("layer", "op", "algorithm", "ms", "part", "GFLOP/s", "GB/s", "of the limit", "binds")


def profile(
    plan: Plan,
    *,
    network: str,
    threads: int,
    isa: str,
    runs: int = 20,
    inputs: list[Array] | None = None,
) -> Profile:
    """Time the steps of a plan for the CPU; see :meth:`pycnn.Model.profile`.

    Profiled and plain runs take turns, so that the machine's moods meet both.
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs}")
    limits = measure_limits(threads, isa)
    rng = np.random.default_rng(0)
    x = inputs or [rng.standard_normal(shape, np.float32) for shape in plan.inputs.values()]
    y = [np.empty(shape, np.float32) for shape in plan.outputs.values()]
    program = plan.program
    program.profile(x, y, threads)  # touches every page
    profiles, profiled_s, plain_s = [], [], []
    for _ in range(runs):
        start = time.perf_counter()
        steps_s = program.profile(x, y, threads)
        between = time.perf_counter()
        program.run(x, y, threads)
        plain_s.append(time.perf_counter() - between)
        profiled_s.append(between - start)
        profiles.append(steps_s)
    ms: dict[str, float] = defaultdict(float)
    nodes = {node.name: node for node in plan.graph.nodes}
    names = program.names
    for i, (name, *seconds) in enumerate(zip(names, *profiles, strict=True)):
        # The steps that convert inputs and outputs have names too: of an output, its layer's.
        converts = i >= len(names) - len(plan.outputs) or name not in nodes
        ms[f"{name} (layout)" if converts else name] += 1e3 * statistics.median(seconds)
    total = sum(ms.values())
    shapes = plan.graph.shapes(plan.inputs)
    layers = []
    for name, took in ms.items():
        if (node := nodes.get(name)) is None:
            layers.append(LayerTime(name, "layout", "", "", took, took / total, 0, 0, 0, ""))
            continue
        work = work_of(plan.graph, node, shapes)
        compute, memory = work.compute_ms(limits), work.memory_ms(limits)
        layers.append(
            LayerTime(
                name,
                node.op,
                work.algorithm,
                work.geometry,
                took,
                took / total,
                2e-6 * work.macs / took if took else 0.0,
                1e-6 * work.bytes / took if took else 0.0,
                max(compute, memory),
                "compute" if compute >= memory else "memory",
            )
        )
    run_ms = 1e3 * statistics.median(plain_s)
    (batch, *_) = next(iter(plan.inputs.values()))
    return Profile(
        network=network,
        batch=batch,
        threads=threads,
        isa=isa,
        runs=runs,
        limits=limits,
        layers=tuple(layers),
        ms=total,
        run_ms=run_ms,
        overhead=min(profiled_s) / min(plain_s) - 1,
    )


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


# The chart ----------------------------------------------------------------------------------------

_COLOURS = {"compute": "#6d9dca", "memory": "#e2a65b", "": "#c9c9c9"}
_WIDTH, _HEIGHT, _LEFT, _TOP = 1000.0, 385.0, 46.0, 58.0
_PLOT_W, _PLOT_H = _WIDTH - _LEFT - 14, 200.0


def _chart(found: Profile) -> str:
    """The blue and orange area is the part of the time that the limits would take."""
    most = min(max(1.0, *(layer.share for layer in found.layers)), 1.5)
    parts = [
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="600">{escape(found.network)}</text>',
        f'<text x="{_LEFT}" y="40" font-size="11" fill="#555">'
        f"{escape(found._title().partition(', ')[2])}</text>",
    ]
    for percent in range(0, int(100 * most) + 1, 25):
        y = _TOP + _PLOT_H * (1 - percent / 100 / most)
        shade = "#777" if percent in (0, 100) else "#ddd"
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}h{_PLOT_W:.1f}" stroke="{shade}" stroke-width="0.8"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" font-size="10" text-anchor="end" '
            f'fill="#555">{percent}%</text>'
        )
    x = _LEFT
    for layer in found.layers:
        width = _PLOT_W * layer.part
        height = _PLOT_H * min(layer.share, most) / most
        y = _TOP + _PLOT_H - height
        facts = (
            f"{layer.name} ({layer.op}) {layer.algorithm} {layer.geometry}\n{_ms(layer.ms)} ms, "
            f"{layer.part:.1%} of the time, {layer.share:.0%} of the limit ({layer.binds})"
        )
        parts.append(
            f"<g><title>{escape(facts)}</title>"
            f'<rect x="{x:.2f}" y="{_TOP}" width="{width:.2f}" height="{_PLOT_H}" fill="#000" '
            'fill-opacity="0.04"/>'
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(width - 0.4, 0.1):.2f}" '
            f'height="{height:.2f}" fill="{_COLOURS[layer.binds]}"/></g>'
        )
        if width > 11:
            middle = x + width / 2 + 2
            parts.append(
                f'<text x="{middle:.1f}" y="{_TOP + _PLOT_H + 8}" font-size="8.5" fill="#444" '
                f'text-anchor="end" transform="rotate(-55 {middle:.1f} {_TOP + _PLOT_H + 8})">'
                f"{escape(layer.name[:28])}</text>"
            )
        x += width
    legend = _LEFT + _PLOT_W - 330
    for binds, text in (("compute", "multiplications bind"), ("memory", "memory binds")):
        parts.append(
            f'<rect x="{legend:.0f}" y="14" width="10" height="10" fill="{_COLOURS[binds]}"/>'
            f'<text x="{legend + 15:.0f}" y="23" font-size="11" fill="#555">{text}</text>'
        )
        legend += 160
    return document(_WIDTH, _HEIGHT, parts)
