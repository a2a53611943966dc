"""Pictures for the tests of pycnn.vision."""

import numpy as np
import numpy.typing as npt

from pycnn.vision import Preprocessing

BARE = Preprocessing((6, 8))  # no step but the decoding: RGB, 0..255


def pixels_of(x: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(C, H, W) of BARE back to (H, W, C)."""
    assert x.dtype == np.float32
    return x.transpose(1, 2, 0).astype(np.uint8)


def photograph(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Smooth and noisy parts, as a photograph has."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 255 / width, y * 255 / height, 127 + 127 * np.sin(x / 9) * np.cos(y / 7)]
    noise = np.random.default_rng(1).normal(0, 9, (height, width, 3))
    return (np.stack(planes, axis=2) + noise).clip(0, 255).astype(np.uint8)
