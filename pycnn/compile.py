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
from pycnn.split import Split, Sweep, split_batch

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
    threads: int | None = None,
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
    threads
        How many a run will have: a large batch is split for them (:mod:`pycnn.split`). None: all
        images at once.

    Raises
    ------
    ShapeError
        When the network cannot take this input shape.
    """
    shapes = graph.shapes(inputs)
    graph = specialize(graph, shapes, tuning)
    layout = _Layout.of(graph, shapes, threads)
    stages = layout.stages
    outputs = last_stage(stages)

    program = _core.Program(
        layout.arena,
        [_core.storage_elems(shapes[name], blocked=False) for name in inputs],
        [_core.storage_elems(shapes[name], blocked=False) for name in graph.outputs.values()],
    )
    buffer_of = {name: 1 + i for i, name in enumerate(inputs)}
    nodes = [node for node in graph.nodes if node.name in layout.aliases.moved]
    nodes.sort(key=lambda node: stages[node.name])
    before = 1  # stages of the program before stage 0 of this sweep
    for sweep in layout.split.sweeps(outputs):
        for name in layout.converted if sweep.begin < 0 else ():
            source = layout.plain_ref(buffer_of[name], name, sweep)
            program.add(name, _core.layout_task(source, layout.ref(name, sweep), isa), before - 1)
        for node in nodes:
            if not sweep.begin <= stages[node.name] < sweep.end:
                continue
            spec, attrs = OPS[node.op], node.attrs
            if node.op == "concat":
                attrs = {**attrs, "in_place": layout.aliases.in_place[node.name]}
            sources = [
                layout.plain_ref(buffer_of[name], name, sweep)
                if name in buffer_of and i == 0 and _reads_plain(node)
                else layout.ref(name, sweep)
                for i, name in enumerate(node.inputs)
            ]
            weights = packed(node) if spec.pack else None
            for task in spec.tasks(attrs, sources, weights, layout.ref(node.name, sweep), isa):
                program.add(node.name, task, before + stages[node.name])
        before += sweep.end + 1
    for i, (public, name) in enumerate(graph.outputs.items()):
        target = layout.plain_ref(1 + len(inputs) + i, name)
        program.add(public, _core.layout_task(layout.ref(name), target, isa), before + outputs)
    return Plan(program, dict(inputs), output_shapes(graph, shapes), graph)


def activation_elems(graph: Graph, shapes: Mapping[str, Shape], threads: int) -> int:
    """Elements of memory of a run of what :func:`compile_graph` would plan, without compiling.

    `graph` is after `passes.specialize`, `shapes` are those of all values.
    """
    layout = _Layout.of(graph, shapes, threads)
    workspaces = [
        OPS[node.op].workspace_elems(
            node.attrs, layout.largest_inputs(node), graph.param_shapes(node)
        )
        for node in graph.nodes
    ]
    return layout.arena + threads * max(workspaces, default=0)


def _reads_plain(node: Node) -> bool:
    return OPS[node.op].reads_plain


@dataclass(frozen=True)
class _Layout:
    """Which steps come when, and where each value lies.

    Attributes
    ----------
    stages
        Node -> stage.
    converted
        Inputs that lie in the arena too, in the layout of the kernels.
    whole
        Buffers that hold all images at once.
    offset_of
        Buffer -> its first element in the arena.
    arena
        Elements.
    """

    shapes: Mapping[str, Shape]
    aliases: Aliases
    stages: Mapping[str, int]
    converted: list[str]
    split: Split
    whole: set[str]
    offset_of: dict[str, int]
    arena: int

    @classmethod
    def of(cls, graph: Graph, shapes: Mapping[str, Shape], threads: int | None) -> _Layout:
        aliases = Aliases(graph, shapes, _core.CHANNEL_BLOCK)
        stages = stages_of(graph, aliases)
        converted = inputs_to_convert(graph, _reads_plain)
        lifetimes = lifetimes_of(
            graph, aliases, converted, stages, lambda name: _core.storage_elems(shapes[name])
        )
        split = split_batch(graph, shapes, stages, lifetimes, threads)
        whole = {name for name, lifetime in lifetimes.items() if split.is_whole(lifetime)}
        offset_of, arena = place(
            {name: split.lifetime(lifetime) for name, lifetime in lifetimes.items()}
        )
        return cls(shapes, aliases, stages, converted, split, whole, offset_of, arena)

    def largest_inputs(self, node: Node) -> list[Shape]:
        """Shapes of what a node reads at once."""
        shapes = [self.shapes[name] for name in node.inputs]
        if self.stages[node.name] >= self.split.stages:
            return shapes
        return [(self.split.part, c, h, w) for _, c, h, w in shapes]

    def ref(self, name: str, sweep: Sweep | None = None) -> _core.TensorRef:
        """Where a value lies in the arena; with a sweep, its images of it."""
        root, channel = self.aliases.resolve(name)
        n, c, h, w = self.shapes[name]
        start = channel // _core.CHANNEL_BLOCK * h * w * _core.CHANNEL_BLOCK
        if sweep is not None and sweep.images < self.split.batch:
            n = sweep.images
            if root in self.whole:
                start += sweep.first * _core.storage_elems((1, *self.shapes[root][1:]))
        channels = self.shapes[root][1]
        return _core.TensorRef(
            0, self.offset_of[root] + start, (n, c, h, w), buffer_channels=channels
        )

    def plain_ref(self, buffer: int, name: str, sweep: Sweep | None = None) -> _core.TensorRef:
        """A value of the caller's, in a buffer of its own."""
        n, c, h, w = self.shapes[name]
        start = 0
        if sweep is not None and sweep.images < self.split.batch:
            n, start = sweep.images, sweep.first * c * h * w
        return _core.TensorRef(buffer, start, (n, c, h, w), blocked=False)
