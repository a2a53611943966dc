"""A network as a figure like its paper's: SVG, made from the graph alone."""

from __future__ import annotations

from pycnn.graph import Graph
from pycnn.inside.draw.canvas import Canvas, text_width
from pycnn.inside.draw.cells import cells_of
from pycnn.inside.draw.layout import columns, piece_of
from pycnn.inside.draw.structure import arranged, count, folded
from pycnn.summary import summarize

__all__ = ["draw"]

WIDEST = 1000.0
_MARGIN = 14.0
_HEAD = 44.0
_MOST_BOXES = 60  # more are folded, where they repeat


class Figure(str):
    """The text of an SVG file; shows itself in a notebook."""

    def _repr_svg_(self) -> str:
        return str(self)


def draw(graph: Graph, *, fold: bool | None = None, title: str | None = None) -> Figure:
    """Draw a network as its paper does: branches side by side, shortcuts as arcs.

    Activations, normalisation and dropout are stripes of the box before them. The figure is at most
    1,000 pixels wide, unless one column alone is wider; long networks go on in the next column.

    Parameters
    ----------
    graph : Graph
        What its outputs need is drawn; auxiliary heads beside the way to the main output.
    fold : bool, optional
        Whether blocks that look the same are drawn once, with their number. By default where there
        would be more than 60 boxes.
    title : str, optional
        In place of the graph's name.

    Returns
    -------
    str
        An SVG document; boxes have tooltips with the layer's facts.

    Examples
    --------
    >>> from pycnn.models import find
    >>> svg = draw(find("resnet152").graph())
    >>> "× 35" in svg
    True
    """
    cells, outputs = cells_of(graph)
    elements = arranged(cells, outputs)
    if fold or (fold is None and count(elements) > _MOST_BOXES):
        elements = folded(elements)
    table = summarize(graph)
    name = title or graph.name
    facts = f"{table.parameters:,} parameters, {table.macs:,} multiply-adds"
    page = columns([piece_of(element) for element in elements], WIDEST - 2 * _MARGIN)
    canvas = Canvas()
    canvas.text(_MARGIN, 22, name, 17, anchor="start", bold=True)
    canvas.text(_MARGIN, 38, facts, 11, anchor="start", fill="#555")
    page.draw(canvas, _MARGIN, _HEAD)
    height = _HEAD + page.height
    if canvas.stripes:
        canvas.legend(_MARGIN, height + 16)
        height += 22
    width = max(page.right, text_width(facts, 11), text_width(name, 17, bold=True))
    return Figure(canvas.svg(width + 2 * _MARGIN, height + 6))
