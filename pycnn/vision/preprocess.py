"""From an image to the float32 array that a network takes: `Preprocessing`.

The steps are the publisher's, in this order: decode, rotate as EXIF says, bring to RGB or grey at
8 bits, resize, add a border, crop the centre, normalise. All work on pixels is Pillow's, in 8 bits,
as it was where most of the weights were trained or measured; Pillow's filters are antialiased.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import os
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.errors import ImageError, ModelFormatError, suggest
from pycnn.vision.decode import ImageLike, decode

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Preprocessing"]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}

# Bound what a hostile description, or an image a pixel wide, can make us allocate.
MAX_SIDE = 4096
_MAX_RESIZED_SIDE = 4 * MAX_SIDE


@dataclass(frozen=True)
class Preprocessing:
    """How one network wants its images.

    The value that the network sees is ``x = (pixel * scale - mean) / std`` with pixel in 0..255,
    computed in float64 and rounded to float32 once.

    Parameters
    ----------
    input_size : (int, int)
        Height and width of the network's input.
    resize : int, (int, int) or None
        An int is the length of the shorter side: the aspect is kept, and the longer side becomes
        ``int(resize * longer / shorter)``, as in torchvision. A pair is the exact height and width,
        whatever the aspect. None: no resize.
    interpolation : str
        "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming": Pillow's filters.
    crop : (int, int) or None
        Height and width of the centre crop, the last step on pixels. Its offset is
        ``round((height - crop_height) / 2)``, halves to even, as in torchvision.
    pad : int
        Width of a border of `pad_value` on all four sides, added after the resize, before the crop.
    pad_value : int
        The border's pixel value, 0..255, before `scale` and `mean`.
    channels : str
        "RGB", "BGR" or "L": the order of the planes that the network sees. "L" is grey, from colour
        by ITU-R 601. Networks for digits expect bright ink on a dark ground, as MNIST has it: a
        photograph of dark ink on white paper must be inverted by the caller (``255 - array``).
    scale : float
        Multiplies the pixel first: 1 for networks of Caffe, 1/255 for those of torch.
    mean, std : tuple of float
        One number for each plane, in the order of `channels`, or one for all.

    Raises
    ------
    ValueError
        A value is out of its range, or the steps cannot give `input_size`.
    TypeError
        A value is of the wrong type.

    Notes
    -----
    Read are: the path of a file that Pillow decodes, except EPS, which would run a program; a PIL
    image; and a uint8 array (H, W), (H, W, 1), (H, W, 3) in the order RGB, or (H, W, 4) RGBA. An
    array is in the order RGB also where the network takes BGR.

    - EXIF orientation is applied to files and PIL images. EXIF data that cannot be read are
      ignored, and the image is taken to be upright.
    - Transparency, of whatever kind, is laid over white before the resize.
    - Grey of 16 bits becomes 8 bits by ``round(value / 257)``. Pillow itself takes the upper 8 bits
      of colour of 16 bits. Pixels of 32 bits have no agreed white and are refused.
    - ICC profiles are ignored; CMYK becomes RGB by Pillow's simple rule.
    - The first frame of an animation, and the first page of a file of several, is taken; of a PIL
      image the frame that it stands at.
    - JPEG is decoded at full size: decoding at a reduced scale is faster, but gives other pixels.
    - A file of more than ``PIL.Image.MAX_IMAGE_PIXELS`` pixels is refused before it is decoded.

    A `Preprocessing` may be used from many threads at once.

    Examples
    --------
    >>> preprocess = Preprocessing((2, 2), scale=1 / 255, mean=(0.5,), std=(0.5,))
    >>> preprocess(np.full((2, 2, 3), 255, np.uint8)).tolist()[0]
    [[1.0, 1.0], [1.0, 1.0]]
    """

    input_size: tuple[int, int]
    resize: tuple[int, int] | int | None = None
    interpolation: str = "bilinear"
    crop: tuple[int, int] | None = None
    pad: int = 0
    pad_value: int = 0
    channels: str = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        self._set("input_size", _size("input_size", self.input_size))
        if isinstance(self.resize, (tuple, list)):
            self._set("resize", _size("resize", self.resize))
        elif self.resize is not None:
            self._set("resize", _integer("resize", self.resize, 1, MAX_SIDE))
        if self.crop is not None:
            self._set("crop", _size("crop", self.crop))
        self._set("pad", _integer("pad", self.pad, 0, MAX_SIDE))
        self._set("pad_value", _integer("pad_value", self.pad_value, 0, 255))
        _choice("interpolation", self.interpolation, INTERPOLATIONS)
        _choice("channels", self.channels, CHANNELS)
        planes = CHANNELS[self.channels]
        self._set("scale", _number("scale", self.scale))
        self._set("mean", _numbers("mean", self.mean, planes))
        self._set("std", _numbers("std", self.std, planes))
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        if not np.isfinite(lookup(self)).all():
            raise ValueError("scale, mean and std give values beyond float32")
        self._check_sizes()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the way round frozen=True, in __post_init__ only

    def _check_sizes(self) -> None:
        """Refuse steps that could not give `input_size` for any image, or not for every image."""
        if self.crop is not None and self.crop != self.input_size:
            raise ValueError(f"crop {self.crop} must equal input_size {self.input_size}")
        if self.crop is None and 2 * self.pad >= min(self.input_size):
            raise ValueError(f"pad {self.pad} leaves nothing of input_size {self.input_size}")
        if self.resize is None:
            return
        if isinstance(self.resize, tuple):
            height, width = (side + 2 * self.pad for side in self.resize)
            if self.crop is None and (height, width) != self.input_size:
                raise ValueError(
                    f"resize {self.resize} and pad {self.pad} give {(height, width)}, not "
                    f"input_size {self.input_size}: give a crop"
                )
        else:
            height = width = self.resize + 2 * self.pad  # of a square image, the smallest result
        if self.crop is not None and (height < self.crop[0] or width < self.crop[1]):
            raise ValueError(
                f"resize {self.resize} and pad {self.pad} leave less than the crop {self.crop}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one preprocessed image."""
        return (CHANNELS[self.channels], *self.input_size)

    def bare(self) -> Preprocessing:
        """The same steps on pixels, in RGB or grey, with values left at 0..255."""
        channels = "L" if self.channels == "L" else "RGB"
        return dataclasses.replace(self, channels=channels, scale=1.0, mean=(0.0,), std=(1.0,))

    def pixels(self, image: ImageLike) -> npt.NDArray[np.uint8]:
        """What the network sees of an image, to look at: uint8 (H, W, 3); raises ImageError."""
        return as_pixels(self.bare()(image))

    def __call__(self, image: ImageLike) -> npt.NDArray[np.float32]:
        """Preprocess one image.

        Parameters
        ----------
        image : str, os.PathLike, PIL.Image.Image or numpy.ndarray
            See the class's notes. It is not changed.

        Returns
        -------
        numpy.ndarray
            float32, (C, H, W).

        Raises
        ------
        ImageError
            The image cannot be found, decoded or brought to the network's size.
        """
        x = np.empty(self.shape, np.float32)
        self._fill(x, image)
        return x

    def batch(
        self, images: Iterable[ImageLike], threads: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Preprocess several images.

        Parameters
        ----------
        images : iterable of images
            Each is what `__call__` takes; a uint8 array (N, H, W, C) is N images.
        threads : int, optional
            How many threads decode and resize. By default ``PYCNN_NUM_THREADS`` or, where that is
            not set, the number of CPUs that this process may use. They end with the call. The
            result does not depend on their number.

        Returns
        -------
        numpy.ndarray
            float32, (N, C, H, W), allocated at once: pass long lists in pieces.

        Raises
        ------
        ImageError
            An image cannot be used; the message gives its number. It is the first such one.
        """
        items = _as_list(images)
        batch = np.empty((len(items), *self.shape), np.float32)
        # An image that occurs twice is done once.
        first: dict[int, int] = {}
        source = [first.setdefault(id(item), n) for n, item in enumerate(items)]

        def fill(n: int) -> None:
            try:
                self._fill(batch[n], items[n])
            except ImageError as error:
                raise ImageError(f"image {n} of the batch: {error}") from error

        workers = min(num_threads(threads), len(first))
        if workers <= 1:
            for n in first.values():
                fill(n)
        else:
            from concurrent.futures import ThreadPoolExecutor  # here: it imports logging

            with ThreadPoolExecutor(workers, thread_name_prefix="pycnn-image") as pool:
                futures = [pool.submit(fill, n) for n in first.values()]
                try:
                    for future in futures:
                        future.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        for n, m in enumerate(source):
            if m != n:
                batch[n] = batch[m]
        return batch

    def describe(self) -> str:
        """Say the steps in words, one a line.

        Examples
        --------
        >>> print(Preprocessing((224, 224), resize=256, crop=(224, 224)).describe())
        decode   EXIF rotation applied, transparency over white, 8 bits RGB
        resize   shorter side to 256, bilinear
        crop     centre 224 x 224 (H x W)
        values   x = (pixel - mean) / std, pixel 0..255
                 RGB mean (0, 0, 0), std (1, 1, 1)
        input    float32 (3, 224, 224), planes RGB
        """
        colour = "grey" if self.channels == "L" else "RGB"
        lines = [f"decode   EXIF rotation applied, transparency over white, 8 bits {colour}"]
        if isinstance(self.resize, tuple):
            to = "{} x {} (H x W), aspect not kept".format(*self.resize)
            lines.append(f"resize   to {to}, {self.interpolation}")
        elif self.resize is not None:
            lines.append(f"resize   shorter side to {self.resize}, {self.interpolation}")
        if self.pad:
            lines.append(f"pad      {self.pad} on each side with pixel {self.pad_value}")
        if self.crop is not None:
            lines.append("crop     centre {} x {} (H x W)".format(*self.crop))
        pixel = "pixel"
        if self.scale == 1 / 255:
            pixel = "pixel / 255"
        elif self.scale != 1:
            pixel = f"pixel * {self.scale:.9g}"
        mean, std = (
            "(" + ", ".join(f"{value:.9g}" for value in values) + ")"
            for values in (self.mean, self.std)
        )
        lines.append(f"values   x = ({pixel} - mean) / std, pixel 0..255")
        lines.append(f"         {self.channels} mean {mean}, std {std}")
        if self.channels == "L":
            lines.append("         bright ink on a dark ground is expected")
        lines.append(f"input    float32 {self.shape}, planes {self.channels}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain numbers, strings and lists, for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preprocessing:
        """Undo `to_dict`, for data that need not be trusted.

        Parameters
        ----------
        fields : mapping
            What `to_dict` gave; every field must be there.

        Returns
        -------
        Preprocessing

        Raises
        ------
        ModelFormatError
            A field is missing, unknown, of the wrong type, not finite or out of its range.
        """
        if not isinstance(fields, Mapping):
            raise ModelFormatError(
                f"preprocessing: expected named fields, got {type(fields).__name__}"
            )
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                hint = suggest(name, known) if isinstance(name, str) else ""
                raise ModelFormatError(f"preprocessing: unknown field {reprlib.repr(name)}{hint}")
        missing = [name for name in known if name not in fields]
        if missing:
            raise ModelFormatError(f"preprocessing: missing field {', '.join(missing)}")
        try:
            return cls(**fields)
        except (TypeError, ValueError) as error:
            raise ModelFormatError(f"preprocessing: {error}") from error

    def _fill(self, x: npt.NDArray[np.float32], image: ImageLike) -> None:
        """Write one preprocessed image to x (C, H, W)."""
        mode = "L" if self.channels == "L" else "RGB"
        decoded, where = decode(image, mode)
        resized = np.asarray(self._resized(decoded, where))  # (H, W) or (H, W, 3)
        pixels = self._cropped(resized, where).reshape(*self.input_size, -1)
        if self.channels == "BGR":
            pixels = pixels[:, :, ::-1]
        for c, table in enumerate(lookup(self)):
            np.take(table, pixels[:, :, c], out=x[c], mode="clip")  # a pixel is 8 bits: no clipping

    def _resized(self, image: Image.Image, where: str) -> Image.Image:
        from PIL import Image

        if self.resize is None:
            return image
        if isinstance(self.resize, tuple):
            height, width = self.resize
        else:
            height, width = shorter_side(self.resize, image.height, image.width, where)
        if (width, height) == image.size:
            return image
        filters = Image.Resampling
        return image.resize((width, height), filters[self.interpolation.upper()])

    def _cropped(self, pixels: npt.NDArray[np.uint8], where: str) -> npt.NDArray[np.uint8]:
        """Pad and crop to `input_size`."""
        if self.pad:
            widths = [(self.pad, self.pad)] * 2 + [(0, 0)] * (pixels.ndim - 2)
            pixels = np.pad(pixels, widths, constant_values=self.pad_value)
        height, width = pixels.shape[:2]
        if self.crop is not None:
            if height < self.crop[0] or width < self.crop[1]:
                raise ImageError(
                    f"{where}: {height} x {width} (H x W) is smaller than the crop "
                    f"{self.crop[0]} x {self.crop[1]}: enlarge the image, or give the "
                    "preprocessing a resize"
                )
            top = round((height - self.crop[0]) / 2)
            left = round((width - self.crop[1]) / 2)
            return pixels[top : top + self.crop[0], left : left + self.crop[1]]
        if (height, width) != self.input_size:
            raise ImageError(
                f"{where}: {height} x {width} (H x W) where the network takes "
                f"{self.input_size[0]} x {self.input_size[1]}: give the preprocessing a resize or "
                "a crop"
            )
        return pixels


def shorter_side(resize: int, height: int, width: int, where: str) -> tuple[int, int]:
    """Height and width with the shorter side at `resize`, by torchvision's rule."""
    longer = int(resize * max(height, width) / min(height, width))
    if longer > _MAX_RESIZED_SIDE:
        raise ImageError(
            f"{where}: {height} x {width} (H x W) is too narrow: at {resize} pixels on the "
            f"shorter side the longer one has {longer}; crop the image first"
        )
    return (resize, longer) if height <= width else (longer, resize)


def as_pixels(x: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(C, H, W) in 0..255 to (H, W, 3)."""
    pixels = np.rint(x).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


@functools.lru_cache(maxsize=64)
def lookup(preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """float32 (C, 256): the network's value of each pixel value."""
    pixel = np.arange(256, dtype=np.float64)
    mean = np.array(preprocessing.mean)[:, None]
    std = np.array(preprocessing.std)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):  # the caller tests for finite values
        x = (pixel * preprocessing.scale - mean) / std
        table: npt.NDArray[np.float32] = x.astype(np.float32)
    table.setflags(write=False)
    return table


def _as_list(images: Iterable[ImageLike]) -> list[ImageLike]:
    """List a batch, and refuse what can be iterated but is one image: a path, an array (H, W)."""
    if isinstance(images, np.ndarray) and images.ndim != 4:
        raise ImageError(
            f"array {images.shape}: batch() takes (N, H, W, C) or a list of images; "
            "for one image call the preprocessing itself"
        )
    if isinstance(images, (str, os.PathLike)) or not isinstance(images, Iterable):
        raise ImageError(
            f"batch() takes a list of images, not {type(images).__name__}; "
            "for one image call the preprocessing itself"
        )
    return list(images)


def num_threads(threads: int | None) -> int:
    if threads is not None:
        return _integer("threads", threads, 1, 4096)
    return _core.default_num_threads()


def _integer(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {reprlib.repr(value)}")
    number = int(value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be {low}..{high}, got {reprlib.repr(number)}")
    return number


def _size(name: str, value: object) -> tuple[int, int]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be (height, width), got {reprlib.repr(value)}")
    return (_integer(name, value[0], 1, MAX_SIDE), _integer(name, value[1], 1, MAX_SIDE))


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {reprlib.repr(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {reprlib.repr(value)}")
    return number


def _numbers(name: str, value: object, planes: int) -> tuple[float, ...]:
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of numbers, got {reprlib.repr(value)}")
    if len(value) not in (1, planes):
        raise ValueError(f"{name} must have 1 or {planes} numbers, got {len(value)}")
    numbers_ = tuple(_number(name, item) for item in value)
    return numbers_ * planes if len(numbers_) == 1 else numbers_


def _choice(name: str, value: object, known: Iterable[str]) -> None:
    known = tuple(known)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {reprlib.repr(value)}")
    if value not in known:
        hint = suggest(value, known)
        raise ValueError(f"{name} {reprlib.repr(value)} is not one of {', '.join(known)}{hint}")
