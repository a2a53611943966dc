"""What another width, stride, filter or bottleneck of one layer would do to the whole network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pycnn.errors import UnsupportedError
from pycnn.graph import Graph, IntOrPair, Node, Padding, pair
from pycnn.inside.cost import BETWEEN, bottleneck_of
from pycnn.opset import Shape
from pycnn.summary import Summary, summarize
from pycnn.surgery import Build, edited
from pycnn.tables import html_table, sizes, text_table

__all__ = ["Change", "WhatIf", "what_if"]

KEEP: Literal["keep"] = "keep"
_WINDOWS = ("conv2d", "max_pool2d", "avg_pool2d")
_KEEP_CHANNELS = frozenset(
    (*BETWEEN, *_WINDOWS[1:], "global_avg_pool", "global_max_pool", "lrn", "add")
)


@dataclass(frozen=True)
class Change:
    """A layer before and after; None where it is not there."""

    layer: str
    shape_before: Shape | None
    shape_after: Shape | None
    macs_before: int
    macs_after: int
    parameters_before: int
    parameters_after: int


@dataclass(frozen=True)
class WhatIf:
    """A network before and after a change; printing it gives a table.

    Attributes
    ----------
    layer
        The layer that was changed.
    asked
        What was changed: "width=64, stride=2".
    before, after
        Summaries of the whole network.
    graph
        The changed network.
    """

    layer: str
    asked: str
    before: Summary
    after: Summary
    graph: Graph

    @property
    def changes(self) -> list[Change]:
        """The layers whose shape, cost or parameters differ."""
        old = {row.name: row for row in self.before.rows}
        new = {row.name: row for row in self.after.rows}
        found = []
        for name in [*(name for name in old if name not in new), *new]:
            a, b = old.get(name), new.get(name)
            if a is not None and b is not None:
                same = (a.output_shape, a.macs, a.parameters)
                if same == (b.output_shape, b.macs, b.parameters):
                    continue
            found.append(
                Change(
                    name,
                    a.output_shape if a else None,
                    b.output_shape if b else None,
                    a.macs if a else 0,
                    b.macs if b else 0,
                    a.parameters if a else 0,
                    b.parameters if b else 0,
                )
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        totals = ("macs", "parameters", "activation_bytes")
        return {
            "network": self.before.name,
            "layer": self.layer,
            "asked": self.asked,
            "before": {name: getattr(self.before, name) for name in totals},
            "after": {name: getattr(self.after, name) for name in totals},
            "changes": [asdict(change) for change in self.changes],
        }

    def _cells(self) -> list[tuple[str, ...]]:
        rows = [
            (
                change.layer,
                _before_after(_shape(change.shape_before), _shape(change.shape_after)),
                _counts(change.macs_before, change.macs_after),
                _counts(change.parameters_before, change.parameters_after),
            )
            for change in self.changes
        ]
        totals = [
            f"{_counts(old, new)}{_percent(old, new)}"
            for old, new in (
                (self.before.macs, self.after.macs),
                (self.before.parameters, self.after.parameters),
            )
        ]
        return [*rows, ("network", "", *totals)]

    def __str__(self) -> str:
        table = text_table(_HEADER, self._cells(), left=2, total=True)
        return f"{self.before.name}, {self.layer}: {self.asked}\n{table}"

    def _repr_html_(self) -> str:
        caption = f"{self.before.name}, {self.layer}: {self.asked}"
        return html_table(caption, _HEADER, self._cells(), left=2, total=True)


_HEADER = ("layer", "output", "MACs", "parameters")


def what_if(
    graph: Graph,
    layer: str,
    *,
    width: int | None = None,
    stride: IntOrPair | None = None,
    kernel_size: IntOrPair | None = None,
    padding: Padding | None = None,
    bottleneck: int | Literal["keep"] | None = KEEP,
    inputs: Mapping[str, Shape] | None = None,
) -> WhatIf:
    """Say what another geometry of one layer does to shapes, cost and size of the whole network.

    Nothing is computed; the layers behind get weights of the shapes that they then need.

    Parameters
    ----------
    graph : Graph
    layer : str
        A convolution (all of these), a pool (stride, filter, padding) or a linear layer (width).
    width : int, optional
        Output channels, or features. Layers that are summed with this one get the same width.
    stride : int or pair, optional
    kernel_size : int or pair, optional
        Of the filter or window. The padding follows, so that at stride 1 the output keeps its size,
        as far as there is padding.
    padding : int, pair or four, optional
        As in :meth:`Graph.conv2d`.
    bottleneck : int or None, optional
        Channels of a 1x1 convolution in front, which is added, with a ReLU, where there is none;
        None: take away the one that is there.
    inputs : mapping, optional
        Shapes ``(N, C, H, W)`` of the inputs; one image of the nominal size by default.

    Raises
    ------
    UnknownNameError
        There is no such layer; near matches are named.
    UnsupportedError
        The layer has nothing of the kind.
    ShapeError
        The network cannot be so; the message names the layer where shapes do not fit.

    Examples
    --------
    >>> from pycnn.models import find
    >>> found = what_if(find("inception_v1").graph(), "inception_3a/5x5", bottleneck=None)
    >>> found.after.macs - found.before.macs == 120_422_400 - 12_443_648
    True
    """
    given: dict[str, Any] = {
        "width": width,
        "stride": stride,
        "kernel_size": kernel_size,
        "padding": padding,
    }
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if bottleneck != KEEP:
        asked["bottleneck"] = bottleneck
    if not asked:
        raise ValueError("nothing to change: give width, stride, kernel_size, padding, bottleneck")
    graph = graph.with_outputs(graph.outputs)
    node = graph.node(layer)
    _check(graph, node, asked)
    drop, replace = _bottleneck(graph, node, asked)
    if width is not None:
        replace = _summed(graph, node, width) | replace
    changed = edited(graph, drop=drop, replace=replace)
    return WhatIf(
        layer,
        ", ".join(f"{name}={value}" for name, value in asked.items()),
        summarize(graph, inputs),
        summarize(changed, inputs),
        changed,
    )


def _check(graph: Graph, node: Node, asked: Mapping[str, Any]) -> None:
    can = {
        "conv2d": ("width", "stride", "kernel_size", "padding", "bottleneck"),
        "linear": ("width",),
    }.get(node.op, ("stride", "kernel_size", "padding") if node.op in _WINDOWS else ())
    wrong = [name for name in asked if name not in can]
    if wrong:
        has = f"only {', '.join(can)}" if can else "nothing that could be changed"
        raise UnsupportedError(
            f"{graph.name}: '{node.name}' ({node.op}) has no {' and no '.join(wrong)}, {has}"
        )
    if "connections" in node.attrs:
        raise UnsupportedError(
            f"{graph.name}: '{node.name}' follows a table of connections, which says its geometry"
        )
    for name in ("width", "bottleneck"):
        value = asked.get(name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def _bottleneck(
    graph: Graph, node: Node, asked: Mapping[str, Any]
) -> tuple[list[str], dict[str, Build]]:
    """What is dropped and what replaced."""
    present = bottleneck_of(graph, node)
    stride = (1, 1)  # what a bottleneck that goes leaves to the layer
    drop: list[str] = []
    replace: dict[str, Build] = {}
    front = asked.get("bottleneck")
    if "bottleneck" in asked:
        if node.attrs["groups"] != 1:
            raise UnsupportedError(f"{graph.name}: '{node.name}' has groups: no bottleneck fits")
        if front is None and present is None:
            raise UnsupportedError(f"{graph.name}: '{node.name}' has no bottleneck in front")
        if present is not None and front is None:
            stride = present.attrs["stride"]
            drop = _chain(graph, present.name, node)
        elif present is not None:
            replace[present.name] = _built(graph, present, {"width": front}, (1, 1))
            front = None
    own = _built(graph, node, asked, stride)

    def build(g: Graph, x: str) -> str:
        if front is not None:
            x = g.conv2d(f"{node.name}_reduce", x, front, 1)
            x = g.relu(f"{node.name}_reduce/relu", x)
        return own(g, x)

    replace[node.name] = build
    return drop, replace


def _summed(graph: Graph, node: Node, width: int) -> dict[str, Build]:
    """Give the layers that are summed with `node`, directly or by way of other sums, its width.

    What has no width of its own is left, and its sum says so.
    """
    # Values of one width: a layer that keeps its channels joins its output and its inputs.
    joined: dict[str, set[str]] = {}
    for keeper in graph.nodes:
        for source in keeper.inputs if keeper.op in _KEEP_CHANNELS else ():
            joined.setdefault(source, set()).add(keeper.name)
            joined.setdefault(keeper.name, set()).add(source)
    found, todo = {node.name}, [node.name]
    while todo:
        new = joined.get(todo.pop(), set()) - found
        found |= new
        todo += new
    replace: dict[str, Build] = {}
    for other in graph.nodes:
        if other.name not in found:
            continue
        if other.op == "shortcut_a":
            replace[other.name] = _shortcut_a(other, width)
        elif other.op in ("conv2d", "linear"):
            _check(graph, other, {"width": width})
            replace[other.name] = _built(graph, other, {"width": width}, (1, 1))
    return replace


def _shortcut_a(node: Node, width: int) -> Build:
    return lambda g, x: g.shortcut_a(node.name, x, width, node.attrs["stride"])


def _chain(graph: Graph, first: str, node: Node) -> list[str]:
    """The layers from `first` up to the one that `node` reads."""
    found = [node.inputs[0]]
    while found[-1] != first:
        found.append(graph.node(found[-1]).inputs[0])
    return found


def _built(graph: Graph, node: Node, asked: Mapping[str, Any], more: tuple[int, int]) -> Build:
    """Build the layer as it is, but for what was asked; `more` multiplies its stride."""
    params, attrs = graph.param_shapes(node), node.attrs
    width = asked.get("width") or (params["weight"][0] if params else None)
    if node.op == "linear":
        return lambda g, x: g.linear(node.name, x, width, bias="bias" in params)
    r, s = attrs.get("kernel_size") or params["weight"][-2:]
    old = (r, s)
    new = pair(asked.get("kernel_size", old))
    stride = pair(asked.get("stride", attrs["stride"]))
    stride = (stride[0] * more[0], stride[1] * more[1])
    dilation = attrs.get("dilation", (1, 1))
    padding = asked.get("padding", _followed(attrs["padding"], old, new, dilation))
    if node.op == "conv2d":
        return lambda g, x: g.conv2d(
            node.name,
            x,
            width,
            new,
            stride,
            padding,
            dilation,
            attrs["groups"],
            "bias" in params,
            algorithm=attrs["algorithm"],
        )
    changed = {**attrs, "kernel_size": new, "stride": stride}
    return lambda g, x: g.add_node(node.name, node.op, [x], {**changed, "padding": padding})


def _followed(
    padding: tuple[int, int, int, int],
    old: tuple[int, int],
    new: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int, int, int]:
    """Padding with which a filter of another size gives an output of the same size.

    A filter that is not padded, and not 1x1, keeps to the image.
    """

    def axis(before: int, after: int, old: int, new: int, dilation: int) -> tuple[int, int]:
        if before + after == 0 and old > 1:
            return 0, 0
        more = dilation * (new - old)
        return max(before + more // 2, 0), max(after + math.ceil(more / 2), 0)

    top, bottom, left, right = padding
    return (
        *axis(top, bottom, old[0], new[0], dilation[0]),
        *axis(left, right, old[1], new[1], dilation[1]),
    )


def _shape(shape: Shape | None) -> str:
    return sizes(shape) if shape else "-"


def _before_after(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _counts(before: int, after: int) -> str:
    return _before_after(f"{before:,}", f"{after:,}") if before or after else ""


def _percent(before: int, after: int) -> str:
    return f" ({after / before - 1:+.1%})" if before and before != after else ""
