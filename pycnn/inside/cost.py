"""Where a layer's multiplications come from, and what its bottleneck saves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pycnn.graph import Graph, Node
from pycnn.opset import ACTIVATIONS, Shape
from pycnn.receptive_field import fields
from pycnn.summary import trainable
from pycnn.tables import html_table, sizes, text_table

__all__ = ["Cost", "Saving", "bottleneck_of", "explain_cost"]

# What may stand between a bottleneck and the convolution behind it: one value in, one out.
BETWEEN = frozenset((*ACTIVATIONS, "batch_norm", "channel_affine", "dropout"))


@dataclass(frozen=True)
class Saving:
    """A convolution with the 1x1 convolution in front of it, and without.

    Attributes
    ----------
    layer
        The 1x1 convolution.
    channels
        That it gets and gives.
    macs
        Its own multiply-adds.
    total_macs
        Its own and those of the convolution behind it.
    macs_without, formula_without
        Of the convolution behind it, did it read what the 1x1 reads.
    """

    layer: str
    channels: tuple[int, int]
    macs: int
    total_macs: int
    macs_without: int
    formula_without: str

    @property
    def ratio(self) -> float:
        """How many times as many multiply-adds there are without it."""
        return self.macs_without / self.total_macs


@dataclass(frozen=True)
class Cost:
    """What one layer costs, for one image; printing it explains.

    Attributes
    ----------
    network, layer, op
        Which layer.
    inputs, output
        Shapes ``(N, C, H, W)``.
    macs
        Multiply-adds.
    network_macs
        Of the whole network.
    formula
        The product that `macs` is: output height, width and channels, filter height and width,
        input channels that a filter sees. Empty where nothing is multiplied.
    parameters
        Numbers that training changes.
    activation_bytes
        Of the output in float32.
    receptive_field
        Height and width, in pixels of the input.
    groups
        Into which the channels of a convolution are cut: a filter sees those of its group.
    saving
        With and without the bottleneck in front; None where there is none.
    bottleneck_of
        The convolution whose bottleneck this layer is, or None.
    """

    network: str
    layer: str
    op: str
    inputs: tuple[Shape, ...]
    output: Shape
    macs: int
    network_macs: int
    formula: str
    parameters: int
    activation_bytes: int
    receptive_field: tuple[int, int]
    groups: int
    saving: Saving | None
    bottleneck_of: str | None

    @property
    def share(self) -> float:
        """Part of the network's multiply-adds, 0 to 1."""
        return self.macs / self.network_macs if self.network_macs else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {**asdict(self), "share": self.share}
        if self.saving is not None:
            found["saving"]["ratio"] = self.saving.ratio
        return found

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("op", self.op),
            ("input", ", ".join(map(sizes, self.inputs))),
            ("output", sizes(self.output)),
            ("receptive field", " x ".join(map(str, self.receptive_field))),
            ("parameters", f"{self.parameters:,}"),
            ("activation", f"{self.activation_bytes:,} bytes"),
        ]
        if not self.formula:
            return [*lines, ("multiply-adds", "none are counted for this op")]
        lines += [
            ("multiply-adds", f"{self.formula} = {self.macs:,}"),
            ("of the network", f"{self.share:.1%} of {self.network_macs:,}"),
        ]
        if self.groups > 1:
            undivided = f"{self.groups * self.macs:,} without"
            lines.append(("groups", f"{self.groups}: there would be {undivided}"))
        if (saving := self.saving) is not None:
            before, after = saving.channels
            lines += [
                ("bottleneck", f"{saving.layer}, 1x1, {before} to {after} channels"),
                ("with it", f"{saving.macs:,} + {self.macs:,} = {saving.total_macs:,}"),
                ("without it", f"{saving.formula_without} = {saving.macs_without:,}"),
                ("", f"{saving.ratio:.1f} times as many"),
            ]
        if self.bottleneck_of is not None:
            lines.append(("bottleneck of", self.bottleneck_of))
        return lines

    def __str__(self) -> str:
        header = ("layer", f"{self.layer} of {self.network}")
        return text_table(header, self._lines(), left=2)

    def _repr_html_(self) -> str:
        return html_table(f"{self.layer} of {self.network}", ("", ""), self._lines(), left=2)


def explain_cost(graph: Graph, layer: str, inputs: Mapping[str, Shape] | None = None) -> Cost:
    """Explain where a layer's multiplications come from.

    Parameters
    ----------
    graph : Graph
    layer : str
        Its name, as in the paper.
    inputs : mapping, optional
        Shapes ``(N, C, H, W)`` of the inputs; one image of the nominal size by default.

    Raises
    ------
    UnknownNameError
        There is no such layer; near matches are named.

    Examples
    --------
    Szegedy et al. 2014, section 4: what the 1x1 reductions are for.

    >>> from pycnn.models import find
    >>> cost = explain_cost(find("inception_v1").graph(), "inception_3a/5x5")
    >>> cost.saving.formula_without, cost.saving.macs_without, cost.saving.total_macs
    ('28 * 28 * 32 * 5 * 5 * 192', 120422400, 12443648)
    """
    node = graph.node(layer)
    computed = graph.with_outputs(graph.outputs)
    if node in computed.nodes:  # else it is of a head that is off, which has its cost too
        graph = computed
    shapes = graph.shapes(inputs)
    macs = graph.macs(shapes)
    bottleneck = bottleneck_of(graph, node)
    behind = _behind(graph, node)
    if behind is not None and bottleneck_of(graph, behind) != node:
        behind = None
    return Cost(
        network=graph.name,
        layer=layer,
        op=node.op,
        inputs=tuple(shapes[name] for name in node.inputs),
        output=shapes[layer],
        macs=macs[layer],
        network_macs=sum(macs[node.name] for node in computed.nodes),
        formula=_formula(graph, node, shapes[layer]),
        parameters=trainable(graph, node),
        activation_bytes=4 * math.prod(shapes[layer]),
        receptive_field=fields(graph, shapes)[layer].size,
        groups=node.attrs.get("groups", 1),
        saving=None if bottleneck is None else _saving(graph, node, bottleneck, shapes, macs),
        bottleneck_of=None if behind is None else behind.name,
    )


def bottleneck_of(graph: Graph, node: Node) -> Node | None:
    """Find the 1x1 convolution in front of a convolution that gives it fewer channels, if any.

    Only normalisation and activation stand between, and nothing else reads it.
    """
    if node.op != "conv2d" or node.attrs["groups"] != 1 or _window(graph, node) == (1, 1):
        return None
    consumers = graph.consumers()
    name = node.inputs[0]
    while name not in graph.inputs and len(consumers[name]) == 1:
        before = graph.node(name)
        if before.op == "conv2d":
            out_channels, in_channels = graph.param_shapes(before)["weight"][:2]
            reduces = out_channels < in_channels and _window(graph, before) == (1, 1)
            return before if reduces and before.attrs["groups"] == 1 else None
        if before.op not in BETWEEN:
            return None
        name = before.inputs[0]
    return None


def _behind(graph: Graph, node: Node) -> Node | None:
    """The only reader of a layer, behind normalisation and activation."""
    consumers = graph.consumers()
    readers = consumers[node.name]
    while len(readers) == 1 and readers[0].op in BETWEEN:
        readers = consumers[readers[0].name]
    return readers[0] if len(readers) == 1 else None


def _window(graph: Graph, node: Node) -> tuple[int, int]:
    r, s = graph.param_shapes(node)["weight"][-2:]
    return r, s


def _saving(
    graph: Graph,
    node: Node,
    bottleneck: Node,
    shapes: Mapping[str, Shape],
    macs: Mapping[str, int],
) -> Saving:
    before, after = shapes[bottleneck.inputs[0]][1], shapes[bottleneck.name][1]
    own = macs[node.name]
    return Saving(
        layer=bottleneck.name,
        channels=(before, after),
        macs=macs[bottleneck.name],
        total_macs=macs[bottleneck.name] + own,
        macs_without=own // after * before,
        formula_without=_formula(graph, node, shapes[node.name], in_channels=before),
    )


def _formula(graph: Graph, node: Node, y: Shape, in_channels: int | None = None) -> str:
    """The product that a layer's multiply-adds are."""
    n, k, p, q = y
    factors = [n] if n > 1 else []
    if node.op == "linear":
        factors += [k, graph.param_shapes(node)["weight"][1]]
    elif node.op == "conv2d" and "connections" in node.attrs:
        factors += [p, q, *graph.param_shapes(node)["weight"]]
    elif node.op == "conv2d":
        _, per_group, r, s = graph.param_shapes(node)["weight"]
        factors += [p, q, k, r, s, in_channels or per_group]
    else:
        return ""
    return " * ".join(map(str, factors))
