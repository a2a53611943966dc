"""``pycnn convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pycnn.cli.common import Json, complete_name, print_json


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file of weights or a network.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The new file; its suffix decides.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="The variant, where IN does not say it.",
            autocompletion=complete_name,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="The weights of a network that keeps them in a file of their own."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write weights, and where the format has it the network, in another format.

    Weights of a registered variant get our names and the variant's passport; a network of a file
    is kept with its weights. Of tensors that belong to no network their own names are kept.
    """
    from pycnn.conversion import convert as convert_file

    done = convert_file(source, target, name=name, weights=weights)
    if as_json:
        print_json(done)
    else:
        print(f"{done['file']}: {done['tensors']} tensors of {done['network']}")
