"""What the fusing passes share: a node that is merged into the only producer of its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pycnn.graph import Graph, Node


def fuse_into_producer(graph: Graph, merge: Callable[[Node, Node], Node | None]) -> Graph:
    """Merge nodes into the node that computes their first input, where nobody else sees that.

    `merge(producer, node)` returns the fused node or None. It stands in the place and under the
    name of `node`, so that later readers and outputs need no change.
    """
    consumers = graph.consumers()
    outputs = set(graph.outputs.values())
    done: dict[str, Node] = {}
    for node in graph.nodes:
        producer = done.get(node.inputs[0]) if node.inputs else None
        if (
            producer is not None
            and len(node.inputs) == 1
            and producer.name not in outputs
            and len(consumers[producer.name]) == 1
            and (fused := merge(producer, node)) is not None
        ):
            del done[producer.name]
            node = replace(fused, name=node.name)
        done[node.name] = node
    return graph.with_nodes(done.values())
