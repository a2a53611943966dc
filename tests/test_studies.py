"""The papers' claims as experiments: pages that load nothing, and training that goes on."""

from __future__ import annotations

import gzip
import html
import importlib
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
from pycnn import Graph, models
from pycnn.errors import ImageError, UnknownNameError, UnsupportedError, WeightsError
from pycnn.inside.studies import STUDIES, Settings, cifar10, mnist, study
from pycnn.inside.studies.report import Report, new_figure
from pycnn.inside.studies.shrink_and_deepen import growing, stages
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
    frame = re.fullmatch(r'<iframe [^>]*srcdoc="([^"]*)"></iframe>', report._repr_html_())
    assert frame is not None
    assert html.unescape(frame[1]) == page
    assert json.loads(json.dumps(report.to_dict()))["findings"] == ["<f>"]


def test_a_page_of_markdown_and_its_figures(tmp_path: Path) -> None:
    report = Report("x", "a_b", "<q>", {"seed": 0})
    report.heading("# *h*")
    report.finding("f")
    report.table("c", ("one", "two"), [("a|b", "<2>")])
    for i in range(2):
        figure = new_figure()
        figure.subplots().plot([i, 1])
        report.figure(figure, f"figure [{i}]")
    report.code(images)
    report.save(tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "# a\\_b" in text
    assert "## \\# \\*h\\*" in text
    assert "> **f**" in text
    assert "| a\\|b | &lt;2&gt; |" in text
    assert "![figure \\[1\\]](x-2.svg)" in text
    assert "def images(rng: Rng" in text
    assert "| seed | 0 |" in text
    drawn = [(tmp_path / f"x-{i}.svg").read_text() for i in (1, 2)]
    assert drawn[0] != drawn[1]
    again = Report("x", "", "", {})
    figure = new_figure()
    figure.subplots().plot([1, 1])
    again.figure(figure, "")
    again.save(tmp_path / "again.md")
    assert (tmp_path / "x-1.svg").read_text() == drawn[1]  # the same numbers, the same bytes
    report.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == report.html()
    with pytest.raises(ValueError, match=r"a page is \.html or \.md"):
        report.save(tmp_path / "page.pdf")


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


def test_all_networks_shrink_and_how_far_channels_grow() -> None:
    report = study("shrink-and-deepen")
    numbers = report.numbers
    assert set(models.names()) < set(numbers)
    assert f"in {len(models.names())} of {len(models.names())} networks" in report.findings[0]
    assert numbers["resnet50"]["stages"][1][:3] == [112, 64, 802_816]
    assert numbers["resnet50"]["stages"][2][:3] == [56, 256, 802_816]
    assert numbers["largest growth of channels"] == [64, 256]
    assert numbers["values stay"] == ["resnet50 and 2 more, 112 to 56"]
    assert numbers["values grow"] == ["lenet5 and 1 more, 14 to 10"]
    assert "grow at most 4.0 times" in report.findings[1]


def test_a_height_that_comes_back_is_seen() -> None:
    g = Graph("hourglass")
    x = g.max_pool2d("down", g.input("data", (3, 8, 8)), 2)
    g.output(g.pad("up", x, (2, 2)))
    assert stages(g) == [(8, 3, 192, 0), (4, 3, 48, 0)]  # two heights, merged
    assert growing(g) == ["up"]
    assert growing(find("resnet50").graph()) == []


def test_one_by_one_finds_equal_bits() -> None:
    report = study("one-by-one")
    numbers = report.numbers
    assert numbers["equal_bits"] is True
    assert numbers["inception_3a/5x5"] == [120_422_400, 12_443_648]
    assert numbers["pool_and_convolution_swapped"]["average"] < 1e-4
    assert numbers["pool_and_convolution_swapped"]["max"] > 1
    assert numbers["single_channel_difference"] == 0 and "(no difference)" in report.findings[1]


def test_what_the_pool_projections_save() -> None:
    report = study("one-by-one")
    more = report.numbers["work without projections"]
    # 3b gets 64 + 128 + 32 + 192 channels in place of 256, which its three 1x1 read.
    reads, rest = 28 * 28 * (128 + 128 + 32), 28 * 28 * (9 * 128 * 192 + 25 * 32 * 96)
    assert more["inception_3a"] == 1
    assert more["inception_3b"] == (416 * reads + rest) / (256 * reads + rest)
    rounded = {name: round(ratio, 2) for name, ratio in more.items()}
    assert [rounded[f"inception_{name}"] for name in ("4b", "5b")] == [1.55, 2.5]
    assert rounded["all"] == 1.34
    assert "the 9 pools of Inception v1" in report.findings[2]
    assert "1.12 (3b), 1.55 (4b), 2.50 (5b) times" in report.findings[2]


def test_command(tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "pycnn", "study", *arguments],
            cwd=tmp_path, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    assert {row["name"] for row in json.loads(call("--json"))} == set(STUDIES)
    listed = {line.split()[0]: line for line in call().splitlines() if line.strip()}
    assert "--data, torch" in listed["lenet-activations"]
    assert "torch" not in listed["lrn"] and "a minute" in listed["lrn"]
    assert "some hours" in listed["plain-vs-resnet"]
    told = json.loads(call("one-by-one", "--json"))
    assert (tmp_path / told["file"]).read_text().startswith("<!doctype html>")
    assert "bit for bit" in call("one-by-one", "--out", "page.html")


def test_the_command_asks_for_data_by_its_option() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pycnn", "study", "lrn"], capture_output=True, text=True
    )
    assert told.returncode == 2
    assert "--data" in told.stderr and "needs real data" in told.stderr
    assert "data=" not in told.stderr


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


def test_a_checkpoint_is_of_one_graph_augmentation_and_data(tiny: Settings) -> None:
    from pycnn.inside.studies import small
    from pycnn.inside.studies.training import Recipe, train
    from pycnn.vision import Augmentation, Mirror

    learnt, held_out = small.data_of(tiny)
    lighter = Dataset(np.full((192, 32, 32, 3), 9, np.uint8), learnt.labels, learnt.classes)
    relabelled = learnt.subset(range(192))
    relabelled.labels = 1 - learnt.labels
    graph = small.stacked(3, 1, channels=4)
    other = small.stacked(3, 1, channels=8)
    assert graph.name == other.name

    def go_on(
        graph: Graph, learnt: Dataset, tested: Dataset, augmentation: Augmentation | None = None
    ) -> None:
        model, file = small.initial(graph, 0), tiny.folder / "x.pt"
        train(model, Recipe(1, batch_size=64), learnt, tested, file, augmentation=augmentation)

    go_on(graph, learnt, held_out)
    go_on(graph, learnt, held_out)
    for images in (lighter, relabelled, held_out):
        with pytest.raises(WeightsError, match="another set of images to learn from"):
            go_on(graph, images, held_out)
    with pytest.raises(WeightsError, match="another set of held-out images"):
        go_on(graph, learnt, lighter)
    with pytest.raises(WeightsError, match="checkpoint of another augmentation"):
        go_on(graph, learnt, held_out, Augmentation((Mirror(),)))
    with pytest.raises(WeightsError, match="checkpoint of another graph"):
        go_on(other, learnt, held_out)


def test_the_device_is_one_argument(tiny: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is made for a step is on the device; what has no numbers ("meta") says so."""
    import torch

    from pycnn.inside.studies import small, training

    data = small.data_of(tiny)
    graph = small.stacked(3, 1, channels=4)
    recipe = training.Recipe(1, batch_size=64)

    def losses(name: str, device: str) -> list[float]:
        first, file = small.initial(graph, 0), tiny.folder / name
        _, history = training.train(first, recipe, *data, file, device=device)
        return [epoch.training.loss for epoch in history]

    assert not torch.cuda.is_available() or losses("gpu.pt", "auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert losses("auto.pt", "auto") == losses("cpu.pt", "cpu")
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        losses("meta.pt", "meta")


def test_another_seed_has_files_of_its_own() -> None:
    from pycnn.inside.studies.training import Recipe

    assert Recipe(30).stem("resnet20") == "resnet20_30"  # as they were called before there was one
    assert Recipe(30, seed=2).stem("resnet20") == "resnet20_30_2"


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
    for seed in (0, 1):  # in one folder
        report = Report("lenet-activations", "", "", {})
        settings = Settings(data=tmp_path, folder=tmp_path / "runs", seed=seed)
        lenet_activations.run(report, settings)
    assert len(list((tmp_path / "runs").glob("*.pt"))) == 12
    assert all(report.numbers["max pooling: equal bits"].values())
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.fixture
def tiny(tmp_path: Path, rng: Rng, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """One epoch on images of two classes."""
    from pycnn.inside.studies import small

    data = images(rng, 192)
    monkeypatch.setattr(cifar10, "read", lambda folder: (data, data.subset(range(64))))
    monkeypatch.setattr(small, "EPOCHS", 1)
    return Settings(data=tmp_path, folder=tmp_path / "runs")


def run_study(name: str, settings: Settings) -> Report:
    report = Report(name, "", "", {})
    module = importlib.import_module(f"pycnn.inside.studies.{name.replace('-', '_')}")
    module.run(report, settings)
    json.dumps(report.to_dict(), allow_nan=False)
    assert report.findings
    return report


def test_bottleneck_in_small(tiny: Settings) -> None:
    numbers = run_study("bottleneck", tiny).numbers
    assert numbers["Inception v1"] == {"parameters": 6_998_552, "macs": 1_582_671_872}
    # 3x3 and 5x5 of all modules over all channels of their inputs, counted by hand
    wide = numbers["without 3x3 and 5x5 reductions"]["macs"]
    module_3a = 28 * 28 * 192 * (9 * 128 + 25 * 32)
    assert wide > numbers["Inception v1"]["macs"] + module_3a - 28 * 28 * 192 * 112
    assert numbers["basic blocks of equal width"]["macs"] > 10 * numbers["ResNet-50"]["macs"]
    assert numbers["inception, reduced"]["macs"] < numbers["inception, all channels"]["macs"] / 2
    costs = [numbers[f"resnet_{kind}"]["macs"] for kind in ("bottleneck", "narrow", "basic")]
    assert costs[0] < 2 * costs[1] < costs[2]
    assert 0 <= numbers["resnet_basic"]["held_out_accuracy"] <= 100


def test_blocks_of_equal_width_keep_every_shape() -> None:
    from pycnn.inside.studies.bottleneck import with_basic_blocks, without_reduction

    resnet = find("resnet50").graph()
    before, after = resnet.shapes(), with_basic_blocks(resnet).shapes()
    assert all(after[name] == before[name] for name in after if "_branch2a" not in name)
    assert sum("branch2b" in name for name in after) == 0
    inception = find("inception_v1").graph()
    shapes = without_reduction(inception).shapes()
    assert shapes["inception_5b/output"] == inception.shapes()["inception_5b/output"]
    assert without_reduction(inception, projections=True).shapes()["inception_3a/output"][1] == 416


def test_auxiliary_heads_in_small(tiny: Settings) -> None:
    numbers = run_study("auxiliary-heads", tiny).numbers
    assert set(numbers) == {"aux1", "aux2", "main", "main, trained alone"}
    assert all(len(accuracies) == 1 for accuracies in numbers.values())
    assert len(list(tiny.folder.glob("small_inception*.pt"))) == 2


def test_the_losses_of_heads_count(tiny: Settings) -> None:
    """Their weights move, and those of the layers below; the main head's accuracy is shown."""
    from pycnn.inside.studies import small, training

    data = small.data_of(tiny)
    graph = small.inception(heads=True)
    recipe = training.Recipe(1, batch_size=64)
    model, (epoch,) = training.train(small.initial(graph, 0), recipe, *data, tiny.folder / "x.pt")
    found = training.evaluate_heads(model, data[1])
    assert list(found) == ["classifier", "aux1", "aux2"]
    assert epoch.held_out == found["classifier"] and epoch.heads["aux2"] == found["aux2"]
    first = small.initial(graph, 0).content()
    moved = [
        name for name in ("loss1/fc.weight", "loss2/fc.weight", "conv1.weight")
        if not np.allclose(model.content().read(name), first.read(name), atol=1e-6)
    ]  # fmt: skip
    assert len(moved) == 3


def test_vgg_uniformity_in_small(tiny: Settings) -> None:
    numbers = run_study("vgg-uniformity", tiny).numbers
    stacked, single = numbers["vgg16"]["stacked"], numbers["vgg16"]["one_filter"]
    assert [stage[2] for stage in stacked.values()] == [stage[2] for stage in single.values()]
    assert sum(stage[0] for stage in stacked.values()) == 14_714_688
    assert numbers["2 x 3x3"]["macs"] < numbers["1 x 5x5"]["macs"] < numbers["1 x 7x7"]["macs"]


def test_crops_and_ensembles_in_small(tiny: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from pycnn.inside.studies import crops_and_ensembles

    monkeypatch.setattr(crops_and_ensembles, "IMAGES", 6)
    monkeypatch.setattr(crops_and_ensembles, "MEMBERS", 2)
    numbers = run_study("crops-and-ensembles", tiny).numbers
    assert numbers["one network, 144 crops"]["runs"] == 48
    assert numbers["2 networks, 10 crops"]["runs"] == 20
    assert len(numbers["each network, 2 crops"]) == 2


def test_identity_block_in_small(tiny: Settings) -> None:
    numbers = run_study("identity-block", tiny).numbers
    zero = numbers["residual, zero weights"]
    assert zero["equal"] == zero["of"] > 0
    plain = numbers["plain, zero weights"]
    assert plain["equal"] < plain["of"]
    assert numbers["weights times 0"] == [0, 1]
    for stage in (2, 3):
        assert numbers[f"residual, behind stage {stage}"]["equal_logits"] == 1
        assert numbers[f"plain, behind stage {stage}"]["equal_logits"] < 1
    strong, none = (numbers[f"decay {decay}"]["scale_norms"][-1] for decay in ("0.01", "0"))
    assert strong < none


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
    assert len(report.findings) == 3
    saved = pycnn.load(tmp_path / "runs" / "resnet20_1.safetensors")
    assert saved.graph.name == "resnet20"
