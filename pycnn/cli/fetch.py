"""``pycnn fetch``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pycnn.cli.common import Json, complete_name, print_json, print_table
from pycnn.errors import OfflineError, WeightsError
from pycnn.models import find, variants


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Networks or variants.", autocompletion=complete_name),
    ] = None,
    all_to: Annotated[
        Path | None,
        typer.Option("--all", metavar="DIR", help="Fetch all that can be fetched into a folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch published weights, verified, into the cache or a folder.

    A folder that --all filled serves as PYCNN_HOME, or behind a web server as PYCNN_MIRROR.
    """
    from pycnn.hub import fetch as fetch_variant

    if bool(names) == bool(all_to):
        raise typer.BadParameter("give names, or --all DIR", param_hint="NAMES")
    wanted = [find(name) for name in names or ()]
    if all_to:
        wanted = [v for v in variants() if v.published is not None and v.published.url is not None]
    found: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for variant in wanted:
        try:
            found.append({"name": variant.id, "file": str(fetch_variant(variant, all_to))})
        except (OfflineError, WeightsError) as error:
            errors.append({"name": variant.id, "error": str(error)})
    if as_json:
        print_json({"fetched": found, "errors": errors})
    elif found:
        print_table(("name", "file"), [(row["name"], row["file"]) for row in found])
    for failed in errors:
        print(f"pycnn: error: {failed['error']}", file=sys.stderr)
    if errors:
        raise typer.Exit(1)
