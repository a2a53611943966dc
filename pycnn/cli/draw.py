"""``pycnn draw``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pycnn.cli.common import (
    Json,
    NameOrFile,
    Options,
    check_suffix,
    graph_of,
    is_file,
    print_json,
)
from pycnn.models import find


def draw(
    name: NameOrFile,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Write there, not to the output.")
    ] = None,
    fold: Annotated[
        bool | None,
        typer.Option(
            "--fold/--unfold", help="Draw equal blocks once; by default in deep networks only."
        ),
    ] = None,
    volumes: Annotated[
        bool | None,
        typer.Option("--volumes/--boxes", help="Draw what layers give; by default short chains."),
    ] = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Draw a network as its paper does, in SVG."""
    from pycnn.inside import draw

    check_suffix(out, ".svg")
    title = None if is_file(name, option) else find(name).title
    svg = draw(graph_of(name, option), fold=fold, volumes=volumes, title=title)
    if out is not None:
        out.write_text(svg, encoding="utf-8")
    if as_json:
        print_json({"file": str(out) if out else None, "svg": None if out else svg})
    elif out is None:
        print(svg, end="")
    else:
        print(out)
