"""Pictures of what is inside: filters, feature maps, exciting regions, class activation maps."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pycnn
from pycnn import Model
from pycnn.inside import class_activation, exciting_regions, feature_maps, filters
from pycnn.receptive_field import fields

SAMPLES = Path(str(resources.files("pycnn") / "data" / "samples"))
DIGITS = sorted(SAMPLES.glob("*.png"))


@pytest.fixture(scope="module")
def lenet() -> Model:
    return pycnn.load("lenet5")


def noise(model: Model, seed: int = 0) -> np.ndarray:
    height, width = next(iter(model.graph.inputs.values()))[1:]
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# Filters and feature maps ------------------------------------------------------------------------


def test_filters_of_a_grey_image(lenet: Model) -> None:
    picture = np.asarray(filters(lenet, "c1"))
    assert picture.shape == (
        2 * 42 - 2,
        3 * 42 - 2,
        3,
    )  # six filters of 5 x 5, eight times as large
    weight = lenet.content().read("c1.weight")
    level = np.rint(255 * (0.5 + 0.5 * weight[4, 0] / np.abs(weight[4]).max())).astype(np.uint8)
    np.testing.assert_array_equal(picture[42 : 42 + 40 : 8, 42 : 42 + 40 : 8, 0], level)


def test_filters_of_a_colour_image_are_in_its_colours() -> None:
    """Of a network that reads BGR the last plane is red."""
    model = pycnn.load("inception_v1", weights="random")
    only_red = np.zeros((64, 3, 7, 7), np.float32)
    only_red[:, 2] = 1
    edited = model.edit(weights={"conv1/7x7_s2.weight": only_red})
    picture = np.asarray(filters(edited, "conv1/7x7_s2"))
    assert picture.shape[:2] == (8 * 44 - 2, 8 * 44 - 2)
    assert picture[0, 0].tolist() == [255, 128, 128]


def test_rows_of_filters(lenet: Model) -> None:
    assert filters(lenet, "c3").size == (6 * 42 - 2, 16 * 42 - 2)
    assert filters(lenet, "c3", most=13).size == (6 * 42 - 2, 2 * 42 - 2)
    table = pycnn.load("lenet5_1998", weights="random")
    assert filters(table, "c3").size == (6 * 42 - 2, 16 * 42 - 2)
    with pytest.raises(pycnn.UnsupportedError, match=r"'c5' \(linear\) has no filters"):
        filters(lenet, "c5")
    with pytest.raises(pycnn.UnknownNameError, match="did you mean 'c1'"):
        filters(lenet, "c11")


def test_a_filter_has_one_scale() -> None:
    """Also of 1x1, whose tiles would be black or white each on its own."""
    model = pycnn.load("inception_v1", weights="random")
    picture = np.asarray(filters(model, "inception_3a/1x1"))
    weight = model.content().read("inception_3a/1x1.weight")
    assert picture.shape[:2] == (16 * 42 - 2, 16 * 42 - 2)
    largest = np.abs(weight[:16]).max(axis=1, keepdims=True)
    level = np.rint(255 * (0.5 + 0.5 * weight[:16, :16] / largest))[..., 0, 0]
    np.testing.assert_allclose(picture[::42, ::42, 0], level, atol=1)
    assert len(np.unique(level)) > 60


def test_fewer_tiles_than_a_row_has(lenet: Model) -> None:
    model = pycnn.load("resnet20", weights="random")
    assert filters(model, "res2a_branch2a", most=8).size == (8 * 44 - 2, 42)
    assert filters(lenet, "c3", most=1).size == (40, 40)
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        filters(lenet, "c3", most=0)
    with pytest.raises(ValueError, match="most must be at least 1, got -1"):
        feature_maps(lenet, "c1", DIGITS[0], most=-1)


def test_feature_maps(lenet: Model) -> None:
    picture = np.asarray(feature_maps(lenet, "c1", DIGITS[0]))
    assert picture.shape == (2 * 58 - 2, 3 * 58 - 2, 3)  # 28 x 28, twice as large
    assert lenet.preprocessing is not None
    first = lenet.run(lenet.preprocessing.batch([DIGITS[0]]), until="c1")[0, 0]
    levels = np.rint(255 * (first - first.min()) / (first.max() - first.min()))
    np.testing.assert_allclose(picture[:56:2, :56:2, 0], levels, atol=1)
    assert feature_maps(lenet, "f6", DIGITS[0]).size == (10 * 42 - 2, 9 * 42 - 2)
    assert feature_maps(lenet, "c1", DIGITS[0], most=1).size == (56, 56)


# Regions -----------------------------------------------------------------------------------------


def test_regions_are_where_the_channel_is_largest(lenet: Model) -> None:
    assert lenet.preprocessing is not None
    values = lenet.run(lenet.preprocessing.batch(DIGITS), until="c3")[:, 5]
    found = exciting_regions(lenet, "c3", 5, DIGITS, top=4).found
    best = np.sort(values.max(axis=(1, 2)))[::-1][:4]
    np.testing.assert_array_equal([region.activation for region in found], best)
    first = found[0]
    assert values[first.image, first.row, first.column] == first.activation
    assert first.box == fields(lenet.graph)["c3"].box(first.row, first.column)
    top, left, lower, right = first.box
    seen = lenet.preprocessing.pixels(DIGITS[first.image])
    np.testing.assert_array_equal(first.pixels, seen[top:lower, left:right])
    regions = exciting_regions(lenet, "c3", 5, DIGITS, top=4)
    assert regions.picture().size[0] == 4 * 72 - 2
    assert Image.open(io.BytesIO(regions._repr_png_())).size == regions.picture().size


def test_regions_of_one_image(lenet: Model) -> None:
    found = exciting_regions(lenet, "c1", 0, DIGITS[0], top=5, each=5).found
    assert len({(region.row, region.column) for region in found}) == 5
    assert [r.activation for r in found] == sorted((r.activation for r in found), reverse=True)
    with pytest.raises(ValueError, match="'c1' has 6 channels, none is 6"):
        exciting_regions(lenet, "c1", 6, DIGITS)
    with pytest.raises(ValueError, match="give an image"):
        exciting_regions(lenet, "c1", 0, [])


def test_regions_reach_beyond_the_image() -> None:
    """Of a field larger than the image, what is in the image of its middle; nothing is grey."""
    model = pycnn.load("resnet20", weights="random")
    images = [noise(model, seed) for seed in range(9)]
    regions = exciting_regions(model, "res4c_relu", 3, images)
    for region in regions.found:
        top, left, lower, right = region.box
        assert lower - top == right - left > 32
        y, x = ((low + high) // 2 - 16 for low, high in ((top, lower), (left, right)))
        seen = images[region.image][max(y, 0) : y + 32, max(x, 0) : x + 32]
        np.testing.assert_array_equal(region.pixels, seen)
    assert any(region.pixels.shape != (32, 32, 3) for region in regions.found)
    assert regions.picture().size[0] > 8 * 64


def test_regions_of_one_image_do_not_overlap() -> None:
    model = pycnn.load("resnet20", weights="random")
    found = exciting_regions(model, "res2c_relu", 3, noise(model), top=9, each=9).found
    seen = np.zeros((32, 32), int)
    for region in found:
        top, left, lower, right = region.box
        seen[max(top, 0) : lower, max(left, 0) : right] += 1
    assert 1 < len(found) < 9
    assert seen.max() == 1
    assert len(exciting_regions(model, "res4c_relu", 3, noise(model), each=4).found) < 3


# Class activation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["resnet20", "resnet18", "resnet50", "inception_v1", "inception_v1@torchvision", "nin"]
)
def test_the_map_sums_to_the_logit(name: str) -> None:
    model = pycnn.load(name, weights="random", check_input=False)
    image = noise(model)
    assert model.preprocessing is not None
    (logits,) = model.run(model.preprocessing.batch([image]))
    for label in (None, 3):
        found = class_activation(model, image, label)
        assert found.index == (int(logits.argmax()) if label is None else 3)
        assert found.logit == pytest.approx(logits[found.index], rel=1e-4, abs=1e-3)
        assert found.map.mean() == pytest.approx(found.logit, rel=1e-3, abs=1e-3)  # no biases yet
        zoom = 6 if image.shape[0] == 32 else 1
        assert found.picture().size == (zoom * image.shape[1], zoom * image.shape[0])
    if model.labels:
        assert class_activation(model, image, model.labels[7]).index == 7


def test_the_bias_is_part_of_the_logit() -> None:
    model = pycnn.load("resnet20", weights="random", check_input=False)
    bias = np.arange(10, dtype=np.float32)
    edited = model.edit(weights={"fc10.bias": bias})
    image = noise(model)
    before, after = (class_activation(one, image, 6) for one in (model, edited))
    np.testing.assert_array_equal(before.map, after.map)
    assert after.logit - before.logit == pytest.approx(6)
    assert Image.open(io.BytesIO(after._repr_png_())).size == (6 * 32, 6 * 32)


@pytest.mark.parametrize("name", ["vgg16", "alexnet", "lenet5"])
def test_networks_that_end_in_another_way(name: str) -> None:
    model = pycnn.load(name, weights="random")
    with pytest.raises(pycnn.UnsupportedError, match="no class activation maps"):
        class_activation(model, noise(model))


def test_classes_that_are_not_there() -> None:
    model = pycnn.load("resnet20", weights="random")
    with pytest.raises(pycnn.UnknownNameError, match="did you mean 'horse'"):
        class_activation(model, noise(model), "hors")
    with pytest.raises(pycnn.UnknownNameError, match="10 classes, none is 10"):
        class_activation(model, noise(model), "10")


def test_a_class_is_one() -> None:
    """Of ImageNet's, two are called crane: the bird and the machine."""
    model = pycnn.load("resnet18", weights="random", check_input=False)
    with pytest.raises(ValueError, match="classes 134 and 517 are called 'crane': give a number"):
        class_activation(model, noise(model), "crane")
    with pytest.raises(TypeError, match="a class is a label or a number, got True"):
        class_activation(model, noise(model), True)


def test_models_that_know_no_preprocessing() -> None:
    model = pycnn.load("nin_cifar10", weights="random")
    with pytest.raises(pycnn.UnsupportedError, match="does not know how its images are"):
        feature_maps(model, "conv1", noise(model))


def test_the_cat_and_the_dog(shared_data: Callable[[str], Path]) -> None:
    """The maps of the real Inception v1 are strong on the animals' heads, weak in the corners."""
    model = pycnn.load("inception_v1", weights=shared_data("inception_v1_bvlc/weights.npz"))
    heads = {"cat": (slice(0, 4), slice(2, 5)), "dog": (slice(0, 4), slice(0, 3))}
    for name, head in heads.items():
        found = class_activation(model, shared_data(f"images/{name}.jpg"))
        assert np.unravel_index(found.map.argmax(), found.map.shape) in [
            (i, j) for i in range(7)[head[0]] for j in range(7)[head[1]]
        ]
        assert found.map[head].mean() > 3 * np.abs(found.map[5:, 5:]).mean()
