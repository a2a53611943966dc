"""A picture of what an augmentation does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pycnn.errors import ImageError
from pycnn.vision.augmentation import Augmentation
from pycnn.vision.decode import ImageLike, as_list, decode
from pycnn.vision.geometry import Frames
from pycnn.vision.preprocess import MAX_SIDE, Preprocessing, as_pixels
from pycnn.vision.render import Renderer
from pycnn.vision.steps import Draw

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["draw_sheet"]

_GAP = 4
_MAX_TILES = 10_000


def draw_sheet(
    augmentation: Augmentation,
    images: ImageLike | Sequence[ImageLike],
    preprocessing: Preprocessing | None,
    columns: int,
    rows: int,
    seed: int,
) -> Image.Image:
    """See `Augmentation.contact_sheet`."""
    from PIL import Image

    each, _ = as_list(images)
    if columns < 2 or rows < 1 or not 1 <= columns * rows * len(each) <= _MAX_TILES:
        raise ValueError(
            f"a sheet has two columns or more, a row and an image: got {columns}, {rows} and "
            f"{len(each)}"
        )
    strips = [
        _tiles(augmentation, image, preprocessing, columns * rows, seed, sample)
        for sample, image in enumerate(each)
    ]
    across = max(tile.shape[1] for tiles in strips for tile in tiles) + _GAP
    heights = [max(tile.shape[0] for tile in tiles) + _GAP for tiles in strips]
    size = (columns * across - _GAP, rows * sum(heights) - _GAP)
    sheet = Image.new("RGB", size, "white")
    top = 0
    for tiles, down in zip(strips, heights, strict=True):
        for i, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (i % columns * across, top + i // columns * down))
        top += rows * down
    return sheet


def _tiles(
    augmentation: Augmentation,
    image: ImageLike,
    preprocessing: Preprocessing | None,
    count: int,
    seed: int,
    sample: int,
) -> list[npt.NDArray[np.uint8]]:
    """The image as it is, and `count` - 1 draws."""
    decoded, where = decode(image, "RGB")
    if preprocessing is None:
        size = (decoded.height, decoded.width)
        frames = Frames([decoded.height], [decoded.width])
        augmentation.draw(Draw(frames, size), np.array([sample]), seed=seed, epoch=0)
        if max(*frames.heights, *frames.widths) > MAX_SIDE:
            raise ImageError(
                f"{where}: at {decoded.height} x {decoded.width} (H x W) the sheet's pictures have "
                f"more than {MAX_SIDE} pixels a side: give a preprocessing"
            )
        bare = Preprocessing((int(frames.heights[0]), int(frames.widths[0])))
        first = np.asarray(decoded)
    else:
        bare = preprocessing.bare()
        first = preprocessing.pixels(decoded)
    renderer = Renderer(bare, augmentation, seed)
    tiles = [first]
    x = np.empty((1, *bare.shape), np.float32)
    for epoch in range(count - 1):
        for error in renderer.render(x, [decoded], np.array([sample]), epoch).values():
            raise error
        tiles.append(as_pixels(x[0]))
    return tiles
