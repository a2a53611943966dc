"""What a comparison says: the ratio to the best peer, and the tables of peers.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import DISTURBED
from benchmarks.markdown import table
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.harness import FLOAT32, NETWORKS, Cell, Comparison, Turns

# pycnn's time over the best peer's: at most this, at batch 1 and at batch 16.
TARGETS = {
    "lenet5": {1: 0.50, 16: 0.60},
    "alexnet": {1: 0.68, 16: 0.55},
    "nin": {1: 0.62, 16: 0.60},
    "inception_v1": {1: 0.58, 16: 0.48},
    "vgg16": {1: 0.62, 16: 0.50},
    "vgg19": {1: 0.62, 16: 0.50},
    "resnet18": {1: 0.58, 16: 0.55},
    "resnet34": {1: 0.58, 16: 0.55},
    "resnet50": {1: 0.75, 16: 0.75},
    "resnet101": {1: 0.76, 16: 0.72},
    "resnet152": {1: 0.76, 16: 0.72},
}
START_TARGET = 0.6  # load and first run, over the fastest peer's
MEMORY_TARGETS = {"vgg16": 1.05, "vgg19": 1.05}  # peak memory, over the leanest peer's
MEMORY_TARGET = 0.9

Entry = dict[str, Any]  # a cell and what was found, as it is stored


def entry(cell: Cell, turns: Turns, comparison: Comparison, commit: str | None) -> Entry:
    """What is stored of a cell."""
    found = {
        **asdict(cell),
        "commit": commit,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "turns": asdict(turns),
        "target": TARGETS.get(cell.network, {}).get(cell.batch),
        **asdict(comparison),
    }
    return {**found, **_compared(found["engines"])}


def read(path: Path) -> list[Entry]:
    """What a file has already, nothing where there is none."""
    if not path.exists():
        return []
    entries: list[Entry] = json.loads(path.read_text(encoding="utf-8"))["entries"]
    return entries


def has(entries: Sequence[Entry], cell: Cell) -> bool:
    """Whether the cell is there, measured while nobody else was busy."""
    return any(_key(e) == _key(asdict(cell)) and e["others_cpus"] <= DISTURBED for e in entries)


def put(entries: Sequence[Entry], new: Entry) -> list[Entry]:
    """The entries with this one, which replaces an earlier one of the same cell, in order."""
    kept = [e for e in entries if _key(e) != _key(new)]
    return sorted([*kept, new], key=_key)


def _key(found: Entry) -> tuple[int, int, int, str]:
    order = NETWORKS.index(found["network"])
    return (order, found["batch"], found["threads"], found["isa"])


def _compared(engines: dict[str, Any]) -> Entry:
    """pycnn over the best float32 peer: of the time, of the start, of the memory."""
    peers = [name for name in engines if name != "pycnn" and engines[name]["float32"]]
    if "pycnn" not in engines or not peers:
        return {}
    own = engines["pycnn"]
    best = min(peers, key=lambda name: statistics.median(engines[name]["turn_median_ms"]))
    return {
        "best_peer": best,
        "ratio": _ratio(own, engines[best], "turn_median_ms"),
        "ratio_of_minima": _ratio(own, engines[best], "turn_min_ms"),
        "start_ratio": own["start_ms"] / min(engines[name]["start_ms"] for name in peers),
        "start_ratio_with_import": (own["import_ms"] + own["start_ms"])
        / min(engines[name]["import_ms"] + engines[name]["start_ms"] for name in peers),
        "memory_ratio": own["peak_bytes"] / min(engines[name]["peak_bytes"] for name in peers),
    }


def _ratio(own: dict[str, Any], other: dict[str, Any], key: str) -> float:
    """The median over the turns of the ratio within a turn."""
    return statistics.median(a / b for a, b in zip(own[key], other[key], strict=True))


# Printing -----------------------------------------------------------------------------------------


def lines(found: Entry) -> str:
    """A cell, an engine to a line."""
    text = [f"{found['network']}, batch {found['batch']}, threads {found['threads']}"]
    if found["others_cpus"] > DISTURBED:
        text[0] += f"; others kept {found['others_cpus']:.1f} CPUs busy"
    for name, m in found["engines"].items():
        t = m["times"]
        text.append(
            f"  {name:<17}{t['median_ms']:>10.3f} ms  p90 {t['p90_ms']:>9.3f}"
            f"  min {t['min_ms']:>9.3f}  start {m['start_ms']:>7.0f} ms"
            f"  {m['peak_bytes'] >> 20:>5} MB  error {m['error']:.1e}"
            + ("" if m["float32"] else "  not float32")
        )
    if "ratio" in found:
        target = f", target {found['target']:.2f}" if found["target"] else ""
        text.append(
            f"  ratio to {PEER_NAMES[found['best_peer']]} {found['ratio']:.2f} (of minima "
            f"{found['ratio_of_minima']:.2f}{target}); start {found['start_ratio']:.2f}, "
            f"memory {found['memory_ratio']:.2f}"
        )
    return "\n".join(text)


COLUMNS = {  # of the tables: the form of PyTorch that is fastest in a cell stands for it
    "ONNX Runtime": ("onnxruntime",),
    "OpenVINO": ("openvino",),
    "ncnn": ("ncnn",),
    "MNN": ("mnn",),
    "PyTorch": ("torch_eager", "torch_frozen", "torch_inductor"),
}
PEER_NAMES = {name: column for column, names in COLUMNS.items() for name in names}


def markdown(entries: Sequence[Entry], heading: str) -> str:
    """The tables of a stored comparison."""
    commits = ", ".join(dict.fromkeys(str(e["commit"]) for e in entries))
    return "\n".join(
        [
            "# pycnn beside other runtimes",
            "",
            heading,
            "",
            *_method(entries[0], commits),
            "",
            "## Time of a run",
            "",
            "Milliseconds, median / p90 / minimum.",
            "",
            *_times(entries),
            "",
            "## Load and first run, peak memory",
            "",
            *_START,
            "",
            *_starts([e for e in entries if e["batch"] == 1]),
            "",
            "## Precision",
            "",
            *_PRECISION,
            "",
            *_errors(entries),
            "",
            "## Apart: runtimes at their default precision",
            "",
            *_apart(entries),
            "",
        ]
    )


def _method(one: Entry, commits: str) -> list[str]:
    turns = one["turns"]
    held = [name for name, engine in ENGINES.items() if engine.avx2]
    avx2 = [
        "pycnn runs with PYCNN_CPU_ISA=avx2. Of these the convolutions are held to AVX2 too: "
        f"{', '.join(held)}. The others have no such switch and use AVX-512."
    ]
    return [
        f"pycnn {commits}. The same float32 NCHW NumPy in, NumPy logits out, the same random",
        f"weights. Each engine has a process of its own; {turns['count']} turns, A B C A B C, of",
        f"{turns['turn_s']} s each, {turns['pause_s']} s of rest before each, its first run not",
        "counted. The best peer is the float32 engine with the smallest median; the ratio is",
        "pycnn's time over its own, the median over the turns of the ratio within a turn; below 1",
        "pycnn is ahead. ! marks what was measured while others kept more than "
        f"{DISTURBED} CPUs busy. Settings: "
        + "; ".join(f"{name}: {ENGINES[name].settings}" for name in ENGINES if name != "pycnn")
        + ".",
        *(avx2 if one["isa"] == "avx2" else []),
    ]


_START = """\
In a fresh process, from each engine's own file: milliseconds of loading and first run together (in
brackets the import of the engine's module, which is not in it), and the most memory that the
process had resident until then: interpreter, NumPy, the engine's library, mapped files, weights.
Batch 1. Of PyTorch the best form for each: eagerly it maps its file and packs nothing, but its
import takes a second, so the ratio is given with the imports as well.
""".splitlines()
_PRECISION = f"""\
The largest difference of a logit from PyTorch in float64, by the largest logit. Marked * and not
compared as float32: what is further away than {FLOAT32:.0e}, pycnn's own contract, and what was not
asked for float32.
""".splitlines()


def _best_of(found: Entry, names: Sequence[str]) -> str | None:
    there = [name for name in names if name in found["engines"]]
    return min(there, default=None, key=lambda n: found["engines"][n]["times"]["median_ms"])


def _cell(found: Entry) -> tuple[str, str, str]:
    return (found["network"], str(found["batch"]), str(found["threads"]))


def _times(entries: Sequence[Entry]) -> list[str]:
    def text(found: Entry, names: Sequence[str]) -> str:
        name = _best_of(found, names)
        if name is None:
            return "-"
        t = found["engines"][name]["times"]
        form = f" ({name.partition('_')[2]})" if len(names) > 1 else ""
        return f"{_ms(t['median_ms'])} / {_ms(t['p90_ms'])} / {_ms(t['min_ms'])}{form}"

    rows = [
        (*_cell(e)[:2], _cell(e)[2] + (" !" if e["others_cpus"] > DISTURBED else ""))
        + (text(e, ("pycnn",)), *(text(e, names) for names in COLUMNS.values()))
        + (
            PEER_NAMES.get(e.get("best_peer"), "-"),
            _two(e.get("ratio")),
            _two(e.get("ratio_of_minima")),
        )
        + (_two(e["target"]),)
        for e in entries
    ]
    head = ("network", "batch", "threads", "pycnn", *COLUMNS, "best peer", "ratio", "of minima")
    return table((*head, "target"), rows)


def _starts(entries: Sequence[Entry]) -> list[str]:
    def text(found: Entry, names: Sequence[str]) -> str:
        there = [found["engines"][name] for name in names if name in found["engines"]]
        if not there:
            return "-"
        start, peak = (min(m[key] for m in there) for key in ("start_ms", "peak_bytes"))
        imports = min(m["import_ms"] for m in there)
        return f"{start:.0f} ms (import {imports:.0f}), {peak >> 20} MB"

    rows = [
        (e["network"], str(e["threads"]), text(e, ("pycnn",)))
        + tuple(text(e, names) for names in COLUMNS.values())
        + (_two(e.get("start_ratio")), _two(e.get("start_ratio_with_import")))
        + (_two(START_TARGET), _two(e.get("memory_ratio")))
        + (_two(MEMORY_TARGETS.get(e["network"], MEMORY_TARGET)),)
        for e in entries
    ]
    head = ("network", "threads", "pycnn", *COLUMNS)
    return table((*head, "start ratio", "with import", "target", "memory ratio", "target"), rows)


def _errors(entries: Sequence[Entry]) -> list[str]:
    names = [name for name in ENGINES if any(name in e["engines"] for e in entries)]

    def text(found: Entry, name: str) -> str:
        m = found["engines"].get(name)
        return f"{m['error']:.0e}{'' if m['float32'] else '*'}" if m else "-"

    threads = max(e["threads"] for e in entries)
    rows = [
        (*_cell(e)[:2], *(text(e, name) for name in names))
        for e in entries
        if e["threads"] == threads
    ]
    return table(("network", "batch", *names), rows)


def _apart(entries: Sequence[Entry]) -> list[str]:
    rows = [
        (*_cell(e), name, _ms(m["times"]["median_ms"]), f"{m['error']:.0e}")
        + (_two(_ratio(e["engines"]["pycnn"], m, "turn_median_ms")),)
        for e in entries
        for name, m in e["engines"].items()
        if "pycnn" in e["engines"] and name != "pycnn" and not m["float32"]
    ]
    head = ("network", "batch", "threads", "engine", "median ms", "error", "pycnn's time over it")
    return table(head, rows)


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.1f}"


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
