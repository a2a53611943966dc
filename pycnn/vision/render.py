"""From images to what a network takes, changed at random: `Renderer`.

Pillow decodes, and shrinks what is to be seen of an image with its antialiased filters; one pass in
C++ does the rest: moves, enlarges, warps, recolours, normalises (csrc/image/render.h).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.errors import ImageError
from pycnn.vision.augmentation import Augmentation
from pycnn.vision.geometry import Frames
from pycnn.vision.preprocess import (
    CHANNELS,
    ImageLike,
    Preprocessing,
    _decode,
    _lookup,
    _shorter_side,
)
from pycnn.vision.steps import Draw

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Renderer"]

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

# What is nearer to a whole number is one: places are computed by several multiplications.
_WHOLE = 1e-9

_NONE = Augmentation(())


class Renderer:
    """Preprocesses images and changes them at random; may be used from many threads.

    Parameters
    ----------
    preprocessing : Preprocessing
    augmentation : Augmentation, optional
        Without one an image becomes what `preprocessing` makes of it, bit for bit.
    seed : int
    """

    def __init__(
        self, preprocessing: Preprocessing, augmentation: Augmentation | None, seed: int
    ) -> None:
        self.preprocessing = preprocessing
        self.augmentation = augmentation
        self.seed = seed
        p = preprocessing
        self._table = _lookup(p)
        self._gain = (p.scale / np.array(p.std)).astype(np.float32)
        self._offset = (-np.array(p.mean) / np.array(p.std)).astype(np.float32)

    def render(self, out: Floats, image: ImageLike, sample: int, epoch: int) -> None:
        """Write one image to `out` (C, H, W); `sample` is its number in the data set.

        Raises
        ------
        ImageError
            The image cannot be decoded or brought to the network's size; the message names it.
        """
        augmentation = self.augmentation
        if augmentation is None:
            out[...] = self.preprocessing(image)
            return
        grey = CHANNELS[self.preprocessing.channels] == 1
        decoded, where = _decode(image, "L" if grey else "RGB")
        number = np.array([sample])
        try:
            draw = self._draw(augmentation, decoded.height, decoded.width, number, epoch)
        except ImageError as error:
            raise ImageError(f"{where}: {error}") from error
        pixels = np.asarray(self._zoomed(decoded, augmentation, draw))
        pixels = pixels.reshape(1, *pixels.shape[:2], -1)
        self._write(out[None], pixels, np.zeros(1, np.int64), augmentation, draw)

    def render_array(self, out: Floats, images: Pixels, samples: Numbers, epoch: int) -> None:
        """Write the images (N, H, W, C) of these numbers to `out` (n, C, H, W).

        Raises
        ------
        ImageError
            They cannot be brought to the network's size.
        """
        p, augmentation = self.preprocessing, self.augmentation or _NONE
        if images.shape[3] == CHANNELS[p.channels]:
            draw = self._draw(augmentation, images.shape[1], images.shape[2], samples, epoch)
            zoom = draw.frames.zoom
            if (zoom == 1).all() or (self.augmentation is not None and (zoom <= 1).all()):
                self._write(out, images, samples, augmentation, draw)
                return
        for row, sample in zip(out, samples.tolist(), strict=True):
            self.render(row, images[sample], sample, epoch)

    def check_array(self, images: Pixels) -> None:
        """Raise the ImageError that `render_array` would, if any."""
        first = np.zeros(1, np.int64)
        self._draw(self.augmentation or _NONE, images.shape[1], images.shape[2], first, 0)

    def _draw(
        self, augmentation: Augmentation, height: int, width: int, samples: Numbers, epoch: int
    ) -> Draw:
        """The whole way from images of one size to the network's input."""
        p = self.preprocessing
        frames = Frames(np.full(len(samples), height), np.full(len(samples), width))
        if p.resize is not None and not augmentation.resizes:
            if isinstance(p.resize, tuple):
                frames.resize(*p.resize)
            else:
                frames.resize(*_shorter_side(p.resize, height, width, "the image"))
        draw = augmentation.draw(frames, p.input_size, samples, seed=self.seed, epoch=epoch)
        frames.crop(-p.pad, -p.pad, frames.heights + 2 * p.pad, frames.widths + 2 * p.pad)
        wanted_height, wanted_width = p.input_size
        down, across = frames.heights - wanted_height, frames.widths - wanted_width
        # A centre crop takes what is larger; without one the size must be right.
        wrong = (down < 0) | (across < 0) if p.crop else (down != 0) | (across != 0)
        if wrong.any():
            (first, *_) = np.flatnonzero(wrong)
            raise ImageError(
                f"the augmentation makes {frames.heights[first]:.0f} x {frames.widths[first]:.0f} "
                f"of {height} x {width} (H x W), where the network takes {wanted_height} x "
                f"{wanted_width}: give it a crop of that size, or the preprocessing a resize"
            )
        frames.crop(np.rint(down / 2), np.rint(across / 2), wanted_height, wanted_width)
        return draw

    def _zoomed(self, image: Image.Image, augmentation: Augmentation, draw: Draw) -> Image.Image:
        """What is to be seen of an image, at the scale of the result; `draw` follows."""
        from PIL import Image

        frames = draw.frames
        (affine,), (zoom,) = frames.affine, frames.zoom
        if (zoom <= 1).all():
            return image
        p = self.preprocessing
        reach = augmentation.reach * min(p.input_size)
        box = _box(affine, p.input_size, reach, image.size, augmentation.border)
        left, top, right, lower = box
        width = max(1, round((right - left) / zoom[1]))
        height = max(1, round((lower - top) / zoom[0]))
        scale = np.array([[width / (right - left)], [height / (lower - top)]])
        affine[:, 2] -= left, top
        affine *= scale
        method = Image.Resampling[p.interpolation.upper()]
        return image.resize((width, height), method, box=box)

    def _write(
        self, out: Floats, images: Pixels, index: Numbers, augmentation: Augmentation, draw: Draw
    ) -> None:
        p = self.preprocessing
        affine = draw.frames.affine.reshape(-1, 6)
        whole = np.rint(affine)
        affine = np.where(np.abs(affine - whole) < _WHOLE, whole, affine)
        grid = None
        if draw.grid is not None:
            grid = (draw.grid * min(p.input_size)).astype(np.float32)
        _core.render_images(
            out,
            images,
            index,
            affine,
            grid,
            None if draw.colours is None else draw.colours.rows(images.shape[3]),
            self._table,
            self._gain,
            self._offset,
            p.channels == "BGR",
            augmentation.border,
            p.pad_value if augmentation.fill is None else augmentation.fill,
        )


def _box(
    affine: npt.NDArray[np.float64],
    size: tuple[int, int],
    reach: float,
    image: tuple[int, int],
    border: str,
) -> tuple[float, float, float, float]:
    """The part of an image, (left, top, right, lower), that a result of this size may show."""
    straight = affine[0, 1] == 0 and affine[1, 0] == 0 and reach == 0
    # Between pixels a place has neighbours on either side; where all turns out to be a resize,
    # Pillow is to do just that.
    margin = 0.0 if straight else reach + 1
    height, width = size
    corners = np.array(
        [(x, y, 1) for x in (-margin, width + margin) for y in (-margin, height + margin)]
    )
    low, high = (corners @ affine.T).min(axis=0), (corners @ affine.T).max(axis=0)  # x, y
    whole = np.array(image, np.float64)
    if border == "reflect":  # what is outside shows what is as far inside
        low, high = np.minimum(low, 2 * whole - high), np.maximum(high, -low)
    low = np.clip(low, 0, whole - 1)
    high = np.clip(high, low + 1, whole)
    return (*low.tolist(), *high.tolist())
