"""Batch normalisation after a convolution or a linear layer becomes part of its weights."""

from __future__ import annotations

from dataclasses import replace

from pycnn.graph import Graph, Node
from pycnn.passes.chain import fuse_into_producer


def _fold(producer: Node, node: Node) -> Node | None:
    if node.op != "batch_norm" or producer.op not in ("conv2d", "linear"):
        return None
    if "bn.eps" in producer.attrs or producer.attrs.get("relu"):
        return None
    if len(producer.inputs) > 1:  # folding would not scale the residual
        return None
    # The arithmetic is done in float64 where the weights are packed (pycnn.opset).
    return replace(
        producer,
        attrs={**producer.attrs, "bn.eps": node.attrs["eps"]},
        params={**producer.params, **{f"bn.{role}": name for role, name in node.params.items()}},
    )


def fold_batch_norm(graph: Graph) -> Graph:
    """Fold: w' = w * gamma / sqrt(var + eps), b' = beta + (b - mean) * gamma / sqrt(var + eps)."""
    return fuse_into_producer(graph, _fold)
