"""Graph + input shape -> Plan: a `_core.Program` with every tensor's place in one arena."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn import _core
from pycnn.graph import Graph, Node
from pycnn.opset import DEFAULT_TUNING, OPS, Array, Shape, Tuning
from pycnn.passes.choose_algorithms import choose_algorithms
from pycnn.planner import Lifetime, plan

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

        A step's time ends when all threads have done their part. Inputs and outputs whose layout
        changes are steps too, under their own names.
        """
        outputs = list(self._new_outputs().values())
        seconds = self.program.profile(list(inputs), outputs, threads)
        return list(zip(self.program.names, seconds, strict=True))

    def _new_outputs(self) -> dict[str, Array]:
        return {name: np.empty(shape, np.float32) for name, shape in self.outputs.items()}


@dataclass
class _Storage:
    """A buffer of the arena, whole or the slice of it that a value takes."""

    root: str  # the value that owns the buffer
    channel: int = 0  # first channel of the slice


class _Layout:
    """Which values share memory: concatenations written in place, flattens that move nothing."""

    def __init__(self, graph: Graph, shapes: Mapping[str, Shape]) -> None:
        self.shapes = shapes
        self._storage = {name: _Storage(name) for name in graph.names()}
        self.in_place: dict[str, tuple[int, ...]] = {}
        self.moved = {node.name for node in graph.nodes}
        for node in graph.nodes:
            source = node.inputs[0]
            if (
                node.op == "flatten"
                and shapes[source] == shapes[node.name]
                and source not in graph.inputs
            ):
                self._storage[node.name] = _Storage(source)
                self.moved.discard(node.name)
        # Outer concatenations first, so that inner ones are placed inside them.
        for node in reversed(graph.nodes):
            if node.op == "concat":
                self._place_members(graph, node)

    def _place_members(self, graph: Graph, node: Node) -> None:
        block = _core.CHANNEL_BLOCK
        channel, placed = 0, []
        for i, member in enumerate(node.inputs):
            channels = self.shapes[member][1]
            last = i == len(node.inputs) - 1
            # A kernel writes whole blocks, so the slice must begin and end at one, or be the last.
            if (
                channel % block == 0
                and (channels % block == 0 or last)
                and member not in graph.inputs
                and self._storage[member].root == member
                and not any(
                    storage.root == member
                    for name, storage in self._storage.items()
                    if name != member
                )
                and node.inputs.count(member) == 1
            ):
                self._storage[member] = _Storage(node.name, channel)
                placed.append(i)
            channel += channels
        self.in_place[node.name] = tuple(placed)

    def resolve(self, name: str) -> tuple[str, int]:
        """Return the value that owns the buffer of `name`, and its first channel there."""
        channel = 0
        while self._storage[name].root != name:
            channel += self._storage[name].channel
            name = self._storage[name].root
        return name, channel


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
    graph = choose_algorithms(graph, shapes, tuning)
    layout = _Layout(graph, shapes)
    blocked_inputs = _inputs_needed_blocked(graph)
    stages = _stages(graph, layout)
    offset_of, arena = _place(graph, layout, blocked_inputs, stages)

    program = _core.Program(
        arena,
        [_core.storage_elems(shapes[name], blocked=False) for name in inputs],
        [_core.storage_elems(shapes[name], blocked=False) for name in graph.outputs.values()],
    )
    plain = {name: 1 + i for i, name in enumerate(inputs)}

    def ref(name: str) -> _core.TensorRef:
        root, channel = layout.resolve(name)
        shape = shapes[name]
        start = channel // _core.CHANNEL_BLOCK * shape[2] * shape[3] * _core.CHANNEL_BLOCK
        return _core.TensorRef(0, offset_of[root] + start, shape, buffer_channels=shapes[root][1])

    def plain_ref(buffer: int, shape: Shape) -> _core.TensorRef:
        return _core.TensorRef(buffer, 0, shape, blocked=False)

    for name in blocked_inputs:
        task = _core.layout_task(plain_ref(plain[name], shapes[name]), ref(name), isa)
        program.add(name, task, -1)
    for node in sorted(graph.nodes, key=lambda node: stages[node.name]):
        if node.name not in layout.moved:
            continue
        spec, attrs = OPS[node.op], node.attrs
        if node.op == "concat":
            attrs = {**attrs, "in_place": layout.in_place[node.name]}
        sources = [
            plain_ref(plain[name], shapes[name])
            if name in plain and i == 0 and spec.reads_plain
            else ref(name)
            for i, name in enumerate(node.inputs)
        ]
        weights = packed(node) if spec.pack else None
        for task in spec.tasks(attrs, sources, weights, ref(node.name), isa):
            program.add(node.name, task, stages[node.name])
    outputs: dict[str, tuple[int, ...]] = {}
    flat = vectors(graph)
    for i, (public, name) in enumerate(graph.outputs.items()):
        shape = shapes[name]
        target = plain_ref(1 + len(inputs) + i, shape)
        program.add(public, _core.layout_task(ref(name), target, isa), _last(stages))
        outputs[public] = shape[:2] if name in flat else shape
    return Plan(program, dict(inputs), outputs, graph)


def arena_elems(graph: Graph, inputs: Mapping[str, Shape]) -> int:
    """Elements of the arena that :func:`compile_graph` would plan, without compiling."""
    layout = _Layout(graph, graph.shapes(inputs))
    return _place(graph, layout, _inputs_needed_blocked(graph), _stages(graph, layout))[1]


def workspace_elems(graph: Graph, shapes: Mapping[str, Shape]) -> int:
    """Elements that each thread of a run needs beside the arena.

    `graph` is after `choose_algorithms`, `shapes` are those of all values.
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


def vectors(graph: Graph) -> set[str]:
    """Values that are ``(N, C)`` to the user: made by a flatten or a linear layer, and after it."""
    found: set[str] = set()
    for node in graph.nodes:
        makes_images = "pool" in node.op or node.op in ("conv2d", "permute")
        if node.op in ("flatten", "linear", "rbf") or (
            not makes_images and all(source in found for source in node.inputs)
        ):
            found.add(node.name)
    return found


def _inputs_needed_blocked(graph: Graph) -> list[str]:
    """Inputs that something other than the first operand of a convolution reads."""
    needed = set(graph.outputs.values())
    for node in graph.nodes:
        needed.update(node.inputs[1:] if OPS[node.op].reads_plain else node.inputs)
    return [name for name in graph.inputs if name in needed]


def _stages(graph: Graph, layout: _Layout) -> dict[str, int]:
    """Node -> stage: one after the last of its inputs.

    So the branches of an inception module or a projection shortcut run side by side. A node that
    moves nothing stays in the stage of its inputs. Inputs are converted in stage -1.
    """
    stages: dict[str, int] = {}
    for node in graph.nodes:
        after = max((stages.get(name, -1) for name in node.inputs), default=-1)
        in_place = layout.in_place.get(node.name, ())
        works = node.name in layout.moved and len(in_place) < len(node.inputs)
        stages[node.name] = after + works
    return stages


def _last(stages: Mapping[str, int]) -> int:
    """The stage in which outputs are converted."""
    return max(stages.values(), default=-1) + 1


def _place(
    graph: Graph,
    layout: _Layout,
    blocked_inputs: Sequence[str],
    stages: Mapping[str, int],
) -> tuple[dict[str, int], int]:
    """Offset of each buffer of the arena, and the arena's size, in elements.

    Buffers live by stages: what one task of a stage reads last, no other one of it overwrites.
    """
    spans: dict[str, tuple[int, int]] = {}

    def touch(name: str, step: int) -> None:
        root, _ = layout.resolve(name)
        first, last = spans.get(root, (step, step))
        spans[root] = (min(first, step), max(last, step))

    for name in blocked_inputs:
        touch(name, -1)
    for node in graph.nodes:
        touch(node.name, stages[node.name])
        for name in node.inputs:
            if name not in graph.inputs or name in blocked_inputs:
                touch(name, stages[node.name])
    for name in graph.outputs.values():
        touch(name, _last(stages))
    offsets, arena = plan(
        [Lifetime(_core.storage_elems(layout.shapes[name]), *span) for name, span in spans.items()]
    )
    return dict(zip(spans, offsets, strict=True)), arena
