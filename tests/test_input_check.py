"""The check of raw batches: which mistakes it recognises, and that it keeps quiet otherwise."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pycnn
from pycnn import ImageError, InputWarning
from pycnn.vision import Preprocessing, presets
from pycnn.vision.input_check import look

SAMPLES = sorted((Path(pycnn.__file__).parent / "data" / "samples").glob("*.png"))
PRESETS = [getattr(presets, name) for name in presets.__all__ if name != "CIFAR10_NIN"]


def photographs(size: tuple[int, int], n: int = 8) -> np.ndarray[Any, Any]:
    """Smooth RGB pictures, uint8, redder than blue as most photographs are."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (n, 9, 9, 3))
    coarse = (0.5 * coarse + 0.5 * coarse.mean(axis=3, keepdims=True)).astype(float)
    coarse += [18, 0, -18]
    pictures = [
        Image.fromarray(one.clip(0, 255).astype(np.uint8)).resize(size[::-1], 3) for one in coarse
    ]
    return np.stack([np.asarray(picture) for picture in pictures])


def images_for(p: Preprocessing) -> Any:
    if p.channels == "L":
        return [np.asarray(Image.open(path)) for path in SAMPLES]
    return photographs(p.crop or p.input_size)


@pytest.mark.parametrize("p", PRESETS, ids=lambda p: p.describe().splitlines()[-2].strip()[:40])
class TestEachPreprocessing:
    def test_what_is_right_is_left_in_peace(self, p: Preprocessing) -> None:
        x = p.batch(images_for(p))
        assert look(x, p) is None
        for n in (1, 2, 3):
            assert look(x[n : n + 1], p) is None

    def test_noise_and_constants_are_left_in_peace(self, p: Preprocessing) -> None:
        rng = np.random.default_rng(0)
        for x in (
            rng.standard_normal((2, *p.shape), np.float32),
            rng.random((2, *p.shape), np.float32) * 255,
            np.zeros((1, *p.shape), np.float32),
            np.full((1, *p.shape), 200, np.float32),
        ):
            assert look(x, p) is None

    def test_pixels_as_they_are(self, p: Preprocessing) -> None:
        bare = Preprocessing(p.input_size, p.resize, p.interpolation, p.crop, p.pad,
                             channels=p.channels)  # fmt: skip
        x = bare.batch(images_for(p))
        assert "pixels in 0..255, as they are" in str(look(x[:1], p))
        assert "pixels in 0..1" in str(look(x[:1] / 255, p))

    def test_normalised_twice(self, p: Preprocessing) -> None:
        shape = (1, -1, 1, 1)
        x = p.batch(images_for(p))[:1]
        again = (x - np.reshape(p.mean, shape)) / np.reshape(p.std, shape)
        if p.channels == "L":
            return  # a second round of MNIST's changes next to nothing
        assert "normalised twice" in str(look(again.astype(np.float32), p))

    def test_colours_turned_round(self, p: Preprocessing) -> None:
        if p.channels == "L":
            return
        turned = p.batch(images_for(p)[..., ::-1])
        found = str(look(turned, p))
        assert f"look like {p.channels[::-1]}" in found
        assert "x[:, ::-1]" in found
        assert look(turned[:3], p) is None, "a few pictures may well be blue"


def test_one_familys_input_for_the_other() -> None:
    caffe, torch = presets.VGG_CAFFE, presets.TORCHVISION
    pictures = photographs((224, 224))
    assert "networks of Caffe" in str(look(caffe.batch(pictures), torch))
    assert "divided by 255 and normalised" in str(look(torch.batch(pictures), caffe))


def test_what_is_not_finite() -> None:
    x = np.zeros((1, 3, 224, 224), np.float32)
    x[0, 1, 0, 3] = np.nan
    assert look(x, presets.TORCHVISION) == "the input has NaN or infinity in it"


def test_a_small_image_is_not_judged() -> None:
    assert look(np.full((1, 3, 4, 4), np.inf, np.float32), presets.TORCHVISION) is None


@pytest.fixture
def wrong() -> Any:
    return photographs((32, 32)).transpose(0, 3, 1, 2).astype(np.float32)


def resnet(**options: Any) -> pycnn.Model:
    return pycnn.load("resnet20", weights="random", **options)


def test_one_warning(wrong: Any) -> None:
    model = resnet()
    with pytest.warns(InputWarning, match=r"resnet20@cifar10: .*0\.\.255.*check_input=False") as w:
        model.run(wrong)
    assert len(w) == 1
    assert w[0].filename == __file__
    for _ in range(8):
        model.run(wrong)
    with pytest.warns(InputWarning):
        resnet().probabilities(wrong)


def test_a_mistake_that_begins_later_is_seen(wrong: Any) -> None:
    model = resnet()
    assert model.preprocessing is not None
    right = model.preprocessing.batch(photographs((32, 32)))
    for _ in range(3):
        model.run(right)
    with pytest.warns(InputWarning):
        model.run(wrong)


def test_strict_raises_at_every_batch(wrong: Any) -> None:
    model = resnet(strict=True)
    for _ in range(3):
        with pytest.raises(ImageError, match=r"0\.\.255"):
            model.run(wrong)
    with pytest.raises(ImageError, match=r"0\.\.255"):
        pickle.loads(pickle.dumps(model)).run(wrong)


def test_off_with_one_flag(wrong: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resnet(check_input=False).run(wrong)


def test_real_photographs(shared_data: Callable[[str], Path]) -> None:
    files = [shared_data("images/cat.jpg"), shared_data("images/dog.jpg")]
    for p in PRESETS:
        if p.channels != "L":
            assert look(p.batch(files), p) is None
            raw = Preprocessing(p.input_size, p.input_size).batch(files)
            assert "0..255, as they are" in str(look(raw, p))


def test_a_thousand_real_images(shared_data: Callable[[str], Path]) -> None:
    rows = np.asarray(Image.open(shared_data("cifar10/train_49.png"))).reshape(1000, 32, 32, 3)
    p = presets.CIFAR10_AKAMASTER
    x = p.batch(rows)
    assert [i for i in range(1000) if look(x[i : i + 1], p)] == []
    raw = rows.transpose(0, 3, 1, 2).astype(np.float32)
    seen = sum(look(raw[i : i + 1], p) is not None for i in range(1000))
    assert seen > 950
    batches = [slice(i, i + 100) for i in range(0, 1000, 100)]
    assert [b for b in batches if look(x[b], p)] == []
    turned = p.batch(rows[..., ::-1])
    assert sum("look like BGR" in str(look(turned[b], p)) for b in batches) >= 8
