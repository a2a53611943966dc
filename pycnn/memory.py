"""What a run needs in memory: exact, and known before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pycnn import _core
from pycnn.backend import Backend
from pycnn.graph import Graph
from pycnn.opset import Shape
from pycnn.passes import optimize

__all__ = ["Memory", "memory_of"]


@dataclass(frozen=True)
class Memory:
    """Bytes that one run at a time needs; exact, and known before anything runs.

    Attributes
    ----------
    weights_bytes
        The packed weights, kept as long as the model.
    activation_bytes
        The arena of the plan, and the workspaces of the threads. On a GPU without what the copies
        of arrays in host memory take.
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


def memory_of(graph: Graph, shapes: Mapping[str, Shape], backend: Backend) -> Memory:
    """What one run of a graph needs, for inputs of these shapes."""
    graph = optimize(graph.with_outputs(graph.outputs))
    values = graph.shapes(shapes)
    weights, activations = backend.memory(graph, shapes)
    outputs = sum(
        _core.storage_elems(values[name], blocked=False) for name in graph.outputs.values()
    )
    return Memory(weights, activations, 4 * outputs)
