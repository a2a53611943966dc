"""``pycnn profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pycnn.cli.common import (
    Isa,
    Json,
    NameOrFile,
    Options,
    Size,
    Threads,
    Weights,
    load_model,
    parse_size,
    print_json,
)


def profile(
    name: NameOrFile,
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="The median of so many counts.")] = 20,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw times and shares of the limit.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write a trace for chrome://tracing.")
    ] = None,
    size: Size = None,
    weights: Weights = None,
    threads: Threads = None,
    isa: Isa = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Time each layer on random input, beside the machine's limits."""
    hw = parse_size(size) if size else None
    model = load_model(name, weights, option, threads=threads, isa=isa, random_if_none=True)
    found = model.profile(batch, size=hw, runs=runs)
    if chart is not None:
        chart.write_text(found.chart(), encoding="utf-8")
    if trace is not None:
        trace.write_text(found.trace(), encoding="utf-8")
    if as_json:
        print_json(found.to_dict())
    else:
        print(found)
