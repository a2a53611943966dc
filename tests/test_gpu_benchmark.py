"""`python -m benchmarks gpu`, rehearsed on the CPU; its layers, on the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import harness, report
from benchmarks.gpu.clock import Rehearsal
from benchmarks.gpu.harness import Cell

ROOT = Path(__file__).resolve().parents[1]


def rehearse(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["-m", "benchmarks", "gpu", "--rehearse", "--resume", "--json", str(out)]
    command += ["--networks", "lenet5", "--engines", "pycnn,torch_graph", "--dtype", "float32"]
    return subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_rehearsal_goes_on_where_it_stopped(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    stopped = rehearse(out, "--batch", "1", "--minutes", "0")
    assert "are left: run this again" in stopped.stderr
    assert not out.exists()
    assert rehearse(out, "--batch", "1").returncode == 0
    first = json.loads(out.read_text())["entries"]
    assert rehearse(out, "--batch", "1,2").returncode == 0
    entries = json.loads(out.read_text())["entries"]
    assert entries[0] == first[0]
    assert [entry["batch"] for entry in entries] == [1, 2]
    assert all(set(entry["engines"]) == {"pycnn", "torch_graph"} for entry in entries)
    assert all(engine["error"] < 1e-4 for e in entries for engine in e["engines"].values())
    assert out.with_suffix(".md").read_text().count("| lenet5 |") == 2


@pytest.mark.usefixtures("cuda_on_host")
def test_layers_beside_the_peaks() -> None:
    layers = harness.layers(Cell("lenet5", 2, "float16"), runs=1)
    convolutions = [layer for layer in layers if layer["algorithm"]]
    assert len(convolutions) == 5
    assert all(layer["tflops"] > 0 and layer["gbps"] > 0 for layer in convolutions)
    c3 = next(layer for layer in layers if layer["name"].startswith("c3"))
    assert c3["tflops"] * c3["ms"] == pytest.approx(2e-9 * 2 * 10 * 10 * 16 * 6 * 25)
    entry = {**entry_of({"pycnn": ([1.0], 1e-3)}), "layers": layers}
    text = report.markdown([entry], "", {"H200, float16": {"tflops": 700.0, "gbps": 4000.0}})
    assert text.count("\n| c3") == 1
    assert "Peaks of the card: tflops 700, gbps 4000." in text


def entry_of(engines: dict[str, tuple[list[float], float]]) -> dict[str, Any]:
    found = {
        name: {"ms": ms, "latency_ms": ms, "error": error} for name, (ms, error) in engines.items()
    }
    about = {"card": "H200", "network": "lenet5", "batch": 2, "dtype": "float16", "layers": []}
    return {**about, "engines": found, **harness._compared(found)}


def test_the_ratio_is_to_the_best_of_the_others() -> None:
    engines = {"pycnn": ([2.0, 3.0], 0.0), "a": ([8.0, 8.0], 0.0), "b": ([4.0, 4.0], 0.0)}
    entry = entry_of(engines)
    assert entry["best_other"] == "b"
    assert entry["ms_ratio"] == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert "0.62 of b's time" in report.line(entry)


def test_an_engine_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(job: Any) -> Any:
        raise RuntimeError("no compiler here")

    def right(job: Any) -> Any:
        return lambda: job.net(job.x)

    engines = {"pycnn": right, "torch_compile": fails, "torch_graph": right}
    monkeypatch.setattr(harness, "ENGINES", engines)
    turns = harness.Turns(1, 0.0, 1)
    found = harness.measure(Cell("lenet5", 1, "float32"), list(engines), turns, Rehearsal())
    entry = {**entry_of({}), **found}
    assert entry["engines"]["torch_compile"]["failed"] == "RuntimeError: no compiler here"
    assert entry["best_other"] == "torch_graph"
    assert report.wrong(entry) == []
    assert "RuntimeError: no compiler here" in report.line(entry)
    del entry["engines"]["pycnn"]["ms"][:]
    assert report.wrong(entry) == ["pycnn"]


def test_a_wrong_result_is_not_timed_and_is_told() -> None:
    entry = entry_of({"pycnn": ([], 0.7), "a": ([8.0], 0.0)})
    assert report.wrong(entry) == ["pycnn"]
    assert "WRONG: 0.7 of the largest logit" in report.line(entry)
    assert "ms_ratio" not in entry
