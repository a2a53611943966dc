"""Large batches: the first stages of a network run a few images at a time.

There the maps are large and the weights small. So the maps of few images stay in a cache from layer
to layer, and the arena holds those of few images; the later layers, whose weights are large, read
them once for the whole batch. The bits of a row do not depend on its batch, nor on this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from pycnn.graph import Graph
from pycnn.opset import OPS, Shape
from pycnn.planner import Lifetime

__all__ = ["Split", "Sweep", "split_batch"]

# Below this the arena lies in the caches anyway, and more barriers only cost.
_SMALL_ARENA_BYTES = 4 << 20
_MAX_PARTS = 32


class Sweep(NamedTuple):
    """The stages ``[begin, end)`` for `images` images from the image `first` on."""

    first: int
    images: int
    begin: int
    end: int


class Split(NamedTuple):
    """How a batch goes through a network.

    Attributes
    ----------
    batch
        Images of the batch.
    part
        Images of a part.
    stages
        The stages before this one go part by part; -1 where none does.
    """

    batch: int
    part: int
    stages: int

    def sweeps(self, end: int) -> list[Sweep]:
        """All stages from -1 to before `end`, in the order in which they run."""
        if self.stages < 0:
            return [Sweep(0, self.batch, -1, end)]
        parts = [
            Sweep(first, min(self.part, self.batch - first), -1, self.stages)
            for first in range(0, self.batch, self.part)
        ]
        return [*parts, Sweep(0, self.batch, self.stages, end)]

    def is_whole(self, lifetime: Lifetime) -> bool:
        """Whether a buffer holds all images at once, and not those of one part."""
        return lifetime.last >= self.stages

    def lifetime(self, lifetime: Lifetime) -> Lifetime:
        """Of a buffer in this order, where `lifetime` is that for all images at once."""
        if not self.is_whole(lifetime):
            return lifetime._replace(size=lifetime.size // self.batch * self.part)
        # What the parts leave for later is there from the first part on.
        return lifetime._replace(first=-1) if lifetime.first < self.stages else lifetime


def split_batch(
    graph: Graph,
    shapes: Mapping[str, Shape],
    stages: Mapping[str, int],
    lifetimes: Mapping[str, Lifetime],
    threads: int | None,
) -> Split:
    """Choose where the whole batch comes together: where the arena is smallest.

    But before the first stage whose weights, which each part reads again, are more than its maps.

    Parameters
    ----------
    graph, shapes
        After :func:`pycnn.passes.specialize`, and the shapes of all values.
    stages
        Node -> stage.
    lifetimes
        Of the buffers for all images at once, sizes in elements.
    threads
        A part has an image for each. None: all images at once.
    """
    batch = max(shapes[name][0] for name in graph.inputs)
    whole = Split(batch, batch, -1)
    if threads is None:
        return whole
    part = max(2, threads, -(-batch // _MAX_PARTS))
    buffers = lifetimes.values()
    if part >= batch or 4 * _needed(buffers, whole) < _SMALL_ARENA_BYTES:
        return whole
    limit = _first_heavy_stage(graph, shapes, stages, batch, part)
    choices = [whole, *(Split(batch, part, stage) for stage in range(1, limit + 1))]
    return min(choices, key=lambda split: _needed(buffers, split))


def _first_heavy_stage(
    graph: Graph, shapes: Mapping[str, Shape], stages: Mapping[str, int], batch: int, part: int
) -> int:
    """The first stage that must see the whole batch."""
    spare: dict[int, int] = {}  # bytes of a part's maps less those of the weights
    for node in graph.nodes:
        values = {*node.inputs, node.name}
        if any(shapes[name][0] != batch for name in values):
            spare[stages[node.name]] = -1
            break
        spec = OPS[node.op]
        maps = 4 * part * sum(c * h * w for _, c, h, w in map(shapes.__getitem__, values))
        weights = spec.packed_bytes(node.attrs, graph.param_shapes(node)) if spec.pack else 0
        spare[stages[node.name]] = spare.get(stages[node.name], 0) + maps - weights
    return min((stage for stage, left in spare.items() if left < 0), default=max(spare) + 1)


def _needed(lifetimes: Iterable[Lifetime], split: Split) -> int:
    """Elements that live at once, at most."""
    changes: Counter[int] = Counter()
    for size, first, last in map(split.lifetime, lifetimes):
        changes[first] += size
        changes[last + 1] -= size
    return max(accumulate(changes[stage] for stage in sorted(changes)), default=0)
