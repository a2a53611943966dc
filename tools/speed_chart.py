"""Draw docs/speed.png from benchmarks/results/models.json, and print the README's table.

python tools/speed_chart.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
COLOURS = {1: "#1f5fa8", 16: "#8fb8de"}


def draw(results: list[dict[str, Any]], threads: int, path: Path) -> None:
    networks = list(dict.fromkeys(r["network"] for r in results))
    batches = sorted({r["batch"] for r in results})
    figure, axes = plt.subplots(figsize=(8, 0.62 * len(networks) + 1.1))
    height = 0.8 / len(batches)
    for i, batch in enumerate(batches):
        for r in results:
            if r["batch"] == batch:
                y = networks.index(r["network"]) + (i - (len(batches) - 1) / 2) * height
                axes.barh(y, r["ratio"], 0.9 * height, color=COLOURS[batch])
                axes.text(r["ratio"] + 0.01, y, f"{r['ratio']:.2f}", va="center", fontsize=8)
        axes.barh(0, 0, color=COLOURS[batch], label=f"batch {batch}")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(networks)), networks)
    axes.invert_yaxis()
    axes.set_xlabel(f"time of pycnn over time of PyTorch, {threads} threads: left of 1 is faster")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| network | batch | pycnn ms | PyTorch ms | ratio |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['network']} | {r['batch']} | {r['pycnn']['median_ms']:.2f} "
        f"| {r['torch']['median_ms']:.2f} | {r['ratio']:.2f} |"
        for r in results
    ]
    return "\n".join(lines)


def main() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "models.json").read_text())
    threads = max(r["threads"] for r in found["results"])
    results = [r for r in found["results"] if r["threads"] == threads]
    draw(results, threads, ROOT / "docs" / "speed.png")
    print(table(results))


if __name__ == "__main__":
    main()
