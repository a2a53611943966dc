"""From images to what a network takes, changed at random: `Renderer`.

Pillow decodes, and shrinks what is to be seen of an image with its antialiased filters; one pass in
C++ does the rest: moves, enlarges, warps, recolours, normalises (csrc/image/render.h).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.errors import ImageError
from pycnn.vision.augmentation import Augmentation
from pycnn.vision.decode import ImageLike, decode
from pycnn.vision.geometry import Frames
from pycnn.vision.preprocess import Preprocessing, lookup, shorter_side
from pycnn.vision.steps import Draw

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Renderer"]

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

# What is nearer to a whole number is one: places are computed by several multiplications.
_WHOLE = 1e-9

# Decoded images that are kept at a time; their changes are drawn together, which costs little more
# than for one of them.
_DECODED_PIXELS = 1 << 20

_FIRST = np.zeros(1, np.int64)


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
        self._chain = augmentation or Augmentation(())
        p = preprocessing
        self._table = lookup(p)
        self._gain = (p.scale / np.array(p.std)).astype(np.float32)
        self._offset = (-np.array(p.mean) / np.array(p.std)).astype(np.float32)

    def render(
        self, out: Floats, images: Iterable[ImageLike], samples: Numbers, epoch: int
    ) -> dict[int, ImageError]:
        """Write images to `out` (n, C, H, W); `samples` are their numbers in the data set.

        Returns
        -------
        dict of row to ImageError
            What cannot be decoded or brought to the network's size; the messages name the image.
        """
        failed: dict[int, ImageError] = {}
        rows: list[int] = []
        decoded: list[tuple[Image.Image, str]] = []
        pixels = 0
        for row, image in enumerate(images):
            try:
                if self.augmentation is None:
                    out[row] = self.preprocessing(image)
                    continue
                decoded.append(decode(image, "L" if self._grey else "RGB"))
            except ImageError as error:
                failed[row] = error
                continue
            rows.append(row)
            pixels += decoded[-1][0].width * decoded[-1][0].height
            if pixels > _DECODED_PIXELS:
                failed |= self._change(out, rows, decoded, samples, epoch)
                rows, decoded, pixels = [], [], 0
        if rows:
            failed |= self._change(out, rows, decoded, samples, epoch)
        return failed

    def render_array(
        self, out: Floats, images: Pixels, samples: Numbers, epoch: int
    ) -> dict[int, ImageError]:
        """Write the images (N, H, W, C) of these numbers to `out`; else as `render`."""
        if images.shape[3] == self.preprocessing.shape[0]:
            size = (images.shape[1], images.shape[2])
            draw = self._draw([size] * len(samples), samples, epoch)
            zoom = draw.frames.zoom
            small = (zoom == 1).all() or (self.augmentation is not None and (zoom <= 1).all())
            if small and not draw.refused:
                self._write(out, images, samples, self._drawn(draw))
                return {}
        return self.render(out, (images[i] for i in samples.tolist()), samples, epoch)

    def check_array(self, images: Pixels) -> None:
        """Raise an ImageError where no image of this size can be used."""
        size = (images.shape[1], images.shape[2])
        draw = self._draw([size], _FIRST, 0)
        if draw.refused:
            raise ImageError(f"array {images.shape}: {draw.refused[0]}")

    @property
    def _grey(self) -> bool:
        return self.preprocessing.channels == "L"

    def _change(
        self,
        out: Floats,
        rows: list[int],
        decoded: list[tuple[Image.Image, str]],
        samples: Numbers,
        epoch: int,
    ) -> dict[int, ImageError]:
        """Draw the changes of decoded images together and write them to these rows of `out`."""
        sizes = [(image.height, image.width) for image, _ in decoded]
        draw = self._draw(sizes, samples[rows], epoch)
        good = [i for i in range(len(rows)) if i not in draw.refused]
        pixels = [np.asarray(self._zoomed(decoded[i][0], draw, i)) for i in good]
        drawn = self._drawn(draw)
        for i, image in zip(good, pixels, strict=True):
            one = image.reshape(1, *image.shape[:2], -1)
            self._write(out[rows[i] : rows[i] + 1], one, _FIRST, drawn.of(i))
        return {rows[i]: ImageError(f"{decoded[i][1]}: {text}") for i, text in draw.refused.items()}

    def _draw(self, sizes: list[tuple[int, int]], samples: Numbers, epoch: int) -> Draw:
        """The whole way from images of these sizes to the network's input."""
        p = self.preprocessing
        frames = Frames(*np.array(sizes, np.float64).T)
        border = 0 if p.crop else 2 * p.pad  # added after the chain; a crop takes it off again
        draw = Draw(frames, (p.input_size[0] - border, p.input_size[1] - border))
        if p.resize is not None and not self._chain.resizes:
            resized = [self._resized(draw, i, size) for i, size in enumerate(sizes)]
            frames.resize(*np.array(resized).T)
        self._chain.draw(draw, samples, seed=self.seed, epoch=epoch)
        frames.crop(-p.pad, -p.pad, frames.heights + 2 * p.pad, frames.widths + 2 * p.pad)
        height, width = p.input_size
        down, across = frames.heights - height, frames.widths - width
        # A centre crop takes what is larger; without one the size must be right.
        wrong = (down < 0) | (across < 0) if p.crop else (down != 0) | (across != 0)
        for i in np.flatnonzero(wrong).tolist():
            found = f"{sizes[i][0]} x {sizes[i][1]}"
            advice = "give the preprocessing a resize or a crop"
            if self.augmentation is not None:
                made = f"{frames.heights[i]:.0f} x {frames.widths[i]:.0f}"
                found = f"the augmentation makes {made} of {found}"
                advice = "give it a crop of that size, or the preprocessing a resize"
            network = f"{height} x {width}"
            draw.refuse(i, f"{found} (H x W), where the network takes {network}: {advice}")
        frames.crop(np.rint(down / 2), np.rint(across / 2), height, width)
        return draw

    def _resized(self, draw: Draw, i: int, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width after the preprocessing's resize."""
        resize = self.preprocessing.resize
        if isinstance(resize, tuple):
            return resize
        try:
            return size if resize is None else shorter_side(resize, *size, "the image")
        except ImageError as error:
            draw.refuse(i, str(error))
            return size

    def _zoomed(self, image: Image.Image, draw: Draw, i: int) -> Image.Image:
        """What is to be seen of an image, at the scale of the result; `draw` follows."""
        from PIL import Image

        affine, zoom = draw.frames.affine[i], draw.frames.zoom[i]
        if (zoom <= 1).all():
            return image
        p = self.preprocessing
        reach = self._chain.reach * min(p.input_size)
        box = _box(affine, p.input_size, reach, image.size, self._chain.border)
        left, top, right, lower = box
        width = max(1, round((right - left) / zoom[1]))
        height = max(1, round((lower - top) / zoom[0]))
        affine[:, 2] -= left, top
        affine *= [[width / (right - left)], [height / (lower - top)]]
        method = Image.Resampling[p.interpolation.upper()]
        return image.resize((width, height), method, box=box)

    def _drawn(self, draw: Draw) -> _Drawn:
        p = self.preprocessing
        affine = draw.frames.affine.reshape(-1, 6)
        whole = np.rint(affine)
        grid = None if draw.grid is None else draw.grid * min(p.input_size)
        return _Drawn(
            affine=np.where(np.abs(affine - whole) < _WHOLE, whole, affine),
            grid=None if grid is None else grid.astype(np.float32),
            colour=None if draw.colours is None else draw.colours.rows(p.shape[0]),
        )

    def _write(self, out: Floats, images: Pixels, index: Numbers, drawn: _Drawn) -> None:
        p, chain = self.preprocessing, self._chain
        fill = p.pad_value if chain.fill is None else chain.fill
        _core.render_images(
            *(out, images, index, *drawn, self._table, self._gain, self._offset),
            *(p.channels == "BGR", chain.border, fill),
        )


class _Drawn(NamedTuple):
    """What was drawn, as csrc/image/render.h takes it."""

    affine: npt.NDArray[np.float64]  # (n, 6)
    grid: Floats | None  # (n, 2, side, side)
    colour: Floats | None  # (n, C, 2 C + 1)

    def of(self, i: int) -> _Drawn:
        """What was drawn for one image, as for a batch of one."""
        one = slice(i, i + 1)
        grid = None if self.grid is None else self.grid[one]
        return _Drawn(self.affine[one], grid, None if self.colour is None else self.colour[one])


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
