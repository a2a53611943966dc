"""What a run needs in memory: exact, and known before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pycnn import _core
from pycnn.compile import arena_elems, workspace_elems
from pycnn.graph import Graph, Node
from pycnn.opset import OPS, Shape, Tuning
from pycnn.passes import choose_algorithms, optimize

__all__ = ["Memory", "memory_of", "packing_key"]


@dataclass(frozen=True)
class Memory:
    """Bytes that one run at a time needs; exact, and known before anything runs.

    Attributes
    ----------
    weights_bytes
        The packed weights, kept as long as the model.
    activation_bytes
        The arena of the plan, and the workspaces of the threads.
    output_bytes
        The arrays that `run` returns.
    """

    weights_bytes: int
    activation_bytes: int
    output_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return self.weights_bytes + self.activation_bytes + self.output_bytes


def memory_of(graph: Graph, shapes: Mapping[str, Shape], threads: int, tuning: Tuning) -> Memory:
    """What one run of a graph needs, for inputs of these shapes."""
    graph = optimize(graph.with_outputs(graph.outputs))
    values = graph.shapes(shapes)
    graph = choose_algorithms(graph, values, tuning)
    workspaces = threads * workspace_elems(graph, values)
    outputs = sum(
        _core.storage_elems(values[name], blocked=False) for name in graph.outputs.values()
    )
    return Memory(
        weights_bytes=sum(
            {
                packing_key(node): spec.packed_bytes(node.attrs, graph.param_shapes(node))
                for node in graph.nodes
                if (spec := OPS[node.op]).pack
            }.values()
        ),
        activation_bytes=4 * (arena_elems(graph, shapes) + workspaces),
        output_bytes=4 * outputs,
    )


# What decides packed values beside the parameters and the algorithm.
_PACKED_ATTRS = ("eps", "bn.eps", "connections", "shape")


def packing_key(node: Node) -> tuple[object, ...]:
    """Tell apart what is packed: nodes that share parameters may pack them differently."""
    values = tuple(repr(node.attrs.get(name)) for name in _PACKED_ATTRS)
    return (
        node.op,
        OPS[node.op].packing(node.attrs),
        values,
        tuple(sorted(node.params.items())),
    )
