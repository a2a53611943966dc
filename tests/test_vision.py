"""Decoding, resizing, normalising, labels and lists of files."""

import dataclasses
import json
import os
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pycnn.errors import ImageError, ModelFormatError, PycnnError, suggest
from pycnn.vision import ImageLike, Preprocessing, expand, presets
from pycnn.vision.labels import labels, synsets

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not beside the project")

PRESETS = {name: getattr(presets, name) for name in presets.__all__}
BARE = Preprocessing((6, 8))  # no step but the decoding: RGB, 0..255


def pixels_of(x: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(C, H, W) of BARE back to (H, W, C)."""
    assert x.dtype == np.float32
    return x.transpose(1, 2, 0).astype(np.uint8)


@pytest.fixture
def picture() -> npt.NDArray[np.uint8]:
    """6 x 8 RGB, every pixel different."""
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def photograph(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Smooth and noisy parts, as a photograph has."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 255 / width, y * 255 / height, 127 + 127 * np.sin(x / 9) * np.cos(y / 7)]
    noise = np.random.default_rng(1).normal(0, 9, (height, width, 3))
    return (np.stack(planes, axis=2) + noise).clip(0, 255).astype(np.uint8)


# --- the real photographs


@needs_data
@pytest.mark.parametrize("as_array", [False, True])
def test_equals_the_reference_input_of_googlenet(as_array: bool) -> None:
    reference = np.load(DATA / "inception_v1_bvlc" / "reference_logits.npz")
    for name, x in zip(reference["files"], reference["x"], strict=True):
        path = DATA / "images" / Path(str(name)).name
        image = np.asarray(Image.open(path)) if as_array else path
        np.testing.assert_array_equal(presets.IMAGENET_BVLC_GOOGLENET(image), x)


@needs_data
def test_real_mnist_digit_has_the_range_of_the_paper() -> None:
    import gzip

    with gzip.open(DATA / "mnist" / "train-images-idx3-ubyte.gz") as file:
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


# --- kinds of images


def test_arrays(picture: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(pixels_of(BARE(picture)), picture)
    grey = picture[:, :, 0]
    for array in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(pixels_of(BARE(array)), np.stack([grey] * 3, axis=2))
    rgba = np.dstack([picture, np.full((6, 8), 255, np.uint8)])
    np.testing.assert_array_equal(pixels_of(BARE(rgba)), picture)
    rgba[:, :, 3] = 0
    np.testing.assert_array_equal(pixels_of(BARE(rgba)), 255)
    flipped = picture[::-1, ::-1]
    np.testing.assert_array_equal(pixels_of(BARE(flipped)), flipped)
    readonly = picture.copy()
    readonly.setflags(write=False)
    np.testing.assert_array_equal(pixels_of(BARE(readonly)), picture)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_files_and_pil_images(tmp_path: Path, picture: npt.NDArray[np.uint8], suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(picture).save(path)
    for image in (path, str(path), Image.open(path), Image.fromarray(picture)):
        np.testing.assert_array_equal(pixels_of(BARE(image)), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".jpg"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :12] = (250, 10, 10)
    upright[:8, 12:] = (10, 250, 10)
    upright[8:, :12] = (10, 10, 250)
    # How a camera stores it: what its viewer then undoes.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **options)
    for image in (path, Image.open(path)):
        x = pixels_of(Preprocessing((16, 24))(image)).astype(int)
        assert abs(x - upright).max() <= (3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_meaningless_orientation_is_upright(
    tmp_path: Path, picture: npt.NDArray[np.uint8], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(pixels_of(BARE(tmp_path / "a.png")), picture)


def test_damaged_exif_is_ignored(tmp_path: Path, picture: npt.NDArray[np.uint8]) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png", exif=b"Exif\0\0no tiff header at all")
    np.testing.assert_array_equal(pixels_of(BARE(tmp_path / "a.png")), picture)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La", "P"])
@pytest.mark.parametrize("channels", ["RGB", "L"])
def test_transparency_is_laid_over_white(mode: str, channels: str) -> None:
    image = Image.new("RGBA", (8, 6), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 6))
    if mode == "P":
        image = Image.new("P", (8, 6), 1)
        image.putpalette([0, 0, 0, 90, 0, 0])
        image.paste(0, (0, 0, 4, 6))
        image.info["transparency"] = 1
    elif mode == "PA":
        alpha = image.getchannel("A")
        image = Image.new("P", (8, 6), 0)
        image.putpalette([0, 0, 0])
        image.putalpha(alpha)
    elif mode in ("RGBa", "La"):
        image = image.convert(mode[:-1].upper() + "A").convert(mode)
    else:
        image = image.convert(mode)
    assert image.mode == mode
    x = Preprocessing((6, 8), channels=channels)(image)
    assert (x[:, :, :4] == 0).all()
    assert (x[:, :, 4:] == 255).all()


def test_half_transparency() -> None:
    image = Image.new("RGBA", (8, 6), (200, 100, 0, 51))  # a fifth of it over white
    x = BARE(image)[:, 0, 0]
    assert abs(x - [244, 224, 204]).max() <= 1


@pytest.mark.parametrize("kind", ["palette", "colour key", "gif"])
def test_transparency_in_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.gif" if kind == "gif" else "a.png")
    if kind == "colour key":
        image = Image.new("RGB", (8, 6), (9, 8, 7))
        image.paste((50, 60, 70), (0, 0, 4, 6))
        image.save(path, transparency=(9, 8, 7))
    else:
        image = Image.new("P", (8, 6), 1)
        image.putpalette([50, 60, 70, 9, 8, 7])
        image.paste(0, (0, 0, 4, 6))
        image.save(path, transparency=1)
    x = pixels_of(BARE(path))
    assert (x[:, :4] == (50, 60, 70)).all()
    assert (x[:, 4:] == 255).all()


def test_other_modes(tmp_path: Path, picture: npt.NDArray[np.uint8]) -> None:
    rgb = Image.fromarray(picture)
    for mode in ("CMYK", "YCbCr", "HSV"):
        image = rgb.convert(mode)
        np.testing.assert_array_equal(pixels_of(BARE(image)), np.asarray(image.convert("RGB")))
    rgb.convert("CMYK").save(tmp_path / "cmyk.tiff")
    np.testing.assert_array_equal(pixels_of(BARE(tmp_path / "cmyk.tiff")), picture)
    bits = rgb.convert("1")
    expected = np.stack([np.asarray(bits) * np.uint8(255)] * 3, axis=2)
    np.testing.assert_array_equal(pixels_of(BARE(bits)), expected)
    grey = Preprocessing((6, 8), channels="L")
    np.testing.assert_array_equal(grey(rgb)[0], np.asarray(rgb.convert("L")))


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), (250, 240, 10)).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    x = BARE(tmp_path / "a.jpg")[:, 3, 3]
    assert abs(x - [250, 240, 10]).max() <= 4


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
@pytest.mark.parametrize("channels", ["RGB", "L"])
def test_grey_of_16_bits(tmp_path: Path, suffix: str, channels: str) -> None:
    values = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    values[0, :4] = (128, 129, 385, 386)  # just below and above the halves of 257
    path = tmp_path / f"deep{suffix}"
    if suffix == ".pgm":
        path.write_bytes(b"P5 8 6 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path)
    x = Preprocessing((6, 8), channels=channels)(path)
    for plane in x:
        np.testing.assert_array_equal(plane, np.rint(values / 257.0))
    assert x[0, 0, :4].tolist() == [0, 1, 1, 2]
    assert x[0, 5, 7] == 255
    np.testing.assert_array_equal(x, Preprocessing((6, 8), channels=channels)(Image.open(path)))


def test_colour_of_16_bits(tmp_path: Path) -> None:
    """Pillow's own reduction: the upper 8 bits. A change of it would change predictions."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    row = b"\0" + np.array([[0x12FF, 0xFF00, 0x00FF]] * 8, ">u2").tobytes()
    header = struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 6)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert (pixels_of(BARE(tmp_path / "deep.png")) == (0x12, 0xFF, 0)).all()


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 6), value) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (BARE(tmp_path / "a.gif") == 10).all()


def test_the_callers_image_is_not_changed(picture: npt.NDArray[np.uint8]) -> None:
    image = Image.fromarray(np.dstack([picture, picture[:, :, 0]]))
    before, mode = image.tobytes(), image.mode
    array = picture.copy()
    for preprocess in (BARE, presets.TORCHVISION, presets.MNIST_LENET):
        preprocess(image)
        preprocess(array)
    assert (image.tobytes(), image.mode) == (before, mode)
    np.testing.assert_array_equal(array, picture)


# --- what is refused


def test_unusable_files(tmp_path: Path) -> None:
    def reason(path: Path) -> str:
        with pytest.raises(ImageError) as caught:
            presets.TORCHVISION(path)
        assert isinstance(caught.value, PycnnError)
        assert isinstance(caught.value, ValueError)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "no such file" in reason(tmp_path / "absent.jpg")
    assert "is a folder" in reason(tmp_path)
    (tmp_path / "empty.jpg").touch()
    assert "the file is empty" in reason(tmp_path / "empty.jpg")
    (tmp_path / "text.jpg").write_text("not an image")
    assert "not an image in a format that Pillow knows" in reason(tmp_path / "text.jpg")
    (tmp_path / "a.eps").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    )
    assert "EPS is a program" in reason(tmp_path / "a.eps")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".tiff", ".bmp", ".webp"])
def test_truncated_files(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    Image.fromarray(photograph(64, 64)).save(whole)
    content = whole.read_bytes()
    for size in (9, len(content) // 4, len(content) // 2):
        path = tmp_path / f"cut{size}{suffix}"
        path.write_bytes(content[:size])
        with pytest.raises(ImageError, match=f"cut{size}"):
            presets.TORCHVISION(path)
        try:
            lazy = Image.open(path)
        except Exception:  # the header was cut
            continue
        with lazy, pytest.raises(ImageError, match="PIL image"):
            presets.TORCHVISION(lazy)


@pytest.mark.filterwarnings("ignore")
def test_random_damage_raises_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for suffix in (".jpg", ".png", ".gif", ".tiff", ".webp"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(photograph(40, 40)).save(path)
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            damaged = content.copy()
            damaged[rng.integers(0, min(200, content.size), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            try:
                x = presets.CIFAR10_NIN(path)
            except ImageError:
                continue
            assert np.isfinite(x).all()


@pytest.mark.parametrize("action", ["ignore", "error"])
def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    import warnings

    Image.new("RGB", (30, 20)).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)  # type: ignore[arg-type]
        for limit in (599, 200):  # Pillow itself only warns up to twice its limit
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
            with pytest.raises(ImageError, match=rf"large\.png.*{limit} pixels allowed"):
                presets.TORCHVISION(tmp_path / "large.png")
        for no_limit in (600, None):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", no_limit)
            assert presets.TORCHVISION(tmp_path / "large.png").shape == (3, 224, 224)


def test_an_image_a_pixel_wide_allocates_no_gigabytes() -> None:
    with pytest.raises(ImageError, match="too narrow: at 256 pixels on the shorter side"):
        presets.TORCHVISION(np.zeros((60000, 1, 3), np.uint8))
    assert presets.IMAGENET_BVLC_GOOGLENET(np.zeros((60000, 1, 3), np.uint8)).shape[0] == 3


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((224, 224, 3), np.float32), r"float32.*expected uint8.*run\(\)"),
        (np.zeros((3, 224, 224), np.uint8), r"looks like \(C, H, W\).*transpose"),
        (np.zeros((5, 224, 224, 3), np.uint8), r"batch\(\)"),
        (np.zeros((224, 224, 2), np.uint8), "expected uint8"),
        (np.zeros(7, np.uint8), "expected uint8"),
        (np.zeros((0, 5, 3), np.uint8), "empty"),
        (Image.new("RGB", (0, 0)), "empty"),
        (Image.new("F", (8, 8)), "no agreed white"),
        (Image.new("I", (8, 8)), "no agreed white"),
        (17, "not int"),
        (None, "not NoneType"),
        (["cat.jpg"], "not list"),
        ("nul\0byte.jpg", "nul"),
    ],
)
def test_unusable_images(image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        presets.TORCHVISION(image)  # type: ignore[arg-type]


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
    with pytest.raises(TypeError, match="pad must be an integer"):
        Preprocessing((6, 8), pad=0.5)  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        BARE.pad = 3  # type: ignore[misc]


# --- labels


def test_labels() -> None:
    names = labels("imagenet")
    assert (len(names), names[0]) == (1000, "tench, Tinca tinca")
    assert names[258] == "Samoyed, Samoyede"
    assert [names[k].split(",")[0] for k in (281, 282, 285)] == [
        "tabby",
        "tiger cat",
        "Egyptian cat",
    ]
    assert names[999].startswith("toilet tissue")
    assert labels("imagenet") is names
    assert labels("cifar10")[0] == "airplane"
    assert labels("cifar10")[9] == "truck"
    assert labels("mnist") == tuple("0123456789")
    assert len(labels("cifar10")) == 10


def test_synsets() -> None:
    ids = synsets("imagenet")
    assert (ids[0], ids[258]) == ("n01440764", "n02111889")
    assert len(set(ids)) == 1000
    assert list(ids) == sorted(ids)
    assert all(len(item) == 9 and item[0] == "n" and item[1:].isdigit() for item in ids)


@needs_data
def test_labels_are_the_published_file() -> None:
    lines = (DATA / "imagenet_synset_words.txt").read_text().splitlines()
    assert [
        f"{a} {b}" for a, b in zip(synsets("imagenet"), labels("imagenet"), strict=True)
    ] == lines


def test_unknown_labels() -> None:
    for wrong in ("imagent", "../README.md", ""):
        with pytest.raises(ValueError, match="there are imagenet, cifar10, mnist"):
            labels(wrong)
    with pytest.raises(ValueError, match="did you mean 'imagenet'"):
        labels("ImageNet")
    with pytest.raises(ValueError, match="only imagenet's are"):
        synsets("cifar10")


def test_suggest() -> None:
    assert suggest("Resnet50", ["resnet50", "vgg16"]) == " (did you mean 'resnet50'?)"
    assert suggest("xyz", ["resnet50", "vgg16"]) == ""
    assert suggest("resnet50" * 10**6, ["resnet50"]) == ""
    assert suggest("a", []) == ""


# --- lists of files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.txt",
        "weights.h5",
        "paper.pdf",
        "figure.eps",
        ".hidden.jpg",
        "sub/c.jpeg",
        "sub/deep/d.webp",
        ".thumbnails/e.png",
        "odd[1].jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_expand_folder(folder: Path) -> None:
    names = ["a.PNG", "b.jpg", "odd[1].jpg", "sub/c.jpeg", "sub/deep/d.webp"]
    assert expand([folder]) == [folder / name for name in names]
    assert expand(".") == [Path(name) for name in names]
    assert expand([folder / "sub", "b.jpg"]) == [
        folder / "sub/c.jpeg",
        folder / "sub/deep/d.webp",
        Path("b.jpg"),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jpg", ["b.jpg", "odd[1].jpg"]),
        ("*", ["a.PNG", "b.jpg", "odd[1].jpg"]),
        ("**", ["a.PNG", "b.jpg", "odd[1].jpg", "sub/c.jpeg", "sub/deep/d.webp"]),
        ("**/*.[jw]*", ["b.jpg", "odd[1].jpg", "sub/c.jpeg", "sub/deep/d.webp"]),
        ("s?b/*", ["sub/c.jpeg"]),
        ("odd[1].jpg", ["odd[1].jpg"]),  # the file of this very name
        ("notes.txt", ["notes.txt"]),  # named: taken whatever its suffix
    ],
)
def test_expand_pattern(folder: Path, pattern: str, names: list[str]) -> None:
    assert expand([pattern]) == [Path(name) for name in names]
    assert expand([folder / pattern]) == [folder / name for name in names]


def test_expand_keeps_order_and_repeats(folder: Path) -> None:
    assert expand(["b.jpg", "a.PNG", "b.jpg"]) == [Path("b.jpg"), Path("a.PNG"), Path("b.jpg")]
    assert expand([]) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.jpg", "'absent.jpg': no such file or folder"),
        ("absent/*.jpg", r"pattern 'absent/\*.jpg': matches no file"),
        ("*.txt", r"pattern '\*.txt': none of the 1 files it matches is an image"),
        ("bare", "folder 'bare': no image in it or below it"),
        ("", "'': no such file or folder"),
        (5, "expected the path of an image, got int"),
    ],
)
def test_expand_refuses(folder: Path, path: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        expand(["b.jpg", path])  # type: ignore[list-item]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every folder")
def test_expand_unreadable_folder(folder: Path) -> None:
    (folder / "sub").chmod(0)
    try:
        with pytest.raises(ImageError, match=r"sub.*Permission denied"):
            expand([folder])
    finally:
        (folder / "sub").chmod(0o755)


def test_expand_does_not_follow_a_loop(folder: Path) -> None:
    (folder / "sub" / "loop").symlink_to(folder)
    assert len(expand([folder])) == 5


# --- imports


def test_pillow_is_imported_late() -> None:
    code = (
        "import sys, pycnn.vision, pycnn.vision.presets, pycnn.vision.labels;"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'PIL']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
