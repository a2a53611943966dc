"""A short chain of layers as LeCun et al. 1998 and Krizhevsky et al. 2012 draw theirs: volumes.

Each block is what a layer gives: as high and as deep into the page as the image (by the square
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

_MOST = 12  # blocks side by side, at a width at which their labels can be read
_NARROWEST, _WIDEST = 78.0, 125.0  # from block to block
_TALLEST = 130.0
_LEAN = 0.32  # of the side: how far a block reaches into the page, to the right and up
_ABOVE, _BELOW = 26.0, 64.0


@dataclass(frozen=True)
class _Block:
    cell: Cell
    width: float
    side: float  # height; a vector's is its length, by the logarithm
    lean: float


def fits(cells: Sequence[Cell]) -> bool:
    """Whether boxes are a chain that is short enough."""
    chain = all(cell.inputs == (before.name,) for before, cell in itertools.pairwise(cells))
    return chain and len(_blocks(cells)) <= _MOST


def page(canvas: Canvas, cells: Sequence[Cell], left: float, top: float) -> tuple[float, float]:
    """Draw the chain; returns its width and height."""
    blocks = _blocks(cells)
    pitch = min(_WIDEST, max(_NARROWEST, 960 / len(blocks)))
    middle = top + _ABOVE + _TALLEST * (1 + _LEAN) / 2 + 10
    places = [left + 8 + i * pitch for i in range(len(blocks))]
    passed = [cell for cell in cells if cell not in [block.cell for block in blocks]]
    for i, (x, block) in enumerate(zip(places, blocks, strict=True)):
        _draw(canvas, block, x, middle)
        if i > 0:
            _lines(canvas, blocks[i - 1], places[i - 1], block, x, middle)
        foot = top + _ABOVE + _TALLEST * (1 + _LEAN) + 34
        centre = x + block.width / 2 + block.lean / 2
        canvas.text(centre, foot, _size(block.cell), 10.5, bold=True, within=pitch - 6)
        canvas.text(centre, foot + 13, block.cell.name, NAME_PX, fill="#555", within=pitch - 6)
        if block.cell.op != INPUT:
            # Over the way from the block before, by turns higher and lower.
            between = (places[i - 1] + blocks[i - 1].width + x + block.lean) / 2
            line = top + 12 + 14 * (i % 2)
            canvas.text(between, line, _what(block.cell, passed), 10, fill="#333")
    width = places[-1] + pitch - left
    return width, _ABOVE + _TALLEST * (1 + _LEAN) + _BELOW


def _blocks(cells: Sequence[Cell]) -> list[_Block]:
    """Those boxes that change the shape, or multiply."""
    kept = [
        cell
        for before, cell in zip([None, *cells], cells, strict=False)
        if before is None or cell.shape != before.shape or cell.op in ("conv2d", "linear", "rbf")
    ]
    tallest = max(cell.shape[2] for cell in cells)
    blocks = []
    for cell in kept:
        _, c, h, w = cell.shape
        if (h, w) == (1, 1):
            blocks.append(_Block(cell, 9.0, 18 + 8.5 * math.log2(c), 5.0))
        else:
            side = _TALLEST * math.sqrt(h / tallest)
            width = 5.0 + 4.6 * math.log2(c)
            blocks.append(_Block(cell, width, side, _LEAN * side * w / h))
    return blocks


def _size(cell: Cell) -> str:
    """Channels@HxW, as LeCun et al. write it."""
    _, c, h, w = cell.shape
    return f"{c}" if (h, w) == (1, 1) else f"{c}@{h}x{w}"


def _what(cell: Cell, passed: Sequence[Cell]) -> str:
    """The op and what stood between, without the channels, which the block has."""
    label = ", ".join(part for part in cell.label.split(", ") if not part.isdecimal())
    label = label.split(" ")[0] if cell.op in ("linear", "rbf") else label
    before = [other.label for other in passed if (other.name,) == cell.inputs]
    return " + ".join([*before, label])


def _draw(canvas: Canvas, block: _Block, x: float, middle: float) -> None:
    up = block.lean * 0.6
    top, w = middle - block.side / 2 + up / 2, block.width
    canvas.solid(
        block.cell,
        front=[(x, top), (x + w, top), (x + w, top + block.side), (x, top + block.side)],
        roof=[(x, top), (x + block.lean, top - up), (x + w + block.lean, top - up), (x + w, top)],
        flank=[
            (x + w, top),
            (x + w + block.lean, top - up),
            (x + w + block.lean, top - up + block.side),
            (x + w, top + block.side),
        ],
    )


def _lines(
    canvas: Canvas, before: _Block, x: float, block: _Block, x_next: float, middle: float
) -> None:
    """The window on the flank of one block, and the lines to the unit of the next."""
    if before.cell.shape[2:] == (1, 1) or not block.cell.window:
        canvas.line(x + before.width + before.lean + 2, middle, x_next - 2, middle)
        return
    h, w = before.cell.shape[2:]
    part_h, part_w = min(block.cell.window[0] / h, 1), min(block.cell.window[1] / w, 1)
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
    canvas.window(corners, (x_next + block.width * 0.3, middle + block.side * 0.06))
