"""Random changes: where pixels go, what colours become, what is drawn and how often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pycnn import _core
from pycnn.errors import ImageError, ShapeError
from pycnn.vision import (
    Augmentation,
    ColorJitter,
    ElasticWarp,
    Mirror,
    PcaColor,
    Preprocessing,
    RandomCrop,
    RandomResizedCrop,
    Rotate,
    Shear,
    presets,
)
from pycnn.vision.geometry import Frames
from pycnn.vision.render import Renderer
from pycnn.vision.steps import Draw, Step

Pixels = npt.NDArray[np.uint8]


def change(image: Pixels, *steps: Step, size: tuple[int, int] | None = None, **options: object):
    """(H, W, C) float32 in 0..255 of one image, changed; `seed` and `sample` may be given."""
    seed, sample = int(options.pop("seed", 0)), int(options.pop("sample", 0))
    channels = "RGB" if image.ndim == 3 else "L"
    renderer = Renderer(
        Preprocessing(size or image.shape[:2], channels=channels),
        Augmentation(steps, **options),
        seed,
    )
    return render(renderer, image, sample).transpose(1, 2, 0)


def render(renderer: Renderer, image: object, sample: int) -> npt.NDArray[np.float32]:
    """(C, H, W) of one image in epoch 0."""
    out = np.full((1, *renderer.preprocessing.shape), np.nan, np.float32)
    failed = renderer.render(out, [image], np.array([sample]), 0)
    if failed:
        raise failed[0]
    return out[0]


def draw_on(frames: Frames, size: tuple[int, int], samples: list[int] | npt.NDArray, *steps: Step):
    """What seed 0 draws in epoch 0."""
    draw = Draw(frames, size)
    Augmentation(steps).draw(draw, np.array(samples), seed=0, epoch=0)
    return draw


@pytest.fixture
def picture(rng: np.random.Generator) -> Pixels:
    """12 x 16 RGB, every pixel different."""
    return rng.integers(0, 256, (12, 16, 3), np.uint8)


# --- random numbers


def test_numbers_are_those_of_numpys_philox() -> None:
    samples = np.array([0, 7, 2**40])
    ours = _core.uniforms(3, 5, samples, 9)
    for row, sample in zip(ours, samples, strict=True):
        philox = np.random.Philox(key=[3, 5], counter=[0, sample, 0, 0])
        np.testing.assert_array_equal(row, np.random.Generator(philox).random(9))


def test_changes_depend_on_seed_epoch_and_number_alone(picture: Pixels) -> None:
    images = np.stack([picture] * 4)
    chain = Augmentation([RandomCrop(8), Rotate(40), ElasticWarp(), ColorJitter(0.5, 0.5)])
    preprocessing = Preprocessing((8, 8))

    def several(numbers: list[int], seed: int = 1, epoch: int = 2) -> npt.NDArray[np.float32]:
        out = np.empty((len(numbers), 3, 8, 8), np.float32)
        renderer = Renderer(preprocessing, chain, seed)
        renderer.render_array(out, images, np.array(numbers), epoch)
        return out

    together = several([0, 1, 2, 3])
    np.testing.assert_array_equal(several([2, 0]), together[[2, 0]])
    for other in (several([0], seed=2), several([0], epoch=3), several([1])):
        assert np.abs(other[0] - together[0]).max() > 1


# --- geometry


def test_a_mirror_and_a_crop_move_whole_pixels(picture: Pixels) -> None:
    np.testing.assert_array_equal(change(picture, Mirror(p=1)), picture[:, ::-1])
    np.testing.assert_array_equal(change(picture, Mirror(p=0)), picture)
    places = set()
    for sample in range(200):
        crop = change(picture, RandomCrop((10, 13)), size=(10, 13), sample=sample)
        (place,) = (
            (y, x)
            for y in range(3)
            for x in range(4)
            if np.array_equal(crop, picture[y : y + 10, x : x + 13])
        )
        places.add(place)
    assert len(places) == 12  # every one is reached


@pytest.mark.parametrize(
    ("border", "mode"), [("constant", "constant"), ("edge", "edge"), ("reflect", "reflect")]
)
def test_padding_follows_the_border(picture: Pixels, border: str, mode: str) -> None:
    values = {"constant_values": 9} if mode == "constant" else {}
    padded = np.pad(picture, [(5, 5), (5, 5), (0, 0)], mode, **values)
    size = padded.shape[:2]
    got = change(picture, RandomCrop(size, padding=5), size=size, border=border, fill=9)
    np.testing.assert_array_equal(got, padded)


def test_a_border_wider_than_the_image_is_reflected_again(picture: Pixels) -> None:
    small = picture[:2, :3]
    padded = np.pad(small, [(9, 9), (9, 9), (0, 0)], "reflect")
    got = change(small, RandomCrop((20, 21), padding=9), size=(20, 21), border="reflect")
    np.testing.assert_array_equal(got, padded)


@pytest.mark.parametrize(
    "steps",
    [(Rotate(50),), (Shear(30, 20),), (Rotate(20), Shear(10), Mirror(p=1))],
    ids=["rotate", "shear", "all"],
)
def test_an_affine_change_is_pillows(picture: Pixels, steps: tuple[Step, ...]) -> None:
    """Pillow's own bilinear transform rounds to 8 bits."""
    frames = Frames([12], [16])
    draw_on(frames, (12, 16), [3], *steps)
    coefficients = tuple(frames.affine[0].ravel())
    image = Image.fromarray(picture)
    expected = image.transform(
        image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    assert np.abs(change(picture, *steps, sample=3) - np.asarray(expected)).max() <= 1


def test_a_rotation_turns_counter_clockwise() -> None:
    frames = Frames([20], [20])
    frames.rotate(np.radians([90.0]))
    # What is seen at the top was at the right.
    np.testing.assert_allclose(frames.affine[0] @ [10, 0, 1], [20, 10], atol=1e-12)


def test_a_warp_moves_no_pixel_further_than_it_says() -> None:
    """The colours of a ramp are places."""
    y, x = np.mgrid[:64, :64]
    ramp = np.stack([x, y, x], axis=2).astype(np.uint8)
    got = change(ramp, ElasticWarp(magnitude=0.08, grid=4), border="edge")
    inner = np.s_[8:-8, 8:-8]
    moved = np.abs(got - ramp)[inner][..., :2]
    assert 0.5 < moved.max() <= 0.08 * 64
    # Smooth: neighbours move alike.
    assert np.abs(np.diff(got[..., 0], axis=0))[inner].max() < 1


def test_a_warp_is_the_spline_of_its_control_points() -> None:
    frames = Frames([32], [32])
    warp = ElasticWarp(magnitude=0.1, grid=2)
    draw = draw_on(frames, (32, 32), [0], warp)
    assert draw.grid is not None
    y, x = np.mgrid[:32, :32]
    ramp = np.stack([x, y, x], axis=2).astype(np.uint8) * 7

    def basis(at: float) -> npt.NDArray[np.float64]:
        """Weights of the five control points, from the definition as a piecewise cubic."""
        distance = np.abs(at - (np.arange(5) - 1))
        near = 2 / 3 - distance**2 + distance**3 / 2
        return np.where(distance < 1, near, np.where(distance < 2, (2 - distance) ** 3 / 6, 0))

    got = change(ramp, warp, border="edge")
    for p, q in ((10, 10), (15, 20), (21, 9)):
        weights = np.outer(basis((p + 0.5) / 16), basis((q + 0.5) / 16))
        dx, dy = (draw.grid[0] * weights).sum(axis=(1, 2)) * 32
        np.testing.assert_allclose(got[p, q, :2], [7 * (q + dx), 7 * (p + dy)], atol=1e-3)


def test_random_resized_crops_have_the_areas_and_aspects_that_they_say() -> None:
    frames = Frames(np.full(4000, 400), np.full(4000, 600))
    step = RandomResizedCrop(100, scale=(0.2, 0.8), ratio=(0.5, 2))
    draw_on(frames, (100, 100), np.arange(4000), step)
    height, width = 100 * frames.affine[:, 1, 1], 100 * frames.affine[:, 0, 0]
    left, top = frames.affine[:, 0, 2], frames.affine[:, 1, 2]
    area, aspect = height * width / (400 * 600), width / height
    assert area.min() > 0.199 and area.max() < 0.801
    assert aspect.min() > 0.49 and aspect.max() < 2.02
    # As drawn one by one and thrown away where they do not fit.
    rng = np.random.default_rng(0)
    areas, aspects = rng.uniform(0.2, 0.8, 40000), np.exp2(rng.uniform(-1, 1, 40000))
    fits = (areas * aspects * 1.5 <= 1.5**2) & (areas * 1.5 / aspects <= 1)
    parts = np.arange(0.1, 1, 0.1)
    for got, expected in ((area, areas[fits]), (aspect, aspects[fits])):
        np.testing.assert_allclose(np.quantile(got, parts), np.quantile(expected, parts), rtol=0.05)
    assert (left >= 0).all() and (left + width <= 600 + 1e-9).all()
    assert (top >= 0).all() and (top + height <= 400 + 1e-9).all()
    np.testing.assert_allclose(frames.zoom, np.stack([height, width], axis=1) / 100)


def test_a_random_resized_crop_that_never_fits_is_the_largest_at_the_centre() -> None:
    frames = Frames([100], [1000])
    step = RandomResizedCrop(50, scale=(0.9, 1), ratio=(1, 2))
    draw_on(frames, (50, 50), [0], step)
    np.testing.assert_allclose(frames.affine[0], [[4, 0, 400], [0, 2, 0]])


def test_a_random_resized_crop_is_pillows_resize(shared_data: Callable[[str], Path]) -> None:
    image = Image.open(shared_data("images/cat.jpg"))
    frames = Frames([image.height], [image.width])
    chain = Augmentation([RandomResizedCrop((90, 80)), Mirror(p=1)])
    draw_on(frames, (90, 80), [1], *chain.steps)
    (a, _, right), (_, d, top) = frames.affine[0]
    box = (right + 80 * a, top, right, top + 90 * d)
    expected = np.asarray(image.resize((80, 90), Image.Resampling.BILINEAR, box=box))[:, ::-1]
    out = render(Renderer(Preprocessing((90, 80)), chain, 0), image, 1)
    assert (frames.zoom[0] > 1).all()
    np.testing.assert_array_equal(out.transpose(1, 2, 0), expected)


def test_a_crop_of_a_resized_photograph_shows_what_the_preprocessing_resized(
    shared_data: Callable[[str], Path],
) -> None:
    path = shared_data("images/cat.jpg")
    whole = Preprocessing((256, 256), resize=(256, 256))(path)
    crops = Preprocessing((224, 224), resize=(256, 256), crop=(224, 224))
    out = render(Renderer(crops, Augmentation(RandomCrop()), 0), path, 5)
    differences = [
        np.abs(out - whole[:, top : top + 224, left : left + 224]).max()
        for top in range(33)
        for left in range(33)
    ]
    assert min(differences) <= 1  # Pillow rounds a place in a box otherwise than one in the whole


@pytest.mark.parametrize("steps", [(Rotate(30),), (Rotate(30), ElasticWarp(0.1))])
@pytest.mark.parametrize("border", ["constant", "edge", "reflect"])
def test_only_what_is_seen_is_shrunk_and_it_looks_the_same(
    steps: tuple[Step, ...], border: str
) -> None:
    """As if the whole photograph were shrunk first, at another phase of the pixels."""
    y, x = np.mgrid[:300, :400]
    smooth = 127 + 60 * np.sin(x / 31) + 60 * np.cos(y / 23)
    image = np.stack([smooth, smooth.T[:300, :300].mean() + 0 * x, x / 2], axis=2).astype(np.uint8)
    small = np.asarray(Image.fromarray(image).resize((100, 75), Image.Resampling.BILINEAR))
    chain = (RandomCrop(64, padding=20), *steps)
    resized = Preprocessing((64, 64), resize=(75, 100), crop=(64, 64))
    for sample in range(5):
        out = render(Renderer(resized, Augmentation(chain, border=border), 0), image, sample)
        expected = change(small, *chain, size=(64, 64), sample=sample, border=border)
        difference = np.abs(out.transpose(1, 2, 0) - expected)
        # A hard edge of the constant border may fall on either side of a pixel.
        assert np.quantile(difference, 0.95) < 3
        assert difference.mean() < 1.5


# --- colours


def luma(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return rgb @ [0.299, 0.587, 0.114]


def factors(step: ColorJitter, sample: int) -> npt.NDArray[np.float64]:
    u = _core.uniforms(0, 0, np.array([sample]), 4)[0]
    spread = np.array([step.brightness, step.contrast, step.saturation])
    return 1 - spread + u[:3] * 2 * spread


def test_jitter_is_what_its_definition_says(picture: Pixels) -> None:
    pale = picture // 4 + 90  # so that nothing is cut off
    step = ColorJitter(brightness=0.2, contrast=0.3, saturation=0.4)
    brightness, contrast, saturation = factors(step, 2)
    v = pale * brightness
    v = contrast * v + (1 - contrast) * luma(v.mean(axis=(0, 1)))
    v = saturation * v + (1 - saturation) * luma(v)[..., None]
    np.testing.assert_allclose(change(pale, step, sample=2), v, atol=1e-3)


def test_jitter_of_grey_is_the_grey_of_the_jitter(picture: Pixels) -> None:
    grey = picture[..., 0] // 4 + 90
    step = ColorJitter(0.2, 0.3, 0.4, 0.1)
    of_colour = change(np.repeat(grey[..., None], 3, axis=2), step)
    np.testing.assert_allclose(change(grey, step)[..., 0], luma(of_colour), atol=1e-3)


def test_colours_are_cut_off_at_the_ends(picture: Pixels) -> None:
    got = np.stack([change(picture, ColorJitter(0, 5, 5, 0.5), sample=i) for i in range(9)])
    assert got.min() == 0 and got.max() == 255


def test_a_turn_of_the_hue_keeps_greys_and_luma(picture: Pixels) -> None:
    pale = picture // 8 + 110
    got = change(pale, ColorJitter(hue=0.5))
    np.testing.assert_allclose(luma(got), luma(pale), atol=0.5)
    assert np.abs(got - pale).max() > 3
    grey = np.full((4, 4, 3), 77, np.uint8)
    np.testing.assert_allclose(change(grey, ColorJitter(hue=0.5)), grey, atol=1e-3)


def test_pca_colour_shifts_all_pixels_along_the_components() -> None:
    grey = np.full((2, 2, 3), 128, np.uint8)
    step = PcaColor(sigma=0.5)
    shifts = np.stack([change(grey, step, sample=i)[0, 0] - 128 for i in range(2000)])
    parts = shifts / 255 @ np.array(step.eigenvectors).T  # along each component
    np.testing.assert_allclose(parts.std(axis=0), 0.5 * np.array(step.eigenvalues), rtol=0.06)
    assert np.abs(parts.mean(axis=0)).max() < 0.01


def test_pca_of_images_is_that_of_numpy(rng: np.random.Generator) -> None:
    base = rng.normal(0, 1, (5, 8, 8, 3)) @ np.diag([60, 20, 5]) + 127
    images = base.clip(0, 255).astype(np.uint8)
    step = PcaColor.of(images)
    covariance = np.cov(images.reshape(-1, 3).T / 255, bias=True)
    vectors = np.array(step.eigenvectors)
    np.testing.assert_allclose(vectors.T @ np.diag(step.eigenvalues) @ vectors, covariance)
    assert step.eigenvalues == tuple(sorted(step.eigenvalues, reverse=True))


# --- normalising


@pytest.mark.parametrize("name", ["TORCHVISION", "VGG_CAFFE", "MNIST_LENET", "CIFAR10_AKAMASTER"])
def test_without_a_change_it_is_the_preprocessing(name: str, rng: np.random.Generator) -> None:
    """By the pixel where none is blended, to float32's rounding where one may be."""
    preprocessing: Preprocessing = getattr(presets, name)
    resize = preprocessing.resize
    side = resize if isinstance(resize, int) else resize[0]
    images = rng.integers(0, 256, (2, side, side, preprocessing.shape[0]), np.uint8)
    expected = preprocessing.batch(images)
    crop = preprocessing.input_size[0] - 2 * preprocessing.pad
    if crop == side:
        exact, blended = (Mirror(p=0),), (Rotate(0.0), ElasticWarp(magnitude=0))
        for steps, tolerance in ((exact, 0), (blended, 1e-5)):
            out = np.empty_like(expected)
            renderer = Renderer(preprocessing, Augmentation(steps), 0)
            renderer.render_array(out, images, np.arange(2), 0)
            np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance)
    out = np.empty_like(expected)
    Renderer(preprocessing, None, 0).render_array(out, images, np.arange(2), 0)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("step", [RandomCrop(), RandomResizedCrop(scale=(1, 1), ratio=(1, 1))])
def test_a_crop_leaves_room_for_the_border(step: Step, rng: np.random.Generator) -> None:
    """LeNet-5's preprocessing adds two pixels on each side."""
    images = rng.integers(0, 256, (2, 28, 28, 1), np.uint8)
    expected = presets.MNIST_LENET.batch(images)
    out = np.empty_like(expected)
    failed = Renderer(presets.MNIST_LENET, Augmentation(step), 0).render_array(
        out, images, np.arange(2), 0
    )
    assert failed == {}
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)


# --- misuse


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Mirror(p=2), ValueError, "p must be 0..1"),
        (lambda: Rotate("much"), TypeError, "degrees must be a number"),
        (lambda: Shear(x=90), ValueError, "x must be 0..60"),
        (lambda: RandomCrop(size=0), ValueError, "size must be 1..4096"),
        (lambda: RandomCrop(size=(3, 4, 5)), TypeError, "size must be an integer or"),
        (lambda: RandomCrop(32, padding=1.5), TypeError, "padding must be an integer"),
        (lambda: RandomCrop(32, padding=True), TypeError, "padding must be"),
        (lambda: RandomResizedCrop(scale=(0.9, 0.1)), ValueError, "scale must be"),
        (lambda: RandomResizedCrop(scale=0.5), TypeError, "scale must be"),
        (lambda: ColorJitter(hue=0.7), ValueError, "hue must be 0..0.5"),
        (lambda: ElasticWarp(grid=62), ValueError, "grid must be 1..61"),
        (lambda: PcaColor(eigenvalues=(1, 2)), ValueError, "three eigenvalues"),
        (lambda: PcaColor.of(np.zeros((2, 2, 3), np.uint8)), ImageError, "uint8 images"),
        (lambda: Augmentation(["mirror"]), TypeError, "a step of an augmentation is a Step"),
        (lambda: Augmentation([ElasticWarp(), ElasticWarp()]), ValueError, "one ElasticWarp"),
        (lambda: Augmentation([], border="wrap"), ValueError, "border must be one of"),
        (lambda: Augmentation([], fill=300), ValueError, "fill must be 0..255"),
    ],
)
def test_misuse(make: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_crop_that_does_not_fit_names_the_image(tmp_path: Path, picture: Pixels) -> None:
    path = tmp_path / "small.png"
    Image.fromarray(picture).save(path)
    renderer = Renderer(Preprocessing((20, 20)), Augmentation(RandomCrop(20, padding=3)), 0)
    text = r"small.png': 12 x 16 \(H x W\) with a border of 3 is smaller than the crop 20 x 20"
    with pytest.raises(ImageError, match=text):
        render(renderer, path, 0)
    renderer = Renderer(Preprocessing((20, 20)), Augmentation(Mirror()), 0)
    with pytest.raises(ImageError, match=r"small\.png': the augmentation makes 12 x 16"):
        render(renderer, path, 0)


def test_the_kernel_checks_what_it_is_given(picture: Pixels) -> None:
    arguments = {
        "out": np.empty((1, 3, 12, 16), np.float32),
        "images": picture[None],
        "index": np.zeros(1, np.int64),
        "affine": np.array([[1.0, 0, 0, 0, 1, 0]]),
        "grid": None,
        "colour": None,
        "table": np.zeros((3, 256), np.float32),
        "gain": np.ones(3, np.float32),
        "offset": np.zeros(3, np.float32),
        "reversed": False,
        "border": "constant",
        "fill": 0,
    }
    _core.render_images(**arguments)
    for name, value in {
        "index": np.ones(1, np.int64),
        "affine": np.array([[np.nan, 0, 0, 0, 1, 0]]),
        "grid": np.zeros((1, 2, 3, 3), np.float32),
        "colour": np.zeros((1, 3, 6), np.float32),
        "border": "wrap",
        "fill": 256,
        "images": picture[None, :, ::2],
        "out": np.empty((1, 1, 12, 16), np.float32),
    }.items():
        with pytest.raises(ShapeError):
            _core.render_images(**{**arguments, name: value})


def test_places_far_away_are_outside(picture: Pixels) -> None:
    out = np.empty((1, 3, 12, 16), np.float32)
    for affine in ([1e300, 0, 0, 0, -1e300, 0], [1, 0, 1e18, 0, 1, 0]):
        _core.render_images(
            *(out, picture[None], np.zeros(1, np.int64), np.array([affine], np.float64)),
            *(None, None, np.tile(np.arange(256, dtype=np.float32), (3, 1))),
            *(np.ones(3, np.float32), np.zeros(3, np.float32), False, "constant", 7),
        )
        assert (out == 7).all()


# --- the picture


def test_a_contact_sheet_shows_the_image_and_its_changes(picture: Pixels) -> None:
    sheet = Augmentation(Mirror(p=1)).contact_sheet([picture, picture[:8]], columns=3, rows=2)
    assert sheet.size == (3 * 16 + 2 * 4, 2 * (12 + 8) + 3 * 4)
    pixels = np.asarray(sheet)
    np.testing.assert_array_equal(pixels[:12, :16], picture)
    np.testing.assert_array_equal(pixels[16:28, 20:36], picture[:, ::-1])
    np.testing.assert_array_equal(pixels[32:40, :16], picture[:8])
    sizes = [np.zeros((h, w, 3), np.uint8) for h, w in ((40, 5), (6, 30))]
    mixed = Augmentation(Mirror()).contact_sheet(sizes, columns=2, rows=3)
    assert mixed.size == (2 * 30 + 4, 3 * (40 + 4) + 3 * (6 + 4) - 4)  # each image its own height
    black = np.asarray(mixed)[..., 0] == 0
    assert black.sum() == 6 * (40 * 5 + 6 * 30)
    with pytest.raises(ValueError, match="two columns or more"):
        Augmentation(Mirror()).contact_sheet(picture, columns=1)
    with pytest.raises(ImageError, match=r"at 2 x 4097 .* more than 4096 pixels a side"):
        Augmentation(Mirror()).contact_sheet(np.zeros((2, 4097, 3), np.uint8))
