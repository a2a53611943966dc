"""Which channels, rows and columns of its input an op of the engine's `gather` takes.

``*_sizes`` give how many of each axis (C, H, W) of a shape (N, C, H, W), and refuse what cannot be;
``*_indices`` give which, -1 for the op's value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pycnn.errors import ShapeError

Attrs = Mapping[str, Any]
Indices = tuple[Sequence[int], Sequence[int], Sequence[int]]

# Beyond it a size comes from a damaged file; a list of so many indices is still made quickly.
_MAX_PADDED = 1 << 20


def _margins(attrs: Attrs, shape: Sequence[int]) -> list[tuple[int, int, int]]:
    """(size, before, after) of each axis."""
    top, bottom, left, right = attrs["padding"]
    margins = (attrs["channels"], (top, bottom), (left, right))
    return [(size, *margin) for size, margin in zip(shape[1:], margins, strict=True)]


def pad_sizes(attrs: Attrs, shape: Sequence[int]) -> Sequence[int]:
    """Sizes with `padding` and `channels` added before and after; negative ones crop."""
    mode = attrs["mode"]
    if mode not in ("constant", "reflect", "edge"):
        raise ShapeError(f"pad: mode {mode!r} is not one of 'constant', 'reflect', 'edge'")
    for size, before, after in _margins(attrs, shape):
        if before + size + after > _MAX_PADDED or max(-before, -after) >= size:
            raise ShapeError(f"pad: {before} before and {after} after an axis of {size}")
        if mode == "reflect" and max(before, after) >= size:
            raise ShapeError(f"pad: a reflection of {max(before, after)} of an axis of {size}")
    return [before + size + after for size, before, after in _margins(attrs, shape)]


def pad_indices(attrs: Attrs, shape: Sequence[int]) -> Indices:
    """Say what stands where in a padded image, by its `mode`."""
    axes = [_padded_axis(*margin, attrs["mode"]) for margin in _margins(attrs, shape)]
    return axes[0], axes[1], axes[2]


def _padded_axis(size: int, before: int, after: int, mode: str) -> Sequence[int]:
    """Index of the input at each place of a padded axis; negative padding crops."""
    places = np.arange(-before, size + after)
    if mode == "constant":
        places[(places < 0) | (places >= size)] = -1
    elif mode == "reflect":  # the edge is not repeated
        places = (size - 1) - np.abs((size - 1) - np.abs(places))
    else:  # the edge
        places = places.clip(0, size - 1)
    return places.tolist()


def slice_indices(attrs: Attrs, shape: Sequence[int]) -> Indices:
    """Take `bounds`, (start, stop, step) of each axis."""
    channels, rows, columns = (
        range(*slice(*bounds).indices(size))
        for size, bounds in zip(shape[1:], attrs["bounds"], strict=True)
    )
    return channels, rows, columns


def slice_sizes(attrs: Attrs, shape: Sequence[int]) -> Sequence[int]:
    """Count them."""
    return [len(axis) for axis in slice_indices(attrs, shape)]


def gather_sizes(attrs: Attrs, shape: Sequence[int]) -> Sequence[int]:
    """Take as many channels as there are `indices`, each of which must exist."""
    for index in attrs["indices"]:
        if not 0 <= index < shape[1]:
            raise ShapeError(f"gather: channel {index} of {shape[1]}")
    return [len(attrs["indices"]), *shape[2:]]


def gather_indices(attrs: Attrs, shape: Sequence[int]) -> Indices:
    """Take the channels `indices`, whole."""
    return attrs["indices"], range(shape[2]), range(shape[3])
