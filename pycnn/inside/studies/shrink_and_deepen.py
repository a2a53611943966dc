"""Height and width fall while channels rise, for all networks."""

from __future__ import annotations

import math

from pycnn.graph import Graph
from pycnn.inside.studies import Settings
from pycnn.inside.studies.report import Report, new_figure
from pycnn.models import find

NETWORKS = (
    "lenet5",
    "alexnet",
    "vgg16",
    "nin",
    "inception_v1",
    "resnet18",
    "resnet50",
    "resnet152",
)


def stages(graph: Graph) -> list[tuple[int, int, int, int]]:
    """Height, channels, values and multiply-adds of each size of maps, in their order.

    Channels and values are those of the widest layer, multiply-adds those of all.
    """
    graph = graph.with_outputs(graph.outputs)  # without heads for training
    macs = graph.macs()
    found: dict[int, list[int]] = {}
    for name, (_, channels, height, width) in graph.shapes().items():
        stage = found.setdefault(height, [0, 0, 0])
        stage[0] = max(stage[0], channels)
        stage[1] = max(stage[1], channels * height * width)
        stage[2] += macs.get(name, 0)
    return [(height, *numbers) for height, numbers in found.items()]  # type: ignore[misc]


def run(report: Report, settings: Settings) -> None:
    """Count; nothing is computed."""
    report.heading("What is counted")
    report.text(
        "A stage is all layers whose maps have one height. Its channels and values are those of "
        "its widest layer's output, its work the multiply-adds of all."
    )
    report.code(stages)
    figure = new_figure(9, 4.6)
    sides, shares = figure.subplots(1, 2)
    growing, narrowing = [], []
    for name in NETWORKS:
        found = stages(find(name).graph())
        maps = [stage for stage in found if stage[0] > 1]
        heights, channels = [stage[0] for stage in maps], [stage[1] for stage in maps]
        if heights != sorted(heights, reverse=True):
            growing.append(name)
        if channels != sorted(channels):
            narrowing.append(name)
        sides.plot(heights, channels, "o-", ms=4, label=name)
        values = [stage[2] for stage in maps]
        shares.plot(heights, [v / 1000 for v in values], "o-", ms=4, label=name)
        total = sum(stage[3] for stage in found)
        report.table(
            f"{find(name).title}",
            ("height", "channels", "values", "multiply-adds", "part of them"),
            [
                (str(h), str(c), f"{v:,}", f"{m:,}", f"{100 * m / total:.1f} %")
                for h, c, v, m in found
            ],
        )
        report.numbers[name] = [list(stage) for stage in found]
    for axes, label in (
        (sides, "channels of the widest layer"),
        (shares, "thousand values of the widest layer"),
    ):
        axes.set_xscale("log", base=2)
        axes.invert_xaxis()
        axes.set_xlabel("height of the maps (from the image to the classes)")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.set_yscale("log", base=2)
    figure.legend(*sides.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    report.figure(figure, "From stage to stage; all axes are logarithms to the base 2.")

    report.heading("What comes out")
    report.finding(
        f"Height never grows in {_but(growing)}, and the channels of the widest layer never fall "
        f"in {_but(narrowing)}."
    )
    fall = {}
    for name in NETWORKS:
        maps = [stage for stage in report.numbers[name] if stage[0] > 1]
        fall[name] = math.log2(maps[0][2] / maps[-1][2])
        report.numbers[name] = {"stages": report.numbers[name], "halvings": fall[name]}
    report.finding(
        "Half of the side leaves a quarter of the places, and channels at most double: values "
        "become fewer. From the first stage to the last one with maps they are halved "
        + ", ".join(f"{value:.1f} times ({name})" for name, value in fall.items())
        + "."
    )


def _but(exceptions: list[str]) -> str:
    rest = len(NETWORKS) - len(exceptions)
    return f"{rest} of {len(NETWORKS)} networks" + (
        f" (not in {', '.join(exceptions)})" if exceptions else ""
    )
