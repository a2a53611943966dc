"""Several views of an image at test time: which rectangles, and how they are cut.

- 2: the centre as the network usually sees it, and mirrored.
- 10: the four corners and the centre, each mirrored too (the AlexNet paper, section 4.1).
- 144: of the image at four scales, shorter side 256, 288, 320 and 352 where the network takes 224,
  the left, centre and right square (upper, centre and lower of an upright image); of each square
  the four corners, the centre, and the whole shrunk to the network's size; each mirrored too (the
  GoogLeNet paper, section 7).

The rectangles are pure functions of sizes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pycnn.errors import ImageError, ShapeError, UnsupportedError
from pycnn.vision.decode import ImageLike, decode
from pycnn.vision.preprocess import Preprocessing, shorter_side

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "CROPS",
    "Crop",
    "check_count",
    "crops_of_batch",
    "crops_of_image",
    "multi_scale",
    "ten_crops",
]

CROPS = (1, 2, 10, 144)

Floats = npt.NDArray[np.float32]
Size = tuple[int, int]  # height, width

_SCALES = (8, 9, 10, 11)  # sevenths of the network's side


@dataclass(frozen=True)
class Crop:
    """A rectangle of an image that was brought to `size` first; heights before widths."""

    size: Size
    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False


def ten_crops(height: int, width: int, wanted: Size) -> list[Crop]:
    """Upper left, upper right, lower left, lower right, centre; then these mirrored.

    Examples
    --------
    >>> [(crop.top, crop.left) for crop in ten_crops(256, 256, (224, 224))[:5]]
    [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    """
    whole = Crop((height, width), 0, 0, height, width)
    return _and_mirrored(_five_of(whole, wanted))


def multi_scale(height: int, width: int, wanted: Size, where: str = "the image") -> list[Crop]:
    """The 144 crops; the 48 different ones of them where the image is square."""
    if wanted[0] != wanted[1]:
        raise UnsupportedError(
            f"144 crops are of squares, and this network takes {wanted[0]} x {wanted[1]} (H x W)"
        )
    found = []
    for sevenths in _SCALES:
        side = round(wanted[0] * sevenths / 7)
        size = shorter_side(side, height, width, where)
        longest = max(size) - side
        for offset in dict.fromkeys((0, round(longest / 2), longest)):
            at = (0, offset) if width >= height else (offset, 0)
            square = Crop(size, *at, side, side)
            found += _and_mirrored([*_five_of(square, wanted), square])
    return found


def _five_of(whole: Crop, wanted: Size) -> list[Crop]:
    """The corners and the centre of a crop."""
    height, width = wanted
    down, across = whole.height - height, whole.width - width
    places = [*itertools.product((0, down), (0, across)), (round(down / 2), round(across / 2))]
    return [
        Crop(whole.size, whole.top + top, whole.left + left, height, width) for top, left in places
    ]


def _and_mirrored(crops: list[Crop]) -> list[Crop]:
    return [*crops, *(dataclasses.replace(crop, mirrored=True) for crop in crops)]


def check_count(count: int) -> None:
    """Raise ValueError where there are no crops of this number."""
    if count not in CROPS:
        raise ValueError(f"crops must be one of {', '.join(map(str, CROPS))}, got {count!r}")


# Cutting ------------------------------------------------------------------------------------------


def crops_of_batch(batch: Floats, count: int, wanted: Size) -> Iterator[tuple[int, Floats]]:
    """Crops of preprocessed images (N, C, H, W), one at a time: number of the image, (C, h, w).

    Raises
    ------
    ShapeError
        The images leave no room: they must be larger than `wanted` for 10 crops, and as large for 1
        and 2. For 144 any size will do.
    """
    height, width = batch.shape[2:]
    room = min(height - wanted[0], width - wanted[1])
    if count <= 2 and room >= 0:
        whole = Crop((height, width), 0, 0, height, width)
        crops = _and_mirrored(_five_of(whole, wanted)[-1:])[:count]
    elif count == 10 and room > 0:
        crops = ten_crops(height, width, wanted)
    elif count == 144:
        crops = multi_scale(height, width, wanted)
    else:
        raise ShapeError(
            f"{count} crops of {wanted[0]} x {wanted[1]} (H x W) cannot be cut from images of "
            f"{height} x {width}: give larger images"
        )
    for size, group in itertools.groupby(crops, key=lambda crop: crop.size):
        resized = _resize_planes(batch, size)
        for crop in group:
            rows, columns = (
                slice(crop.top, crop.top + crop.height),
                slice(crop.left, crop.left + crop.width),
            )
            cut = _resize_planes(resized[:, :, rows, columns], wanted)
            for n, image in enumerate(cut):
                yield n, image[:, :, ::-1] if crop.mirrored else image


def crops_of_image(image: ImageLike, count: int, preprocessing: Preprocessing) -> Iterator[Floats]:
    """Crops of one image, preprocessed, one at a time: float32 (C, H, W).

    For 10 crops the image is resized as the preprocessing says, and its central square taken (all
    of it where the network's input is not square); for 144 the scales take the place of the
    preprocessing's resize.

    Raises
    ------
    UnsupportedError
        The preprocessing leaves no room for crops: it has no centre crop. Or it adds a border, of
        which no paper says how it is cropped.
    ImageError
        The image cannot be used, or is smaller than its crops.
    """
    p = preprocessing
    if count <= 2:
        x = p(image)
        yield x
        if count == 2:
            yield x[:, :, ::-1]
        return
    if p.crop is None:
        raise UnsupportedError(
            f"the preprocessing brings the whole image to {p.input_size[0]} x {p.input_size[1]}, "
            f"which leaves no room for {count} crops: crops=2 mirrors it, and run(batch, "
            f"crops={count}) takes larger images"
        )
    if p.pad:
        raise UnsupportedError(
            f"the preprocessing adds a border of {p.pad}: {count} crops of that are not defined, "
            "crops=2 mirrors it"
        )
    decoded, where = decode(image, "L" if p.channels == "L" else "RGB")
    if count == 10:
        whole = _central(decoded, p, where)
        crops = _and_mirrored(_five_of(whole, p.crop))
    else:
        crops = multi_scale(decoded.height, decoded.width, p.crop, where)
    normalise = dataclasses.replace(p, resize=None, crop=None, pad=0)
    for size, group in itertools.groupby(crops, key=lambda crop: crop.size):
        resized = _resize(decoded, size, p.interpolation)
        for crop in group:
            box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
            x = normalise(_resize(resized.crop(box), p.crop, p.interpolation))
            yield x[:, :, ::-1] if crop.mirrored else x


def _central(image: Image.Image, p: Preprocessing, where: str) -> Crop:
    """What ten crops are cut from: of a resized image the central square, or all of it."""
    assert p.crop is not None
    height, width = image.height, image.width
    if isinstance(p.resize, tuple):
        height, width = p.resize
    elif p.resize is not None:
        height, width = shorter_side(p.resize, height, width, where)
    whole = Crop((height, width), 0, 0, height, width)
    if p.crop[0] == p.crop[1]:
        side = min(height, width)
        top, left = round((height - side) / 2), round((width - side) / 2)
        whole = Crop((height, width), top, left, side, side)
    if whole.height < p.crop[0] or whole.width < p.crop[1]:
        raise ImageError(
            f"{where}: {height} x {width} (H x W) is smaller than the crops of {p.crop[0]} x "
            f"{p.crop[1]}: enlarge the image, or give the preprocessing a resize"
        )
    return whole


def _resize(image: Image.Image, size: Size, interpolation: str) -> Image.Image:
    from PIL import Image

    if image.size == size[::-1]:
        return image
    return image.resize(size[::-1], Image.Resampling[interpolation.upper()])


def _resize_planes(batch: Floats, size: Size) -> Floats:
    """(N, C, H, W) to another height and width: bilinear, antialiased."""
    from PIL import Image

    if batch.shape[2:] == size:
        return batch
    out = np.empty((*batch.shape[:2], *size), np.float32)
    for index in np.ndindex(*batch.shape[:2]):
        plane = Image.fromarray(np.ascontiguousarray(batch[index]))
        out[index] = np.asarray(_resize(plane, size, "bilinear"))
    return out
