"""A 1x1 convolution is a fully connected layer at each position."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pycnn import ops
from pycnn.graph import Graph
from pycnn.inside.cost import explain_cost
from pycnn.inside.studies import Settings
from pycnn.inside.studies.report import Report
from pycnn.models import find
from pycnn.opset import Array
from pycnn.surgery import edited


def at_each_position(x: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    """The same numbers by a 1x1 convolution and by a fully connected layer, (N, K, H, W)."""
    n, c, h, w = x.shape
    image = ops.conv2d(x, weight[:, :, None, None], bias)
    pixels = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, c)
    rows = ops.linear(pixels, weight, bias)
    return image, rows.reshape(n, h, w, -1).transpose(0, 3, 1, 2)


def pooled_both_ways(x: Array, weight: Array) -> dict[str, float]:
    """How far "convolve, then pool" is from "pool, then convolve", by the largest difference."""

    def conv(image: Array) -> Array:
        return ops.conv2d(image, weight[:, :, None, None])

    def average(image: Array) -> Array:
        return ops.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=True)

    def greatest(image: Array) -> Array:
        return ops.max_pool2d(image, 3, stride=1, padding=1)

    return {
        "average": float(np.abs(average(conv(x)) - conv(average(x))).max()),
        "max": float(np.abs(greatest(conv(x)) - conv(greatest(x))).max()),
    }


def without_projections(inception: Graph) -> Graph:
    """Inception v1 whose modules get all channels of their pools."""
    layers = [node.name for node in inception.nodes if "pool_proj" in node.name]
    return edited(inception, drop=layers)


def more_work(graph: Graph) -> dict[str, float]:
    """How many times the multiply-adds each module takes without projections, and all together.

    Of a module its projection itself is not counted; of the network it is.
    """
    work = graph.with_outputs(graph.outputs).macs()  # without heads for training
    more = without_projections(graph).macs()

    def others(macs: Mapping[str, int], module: str) -> int:
        """The multiply-adds of a module's other convolutions."""
        names = [name for name in macs if name.startswith(module) and "pool_proj" not in name]
        return sum(macs[name] for name in names)

    modules = dict.fromkeys(f"{n.split('/')[0]}/" for n in work if n.startswith("inception_"))
    found = {module[:-1]: others(more, module) / others(work, module) for module in modules}
    return {**found, "all": sum(more.values()) / sum(work.values())}


def run(report: Report, settings: Settings) -> None:
    """Compute with numbers drawn from a normal distribution."""
    rng = np.random.default_rng(settings.seed)
    x = rng.standard_normal((2, 192, 28, 28), np.float32)
    weight = rng.standard_normal((64, 192), np.float32)
    bias = rng.standard_normal(64, np.float32)

    report.heading("A fully connected layer at each position")
    report.code(at_each_position)
    image, rows = at_each_position(x, weight, bias)
    equal = bool(np.array_equal(image, rows))
    report.numbers["equal_bits"] = equal
    report.finding(
        f"192 to 64 channels at 28 x 28: of {image.size:,} numbers of both ways, "
        f"{int((image == rows).sum()):,} are equal, bit for bit."
    )

    report.heading("On a single channel it only scales")
    single = x[:, :1]
    scaled = ops.conv2d(single, weight[:1, :1, None, None], bias[:1])
    difference = float(np.abs(scaled - (single * weight[0, 0] + bias[0])).max())
    report.numbers["single_channel_difference"] = difference
    by = f"largest difference {difference:.1e}" if difference else "no difference"
    report.finding(
        f"One channel in and out: y = {weight[0, 0]:.3f} x {bias[0]:+.3f} at every pixel ({by}). "
        "All that it does, it does across channels."
    )

    report.heading("Fewer channels, for less work")
    graph = find("inception_v1").graph()
    lines = []
    for node in graph.nodes:
        if node.op != "conv2d" or (cost := explain_cost(graph, node.name)).saving is None:
            continue
        saving = cost.saving
        channels = " to ".join(map(str, saving.channels))
        lines.append(
            (
                node.name,
                channels,
                f"{saving.macs_without:,}",
                f"{saving.total_macs:,}",
                f"{saving.ratio:.1f}",
            )
        )
        report.numbers[node.name] = [saving.macs_without, saving.total_macs]
    report.table(
        "Inception v1: convolutions behind a 1x1, in multiply-adds",
        ("layer", "the 1x1 gives", "without it", "with it", "ratio"),
        lines,
    )
    projections = [
        node for node in graph.nodes if node.op == "conv2d" and node.name.endswith("pool_proj")
    ]
    shapes = graph.shapes()
    kept = [
        (node.name, shapes[node.inputs[0]][1], shapes[node.name][1], shapes[node.name][2])
        for node in projections
    ]
    report.table(
        "The pool projections: a pool keeps all channels, the 1x1 behind it few",
        ("layer", "channels of the pool", "kept", "side"),
        [(name, str(before), str(after), str(side)) for name, before, after, side in kept],
    )
    more = more_work(graph)
    report.numbers["work without projections"] = more
    report.code(without_projections)
    modules = [f"{more[f'inception_{name}']:.2f} ({name})" for name in ("3b", "4b", "5b")]
    report.finding(
        f"Without their projections the {len(kept)} pools of Inception v1 would give the modules "
        f"{sum(before for _, before, _, _ in kept):,} channels; with them "
        f"{sum(after for _, _, after, _ in kept):,}. The work of the modules behind them falls by "
        f"far less: without projections their convolutions take {', '.join(modules)} times the "
        f"multiply-adds, and the whole network, which saves the projections' own, "
        f"{more['all']:.2f} times."
    )

    report.heading("Before the pool or behind it?")
    report.code(pooled_both_ways)
    found = pooled_both_ways(x[:1], weight)
    report.numbers["pool_and_convolution_swapped"] = found
    report.finding(
        f"A 1x1 convolution and an average pool may change places (largest difference "
        f"{found['average']:.1e}: both are linear); a max pool and a 1x1 may not "
        f"({found['max']:.1f})."
    )
