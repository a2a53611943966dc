"""Which parts of images excite a unit most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pycnn.inside.pictures import Pixels, grid, png, values_of
from pycnn.model import Model, preprocessing_of
from pycnn.opset import Array
from pycnn.receptive_field import Field, fields
from pycnn.vision.decode import ImageLike, as_list

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Region", "Regions", "exciting_regions"]

_BATCH = 16
_Box = tuple[int, int, int, int]  # top, left, lower, right


@dataclass(frozen=True)
class Region:
    """Where a unit is excited.

    Attributes
    ----------
    image
        Number of the image among those given.
    activation
        What the unit gives there.
    row, column
        Its place in the layer.
    box
        Top, left, lower, right (exclusive) of what it sees, in pixels of the network's input; may
        reach beyond the image.
    pixels
        What of it is in the image, uint8 (H, W, 3). Of a field that is larger than the image, its
        middle, as large as the image, is meant.
    """

    image: int
    activation: float
    row: int
    column: int
    box: tuple[int, int, int, int]
    pixels: Pixels


@dataclass(frozen=True)
class Regions:
    """The regions that excite one channel of a layer, the strongest first."""

    layer: str
    channel: int
    found: tuple[Region, ...]

    def picture(self) -> Image.Image:
        """All of them in a grid, row by row, each in the middle of its place."""
        height = max(1, *(region.pixels.shape[0] for region in self.found))
        width = max(1, *(region.pixels.shape[1] for region in self.found))
        tiles = [_framed(region.pixels, height, width) for region in self.found]
        return grid(tiles, min(len(tiles), 8), side=64)

    def _repr_png_(self) -> bytes:
        return png(self.picture())


def exciting_regions(
    model: Model,
    layer: str,
    channel: int,
    images: ImageLike | Iterable[ImageLike],
    *,
    top: int = 9,
    each: int = 1,
) -> Regions:
    """Find the parts of images to which one channel of a layer responds most.

    A unit sees its receptive field; that part of each image is cut out where the channel is
    largest (Zeiler & Fergus 2013 and Girshick et al. 2014 look at units so). Of one image no two
    parts overlap.

    Parameters
    ----------
    model : Model
    layer : str
    channel : int
    images : path, PIL image, uint8 array, or several
    top : int
        Regions at most.
    each : int
        Regions at most of one image.

    Raises
    ------
    ValueError
        There is no such channel, or no image.
    UnsupportedError
        The model does not know its preprocessing.
    """
    listed, _ = as_list(images)
    if not listed or top < 1 or each < 1:
        raise ValueError(f"give an image, top and each of at least 1: {len(listed)}, {top}, {each}")
    preprocessing = preprocessing_of(model)
    height, width = preprocessing.pixels(listed[0]).shape[:2]
    field = fields(model.graph)[layer]
    found: list[tuple[float, int, int, int]] = []
    for start in range(0, len(listed), _BATCH):
        values = values_of(model, layer, listed[start : start + _BATCH])
        if not 0 <= channel < values.shape[1]:
            raise ValueError(
                f"{model.name}: '{layer}' has {values.shape[1]} channels, none is {channel}"
            )
        for i, plane in enumerate(values[:, channel]):
            for row, column in _apart(plane, field, (height, width), each):
                found.append((float(plane[row, column]), start + i, row, column))
    found.sort(key=lambda one: -one[0])
    regions = []
    for activation, number, row, column in found[:top]:
        box = field.box(row, column)
        y, x, lower, right = _inside(box, height, width)
        pixels = preprocessing.pixels(listed[number])[y:lower, x:right]
        regions.append(Region(number, activation, row, column, box, pixels))
    return Regions(layer, channel, tuple(regions))


def _apart(plane: Array, field: Field, size: tuple[int, int], most: int) -> list[tuple[int, int]]:
    """The places of the largest values whose parts of the image do not overlap."""
    found: list[tuple[int, int]] = []
    boxes: list[_Box] = []
    for place in np.argsort(-plane, axis=None, kind="stable").tolist():
        row, column = divmod(place, plane.shape[1])
        box = _inside(field.box(row, column), *size)
        if not any(_overlap(box, other) for other in boxes):
            found.append((row, column))
            boxes.append(box)
            if len(found) == most:
                break
    return found


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(box: _Box, height: int, width: int) -> _Box:
    """The part of a box that is in the image.

    Of a field that is larger than the image the middle is taken, as large as the image: units
    respond to the middle of their field most.
    """
    top, lower = _clipped(box[0], box[2], height)
    left, right = _clipped(box[1], box[3], width)
    return top, left, lower, right


def _clipped(low: int, high: int, most: int) -> tuple[int, int]:
    low += max(high - low - most, 0) // 2
    high = min(high, low + most)
    return min(max(low, 0), most), min(max(high, 0), most)


def _framed(pixels: Pixels, height: int, width: int) -> Pixels:
    """In the middle of white paper."""
    frame = np.full((height, width, 3), 255, np.uint8)
    y, x = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    frame[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return frame
