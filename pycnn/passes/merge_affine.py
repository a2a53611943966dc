"""Caffe's Scale after its BatchNorm becomes the weight and bias of the batch normalisation."""

from __future__ import annotations

from dataclasses import replace

from pycnn.graph import Graph, Node
from pycnn.passes.chain import fuse_into_producer


def _merge(producer: Node, node: Node) -> Node | None:
    if node.op != "channel_affine" or producer.op != "batch_norm" or "weight" in producer.params:
        return None
    return replace(producer, params={**producer.params, **node.params})


def merge_affine(graph: Graph) -> Graph:
    """Merge them, so that :mod:`pycnn.passes.fold_batch_norm` can fold both."""
    return fuse_into_producer(graph, _merge)
