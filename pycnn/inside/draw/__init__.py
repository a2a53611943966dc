"""A network as a figure like its paper's: SVG, made from the graph alone."""

from __future__ import annotations

from pycnn.errors import UnsupportedError
from pycnn.graph import Graph
from pycnn.inside.draw.canvas import Canvas, text_width
from pycnn.inside.draw.cells import cells_of
from pycnn.inside.draw.layout import columns, piece_of
from pycnn.inside.draw.structure import arranged, count, folded
from pycnn.inside.draw.volumes import fits, page
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


def draw(
    graph: Graph,
    *,
    fold: bool | None = None,
    volumes: bool | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a network as its paper does: branches side by side, shortcuts as arcs, volumes.

    Activations, normalisation and dropout are stripes of the box before them. The figure is at most
    1,000 pixels wide, unless one column alone is wider; long networks go on in the next column.

    Parameters
    ----------
    graph : Graph
        What its outputs need is drawn; auxiliary heads beside the way to the main output.
    fold : bool, optional
        Whether blocks that look the same are drawn once, with their number. By default where there
        would be more than 60 boxes.
    volumes : bool, optional
        Whether layers are drawn as what they give, side by side, as in the papers of LeNet-5 and
        AlexNet. By default where the network is a chain of at most twelve.
    title : str, optional
        In place of the graph's name.

    Returns
    -------
    str
        An SVG document; boxes have tooltips with the layer's facts.

    Raises
    ------
    UnsupportedError
        `volumes` of a network that is no short chain.

    Examples
    --------
    >>> from pycnn.models import find
    >>> svg = draw(find("resnet152").graph())
    >>> "× 35" in svg
    True
    """
    cells, outputs = cells_of(graph)
    short = fits(cells)
    if volumes and not short:
        raise UnsupportedError(f"{graph.name} is no chain of twelve volumes at most")
    table = summarize(graph)
    name = title or graph.name
    facts = f"{table.parameters:,} parameters, {table.macs:,} multiply-adds"
    canvas = Canvas()
    canvas.text(_MARGIN, 22, name, 17, anchor="start", bold=True)
    canvas.text(_MARGIN, 38, facts, 11, anchor="start", fill="#555")
    if volumes or (volumes is None and short):
        width, height = page(canvas, cells, _MARGIN, _HEAD)
    else:
        elements = arranged(cells, outputs)
        if fold or (fold is None and count(elements) > _MOST_BOXES):
            elements = folded(elements)
        boxes = columns([piece_of(element) for element in elements], WIDEST - 2 * _MARGIN)
        boxes.draw(canvas, _MARGIN, _HEAD)
        width, height = boxes.right, boxes.height
    height += _HEAD
    if canvas.stripes:
        canvas.legend(_MARGIN, height + 16)
        height += 22
    width = max(width, text_width(facts, 11), text_width(name, 17, bold=True))
    return Figure(canvas.svg(width + 2 * _MARGIN, height + 6))
