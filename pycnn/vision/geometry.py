"""Where the pixels of a result lie in an image: maps of a batch, composed before any pixel moves.

Places are continuous, x to the right and y down; the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Frames"]

Floats = npt.NDArray[np.float64]


class Frames:
    """The frame of each of n images, and the affine map from it back to the image.

    Each method makes a new frame of the present one. All arguments may be one number for all images
    or an array (n,).

    Parameters
    ----------
    heights, widths : (n,)
        Of the images.

    Attributes
    ----------
    heights, widths : (n,) float64
        Of the frames.
    affine : (n, 2, 3) float64
        ``(x, y) = affine @ (X, Y, 1)``: the place in the image of a place in the frame.
    zoom : (n, 2) float64
        Pixels of the image in one of the frame, down and across, as far as resizing made them so:
        what the image is to be shrunk by before it is sampled.
    """

    def __init__(self, heights: npt.ArrayLike, widths: npt.ArrayLike) -> None:
        self.heights: Floats = np.array(heights, np.float64)
        self.widths: Floats = np.array(widths, np.float64)
        n = len(self.heights)
        self.affine: Floats = np.tile(np.eye(2, 3), (n, 1, 1))
        self.zoom: Floats = np.ones((n, 2))

    def __len__(self) -> int:
        return len(self.heights)

    def crop(
        self,
        top: npt.ArrayLike,
        left: npt.ArrayLike,
        height: npt.ArrayLike,
        width: npt.ArrayLike,
    ) -> None:
        """Cut a rectangle out; where it reaches beyond the frame, it pads."""
        self._then(dx=left, dy=top)
        self.heights, self.widths = self._each(height), self._each(width)

    def resize(self, height: npt.ArrayLike, width: npt.ArrayLike) -> None:
        """Give the frame another size, whatever the aspect."""
        heights, widths = self._each(height), self._each(width)
        down, across = self.heights / heights, self.widths / widths
        self._then(xx=across, yy=down)
        self.zoom = self.zoom * np.stack([down, across], axis=1)
        self.heights, self.widths = heights, widths

    def mirror(self, which: npt.ArrayLike) -> None:
        """Swap left and right of those images."""
        chosen = np.asarray(which, bool)
        self._then(xx=np.where(chosen, -1.0, 1.0), dx=np.where(chosen, self.widths, 0.0))

    def rotate(self, angle: npt.ArrayLike) -> None:
        """Turn about the centre, counter-clockwise as one sees it, by radians."""
        cos, sin = np.cos(angle), np.sin(angle)
        self._about_centre(xx=cos, xy=-sin, yx=sin, yy=cos)

    def shear(self, across: npt.ArrayLike, down: npt.ArrayLike) -> None:
        """Slant about the centre: x by `across` for each y, y by `down` for each x."""
        self._about_centre(xx=1.0, xy=across, yx=down, yy=1.0)

    def _about_centre(
        self, xx: npt.ArrayLike, xy: npt.ArrayLike, yx: npt.ArrayLike, yy: npt.ArrayLike
    ) -> None:
        x, y = self.widths / 2, self.heights / 2
        self._then(
            xx, xy, x - np.multiply(xx, x) - np.multiply(xy, y),
            yx, yy, y - np.multiply(yx, x) - np.multiply(yy, y),
        )  # fmt: skip

    def _then(
        self,
        xx: npt.ArrayLike = 1.0,
        xy: npt.ArrayLike = 0.0,
        dx: npt.ArrayLike = 0.0,
        yx: npt.ArrayLike = 0.0,
        yy: npt.ArrayLike = 1.0,
        dy: npt.ArrayLike = 0.0,
    ) -> None:
        """Put before the map: ``(x, y) = (xx X + xy Y + dx, yx X + yy Y + dy)``."""
        step = np.zeros((len(self), 3, 3))
        step[:, 0, 0], step[:, 0, 1], step[:, 0, 2] = xx, xy, dx
        step[:, 1, 0], step[:, 1, 1], step[:, 1, 2] = yx, yy, dy
        step[:, 2, 2] = 1
        self.affine = self.affine @ step

    def _each(self, value: npt.ArrayLike) -> Floats:
        return np.zeros(len(self)) + np.asarray(value, np.float64)
