"""Several views of an image: where they are cut, and that their probabilities are averaged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pycnn
from pycnn.averaging import average, log_of
from pycnn.errors import ImageError, ShapeError, UnsupportedError
from pycnn.vision import Preprocessing, presets
from pycnn.vision.crops import Crop, crops_of_batch, crops_of_image, multi_scale, ten_crops
from pycnn.weights import ArrayWeights


@pytest.fixture(scope="module")
def model() -> pycnn.Model:
    """A small network that takes 8 x 8 of images whose shorter side is 10."""
    graph = pycnn.Graph("small")
    x = graph.input("data", (3, 8, 8))
    x = graph.relu("relu", graph.conv2d("conv", x, 6, kernel_size=3))
    graph.output(graph.linear("fc", graph.flatten("flat", x), 5))
    rng = np.random.default_rng(3)
    weights = {
        name: rng.normal(0, 0.5, shape).astype(np.float32)
        for name, shape in graph.parameters.items()
    }
    preprocessing = Preprocessing((8, 8), resize=10, crop=(8, 8), scale=1 / 255)
    return pycnn.Model(graph, ArrayWeights(weights), preprocessing=preprocessing, check_input=False)


# --- where


def test_ten_crops_are_the_papers() -> None:
    """Corners and centre of 256 x 256 for 224, by hand."""
    crops = ten_crops(256, 256, (224, 224))
    places = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    assert crops == [
        Crop((256, 256), top, left, 224, 224, mirrored)
        for mirrored in (False, True)
        for top, left in places
    ]


def test_ten_crops_of_an_oblong_and_an_odd_image() -> None:
    places = [(crop.top, crop.left) for crop in ten_crops(10, 13, (8, 8))[:5]]
    assert places == [(0, 0), (0, 5), (2, 0), (2, 5), (1, 2)]  # halves to even


def test_144_crops_are_the_papers() -> None:
    """A level photograph of 400 x 600 for 224, by hand."""
    crops = multi_scale(400, 600, (224, 224))
    assert len(crops) == len(set(crops)) == 144
    assert sum(crop.mirrored for crop in crops) == 72
    sizes = list(dict.fromkeys(crop.size for crop in crops))
    assert sizes == [(256, 384), (288, 432), (320, 480), (352, 528)]
    first = [crop for crop in crops if crop.size == (256, 384) and not crop.mirrored]
    assert [(c.top, c.left, c.height, c.width) for c in first] == [
        *((0, 0, 224, 224), (0, 32, 224, 224), (32, 0, 224, 224), (32, 32, 224, 224)),
        *((16, 16, 224, 224), (0, 0, 256, 256)),  # the left square: its centre, and all of it
        *((0, 64, 224, 224), (0, 96, 224, 224), (32, 64, 224, 224), (32, 96, 224, 224)),
        *((16, 80, 224, 224), (0, 64, 256, 256)),
        *((0, 128, 224, 224), (0, 160, 224, 224), (32, 128, 224, 224), (32, 160, 224, 224)),
        *((16, 144, 224, 224), (0, 128, 256, 256)),
    ]


def test_144_crops_of_upright_and_square_images() -> None:
    level, upright = multi_scale(400, 600, (224, 224)), multi_scale(600, 400, (224, 224))
    squares = [(c.top, c.left) for c in upright if c.size == (384, 256) and c.height == 256]
    assert squares == [(0, 0), (0, 0), (64, 0), (64, 0), (128, 0), (128, 0)]
    assert len(upright) == len(level)
    # The three squares are one: each of its crops counts as much as before.
    assert len(multi_scale(500, 500, (224, 224))) == 48
    with pytest.raises(UnsupportedError, match="144 crops are of squares"):
        multi_scale(500, 500, (224, 200))


# --- cutting


def test_crops_of_a_batch_are_cut_where_they_should_be(rng: np.random.Generator) -> None:
    batch = rng.normal(0, 1, (2, 3, 10, 12)).astype(np.float32)
    cut = list(crops_of_batch(batch, 10, (8, 8)))
    assert [n for n, _ in cut] == [0, 1] * 10
    expected = [
        image[:, top : top + 8, left : left + 8]
        for top, left in ((0, 0), (0, 4), (2, 0), (2, 4), (1, 2))
        for image in batch
    ]
    expected += [image[:, :, ::-1] for image in expected]
    np.testing.assert_array_equal([image for _, image in cut], expected)
    centre, mirrored = (image for _, image in crops_of_batch(batch[:1], 2, (8, 8)))
    np.testing.assert_array_equal(centre, batch[0, :, 1:9, 2:10])
    np.testing.assert_array_equal(mirrored, centre[:, :, ::-1])
    (whole,) = (image for _, image in crops_of_batch(batch[:1, :, :8, :8], 1, (8, 8)))
    np.testing.assert_array_equal(whole, batch[0, :, :8, :8])


def test_crops_at_several_scales_are_pillows(rng: np.random.Generator) -> None:
    batch = rng.normal(0, 1, (1, 1, 21, 28)).astype(np.float32)
    cut = [image for _, image in crops_of_batch(batch, 144, (14, 14))]
    crops = multi_scale(21, 28, (14, 14))
    assert len(cut) == len(crops) == 144
    plane = Image.fromarray(batch[0, 0])
    for crop, image in zip(crops, cut, strict=True):
        resized = plane.resize(crop.size[::-1], Image.Resampling.BILINEAR)
        box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
        expected = np.asarray(resized.crop(box).resize((14, 14), Image.Resampling.BILINEAR))
        expected = expected[:, ::-1] if crop.mirrored else expected
        np.testing.assert_allclose(image[0], expected, atol=1e-5)


def test_crops_of_a_photograph_are_those_of_the_resized_square(
    shared_data: Callable[[str], Path],
) -> None:
    path = shared_data("images/cat.jpg")
    p = presets.TORCHVISION
    cut = list(crops_of_image(path, 10, p))
    square = Preprocessing(
        (256, 256), resize=256, crop=(256, 256), scale=p.scale, mean=p.mean, std=p.std
    )(path)
    expected = [image for _, image in crops_of_batch(square[None], 10, (224, 224))]
    np.testing.assert_array_equal(cut, expected)
    np.testing.assert_array_equal(cut[4], p(path))  # what the network sees otherwise
    one, mirrored = crops_of_image(path, 2, p)
    np.testing.assert_array_equal(one, p(path))
    np.testing.assert_array_equal(mirrored, one[:, :, ::-1])
    assert len(list(crops_of_image(path, 144, p))) == 144


def test_ten_crops_where_the_input_is_not_square(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (12, 20, 3), np.uint8)
    p = Preprocessing((8, 15), resize=(12, 20), crop=(8, 15))
    whole = image.transpose(2, 0, 1).astype(np.float32)
    expected = [x for _, x in crops_of_batch(whole[None], 10, (8, 15))]
    np.testing.assert_array_equal(list(crops_of_image(image, 10, p)), expected)


def test_ten_crops_lie_inside_the_image(tmp_path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(rng.integers(0, 256, (7, 20, 3), np.uint8)).save(tmp_path / "low.png")
    cut = Preprocessing((8, 8), crop=(8, 8))
    with pytest.raises(ImageError, match=r"low\.png': 7 x 20 .* smaller than the crops of 8 x 8"):
        list(crops_of_image(tmp_path / "low.png", 10, cut))
    Image.fromarray(rng.integers(0, 256, (1, 3000, 3), np.uint8)).save(tmp_path / "line.png")
    with pytest.raises(ImageError, match=r"line\.png': 1 x 3000 .* too narrow"):
        list(crops_of_image(tmp_path / "line.png", 144, cut))
    padded = Preprocessing((8, 8), resize=6, pad=1, crop=(8, 8))
    with pytest.raises(UnsupportedError, match="adds a border of 1: 10 crops"):
        list(crops_of_image(tmp_path / "low.png", 10, padded))


# --- averaging


def test_averages_do_not_depend_on_the_pieces_they_are_computed_in() -> None:
    sizes = []

    def probabilities(x: np.ndarray) -> np.ndarray:
        sizes.append(len(x))
        return x[:, 0, 0]

    rng = np.random.default_rng(0)
    images = [(n % 3, rng.random((1, 1, 4), np.float32)) for n in range(37)]
    mean = average(probabilities, iter(images), 3)
    assert sizes == [16, 16, 5]  # bounded
    for row in range(3):
        own = [image[0, 0] for n, image in images if n == row]
        np.testing.assert_allclose(mean[row], np.mean(own, axis=0), rtol=1e-6)
    assert mean.dtype == np.float32


def test_the_logarithm_of_zero_is_finite() -> None:
    log = log_of(np.array([[0, 1]], np.float32))
    assert np.isfinite(log).all() and log[0, 1] == 0 and log[0, 0] < -80


def test_run_averages_the_probabilities_of_its_crops(
    model: pycnn.Model, rng: np.random.Generator
) -> None:
    batch = rng.normal(0, 1, (3, 3, 10, 11)).astype(np.float32)
    expected = []
    for image in batch:
        views = np.stack([x for _, x in crops_of_batch(image[None], 10, (8, 8))])
        expected.append(model.probabilities(views).mean(axis=0))
    got = model.run(batch, crops=10)
    np.testing.assert_allclose(np.exp(got), expected, rtol=1e-5)
    np.testing.assert_array_equal(model.run(batch[1:2], crops=10)[0], got[1])
    assert np.abs(got - model.run(batch, crops=1)).max() > 1e-3
    assert model.run(batch, crops=144).shape == (3, 5)
    np.testing.assert_array_equal(model.run({"data": batch}, crops=10), got)


def test_predict_averages_views(model: pycnn.Model, rng: np.random.Generator) -> None:
    images = [rng.integers(0, 256, size, np.uint8) for size in ((20, 30, 3), (17, 12, 3))]
    for count in (1, 2, 10, 144):
        rows = model.classify(images, crops=count)
        for image, row, found in zip(images, rows, model.predict(images, crops=count), strict=True):
            views = np.stack(list(crops_of_image(image, count, model.preprocessing)))
            np.testing.assert_allclose(row, model.probabilities(views).mean(axis=0), rtol=1e-5)
            assert found[0].probability == row.max()
    np.testing.assert_array_equal(model.classify(images, crops=1), model.classify(images))
    array = rng.integers(0, 256, (2, 20, 30, 3), np.uint8)
    for count in (None, 10):
        found = model.classify(array, crops=count)
        np.testing.assert_array_equal(found, model.classify(list(array), crops=count))
    assert model.predict(images[0], crops=2)[0].probability > 0
    assert model.predict([]) == []


def test_ten_crops_of_the_real_photographs(shared_data: Callable[[str], Path]) -> None:
    weights = shared_data("inception_v1_bvlc/weights.npz")
    model = pycnn.load("inception_v1", weights=weights)
    (best, *_) = model.predict(shared_data("images/dog.jpg"), crops=10)
    assert best.index == 258 and best.probability > 0.9


# --- misuse


def test_misuse(model: pycnn.Model) -> None:
    batch = np.zeros((1, 3, 10, 10), np.float32)
    with pytest.raises(ValueError, match="crops must be one of 1, 2, 10, 144, got 5"):
        model.run(batch, crops=5)
    with pytest.raises(ValueError, match="neither taps nor until"):
        model.run(batch, crops=10, taps="relu")
    with pytest.raises(ShapeError, match=r"10 crops of 8 x 8 .* from images of 8 x 10"):
        model.run(batch[:, :, :8], crops=10)
    with pytest.raises(ShapeError, match=r"2 crops of 8 x 8 .* from images of 7 x 10"):
        model.run(batch[:, :, :7], crops=2)
    with pytest.raises(ShapeError, match="expected a float32 batch"):
        model.run(batch[0], crops=10)
    with pytest.raises(ShapeError, match=r"has the inputs \['data'\], got \['image'\]"):
        model.run({"image": batch}, crops=10)
    lenet = pycnn.load("lenet5")
    with pytest.raises(UnsupportedError, match="leaves no room for 10 crops: crops=2 mirrors it"):
        lenet.predict(np.zeros((28, 28), np.uint8), crops=10)


# --- the command


def test_classify_takes_crops(shared_data: Callable[[str], Path]) -> None:
    command = [sys.executable, "-m", "pycnn", "classify", str(shared_data("images/dog.jpg"))]
    command += ["--model", "inception_v1", "--json"]
    command += ["--weights", str(shared_data("inception_v1_bvlc/weights.npz"))]
    found = {}
    for crops in ("1", "10"):
        done = subprocess.run(
            [*command, "--crops", crops], capture_output=True, text=True, check=True
        )
        (result,) = json.loads(done.stdout)["results"]
        found[crops] = result["predictions"][0]
    assert found["1"]["index"] == found["10"]["index"] == 258
    assert found["1"]["probability"] != found["10"]["probability"]
    for crops in ("0", "7"):
        done = subprocess.run(
            [*command, "--crops", crops], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2 and "crops must be one of" in done.stderr
