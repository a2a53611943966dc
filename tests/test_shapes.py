"""benchmarks/shapes lists what the registered networks run."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ROOT / "benchmarks" / "shapes"
OPS = ("conv2d", "linear", "pool2d", "lrn", "add", "softmax", "concat")


def test_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_shapes.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("op", OPS)
def test_rows(op: str) -> None:
    with (SHAPES / f"{op}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    geometries = [tuple(row.values())[3:] for row in rows]
    assert len(set(geometries)) == len(rows), "a geometry is listed twice"
    for row in rows:
        uses = [int(entry.rpartition(":")[2]) for entry in row["networks"].split()]
        assert sum(uses) == int(row["count"])
