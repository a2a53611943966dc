"""``pycnn study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pycnn.cli.common import Json, print_json, print_table


def study(
    name: Annotated[
        str | None, typer.Argument(help="A study; without one, they are listed.", metavar="NAME")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="The page, or FILE.md and its figures. Default: NAME.html."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of real data.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of the weights of the network that it looks at.")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Where networks in training are kept, to go on with.")
    ] = Path("studies"),
    full: Annotated[bool, typer.Option("--full", help="As the paper did it: for a GPU.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    as_json: Json = False,
) -> None:
    """Try a claim of the papers, and write a page with what comes out."""
    from pycnn.inside import studies

    if name is None:
        known = [(key, about.title, about.needs_data) for key, about in studies.STUDIES.items()]
        if as_json:
            print_json([{"name": key, "title": t, "needs_data": d} for key, t, d in known])
        else:
            print_table(
                ("study", "title", "needs"), [(k, t, "--data" if d else "") for k, t, d in known]
            )
        return
    report = studies.study(name, data=data, weights=weights, folder=folder, full=full, seed=seed)
    page = out or Path(f"{name}.html")
    report.save(page)
    if as_json:
        print_json({"file": str(page), **report.to_dict()})
        return
    for finding in report.findings:
        print(finding)
    print(f"saved: {page}")
