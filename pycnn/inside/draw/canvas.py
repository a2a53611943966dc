"""SVG elements, and what a box of a figure looks like."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as escape_markup

from pycnn.inside.draw.cells import INPUT, Cell
from pycnn.tables import printable

__all__ = ["BOX_HEIGHT", "Canvas", "box_width", "document", "escape", "text_width"]

LABEL_PX, NAME_PX = 11.5, 9.5
BOX_HEIGHT = 32.0
NARROWEST, WIDEST = 84.0, 190.0
_CHARACTER = 0.58  # of a sans-serif letter's height: its mean width
_BOLD = 1.1
_LINE = "#555"

# As in the figures of Szegedy et al. 2014: blue multiplies, red pools, green normalises and joins.
BLUE, RED, GREEN, YELLOW, GREY = (
    *(("#d6e6f5", "#4a7fb5"), ("#f7d4d0", "#c2574c"), ("#d5ebd3", "#5b9a57")),
    *(("#fbf0c4", "#b89b2e"), ("#ececec", "#8a8a8a")),
)
_COLOURS = {
    **dict.fromkeys(("conv2d", "linear", "rbf"), BLUE),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "global_avg_pool", "global_max_pool"), RED),
    **dict.fromkeys(("lrn", "batch_norm", "channel_affine", "concat", "add", "binary"), GREEN),
    **dict.fromkeys(("softmax", "log_softmax"), YELLOW),
    INPUT: ("#fff", "#555"),
}
STRIPES = {
    "ReLU": "#e8963a",
    "batch norm": "#8d63b8",
    "tanh": "#2b9c92",
    "sigmoid": "#d05c9d",
    "scale": "#7d9b3c",
    "dropout": "#9a9a9a",
    "other activation": "#c9a13b",
}


def text_width(text: str, px: float, bold: bool = False) -> float:
    """Near enough, without the font."""
    return len(text) * px * _CHARACTER * (_BOLD if bold else 1)


def box_width(cells: Sequence[Cell], prefix: str = "") -> float:
    """The width that the boxes' texts need, within bounds."""
    needed = [text_width(cell.label, LABEL_PX, bold=True) for cell in cells]
    needed += [text_width(cell.name.removeprefix(prefix), NAME_PX) for cell in cells]
    return min(max(NARROWEST, *needed) + 9, WIDEST)


def escape(text: str) -> str:
    """Make text of a name, line by line: XML has no control characters."""
    return "\n".join(escape_markup(printable(line)) for line in text.split("\n"))


Point = tuple[float, float]


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


class Canvas:
    """Collects SVG; y goes down, all numbers are pixels."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.stripes: set[str] = set()  # those that were used

    def text(
        self,
        x: float,
        y: float,
        text: str,
        px: float = LABEL_PX,
        *,
        anchor: str = "middle",
        fill: str = "#222",
        bold: bool = False,
        within: float | None = None,
    ) -> None:
        """Write text on the line `y`; what is longer than `within` is set narrower."""
        weight = ' font-weight="600"' if bold else ""
        squeeze = ""
        if within is not None and text_width(text, px, bold) > within:
            squeeze = f' textLength="{within:.1f}" lengthAdjust="spacingAndGlyphs"'
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{px:g}" text-anchor="{anchor}" '
            f'fill="{fill}"{weight}{squeeze}>{escape(text)}</text>'
        )

    def path(self, d: str, *, arrow: bool = False, dashed: bool = False) -> None:
        """Draw a line."""
        end = ' marker-end="url(#arrow)"' if arrow else ""
        dash = ' stroke-dasharray="5 3"' if dashed else ""
        self._parts.append(
            f'<path d="{d}" fill="none" stroke="{_LINE}" stroke-width="1.2"{dash}{end}/>'
        )

    def line(self, x: float, y: float, x2: float, y2: float, *, arrow: bool = True) -> None:
        """Draw a straight line, by default an arrow."""
        if abs(y2 - y) + abs(x2 - x) > 0.5:
            self.path(f"M{x:.1f} {y:.1f}L{x2:.1f} {y2:.1f}", arrow=arrow)

    def frame(self, x: float, y: float, width: float, height: float, dashed: bool = False) -> None:
        """Draw a frame behind what belongs together."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        fill = "none" if dashed else "#f6f6f4"
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="7" '
            f'fill="{fill}" stroke="#b5b5b0"{dash}/>'
        )

    def box(self, cell: Cell, x: float, y: float, width: float, prefix: str = "") -> None:
        """Draw a box whose upper edge has its middle at (x, y)."""
        fill, edge = _COLOURS.get(cell.op, GREY)
        left = x - width / 2
        self._parts.append(
            f"<g><title>{escape(cell.tip)}</title>"
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BOX_HEIGHT:g}" rx="4" '
            f'fill="{fill}" stroke="{edge}"/>'
        )
        self._stripes(cell, left + 3, y + BOX_HEIGHT - 4.5, width - 6)
        if cell.op == INPUT:
            self.text(x, y + 19, cell.label, bold=True, within=width - 8)
        else:
            self.text(x, y + 13, cell.label, bold=True, within=width - 8)
            name = cell.name.removeprefix(prefix)
            self.text(x, y + 24, name, NAME_PX, fill="#555", within=width - 8)
        self._parts.append("</g>")

    def circle(self, cell: Cell, x: float, y: float, radius: float) -> None:
        """Draw the sum of a residual block, its middle at (x, y)."""
        fill, edge = _COLOURS.get(cell.op, GREY)
        sign = {"add": "+", "multiply": "×", "divide": "÷"}.get(cell.label, cell.label[:3])
        self._parts.append(
            f"<g><title>{escape(cell.tip)}</title>"
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" stroke="{edge}"/>'
        )
        self.text(x, y + 4.5, sign, 14, bold=True)
        self._parts.append("</g>")
        self._stripes(cell, x - radius, y + radius - 1, 2 * radius)

    def solid(
        self, cell: Cell, front: Sequence[Point], roof: Sequence[Point], flank: Sequence[Point]
    ) -> None:
        """Draw a volume in the colour of its layer, its stripes along the foot of the front."""
        fill, edge = _COLOURS.get(cell.op, GREY)
        self._parts.append(f"<g><title>{escape(cell.tip)}</title>")
        for points, shade in ((front, 1.0), (roof, 0.75), (flank, 0.88)):
            self._parts.append(
                f'<polygon points="{_points(points)}" fill="{fill}" fill-opacity="{shade}" '
                f'stroke="{edge}" stroke-linejoin="round"/>'
            )
        (left, _), (right, foot) = front[0], front[2]
        self._stripes(cell, left + 1, foot + 3, right - left - 1)
        self._parts.append("</g>")

    def window(self, corners: Sequence[Point], unit: Point) -> None:
        """Draw a filter's window, and what leads from it to the unit that it gives."""
        rays = "".join(f"M{x:.1f} {y:.1f}L{unit[0]:.1f} {unit[1]:.1f}" for x, y in corners)
        self._parts.append(
            f'<polygon points="{_points(corners)}" fill="#fff" fill-opacity="0.7" '
            f'stroke="{_LINE}"/><path d="{rays}" stroke="{_LINE}" stroke-width="0.6" '
            f'stroke-dasharray="3 2"/><circle cx="{unit[0]:.1f}" cy="{unit[1]:.1f}" r="1.6" '
            f'fill="{_LINE}"/>'
        )

    def _stripes(self, cell: Cell, x: float, y: float, width: float) -> None:
        each = width / max(len(cell.stripes), 1)
        for i, stripe in enumerate(cell.stripes):
            self.stripes.add(stripe)
            self._parts.append(
                f'<rect x="{x + i * each:.1f}" y="{y:.1f}" width="{each - 1:.1f}" height="3" '
                f'fill="{STRIPES[stripe]}"/>'
            )

    def legend(self, x: float, y: float) -> None:
        """Say what the stripes mean."""
        for stripe in STRIPES:
            if stripe in self.stripes:
                self._parts.append(
                    f'<rect x="{x:.1f}" y="{y - 4:.1f}" width="18" height="3" '
                    f'fill="{STRIPES[stripe]}"/>'
                )
                self.text(x + 23, y, stripe, 11, anchor="start", fill="#555")
                x += 41 + text_width(stripe, 11)

    def svg(self, width: float, height: float) -> str:
        """The whole file."""
        marker = (
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6.5" '
            f'markerHeight="6.5" orient="auto"><path d="M0 0.8L8 4L0 7.2z" fill="{_LINE}"/>'
            "</marker></defs>"
        )
        return document(width, height, [marker, *self._parts])


def document(width: float, height: float, parts: Sequence[str]) -> str:
    """Make an SVG file of elements, on white."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" '
        "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">"
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>'
        + "\n".join(parts)
        + "</svg>\n"
    )
