"""Measured points of an example: kept in a file as they come, so that a long run can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Points:
    """One JSON object a line; a point that is in the file is not measured again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def measure(self, key: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> None:
        """Add the point of this key, unless it is there, and print it."""
        if any(key.items() <= row.items() for row in self.rows):
            return
        row = {**key, **measure()}
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)

    def series(self, name: str, value: str, x: str, y: str) -> tuple[list[float], list[float]]:
        """The points whose `name` is `value`: their `x`, sorted, and their `y`."""
        found = sorted((row[x], row[y]) for row in self.rows if row[name] == value)
        return [point[0] for point in found], [point[1] for point in found]
