"""Progress bars on stderr, with loss and accuracy, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Advance", "bar"]

# How far, and what to say beside the bar: `advance(32, "loss 0.51, accuracy 84.0 %")`.
Advance = Callable[[int, str], None]


@contextmanager
def bar(title: str, total: int, show: bool) -> Iterator[Advance]:
    """Show a bar while the context lasts; nothing where `show` is false or there is no terminal."""
    if not show or not sys.stderr.isatty() or total == 0:
        yield lambda steps, text: None
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
        yield lambda steps, text: progress.update(task, advance=steps, text=text)
