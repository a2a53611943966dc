"""A graph as the boxes of a figure: activations and normalisation belong to the layer before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pycnn.graph import Graph, Node
from pycnn.opset import ACTIVATIONS, Shape
from pycnn.tables import sizes

__all__ = ["INPUT", "Cell", "cells_of"]

INPUT = "input"

# Op -> what the legend calls it, where it becomes a stripe of the box before it.
_STRIPES = {
    **dict.fromkeys(ACTIVATIONS, "other activation"),
    "relu": "ReLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "batch_norm": "batch norm",
    "channel_affine": "scale",
    "dropout": "dropout",
    "flatten": "",  # moves nothing: no stripe
}


@dataclass(frozen=True)
class Cell:
    """One box.

    Attributes
    ----------
    name, op
        Of its layer.
    label
        What the layer is, as in the papers: "3x3 conv, 64, /2".
    stripes
        What follows in the box: "ReLU", "batch norm", ...
    inputs
        Names of the cells that it reads, each once.
    shape
        ``(N, C, H, W)`` of what leaves it.
    tip
        The facts, line by line.
    window
        Height and width of the filter or window; empty where there is none.
    """

    name: str
    op: str
    label: str
    stripes: tuple[str, ...]
    inputs: tuple[str, ...]
    shape: Shape
    tip: str
    window: tuple[int, ...] = ()

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for boxes that look the same but for their names."""
        return (self.op, self.label, self.stripes, self.shape)


def cells_of(graph: Graph) -> tuple[list[Cell], dict[str, str]]:
    """The boxes in order, those of inputs first; and of each output the box that it leaves."""
    graph = graph.with_outputs(graph.outputs)
    shapes, macs, consumers = graph.shapes(), graph.macs(), graph.consumers()
    outputs = set(graph.outputs.values())
    cells = {
        name: Cell(name, INPUT, f"{name}, {_image(shapes[name])}", (), (), shapes[name], name)
        for name in graph.inputs
    }
    owner = {name: name for name in graph.inputs}  # of a value
    for node in graph.nodes:
        before = owner[node.inputs[0]]
        if (
            node.op in _STRIPES
            and cells[before].op != INPUT
            and consumers[node.inputs[0]] == [node]
            and node.inputs[0] not in outputs
        ):
            cell = cells[before]
            stripe = _STRIPES[node.op]
            stripes = (*cell.stripes, stripe) if stripe else cell.stripes
            tip = f"{cell.tip}\n{node.name} ({node.op})"
            cells[before] = replace(cell, stripes=stripes, tip=tip)
            owner[node.name] = before
        else:
            inputs = tuple(dict.fromkeys(owner[name] for name in node.inputs))
            cells[node.name] = _cell(graph, node, inputs, shapes, macs[node.name])
            owner[node.name] = node.name
    return list(cells.values()), {public: owner[name] for public, name in graph.outputs.items()}


def _cell(
    graph: Graph, node: Node, inputs: tuple[str, ...], shapes: Mapping[str, Shape], macs: int
) -> Cell:
    shape = shapes[node.name]
    lines = [f"{node.name} ({node.op})", f"output {sizes(shape)}"]
    if macs:
        lines.append(f"{macs:,} multiply-adds")
    label = _label(graph, node, shape)
    window: tuple[int, ...] = node.attrs.get("kernel_size", ())
    if node.op == "conv2d":
        window = graph.param_shapes(node)["weight"][-2:]
    return Cell(node.name, node.op, label, (), inputs, shape, "\n".join(lines), window)


def _label(graph: Graph, node: Node, shape: Shape) -> str:
    attrs = node.attrs
    if node.op == "conv2d":
        window = _window(graph.param_shapes(node)["weight"][-2:])
        parts = [f"{window} conv, {shape[1]}", *_stride(attrs["stride"])]
        if attrs["groups"] > 1:
            parts.append(
                "depthwise" if attrs["groups"] == shape[1] else f"{attrs['groups']} groups"
            )
        return ", ".join([*parts, *(["dilated"] if attrs["dilation"] != (1, 1) else [])])
    if node.op in ("max_pool2d", "avg_pool2d"):
        kind = "max" if node.op == "max_pool2d" else "avg"
        return ", ".join(
            [f"{_window(attrs['kernel_size'])} {kind} pool", *_stride(attrs["stride"])]
        )
    names: dict[str, str] = {
        "linear": f"fc {shape[1]}",
        "rbf": f"RBF {shape[1]}",
        "global_avg_pool": "global avg pool",
        "global_max_pool": "global max pool",
        "lrn": "LRN",
        "concat": f"concat, {shape[1]}",
        "shortcut_a": f"option A, {shape[1]}",
        "binary": attrs.get("kind", "binary"),
        "log_softmax": "log softmax",
    }
    return names.get(node.op, node.op.replace("_", " "))


def _window(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"


def _stride(stride: tuple[int, int]) -> list[str]:
    if stride == (1, 1):
        return []
    return [f"/{stride[0]}" if stride[0] == stride[1] else f"/{stride[0]}x{stride[1]}"]


def _image(shape: Shape) -> str:
    return sizes(shape).partition(" x ")[2]  # without the batch
