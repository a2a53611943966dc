"""``pycnn diff``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated

import typer

from pycnn.cli.common import Json, complete_name, print_json, print_table
from pycnn.graph import Graph
from pycnn.models import Variant, find

# What most layers have, and so is not worth a word.
_USUAL = {
    "algorithm": "auto",
    "dilation": (1, 1),
    "groups": 1,
    "padding": (0, 0, 0, 0),
    "window_rule": "torch",
}

_Name = Annotated[
    str, typer.Argument(help="A network or variant.", autocompletion=complete_name, metavar="NAME")
]


def diff(a: _Name, b: _Name, as_json: Json = False) -> None:
    """Say in what two variants differ: facts, preprocessing, layers."""
    one, other = find(a), find(b)
    rows = _differences(_facts(one), _facts(other))
    rows += _differences(_layers(_graph(one)), _layers(_graph(other)))
    if as_json:
        table = [{"what": what, one.id: left, other.id: right} for what, left, right in rows]
        print_json({"a": one.id, "b": other.id, "differences": table})
    elif rows:
        print_table(("", one.id, other.id), rows)
    else:
        print(f"{one.id} and {other.id} differ in nothing but their names")


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[tuple[str, str, str]]:
    keys = dict.fromkeys([*a, *b])
    return [
        (key, a.get(key, "-"), b.get(key, "-"))
        for key in keys
        if a.get(key, "-") != b.get(key, "-")
    ]


def _facts(variant: Variant) -> dict[str, str]:
    from pycnn.summary import summarize

    graph = _graph(variant)
    table = summarize(graph)
    ops = Counter(node.op for node in graph.nodes)
    found = {
        "title": variant.title,
        "paper": variant.paper,
        "input": " x ".join(map(str, next(iter(graph.inputs.values())))),
        "parameters": f"{table.parameters:,}",
        "MACs": f"{table.macs:,}",
        "labels": variant.labels or "-",
        "licence": variant.licence or "-",
        **{f"layers: {op}": str(count) for op, count in sorted(ops.items())},
    }
    if (published := variant.published) is not None:
        found |= {
            "weights": published.file,
            "hash": published.digest or "-",
            "top-1 %": f"{published.top1 or '-'}",
            "top-5 %": f"{published.top5 or '-'}",
        }
    if variant.preprocessing is not None:
        fields = variant.preprocessing.to_dict()
        found |= {f"preprocessing: {key}": _short(value) for key, value in fields.items()}
    return found


def _graph(variant: Variant) -> Graph:
    """What computes the outputs, without heads that are off."""
    graph = variant.graph()
    return graph.with_outputs(graph.outputs)


def _layers(graph: Graph) -> dict[str, str]:
    """Each layer with all that it computes by, less what is usual."""
    found = {}
    for node in graph.nodes:
        attrs = " ".join(
            f"{key}={_short(value)}"
            for key, value in node.attrs.items()
            if value != _USUAL.get(key, False)
        )
        weights = graph.param_shapes(node)
        shape = "x".join(map(str, weights["weight"])) if "weight" in weights else ""
        bias = "bias" if node.op in ("conv2d", "linear") and "bias" in weights else ""
        found[node.name] = " ".join(filter(None, (node.op, shape, bias, attrs)))
    return found


def _short(value: object) -> str:
    """3x3 for (3, 3), 0.485 for a number that is nearly that."""
    if isinstance(value, (tuple, list)):
        parts = [_short(item) for item in value]
        if len(set(parts)) == 1:
            return parts[0]
        return ",".join(parts)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
