"""Height and width fall while channels rise, for all networks."""

from __future__ import annotations

import math
from itertools import pairwise

from pycnn.graph import Graph
from pycnn.inside.studies import Settings
from pycnn.inside.studies.report import Report, new_figure
from pycnn.models import find, names

Stage = tuple[int, int, int, int]


def stages(graph: Graph) -> list[Stage]:
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


def growing(graph: Graph) -> list[str]:
    """Layers whose maps are higher than those of each layer that they read."""
    shapes = graph.shapes()
    return [
        node.name
        for node in graph.nodes
        if node.inputs and shapes[node.name][2] > max(shapes[x][2] for x in node.inputs)
    ]


def run(report: Report, settings: Settings) -> None:
    """Count; nothing is computed."""
    report.heading("What is counted")
    report.text(
        "A stage is all layers whose maps have one height. Its channels and values are those of "
        "its widest layer's output, its work the multiply-adds of all. Networks whose stages have "
        "the same maps stand in one table and are one line of the figure."
    )
    report.code(stages)
    report.code(growing)
    graphs = {name: find(name).graph() for name in names()}
    found = {name: stages(graph) for name, graph in graphs.items()}
    alike: dict[tuple[tuple[int, ...], ...], list[str]] = {}
    for name, rows in found.items():
        alike.setdefault(tuple(row[:3] for row in rows), []).append(name)
    groups = list(alike.values())
    for group in groups:
        _table(report, {name: found[name] for name in group})
    _figure(report, {_label(group): _maps(found[group[0]]) for group in groups})

    report.heading("What comes out")
    higher = [name for name, graph in graphs.items() if growing(graph)]
    narrowing = [
        name
        for name, rows in found.items()
        if any(after[1] < before[1] for before, after in pairwise(_maps(rows)))
    ]
    report.finding(
        f"Height never grows from layer to layer in {_but(higher, len(found))}, and the channels "
        f"of the widest layer never fall in {_but(narrowing, len(found))}."
    )
    _values(report, {_label(group): _maps(found[group[0]]) for group in groups})
    for name, rows in found.items():
        maps = _maps(rows)
        report.numbers[name] = {
            "stages": [list(row) for row in rows],
            "halvings": math.log2(maps[0][2] / maps[-1][2]),
        }


def _maps(rows: list[Stage]) -> list[Stage]:
    return [row for row in rows if row[0] > 1]


def _label(group: list[str]) -> str:
    return group[0] + (f" and {len(group) - 1} more" if len(group) > 1 else "")


def _table(report: Report, group: dict[str, list[Stage]]) -> None:
    rows = next(iter(group.values()))
    totals = {name: sum(row[3] for row in found) for name, found in group.items()}
    report.table(
        f"{', '.join(find(name).title for name in group)}; the part of its multiply-adds each",
        ("height", *(str(row[0]) for row in rows), "multiply-adds"),
        [
            ("channels", *(str(row[1]) for row in rows), ""),
            ("values", *(f"{row[2]:,}" for row in rows), ""),
            *(
                (name, *(f"{100 * row[3] / totals[name]:.1f} %" for row in found),
                 f"{totals[name]:,}")
                for name, found in group.items()
            ),
        ],
    )  # fmt: skip


def _figure(report: Report, lines: dict[str, list[Stage]]) -> None:
    figure = new_figure(9, 4.8)
    sides, values = figure.subplots(1, 2)
    for label, maps in lines.items():
        heights = [row[0] for row in maps]
        sides.plot(heights, [row[1] for row in maps], "o-", ms=4, label=label)
        values.plot(heights, [row[2] / 1000 for row in maps], "o-", ms=4)
    for axes, label in (
        (sides, "channels of the widest layer"),
        (values, "thousand values of the widest layer"),
    ):
        axes.set_xscale("log", base=2)
        axes.invert_xaxis()
        axes.set_xlabel("height of the maps (from the image to the classes)")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.set_yscale("log", base=2)
    figure.legend(*sides.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    report.figure(figure, "From stage to stage; all axes are logarithms to the base 2.")


def _values(report: Report, lines: dict[str, list[Stage]]) -> None:
    """How far channels grow from a stage to the next, and what becomes of the values."""
    steps = [
        (label, before, after)
        for label, maps in lines.items()
        # An image that no layer has widened yet is no stage to compare with.
        for before, after in pairwise(row for row in maps if row[1] > 3)
    ]
    most, widest, before, after = max(
        (after[1] / before[1], label, before[1], after[1]) for label, before, after in steps
    )
    equal = [f"{label}, {b[0]} to {a[0]}" for label, b, a in steps if a[2] == b[2]]
    more = [f"{label}, {b[0]} to {a[0]}" for label, b, a in steps if a[2] > b[2]]
    report.numbers["largest growth of channels"] = [before, after]
    report.numbers["values stay"], report.numbers["values grow"] = equal, more
    report.finding(
        "Half of the side leaves a quarter of the places. Behind the first layers the channels "
        f"grow at most {most:.1f} times from a stage to the next ({widest}, {before} to {after}): "
        f"of {len(steps)} steps the values become fewer in {len(steps) - len(equal) - len(more)}, "
        f"stay in {len(equal)} ({'; '.join(equal) or 'none'}) and "
        f"grow in {len(more)} ({'; '.join(more) or 'none'})."
    )
    report.finding(
        "From the first stage to the last one with maps the values are halved "
        + ", ".join(
            f"{math.log2(maps[0][2] / maps[-1][2]):.1f} times ({label})"
            for label, maps in lines.items()
        )
        + "."
    )


def _but(exceptions: list[str], count: int) -> str:
    return f"{count - len(exceptions)} of {count} networks" + (
        f" (not in {', '.join(exceptions)})" if exceptions else ""
    )
