"""Dropout is the identity at inference."""

from __future__ import annotations

from pycnn.graph import Graph


def remove_dropout(graph: Graph) -> Graph:
    """Let the readers of a dropout read its input."""
    renamed = {node.name: node.inputs[0] for node in graph.nodes if node.op == "dropout"}
    return graph.with_nodes([node for node in graph.nodes if node.op != "dropout"], renamed)
