"""``pycnn summary``."""

from __future__ import annotations

from typing import Annotated

import typer

from pycnn.cli.common import Json, NameOrFile, Options, Size, graph_of, inputs_of, print_json


def summary(
    name: NameOrFile,
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 1,
    size: Size = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Print the layers: shape, parameters, multiply-adds, bytes, receptive field; the totals."""
    from pycnn.summary import summarize

    graph = graph_of(name, option)
    table = summarize(graph, inputs_of(graph, batch, size))
    if as_json:
        print_json(table.to_dict())
    else:
        print(table)
