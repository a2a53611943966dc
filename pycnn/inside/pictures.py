"""What a layer has learnt and what it makes of an image, as pictures: filters, feature maps."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pycnn.errors import UnsupportedError
from pycnn.model import Model, preprocessing_of
from pycnn.opset import Array, dense_weight
from pycnn.vision.decode import ImageLike

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Pixels", "feature_maps", "filters", "grid", "png", "values_of", "zoom_of"]

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)

_GAP = 2
_GROUND = 255
_SIDE = 40  # pixels that the side of a tile has at least
_MOST = 256  # tiles


def filters(model: Model, layer: str, *, most: int = _MOST) -> Image.Image:
    """Show the filters of a convolution.

    Those that read a colour image are in its colours, one tile for each output channel. Of others
    each row is an output channel and each column an input channel, of the first of both. Grey is
    zero; white and black are the largest absolute value of the filter, which is all of a row.

    Parameters
    ----------
    model : Model
    layer : str
    most : int
        Tiles at most.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    UnsupportedError
        The layer is no convolution.
    UnknownNameError
        There is no such layer; near matches are named.
    ValueError
        `most` is less than 1.
    """
    _check_most(most)
    node = model.graph.node(layer)
    if node.op != "conv2d":
        raise UnsupportedError(f"{model.name}: '{layer}' ({node.op}) has no filters to look at")
    read = model.content().read
    shape = model.graph.parameters[node.params["weight"]]
    weight = dense_weight(node.attrs, read(node.params["weight"]).reshape(shape))
    k, c = weight.shape[:2]
    if c == 3 and node.inputs[0] in model.graph.inputs:
        if model.preprocessing is not None and model.preprocessing.channels == "BGR":
            weight = weight[:, ::-1]
        coloured = [_signed(one.transpose(1, 2, 0)) for one in weight[:most]]
        return grid(coloured, columns=_nearly_square(len(coloured)))
    columns = min(c, most, 16 if k > 1 else c)
    rows = [_signed(one[..., None].repeat(3, axis=3)) for one in weight[: most // columns]]
    tiles = [tile for row in rows for tile in row[:columns]]
    return grid(tiles, columns=columns if c > 1 else _nearly_square(len(tiles)))


def feature_maps(model: Model, layer: str, image: ImageLike, *, most: int = _MOST) -> Image.Image:
    """Show what a layer makes of an image: a tile for each channel, black its least value.

    Parameters
    ----------
    model : Model
    layer : str
        Any that can be tapped.
    image : path, PIL image or uint8 array
    most : int
        Tiles at most, of the first channels.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    UnsupportedError
        The model does not know its preprocessing.
    UnknownNameError
        There is no such layer; near matches are named.
    ValueError
        `most` is less than 1.
    """
    _check_most(most)
    (values,) = values_of(model, layer, [image])
    if values.shape[1:] == (1, 1):  # a vector: all on one scale
        low, high = float(values.min()), float(values.max())
        tiles = [_between(one, low, high) for one in values[:most]]
    else:
        tiles = [_between(one, float(one.min()), float(one.max())) for one in values[:most]]
    return grid(tiles, columns=_nearly_square(len(tiles)))


def values_of(model: Model, layer: str, images: Sequence[ImageLike]) -> Array:
    """What a layer makes of images, always (N, C, H, W)."""
    batch = preprocessing_of(model).batch(images)
    values = model.run(batch, until=layer, check_input=False)
    assert isinstance(values, np.ndarray)
    return values.reshape(*values.shape[:2], *(values.shape[2:] or (1, 1)))


def grid(tiles: Sequence[Pixels], columns: int, side: int = _SIDE) -> Image.Image:
    """Lay equal tiles out in rows, small ones enlarged by a whole number."""
    from PIL import Image

    height, width = tiles[0].shape[:2]
    zoom = zoom_of(height, width, side)
    down, across = height * zoom + _GAP, width * zoom + _GAP
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * down - _GAP, columns * across - _GAP, 3), _GROUND, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * down, i % columns * across
        large = tile.repeat(zoom, axis=0).repeat(zoom, axis=1)
        sheet[y : y + height * zoom, x : x + width * zoom] = large
    return Image.fromarray(sheet)


def zoom_of(height: int, width: int, side: int) -> int:
    """By which whole number a picture is enlarged for its longer side to be at least `side`."""
    return max(1, math.ceil(side / max(height, width)))


def png(picture: Image.Image) -> bytes:
    """The picture as a file, which a notebook shows."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _check_most(most: int) -> None:
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")


def _nearly_square(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _signed(values: Array) -> Pixels:
    """Zero is grey; the largest absolute value is the end of the scale."""
    largest = float(np.abs(values).max()) or 1.0
    return _pixels(0.5 + 0.5 * values / largest)


def _between(values: Array, low: float, high: float) -> Pixels:
    return _pixels((values - low) / ((high - low) or 1.0))


def _pixels(values: npt.NDArray[np.floating]) -> Pixels:
    """Colours, or shades of grey, in 0..1: (..., 3) or (H, W)."""
    levels = np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    return levels if levels.ndim > 2 else np.repeat(levels[..., None], 3, axis=2)
