"""Lifetimes to offsets: where each buffer lies in the one arena of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Lifetime(NamedTuple):
    """A buffer of `size` elements, alive from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


def plan(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Give each buffer an offset so that no two that live at the same time overlap.

    Greedy by size: the largest buffer first, each at the lowest offset where it fits between those
    placed already that live at the same time. A pure function.

    Returns
    -------
    offsets : list of int
        In elements, in the order of `lifetimes`.
    total : int
        Size of the arena in elements.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    order = sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].size, lifetimes[i].first))
    for i in order:
        size, first, last = lifetimes[i]
        offset = 0
        alive = [j for j in placed if lifetimes[j].first <= last and first <= lifetimes[j].last]
        for j in sorted(alive, key=lambda j: offsets[j]):
            if offset + size <= offsets[j]:
                break
            offset = max(offset, offsets[j] + lifetimes[j].size)
        offsets[i] = offset
        placed.append(i)
    total = max((offsets[i] + b.size for i, b in enumerate(lifetimes)), default=0)
    return offsets, total
