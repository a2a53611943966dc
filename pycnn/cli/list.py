"""``pycnn list``."""

from __future__ import annotations

from typing import Any

from pycnn.cli.common import Json, print_json, print_table
from pycnn.models import Variant, variants


def list_variants(as_json: Json = False) -> None:
    """List all networks: size, cost, input, labels, and where their weights are."""
    rows = [_row(variant) for variant in variants()]
    if as_json:
        print_json(rows)
        return
    header = ("name", "title", "parameters", "MMACs", "input", "labels", "weights")
    lines = [
        (
            row["name"],
            row["title"],
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e6:,.1f}",
            " x ".join(map(str, row["input"])),
            row["labels"] or "-",
            row["weights"] or "-",
        )
        for row in rows
    ]
    print_table(header, lines, right=("parameters", "MMACs"))


def _row(variant: Variant) -> dict[str, Any]:
    from pycnn.hub import weights_status
    from pycnn.summary import summarize

    graph = variant.graph()  # all of them take some 40 ms
    table = summarize(graph)
    return {
        "name": variant.id,
        "title": variant.title,
        "parameters": table.parameters,
        "macs": table.macs,
        "input": list(next(iter(graph.inputs.values()))),
        "labels": variant.labels,
        "weights": weights_status(variant),
    }
