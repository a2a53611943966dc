"""Tables as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["html_table", "printable", "sizes", "text_table"]


def text_table(
    header: Sequence[str], lines: Sequence[Sequence[str]], left: int, total: bool = False
) -> str:
    """Columns of text between rules; the first `left` of them are aligned to the left.

    With `total` the last line stands below a rule of its own.
    """
    header, lines = list(map(printable, header)), [list(map(printable, cells)) for cells in lines]
    widths = [max(len(cells[i]) for cells in (header, *lines)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    body = [line(cells) for cells in lines]
    if total:
        body.insert(-1, rule)
    return "\n".join([rule, line(header), rule, *body])


def html_table(
    caption: str,
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    left: int,
    total: bool = False,
) -> str:
    """Make the same table for a notebook."""

    def row(tag: str, cells: Sequence[str]) -> str:
        made = (
            f'<{tag} style="text-align:{"left" if i < left else "right"}">'
            f"{html.escape(printable(cell))}</{tag}>"
            for i, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    body, foot = (lines[:-1], lines[-1:]) if total else (lines, ())
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead>{row('th', header)}</thead>"
        f"<tbody>{''.join(row('td', cells) for cells in body)}</tbody>"
        f"<tfoot>{''.join(row('th', cells) for cells in foot)}</tfoot></table>"
    )


def sizes(shape: Sequence[int]) -> str:
    """N x C x H x W, or N x C of a vector."""
    return " x ".join(str(size) for size in (shape if tuple(shape[2:]) != (1, 1) else shape[:2]))


def printable(text: str) -> str:
    r"""Escape what is no character to print: names in a file may hold a terminal's commands.

    Examples
    --------
    >>> print(printable("\x1b[31mred [1].png"))
    \x1b[31mred [1].png
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
