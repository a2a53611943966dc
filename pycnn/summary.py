"""The table of a network's layers: shapes, parameters, multiply-adds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pycnn.graph import Graph
from pycnn.opset import Shape


@dataclass(frozen=True)
class Row:
    """One layer. `parameters` counts what training changes; `macs` multiply-adds."""

    name: str
    op: str
    output_shape: Shape
    parameters: int
    macs: int


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

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "macs": self.macs,
            "layers": [asdict(row) for row in self.rows],
        }

    def __str__(self) -> str:
        header = ("layer", "op", "output", "parameters", "MACs")
        table = [
            (
                row.name,
                row.op,
                _sizes(row.output_shape),
                f"{row.parameters:,}" if row.parameters else "",
                f"{row.macs:,}" if row.macs else "",
            )
            for row in self.rows
        ]
        total = ("total", "", "", f"{self.parameters:,}", f"{self.macs:,}")
        widths = [max(len(line[i]) for line in (header, *table, total)) for i in range(5)]

        def line(cells: tuple[str, ...]) -> str:
            left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
            return "  ".join([*left, *right]).rstrip()

        rule = "-" * len(line(header))
        return "\n".join(
            [self.name, rule, line(header), rule, *map(line, table), rule, line(total)]
        )


def _sizes(shape: Shape) -> str:
    """N x C x H x W, or N x C of a vector."""
    return " x ".join(str(size) for size in (shape if shape[2:] != (1, 1) else shape[:2]))


def summarize(graph: Graph, inputs: Mapping[str, Shape] | None = None) -> Summary:
    """Summary of the part of a graph that its outputs need."""
    graph = graph.with_outputs(graph.outputs)
    shapes = graph.shapes(inputs)
    macs = graph.macs(shapes)
    buffers = graph.buffers()
    return Summary(
        graph.name,
        tuple(
            Row(
                node.name,
                node.op,
                shapes[node.name],
                sum(
                    math.prod(graph.parameters[name])
                    for name in node.params.values()
                    if name not in buffers
                ),
                macs[node.name],
            )
            for node in graph.nodes
        ),
    )
