"""Which part of the image a unit of a layer can see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pycnn.graph import Graph, Node
from pycnn.indices import slice_indices
from pycnn.opset import Shape

__all__ = ["Axis", "Field", "fields"]

_POOLS = ("max_pool2d", "avg_pool2d")
# Every unit sees the whole of the layer before it.
_WHOLE = ("global_avg_pool", "global_max_pool", "flatten", "permute")


@dataclass(frozen=True)
class Axis:
    """One direction, in pixels: the unit at place i sees ``start + i * stride`` and what follows.

    Attributes
    ----------
    size
        How many pixels; those beyond the image's edges are counted, as is usual.
    stride
        How far the fields of neighbouring units are apart.
    start
        First pixel that the unit at place 0 sees; negative where it sees padding.
    """

    size: int = 1
    stride: int = 1
    start: int = 0

    def window(self, size: int, stride: int, before: int, dilation: int = 1) -> Axis:
        """The field behind a window of `size` over units that have this one."""
        seen = self.size + (size - 1) * dilation * self.stride
        return Axis(seen, self.stride * stride, self.start - before * self.stride)


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer's units.

    The first unit of VGG's `conv1_2` sees 5 x 5 pixels, of which two rows and columns are padding:

    >>> from pycnn.models import find
    >>> fields(find("vgg16").graph())["conv1_2"].rows
    Axis(size=5, stride=1, start=-2)
    """

    rows: Axis = Axis()
    columns: Axis = Axis()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.size, self.columns.size

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left, lower, right (exclusive) of what one unit sees; may reach outside."""
        top = self.rows.start + row * self.rows.stride
        left = self.columns.start + column * self.columns.stride
        return top, left, top + self.rows.size, left + self.columns.size


def fields(graph: Graph, shapes: Mapping[str, Shape] | None = None) -> dict[str, Field]:
    """Receptive field of every value, by its name; `shapes` as :meth:`Graph.shapes` gives them."""
    shapes = shapes or graph.shapes()
    found = {name: Field() for name in graph.inputs}
    for node in graph.nodes:
        seen = [found[name] for name in node.inputs]
        # What is broadcast over an image has no place of its own there.
        spread = [
            found[name] for name in node.inputs if shapes[name][2:] == shapes[node.name][2:]
        ] or seen
        rows = _union([f.rows for f in seen], max(f.rows.stride for f in spread))
        columns = _union([f.columns for f in seen], max(f.columns.stride for f in spread))
        found[node.name] = _through(graph, node, Field(rows, columns), shapes[node.inputs[0]])
    return found


def _union(axes: list[Axis], stride: int) -> Axis:
    start = min(axis.start for axis in axes)
    return Axis(max(axis.start + axis.size for axis in axes) - start, stride, start)


def _through(graph: Graph, node: Node, seen: Field, x: Shape) -> Field:
    """What a node's units see, where those of its inputs, of shape `x`, see `seen`."""
    attrs, rows, columns = node.attrs, seen.rows, seen.columns
    if node.op in _WHOLE:
        return Field(rows.window(x[2], 1, 0), columns.window(x[3], 1, 0))
    if node.op == "conv2d" or node.op in _POOLS:
        size = attrs.get("kernel_size") or graph.param_shapes(node)["weight"][-2:]
        dilation, (top, _, left, _) = attrs.get("dilation", (1, 1)), attrs["padding"]
        return Field(
            rows.window(size[0], attrs["stride"][0], top, dilation[0]),
            columns.window(size[1], attrs["stride"][1], left, dilation[1]),
        )
    if node.op == "shortcut_a":
        return Field(rows.window(1, attrs["stride"], 0), columns.window(1, attrs["stride"], 0))
    if node.op == "pad":
        top, _, left, _ = attrs["padding"]
        return Field(rows.window(1, 1, top), columns.window(1, 1, left))
    if node.op == "slice":
        _, down, across = slice_indices(attrs, x)
        return Field(_sliced(rows, down, x[2]), _sliced(columns, across, x[3]))
    return seen


def _sliced(axis: Axis, places: Sequence[int], size: int) -> Axis:
    step = places[1] - places[0] if len(places) > 1 else 1
    if step < 0:  # mirrored: places no longer go upwards
        return axis.window(size, 1, 0)
    return axis.window(1, step, -places[0])
