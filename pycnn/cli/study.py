"""``pycnn study``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pycnn.cli.common import Json, print_json, print_table

if TYPE_CHECKING:
    from pycnn.inside.studies import Study


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
    device: Annotated[
        str, typer.Option(help="Where PyTorch trains: cpu, cuda, or auto: a GPU if there is one.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Try a claim of the papers, and write a page with what comes out."""
    from pycnn.inside import studies

    if name is None:
        if as_json:
            print_json(
                [
                    {"name": key, "title": about.title, "needs_data": about.needs_data,
                     "needs_torch": about.trains, "takes": about.takes}
                    for key, about in studies.STUDIES.items()
                ]
            )  # fmt: skip
        else:
            print_table(
                ("study", "title", "needs", "takes"),
                [(key, about.title, _needs(about), about.takes)
                 for key, about in studies.STUDIES.items()],
            )  # fmt: skip
        return
    if data is None and name in studies.STUDIES and studies.STUDIES[name].needs_data:
        raise typer.BadParameter(
            f"study '{name}' needs real data: give its folder", param_hint="--data"
        )
    report = studies.study(
        name, data=data, weights=weights, folder=folder, full=full, seed=seed, device=device
    )
    page = out or Path(f"{name}.html")
    report.save(page)
    if as_json:
        print_json({"file": str(page), **report.to_dict()})
        return
    for finding in report.findings:
        print(finding)
    print(f"saved: {page}")


def _needs(about: Study) -> str:
    return ", ".join(["--data"] * about.needs_data + ["torch"] * about.trains)
