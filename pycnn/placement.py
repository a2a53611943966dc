"""What compilers for every device share: which values lie in one buffer, when buffers live, where.

A buffer lives by stages, not by steps: the steps of a stage may run side by side, so none of them
may overwrite what another one still reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pycnn.graph import Graph, Node
from pycnn.opset import Shape
from pycnn.planner import Lifetime, plan

Key = TypeVar("Key", bound=Hashable)


@dataclass
class _Storage:
    """A buffer of the arena, whole or the slice of it that a value takes."""

    root: str  # the value that owns the buffer
    channel: int = 0  # first channel of the slice


class Aliases:
    """Which values share memory: concatenations written in place, flattens that move nothing.

    Parameters
    ----------
    graph, shapes
        The network, and the shapes of all its values.
    block
        Slices of a concatenation begin and end at a multiple of so many channels; its last one ends
        anywhere.
    """

    def __init__(self, graph: Graph, shapes: Mapping[str, Shape], block: int) -> None:
        self.shapes = shapes
        self._block = block
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
        self._slices = Counter(storage.root for storage in self._storage.values())
        # Outer concatenations first, so that inner ones are placed inside them.
        for node in reversed(graph.nodes):
            if node.op == "concat":
                self._place_members(graph, node)

    def _place_members(self, graph: Graph, node: Node) -> None:
        channel, placed, uses = 0, [], Counter(node.inputs)
        for i, member in enumerate(node.inputs):
            channels = self.shapes[member][1]
            last = i == len(node.inputs) - 1
            # A kernel writes whole blocks, so the slice must begin and end at one, or be the last.
            if (
                channel % self._block == 0
                and (channels % self._block == 0 or last)
                and member not in graph.inputs
                and self._storage[member].root == member
                and self._slices[member] == 1  # its own
                and uses[member] == 1
            ):
                self._storage[member] = _Storage(node.name, channel)
                self._slices[member] -= 1
                self._slices[node.name] += 1
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


def stages_of(graph: Graph, aliases: Aliases) -> dict[str, int]:
    """Node -> stage: one after the last of its inputs.

    So the branches of an inception module or a projection shortcut run side by side. A node that
    moves nothing stays in the stage of its inputs. Inputs are converted in stage -1.
    """
    stages: dict[str, int] = {}
    for node in graph.nodes:
        after = max((stages.get(name, -1) for name in node.inputs), default=-1)
        in_place = aliases.in_place.get(node.name, ())
        works = node.name in aliases.moved and len(in_place) < len(node.inputs)
        stages[node.name] = after + works
    return stages


def last_stage(stages: Mapping[str, int]) -> int:
    """The stage in which outputs are converted."""
    return max(stages.values(), default=-1) + 1


def lifetimes_of(
    graph: Graph,
    aliases: Aliases,
    converted: Sequence[str],
    stages: Mapping[str, int],
    size_of: Callable[[str], int],
) -> dict[str, Lifetime]:
    """Lifetime of each buffer, by the value that owns it.

    Parameters
    ----------
    converted
        The inputs that lie in the arena, in the layout of the kernels.
    size_of
        Size of an owner's buffer, in whatever unit.
    """
    spans: dict[str, tuple[int, int]] = {}

    def touch(name: str, stage: int) -> None:
        root, _ = aliases.resolve(name)
        first, last = spans.get(root, (stage, stage))
        spans[root] = (min(first, stage), max(last, stage))

    for name in converted:
        touch(name, -1)
    for node in graph.nodes:
        touch(node.name, stages[node.name])
        for name in node.inputs:
            if name not in graph.inputs or name in converted:
                touch(name, stages[node.name])
    for name in graph.outputs.values():
        touch(name, last_stage(stages))
    return {name: Lifetime(size_of(name), *span) for name, span in spans.items()}


def place(lifetimes: Mapping[Key, Lifetime]) -> tuple[dict[Key, int], int]:
    """Offset of each buffer of the arena, and the arena's size."""
    offsets, arena = plan(list(lifetimes.values()))
    return dict(zip(lifetimes, offsets, strict=True)), arena


def inputs_to_convert(graph: Graph, reads_plain: Callable[[Node], bool]) -> list[str]:
    """Inputs that something other than the first operand of a node that `reads_plain` reads."""
    needed = set(graph.outputs.values())
    for node in graph.nodes:
        needed.update(node.inputs[1:] if reads_plain(node) else node.inputs)
    return [name for name in graph.inputs if name in needed]


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


def output_shapes(graph: Graph, shapes: Mapping[str, Shape]) -> dict[str, tuple[int, ...]]:
    """Shape of each output, by public name, as the user sees it: ``(N, C)`` for vectors."""
    flat = vectors(graph)
    return {
        public: shapes[name][:2] if name in flat else shapes[name]
        for public, name in graph.outputs.items()
    }
