"""What a study found, as one self-contained HTML page and as numbers."""

from __future__ import annotations

import base64
import html
import inspect
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pycnn._core import __version__
from pycnn.errors import UnsupportedError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "new_figure"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-size: 14px }
td, th { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
caption { text-align: left; font-weight: 600; padding-bottom: 0.3rem }
pre { background: #f6f6f6; padding: 0.7rem; overflow-x: auto; font-size: 13px }
img { max-width: 100% }
figcaption { font-size: 14px; color: #555 }
.finding { border-left: 4px solid #2a7; padding: 0.1rem 1rem; background: #f3faf6 }
"""


class Report:
    """A page that grows from its beginning to its end, and the numbers that are on it.

    Parameters
    ----------
    name, title, question : str
        The question is what the study answers, and where it is from.
    settings : dict
        What it takes to get the same numbers again.

    Attributes
    ----------
    numbers : dict
        What was found, by name; JSON can hold it.
    findings : list of str
        The answers, a sentence each.
    """

    def __init__(self, name: str, title: str, question: str, settings: dict[str, Any]) -> None:
        self.name, self.title, self.question, self.settings = name, title, question, settings
        self.numbers: dict[str, Any] = {}
        self.findings: list[str] = []
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def finding(self, text: str) -> None:
        """Add an answer, and keep it."""
        self.findings.append(text)
        self._parts.append(f'<div class="finding"><p>{html.escape(text)}</p></div>')

    def table(self, caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; its first column is aligned to the left, the others to the right."""

        def line(cells: Sequence[str], tag: str) -> str:
            return (
                "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
            )

        body = "\n".join(line(row, "td") for row in rows)
        title = f"<caption>{html.escape(caption)}</caption>"
        self._parts.append(f"<table>{title}\n{line(header, 'th')}\n{body}</table>")

    def figure(self, figure: Figure, caption: str) -> None:
        """Add a chart of matplotlib's, or any SVG text."""
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg")
        self.svg(buffer.getvalue(), caption)

    def svg(self, svg: str, caption: str) -> None:
        """Add a drawing; it goes in as an image, so that nothing in it can act on the page."""
        encoded = base64.b64encode(svg.encode()).decode()
        self._parts.append(
            f'<figure><img src="data:image/svg+xml;base64,{encoded}" '
            f'alt="{html.escape(caption, quote=True)}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def code(self, function: Callable[..., Any]) -> None:
        """Add a function's source."""
        self._parts.append(f"<pre>{html.escape(inspect.getsource(function))}</pre>")

    def html(self) -> str:
        """The page; it loads nothing from anywhere."""
        rows = "\n".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(value))}</td></tr>"
            for name, value in self.settings.items()
        )
        return "\n".join(
            (
                '<!doctype html><html lang="en"><head><meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head><body>",
                f"<h1>{html.escape(self.title)}</h1><p>{html.escape(self.question)}</p>",
                *self._parts,
                f"<h2>Settings</h2><table>{rows}",
                f"<tr><td>pycnn</td><td>{__version__}</td></tr></table>",
                f"<p><code>pycnn study {self.name}</code></p></body></html>",
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, as JSON can hold it."""
        return {
            "study": self.name,
            "settings": self.settings,
            "findings": self.findings,
            "numbers": self.numbers,
        }


def new_figure(width: float = 8, height: float = 4) -> Figure:
    """An empty figure of matplotlib's, in inches.

    Raises
    ------
    UnsupportedError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UnsupportedError(
            "studies draw with matplotlib, which is not installed: pip install 'pycnn[train]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")
