"""The benchmarks run, check results before they time; their shapes are those of the networks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_shapes_are_those_of_the_networks() -> None:
    done = run("tools/make_shapes.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_ops(tmp_path: Path) -> None:
    out = tmp_path / "ops.json"
    quick = ["--quick", "--threads", "1", "--json", str(out)]
    done = run("-m", "benchmarks", "ops", "--op", "lrn", "--op", "linear", *quick)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert {result["op"] for result in found["results"]} == {"lrn", "linear"}
    assert found["machine"]
    assert out.with_suffix(".md").read_text().count("|") > 20


def test_models(tmp_path: Path) -> None:
    out = tmp_path / "models.json"
    quick = ["--quick", "--batch", "1", "--threads", "1", "--json", str(out)]
    done = run("-m", "benchmarks", "models", "lenet5", "resnet20", *quick)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())["results"]
    assert [result["network"] for result in results] == ["lenet5", "resnet20"]
    assert all(result["error"] < 1e-4 for result in results)
    assert all(result["pycnn"]["median_ms"] > 0 for result in results)


def test_unknown_names_are_refused() -> None:
    assert run("-m", "benchmarks", "models", "lenet6", "--quick").returncode == 1
    assert run("-m", "benchmarks", "ops", "--op", "conv3d", "--quick").returncode == 2
