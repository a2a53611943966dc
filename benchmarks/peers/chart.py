"""The ratios of peers.json as a picture, and as the table of the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.markdown import table
from benchmarks.peers.report import PEER_NAMES, Entry

AHEAD, BEHIND, TARGET = "#1f5fa8", "#c0392b", "#2e7d32"
EDGE = 1.3  # of the panels: longer bars are cut


def draw(entries: Sequence[Entry], path: Path) -> None:
    """A panel for each batch, a bar for each network."""
    batches = sorted({e["batch"] for e in entries})
    networks = list(dict.fromkeys(e["network"] for e in entries))
    size = (5.2 * len(batches), 0.42 * len(networks) + 1.7)
    figure, panels = plt.subplots(1, len(batches), figsize=size, sharey=True, squeeze=False)
    for axes, batch in zip(panels[0], batches, strict=True):
        for e in entries:
            if e["batch"] == batch:
                _bar(axes, networks.index(e["network"]), e)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_title(f"batch {batch}", loc="left", fontsize=11)
        axes.set_xlim(0, EDGE + 0.05)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "best peer"])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_yticks(range(len(networks)), networks)
    panels[0][0].invert_yaxis()
    threads = entries[0]["threads"]
    figure.suptitle(
        f"Time of pycnn over that of the fastest other runtime, float32, {threads} threads",
        x=0.01,
        ha="left",
        fontsize=12,
    )
    legend = [
        plt.Rectangle((0, 0), 1, 1, color=AHEAD, label="pycnn is ahead"),
        plt.Rectangle((0, 0), 1, 1, color=BEHIND, label="pycnn is behind"),
        plt.Line2D([], [], color=TARGET, marker="|", markersize=12, linestyle="", label="target"),
    ]
    figure.legend(handles=legend, loc="lower left", ncols=3, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=120)


def _bar(axes: Any, y: int, entry: Entry) -> None:
    """The ratio, cut at the edge of the panel, with its number, the peer, and the target."""
    ratio = entry["ratio"]
    axes.barh(y, min(ratio, EDGE), 0.62, color=AHEAD if ratio <= 1 else BEHIND)
    if ratio > EDGE:
        axes.plot(EDGE + 0.015, y, marker=">", color=BEHIND, markersize=8)
    if entry["target"]:
        axes.plot([entry["target"]] * 2, [y - 0.42, y + 0.42], color=TARGET, linewidth=2.5)
    text = f"{ratio:.2f}  {PEER_NAMES[entry['best_peer']]}"
    fits = ratio > 0.42
    place = 0.02 if fits else max(ratio, entry["target"] or 0) + 0.02
    axes.text(place, y, text, va="center", fontsize=8, color="white" if fits else "black")


def readme_table(entries: Sequence[Entry]) -> str:
    """Medians of pycnn and of the best peer, ratio and target."""
    rows = []
    for e in entries:
        own, best = (e["engines"][name]["times"]["median_ms"] for name in ("pycnn", e["best_peer"]))
        peer = PEER_NAMES[e["best_peer"]]
        rows.append(
            (e["network"], str(e["batch"]), f"{own:.2f}", f"{best:.2f} ({peer})")
            + (f"{e['ratio']:.2f}", f"{e['target']:.2f}")
        )
    return "\n".join(
        table(("network", "batch", "pycnn ms", "best peer ms", "ratio", "target"), rows)
    )
