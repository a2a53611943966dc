"""Whether a batch looks as a network's preprocessing makes it: the usual mistakes, recognised.

Only a sample is looked at, and only one that looks like images at all: where neighbouring pixels
are much alike. So noise, constants and features of another network are left in peace.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from pycnn.vision.preprocess import Preprocessing

__all__ = ["look"]

_IMAGES = 4
_ROWS = 8  # of each plane
_COLOUR_IMAGES = 8  # from which on the order of the colours can be told
_MIN_WIDTH = 8

# Mean square difference of neighbours over twice the variance: 1 for noise, about 0.05 for
# photographs at 224 x 224, 0.2 for CIFAR's images, 0.3 for digits.
_SMOOTH = 0.5
_SLACK = 0.02  # of the range that a network expects: rounding, and resizing that overshoots

Floats = npt.NDArray[np.float32]


def look(x: Floats, preprocessing: Preprocessing) -> str | None:
    """Say what is wrong with a batch, and how to mend it.

    Parameters
    ----------
    x : (N, C, H, W) float32
    preprocessing : Preprocessing
        What the network expects.

    Returns
    -------
    str or None
        None where nothing seems wrong.
    """
    if x.shape[3] < _MIN_WIDTH:
        return None
    sample = x[:: max(1, len(x) // _IMAGES), :, :: max(1, x.shape[2] // _ROWS)]
    low, high = sample.min(axis=(0, 2, 3)), sample.max(axis=(0, 2, 3))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return "the input has NaN or infinity in it"
    if not _smooth(sample):
        return None
    expected = _expected(preprocessing)
    found = _range(low, high, expected)
    if found is None:
        return _colours(x, preprocessing)
    lowest, highest = float(low.min()), float(high.max())
    return (
        f"the input looks like {found} (it has {lowest:.4g}..{highest:.4g}), and this network "
        f"takes {_words(preprocessing, expected)}; predict() and model.preprocessing do it"
    )


def _range(low: Floats, high: Floats, expected: _Expected) -> str | None:
    """What the values look like, unless they are as expected."""
    slack = _SLACK * (expected.high - expected.low)
    inside = (low >= expected.low - slack).all() and (high <= expected.high + slack).all()
    spread = float((high - low).max())
    wide = float((expected.high - expected.low).min())
    unit = low.min() >= 0 and high.max() <= 1
    if inside and unit and wide < 10 and expected.low.max() < 0 and spread > 0.25:
        return "pixels in 0..1, not normalised"
    if inside and spread < wide / 20 and wide > 100:
        return "pixels in 0..1" if unit else "pixels that were divided by 255 and normalised"
    if inside:
        return None
    if low.min() >= 0 and high.max() <= 255 and spread > 10:
        return "pixels in 0..255, as they are"
    again_low, again_high = (v * expected.std + expected.mean for v in (low, high))
    if (again_low >= expected.low - slack).all() and (again_high <= expected.high + slack).all():
        return "pixels that were normalised twice"
    if wide < 10 and spread > 50 and low.min() < 0:
        return "pixels in 0..255 less a mean, as networks of Caffe take them"
    return None


def _colours(x: Floats, preprocessing: Preprocessing) -> str | None:
    """Red is the strongest colour of most sets of photographs, blue the weakest."""
    if len(x) < _COLOUR_IMAGES or preprocessing.channels == "L":
        return None
    expected = _expected(preprocessing)
    sample = x[:: max(1, len(x) // 128), :, :: max(1, x.shape[2] // _ROWS)]
    means = sample.mean(axis=(2, 3)) * expected.std + expected.mean  # (N, 3), before normalising
    difference = (means[:, 0] - means[:, 2]) / preprocessing.scale  # 0..255
    if preprocessing.channels == "BGR":
        difference = -difference
    # Sets of photographs are turned round surely, or not at all: two standard errors, and five
    # steps of 255 so that grey pictures are left alone.
    mean, error = difference.mean(), difference.std() / np.sqrt(len(difference))
    if mean > -5 or mean + 2 * error > 0:
        return None
    return (
        f"the planes of the input look like {preprocessing.channels[::-1]}, and this network takes "
        f"{preprocessing.channels}: x[:, ::-1] turns them round"
    )


def _smooth(sample: Floats) -> bool:
    """Whether neighbours are alike; what is constant is not smooth, but empty."""
    variance = float(sample.var(axis=(0, 2, 3)).mean())
    steps = np.diff(sample, axis=3)
    return variance > 0 and float(np.square(steps).mean()) < _SMOOTH * 2 * variance


class _Expected:
    """By plane: the value of pixel 0 and of pixel 255, and what normalising does."""

    def __init__(self, p: Preprocessing) -> None:
        self.mean = np.array(p.mean, np.float32)
        self.std = np.array(p.std, np.float32)
        self.low = (0 - self.mean) / self.std
        self.high = (np.float32(255 * p.scale) - self.mean) / self.std


@functools.lru_cache(maxsize=64)
def _expected(preprocessing: Preprocessing) -> _Expected:
    return _Expected(preprocessing)


def _words(p: Preprocessing, expected: _Expected) -> str:
    pixel = "pixel" if p.scale == 1 else "pixel / 255" if p.scale == 1 / 255 else "pixel * scale"
    mean, std = (", ".join(f"{v:.4g}" for v in values) for values in (p.mean, p.std))
    return (
        f"{expected.low.min():.4g}..{expected.high.max():.4g}: ({pixel} - ({mean})) / ({std}) in "
        f"the order {p.channels}"
    )
