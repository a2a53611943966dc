"""Networks that answer together: averages, disagreement, shared decoding, refusals."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stripes import seascapes, small_net

import pycnn
from pycnn import ensemble as module
from pycnn.errors import ImageError, ShapeError, UnsupportedError
from pycnn.vision import Preprocessing
from pycnn.weights import RandomWeights


def model(
    name: str,
    side: int,
    seed: int,
    classes: int = 4,
    labels: str | None = "abcd",
    preprocessing: Preprocessing | None = None,
) -> pycnn.Model:
    """A small network for images of `side`."""
    graph = pycnn.Graph(name)
    x = graph.relu("relu", graph.conv2d("conv", graph.input("data", (3, side, side)), 5, 3))
    graph.output(graph.linear("fc", graph.flatten("flat", x), classes))
    usual = Preprocessing((side, side), resize=side + 2, crop=(side, side), scale=1 / 255)
    return pycnn.Model(
        graph,
        RandomWeights(graph, seed),
        preprocessing=preprocessing or usual,
        labels=labels,
        check_input=False,
    )


@pytest.fixture
def members() -> list[pycnn.Model]:
    """Two for 8 x 8, one for 6 x 6."""
    return [model("one", 8, 1), model("two", 8, 2), model("three", 6, 3, labels=None)]


@pytest.fixture
def images(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.integers(0, 256, (12 + i, 15, 3), np.uint8) for i in range(3)]


def test_it_averages_probabilities(members: list[pycnn.Model], images: list[np.ndarray]) -> None:
    each = [m.classify(images) for m in members]
    ensemble = pycnn.Ensemble(members)
    np.testing.assert_allclose(ensemble.classify(images), np.mean(each, axis=0), rtol=1e-5)
    weighted = pycnn.Ensemble(members, weights=[1, 2, 5])
    expected = (each[0] + 2 * each[1] + 5 * each[2]) / 8
    np.testing.assert_allclose(weighted.classify(images), expected, rtol=1e-5)
    found = ensemble.predict(images, top=2)
    assert [len(row) for row in found] == [2, 2, 2]
    best = int(np.mean(each, axis=0)[0].argmax())
    assert (found[0][0].index, found[0][0].label) == (best, "abcd"[best])
    assert ensemble.predict(images[0])[0] == ensemble.predict(images)[0][0]
    assert ensemble.predict([]) == []
    assert len(ensemble) == 3 and "one, two, three" in repr(ensemble)


@pytest.mark.parametrize("crops", [None, 2])
def test_images_that_look_wrong_are_predicted(crops: int | None) -> None:
    """What pycnn preprocesses is as it should be: only the caller's own batches are looked at."""
    ensemble = pycnn.Ensemble([small_net(strict=True), small_net(strict=True)])
    images = seascapes(11)
    with pytest.raises(ImageError, match="look like BGR"):
        ensemble.run(ensemble.batches(images.array))
    expected = ensemble.models[0].classify(images.array, crops=crops)
    np.testing.assert_allclose(ensemble.classify(images.array, crops=crops), expected, rtol=1e-5)


def test_labels_may_be_set_as_any_sequence(members: list[pycnn.Model]) -> None:
    members[1].labels = list("abcd")
    assert members[1].labels == ("a", "b", "c", "d")
    assert pycnn.Ensemble(members).labels == members[0].labels
    members[1].labels = None
    assert pycnn.Ensemble(members).labels == members[0].labels


def test_run_gives_logarithms_of_means(
    members: list[pycnn.Model], images: list[np.ndarray]
) -> None:
    ensemble = pycnn.Ensemble(members)
    batches = ensemble.batches(images)
    assert batches[0] is batches[1] and batches[2].shape == (3, 3, 6, 6)
    np.testing.assert_array_equal(batches[2], members[2].preprocessing.batch(images))
    np.testing.assert_allclose(np.exp(ensemble.run(batches)), ensemble.classify(images), rtol=1e-5)
    alike = pycnn.Ensemble(members[:2])
    np.testing.assert_array_equal(alike.run(batches[0]), alike.run(batches[:2]))


def test_opinions_are_the_mean_the_members_and_their_disagreement(
    members: list[pycnn.Model], images: list[np.ndarray]
) -> None:
    ensemble = pycnn.Ensemble(members, weights=[2, 1, 1])
    found = ensemble.opinions(ensemble.batches(images))
    assert found.members.shape == (3, 3, 4) and found.disagreement.shape == (3,)
    np.testing.assert_array_equal(found.mean, ensemble.classify(images))

    def entropy(p: np.ndarray) -> np.ndarray:
        return -(p * np.log(p)).sum(axis=-1)

    expected = entropy(found.mean) - np.tensordot([0.5, 0.25, 0.25], entropy(found.members), 1)
    np.testing.assert_allclose(found.disagreement, expected, atol=1e-6)


def test_disagreement_at_its_ends(members: list[pycnn.Model]) -> None:
    ensemble = pycnn.Ensemble(members[:2])
    certain = np.eye(4, dtype=np.float32)[:2, None]  # two members, sure of two classes
    assert ensemble._opinions(certain).disagreement[0] == pytest.approx(np.log(2))
    assert ensemble._opinions([certain[0], certain[0]]).disagreement[0] == 0


def test_an_image_is_decoded_once(
    members: list[pycnn.Model], images: list[np.ndarray], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Upright, though its EXIF data say that it lies on its side."""
    paths = []
    for i, image in enumerate(images):
        picture = Image.fromarray(image)
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.save(tmp_path / f"{i}.png", exif=exif)
        paths.append(tmp_path / f"{i}.png")
    expected = np.mean([m.classify(paths) for m in members], axis=0)
    decoded = []
    decode = module.decode

    def count(image: object, mode: str) -> object:
        decoded.append(image)
        return decode(image, mode)

    monkeypatch.setattr(module, "decode", count)
    ensemble = pycnn.Ensemble(members)
    np.testing.assert_allclose(ensemble.classify(paths), expected, rtol=1e-5)
    assert sorted(decoded) == paths
    expected = np.mean([m.classify(paths, crops=10) for m in members], axis=0)
    np.testing.assert_allclose(ensemble.classify(paths, crops=10), expected, rtol=1e-5)
    assert len(decoded) == 6


def test_crops_of_a_batch(members: list[pycnn.Model], rng: np.random.Generator) -> None:
    batch = rng.normal(0, 1, (2, 3, 11, 10)).astype(np.float32)
    ensemble = pycnn.Ensemble(members[:2])
    expected = np.mean([m.probabilities(batch, crops=10) for m in members[:2]], axis=0)
    np.testing.assert_allclose(np.exp(ensemble.run(batch, crops=10)), expected, rtol=1e-5)


def test_the_summary_says_what_it_costs(members: list[pycnn.Model]) -> None:
    ensemble = pycnn.Ensemble(members)
    found = ensemble.summary(batch=2)
    assert found.macs == sum(m.summary(2).macs for m in members) and found.ms is None
    assert found.parameters == sum(m.summary().parameters for m in members)
    text = str(found)
    assert "6 x 6" in text and f"{found.macs:,}" in text and "0.333" in text
    assert "2.4 times the multiply-adds of the dearest member" in text
    timed = ensemble.summary(runs=3)
    assert timed.ms is not None and timed.ms > 0
    assert timed.ms == pytest.approx(sum(m.ms for m in timed.members if m.ms is not None))


def test_it_pickles(members: list[pycnn.Model], images: list[np.ndarray]) -> None:
    ensemble = pycnn.Ensemble(members, [3, 2, 1])
    again = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(again.classify(images), ensemble.classify(images))


def test_real_networks_of_different_papers(shared_data: Callable[[str], Path]) -> None:
    checkpoint = shared_data("resnet20_cifar10/resnet20-12fca82f.th")
    resnet = pycnn.load("resnet20@akamaster", weights=checkpoint)
    random = pycnn.load("plain20", weights="random")
    ensemble = pycnn.Ensemble([resnet, random], weights=[99, 1])
    train = Image.open(shared_data("cifar10/train_49.png"))
    labels = np.load(shared_data("cifar10/train_labels.npy"))[49000:49020]
    rows = np.asarray(train)[:20].reshape(20, 32, 32, 3)
    assert (ensemble.classify(list(rows)).argmax(axis=1) == labels).mean() > 0.9


# --- misuse


def test_members_that_do_not_go_together(members: list[pycnn.Model]) -> None:
    with pytest.raises(ValueError, match="2 to 15 models, got 1"):
        pycnn.Ensemble(members[:1])
    with pytest.raises(ValueError, match="2 to 15 models, got 16"):
        pycnn.Ensemble(members[:1] * 16)
    with pytest.raises(TypeError, match=r"expected a pycnn\.Model, got str"):
        pycnn.Ensemble(["lenet5", "nin"])
    with pytest.raises(ValueError, match="four has 3 classes and one 4"):
        pycnn.Ensemble([members[0], model("four", 8, 4, classes=3, labels=None)])
    with pytest.raises(ValueError, match="class 2 is 'c' for one and 'x' for other"):
        pycnn.Ensemble([members[0], members[2], model("other", 8, 4, labels="abxd")])
    with pytest.raises(ValueError, match="other has 3 labels and one 4, of 4 classes each"):
        pycnn.Ensemble([members[0], model("other", 8, 4, labels="abc")])
    for weights in ([1, 2], [1, 2, -1], [1, 2, np.nan]):
        with pytest.raises(ValueError, match="expected 3 positive weights"):
            pycnn.Ensemble(members, weights)


def test_batches_that_do_not_fit(
    members: list[pycnn.Model], images: list[np.ndarray], tmp_path: Path
) -> None:
    ensemble = pycnn.Ensemble(members)
    batches = ensemble.batches(images)
    with pytest.raises(ShapeError, match="three takes other inputs than one: give a list"):
        ensemble.run(batches[0])
    with pytest.raises(ShapeError, match="expected 3 batches, one a model, got 2"):
        ensemble.run(batches[:2])
    with pytest.raises(ShapeError, match="the batches are of 3, 2, 3 images"):
        ensemble.run([batches[0], batches[1][:2], batches[2]])
    other = model("other", 8, 5, preprocessing=Preprocessing((8, 8), resize=10, crop=(8, 8)))
    with pytest.raises(ShapeError, match="other takes other inputs than one"):
        pycnn.Ensemble([members[0], other]).run(batches[0])
    with pytest.raises(ImageError, match="at least one image"):
        ensemble.classify([])
    with pytest.raises(ImageError, match=r"absent\.png': no such file"):
        ensemble.predict("absent.png")
    Image.new("RGB", (5, 5)).save(tmp_path / "small.png")
    bare = Preprocessing((8, 8), crop=(8, 8))
    cutting = pycnn.Ensemble([members[0], model("other", 8, 5, preprocessing=bare)])
    for crops in (None, 2, 10):
        with pytest.raises(ImageError, match=r"small\.png': .* 5 x 5 .* smaller than the crop"):
            cutting.classify([tmp_path / "small.png"], crops=crops)
    other.preprocessing = None
    with pytest.raises(UnsupportedError, match="does not know how its images are preprocessed"):
        pycnn.Ensemble([members[0], other]).predict(images)
