"""Write benchmarks/shapes/*.csv: every op at every shape in which a registered network runs it.

    python tools/make_shapes.py           # write
    python tools/make_shapes.py --check   # compare with the files; exit 1 if one is stale

Batch 1, nominal input size, default choices of each variant, after all passes. One row per distinct
geometry: `networks` says how often each network uses it ("resnet50:3"), `count` is the sum, `layer`
the first layer that does. Two ops need a word:

add      The passes fuse every residual sum into a convolution, so the rows are the sums as they are
         without that pass: how they run when a tap keeps the two apart.
softmax  As `Model.probabilities` appends it to the logits.
"""

import argparse
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pycnn.graph import Graph, Node
from pycnn.models import Variant, variants
from pycnn.opset import Shape
from pycnn.passes import fold_batch_norm, fuse_relu, optimize, remove_dropout

SHAPES = Path(__file__).resolve().parent.parent / "benchmarks" / "shapes"
OPS = ("conv2d", "linear", "pool2d", "lrn", "add", "softmax", "concat")
SIDES = ("pad_top", "pad_bottom", "pad_left", "pad_right")

Row = dict[str, Any]


def geometry(graph: Graph, node: Node, shapes: dict[str, Shape]) -> tuple[str, Row] | None:
    """The file and the columns of a node; None for an op that has no file."""
    attrs = node.attrs
    _, c, h, w = shapes[node.inputs[0]]
    size = {"c": c, "h": h, "w": w}
    relu = int(attrs.get("relu", False))
    if node.op == "conv2d":
        stride, dilation = attrs["stride"], attrs["dilation"]
        r, s = graph.param_shapes(node)["weight"][-2:]
        return "conv2d", {
            **size,
            **{"k": shapes[node.name][1], "r": r, "s": s},
            **{"stride_h": stride[0], "stride_w": stride[1]},
            **dict(zip(SIDES, attrs["padding"], strict=True)),
            **{"dilation_h": dilation[0], "dilation_w": dilation[1], "groups": attrs["groups"]},
            **{"relu": relu, "residual": len(node.inputs) - 1},
            "plain_input": int(node.inputs[0] in graph.inputs),  # reads NCHW, not NCHW16c
        }
    if node.op == "linear":
        return "linear", {"c": c, "k": shapes[node.name][1], "relu": relu}
    if node.op in ("max_pool2d", "avg_pool2d", "global_avg_pool"):
        window = attrs.get("kernel_size", (h, w))
        stride = attrs.get("stride", (1, 1))
        return "pool2d", {
            **size,
            "kind": "max" if node.op == "max_pool2d" else "average",
            **{"window_h": window[0], "window_w": window[1]},
            **{"stride_h": stride[0], "stride_w": stride[1]},
            **dict(zip(SIDES, attrs.get("padding", (0, 0, 0, 0)), strict=True)),
            "ceil_mode": int(attrs.get("ceil_mode", False)),
            "count_include_pad": int(attrs.get("count_include_pad", True)),
            "window_rule": attrs.get("window_rule", "torch"),
        }
    if node.op == "lrn":
        before, after = attrs["window"]
        constants = {name: attrs[name] for name in ("alpha", "beta", "k")}
        return "lrn", {**size, "before": before, "after": after, **constants}
    if node.op == "add":
        return "add", {**size, "relu": relu}
    if node.op == "softmax":
        return "softmax", size
    if node.op == "concat":
        channels = "+".join(str(shapes[name][1]) for name in node.inputs)
        return "concat", {"channels": channels, "h": h, "w": w}
    return None


def uses(variant: Variant) -> Iterator[tuple[str, str, Row]]:
    """File, layer and columns of all that a network runs."""
    graph = variant.graph()
    logits = next(iter(graph.outputs.values()))
    graph.output(graph.softmax("softmax", logits))
    graph = graph.with_outputs(graph.outputs)
    unfused = fuse_relu(fold_batch_norm(remove_dropout(graph)))
    for g, only_add in ((optimize(graph), False), (unfused, True)):
        shapes = g.shapes()
        for node in g.nodes:
            found = geometry(g, node, shapes)
            if found is not None and (found[0] == "add") == only_add:
                # A fused node carries the name of what was fused into it; its weight keeps its own.
                layer = node.params.get("weight", node.name).removesuffix(".weight")
                yield found[0], layer, found[1]


def tables() -> dict[str, list[Row]]:
    """File -> rows, in the order of the networks and of their layers."""
    found: dict[str, dict[tuple[Any, ...], Row]] = {op: {} for op in OPS}
    for variant in variants():
        for op, layer, columns in uses(variant):
            start = {"networks": {}, "layer": layer, "count": 0}
            row = found[op].setdefault(tuple(columns.values()), {**start, **columns})
            row["networks"][variant.name] = row["networks"].get(variant.name, 0) + 1
            row["count"] += 1
    for rows in found.values():
        for row in rows.values():
            row["networks"] = " ".join(f"{name}:{n}" for name, n in row["networks"].items())
    return {op: list(rows.values()) for op, rows in found.items()}


def as_csv(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    stale = []
    for op, rows in tables().items():
        path, text = SHAPES / f"{op}.csv", as_csv(rows)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(SHAPES.parent.parent)}: {len(rows)} shapes")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        print(f"not what the networks use: {', '.join(stale)}; run {sys.argv[0]}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
