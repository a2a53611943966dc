"""Graph + input shape -> Plan for the CPU: a `_core.Program`, every tensor placed in one arena."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn import _core
from pycnn.graph import Graph, Node
from pycnn.opset import DEFAULT_TUNING, OPS, Array, Shape, Tuning
from pycnn.passes import specialize
from pycnn.placement import (
    Aliases,
    inputs_to_convert,
    last_stage,
    lifetimes_of,
    output_shapes,
    place,
    stages_of,
)

Packer = Callable[[Node], Any]


@dataclass(frozen=True)
class Plan:
    """A network compiled for one input shape.

    Attributes
    ----------
    outputs
        Public name -> shape as the user sees it: ``(N, C)`` for vectors, else ``(N, C, H, W)``.
    graph
        What was compiled; its nodes name the steps of the program.
    """

    program: _core.Program
    inputs: dict[str, Shape]
    outputs: dict[str, tuple[int, ...]]
    graph: Graph

    def run(
        self, inputs: Sequence[Array], threads: int, poison: int | None = None
    ) -> dict[str, Array]:
        """Run on C-contiguous float32 arrays in the order of `inputs`; new arrays come out."""
        outputs = self._new_outputs()
        self.program.run(list(inputs), list(outputs.values()), threads, poison)
        return outputs

    def profile(self, inputs: Sequence[Array], threads: int) -> list[tuple[str, float]]:
        """Run as :meth:`run` does; the seconds of each step, under the name of its node.

        Of a stage, which ends when all threads have done their part, each step has the part that
        the threads spent in it. Inputs and outputs whose layout changes are steps too, under their
        own names.
        """
        outputs = list(self._new_outputs().values())
        seconds = self.program.profile(list(inputs), outputs, threads)
        return list(zip(self.program.names, seconds, strict=True))

    def _new_outputs(self) -> dict[str, Array]:
        return {name: np.empty(shape, np.float32) for name, shape in self.outputs.items()}


def compile_graph(
    graph: Graph,
    inputs: Mapping[str, Shape],
    packed: Packer,
    isa: str,
    tuning: Tuning = DEFAULT_TUNING,
) -> Plan:
    """Compile a graph for one shape of its inputs.

    Parameters
    ----------
    graph
        After :func:`pycnn.passes.optimize`, with the outputs that are wanted and nothing else.
    inputs
        Name -> ``(N, C, H, W)``.
    packed
        Gives a node's packed weights, for its algorithm; the caller keeps them, plans share them.
    isa
        Instruction set, one of ``_core.available_isas()``.
    tuning
        How algorithms are chosen.

    Raises
    ------
    ShapeError
        When the network cannot take this input shape.
    """
    shapes = graph.shapes(inputs)
    graph = specialize(graph, shapes, tuning)
    aliases = Aliases(graph, shapes, _core.CHANNEL_BLOCK)
    blocked_inputs = inputs_to_convert(graph, _reads_plain)
    stages = stages_of(graph, aliases)
    offset_of, arena = _place(graph, aliases, stages)

    program = _core.Program(
        arena,
        [_core.storage_elems(shapes[name], blocked=False) for name in inputs],
        [_core.storage_elems(shapes[name], blocked=False) for name in graph.outputs.values()],
    )
    plain = {name: 1 + i for i, name in enumerate(inputs)}

    def ref(name: str) -> _core.TensorRef:
        root, channel = aliases.resolve(name)
        shape = shapes[name]
        start = channel // _core.CHANNEL_BLOCK * shape[2] * shape[3] * _core.CHANNEL_BLOCK
        return _core.TensorRef(0, offset_of[root] + start, shape, buffer_channels=shapes[root][1])

    def plain_ref(buffer: int, shape: Shape) -> _core.TensorRef:
        return _core.TensorRef(buffer, 0, shape, blocked=False)

    for name in blocked_inputs:
        task = _core.layout_task(plain_ref(plain[name], shapes[name]), ref(name), isa)
        program.add(name, task, -1)
    for node in sorted(graph.nodes, key=lambda node: stages[node.name]):
        if node.name not in aliases.moved:
            continue
        spec, attrs = OPS[node.op], node.attrs
        if node.op == "concat":
            attrs = {**attrs, "in_place": aliases.in_place[node.name]}
        sources = [
            plain_ref(plain[name], shapes[name])
            if name in plain and i == 0 and _reads_plain(node)
            else ref(name)
            for i, name in enumerate(node.inputs)
        ]
        weights = packed(node) if spec.pack else None
        for task in spec.tasks(attrs, sources, weights, ref(node.name), isa):
            program.add(node.name, task, stages[node.name])
    for i, (public, name) in enumerate(graph.outputs.items()):
        target = plain_ref(1 + len(inputs) + i, shapes[name])
        program.add(public, _core.layout_task(ref(name), target, isa), last_stage(stages))
    return Plan(program, dict(inputs), output_shapes(graph, shapes), graph)


def arena_elems(graph: Graph, inputs: Mapping[str, Shape]) -> int:
    """Elements of the arena that :func:`compile_graph` would plan, without compiling."""
    aliases = Aliases(graph, graph.shapes(inputs), _core.CHANNEL_BLOCK)
    return _place(graph, aliases, stages_of(graph, aliases))[1]


def workspace_elems(graph: Graph, shapes: Mapping[str, Shape]) -> int:
    """Elements that each thread of a run needs beside the arena.

    `graph` is after `passes.specialize`, `shapes` are those of all values.
    """
    return max(
        (
            OPS[node.op].workspace_elems(
                node.attrs, [shapes[name] for name in node.inputs], graph.param_shapes(node)
            )
            for node in graph.nodes
        ),
        default=0,
    )


def _reads_plain(node: Node) -> bool:
    return OPS[node.op].reads_plain


def _place(graph: Graph, aliases: Aliases, stages: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Offset of each buffer of the arena, and the arena's size, in elements."""
    return place(
        lifetimes_of(
            graph,
            aliases,
            inputs_to_convert(graph, _reads_plain),
            stages,
            lambda name: _core.storage_elems(aliases.shapes[name]),
        )
    )
