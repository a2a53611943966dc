"""A short chain of layers as LeCun et al. 1998 and Krizhevsky et al. 2012 draw theirs: volumes.

Each volume is what a layer gives: as high and as deep into the page as the image (by the square
root), as wide as it has channels (by the logarithm). A small square is a filter or window, and the
lines from it lead to the unit that it gives.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pycnn.inside.draw.canvas import NAME_PX, Canvas
from pycnn.inside.draw.cells import INPUT, Cell

__all__ = ["fits", "page"]

_MOST = 12  # volumes side by side, at a width at which their labels can be read
_NARROWEST, _WIDEST = 78.0, 125.0  # from volume to volume
_TALLEST = 130.0
_LEAN = 0.32  # of the side: how far a volume reaches into the page, to the right and up
_ABOVE, _BELOW = 26.0, 64.0


@dataclass(frozen=True)
class _Volume:
    cell: Cell
    width: float
    side: float  # height; a vector's is its length, by the logarithm
    lean: float


def fits(cells: Sequence[Cell]) -> bool:
    """Whether boxes are a chain that is short enough."""
    chain = all(cell.inputs == (before.name,) for before, cell in itertools.pairwise(cells))
    return chain and len(_volumes(cells)) <= _MOST


def page(canvas: Canvas, cells: Sequence[Cell], left: float, top: float) -> tuple[float, float]:
    """Draw the chain; returns its width and height."""
    volumes = _volumes(cells)
    pitch = min(_WIDEST, max(_NARROWEST, 960 / len(volumes)))
    middle = top + _ABOVE + _TALLEST * (1 + _LEAN) / 2 + 10
    places = [left + 8 + i * pitch for i in range(len(volumes))]
    passed = [cell for cell in cells if cell not in [volume.cell for volume in volumes]]
    for i, (x, volume) in enumerate(zip(places, volumes, strict=True)):
        _draw(canvas, volume, x, middle)
        if i > 0:
            _lines(canvas, volumes[i - 1], places[i - 1], volume, x, middle)
        foot = top + _ABOVE + _TALLEST * (1 + _LEAN) + 34
        centre = x + volume.width / 2 + volume.lean / 2
        canvas.text(centre, foot, _size(volume.cell), 10.5, bold=True, within=pitch - 6)
        canvas.text(centre, foot + 13, volume.cell.name, NAME_PX, fill="#555", within=pitch - 6)
        if volume.cell.op != INPUT:
            # Over the way from the volume before, by turns higher and lower.
            between = (places[i - 1] + volumes[i - 1].width + x + volume.lean) / 2
            line = top + 12 + 14 * (i % 2)
            canvas.text(between, line, _what(volume.cell, passed), 10, fill="#333")
    width = places[-1] + pitch - left
    return width, _ABOVE + _TALLEST * (1 + _LEAN) + _BELOW


def _volumes(cells: Sequence[Cell]) -> list[_Volume]:
    """Those boxes that change the shape, or multiply."""
    kept = [
        cell
        for before, cell in zip([None, *cells], cells, strict=False)
        if before is None or cell.shape != before.shape or cell.op in ("conv2d", "linear", "rbf")
    ]
    tallest = max(cell.shape[2] for cell in cells)
    volumes = []
    for cell in kept:
        _, c, h, w = cell.shape
        if (h, w) == (1, 1):
            volumes.append(_Volume(cell, 9.0, 18 + 8.5 * math.log2(c), 5.0))
        else:
            side = _TALLEST * math.sqrt(h / tallest)
            width = 5.0 + 4.6 * math.log2(c)
            volumes.append(_Volume(cell, width, side, _LEAN * side * w / h))
    return volumes


def _size(cell: Cell) -> str:
    """Channels@HxW, as LeCun et al. write it."""
    _, c, h, w = cell.shape
    return f"{c}" if (h, w) == (1, 1) else f"{c}@{h}x{w}"


def _what(cell: Cell, passed: Sequence[Cell]) -> str:
    """The op and what stood between, without the channels, which the volume has."""
    label = ", ".join(part for part in cell.label.split(", ") if not part.isdecimal())
    label = label.split(" ")[0] if cell.op in ("linear", "rbf") else label
    before = [other.label for other in passed if (other.name,) == cell.inputs]
    return " + ".join([*before, label])


def _draw(canvas: Canvas, volume: _Volume, x: float, middle: float) -> None:
    up = volume.lean * 0.6
    top, w = middle - volume.side / 2 + up / 2, volume.width
    canvas.solid(
        volume.cell,
        front=[(x, top), (x + w, top), (x + w, top + volume.side), (x, top + volume.side)],
        roof=[(x, top), (x + volume.lean, top - up), (x + w + volume.lean, top - up), (x + w, top)],
        flank=[
            (x + w, top),
            (x + w + volume.lean, top - up),
            (x + w + volume.lean, top - up + volume.side),
            (x + w, top + volume.side),
        ],
    )


def _lines(
    canvas: Canvas, before: _Volume, x: float, volume: _Volume, x_next: float, middle: float
) -> None:
    """The window on the flank of one volume, and the lines to the unit of the next."""
    if before.cell.shape[2:] == (1, 1) or not volume.cell.window:
        canvas.line(x + before.width + before.lean + 2, middle, x_next - 2, middle)
        return
    h, w = before.cell.shape[2:]
    part_h, part_w = min(volume.cell.window[0] / h, 1), min(volume.cell.window[1] / w, 1)
    up = before.lean * 0.6

    def on_flank(across: float, down: float) -> tuple[float, float]:
        top = middle - before.side / 2 + up / 2
        return x + before.width + before.lean * across, top - up * across + before.side * down

    low_a, low_d = (1 - part_w) * 0.55, (1 - part_h) * 0.45
    corners = [
        on_flank(low_a, low_d),
        on_flank(low_a + part_w, low_d),
        on_flank(low_a + part_w, low_d + part_h),
        on_flank(low_a, low_d + part_h),
    ]
    canvas.window(corners, (x_next + volume.width * 0.3, middle + volume.side * 0.06))
