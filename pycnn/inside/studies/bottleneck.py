"""What a 1x1 convolution before a larger one saves, and what it costs in accuracy."""

from __future__ import annotations

import re

from pycnn.graph import Graph
from pycnn.inside.studies import Settings, small
from pycnn.inside.studies.report import Report
from pycnn.models import find
from pycnn.summary import summarize
from pycnn.surgery import edited

# The same place in a network by three kinds of block, as chains of (channels, kernel size). The
# last costs what the first does.
BLOCKS = {
    "small_resnet_bottleneck": ((8, 1), (8, 3), (32, 1)),
    "small_resnet_basic": ((32, 3), (32, 3)),
    "small_resnet_narrow": ((8, 3), (8, 3)),
}


def without_reduction(inception: Graph, projections: bool = False) -> Graph:
    """Inception v1 whose 3x3 and 5x5 read all channels; without pool projections as well."""
    layers = r"(3x3_reduce|5x5_reduce" + "|pool_proj" * projections + ")"
    pattern = re.compile(rf"inception_\w\w/(relu_)?{layers}")
    return edited(inception, drop=[n.name for n in inception.nodes if pattern.fullmatch(n.name)])


def with_basic_blocks(resnet: Graph) -> Graph:
    """A ResNet of bottlenecks with two 3x3 of the block's full width in the place of each."""
    drop, replace = [], {}
    for node in resnet.nodes:
        if match := re.fullmatch(r"(res|bn)(\w+)_branch2b(_relu)?", node.name):
            drop.append(node.name)
            if match[1] == "bn" or match[3]:
                continue
            stride, block = node.attrs["stride"], match[2]
            width = resnet.parameters[f"res{block}_branch2c.weight"][0]
            for branch, by in (("a", stride), ("c", 1)):
                replace[f"res{block}_branch2{branch}"] = _conv3x3(
                    f"res{block}_branch2{branch}", width, by
                )
    return edited(resnet, drop=drop, replace=replace)


def _conv3x3(name: str, width: int, stride: int | tuple[int, int]):  # type: ignore[no-untyped-def]
    return lambda g, x: g.conv2d(name, x, width, 3, stride, 1, bias=False)


def run(report: Report, settings: Settings) -> None:
    """Count in whole networks, then train small ones with and without."""
    inception, resnet50 = (find(name).graph() for name in ("inception_v1", "resnet50"))
    report.heading("In whole networks")
    report.text(
        "Of the graphs of the networks the reductions are taken out, and all channels that they "
        "held back are read instead. ResNet-50 has 16 blocks, of three convolutions each; in their "
        "place two 3x3 of the block's full width. ResNet-34 has as many blocks, of a quarter of "
        "the width: what the paper compares ResNet-50 with."
    )
    report.code(without_reduction)
    report.code(with_basic_blocks)
    counted = {
        "Inception v1": inception,
        "without 3x3 and 5x5 reductions": without_reduction(inception),
        "nor pool projections": without_reduction(inception, projections=True),
        "ResNet-50": resnet50,
        "basic blocks of equal width": with_basic_blocks(resnet50),
        "ResNet-34: of equal number": find("resnet34").graph(),
    }
    rows, base = [], 1
    for name, graph in counted.items():
        summary = summarize(graph.with_outputs(graph.outputs))
        if graph in (inception, resnet50):
            base = summary.macs
        report.numbers[name] = {"parameters": summary.parameters, "macs": summary.macs}
        rows.append((name, f"{summary.parameters:,}", f"{summary.macs:,}",
                     f"{summary.macs / base:.2f}"))  # fmt: skip
    report.table("At 224 x 224", ("network", "parameters", "multiply-adds", "times"), rows)
    times = [float(row[-1]) for row in rows]
    report.finding(
        f"Without its reductions Inception v1 takes {times[1]:.1f} times the multiply-adds, and "
        f"{times[2]:.1f} times without the pool projections too. ResNet-50 by basic blocks of "
        f"equal width takes {times[4]:.1f} times; ResNet-34 has a quarter of its width for "
        f"{times[5]:.2f} times its work."
    )
    _trained(report, settings)


def _trained(report: Report, settings: Settings) -> None:
    data = small.data_of(settings)
    graphs = {
        "inception, reduced": small.inception(),
        "inception, all channels": small.inception(reduction=False),
        **{
            name.removeprefix("small_"): small.residual(name, block)
            for name, block in BLOCKS.items()
        },
    }
    networks = {name: small.train_small(graph, data, settings) for name, graph in graphs.items()}
    report.heading("Trained with and without")
    small.about(report, data, networks["inception, reduced"])
    report.text(
        "Inception: three modules of a quarter of the paper's widths. Residual: four blocks, of "
        "1x1 to 8 channels, 3x3, 1x1 to 32 (bottleneck), of two 3x3 of 32 channels (basic: equal "
        "width), and of two 3x3 of 8 channels (narrow: equal cost)."
    )
    report.code(small.inception)
    report.code(small.residual)
    small.add_table(report, networks)
    small.add_curves_and_costs(report, networks)
    reduced, everything = (networks[f"inception, {kind}"] for kind in ("reduced", "all channels"))
    bottleneck, basic, narrow = (networks[name.removeprefix("small_")] for name in BLOCKS)
    report.finding(
        f"Inception: the reductions leave {100 * reduced.macs / everything.macs:.0f} % of the "
        f"multiply-adds, and the accuracy goes from {everything.accuracy:.1f} to "
        f"{reduced.accuracy:.1f} %."
    )
    report.finding(
        f"Residual: bottlenecks take {100 * bottleneck.macs / basic.macs:.0f} % of what basic "
        f"blocks of equal width do, for {bottleneck.accuracy:.1f} and {basic.accuracy:.1f} %; "
        f"basic blocks of equal cost reach {narrow.accuracy:.1f} %."
    )
