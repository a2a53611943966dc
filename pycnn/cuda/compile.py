"""Graph + input shape -> Plan for a GPU, in two steps.

`lay_out` decides everything, in Python alone: algorithms, stages, and where each tensor and each
workspace lies. `build` puts the parameters into device memory and makes the program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from pycnn.cuda.device import Target, itemsize_of
from pycnn.cuda.opset import DEVICE_OPS, Choice, Packed, weight_shape
from pycnn.graph import Graph, Node
from pycnn.opset import Array, Shape
from pycnn.placement import (
    Aliases,
    inputs_to_convert,
    last_stage,
    lifetimes_of,
    output_shapes,
    place,
    stages_of,
)
from pycnn.planner import Lifetime

Packer = Callable[[Node, Choice], Packed]

_ALIGNMENT = 256  # bytes, of every buffer


class Place(NamedTuple):
    """Where a tensor lies: bytes into a buffer (0 is the arena, then inputs, then outputs).

    A pitch of 0 is dense NCHW, any other the elements from one pixel of NHWC to the next.
    """

    buffer: int
    offset_bytes: int
    shape: Shape
    pitch: int
    dtype: str


class Step(NamedTuple):
    """One node, or the change of layout of an input or output (`node` is None)."""

    name: str
    node: Node | None
    stage: int
    inputs: tuple[Place, ...]
    output: Place
    choice: Choice = None
    workspace_offset: int = 0


@dataclass(frozen=True)
class Layout:
    """What will run, and where everything lies; made without touching a device.

    Attributes
    ----------
    steps
        In the order in which they are queued; those of one stage may run side by side.
    arena_bytes
        All tensors and workspaces that the program keeps to itself.
    inputs, input_dtypes
        Name -> shape, and what is stored there.
    outputs
        Public name -> shape as the user sees it.
    graph
        What was laid out; its nodes name the steps.
    """

    steps: tuple[Step, ...]
    arena_bytes: int
    inputs: dict[str, Shape]
    input_dtypes: dict[str, str]
    outputs: dict[str, tuple[int, ...]]
    graph: Graph


def lay_out(
    graph: Graph,
    inputs: Mapping[str, Shape],
    target: Target,
    input_dtypes: Mapping[str, str] | None = None,
) -> Layout:
    """Lay a graph out for one shape of its inputs.

    Parameters
    ----------
    graph
        After :func:`pycnn.passes.optimize`, with the outputs that are wanted and nothing else.
    inputs
        Name -> ``(N, C, H, W)``.
    target
        Device and precision.
    input_dtypes
        What the caller's inputs are stored as; float32 by default.

    Raises
    ------
    ShapeError
        When the network cannot take this input shape.
    UnsupportedError
        When a forced algorithm cannot do it.
    """
    dtypes = {name: (input_dtypes or {}).get(name, "float32") for name in inputs}
    shapes = graph.shapes(inputs)
    graph = _without_flattens(graph)
    aliases = Aliases(graph, shapes, target.vector)

    def reads_plain(node: Node) -> bool:
        source = node.inputs[0]
        return (
            node.op == "conv2d"
            and node.attrs["groups"] == 1
            and dtypes.get(source, "float32") == "float32"
        )

    converted = inputs_to_convert(graph, reads_plain)
    stages = stages_of(graph, aliases)
    choices = {
        node.name: choose(
            target,
            node,
            shapes[node.inputs[0]],
            weight_shape(node, graph.param_shapes(node), shapes[node.inputs[0]]),
            node.inputs[0] in inputs and reads_plain(node),
        )
        for node in graph.nodes
        if (choose := DEVICE_OPS[node.op].choose) is not None
    }

    def pitch_of(name: str) -> int:
        return _up(shapes[aliases.resolve(name)[0]][1], target.vector)

    def bytes_of(name: str) -> int:
        n, _, h, w = shapes[name]
        return _up(n * h * w * pitch_of(name) * target.itemsize, _ALIGNMENT)

    lifetimes = lifetimes_of(graph, aliases, converted, stages, bytes_of)
    workspaces = {
        (name,): Lifetime(_up(choice.workspace_bytes, _ALIGNMENT), stages[name], stages[name])
        for name, choice in choices.items()
    }
    offsets, arena = place({**lifetimes, **workspaces})

    def at(name: str) -> Place:
        root, channel = aliases.resolve(name)
        start = offsets[root] + channel * target.itemsize
        return Place(0, start, shapes[name], pitch_of(name), target.dtype)

    plain = {
        name: Place(1 + i, 0, shape, 0, dtypes[name])
        for i, (name, shape) in enumerate(inputs.items())
    }
    steps = [Step(name, None, -1, (plain[name],), at(name)) for name in converted]
    for node in sorted(graph.nodes, key=lambda node: stages[node.name]):
        if node.name not in aliases.moved:
            continue
        if node.op == "concat":
            node = replace(node, attrs={**node.attrs, "in_place": aliases.in_place[node.name]})
        sources = tuple(
            plain[name] if name in plain and i == 0 and reads_plain(node) else at(name)
            for i, name in enumerate(node.inputs)
        )
        steps.append(
            Step(
                node.name,
                node,
                stages[node.name],
                sources,
                at(node.name),
                choices.get(node.name),
                offsets.get((node.name,), 0),
            )
        )
    for i, (public, name) in enumerate(graph.outputs.items()):
        target_place = Place(1 + len(inputs) + i, 0, shapes[name], 0, "float32")
        steps.append(Step(public, None, last_stage(stages), (at(name),), target_place))
    return Layout(tuple(steps), arena, dict(inputs), dtypes, output_shapes(graph, shapes), graph)


@dataclass(frozen=True)
class Plan:
    """A network on a device, compiled for one input shape.

    Attributes
    ----------
    program
        The `_cuda.Program`.
    layout
        What it runs, and where everything lies.
    target
        Device and precision.
    """

    program: Any
    layout: Layout
    target: Target

    @property
    def inputs(self) -> dict[str, Shape]:
        """Name -> shape."""
        return self.layout.inputs

    def submit(self, inputs: Sequence[Array], poison: int | None = None) -> Any:
        """Begin a run on arrays of the host; they may be changed when this returns."""
        return self.program.submit(list(inputs), poison)

    def collect(self, ticket: Any) -> dict[str, Array]:
        """Wait for a run that was begun, and return its outputs as new arrays."""
        outputs = {name: np.empty(shape, np.float32) for name, shape in self.layout.outputs.items()}
        self.program.collect(ticket, list(outputs.values()))
        return outputs

    def enqueue(self, addresses: Sequence[int], stream: int) -> dict[str, Any]:
        """Queue a run on device memory; new `_cuda.DeviceTensor`s come out at once."""
        outputs = {
            name: self.target.cuda.DeviceTensor.empty(shape, self.target.index, stream)
            for name, shape in self.layout.outputs.items()
        }
        results = [tensor.address for tensor in outputs.values()]
        self.program.enqueue(list(addresses), results, stream)
        return outputs

    def profile(self, inputs: Sequence[Array]) -> list[tuple[str, float]]:
        """Run step after step; the seconds of each, under the name of its node.

        Inputs and outputs whose layout changes are steps too, under their own names.
        """
        seconds = self.program.profile(list(inputs))
        return list(zip(self.program.names, seconds, strict=True))


def build(layout: Layout, packed: Packer, target: Target) -> Plan:
    """Make the program.

    Parameters
    ----------
    layout
        What `lay_out` gave for this target.
    packed
        Gives a node's parameters in device memory, for its choice of algorithm; the caller keeps
        them, plans share them.
    """
    cuda = target.cuda
    program = cuda.Program(
        target.index,
        target.overlap,
        layout.arena_bytes,
        [
            math.prod(shape) * itemsize_of(layout.input_dtypes[name])
            for name, shape in layout.inputs.items()
        ],
        [math.prod(shape) * itemsize_of("float32") for shape in layout.outputs.values()],
    )
    for step in layout.steps:
        inputs = [cuda.TensorRef(*place) for place in step.inputs]
        output = cuda.TensorRef(*step.output)
        if step.node is None:
            tasks = [cuda.layout_task(inputs[0], output)]
        else:
            row, node = DEVICE_OPS[step.node.op], step.node
            parameters = packed(node, step.choice) if row.pack is not None else None
            tasks = row.tasks(target, node.attrs, inputs, parameters, step.choice, output)
        for task in tasks:
            program.add(step.name, task, step.stage, step.workspace_offset)
    return Plan(program, layout, target)


def _without_flattens(graph: Graph) -> Graph:
    """Let linear layers read images: their filter is then as large as the image (csrc/cuda)."""
    flattens = {node.name: node.inputs[0] for node in graph.nodes if node.op == "flatten"}
    nodes = [
        replace(node, inputs=(flattens[node.inputs[0]],))
        if node.op == "linear" and node.inputs[0] in flattens
        else node
        for node in graph.nodes
    ]
    return graph.with_nodes(nodes).with_outputs(graph.outputs)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
