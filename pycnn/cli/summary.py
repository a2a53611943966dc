"""``pycnn summary``."""

from __future__ import annotations

from typing import Annotated

import typer

from pycnn.cli.common import Json, NameOrFile, Options, graph_of, print_json


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from "HxW"."""
    height, x, width = text.lower().partition("x")
    if not (x and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise typer.BadParameter(f"'{text}' is not HEIGHTxWIDTH, such as 224x224")
    return int(height), int(width)


def summary(
    name: NameOrFile,
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 1,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Another image size.")] = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Print the layers: output shape, parameters, multiply-adds, and the totals."""
    from pycnn.summary import summarize

    graph = graph_of(name, option)
    hw = parse_size(size) if size else None
    inputs = {key: (batch, c, *(hw or (h, w))) for key, (c, h, w) in graph.inputs.items()}
    table = summarize(graph, inputs)
    if as_json:
        print_json(table.to_dict())
    else:
        print(table)
