"""Rewrites of a graph that keep what it computes. Each takes a Graph and returns a Graph.

A value that is an output is never rewritten away: that is how taps see every layer.
"""

from __future__ import annotations

from collections.abc import Mapping

from pycnn.graph import Graph
from pycnn.opset import Shape, Tuning
from pycnn.passes.choose_algorithms import choose_algorithms
from pycnn.passes.fold_batch_norm import fold_batch_norm
from pycnn.passes.fuse_max_pool import fuse_max_pool
from pycnn.passes.fuse_relu import fuse_relu
from pycnn.passes.fuse_residual import fuse_residual
from pycnn.passes.merge_affine import merge_affine
from pycnn.passes.remove_dropout import remove_dropout

__all__ = [
    "choose_algorithms",
    "fold_batch_norm",
    "fuse_max_pool",
    "fuse_relu",
    "fuse_residual",
    "merge_affine",
    "optimize",
    "remove_dropout",
    "specialize",
]


def optimize(graph: Graph) -> Graph:
    """All passes that need no shapes, in the order in which each prepares the next."""
    for rewrite in (remove_dropout, merge_affine, fold_batch_norm, fuse_relu, fuse_residual):
        graph = rewrite(graph)
    return graph


def specialize(graph: Graph, shapes: Mapping[str, Shape], tuning: Tuning) -> Graph:
    """All passes of the CPU's plan that need shapes, those of all values of `graph`."""
    return fuse_max_pool(choose_algorithms(graph, shapes, tuning), shapes)
