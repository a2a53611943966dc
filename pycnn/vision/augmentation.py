"""Random changes of images for training: `Augmentation`, a chain of steps.

The numbers of an image are a function of seed, epoch and the image's number in the data set, and of
nothing else. The geometric steps of a chain become one map, and the colours one matrix, so an image
is sampled once however many steps there are (csrc/image/render.h), and nothing that one step moves
out of sight is lost to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.vision.steps import Draw, ElasticWarp, RandomResizedCrop, Step, in_range

if TYPE_CHECKING:
    from PIL import Image

    from pycnn.vision.decode import ImageLike
    from pycnn.vision.preprocess import Preprocessing

__all__ = ["Augmentation"]

BORDERS = ("constant", "edge", "reflect")


@dataclass(frozen=True)
class Augmentation:
    """Random changes of images, one after the other.

    Parameters
    ----------
    steps : Step, or sequence of Step
        In this order; without any, images are as they are predicted. They work on the image as the
        preprocessing resized it (as it was decoded, where one of them is a `RandomResizedCrop`),
        before the preprocessing's own border and centre crop, which change nothing where the steps
        give the network's size already.
    border : {"constant", "edge", "reflect"}
        What lies outside the image: one pixel value; the pixel at the edge; the image mirrored.
    fill : int, optional
        The value of "constant", 0..255. Default: the preprocessing's `pad_value`.

    Raises
    ------
    TypeError, ValueError
        A step is none, or there are two warps; an option is out of its range.

    Notes
    -----
    The numbers are Philox's, counter-based: those of an image depend on seed, epoch and the image's
    number only. Two augmentations with equal `repr` do the same.

    Examples
    --------
    >>> from pycnn.vision import Mirror, RandomCrop
    >>> Augmentation([RandomCrop(32, padding=4), Mirror()]).steps
    (RandomCrop(size=32, padding=4), Mirror(p=0.5))
    """

    steps: tuple[Step, ...] = ()
    border: str = "constant"
    fill: int | None = None

    def __post_init__(self) -> None:
        given: Any = self.steps
        steps = (given,) if isinstance(given, Step) else tuple(given)
        for step in steps:
            if not isinstance(step, Step):
                raise TypeError(f"a step of an augmentation is a Step, got {step!r}")
        if sum(isinstance(step, ElasticWarp) for step in steps) > 1:
            raise ValueError("an augmentation has one ElasticWarp at most: it always comes last")
        if self.border not in BORDERS:
            raise ValueError(f"border must be one of {', '.join(BORDERS)}, got {self.border!r}")
        if self.fill is not None:
            in_range("fill", self.fill, 0, 255)
        object.__setattr__(self, "steps", steps)  # the way round frozen=True, here only

    @property
    def resizes(self) -> bool:
        """Whether the preprocessing's own resize is left out."""
        return any(isinstance(step, RandomResizedCrop) for step in self.steps)

    @property
    def reach(self) -> float:
        """How far a warp moves a pixel at most, as a part of the result's shorter side."""
        return sum(step.magnitude for step in self.steps if isinstance(step, ElasticWarp))

    def draw(self, draw: Draw, samples: npt.NDArray[np.int64], *, seed: int, epoch: int) -> None:
        """Draw the changes of the images with these numbers, on top of what `draw` has."""
        numbers = [step.numbers for step in self.steps]
        u = _core.uniforms(seed, epoch, samples, sum(numbers))
        for step, count, end in zip(self.steps, numbers, np.cumsum(numbers), strict=True):
            step.apply(draw, u[:, end - count : end])

    def contact_sheet(
        self,
        images: ImageLike | Sequence[ImageLike],
        preprocessing: Preprocessing | None = None,
        *,
        columns: int = 8,
        rows: int = 1,
        seed: int = 0,
    ) -> Image.Image:
        """Draw what the augmentation does: each image as it is, then changed again and again.

        Parameters
        ----------
        images : one image or several
            Whatever a `Preprocessing` takes.
        preprocessing : Preprocessing, optional
            Whose resize and crop to apply. Default: none, the frame is the image's own.
        columns, rows : int
            Pictures in a row, the unchanged one included, and rows for each image.
        seed : int
            Of the draws.

        Returns
        -------
        PIL.Image.Image
            RGB; ``sheet.save("sheet.png")``.

        Raises
        ------
        ImageError
            An image cannot be used; the message names it.
        """
        from pycnn.vision.contact_sheet import draw_sheet

        return draw_sheet(self, images, preprocessing, columns, rows, seed)
