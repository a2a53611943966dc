"""In what two networks differ, layer by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pycnn.graph import Graph
from pycnn.summary import summarize
from pycnn.tables import html_table, text_table

__all__ = ["Diff", "Difference", "diff", "differences"]

# What most layers have, and so is not worth a word.
_USUAL = {
    "algorithm": "auto",
    "dilation": (1, 1),
    "groups": 1,
    "padding": (0, 0, 0, 0),
    "window_rule": "torch",
}
_NAMED = 3  # layers that the line about their order names


@dataclass(frozen=True)
class Difference:
    """One line: what, and how it is on either side; "-" where it is not."""

    what: str
    a: str
    b: str


@dataclass(frozen=True)
class Diff:
    """In what two networks differ; false where in nothing, a table where it is printed."""

    a: str
    b: str
    rows: tuple[Difference, ...]

    def __bool__(self) -> bool:
        return bool(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the names as "a" and "b", and in each row what these have."""
        return {"a": self.a, "b": self.b, "differences": [asdict(row) for row in self.rows]}

    def _cells(self) -> list[tuple[str, ...]]:
        return [(row.what, row.a, row.b) for row in self.rows]

    def __str__(self) -> str:
        if not self:
            return f"{self.a} and {self.b} differ in nothing but their names"
        return text_table(("", self.a, self.b), self._cells(), left=3)

    def _repr_html_(self) -> str:
        return html_table("", ("", self.a, self.b), self._cells(), left=3)


def diff(a: Graph, b: Graph, names: tuple[str, str] | None = None) -> Diff:
    """Say in what two graphs differ: inputs, outputs, cost, each layer.

    Parameters
    ----------
    a, b : Graph
        Of each the part that its outputs need. ``a == b`` asks whether they are the same.
    names : (str, str), optional
        What they are called; their own names by default.

    Examples
    --------
    >>> from pycnn.models import find
    >>> one, other = find("resnet50").graph(), find("resnet50").graph(stride_on="1x1")
    >>> [row.what for row in diff(one, other).rows][:3]
    ['MACs', 'res3a_branch2a', 'res3a_branch2b']
    """
    left, right = names or (a.name, b.name)
    a, b = a.with_outputs(a.outputs), b.with_outputs(b.outputs)
    return Diff(left, right, differences(_described(a, b), _described(b, a)))


def differences(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[Difference, ...]:
    """The keys whose texts differ; what is not there is "-"."""
    return tuple(
        Difference(key, a.get(key, "-"), b.get(key, "-"))
        for key in dict.fromkeys([*a, *b])
        if a.get(key, "-") != b.get(key, "-")
    )


def _described(graph: Graph, other: Graph) -> dict[str, str]:
    table = summarize(graph)
    ops = Counter(node.op for node in graph.nodes)
    facts = {
        "input": ", ".join(
            f"{name} {' x '.join(map(str, size))}" for name, size in sorted(graph.inputs.items())
        ),
        "outputs": ", ".join(
            public if public == name else f"{public} of {name}"
            for public, name in graph.outputs.items()
        ),
        "parameters": f"{table.parameters:,}",
        "MACs": f"{table.macs:,}",
        **{f"layers: {op}": str(count) for op, count in sorted(ops.items())},
        "order": _order(graph, other),
    }
    # A layer may be called as a fact is.
    layers = {
        f"layer {name}" if name in facts or name.startswith("layers: ") else name: text
        for name, text in _layers(graph).items()
    }
    return facts | layers


def _order(graph: Graph, other: Graph) -> str:
    """The layers that both have, from the first that stands at another place."""
    shared = {node.name for node in graph.nodes} & {node.name for node in other.nodes}
    names, others = (
        [node.name for node in one.nodes if node.name in shared] for one in (graph, other)
    )
    moved = [i for i, (a, b) in enumerate(zip(names, others, strict=True)) if a != b]
    if not moved:
        return ""
    part = names[moved[0] : moved[-1] + 1]
    return ", ".join([*part[:_NAMED], *(["..."] if len(part) > _NAMED else [])])


def _layers(graph: Graph) -> dict[str, str]:
    """Each layer with all that it computes by, less what is usual, and what it reads."""
    found = {}
    before = next(iter(graph.inputs), "")
    for node in graph.nodes:
        attrs = " ".join(
            f"{key}={short(value)}"
            for key, value in node.attrs.items()
            if value != _USUAL.get(key, False)
        )
        weights = graph.param_shapes(node)
        shape = "x".join(map(str, weights["weight"])) if "weight" in weights else ""
        bias = "bias" if node.op in ("conv2d", "linear") and "bias" in weights else ""
        reads = "" if node.inputs == (before,) else f"of {', '.join(node.inputs)}"
        own = " ".join(
            f"{role}={name}" for role, name in node.params.items() if name != f"{node.name}.{role}"
        )
        found[node.name] = " ".join(filter(None, (node.op, shape, bias, attrs, own, reads)))
        before = node.name
    return found


def short(value: object) -> str:
    """3x3 for (3, 3), 0.485 for a number that is nearly that."""
    if isinstance(value, (tuple, list)):
        parts = [short(item) for item in value]
        if len(set(parts)) == 1:
            return parts[0]
        return ",".join(parts)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
