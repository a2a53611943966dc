"""The benchmarks run, check results before they time; their shapes are those of the networks."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers import engines, prepare, report
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.harness import Cell, Comparison, Measured, Turns
from benchmarks.timing import Times
from pycnn import _core

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


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "pycnn"])
def test_peers(engine: str, tmp_path: Path) -> None:
    """A real run beside each engine that is here, resumed where it was interrupted."""
    if not engines.installed(engine):
        pytest.skip(f"{ENGINES[engine].distribution} is not installed")
    out = tmp_path / "peers.json"
    command = ["-m", "benchmarks", "peers", "--networks", "lenet5", "--threads", "1", "--quick"]
    command += ["--engines", f"pycnn,{engine}", "--json", str(out), "--resume"]
    done = run(*command, "--batch", "1")
    assert done.returncode == 0, done.stderr
    done = run(*command, "--batch", "1,3")
    assert done.returncode == 0, done.stderr
    entries = json.loads(out.read_text())["entries"]
    assert [(e["network"], e["batch"]) for e in entries] == [("lenet5", 1), ("lenet5", 3)]
    for entry in entries:
        own, other = entry["engines"]["pycnn"], entry["engines"][engine]
        assert own["float32"]
        assert other["float32"] == ENGINES[engine].float32
        assert min(own["peak_bytes"], other["peak_bytes"]) > 10 << 20
        assert min(own["start_ms"], other["start_ms"]) > 0
        assert ("ratio" in entry) == ENGINES[engine].float32
    assert "\n| lenet5 | 3 | 1" in out.with_suffix(".md").read_text()


def measured(median_ms: float, *, start_ms: float = 1.0, float32: bool = True) -> Measured:
    times = Times(median_ms, median_ms, median_ms, median_ms, repetitions=3)
    turns = [median_ms, 2 * median_ms, 2 * median_ms]  # the machine slowed down
    return Measured(
        version="1",
        error=0.0,
        float32=float32,
        times=times,
        turn_median_ms=turns,
        turn_min_ms=turns,
        import_ms=1.0,
        load_ms=start_ms,
        first_run_ms=0.0,
        start_ms=start_ms,
        peak_bytes=1 << 20,
    )


def test_the_best_peer_is_the_fastest_that_computes_in_float32() -> None:
    cell = Cell("vgg16", 16, 2, "avx512")
    found = {
        "pycnn": measured(6.0, start_ms=2.0),
        "onnxruntime": measured(12.0, start_ms=4.0),
        "ncnn": measured(10.0, start_ms=8.0),
        "torch_eager": measured(3.0, float32=False),  # it should, and does not
        "openvino_default": measured(2.0, float32=False),
    }
    entry = report.entry(cell, Turns(), Comparison(found, 0.0), "abc")
    assert entry["best_peer"] == "ncnn"
    assert entry["ratio"] == pytest.approx(0.6)
    assert entry["start_ratio"] == pytest.approx(0.5)
    assert entry["target"] == 0.5
    assert "not float32" in report.lines(entry)
    apart = report.markdown([entry], "").partition("## Apart")[2]
    assert "torch_eager" in apart and "openvino_default" in apart and "ncnn" not in apart


def test_a_cell_that_is_measured_again_replaces_itself() -> None:
    cells = [Cell("vgg16", 1, 2, "avx512"), Cell("lenet5", 1, 2, "avx512")]

    def entry(cell: Cell, commit: str, others_cpus: float = 0.0) -> report.Entry:
        found = Comparison({"pycnn": measured(1.0)}, others_cpus)
        return report.entry(cell, Turns(), found, commit)

    old = [entry(cell, "old") for cell in cells]
    entries = report.put(report.put([], old[0]), old[1])
    assert [e["network"] for e in entries] == ["lenet5", "vgg16"]
    entries = report.put(entries, entry(cells[0], "new"))
    assert [e["commit"] for e in entries] == ["old", "new"]
    assert report.has(entries, cells[0])
    assert not report.has(entries, Cell("vgg16", 1, 1, "avx512"))
    assert not report.has([entry(cells[0], "busy", others_cpus=1.5)], cells[0])


def test_files_are_made_anew_when_their_makers_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def make(command: list[str], **_: object) -> None:
        asked.append(command[-2:])
        for name in command[-2:]:
            (tmp_path / "lenet5" / name).write_text("made")

    monkeypatch.setattr(prepare, "FOLDER", tmp_path)
    monkeypatch.setattr(prepare.subprocess, "run", make)
    files = [prepare.ONNX, prepare.LOGITS]
    for _ in range(2):
        assert prepare.folder("lenet5", [prepare.ONNX]) == tmp_path / "lenet5"
    assert asked == [files]
    monkeypatch.setattr(prepare, "_made_by", lambda: "other makers")
    prepare.folder("lenet5", [prepare.ONNX])
    assert asked == [files, files]


def test_layers(tmp_path: Path) -> None:
    out = tmp_path / "layers.json"
    command = ["layers", "--networks", "lenet5", "--threads", "1", "--batch", "1", "--runs", "3"]
    done = run("-m", "benchmarks", *command, "--json", str(out))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(out.read_text())["results"]
    assert [layer["name"] for layer in found["layers"]] == ["c1", "c3", "c5", "f6", "output"]
    accounted = sum(layer["ms"] for layer in found["layers"]) + sum(found["other_ms"].values())
    assert accounted == pytest.approx(found["ms"])
    assert "| c3 | 5x5 6->16 10x10 |" in out.with_suffix(".md").read_text()


def test_winograds_products() -> None:
    """F(m, r) takes m + r - 1 products; a stride of 2 cuts 3 taps into 2 and 1."""
    assert _core.conv2d_winograd("winograd_f4x4_3x3") == (4, 36, True)
    assert _core.conv2d_winograd("winograd_f2x2_5x5") == (2, 36, True)
    assert _core.conv2d_winograd("winograd_f4x4_3x3_stride2") == (4, 81, True)
    assert _core.conv2d_winograd("winograd_f5x5_3x3_plain") == (5, 49, False)
    assert _core.conv2d_winograd("direct") is None


def test_unknown_names_are_refused() -> None:
    assert run("-m", "benchmarks", "peers", "--networks", "lenet6", "--quick").returncode == 2
    assert run("-m", "benchmarks", "peers", "--engines", "caffe", "--quick").returncode == 2
    assert run("-m", "benchmarks", "peers", "--batch", "17", "--quick").returncode == 2
    assert run("-m", "benchmarks", "ops", "--op", "conv3d", "--quick").returncode == 2


@pytest.mark.parametrize("case", ["cifar", "cifar-more"])
def test_streams_give_all_images_of_the_shape_that_the_network_takes(
    case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import streams
    from benchmarks.torchvision_steps import steps_of

    small = dataclasses.replace(streams.CASES[case], images=40, batch_size=16)
    monkeypatch.setitem(streams.CASES, case, small)
    streams.run(case, "pycnn", 2)
    found = json.loads(capsys.readouterr().out)
    assert found["images_per_s"] > 0 and found["start_ms"] > 0 and found["memory_mib"] >= 0

    picture = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    for step in steps_of(small.augmentation):
        picture = step(picture)
    assert picture.size == (32, 32) and picture.mode == "RGB"


def test_streams_are_listed_by_case() -> None:
    from benchmarks import streams

    result = streams.Result("photographs", "pycnn", 2, 170.4, 271.0, 122.0, 0.3)
    text = streams.markdown([result], "on a machine")
    assert "| 2 | pycnn | 170 | 271 | 122 | 0.3 |" in text and "on a machine" in text
    assert "others kept 0.3 CPUs busy" in streams.line(result)
