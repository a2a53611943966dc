"""`pycnn.transfer.fit`: the regimes, on a small network and images that a line of code makes."""

from __future__ import annotations

import io
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from stripes import CLASSES, SIZE, changed, folder_of, parameters, seascapes, small_net, stripes

import pycnn
from pycnn import Graph, Model
from pycnn.transfer import Fit, Schedule, View, extract, fit
from pycnn.transfer.features import facts_of
from pycnn.transfer.history import Measured, Step, best_of, measure
from pycnn.transfer.regimes import choose, usual_augmentation
from pycnn.transfer.softmax import ALWAYS_TRIED, STRENGTHS
from pycnn.vision import Augmentation, Dataset, Mirror, Preprocessing, RandomCrop, Stream
from pycnn.weights import ArrayWeights, RandomWeights

QUICK = Schedule(epochs=4, batch_size=16, learning_rate=0.01)


@pytest.fixture(scope="module")
def model() -> Model:
    return small_net()


@pytest.fixture
def run(model: Model, tmp_path: Path) -> Any:
    def call(regime: str, data: Any = None, **options: Any) -> Fit:
        options = {"store": tmp_path / "store", "schedule": QUICK, **options}
        return fit(model, stripes(30) if data is None else data, regime, **options)

    return call


HEAD = {"fc.weight", "fc.bias"}
SECOND = {"conv2.weight", "bn2.weight", "bn2.bias", "bn2.running_mean", "bn2.running_var"}
FIRST = {name.replace("2", "1") for name in SECOND}


@pytest.mark.parametrize(
    ("regime", "learns"),
    [
        ("features", HEAD),
        ("head", HEAD),
        ("freeze:pool1", HEAD | SECOND),
        ("full", HEAD | SECOND | FIRST),
    ],
)
@pytest.mark.parametrize("augmentation", [None, Augmentation(Mirror())], ids=["plain", "mirrored"])
def test_regimes_learn_what_they_say_and_nothing_else(
    run: Any, model: Model, regime: str, learns: set[str], augmentation: Augmentation | None
) -> None:
    before = parameters(model)
    done = run(regime, augmentation=augmentation, head="random")
    assert changed(model, done.model) == learns
    assert all(np.array_equal(before[n], value) for n, value in parameters(model).items())
    assert (done.regime, done.reason) == (regime, "as asked for")
    assert done.model.labels == CLASSES
    assert done.model.preprocessing == model.preprocessing
    assert done.accuracy > 0.6
    assert done.confusion.sum() == 18
    assert done.accuracy == pytest.approx(np.trace(done.confusion) / 18)
    assert done.unreadable == ()


@pytest.mark.parametrize("regime", ["features", "freeze:pool1", "full"])
def test_the_numbers_are_those_of_the_model(run: Any, regime: str) -> None:
    held_out = stripes(20, seed=9)
    done = run(regime, validation=held_out)
    logits = done.model.run(done.model.preprocessing.batch(held_out.array))
    assert np.trace(done.confusion) == (logits.argmax(1) == held_out.labels).sum()
    shifted = logits - logits.max(1, keepdims=True)
    loss = np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(60), held_out.labels])
    assert loss == pytest.approx(min(step.validation.loss for step in done.history), rel=1e-3)


def test_the_second_run_computes_nothing_and_gives_the_same(run: Any) -> None:
    first, second = run("features"), run("features")
    assert (first.computed, second.computed) == (90, 0)
    assert changed(first.model, second.model) == set()
    other = run("features", augmentation=Augmentation(Mirror()), views=2)
    assert other.computed == 2 * 72  # two draws of what is learnt from, which is in there as it is


def test_what_values_depend_on_names_their_store(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_net()
    first = facts_of(model, "pool1")
    assert facts_of(small_net(), "pool1") == first
    behind = Model(model.graph, ArrayWeights({**parameters(model), "fc.bias": np.ones(10, "f4")}))
    behind.preprocessing = model.preprocessing
    assert facts_of(behind, "pool1") == first  # the tap does not depend on it
    before = {**parameters(model), "conv1.weight": parameters(model)["conv1.weight"] + 1e-6}
    changed = Model(model.graph, ArrayWeights(before), preprocessing=model.preprocessing)
    smaller = small_net()
    smaller.preprocessing = Preprocessing((SIZE, SIZE), scale=1 / 255, mean=(2.0,))
    views = [View(Augmentation(Mirror()), 0, 0), View(Augmentation(Mirror()), 0, 1)]
    views += [View(Augmentation(Mirror()), 1, 0), View(Augmentation(Mirror(0.4)), 0, 0)]
    others = [facts_of(changed, "pool1"), facts_of(model, "pool2"), facts_of(smaller, "pool1")]
    others += [facts_of(model, "pool1", view) for view in views]
    with monkeypatch.context() as patch:
        patch.setattr("PIL.__version__", "another")
        others.append(facts_of(model, "pool1"))
    names = {json.dumps(facts, sort_keys=True) for facts in (first, *others)}
    assert len(names) == 1 + len(others)


@pytest.mark.parametrize("regime", ["head", "full"])
def test_a_seed_gives_the_same_weights_again(run: Any, regime: str) -> None:
    state = torch.get_rng_state()
    first, second = (run(regime, augmentation=Augmentation(Mirror()), seed=5) for _ in range(2))
    assert changed(first.model, second.model) == set()
    assert torch.get_rng_state().equal(state)
    assert changed(first.model, run(regime, seed=6).model) == changed(small_net(), first.model)


def test_what_is_saved_is_whole(run: Any, tmp_path: Path) -> None:
    done = run("features")
    done.model.save(tmp_path / "my.safetensors")
    again = pycnn.load(tmp_path / "my.safetensors")
    assert again.labels == CLASSES
    image = stripes(1).array[2]
    assert again.predict(image)[0] == done.model.predict(image)[0]


def test_where_a_model_goes_that_cannot_be_saved(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("features")
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("PYCNN_HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for place in (home, temporary):
        with pytest.raises(pycnn.StoreError, match=f"my.npz'; it is in '{place}/my-.*npz' instead"):
            done.save(tmp_path / "absent" / "my.npz")
        (file,) = place.iterdir()
        assert changed(done.model, pycnn.load(file)) == set()
        shutil.rmtree(place)
        place.write_text("a file where the folder was")
    with pytest.raises(pycnn.StoreError, match=r"; nor elsewhere: .*home.*; .*temporary"):
        done.save(tmp_path / "absent" / "my.npz")


def test_a_full_disk_when_the_model_is_saved(run: Any, tmp_path: Path) -> None:
    done = run("full")
    file = tmp_path / "my.safetensors"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        with pytest.raises(pycnn.StoreError) as refused:
            done.save(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(refused.value).count("File too large") == 3  # there, and in both other folders
    assert not file.exists()
    done.save(file)
    assert pycnn.load(file).labels == CLASSES


def test_a_tap_gets_a_linear_head_of_its_own(run: Any, model: Model) -> None:
    done = run("features", tap="pool1")
    assert done.model.graph.names()[-3:] == ["features/pool", "features", "classifier"]
    assert changed(model, done.model) == {"classifier.weight", "classifier.bias"}
    assert done.accuracy > 0.6


def test_a_convolution_as_head(tmp_path: Path) -> None:
    g = Graph("tiny_nin")
    x = g.relu("relu1", g.conv2d("conv1", g.input("data", (3, SIZE, SIZE)), 12, 3, padding=1))
    x = g.relu("relu2", g.conv2d("cccp", x, 7, 1))
    g.output(g.softmax("prob", g.flatten("flatten", g.global_avg_pool("pool", x))))
    preprocessing = Preprocessing((SIZE, SIZE), scale=1 / 64, mean=(2.0,))
    model = Model(g, RandomWeights(g, 1), preprocessing=preprocessing)
    done = fit(model, stripes(30), "head", schedule=QUICK, store=tmp_path)
    assert changed(model, done.model) == {"cccp.weight", "cccp.bias"}
    assert done.model.graph.names() == g.names()
    probabilities = done.model.run(model.preprocessing.batch(stripes(1).array))
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    features = fit(model, stripes(30), "features", store=tmp_path)
    assert features.model.graph.names()[-1] == "classifier"


def test_auto_says_why(run: Any) -> None:
    done = run("auto")
    assert done.regime == "features"
    assert done.reason.startswith(
        "24 images to learn from, 6 held out, in the smallest class, fewer than 500: "
    )


@pytest.mark.parametrize(
    ("fewest", "regime"),
    [(499, "features"), (500, "freeze:pool1"), (4999, "freeze:pool1"), (5000, "full")],
)
def test_auto_goes_by_the_smallest_class(model: Model, fewest: int, regime: str) -> None:
    labels = np.repeat([0, 1], [fewest, 6000])
    chosen, reason = choose(model.graph, labels, np.repeat([0, 1], [3, 2]))
    assert chosen == regime
    assert reason.startswith(f"{fewest} images to learn from, 3 held out, in the smallest class")
    assert ("43%" in reason) == regime.startswith("freeze")


def test_early_stopping_keeps_the_best(run: Any) -> None:
    schedule = Schedule(epochs=50, batch_size=16, learning_rate=0.3, patience=2)
    done = run("head", schedule=schedule, head="random", augmentation=Augmentation())
    losses = [step.validation.loss for step in done.history]
    assert len(losses) < 50
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    assert done.kept is done.history[-3]


def test_steps_of_one_image_use_every_image(run: Any) -> None:
    done = run("head", stripes(6), schedule=Schedule(epochs=1, batch_size=1), head="random")
    assert 0 < done.history[1].train.accuracy < 1  # of one image it would be 0 or 1


@pytest.mark.parametrize("regime", ["head", "freeze:pool1", "full"])
def test_what_is_worse_than_the_start_is_not_kept(run: Any, regime: str) -> None:
    features = run("features")
    done = run(regime, schedule=Schedule(epochs=9, batch_size=16, learning_rate=3, patience=2))
    assert [step.setting for step in done.history] == [0, 1, 2]
    assert done.kept is done.history[0]
    assert done.kept.validation.loss == pytest.approx(features.kept.validation.loss, rel=1e-3)
    assert changed(features.model, done.model) == set()


def test_head_begins_as_features_does(run: Any) -> None:
    few = stripes(10)
    features, head = (run(name, few, tap="pool1") for name in ("features", "head"))
    assert head.history[0].validation.loss == pytest.approx(features.kept.validation.loss, rel=1e-3)
    assert head.kept.validation.loss <= head.history[0].validation.loss
    assert run("head", few, tap="pool1", head="random").history[0].validation.loss > 1


def test_what_head_draws_where_nothing_is_said(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Augmentation | None] = []

    class Watched(Stream):
        def __init__(self, data: Any, preprocessing: Any, augmentation: Any, **rest: Any) -> None:
            seen.append(augmentation)
            super().__init__(data, preprocessing, augmentation, **rest)

    monkeypatch.setattr(sys.modules["pycnn.transfer.fit"], "Stream", Watched)
    run("head")
    assert seen == [Augmentation([RandomCrop(padding=1), Mirror()])]  # 12 pixels a side
    run("head", augmentation=Augmentation(Mirror()))
    run("head", augmentation=Augmentation())  # all of it from the store
    run("freeze:pool1")
    assert seen[1:] == [Augmentation(Mirror())]


@pytest.mark.parametrize("regime", ["features", "freeze:pool1", "full"])
def test_only_head_draws_by_itself(regime: str) -> None:
    preprocessing = Preprocessing((32, 32), channels="L", mean=(0.0,), std=(1.0,))
    assert usual_augmentation(regime, preprocessing) is None
    digits = usual_augmentation("head", preprocessing)
    assert digits == Augmentation(RandomCrop(padding=4))  # a mirrored digit is none


def test_a_loss_that_is_no_number_is_not_the_best() -> None:
    steps = [
        Step(i, Measured(1, 0), Measured(loss, 0), 0)
        for i, loss in enumerate([float("nan"), 0.7, 0.9])
    ]
    assert best_of(steps) is steps[1]


def test_both_losses_weigh_the_classes_alike() -> None:
    logits, labels = np.array([[2, 0]] * 3 + [[0, 1.0]], "f4"), np.array([0, 0, 1, 1])
    own = np.log(1 + np.exp([-2, -2, 2, -1]))
    assert measure(logits, labels).loss == pytest.approx(own.mean())
    uneven = np.array([0, 0, 0, 1])
    own = np.log(1 + np.exp([-2, -2, -2, -1]))
    expected = (own[:3].mean() + own[3]) / 2
    assert measure(logits, uneven, balance=True).loss == pytest.approx(expected)


@pytest.mark.parametrize("regime", ["features", "full"])
def test_the_loss_that_chooses_is_weighted_as_that_which_is_learnt_by(
    run: Any, regime: str
) -> None:
    data, same = stripes(40), {"schedule": Schedule(epochs=1, learning_rate=1e-12, batch_size=8)}
    few = data.subset(
        np.concatenate([np.flatnonzero(data.labels == 0)[:8], np.flatnonzero(data.labels)])
    )
    for balance in (True, False):  # the same images on both sides: the same loss
        done = run(regime, few, validation=few, balance=balance, tap=None, **same)
        own, held_out = done.history[0].train.loss, done.history[0].validation.loss
        assert own == pytest.approx(held_out, rel=1e-5)
        if regime == "features":
            x = done.model.run(done.model.preprocessing.batch([few[i] for i in range(len(few))]))
            assert done.kept.validation.loss == pytest.approx(
                measure(x, few.labels, balance).loss, rel=1e-4
            )
            assert measure(x, few.labels, not balance).loss != pytest.approx(
                done.kept.validation.loss, rel=1e-2
            )


def test_classes_of_few_images_weigh_as_much(run: Any) -> None:
    data = stripes(40)
    few = np.concatenate([np.flatnonzero(data.labels == 0)[:5], np.flatnonzero(data.labels > 0)])
    held_out = stripes(40, seed=9)
    options = {"data": data.subset(few), "validation": held_out}
    recall = {
        balance: run("features", tap="pool1", balance=balance, **options).confusion[0, 0]
        for balance in (False, True)
    }
    assert recall[True] > recall[False]


@pytest.mark.parametrize("regime", ["features", "head"])
def test_pictures(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regime: str) -> None:
    figures: dict[str, Figure] = {}

    def keep(figure: Figure, path: Path, **options: Any) -> None:
        figures[path.name] = figure
        save(figure, path, **options)

    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", keep)
    done = run(regime)
    done.draw(tmp_path)
    for name, figure in figures.items():
        with Image.open(tmp_path / name) as picture:
            drawn = np.asarray(picture.convert("L"))
            assert (drawn < 128).mean() > 0.005
            assert picture.size == tuple(int(110 * side) for side in figure.get_size_inches())
    losses, accuracies = figures["curves.png"].axes
    settings = [step.setting for step in done.history]
    for axes, scale in ((losses, 1), (accuracies, 100)):
        for line, part in zip(axes.lines, ("train", "validation"), strict=True):
            measured = [getattr(step, part) for step in done.history]
            values = [scale * (m.loss if axes is losses else m.accuracy) for m in measured]
            np.testing.assert_array_equal(line.get_xydata(), np.transpose([settings, values]))
        assert axes.get_title() and axes.get_xlabel()
        if regime == "head":
            assert axes.get_xlabel() == "epoch"
            assert all(tick == round(tick) for tick in axes.get_xticks())
    matrix, bar = figures["confusion.png"].axes
    assert matrix.get_title() and bar.get_ylabel()
    assert [text.get_text() for text in matrix.texts] == [str(n) for n in done.confusion.flat]


# Bad input


def test_unreadable_images_are_left_out_and_named(run: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images", stripes(20))
    (folder / "level" / "broken.png").write_bytes(b"no image")
    with pytest.warns(pycnn.InputWarning, match=r"broken\.png"):
        done = run("features", folder)
    (left_out,) = done.unreadable
    assert "broken.png" in left_out.name
    assert "not an image" in left_out.reason
    with pytest.warns(pycnn.InputWarning, match=r"broken\.png"):
        assert len(run("full", folder).unreadable) == 1
    absent = Dataset([*stripes(8).array, tmp_path / "absent.png"], [0, 1, 2] * 8 + [0], CLASSES)
    with pytest.warns(pycnn.InputWarning, match=r"absent\.png"):
        assert len(run("features", absent).unreadable) == 1


def test_unreadable_images_of_one_content_are_all_named(run: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images", stripes(20))
    broken = [(name, f"{i}.jpg") for name in CLASSES[:2] for i in range(3)]
    for name, file in broken:
        (folder / name / file).write_bytes(b"" if name == "level" else b"<html>")
    for regime in ("features", "head", "full"):
        with pytest.warns(pycnn.InputWarning) as warned:
            done = run(regime, folder, augmentation=Augmentation(Mirror()))
        for name, file in broken:
            (reason,) = [u.reason for u in done.unreadable if u.name.endswith(f"{name}/{file}'")]
            assert file in reason
            assert ("the file is empty" if name == "level" else "not an image") in reason
            assert any(f"{name}/{file}" in str(w.message) for w in warned)
        assert len(done.unreadable) == len(broken)
    with pytest.warns(pycnn.InputWarning) as warned:
        found = extract(run("features").model, "pool1", Dataset.from_folder(folder), store=tmp_path)
    assert (len(found), len(found.unreadable), len(warned)) == (60, 6, 6)


def test_all_unreadable(run: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            (tmp_path / name / f"{i}.png").write_bytes(b"")
    with (
        pytest.warns(pycnn.InputWarning),
        pytest.raises(
            pycnn.DataError, match=r"none of the 6 images can be used.*the file is empty"
        ),
    ):
        run("features", tmp_path)


@pytest.mark.parametrize("regime", ["features", "head", "full"])
@pytest.mark.parametrize("augmentation", [None, Augmentation(Mirror())], ids=["plain", "mirrored"])
def test_a_class_of_which_no_image_can_be_read(
    run: Any, tmp_path: Path, regime: str, augmentation: Augmentation | None
) -> None:
    folder = folder_of(tmp_path / "images", stripes(8))
    for file in (folder / "slanted").iterdir():
        file.write_bytes(b"no image")
    with (
        pytest.warns(pycnn.InputWarning),
        pytest.raises(pycnn.DataError, match="no image that can be used of the class 'slanted'"),
    ):
        run(regime, folder, augmentation=augmentation, head="random")


@pytest.mark.parametrize("regime", ["features", "head", "full"])
def test_a_class_of_which_no_held_out_image_can_be_read(
    run: Any, tmp_path: Path, regime: str
) -> None:
    held_out = folder_of(tmp_path / "held_out", stripes(1, seed=9))
    for file in (held_out / "slanted").iterdir():
        file.write_bytes(b"no image")
    message = "no image that can be used of the class 'slanted' among those held out"
    options = {"validation": held_out, "head": "random", "augmentation": Augmentation()}
    with (
        pytest.warns(pycnn.InputWarning, match="left out"),
        pytest.raises(pycnn.DataError, match=message),
    ):
        run(regime, **options)
    two = stripes(2, seed=9)
    with pytest.raises(pycnn.DataError, match=message):
        run(regime, validation=two.subset(two.labels != 1))


def test_the_strongest_head_that_was_tried_is_not_kept_unseen(run: Any) -> None:
    """Where less and less regularisation is better, more is tried than where it is not."""
    few = run("features", stripes(60), tap="pool1").history
    assert len(few) > ALWAYS_TRIED
    losses = [step.validation.loss for step in few]
    assert int(np.argmin(losses)) in (len(few) - 2, len(STRENGTHS) - 1)
    noise = np.random.default_rng(0).integers(0, 256, (60, SIZE, SIZE, 3), np.uint8)
    assert len(run("features", (noise, [0, 1, 2] * 20)).history) == ALWAYS_TRIED


def test_an_empty_class_folder(run: Any, tmp_path: Path) -> None:
    (folder_of(tmp_path, stripes(2)) / "empty").mkdir()
    with pytest.raises(pycnn.ImageError, match=r"empty.*no image in it"):
        run("features", tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((stripes(2).array, [0] * 6), "one class only, '0'"),
        ((stripes(2).array, [0, 2] * 3), "no image that can be used of the class '1'"),
        ((stripes(2).array, [0, 1] * 2), "expected 6 integers"),
        ((stripes(2).array, [-1, 1] * 3), r"labels are -1\.\.1"),
        ((stripes(2).array, ["a"] * 5 + ["b"]), "'b' has a single image"),
        ("nowhere", "nowhere"),
        (7, "expected a folder"),
    ],
)
def test_data_that_nothing_can_be_learnt_from(run: Any, data: Any, message: str) -> None:
    error = TypeError if data == 7 else pycnn.ImageError if data == "nowhere" else pycnn.DataError
    with pytest.raises(error, match=message):
        run("features", data)


def test_a_label_that_the_head_does_not_know(run: Any) -> None:
    held_out = (stripes(1).array, ["level", "slanted", "uprigth"])
    with pytest.raises(pycnn.DataError, match=r"'uprigth' \(image 2\).*did you mean 'upright'"):
        run("features", validation=held_out)


@pytest.mark.parametrize(
    ("regime", "options", "error", "message"),
    [
        ("features", {"tap": "pool9"}, pycnn.UnknownNameError, "no layer 'pool9'.*did you mean"),
        ("freeze:pol1", {}, pycnn.UnknownNameError, "did you mean 'pool1'"),
        ("freeze:fc", {}, pycnn.UnsupportedError, "behind the head|cannot be cut"),
        ("feature", {}, ValueError, "did you mean 'features'"),
        ("full", {"tap": "pool1"}, ValueError, "has no tap"),
        ("features", {"validation": 1.5}, ValueError, "between 0 and 1"),
        ("features", {"views": 0}, ValueError, "views"),
        ("full", {"head": "best"}, ValueError, "'best'"),
    ],
)
def test_bad_options(
    run: Any, regime: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(regime, **options)


def test_networks_that_cannot_learn(tmp_path: Path) -> None:
    headless = small_net(head=False)
    with pytest.raises(pycnn.UnsupportedError, match="no head"):
        fit(headless, stripes(3), "full")
    blind = Model(small_net().graph, RandomWeights(small_net().graph))
    with pytest.raises(pycnn.UnsupportedError, match="does not know how its images"):
        fit(blind, stripes(3), "features")


def test_loss_beyond_numbers(run: Any) -> None:
    with pytest.raises(pycnn.WeightsError, match="no longer finite"):
        run("full", schedule=Schedule(learning_rate=1e30, batch_size=16), head="random")


@pytest.mark.parametrize(
    ("regime", "package"), [("features", "sklearn"), ("full", "torch"), ("head", "torch")]
)
def test_a_missing_package_is_named(
    run: Any, monkeypatch: pytest.MonkeyPatch, regime: str, package: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(pycnn.UnsupportedError, match=r"pip install 'pycnn\[train\]'"):
        run(regime)


def test_features_need_no_torch(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run("features").accuracy > 0.6


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("regime", ["features", "full"])
def test_progress_on_a_terminal(
    run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], regime: str
) -> None:
    run(regime)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (0 if regime == "features" else 1 + QUICK.epochs)
    for epoch, line in enumerate(lines):
        assert line.startswith(f"training: epoch {epoch}, held out: loss ")
    run(regime, show=False, seed=1)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(regime, show=False)
    assert sys.stderr.getvalue() == ""
    run(regime, seed=1)
    assert re.search(r"held out: loss \d\.\d+, accuracy \d+\.\d %", sys.stderr.getvalue())


def test_images_that_look_wrong_are_all_learnt_from(run: Any, tmp_path: Path) -> None:
    """What pycnn preprocesses is as it should be: only the caller's own batches are looked at."""
    strict, images = small_net(strict=True), seascapes(20)
    with pytest.raises(pycnn.ImageError, match="look like BGR"):
        strict.run(strict.preprocessing.batch(images.array))
    features = extract(strict, "pool2", images, store=tmp_path / "strict")
    assert (len(features), features.computed, features.unreadable) == (60, 60, ())
    for regime in ("features", "head", "freeze:pool1"):
        for augmentation in (None, Augmentation(Mirror())):
            options = {"augmentation": augmentation, "store": tmp_path / "strict"}
            assert fit(strict, images, regime, schedule=QUICK, **options).confusion.sum() == 12
            run(regime, images, augmentation=augmentation)  # where a warning would be an error


def test_an_error_of_the_network_is_not_taken_for_one_of_an_image(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise pycnn.ImageError("of the network's")

    monkeypatch.setattr(Model, "run", fail)
    with pytest.raises(pycnn.ImageError, match="of the network's"):
        extract(model, "pool2", stripes(2), store=tmp_path)


def test_progress_with_images_left_out(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "images", stripes(12))
    (folder / "level" / "broken.png").write_bytes(b"")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.warns(pycnn.InputWarning):
        run("full", folder)
    counts = re.findall(r"(-?\d+)/\d+", sys.stderr.getvalue())
    assert counts
    assert min(map(int, counts)) == 0


# Killed, and a full disk


_EXTRACT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_transfer import *
from pycnn.transfer import FeatureStore

def then_die(self, *arguments):
    append(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)

append, FeatureStore.append = FeatureStore.append, then_die
extract(small_net(), "pool", stripes(30), store=sys.argv[1])
"""


def test_a_killed_extraction_goes_on_where_it_was(model: Model, tmp_path: Path) -> None:
    program = _EXTRACT.format(tests=str(Path(__file__).parent))
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    features = extract(model, "pool", stripes(30), store=tmp_path)
    assert features.computed == 90 - 32
    whole = extract(model, "pool", stripes(30), store=tmp_path / "another")
    np.testing.assert_array_equal(features.matrix(), whole.matrix())


_FULL_DISK = """
import resource, sys
sys.path.insert(0, {tests!r})
from test_transfer import *
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    fit(small_net(), stripes(100), "features", store=sys.argv[1])
except pycnn.StoreError as error:
    print(error)
"""


def test_a_full_disk_half_way(model: Model, tmp_path: Path) -> None:
    program = _FULL_DISK.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "64 rows of 64 bytes are kept" in done.stdout
    assert fit(model, stripes(100), "features", store=tmp_path).computed == 300 - 64
