"""``pycnn list``."""

from __future__ import annotations

from pycnn.cli.common import Json, print_json, print_table
from pycnn.models import variants


def list_variants(as_json: Json = False) -> None:
    """List all networks and where their weights are."""
    from pycnn.hub import weights_status

    rows = [
        {
            "name": variant.id,
            "title": variant.title,
            "labels": variant.labels,
            "weights": weights_status(variant),
        }
        for variant in variants()
    ]
    if as_json:
        print_json(rows)
        return
    header = ("name", "title", "labels", "weights")
    print_table(header, [[row[key] or "-" for key in header] for row in rows])
