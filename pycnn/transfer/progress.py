"""How far a training is, on stderr: bars with loss and accuracy on a terminal, else lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Bar", "bar"]


@dataclass(frozen=True)
class Bar:
    """How far, and what to say beside it: `advance(32, "loss 0.51, accuracy 84.0 %")`.

    `restart` ends a round, of which it says something: the next one begins at nought.
    """

    advance: Callable[[int, str], None]
    restart: Callable[[str], None]


@contextmanager
def bar(title: str, total: int, show: bool) -> Iterator[Bar]:
    """Show a bar while the context lasts, or where there is no terminal a line for each round."""
    if not show or total == 0:
        yield Bar(lambda steps, text: None, lambda text: None)
        return
    if not sys.stderr.isatty():
        yield Bar(
            lambda steps, text: None,
            lambda text: print(f"{title}: {text}", file=sys.stderr, flush=True),
        )
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, text="")
        yield Bar(
            lambda steps, text: progress.update(task, advance=steps, text=text),
            lambda text: progress.update(task, completed=0, text=text),
        )
