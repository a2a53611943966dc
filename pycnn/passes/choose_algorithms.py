"""Each layer's algorithm, once the shapes are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pycnn.graph import Graph
from pycnn.opset import OPS, Shape, Tuning


def choose_algorithms(graph: Graph, shapes: Mapping[str, Shape], tuning: Tuning) -> Graph:
    """Write each layer's algorithm into its attributes; `shapes` are those of all values."""
    nodes = []
    for node in graph.nodes:
        choose = OPS[node.op].choose
        if choose is not None:
            sources = [shapes[name] for name in node.inputs]
            attrs = choose(node.attrs, sources, graph.param_shapes(node), tuning)
            node = replace(node, attrs=attrs)
        nodes.append(node)
    return graph.with_nodes(nodes)
