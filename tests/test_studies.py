"""The papers' claims as experiments: pages that load nothing, and training that goes on."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import pycnn
from pycnn.errors import ImageError, UnknownNameError, UnsupportedError, WeightsError
from pycnn.inside.studies import STUDIES, Settings, cifar10, mnist, study
from pycnn.inside.studies.report import Report, new_figure
from pycnn.inside.studies.shrink_and_deepen import stages
from pycnn.models import find
from pycnn.vision import Dataset

Rng = np.random.Generator


def images(rng: Rng, n: int) -> Dataset:
    """Of two classes that are easily told apart: dark and light."""
    labels = rng.integers(0, 2, n)
    pixels = rng.integers(0, 80, (n, 32, 32, 3)) + 150 * labels[:, None, None, None]
    return Dataset(pixels.astype(np.uint8), labels, [f"class {i}" for i in range(10)])


# Reports ------------------------------------------------------------------------------------------


def test_a_page_is_whole_and_nothing_in_it_is_markup() -> None:
    report = Report("x", "<script>", "a & b", {"data": "<i>"})
    report.text("<b>")
    report.table("<c>", ("<d>",), [("<e>",)])
    report.finding("<f>")
    figure = new_figure()
    figure.subplots().set_title("<g>")
    report.figure(figure, '"<h>')
    page = report.html()
    for letter in ("script", "i", "b", "c", "d", "e", "f", "h"):
        assert f"&lt;{letter}&gt;" in page
        assert f"<{letter}>" not in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert json.loads(json.dumps(report.to_dict()))["findings"] == ["<f>"]


@pytest.mark.parametrize("name", [name for name, about in STUDIES.items() if not about.needs_data])
def test_studies_without_data(name: str) -> None:
    report = study(name)
    assert report.findings
    assert all(finding in report.html().replace("&#x27;", "'") for finding in report.findings)
    json.dumps(report.to_dict(), allow_nan=False)


def test_unknown_and_without_data() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'one-by-one'"):
        study("one-by-ones")
    with pytest.raises(ValueError, match="needs real data"):
        study("lrn")
    with pytest.raises(ValueError, match="'/nowhere' is no folder"):
        study("lrn", data="/nowhere")


def test_training_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnsupportedError, match="PyTorch"):
        study("lenet-activations", data=tmp_path)


def test_stages_of_vgg16() -> None:
    """Simonyan and Zisserman 2015, table 1."""
    found = stages(find("vgg16").graph())
    assert [stage[:2] for stage in found] == [
        (224, 64), (112, 128), (56, 256), (28, 512), (14, 512), (7, 512), (1, 25088),
    ]  # fmt: skip
    assert sum(stage[3] for stage in found) == 15_470_264_320


def test_one_by_one_finds_equal_bits() -> None:
    found = study("one-by-one")
    assert any("the 9 pools of Inception v1" in finding for finding in found.findings)
    numbers = found.numbers
    assert numbers["equal_bits"] is True
    assert numbers["inception_3a/5x5"] == [120_422_400, 12_443_648]
    assert numbers["pool_and_convolution_swapped"]["average"] < 1e-4
    assert numbers["pool_and_convolution_swapped"]["max"] > 1


def test_command(tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "pycnn", "study", *arguments],
            cwd=tmp_path, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    assert {row["name"] for row in json.loads(call("--json"))} == set(STUDIES)
    assert "one-by-one" in call()
    told = json.loads(call("one-by-one", "--json"))
    assert (tmp_path / told["file"]).read_text().startswith("<!doctype html>")
    assert "bit for bit" in call("one-by-one", "--out", "page.html")


@pytest.mark.slow
def test_lrn_on_photographs(shared_data: Callable[[str], Path]) -> None:
    report = study(
        "lrn",
        data=shared_data("images"),
        weights=shared_data("inception_v1_bvlc/weights.npz"),
    )
    assert report.numbers["as trained"]["same_answer"] == 1
    assert report.numbers["as trained"]["probability_moved"] == 0
    assert report.numbers["without"]["probability_moved"] > 0.1


# CIFAR-10 -----------------------------------------------------------------------------------------


def test_both_forms_of_cifar10(tmp_path: Path, rng: Rng, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "HELD_OUT", 6)
    pixels = rng.integers(0, 256, (20, 32, 32, 3), np.uint8)
    classes = rng.integers(0, 10, 20).astype(np.uint8)
    published, rows = tmp_path / "published", tmp_path / "rows"
    for folder in (published, rows):
        folder.mkdir()
    records = np.concatenate([classes[:, None], pixels.transpose(0, 3, 1, 2).reshape(20, -1)], 1)
    for i in (1, 2):
        records[10 * (i - 1) : 10 * i].tofile(published / f"data_batch_{i}.bin")
        part = pixels[10 * (i - 1) : 10 * i].reshape(10, 1024, 3)
        Image.fromarray(part).save(rows / f"train_0{i}.png")
    np.save(rows / "train_labels.npy", classes)
    for folder in (published, rows):
        learnt, held_out = cifar10.read(folder)
        assert (len(learnt), len(held_out)) == (14, 6)
        assert held_out.classes[0] == "airplane"
        np.testing.assert_array_equal(np.asarray(learnt[3]), pixels[3])
        np.testing.assert_array_equal(held_out.labels, classes[14:])


def test_damaged_cifar10(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="found none"):
        cifar10.read(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073 * 3 - 1))
    with pytest.raises(ImageError, match=r"data_batch_1.bin.*records of 3073 bytes"):
        cifar10.read(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073 * 3))
    with pytest.raises(ImageError, match="3 images; the last 5000 are held out"):
        cifar10.read(tmp_path)
    (tmp_path / "data_batch_1.bin").unlink()
    Image.new("L", (1024, 2)).save(tmp_path / "train_00.png")
    with pytest.raises(ImageError, match=r"train_00.png.*got L of 1024"):
        cifar10.read(tmp_path)
    (tmp_path / "train_00.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"train_00\.png"):
        cifar10.read(tmp_path)
    Image.new("RGB", (1024, 2)).save(tmp_path / "train_00.png")
    with pytest.raises(ImageError, match=r"train_labels\.npy"):
        cifar10.read(tmp_path)


# MNIST --------------------------------------------------------------------------------------------


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    return (
        bytes((0, 0, 8, array.ndim))
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist(tmp_path: Path, rng: Rng, monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    monkeypatch.setattr(mnist, "HELD_OUT", 3)
    digits = rng.integers(0, 256, (10, 28, 28), np.uint8)
    classes = rng.integers(0, 10, 10).astype(np.uint8)
    for name, array in ((IMAGES, digits), (LABELS, classes)):
        data = idx(array)
        (tmp_path / (f"{name}.gz" if zipped else name)).write_bytes(
            gzip.compress(data) if zipped else data
        )
    learnt, held_out = mnist.read(tmp_path)
    assert (len(learnt), len(held_out)) == (7, 3)
    np.testing.assert_array_equal(np.asarray(held_out[0])[..., 0], digits[7])
    np.testing.assert_array_equal(learnt.labels, classes[:7])


def test_damaged_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = idx(np.zeros((3, 28, 28), np.uint8))
    images, labels = tmp_path / f"{IMAGES}.gz", tmp_path / LABELS
    labels.write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(ImageError, match=f"expected MNIST's {IMAGES}"):
        mnist.read(tmp_path)
    wrong = {
        "not gzip": b"no gzip",
        "cut gzip": gzip.compress(good)[:-20],
        "short": gzip.compress(good[:-1]),
        "long": gzip.compress(good + b"x"),
        "magic": gzip.compress(b"\1" + good[1:]),
        "size": gzip.compress(good[:8] + struct.pack(">2I", 56, 14) + good[16:]),
        "count": gzip.compress(good[:4] + struct.pack(">I", 2**32 - 1) + good[8:]),
    }
    for what, data in wrong.items():
        images.write_bytes(data)
        with pytest.raises(ImageError, match=IMAGES):
            mnist.read(tmp_path)
            pytest.fail(what)
    images.write_bytes(gzip.compress(good))
    with pytest.raises(ImageError, match="3 images and 3 labels"):
        mnist.read(tmp_path)
    monkeypatch.setattr(mnist, "_MOST_DIGITS", 10)  # what a bomb would have to stay below
    images.write_bytes(gzip.compress(idx(np.zeros((20, 28, 28), np.uint8))))
    with pytest.raises(ImageError, match="its header says 20 items"):
        mnist.read(tmp_path)


# Training -----------------------------------------------------------------------------------------

TRAIN = """
import sys
import numpy as np
import pycnn
sys.path.insert(0, {tests!r})
from test_studies import images
from pycnn.inside.studies.training import Recipe, train
data = images(np.random.default_rng(0), 192)
train(pycnn.load("resnet20", "random"), Recipe(4, batch_size=64), data, data, {checkpoint!r},
      say=lambda epoch: print(epoch.number, flush=True))
"""


def test_a_killed_training_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    from pycnn.inside.studies.training import Recipe, train

    def go_on(name: str, recipe: Recipe) -> list[float]:
        data = images(np.random.default_rng(0), 192)
        model = pycnn.load("resnet20", "random")
        _, history = train(model, recipe, data, data, tmp_path / name)
        return [epoch.training.loss for epoch in history]

    checkpoint = str(tmp_path / "killed.pt")
    code = TRAIN.format(tests=str(Path(__file__).parent), checkpoint=checkpoint)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    recipe = Recipe(4, batch_size=64)
    losses = go_on("killed.pt", recipe)
    np.testing.assert_allclose(losses, go_on("whole.pt", recipe), rtol=1e-5)
    assert losses[-1] < 0.7 * losses[0]
    with pytest.raises(WeightsError, match="checkpoint of another recipe"):
        go_on("killed.pt", replace(recipe, weight_decay=0.5))


def test_schedules() -> None:
    from pycnn.inside.studies.training import Recipe

    paper = Recipe(8, schedule="paper")
    assert [round(paper.rate(step, 8), 6) for step in range(8)] == [0.1] * 4 + [0.01] * 2 + [
        0.001
    ] * 2
    cosine = [Recipe(4).rate(step, 40) for step in range(40)]
    assert cosine[9] == pytest.approx(0.1)
    assert all(np.diff(cosine[:10]) > 0) and all(np.diff(cosine[10:]) < 0)
    assert cosine[-1] < 1e-3


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_the_place_of_the_non_linearity(activation: str, rng: Rng) -> None:
    from pycnn.inside.studies.lenet_activations import lenet

    x = rng.standard_normal((2, 1, 32, 32), np.float32)
    after, before = lenet(activation, "after"), lenet(activation, "before")
    assert before.graph.node(f"c1/{activation}").inputs == ("c1",)
    assert before.graph.node("c3").inputs == ("s2",)
    assert before.graph.parameters == after.graph.parameters
    assert not np.allclose(after.run(x), before.run(x))


def test_lenet_activations_in_small(
    tmp_path: Path, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pycnn.inside.studies import lenet_activations

    labels = rng.integers(0, 2, 256)
    digits = (rng.integers(0, 80, (256, 28, 28)) + 150 * labels[:, None, None]).astype(np.uint8)
    data = Dataset(digits, labels, [str(i) for i in range(10)])
    monkeypatch.setattr(mnist, "read", lambda folder: (data, data))
    monkeypatch.setattr(lenet_activations, "EPOCHS", 1)
    report = Report("lenet-activations", "", "", {})
    lenet_activations.run(report, Settings(data=tmp_path, folder=tmp_path / "runs"))
    assert len(list((tmp_path / "runs").glob("*.pt"))) == 6
    assert all(report.numbers["max pooling: equal bits"].values())
    json.dumps(report.to_dict(), allow_nan=False)


def test_plain_vs_resnet_in_small(
    tmp_path: Path, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pycnn.inside.studies import plain_vs_resnet

    data = images(rng, 128)
    monkeypatch.setattr(cifar10, "read", lambda folder: (data, data))
    monkeypatch.setattr(cifar10, "HELD_OUT", 64)
    monkeypatch.setattr(plain_vs_resnet, "SHORT", dict.fromkeys(plain_vs_resnet.SHORT, 1))
    report = Report("plain-vs-resnet", "", "", {})
    plain_vs_resnet.run(report, Settings(data=tmp_path, folder=tmp_path / "runs"))
    assert set(report.numbers) == {"plain20", "resnet20", "plain56", "resnet56"}
    assert len(report.numbers["plain56"]["gradient_norms_last_epoch"]) == 56
    assert len(report.findings) == 2
    saved = pycnn.load(tmp_path / "runs" / "resnet20_1.safetensors")
    assert saved.graph.name == "resnet20"
