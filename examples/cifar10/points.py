"""Measured points of an example: kept in a file as they come, so that a long run can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


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

    def draw(self, path: Path, name: str, styles: Mapping[str, str], title: str) -> None:
        """Accuracy by the images of each class: a line for each value of `name` in `styles`."""
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        for value, style in styles.items():
            found = sorted(
                (row["per_class"], 100 * row["accuracy"]) for row in self.rows if row[name] == value
            )
            axes.plot([x for x, _ in found], [y for _, y in found], style, label=value)
        axes.set_xscale("log")
        counts = sorted({row["per_class"] for row in self.rows})
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("images of each class")
        axes.set_ylabel("held-out images classified rightly, %")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(path, dpi=110)
