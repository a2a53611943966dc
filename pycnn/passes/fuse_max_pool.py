"""Max pooling by 2x2 becomes part of the Winograd convolution whose tiles hold its windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pycnn import _core
from pycnn.graph import Graph, Node
from pycnn.opset import Shape
from pycnn.passes.chain import fuse_into_producer

_WINDOW = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}


def fuse_max_pool(graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """Fuse, once algorithms are chosen; `shapes` are those of all values."""

    def fuse(producer: Node, node: Node) -> Node | None:
        if node.op != "max_pool2d" or producer.op != "conv2d" or len(producer.inputs) > 1:
            return None
        if any(node.attrs[key] != value for key, value in _WINDOW.items()):
            return None
        _, _, h, w = shapes[producer.name]
        if h % 2 or w % 2 or not _core.conv2d_can_max_pool(producer.attrs["algorithm"]):
            return None
        return replace(producer, attrs={**producer.attrs, "max_pool": True})

    return fuse_into_producer(graph, fuse)
