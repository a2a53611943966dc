"""Changes of colour that are linear in the pixels: composed into one matrix for each image.

The colours of a result are ``M v + K m + o``: v the pixel's RGB in 0..255, m the mean colour of the
image, which contrast needs. Values beyond 0..255 are cut off once, at the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["GREY", "Colours"]

Floats = npt.NDArray[np.float64]

GREY = np.array([0.299, 0.587, 0.114])  # of ITU-R 601, as Pillow's mode "L"

# RGB to luma and the two differences of colour of the NTSC (YIQ), where a hue is an angle.
_YIQ = np.array([GREY, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_RGB = np.linalg.inv(_YIQ)


class Colours:
    """What becomes of the colours of each of n images. Arguments are arrays (n,) or numbers."""

    def __init__(self, n: int) -> None:
        self._matrix: Floats = np.tile(np.eye(3), (n, 1, 1))  # M
        self._of_mean: Floats = np.zeros((n, 3, 3))  # K
        self._constant: Floats = np.zeros((n, 3))  # o

    def brightness(self, factor: Floats) -> None:
        """Multiply all colours."""
        self._multiply(np.eye(3) * factor[:, None, None])

    def contrast(self, factor: Floats) -> None:
        """Multiply the distance from the mean grey of the image."""
        rest = (1 - factor)[:, None, None] * np.tile(GREY, (3, 1))
        before = self._matrix + self._of_mean  # what becomes of the mean
        constant = (rest @ self._constant[:, :, None])[:, :, 0]
        self._multiply(np.eye(3) * factor[:, None, None])
        self._of_mean = self._of_mean + rest @ before
        self._constant = self._constant + constant

    def saturation(self, factor: Floats) -> None:
        """Multiply the distance from the pixel's own grey."""
        grey = np.tile(GREY, (3, 1))
        self._multiply(grey + factor[:, None, None] * (np.eye(3) - grey))

    def hue(self, turns: Floats) -> None:
        """Turn the colours about the axis of greys; luma stays."""
        angle = 2 * np.pi * turns
        turn = np.tile(np.eye(3), (len(angle), 1, 1))
        turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angle)
        turn[:, 1, 2], turn[:, 2, 1] = -np.sin(angle), np.sin(angle)
        self._multiply(_RGB @ turn @ _YIQ)

    def shift(self, rgb: Floats) -> None:
        """Add (n, 3) to all pixels."""
        self._constant = self._constant + rgb

    def rows(self, channels: int) -> npt.NDArray[np.float32]:
        """M, K and o side by side: (n, channels, 2 channels + 1); channels is 1 or 3.

        A grey image is RGB of three equal planes, and becomes the grey of what these become.
        """
        if channels == 3:
            parts = [self._matrix, self._of_mean, self._constant[:, :, None]]
        else:
            parts = [
                (GREY @ self._matrix).sum(axis=1)[:, None, None],
                (GREY @ self._of_mean).sum(axis=1)[:, None, None],
                (self._constant @ GREY)[:, None, None],
            ]
        return np.concatenate(parts, axis=2).astype(np.float32)

    def _multiply(self, matrix: Floats) -> None:
        self._matrix = matrix @ self._matrix
        self._of_mean = matrix @ self._of_mean
        self._constant = (matrix @ self._constant[:, :, None])[:, :, 0]
