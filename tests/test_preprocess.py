"""From a decoded image to what the network sees; batches; descriptions."""

import dataclasses
import gzip
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from images import BARE, photograph
from PIL import Image

from pycnn.errors import ImageError, ModelFormatError
from pycnn.vision import ImageLike, Preprocessing, presets

PRESETS = {name: getattr(presets, name) for name in presets.__all__}


# --- the real photographs


@pytest.mark.parametrize("as_array", [False, True])
def test_equals_the_reference_input_of_googlenet(
    as_array: bool, shared_data: Callable[[str], Path]
) -> None:
    reference = np.load(shared_data("inception_v1_bvlc/reference_logits.npz"))
    for name, x in zip(reference["files"], reference["x"], strict=True):
        path = shared_data(f"images/{Path(str(name)).name}")
        image = np.asarray(Image.open(path)) if as_array else path
        np.testing.assert_array_equal(presets.IMAGENET_BVLC_GOOGLENET(image), x)


def test_real_mnist_digit_has_the_range_of_the_paper(shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("mnist/train-images-idx3-ubyte.gz")) as file:
        digit = np.frombuffer(file.read(16 + 784)[16:], np.uint8).reshape(28, 28)
    x = presets.MNIST_LENET(digit)
    assert x.shape == (1, 32, 32)
    np.testing.assert_allclose(x[0, 2:30, 2:30], digit / 255 * 1.275 - 0.1, rtol=0, atol=1e-7)
    border = x[0].copy()
    border[2:30, 2:30] = -0.1
    np.testing.assert_allclose(border, -0.1, rtol=0, atol=1e-8)


# --- values


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_against_the_formula(name: str) -> None:
    """Written out a second time, with Pillow and float64 arrays."""
    p = PRESETS[name]
    image = Image.fromarray(photograph(300, 421))
    small = image.convert("L" if p.channels == "L" else "RGB")
    if isinstance(p.resize, tuple):
        size = p.resize[::-1]
    else:
        assert p.resize is not None
        size = {256: (359, 256), 232: (325, 232)}[p.resize]  # int(256 * 421 / 300), int(232 * ...)
    pixel = np.asarray(small.resize(size, Image.Resampling.BILINEAR), np.float64)
    pixel = np.pad(pixel.reshape(*pixel.shape[:2], -1), ((p.pad, p.pad), (p.pad, p.pad), (0, 0)))
    height, width = p.input_size
    top, left = round((pixel.shape[0] - height) / 2), round((pixel.shape[1] - width) / 2)
    pixel = pixel[top : top + height, left : left + width]
    if p.channels == "BGR":
        pixel = pixel[:, :, ::-1]
    expected = (pixel * p.scale - np.array(p.mean)) / np.array(p.std)
    x = p(image)
    assert x.shape == p.shape
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, expected.transpose(2, 0, 1).astype(np.float32))


def test_presets_have_the_publishers_numbers() -> None:
    black = np.zeros((256, 256, 3), np.uint8)
    values = {name: p(black)[:, 0, 0].tolist() for name, p in PRESETS.items() if p.channels != "L"}
    bvlc = [-104.00698793, -116.66876762, -122.67891434]
    torch = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    expected = {
        "BVLC_ALEXNET": bvlc,
        "CIFAR10_AKAMASTER": torch,
        "CIFAR10_NIN": [0.0, 0.0, 0.0],
        "IMAGENET_BVLC_GOOGLENET": [-104.0, -117.0, -123.0],
        "NIN_CAFFE": bvlc,
        "TORCHVISION": torch,
        "TORCHVISION_GOOGLENET": [-1.0, -1.0, -1.0],
        "TORCHVISION_V2": torch,
        "VGG_CAFFE": [-103.939, -116.779, -123.68],
    }
    assert values == {name: pytest.approx(mean, rel=1e-7) for name, mean in expected.items()}


def test_planes_of_bgr_are_reversed_and_mean_is_in_their_order(
    picture: npt.NDArray[np.uint8],
) -> None:
    p = Preprocessing((6, 8), channels="BGR", mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    x = p(picture)
    for plane, colour in ((0, 2), (1, 1), (2, 0)):
        expected = (picture[:, :, colour] - (plane + 1.0)) / (plane + 4.0)
        np.testing.assert_array_equal(x[plane], expected.astype(np.float32))


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((300, 421), (256, 359)),  # int(359.25)
        ((421, 300), (359, 256)),
        ((1213, 1546), (256, 326)),  # int(326.27)
        ((256, 511), (256, 511)),  # unchanged
        ((100, 100), (256, 256)),
        ((3, 8), (256, 682)),  # int(682.67)
    ],
)
def test_shorter_side(size: tuple[int, int], resized: tuple[int, int]) -> None:
    p = Preprocessing(resized, resize=256)  # without a crop the result must have the size at once
    assert p(np.zeros((*size, 3), np.uint8)).shape == (3, *resized)


@pytest.mark.parametrize(
    ("side", "offset"),
    [(256, 16), (255, 16), (257, 16), (259, 18), (226, 1), (225, 0), (227, 2), (224, 0)],
)
def test_centre_crop_rounds_halves_to_even(side: int, offset: int) -> None:
    row = np.arange(side) % 256
    image = np.broadcast_to(row[:, None], (side, side)).astype(np.uint8)
    x = Preprocessing((224, 224), crop=(224, 224), channels="L")(image)
    np.testing.assert_array_equal(x[0, :, 0], row[offset : offset + 224])
    x = Preprocessing((224, 224), crop=(224, 224), channels="L")(image.T)
    np.testing.assert_array_equal(x[0, 0], row[offset : offset + 224])


@pytest.mark.parametrize("channels", ["RGB", "BGR", "L"])
def test_pad_comes_before_crop_and_has_its_own_value(channels: str) -> None:
    p = Preprocessing((4, 6), pad=2, pad_value=7, crop=(4, 6), channels=channels)
    x = p(np.full((2, 4, 3), 100, np.uint8))
    expected = np.full((4, 6), 7.0)
    expected[1:3, 1:5] = 100
    for plane in x:
        np.testing.assert_array_equal(plane, expected)


def test_an_image_a_pixel_wide_allocates_no_gigabytes() -> None:
    with pytest.raises(ImageError, match="too narrow: at 256 pixels on the shorter side"):
        presets.TORCHVISION(np.zeros((60000, 1, 3), np.uint8))
    assert presets.IMAGENET_BVLC_GOOGLENET(np.zeros((60000, 1, 3), np.uint8)).shape[0] == 3


def test_image_of_another_size_without_resize() -> None:
    with pytest.raises(ImageError, match=r"array \(5, 7, 3\).*5 x 7 .* takes 6 x 8"):
        BARE(np.zeros((5, 7, 3), np.uint8))
    with pytest.raises(ImageError, match="smaller than the crop 6 x 8"):
        Preprocessing((6, 8), crop=(6, 8))(np.zeros((9, 7, 3), np.uint8))


# --- batches


@pytest.mark.parametrize("threads", [None, 1, 3, 64])
def test_batch_is_its_images(tmp_path: Path, threads: int | None) -> None:
    array = photograph(70, 90)
    Image.fromarray(array).save(tmp_path / "a.png")
    lazy = Image.open(tmp_path / "a.png")  # twice in the batch, not decoded yet
    images: list[ImageLike] = [
        tmp_path / "a.png",
        lazy,
        array[:50],
        lazy,
        str(tmp_path / "a.png"),
        lazy,
    ]
    p = presets.TORCHVISION
    x = p.batch((image for image in images), threads=threads)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, np.stack([p(image) for image in images]))


def test_batch_takes_an_array_and_may_be_empty(picture: npt.NDArray[np.uint8]) -> None:
    several = np.stack([picture, picture[::-1], picture[:, ::-1]])
    np.testing.assert_array_equal(BARE.batch(several), several.transpose(0, 3, 1, 2))
    assert BARE.batch([]).shape == (0, 3, 6, 8)


@pytest.mark.parametrize("threads", [1, 4])
def test_batch_names_the_first_unusable_image(picture: npt.NDArray[np.uint8], threads: int) -> None:
    images = [picture] * 5 + [picture[:, :, :2]] + ["absent.png"] + [picture] * 9
    with pytest.raises(ImageError, match=r"image 5 of the batch: array \(6, 8, 2\)"):
        BARE.batch(images, threads=threads)


@pytest.mark.parametrize("one", ["cat.jpg", Path("cat.jpg"), np.zeros((6, 8, 3), np.uint8), 5])
def test_batch_refuses_one_image(one: object) -> None:
    with pytest.raises(ImageError, match="for one image call the preprocessing itself"):
        BARE.batch(one)  # type: ignore[arg-type]


def test_batch_threads(picture: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"threads must be 1\.\."):
        BARE.batch([picture], threads=0)
    assert BARE.batch([picture, picture.copy()], threads=2).shape == (2, 3, 6, 8)


# --- the description


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_json_and_pickle_round_trip(name: str) -> None:
    p = PRESETS[name]
    assert Preprocessing.from_dict(json.loads(json.dumps(p.to_dict()))) == p
    assert pickle.loads(pickle.dumps(p)) == p
    assert hash(dataclasses.replace(p)) == hash(p)


def test_describe() -> None:
    assert presets.MNIST_LENET.describe().splitlines() == [
        "decode   EXIF rotation applied, transparency over white, 8 bits grey",
        "resize   to 28 x 28 (H x W), aspect not kept, bilinear",
        "pad      2 on each side with pixel 0",
        "values   x = (pixel / 255 - mean) / std, pixel 0..255",
        "         L mean (0.0784313725), std (0.784313725)",
        "         bright ink on a dark ground is expected",
        "input    float32 (1, 32, 32), planes L",
    ]
    assert "centre 227 x 227" in presets.BVLC_ALEXNET.describe()
    assert "BGR mean (104.006988, 116.668768, 122.678914)" in presets.BVLC_ALEXNET.describe()


def test_one_mean_serves_all_planes() -> None:
    p = Preprocessing((6, 8), mean=(3,), std=[2])  # type: ignore[arg-type]
    assert p == Preprocessing((6, 8), mean=(3.0, 3.0, 3.0), std=(2.0, 2.0, 2.0))


HOSTILE = [
    ("input_size", [0, 224]),
    ("input_size", [224]),
    ("input_size", [224.0, 224.0]),
    ("input_size", [10**9, 10**9]),
    ("input_size", [True, True]),
    ("input_size", "224"),
    ("resize", -1),
    ("resize", 10**30),
    ("resize", 1.5),
    ("resize", {}),
    ("resize", 200),
    ("resize", [256, 223]),
    ("interpolation", "bilinar"),
    ("interpolation", ["bilinear"]),
    ("interpolation", "x" * 10**6),
    ("crop", [1, 2, 3]),
    ("crop", [200, 200]),
    ("crop", None),
    ("pad", -1),
    ("pad", 10**12),
    ("pad_value", 256),
    ("channels", "RBG"),
    ("channels", "L"),
    ("channels", None),
    ("scale", float("nan")),
    ("scale", 10**400),
    ("scale", 1e300),
    ("scale", "1"),
    ("scale", True),
    ("mean", [1.0, 2.0]),
    ("mean", [1.0, 2.0, float("inf")]),
    ("mean", [[1.0], 2.0, 3.0]),
    ("mean", []),
    ("mean", 5.0),
    ("mean", [1e300, 0, 0]),
    ("std", [0.0, 1.0, 1.0]),
    ("std", [-1.0, 1.0, 1.0]),
    ("std", [1e-320, 1.0, 1.0]),
    ("std", None),
    ("colour", "RGB"),
    (5, 5),
]


@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_hostile_descriptions(field: str, value: object) -> None:
    fields = presets.IMAGENET_BVLC_GOOGLENET.to_dict()
    if field == "channels" and value == "L":
        fields["mean"] = [1.0, 2.0, 3.0]
    fields[field] = value
    with pytest.raises(ModelFormatError, match=r"^preprocessing: ") as caught:
        Preprocessing.from_dict(fields)
    assert len(str(caught.value)) < 200


def test_description_that_is_none_or_lacks_a_field() -> None:
    wrongs: list[Any] = [None, [], "RGB", 5]
    for wrong in wrongs:
        with pytest.raises(ModelFormatError, match="expected named fields"):
            Preprocessing.from_dict(wrong)
    with pytest.raises(ModelFormatError, match="missing field resize, "):
        Preprocessing.from_dict({"input_size": [6, 8]})
    with pytest.raises(ModelFormatError, match=r"unknown field 'sdt' \(did you mean 'std'"):
        Preprocessing.from_dict({**BARE.to_dict(), "sdt": 1})


def test_wrong_arguments_are_pythons_own_errors() -> None:
    with pytest.raises(ValueError, match=r"'bilinar' is not one of .* \(did you mean 'bilinear'"):
        Preprocessing((6, 8), interpolation="bilinar")
    with pytest.raises(ValueError, match=r"pad 3 leaves nothing of input_size \(6, 8\)"):
        Preprocessing((6, 8), pad=3)
    with pytest.raises(TypeError, match="pad must be an integer"):
        Preprocessing((6, 8), pad=0.5)  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        BARE.pad = 3  # type: ignore[misc]


# --- imports


def test_pillow_is_imported_late() -> None:
    code = (
        "import sys, pycnn.vision, pycnn.vision.presets, pycnn.vision.labels;"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'PIL']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
