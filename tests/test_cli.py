"""The command line, run as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pycnn

SAMPLES = Path(str(resources.files("pycnn") / "data" / "samples"))
THREE = str(SAMPLES / "digit_3_50950.png")


def pycnn_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pycnn", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def document(*arguments: str) -> Any:
    done = pycnn_command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_classify_the_shipped_digits() -> None:
    found = document("classify", str(SAMPLES), "--model", "lenet5", "--top", "3")
    assert found["model"] == "lenet5@mnist"
    assert found["errors"] == []
    assert len(found["results"]) == 20
    for result in found["results"]:
        digit = Path(result["file"]).name.split("_")[1]
        first, second, third = result["predictions"]
        assert first["label"] == digit
        assert first["probability"] >= second["probability"] >= third["probability"] >= 0
        assert result["ms"] > 0


def test_classify_prints_a_table() -> None:
    done = pycnn_command("classify", str(SAMPLES / "digit_3_*.png"), "--model", "lenet5")
    assert done.returncode == 0
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["file", "label", "probability", "network", "ms"]
    assert len(lines) == 2
    assert all(line.split()[1] == "3" for line in lines)


def test_an_unreadable_image_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    Image.open(THREE).save(tmp_path / "b.png")
    done = pycnn_command("classify", str(tmp_path), "--model", "lenet5", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [Path(r["file"]).name for r in found["results"]] == ["b.png"]
    assert [Path(e["file"]).name for e in found["errors"]] == ["a.png"]
    assert "a.png" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("classify", "absent.png", "--model", "lenet5"), 1, "absent.png"),
        (("classify", THREE, "--model", "lenett"), 1, "did you mean 'lenet5'"),
        (("classify", THREE, "--model", "alexnet"), 1, "alexnet@bvlc: PYCNN_OFFLINE forbids"),
        (("classify", THREE, "--model", "plain32"), 1, "no weights for plain32@paper"),
        (("diff", "alexnet", "alexnte"), 1, "did you mean 'alexnet'"),
        (("convert", "absent.npz", "w.npz"), 1, "absent.npz: no such file"),
        (("convert", "absent.h5", "w.npz"), 1, "absent.h5"),
        (("classify", THREE, "--model", "lenet5", "--isa", "mmx"), 1, "mmx"),
        (("classify", THREE), 2, "--model"),
        (("summary", "lenet5", "--option", "activation"), 2, "KEY=VALUE"),
        (("summary", "vgg11", "--option", "a=1", "--option", "a=2"), 2, "given twice"),
        (("summary", "lenet5", "--option", "activation=rleu"), 1, "did you mean 'relu'"),
        (("summary", "lenet5", "--size", "32"), 2, "HEIGHTxWIDTH"),
        (("summary", "lenet5", "--size", "8x8"), 1, "layer 'c3'"),
        (("sumary", "lenet5"), 2, "sumary"),
        (("cost", "vgg16", "conv11"), 1, "did you mean 'conv1_1'"),
        (("whatif", "vgg16", "conv1_1"), 2, "--width"),
        (("whatif", "vgg16", "conv1_1", "--bottleneck", "no"), 2, "neither a number nor none"),
        (("whatif", "vgg16", "conv1_1", "--bottleneck", "none"), 1, "no bottleneck in front"),
        (("draw", "lenet5", "--out", "lenet5.png"), 2, "what is written is .svg"),
        (("look", "filters", "lenet5", "c1", "--out", "c1.xyz"), 2, "what is written is .png"),
        (("parity", "lenet5", "--weights", "random"), 2, "made from hashes"),
        (("parity", "lenet5", "--tolerance", "nan"), 1, "tolerance must be a finite number"),
    ],
)
def test_errors(arguments: tuple[str, ...], status: int, message: str) -> None:
    done = pycnn_command(*arguments)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_path_without_images_does_not_stop_the_others() -> None:
    done = pycnn_command("classify", "absent.png", THREE, "--model", "lenet5", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [r["predictions"][0]["label"] for r in found["results"]] == ["3"]
    assert [e["file"] for e in found["errors"]] == ["absent.png"]
    assert done.stderr.startswith("pycnn: error: 'absent.png'")


def test_weights_that_give_nan_are_an_error(tmp_path: Path) -> None:
    arrays = {
        name: np.full(shape, np.nan, np.float32)
        for name, shape in pycnn.load("lenet5").graph.parameters.items()
    }
    np.savez(tmp_path / "nan.npz", **arrays)
    weights = str(tmp_path / "nan.npz")
    done = pycnn_command("classify", THREE, "--model", "lenet5", "--weights", weights)
    assert done.returncode == 1
    assert "NaN" in done.stderr and "nan.npz" in done.stderr
    assert done.stdout == ""


def test_bench_takes_no_random_weights_in_place_of_cached_ones(tmp_path: Path) -> None:
    lenet5 = resources.files("pycnn") / "data" / "weights" / "lenet5.safetensors"
    (tmp_path / "resnet20@akamaster.safetensors").write_bytes(lenet5.read_bytes())
    done = pycnn_command("bench", "resnet20@akamaster", "--runs", "1", PYCNN_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "is of lenet5@mnist, not of resnet20@akamaster" in done.stderr


def test_a_traceback_is_for_those_who_ask() -> None:
    assert "Traceback" in pycnn_command("info", "lenett", PYCNN_VERBOSE="1").stderr


def test_a_forced_instruction_set_that_is_not_there_is_an_error() -> None:
    absent = "neon" if "neon" not in pycnn.available_isas() else "avx2"
    done = pycnn_command("classify", THREE, "--model", "lenet5", PYCNN_CPU_ISA=absent)
    assert done.returncode == 1
    assert absent in done.stderr


def test_list_and_info_know_every_variant() -> None:
    listed = document("list")
    assert [row["name"] for row in listed] == [variant.id for variant in pycnn.variants()]
    assert listed[0] == {
        "name": "lenet5@mnist",
        "title": "LeNet-5",
        "parameters": 61_706,
        "macs": 416_520,
        "input": [1, 32, 32],
        "labels": "mnist",
        "weights": "ships",
    }
    about = document("info", "inception_v1", "--option", "aux=true")
    assert about["parameters"] == 13_378_280
    assert about["outputs"] == ["loss3/classifier", "aux1", "aux2"]
    assert about["preprocessing"]["mean"] == [104, 117, 123]
    assert "MACs" in pycnn_command("info", "vgg16").stdout


def test_info_says_where_weights_are_published_and_how_sure_a_file_is(tmp_path: Path) -> None:
    published = document("info", "resnet50@torchvision_v2")["published"]
    assert published["digest"] == "sha256:11ad3fa6"
    assert published["url"] == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert published["top1"] == 80.858
    text = pycnn_command("info", "vgg16").stdout
    assert "none stated: the first download's is kept" in text
    pycnn.load("resnet20", weights="random").save(tmp_path / "w.npz")
    about = document("info", "resnet20", "--weights", str(tmp_path / "w.npz"))
    assert about["file"]["recognised_by"] == "passport"
    text = pycnn_command("info", "resnet20", "--weights", str(tmp_path / "w.npz")).stdout
    assert "w.npz, recognised by passport" in text


def test_diff() -> None:
    found = document("diff", "resnet50@msra", "resnet50")
    assert (found["a"], found["b"]) == ("resnet50@msra", "resnet50@torchvision")
    table = {row["what"]: row for row in found["differences"]}
    assert table["parameters"]["a"] == "25,557,096"
    assert "bias" in table["conv1"]["a"]
    assert "bias" not in table["conv1"]["b"]
    assert table["pool1"]["b"] == "max_pool2d kernel_size=3 stride=2 padding=1"
    assert "conv1_relu" not in table
    lines = pycnn_command(
        "diff", "inception_v1@bvlc", "inception_v1@torchvision"
    ).stdout.splitlines()
    assert lines[0].split() == ["inception_v1@bvlc", "inception_v1@torchvision"]
    assert any(line.startswith("layers: lrn") for line in lines)
    assert "differ in nothing" in pycnn_command("diff", "lenet5", "lenet5").stdout


def test_diff_of_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "edited.safetensors")
    pycnn.load("lenet5").edit(drop="s2/tanh").save(path)
    found = document("diff", "lenet5", path)
    table = {row["what"]: row for row in found["differences"]}
    assert table["s2/tanh"] == {"what": "s2/tanh", "a": "tanh scale=1 slope=1", "b": "-"}
    assert "MACs" not in table


def test_convert(tmp_path: Path) -> None:
    model = pycnn.load("lenet5")
    bare, saved, again = (tmp_path / name for name in ("bare.npz", "saved.safetensors", "a.npz"))
    np.savez(bare, **{name: model._weights.get(name) for name in model.graph.parameters})
    done = document("convert", str(bare), str(saved))
    assert done == {"file": str(saved), "tensors": 10, "network": "lenet5@mnist"}
    assert pycnn.load(saved).recognised_by == "passport"
    assert "10 tensors of lenet5@mnist" in pycnn_command("convert", str(saved), str(again)).stdout
    x = np.ones((1, 1, 32, 32), np.float32)
    np.testing.assert_array_equal(pycnn.load(again).run(x), model.run(x))


def test_files_in_place_of_names(tmp_path: Path) -> None:
    path = str(tmp_path / "mine.safetensors")
    pycnn.load("lenet5").save(path)
    found = document("classify", THREE, "--model", path)
    assert found["model"] == "lenet5@mnist"
    assert found["results"][0]["predictions"][0]["label"] == "3"
    assert document("summary", path)["parameters"] == 61_706
    assert document("bench", path, "--runs", "1")["weights"] == path
    done = pycnn_command("classify", THREE, "--model", path, "--option", "activation=tanh")
    assert done.returncode == 2
    assert "is a file, which has none" in done.stderr


def test_convert_weights_of_no_known_network(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", a=np.ones((2, 3), np.float16), steps=np.arange(3))
    done = document("convert", str(tmp_path / "in.npz"), str(tmp_path / "out.safetensors"))
    assert (done["tensors"], done["network"]) == (1, "an unknown network")
    done = pycnn_command(
        "convert", str(tmp_path / "in.npz"), str(tmp_path / "out.npz"), "--as", "lenet5"
    )
    assert done.returncode == 1
    assert "do not fit lenet5" in done.stderr
    assert not (tmp_path / "out.npz").exists()


def test_convert_needs_the_name_where_names_and_shapes_do_not_tell(tmp_path: Path) -> None:
    plain = pycnn.load("plain32", weights="random")
    arrays = {name: plain._weights.get(name) for name in plain.graph.parameters}
    np.savez(tmp_path / "in.npz", **arrays)
    out = str(tmp_path / "out.npz")
    done = document("convert", str(tmp_path / "in.npz"), out)
    assert done["network"] == "one of resnet32@akamaster, plain32@paper"
    document("convert", str(tmp_path / "in.npz"), out, "--as", "plain32")
    assert pycnn.load(out).name == "plain32@paper"


def test_summary() -> None:
    table = document("summary", "lenet5", "--batch", "2", "--option", "activation=relu")
    assert (table["parameters"], table["macs"]) == (61_706, 2 * 416_520)
    assert [layer["name"] for layer in table["layers"]][:3] == ["c1", "s2", "s2/relu"]
    wide = document("summary", "inception_v1", "--size", "224x224")
    assert wide["macs"] == 1_582_671_872
    assert "61,706" in pycnn_command("summary", "lenet5").stdout


def test_cost() -> None:
    found = document("cost", "inception_v1", "inception_3a/5x5")
    assert found["saving"]["macs_without"] == 120_422_400
    assert found["saving"]["total_macs"] == 12_443_648
    assert "9.7 times" in pycnn_command("cost", "inception_v1", "inception_3a/5x5").stdout
    one, two = (document("cost", "resnet18", "conv1", "--size", s) for s in ("32x32", "64x32"))
    assert two["macs"] == 2 * one["macs"]


def test_whatif() -> None:
    found = document("whatif", "inception_v1", "inception_3a/5x5", "--bottleneck", "none")
    assert found["after"]["macs"] - found["before"]["macs"] == 120_422_400 - 12_443_648
    text = pycnn_command("whatif", "vgg16", "conv1_1", "--width", "32", "--kernel", "5").stdout
    assert "width=32, kernel_size=5" in text
    bare = document("whatif", "vgg16", "conv1_1", "--padding", "0")
    assert bare["asked"] == "padding=0"
    assert bare["changes"][0]["shape_after"] == [1, 64, 222, 222]


def test_draw(tmp_path: Path) -> None:
    out = tmp_path / "alexnet.svg"
    assert document("draw", "alexnet", "--out", str(out)) == {"file": str(out), "svg": None}
    assert pycnn_command("draw", "alexnet").stdout == out.read_text()
    assert ">AlexNet</text>" in out.read_text()


def test_parity() -> None:
    found = document("parity", "lenet5", "--isa", "baseline", "--algorithm", "direct")
    (run,) = found["runs"]
    assert (run["isa"], run["algorithms"], run["diverges"]) == ("baseline", "direct", None)
    assert found["holds"] is True
    arguments = ("parity", "lenet5", "--algorithm", "latency", "--layers", "--tolerance", "1e-9")
    done = pycnn_command(*arguments)
    assert done.returncode == 1
    assert "beyond the tolerance" in done.stderr
    assert "c5/tanh" in done.stdout


def test_profile(tmp_path: Path) -> None:
    chart, trace = tmp_path / "chart.svg", tmp_path / "trace.json"
    arguments = ("profile", "lenet5", "--runs", "2", "--chart", str(chart), "--trace", str(trace))
    found = document(*arguments)
    assert found["network"] == "lenet5@mnist"
    assert {layer["name"] for layer in found["layers"]} > {"c1", "s2/tanh", "output"}
    assert chart.read_text().startswith("<svg")
    assert json.loads(trace.read_text())["traceEvents"]
    assert "of the limit" in pycnn_command("profile", "lenet5", "--runs", "1").stdout


def test_look(tmp_path: Path) -> None:
    out = str(tmp_path / "picture.png")
    assert document("look", "filters", "lenet5", "c1", "--out", out)["size"] == [124, 82]
    with Image.open(out) as picture:
        assert picture.size == (124, 82)
    maps = document("look", "maps", "lenet5", "c1", THREE, "--out", out)
    assert maps["file"] == out
    found = document("look", "regions", "lenet5", "c3", "5", str(SAMPLES), "--out", out)
    assert len(found["regions"]) == 9
    assert Path(found["regions"][0]["image"]).parent == SAMPLES
    arguments = ("look", "cam", "resnet20", THREE, "--weights", "random", "--class", "ship")
    assert document(*arguments, "--out", out)["label"] == "ship"
    done = pycnn_command("look", "cam", "lenet5", THREE, "--out", out)
    assert done.returncode == 1
    assert "no class activation maps" in done.stderr


def test_bench() -> None:
    result = document("bench", "lenet5", "--runs", "3", "--batch", "2", "--threads", "1")
    assert result["model"] == "lenet5@mnist"
    assert result["batch"] == 2
    assert 0 < result["min_ms"] <= result["median_ms"] <= result["p90_ms"]
    assert "2 x MACs" in pycnn_command("bench", "resnet20", "--runs", "2").stdout


def test_the_script_is_the_module() -> None:
    script = Path(sys.executable).with_name("pycnn")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == pycnn_command("--version").stdout


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = f"{sys.executable} -m pycnn summary resnet152 | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout == "resnet152\n"


@pytest.mark.parametrize("arguments", ["list", "--version", "--help", "info alexnet"])
def test_a_reader_that_reads_nothing_is_no_error(arguments: str) -> None:
    # Buffered as for a user, whatever the environment of the tests: the last flush fails.
    command = f"(sleep 0.05; env -u PYTHONUNBUFFERED {sys.executable} -m pycnn {arguments}) | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_an_error() -> None:
    command = f"env -u PYTHONUNBUFFERED {sys.executable} -m pycnn list > /dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("pycnn: error: ")
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_is_quiet() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pycnn", "bench", "resnet20", "--runs", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    try:
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, output, errors) == (130, b"", b"")


def test_a_name_of_any_bytes(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9 \x1b[31m\n.png"
    Path(os.fsdecode(name)).write_bytes(Path(THREE).read_bytes())
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    arguments = ("classify", str(tmp_path), "--model", "lenet5")
    done = pycnn_command(*arguments, **strict)
    assert done.returncode == 0
    assert "/caf\\udce9 \\x1b[31m\\n.png  3  " in done.stdout
    done = pycnn_command(*arguments, "--json", **strict)
    assert os.fsencode(json.loads(done.stdout)["results"][0]["file"]) == name


def test_names_with_brackets_are_printed_as_they_are(tmp_path: Path) -> None:
    name = tmp_path / "[bold]7[red].png"
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(name)
    done = pycnn_command("classify", str(tmp_path), "--model", "lenet5")
    assert done.returncode == 0
    assert "[bold]7[red].png" in done.stdout
