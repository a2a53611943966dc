"""The random changes that an `Augmentation` is made of; each draws from a stated distribution."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycnn.errors import ImageError
from pycnn.vision.colour import Colours
from pycnn.vision.geometry import Frames

__all__ = [
    "ColorJitter",
    "Draw",
    "ElasticWarp",
    "Mirror",
    "PcaColor",
    "RandomCrop",
    "RandomResizedCrop",
    "Rotate",
    "Shear",
    "Step",
]

Floats = npt.NDArray[np.float64]

_MAX_GRID = 61  # cells of an elastic warp: csrc/image/render.h takes 64 control points a side


class Draw:
    """What was drawn for n images so far: frames, colours, and the control points of a warp."""

    def __init__(self, frames: Frames, size: tuple[int, int]) -> None:
        self.frames = frames
        self.size = size  # that the whole chain must give
        self.colours: Colours | None = None
        self.grid: Floats | None = None  # (n, 2, side, side): parts of the result's shorter side
        self.refused: dict[int, str] = {}

    def refuse(self, i: int, reason: str) -> None:
        """Say why image i cannot be used; what comes of it does not matter any more."""
        self.refused.setdefault(i, reason)

    def recolour(self) -> Colours:
        """The colours, to be changed."""
        if self.colours is None:
            self.colours = Colours(len(self.frames))
        return self.colours


class Step(ABC):
    """One random change. `numbers` uniform numbers in [0, 1) decide it for an image."""

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers the step takes, always."""

    @abstractmethod
    def apply(self, draw: Draw, u: Floats) -> None:
        """Add the step to `draw`; u is (n, numbers)."""


def _between(u: Floats, low: float, high: float) -> Floats:
    return low + u * (high - low)


def _whole(u: Floats, low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
    """Whole numbers low..high, each as likely as any other."""
    first = np.asarray(low, np.float64)
    return np.floor(first + u * (np.asarray(high) - first + 1))


def in_range(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low:g}..{high:g}, got {value!r}")
    return float(value)


def _pair_in_range(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"{name} must be (low, high), got {value!r}")
    first, last = (in_range(name, part, low, high) for part in value)
    if first > last:
        raise ValueError(f"{name} must be (low, high), got {value!r}")


def _side_lengths(size: int | tuple[int, int] | None, default: tuple[int, int]) -> tuple[int, int]:
    if size is None:
        return default
    return (size, size) if isinstance(size, int) else size


def _check_size(size: object) -> None:
    sides = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
    if size is not None:
        for side in sides:
            if isinstance(side, bool) or not isinstance(side, int):
                raise TypeError(f"size must be an integer or (height, width), got {size!r}")
            in_range("size", side, 1, 4096)


# Geometry -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mirror(Step):
    """Swap left and right, with probability `p`."""

    p: float = 0.5

    def __post_init__(self) -> None:
        in_range("p", self.p, 0, 1)

    @property
    def numbers(self) -> int:
        """One."""
        return 1

    def apply(self, draw: Draw, u: Floats) -> None:
        """Where the number is below p."""
        draw.frames.mirror(u[:, 0] < self.p)


@dataclass(frozen=True)
class RandomCrop(Step):
    """Cut out a rectangle; each place in the image is as likely as any other.

    Parameters
    ----------
    size : int or (height, width), optional
        Default: what the network takes, less the border that its preprocessing adds.
    padding : int
        Pixels of border on each side before the cut: 4 for CIFAR-10 in the ResNet paper.
    """

    size: int | tuple[int, int] | None = None
    padding: int = 0

    def __post_init__(self) -> None:
        _check_size(self.size)
        if not isinstance(self.padding, int):
            raise TypeError(f"padding must be an integer, got {self.padding!r}")
        in_range("padding", self.padding, 0, 4096)

    @property
    def numbers(self) -> int:
        """Two."""
        return 2

    def apply(self, draw: Draw, u: Floats) -> None:
        """Whole offsets, by uniform distribution; an image smaller than the crop is refused."""
        frames = draw.frames
        height, width = _side_lengths(self.size, draw.size)
        down = frames.heights + 2 * self.padding - height
        across = frames.widths + 2 * self.padding - width
        for i in np.flatnonzero((down < 0) | (across < 0)).tolist():
            border = f" with a border of {self.padding}" if self.padding else ""
            draw.refuse(
                i,
                f"{frames.heights[i]:.0f} x {frames.widths[i]:.0f} (H x W){border} is smaller than "
                f"the crop {height} x {width}: give the preprocessing a resize, or the crop a "
                "padding",
            )
        top = _whole(u[:, 0], 0, down) - self.padding
        left = _whole(u[:, 1], 0, across) - self.padding
        frames.crop(top, left, height, width)


@dataclass(frozen=True)
class RandomResizedCrop(Step):
    """Cut out a rectangle of random area and aspect and resize it: Inception's training.

    It takes the place of the preprocessing's own resize. Up to ten times an area, uniform in
    `scale`, and an aspect, log-uniform in `ratio`, are drawn until the rectangle fits; its place is
    uniform. Where none fits, it is the largest at the centre with an aspect in `ratio`. This is
    torchvision's distribution.

    Parameters
    ----------
    size : int or (height, width), optional
        Of the result; default: what the network takes, less the border that its preprocessing adds.
    scale : (float, float)
        Of the area, as parts of the image's.
    ratio : (float, float)
        Of width to height.
    """

    size: int | tuple[int, int] | None = None
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    _TRIES = 10

    def __post_init__(self) -> None:
        _check_size(self.size)
        _pair_in_range("scale", self.scale, 1e-4, 1)
        _pair_in_range("ratio", self.ratio, 1e-2, 1e2)

    @property
    def numbers(self) -> int:
        """Two a try, and two for the place."""
        return 2 * self._TRIES + 2

    def apply(self, draw: Draw, u: Floats) -> None:
        """As the class says."""
        frames = draw.frames
        area = (frames.heights * frames.widths)[:, None] * _between(
            u[:, : self._TRIES], *self.scale
        )
        logs = math.log(self.ratio[0]), math.log(self.ratio[1])
        aspect = np.exp(_between(u[:, self._TRIES : 2 * self._TRIES], *logs))
        widths, heights = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (widths <= frames.widths[:, None]) & (heights <= frames.heights[:, None])
        fits &= (widths >= 1) & (heights >= 1)
        first = np.argmax(fits, axis=1)  # 0 where none does
        one = np.arange(len(u))
        some = fits[one, first]
        whole_height, whole_width = self._largest(frames)
        height = np.where(some, heights[one, first], whole_height)
        width = np.where(some, widths[one, first], whole_width)
        down, across = frames.heights - height, frames.widths - width
        top = np.where(some, _whole(u[:, -2], 0, down), np.floor(down / 2))
        left = np.where(some, _whole(u[:, -1], 0, across), np.floor(across / 2))
        frames.crop(top, left, height, width)
        frames.resize(*_side_lengths(self.size, draw.size))

    def _largest(self, frames: Frames) -> tuple[Floats, Floats]:
        """Height and width of the largest rectangle with an aspect that `ratio` allows."""
        aspect = np.clip(frames.widths / frames.heights, *self.ratio)
        width = np.minimum(frames.widths, np.rint(frames.heights * aspect))
        height = np.minimum(frames.heights, np.rint(frames.widths / aspect))
        return height, width


@dataclass(frozen=True)
class Rotate(Step):
    """Turn about the centre by an angle that is uniform in -degrees..degrees."""

    degrees: float

    def __post_init__(self) -> None:
        in_range("degrees", self.degrees, 0, 180)

    @property
    def numbers(self) -> int:
        """One."""
        return 1

    def apply(self, draw: Draw, u: Floats) -> None:
        """As the class says."""
        draw.frames.rotate(np.radians(_between(u[:, 0], -self.degrees, self.degrees)))


@dataclass(frozen=True)
class Shear(Step):
    """Slant about the centre, by angles that are uniform in -x..x and -y..y degrees.

    Parameters
    ----------
    x : float
        Of upright lines.
    y : float
        Of level lines.
    """

    x: float
    y: float = 0.0

    def __post_init__(self) -> None:
        in_range("x", self.x, 0, 60)
        in_range("y", self.y, 0, 60)

    @property
    def numbers(self) -> int:
        """Two."""
        return 2

    def apply(self, draw: Draw, u: Floats) -> None:
        """As the class says."""
        across = np.tan(np.radians(_between(u[:, 0], -self.x, self.x)))
        down = np.tan(np.radians(_between(u[:, 1], -self.y, self.y)))
        draw.frames.shear(across, down)


@dataclass(frozen=True)
class ElasticWarp(Step):
    """Warp locally: each place moves a little, and its neighbours much as it does.

    The displacement is a uniform cubic B-spline whose control points, `grid` cells a side, are
    uniform in a square; so no pixel moves further than `magnitude` down or across. The warp comes
    last, in the frame of the result, wherever it stands among the steps.

    Parameters
    ----------
    magnitude : float
        Part of the shorter side of the result.
    grid : int
        Cells a side: many for crumpled, few for bent.
    """

    magnitude: float = 0.05
    grid: int = 4

    def __post_init__(self) -> None:
        in_range("magnitude", self.magnitude, 0, 0.5)
        if not isinstance(self.grid, int):
            raise TypeError(f"grid must be an integer, got {self.grid!r}")
        in_range("grid", self.grid, 1, _MAX_GRID)

    @property
    def numbers(self) -> int:
        """Two for each control point."""
        return 2 * (self.grid + 3) ** 2

    def apply(self, draw: Draw, u: Floats) -> None:
        """As the class says."""
        side = self.grid + 3
        draw.grid = _between(u, -self.magnitude, self.magnitude).reshape(-1, 2, side, side)


# Colour -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ColorJitter(Step):
    """Change brightness, contrast, saturation and hue, in this order.

    The factors of the first three are uniform in ``max(0, 1 - x)..1 + x``; contrast is about the
    mean grey of the image, saturation about each pixel's own grey. The hue turns by a part of the
    circle that is uniform in -hue..hue, about the axis of greys (in YIQ), which is linear and close
    to, but not, the turn of HSV. What leaves 0..255 is cut off once, after the last step.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            in_range(name, getattr(self, name), 0, 10)
        in_range("hue", self.hue, 0, 0.5)

    @property
    def numbers(self) -> int:
        """Four."""
        return 4

    def apply(self, draw: Draw, u: Floats) -> None:
        """As the class says; what is 0 is left out."""
        colours = draw.recolour()
        steps = (
            (self.brightness, colours.brightness),
            (self.contrast, colours.contrast),
            (self.saturation, colours.saturation),
        )
        for i, (amount, change) in enumerate(steps):
            if amount:
                change(_between(u[:, i], max(0.0, 1 - amount), 1 + amount))
        if self.hue:
            colours.hue(_between(u[:, 3], -self.hue, self.hue))


@dataclass(frozen=True)
class PcaColor(Step):
    """Shift all pixels along the principal components of colour: the AlexNet paper, section 4.1.

    Added is the sum over the components of ``a_i eigenvalue_i eigenvector_i``, each a_i from a
    normal distribution of mean 0 and standard deviation `sigma`; pixels count from 0 to 1 here.

    Parameters
    ----------
    sigma : float
        0.1 in the paper.
    eigenvalues : tuple of 3 floats
    eigenvectors : tuple of 3 such tuples
        One for each eigenvalue, RGB. The defaults are ImageNet's, as in fb.resnet.torch; `of`
        computes those of other images.
    """

    sigma: float = 0.1
    eigenvalues: tuple[float, float, float] = (0.2175, 0.0188, 0.0045)
    eigenvectors: tuple[tuple[float, ...], ...] = (
        (-0.5675, -0.5808, -0.5836),
        (0.7192, -0.0045, -0.6948),
        (0.4009, -0.8140, 0.4203),
    )

    def __post_init__(self) -> None:
        in_range("sigma", self.sigma, 0, 10)
        if np.shape(self.eigenvalues) != (3,) or np.shape(self.eigenvectors) != (3, 3):
            raise ValueError("expected three eigenvalues and three eigenvectors of three numbers")

    @classmethod
    def of(cls, images: npt.NDArray[np.uint8], sigma: float = 0.1) -> PcaColor:
        """Compute the components of the colours of uint8 images (N, H, W, 3).

        Raises
        ------
        ImageError
            They are not such images.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not images.size:
            raise ImageError(
                f"expected uint8 images (N, H, W, 3), got {images.dtype} {images.shape}"
            )
        # Piece by piece: there is never an array of all pixels as floats.
        pixels = images.reshape(-1, 3)
        total, products = np.zeros(3), np.zeros((3, 3))
        for start in range(0, len(pixels), 1 << 16):
            part = pixels[start : start + (1 << 16)] / 255
            total += part.sum(axis=0)
            products += part.T @ part
        mean = total / len(pixels)
        values, vectors = np.linalg.eigh(products / len(pixels) - np.outer(mean, mean))
        order = np.argsort(-values)
        rows = [tuple(map(float, vectors[:, i])) for i in order]
        return cls(sigma, tuple(values[order].tolist()), tuple(rows))

    @property
    def numbers(self) -> int:
        """Four, of which Box and Muller's method makes the three that are needed."""
        return 4

    def apply(self, draw: Draw, u: Floats) -> None:
        """As the class says."""
        radius = np.sqrt(-2 * np.log1p(-u[:, :2]))
        angle = 2 * np.pi * u[:, 2:]
        normal = np.stack(
            [radius[:, 0] * np.cos(angle[:, 0]), radius[:, 0] * np.sin(angle[:, 0])]
            + [radius[:, 1] * np.cos(angle[:, 1])],
            axis=1,
        )
        weights = self.sigma * normal * np.array(self.eigenvalues)
        draw.recolour().shift(255 * weights @ np.array(self.eigenvectors))
