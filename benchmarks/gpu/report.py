"""What the comparison on a GPU says: rows as they are measured, the tables of gpu.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.harness import Cell
from benchmarks.markdown import table

Entry = dict[str, Any]
Peaks = dict[str, dict[str, float]]  # by card and dtype


def read(path: Path) -> tuple[list[Entry], Peaks]:
    """Entries and peaks that a file has already, nothing where there is none."""
    if not path.exists():
        return [], {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["entries"], found["peaks"]


def has(entries: Sequence[Entry], cell: Cell, card: str) -> bool:
    """Whether the cell was measured on this card."""
    return any(_key(entry) == (card, *asdict(cell).values()) for entry in entries)


def put(entries: Sequence[Entry], new: Entry) -> list[Entry]:
    """The entries with this one, which replaces an earlier one of the same cell and card."""
    return [*(entry for entry in entries if _key(entry) != _key(new)), new]


def _key(entry: Entry) -> tuple[Any, ...]:
    return (entry["card"], entry["network"], entry["batch"], entry["dtype"])


def wrong(entry: Entry) -> list[str]:
    """Engines that computed another network and were not timed; pycnn also where it failed."""
    return [
        name
        for name, engine in entry["engines"].items()
        if not engine["ms"] and (name == "pycnn" or "failed" not in engine)
    ]


def line(entry: Entry) -> str:
    """A cell, an engine to a line."""
    text = [f"{entry['network']}, batch {entry['batch']}, {entry['dtype']}"]
    for name, engine in entry["engines"].items():
        if not engine["ms"]:
            why = engine.get("failed") or f"WRONG: {engine['error']:.3g} of the largest logit"
            text.append(f"  {name:<20} {why}")
            continue
        ms = statistics.median(engine["ms"])
        text.append(
            f"  {name:<20}{ms:>10.3f} ms {1e3 * entry['batch'] / ms:>10.0f} img/s"
            f"  alone {statistics.median(engine['latency_ms']):>9.3f} ms"
            f"  error {engine['error']:.1e}"
        )
    if "ms_ratio" in entry:
        text.append(f"  {entry['ms_ratio']:.2f} of {entry['best_other']}'s time")
    return "\n".join(text)


def markdown(entries: Sequence[Entry], heading: str, peaks: Peaks) -> str:
    """Networks beside the others, then pycnn's layers beside the card's peaks."""
    names = list(dict.fromkeys(name for entry in entries for name in entry["engines"]))
    head = ["card", "network", "batch", "dtype", *(f"{name} ms" for name in names)]
    head += ["images/s", "ratio", "alone", "error"]
    rows = []
    for entry in entries:
        ms = {
            name: statistics.median(engine["ms"]) if engine["ms"] else None
            for name, engine in entry["engines"].items()
        }
        own = ms.get("pycnn")
        rows.append(
            [
                entry["card"],
                entry["network"],
                str(entry["batch"]),
                entry["dtype"],
                *(_number(ms.get(name), ".3f") for name in names),
                _number(1e3 * entry["batch"] / own if own else None, ",.0f"),
                _number(entry.get("ms_ratio"), ".2f"),
                _number(entry.get("latency_ms_ratio"), ".2f"),
                _number(entry["engines"].get("pycnn", {}).get("error"), ".1e"),
            ]
        )
    text = ["# Networks on a GPU", "", heading, "", *table(head, rows), ""]
    for entry in entries:
        if entry["layers"]:
            text += _layers(entry, peaks.get(f"{entry['card']}, {entry['dtype']}", {}))
    return "\n".join(text)


def _layers(entry: Entry, peaks: dict[str, float]) -> list[str]:
    head = ["layer", "op", "algorithm", "tile", "split K", "ms", "TFLOP/s", "GB/s", "of peak"]
    rows = []
    for layer in entry["layers"]:
        parts = [layer[key] / peaks[key] for key in ("tflops", "gbps") if peaks.get(key)]
        numbers = [("tile", "d"), ("split_k", "d"), ("ms", ".4f"), ("tflops", ".1f")]
        rows.append(
            [
                layer["name"],
                layer["op"],
                layer["algorithm"] or "-",
                *(_number(layer[key], form) for key, form in numbers),
                _number(layer["gbps"], ".0f"),
                _number(max(parts) if parts else None, ".0%"),
            ]
        )
    title = f"## {entry['network']}, batch {entry['batch']}, {entry['dtype']}, {entry['card']}"
    known = ", ".join(f"{key} {value:.0f}" for key, value in peaks.items()) or "not measured"
    return [title, "", f"Peaks of the card: {known}.", "", *table(head, rows), ""]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
