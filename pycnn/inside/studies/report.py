"""What a study found: as one self-contained HTML page, as Markdown, and as numbers."""

from __future__ import annotations

import base64
import html
import inspect
import io
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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


class _Part(NamedTuple):
    html: str
    markdown: str


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
        self._parts: list[_Part] = []
        self._figures: list[str] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._add(f"<h2>{html.escape(text)}</h2>", f"## {_marked(text)}")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._add(f"<p>{html.escape(text)}</p>", _marked(text))

    def finding(self, text: str) -> None:
        """Add an answer, and keep it."""
        self.findings.append(text)
        self._add(
            f'<div class="finding"><p>{html.escape(text)}</p></div>', f"> **{_marked(text)}**"
        )

    def table(self, caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; its first column is aligned to the left, the others to the right."""

        def line(cells: Sequence[str], tag: str) -> str:
            return (
                "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
            )

        body = "\n".join(line(row, "td") for row in rows)
        title = f"<caption>{html.escape(caption)}</caption>"
        self._add(
            f"<table>{title}\n{line(header, 'th')}\n{body}</table>",
            f"{_marked(caption)}:\n\n{_marked_table(header, rows)}",
        )

    def figure(self, figure: Figure, caption: str) -> None:
        """Add a chart of matplotlib's: the same numbers give the same bytes."""
        from matplotlib import rc_context

        buffer = io.StringIO()
        with rc_context({"svg.hashsalt": self.name, "svg.fonttype": "none"}):
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        self.svg(buffer.getvalue(), caption)

    def svg(self, svg: str, caption: str) -> None:
        """Add a drawing; it goes in as an image, so that nothing in it can act on the page."""
        self._figures.append(svg)
        encoded = base64.b64encode(svg.encode()).decode()
        self._add(
            f'<figure><img src="data:image/svg+xml;base64,{encoded}" '
            f'alt="{html.escape(caption, quote=True)}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>",
            f"![{_marked(caption)}]({self._figure_file(len(self._figures))})\n\n{_marked(caption)}",
        )

    def code(self, function: Callable[..., Any]) -> None:
        """Add a function's source."""
        source = inspect.getsource(function)
        self._add(f"<pre>{html.escape(source)}</pre>", f"```python\n{source}```")

    def _add(self, page: str, markdown: str) -> None:
        self._parts.append(_Part(page, markdown))

    def _figure_file(self, number: int) -> str:
        return f"{self.name}-{number}.svg"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page: .html, all in one file, or .md, its figures as .svg beside it.

        Raises
        ------
        ValueError
            Another suffix.
        """
        file = Path(path)
        if file.suffix not in (".html", ".md"):
            raise ValueError(f"{os.fspath(path)!r}: a page is .html or .md")
        file.write_text(self.html() if file.suffix == ".html" else self.markdown(), "utf-8")
        if file.suffix == ".md":
            for i, svg in enumerate(self._figures, 1):
                file.with_name(self._figure_file(i)).write_text(svg, "utf-8")

    def _repr_html_(self) -> str:
        # A frame, so that the page's style stays its own.
        return f'<iframe width="100%" height="800" srcdoc="{html.escape(self.html())}"></iframe>'

    def html(self) -> str:
        """The page; it loads nothing from anywhere."""
        rows = "\n".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(value))}</td></tr>"
            for name, value in self._facts()
        )
        return "\n".join(
            (
                '<!doctype html><html lang="en"><head><meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head><body>",
                f"<h1>{html.escape(self.title)}</h1><p>{html.escape(self.question)}</p>",
                *(part.html for part in self._parts),
                f"<h2>Settings</h2><table>{rows}</table>",
                f"<p><code>pycnn study {self.name}</code></p></body></html>",
            )
        )

    def markdown(self) -> str:
        """The same page for a site of Markdown; :meth:`save` writes the figures that it shows."""
        parts = (
            f"# {_marked(self.title)}",
            f"`pycnn study {self.name}`: {_marked(self.question)}",
            *(part.markdown for part in self._parts),
            "## Settings",
            _marked_table(("setting", "value"), [(name, str(v)) for name, v in self._facts()]),
        )
        return "\n\n".join(parts) + "\n"

    def _facts(self) -> list[tuple[str, Any]]:
        return [*self.settings.items(), ("pycnn", __version__)]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, as JSON can hold it."""
        return {
            "study": self.name,
            "settings": self.settings,
            "findings": self.findings,
            "numbers": self.numbers,
        }


def _marked(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", html.escape(text, quote=False))


def _marked_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(header) - 1)]
    lines = [[_marked(cell) for cell in line] for line in (header, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


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
