"""The shapes in which the networks use each op: benchmarks/shapes/*.csv."""

from __future__ import annotations

import csv
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "shapes"


def rows(op: str) -> list[dict[str, str]]:
    with (FOLDER / f"{op}.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert found, f"no shapes of {op}"
    return found


def layer_id(row: dict[str, str]) -> str:
    return f"{row['networks'].split(':')[0]}-{row['layer']}"
