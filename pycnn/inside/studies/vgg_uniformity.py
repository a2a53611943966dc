"""Small filters in the place of large ones: VGG's two and three 3x3 for a 5x5 and a 7x7."""

from __future__ import annotations

import re

from pycnn.graph import Graph
from pycnn.inside.studies import Settings, small
from pycnn.inside.studies.report import Report
from pycnn.models import find
from pycnn.summary import Summary, summarize
from pycnn.surgery import Build, edited

# (kernel size, how many in a row): each pair sees as much.
PAIRS = (((3, 2), (5, 1)), ((3, 3), (7, 1)))


def one_large_filter(vgg: Graph) -> Graph:
    """VGG with one convolution in each stage, which sees as much as all that stood there."""
    drop: list[str] = []
    replace: dict[str, Build] = {}
    for node in vgg.nodes:
        if match := re.fullmatch(r"(?:conv|relu)(\d)_(\d)", node.name):
            if match[2] != "1":
                drop.append(node.name)
            elif node.op == "conv2d":
                count = sum(other.name.startswith(f"conv{match[1]}_") for other in vgg.nodes)
                channels = vgg.parameters[f"{node.name}.weight"][0]
                replace[node.name] = _large(node.name, channels, 2 * count + 1)
    return edited(vgg, drop=drop, replace=replace)


def _large(name: str, channels: int, kernel_size: int) -> Build:
    return lambda g, x: g.conv2d(name, x, channels, kernel_size, padding=kernel_size // 2)


def run(report: Report, settings: Settings) -> None:
    """Count in VGG-16, then train small networks of both kinds."""
    _counted(report)
    _trained(report, settings)


def _stages(summary: Summary) -> dict[str, tuple[int, int, int]]:
    """Parameters, multiply-adds and what a unit sees at the end, of each stage's convolutions."""
    found: dict[str, tuple[int, int, int]] = {}
    for row in summary.rows:
        if match := re.match(r"conv(\d)_", row.name):
            parameters, macs, _ = found.get(match[1], (0, 0, 0))
            sees = row.receptive_field[0]
            found[match[1]] = (parameters + row.parameters, macs + row.macs, sees)
    return found


def _counted(report: Report) -> None:
    vgg = find("vgg16").graph()
    report.heading("VGG-16's stages")
    report.text(
        "Every convolution is 3x3: a stage of two or three of them sees what one 5x5 or 7x7 does. "
        "Beside the network stands the one that has these in their place."
    )
    report.code(one_large_filter)
    stacked, single = (_stages(summarize(graph)) for graph in (vgg, one_large_filter(vgg)))
    rows = []
    for stage, (parameters, macs, sees) in stacked.items():
        larger, more, sees_too = single[stage]
        rows.append((stage, f"{parameters:,}", f"{larger:,}", f"{macs:,}", f"{more:,}",
                     f"{more / macs:.2f}", str(sees), str(sees_too)))  # fmt: skip
    report.table(
        "Stacks of 3x3, and one filter that sees as much",
        ("stage", "parameters", "one filter", "multiply-adds", "one filter", "ratio",
         "pixels seen", "one filter"), rows,
    )  # fmt: skip
    total = [sum(stage[1] for stage in stages.values()) for stages in (stacked, single)]
    report.numbers["vgg16"] = {
        "stacked": {name: list(numbers) for name, numbers in stacked.items()},
        "one_filter": {name: list(numbers) for name, numbers in single.items()},
    }
    same = all(stacked[stage][2] == single[stage][2] for stage in stacked)
    report.finding(
        f"{'All' if same else 'Not all'} stages see the same pixels either way. Within a stage of "
        "equal widths two 3x3 take 18/25 of a 5x5's weights and three 27/49 of a 7x7's; over all "
        f"of VGG-16's stages the large filters take {total[1] / total[0]:.2f} times the "
        "multiply-adds. (The first of a stage, which doubles the channels, is cheaper as a 3x3 "
        "to begin with: where there are two, one 5x5 may take less.)"
    )


def _trained(report: Report, settings: Settings) -> None:
    data = small.data_of(settings)
    networks = {
        f"{times} x {kernel}x{kernel}": small.train_small(
            small.stacked(kernel, times), data, settings
        )
        for pair in PAIRS
        for kernel, times in pair
    }
    report.heading("Trained")
    small.about(report, data, networks["2 x 3x3"])
    report.text("Two stages of 32 channels, a pool between them, of so many equal convolutions.")
    report.code(small.stacked)
    small.add_table(report, networks)
    small.add_curves_and_costs(report, networks)
    for (little, count), (kernel, one) in PAIRS:
        stack = networks[f"{count} x {little}x{little}"]
        single = networks[f"{one} x {kernel}x{kernel}"]
        report.finding(
            f"{count} x 3x3 against one {kernel}x{kernel}: {100 * stack.macs / single.macs:.0f} % "
            f"of the multiply-adds, {stack.accuracy:.1f} against {single.accuracy:.1f} % of the "
            "held-out images."
        )
