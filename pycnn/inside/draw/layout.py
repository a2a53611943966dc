"""Where everything of a figure stands: pieces around a spine that goes down, columns of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pycnn.inside.draw.canvas import BOX_HEIGHT, NAME_PX, Canvas, box_width, text_width
from pycnn.inside.draw.cells import INPUT, Cell
from pycnn.inside.draw.structure import Element, Head, Parallel, Repeat, Tangle
from pycnn.opset import Shape
from pycnn.tables import sizes

__all__ = ["Piece", "columns", "piece_of"]

GAP = 15.0  # between boxes, for an arrow
FORK = 17.0  # in which a line spreads to branches, and comes together
RADIUS = 9.0
BETWEEN = 7.0  # branches
BETWEEN_COLUMNS = 44.0
_BRANCH_OPS = ("add", "binary")
_PAD = 6.0  # of a frame
_TITLE = 12.0


@dataclass(frozen=True)
class Piece:
    """Something with an upper and a lower end on the spine.

    Attributes
    ----------
    left, right
        How far it reaches from the spine.
    height
        From end to end.
    draw
        ``(canvas, x, y)`` of the upper end.
    shape
        What leaves it, or None where that is the same as what entered.
    arrow
        Whether the line to its upper end is an arrow: not where a line goes on from there.
    """

    left: float
    right: float
    height: float
    draw: Callable[[Canvas, float, float], None]
    shape: Shape | None
    arrow: bool = True


def piece_of(element: Element, prefix: str = "") -> Piece:
    """Lay one element out; names in it are written without `prefix`."""
    if isinstance(element, Cell):
        return _box(element, box_width([element], prefix), prefix)
    if isinstance(element, Parallel):
        main = _main_branch(element)
        return _side_by_side(element) if main is None else _residual(element, main, prefix)
    if isinstance(element, Repeat):
        return _repeat(element, prefix)
    return _tangle(element) if isinstance(element, Tangle) else _head(element)


def _box(cell: Cell, width: float, prefix: str = "") -> Piece:
    return Piece(
        width / 2,
        width / 2,
        BOX_HEIGHT,
        lambda canvas, x, y: canvas.box(cell, x, y, width, prefix),
        cell.shape,
    )


def _stack(elements: Sequence[Element], prefix: str = "") -> Piece:
    """Elements one below the other; the boxes among them equally wide."""
    boxes = [element for element in elements if isinstance(element, Cell)]
    width = box_width(boxes, prefix) if boxes else 0.0
    pieces = [
        _box(element, width, prefix) if isinstance(element, Cell) else piece_of(element, prefix)
        for element in elements
    ]
    return _stacked(pieces)


def _stacked(pieces: Sequence[Piece], before: Shape | None = None) -> Piece:
    """Pieces one below the other; where there is a shape before them, changes of size are noted."""

    def draw(canvas: Canvas, x: float, y: float) -> None:
        size = before[2:] if before else None
        for i, piece in enumerate(pieces):
            if i > 0:
                canvas.line(x, y, x, y + GAP, arrow=piece.arrow)
                y += GAP
            piece.draw(canvas, x, y)
            y += piece.height
            if size is not None and piece.shape is not None and piece.shape[2:] != size:
                size = piece.shape[2:]
                if size == (1, 1):
                    continue  # a vector: the boxes say how long
                text = sizes(piece.shape).partition(" x ")[2]
                canvas.text(x + 6, y + 11, text, NAME_PX, anchor="start", fill="#777")

    return Piece(
        max((piece.left for piece in pieces), default=1.0),
        max((piece.right for piece in pieces), default=1.0),
        sum(piece.height for piece in pieces) + GAP * max(len(pieces) - 1, 0),
        draw,
        _last_shape(pieces),
        pieces[0].arrow if pieces else False,
    )


def _last_shape(pieces: Sequence[Piece]) -> Shape | None:
    return next((piece.shape for piece in reversed(pieces) if piece.shape), None)


# Branches -----------------------------------------------------------------------------------------


def _main_branch(element: Parallel) -> int | None:
    """Of a residual block, which branch is not the shortcut."""
    if element.join.op not in _BRANCH_OPS or len(element.branches) != 2:
        return None
    lengths = [len(branch) for branch in element.branches]
    if min(lengths) > 1 or not all(
        isinstance(cell, Cell) for cell in element.branches[lengths.index(min(lengths))]
    ):
        return None
    return 1 if lengths[1] >= lengths[0] else 0


def _residual(element: Parallel, main: int, prefix: str) -> Piece:
    """The main branch on the spine, the shortcut as an arc to the sum."""
    body = _stack(element.branches[main], prefix)
    shortcut = element.branches[1 - main]
    projection = shortcut[0] if shortcut else None
    width = box_width([projection], prefix) if isinstance(projection, Cell) else 0.0
    reach = body.right + (26 if not width else 14 + width / 2)
    height = FORK + body.height + GAP + 2 * RADIUS

    def draw(canvas: Canvas, x: float, y: float) -> None:
        canvas.line(x, y, x, y + FORK)
        body.draw(canvas, x, y + FORK)
        foot = y + FORK + body.height
        canvas.line(x, foot, x, foot + GAP)
        middle = foot + GAP + RADIUS
        canvas.circle(element.join, x, middle, RADIUS)
        top = y + 5
        bend = min(30.0, (middle - top) / 2)
        arc = (
            f"M{x:.1f} {top:.1f}C{x + reach * 0.75:.1f} {top:.1f} {x + reach:.1f} {top:.1f} "
            f"{x + reach:.1f} {top + bend:.1f}L{x + reach:.1f} {middle - bend:.1f}"
            f"C{x + reach:.1f} {middle:.1f} {x + reach * 0.75:.1f} {middle:.1f} "
            f"{x + RADIUS + 1:.1f} {middle:.1f}"
        )
        canvas.path(arc, arrow=True, dashed=bool(width))
        if isinstance(projection, Cell):
            canvas.box(projection, x + reach, (top + middle) / 2 - BOX_HEIGHT / 2, width, prefix)

    right = max(body.right, reach + width / 2 + 3)
    return Piece(body.left, right, height, draw, element.join.shape, arrow=False)


def _side_by_side(element: Parallel) -> Piece:
    """The branches beside each other, bottoms aligned, and the box that joins them below."""
    names = [cell.name for cell in _cells(element)]
    prefix = _common_prefix(names)
    branches = [_stack(branch, prefix) for branch in element.branches]
    widths = [branch.left + branch.right for branch in branches]
    total = sum(widths) + BETWEEN * (len(widths) - 1)
    inner = max(branch.height for branch in branches)
    title = prefix.rstrip("/")
    bar = FORK / 2 + (_TITLE if title else 0)  # where the line spreads
    head = bar + FORK / 2 + 2
    height = head + inner + FORK + BOX_HEIGHT + _PAD

    def draw(canvas: Canvas, x: float, y: float) -> None:
        canvas.frame(x - total / 2 - _PAD, y, total + 2 * _PAD, height)
        if title:
            canvas.text(x - total / 2, y + 13, title, 10.5, anchor="start", fill="#666", bold=True)
        left = x - total / 2
        foot = y + head + inner
        for branch, elements, width in zip(branches, element.branches, widths, strict=True):
            middle = left + branch.left
            top = foot - branch.height if elements else foot
            begins = bool(elements) and isinstance(elements[0], Cell) and elements[0].op == INPUT
            if not begins:
                canvas.path(
                    f"M{x:.1f} {y:.1f}V{y + bar:.1f}H{middle:.1f}V{top:.1f}",
                    arrow=bool(elements),
                )
            branch.draw(canvas, middle, top)
            canvas.line(middle, foot, middle, foot + FORK)
            left += width + BETWEEN
        canvas.box(element.join, x, foot + FORK, total, prefix)
        canvas.line(x, y + height - _PAD, x, y + height, arrow=False)

    half = total / 2 + _PAD
    return Piece(half, half, height, draw, element.join.shape, arrow=False)


def _cells(element: Element) -> list[Cell]:
    if isinstance(element, Cell):
        return [element]
    if isinstance(element, Parallel):
        inner = [cell for branch in element.branches for part in branch for cell in _cells(part)]
        return [*inner, element.join]
    if isinstance(element, Tangle):
        return list(element.cells)
    return [cell for part in element.elements for cell in _cells(part)]


def _common_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to their first slash."""
    scopes = {name[: name.find("/") + 1] for name in names}
    return scopes.pop() if len(scopes) == 1 else ""


# Others -------------------------------------------------------------------------------------------


def _repeat(element: Repeat, prefix: str) -> Piece:
    """A frame around what repeats itself."""
    body = _stack(element.elements, prefix)
    times = f"× {element.times}"
    last = f"to {element.last}"
    note = max(text_width(times, 15, bold=True), text_width(last, NAME_PX)) + 8

    def draw(canvas: Canvas, x: float, y: float) -> None:
        width = body.left + body.right + 2 * _PAD
        canvas.frame(x - body.left - _PAD, y + 3, width + note, body.height + 2 * _PAD - 6, True)
        canvas.line(x, y, x, y + _PAD, arrow=body.arrow)
        body.draw(canvas, x, y + _PAD)
        canvas.line(x, y + _PAD + body.height, x, y + 2 * _PAD + body.height, arrow=False)
        beside = x + body.right + _PAD / 2 + note / 2
        canvas.text(beside, y + _PAD + body.height / 2 + 2, times, 15, bold=True)
        canvas.text(beside, y + _PAD + body.height / 2 + 15, last, NAME_PX, fill="#666")

    return Piece(
        body.left + _PAD,
        body.right + _PAD + note,
        body.height + 2 * _PAD,
        draw,
        body.shape,
        arrow=False,
    )


def _tangle(element: Tangle) -> Piece:
    """One column in an order of computation; what skips a box is an arc on the right."""
    cells = element.cells
    width = box_width(cells)
    place = {cell.name: i for i, cell in enumerate(cells)}
    jumps: list[tuple[int, int]] = []
    for i, cell in enumerate(cells):
        # What is read from before this piece comes from its upper end.
        places = [place.get(name, -1) for name in cell.inputs]
        jumps += [(start, i) for start in places if start != i - 1]
    lanes: list[int] = []  # where the last arc of each lane ends
    lane_of = []
    for start, end in jumps:
        free = next((n for n, until in enumerate(lanes) if until <= start), len(lanes))
        lanes[free : free + 1] = [end]
        lane_of.append(free)
    step = BOX_HEIGHT + GAP

    def draw(canvas: Canvas, x: float, y: float) -> None:
        for i, cell in enumerate(cells):
            canvas.box(cell, x, y + GAP + i * step, width)
            if i - 1 in [place.get(name, -1) for name in cell.inputs]:
                canvas.line(x, y + i * step, x, y + GAP + i * step)
        edge = x + width / 2
        for (start, end), lane in zip(jumps, lane_of, strict=True):
            out = edge + 14 + 9 * lane
            top = y + 3 if start < 0 else y + GAP + start * step + BOX_HEIGHT * 0.7
            begin = x if start < 0 else edge
            low = y + GAP + end * step + BOX_HEIGHT * 0.3
            canvas.path(
                f"M{begin:.1f} {top:.1f}C{out:.1f} {top:.1f} {out:.1f} {top:.1f} {out:.1f} "
                f"{top + 8:.1f}L{out:.1f} {low - 8:.1f}C{out:.1f} {low:.1f} {out:.1f} {low:.1f} "
                f"{edge + 1:.1f} {low:.1f}",
                arrow=True,
            )

    right = width / 2 + (18 + 9 * len(lanes) if lanes else 0)
    return Piece(width / 2, right, len(cells) * step, draw, cells[-1].shape, arrow=False)


def _head(element: Head) -> Piece:
    """A further output: its boxes hang beside the spine, which goes on."""
    body = _stack(element.elements)
    offset = 22 + body.left

    def draw(canvas: Canvas, x: float, y: float) -> None:
        end = y + FORK + body.height
        canvas.line(x, y, x, end + 20, arrow=False)
        canvas.path(f"M{x:.1f} {y + 5:.1f}L{x + offset:.1f} {y + 5:.1f}V{y + FORK:.1f}", arrow=True)
        body.draw(canvas, x + offset, y + FORK)
        canvas.text(x + offset, end + 13, f"output {element.output}", 10.5, fill="#666", bold=True)

    return Piece(1, offset + body.right, FORK + body.height + 20, draw, None, arrow=False)


# Columns ------------------------------------------------------------------------------------------


def columns(pieces: Sequence[Piece], widest: float, aspect: float = 1.5) -> Piece:
    """Break a long spine into columns, of all numbers of them that which looks best.

    That is the one whose width over height is nearest to `aspect`, among those not wider than
    `widest`; one column where none is.
    """
    broken = [_break(pieces, n) for n in range(1, min(len(pieces), 9) + 1)]
    made = [_beside(_noted(found)) for found in broken]
    fitting = [page for page in made if page.right <= widest] or made[:1]
    return min(fitting, key=lambda page: _oblong(page.right / page.height, aspect))


def _noted(found: Sequence[Sequence[Piece]]) -> list[Piece]:
    """Columns that note where the image changes its size, beginning with what is given."""
    stacks, before = [], found[0][0].shape
    for column in found:
        stacks.append(_stacked(column, before))
        before = stacks[-1].shape or before
    return stacks


def _oblong(ratio: float, wanted: float) -> float:
    return max(ratio / wanted, wanted / ratio)


def _break(pieces: Sequence[Piece], number: int) -> list[list[Piece]]:
    """Cut into so many columns, or fewer, the tallest of which is as low as can be."""
    low = max(piece.height for piece in pieces)
    high = sum(piece.height + GAP for piece in pieces)
    while high - low > 1:
        limit = (low + high) / 2
        low, high = (low, limit) if len(_fill(pieces, limit)) <= number else (limit, high)
    return _fill(pieces, high)


def _fill(pieces: Sequence[Piece], limit: float) -> list[list[Piece]]:
    found: list[list[Piece]] = [[]]
    height = -GAP
    for piece in pieces:
        if found[-1] and height + GAP + piece.height > limit:
            found.append([])
            height = -GAP
        found[-1].append(piece)
        height += GAP + piece.height
    return found


def _beside(stacks: Sequence[Piece]) -> Piece:
    """Columns from left to right; `right` is the width, the upper end is the first one's."""
    height = max(stack.height for stack in stacks) + 2 * GAP + 2
    width = sum(stack.left + stack.right for stack in stacks) + BETWEEN_COLUMNS * (len(stacks) - 1)

    def draw(canvas: Canvas, x: float, y: float) -> None:
        top, left = y + GAP, x
        ends: list[tuple[float, float]] = []  # of the columns so far
        for stack in stacks:
            spine = left + stack.left
            if ends:
                end, foot = ends[-1]
                lane = left - BETWEEN_COLUMNS / 2
                way = f"v{GAP:.1f}H{lane:.1f}V{y:.1f}H{spine:.1f}V{top:.1f}"
                canvas.path(f"M{end:.1f} {foot:.1f}{way}", arrow=stack.arrow)
            stack.draw(canvas, spine, top)
            ends.append((spine, top + stack.height))
            left += stack.left + stack.right + BETWEEN_COLUMNS

    return Piece(0, width, height, draw, stacks[-1].shape)
