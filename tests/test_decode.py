"""Whatever an image comes as: files, PIL images, arrays; and what is refused."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from images import BARE, photograph, pixels_of
from PIL import Image

from pycnn.errors import ImageError, PycnnError
from pycnn.vision import Preprocessing, presets
from pycnn.vision.decode import decode


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


def test_a_decoded_image_is_upright_however_often_it_is_decoded(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    once, _ = decode(tmp_path / "turned.png", "RGB")
    twice, _ = decode(once, "RGB")
    assert once.size == twice.size == (6, 8)
    np.testing.assert_array_equal(np.asarray(twice), np.asarray(once))
