"""``pycnn whatif``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pycnn.cli.common import (
    Json,
    Layer,
    NameOrFile,
    Options,
    Size,
    graph_of,
    inputs_of,
    print_json,
)


def whatif(
    name: NameOrFile,
    layer: Layer,
    width: Annotated[int | None, typer.Option(min=1, help="Output channels or features.")] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Of both directions.")] = None,
    kernel: Annotated[int | None, typer.Option(min=1, help="Side of the filter.")] = None,
    padding: Annotated[
        int | None, typer.Option(min=0, help="On all sides; by default it follows the filter.")
    ] = None,
    bottleneck: Annotated[
        str | None, typer.Option(help='Channels of the 1x1 in front, or "none" to take it away.')
    ] = None,
    size: Size = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Say what another geometry of one layer does to the cost of the whole network."""
    from pycnn.inside import what_if

    asked: dict[str, Any] = {
        "width": width,
        "stride": stride,
        "kernel_size": kernel,
        "padding": padding,
    }
    if bottleneck is not None:
        if bottleneck != "none" and not bottleneck.isdecimal():
            raise typer.BadParameter(f"'{bottleneck}' is neither a number nor none")
        asked["bottleneck"] = None if bottleneck == "none" else int(bottleneck)
    elif all(value is None for value in asked.values()):
        raise typer.BadParameter("give --width, --stride, --kernel, --padding or --bottleneck")
    graph = graph_of(name, option)
    found = what_if(graph, layer, inputs=inputs_of(graph, 1, size), **asked)
    if as_json:
        print_json(found.to_dict())
    else:
        print(found)
