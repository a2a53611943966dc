"""The table of a network's layers: shapes, parameters, multiply-adds, receptive fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pycnn.graph import Graph, Node
from pycnn.opset import OPS, Shape
from pycnn.receptive_field import fields
from pycnn.tables import html_table, sizes, text_table

__all__ = ["Row", "Summary", "summarize", "trainable"]


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes
    ----------
    parameters
        Numbers that training changes.
    macs
        Multiply-adds.
    activation_bytes
        Of its output in float32. A run needs less than their sum: see :meth:`Model.memory`.
    receptive_field
        Height and width of what a unit sees, in pixels of the input, padding included.
    """

    name: str
    op: str
    output_shape: Shape
    parameters: int
    macs: int
    activation_bytes: int
    receptive_field: tuple[int, int]


@dataclass(frozen=True)
class Summary:
    """Layers of a network and their totals; printing it gives a table."""

    name: str
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """Trainable parameters of all layers."""
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of one run."""
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all layers' outputs."""
        return sum(row.activation_bytes for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "layers": [asdict(row) for row in self.rows],
        }

    def __str__(self) -> str:
        return f"{self.name}\n{text_table(_HEADER, self._cells(), left=3, total=True)}"

    def _repr_html_(self) -> str:
        return html_table(self.name, _HEADER, self._cells(), left=3, total=True)

    def _cells(self) -> list[tuple[str, ...]]:
        """A line for each layer, then the totals."""
        lines = [
            (
                row.name,
                row.op,
                sizes(row.output_shape),
                f"{row.parameters:,}" if row.parameters else "",
                f"{row.macs:,}" if row.macs else "",
                f"{row.activation_bytes:,}",
                _square(row.receptive_field),
            )
            for row in self.rows
        ]
        totals = (self.parameters, self.macs, self.activation_bytes)
        return [*lines, ("total", "", "", *(f"{value:,}" for value in totals), "")]


_HEADER = ("layer", "op", "output", "parameters", "MACs", "bytes", "field")


def _square(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]} x {size[1]}"


def summarize(graph: Graph, inputs: Mapping[str, Shape] | None = None) -> Summary:
    """Summary of the part of a graph that its outputs need."""
    graph = graph.with_outputs(graph.outputs)
    shapes = graph.shapes(inputs)
    macs, seen = graph.macs(shapes), fields(graph, shapes)
    return Summary(
        graph.name,
        tuple(
            Row(
                node.name,
                node.op,
                shapes[node.name],
                trainable(graph, node),
                macs[node.name],
                4 * math.prod(shapes[node.name]),
                seen[node.name].size,
            )
            for node in graph.nodes
        ),
    )


def trainable(graph: Graph, node: Node) -> int:
    """How many numbers of a layer training changes."""
    roles = (role for role in node.params if role not in OPS[node.op].buffers)
    return sum(math.prod(graph.parameters[node.params[role]]) for role in roles)
