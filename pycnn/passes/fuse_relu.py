"""ReLU becomes part of the layer before it: applied in the epilogue, before the store."""

from __future__ import annotations

from dataclasses import replace

from pycnn.graph import Graph, Node
from pycnn.passes.chain import fuse_into_producer

_WITH_RELU = ("conv2d", "linear", "add", "binary", "batch_norm", "channel_affine")


def _fuse(producer: Node, node: Node) -> Node | None:
    if node.op != "relu" or producer.op not in _WITH_RELU or producer.attrs.get("relu"):
        return None
    return replace(producer, attrs={**producer.attrs, "relu": True})


def fuse_relu(graph: Graph) -> Graph:
    """Fuse conv + ReLU, linear + ReLU, add + ReLU and the like."""
    return fuse_into_producer(graph, _fuse)
