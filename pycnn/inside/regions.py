"""Which parts of images excite a unit most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pycnn.inside.pictures import Pixels, grid, png, values_of
from pycnn.model import Model, preprocessing_of
from pycnn.receptive_field import fields
from pycnn.vision.decode import ImageLike, as_list

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Region", "Regions", "exciting_regions"]

_BATCH = 16


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
        Top, left, lower, right (exclusive) of what it sees, in pixels of the network's input.
    pixels
        That part of the image, uint8 (H, W, 3); grey where it reaches beyond.
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
        """All of them in a grid, row by row."""
        return grid([region.pixels for region in self.found], min(len(self.found), 8), side=64)

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
    largest (Zeiler & Fergus 2013 and Girshick et al. 2014 look at units so).

    Parameters
    ----------
    model : Model
    layer : str
    channel : int
    images : path, PIL image, uint8 array, or several
    top : int
        Regions at most.
    each : int
        Regions at most of one image; their fields may overlap.

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
    found: list[tuple[float, int, int, int]] = []
    for start in range(0, len(listed), _BATCH):
        values = values_of(model, layer, listed[start : start + _BATCH])
        if not 0 <= channel < values.shape[1]:
            raise ValueError(
                f"{model.name}: '{layer}' has {values.shape[1]} channels, none is {channel}"
            )
        for i, plane in enumerate(values[:, channel]):
            order = np.argsort(-plane, axis=None, kind="stable")[:each]
            for place in order.tolist():
                row, column = divmod(place, plane.shape[1])
                found.append((float(plane[row, column]), start + i, row, column))
    found.sort(key=lambda one: -one[0])
    field = fields(model.graph)[layer]
    regions = []
    for activation, number, row, column in found[:top]:
        box = field.box(row, column)
        pixels = _cut(preprocessing.pixels(listed[number]), box)
        regions.append(Region(number, activation, row, column, box, pixels))
    return Regions(layer, channel, tuple(regions))


def _cut(pixels: Pixels, box: tuple[int, int, int, int]) -> Pixels:
    """Cut a box out of an image, what is beyond it grey.

    Of a field that is larger than the image the middle is cut, as large as the image: units respond
    to the middle of their field most.
    """
    height, width = pixels.shape[:2]
    top, lower = _middle(box[0], box[2], height)
    left, right = _middle(box[1], box[3], width)
    out = np.full((lower - top, right - left, 3), 128, np.uint8)
    y, x = max(top, 0), max(left, 0)
    part = pixels[y : max(lower, 0), x : max(right, 0)]
    out[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] = part
    return out


def _middle(low: int, high: int, most: int) -> tuple[int, int]:
    spare = max(high - low - most, 0)
    low += spare // 2
    return low, low + min(high - low, most)
