"""From a file, a PIL image or an array to an upright PIL image of 8 bits, grey or RGB."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pycnn.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ImageLike", "as_list", "decode", "decoder"]

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | npt.NDArray[np.uint8]"

_ORIENTATION_TAG = 0x0112
_ORIENTED_BY = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
# What undoes each EXIF orientation; 1 is upright.
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}

# Pillow decodes an opened image when its pixels are first wanted, in the image itself: two threads
# that both want them would each read half. An image's lock is found by its id, so that different
# images are decoded side by side; a few share one.
_LOCKS = [threading.Lock() for _ in range(64)]


def decoder() -> str:
    """Name what decides a file's pixels: other releases may give others."""
    from PIL import __version__

    return f"Pillow {__version__}"


def _renew_locks() -> None:
    """Whoever holds a lock while the process forks is not there to give it back in the child."""
    _LOCKS[:] = [threading.Lock() for _ in _LOCKS]


os.register_at_fork(after_in_child=_renew_locks)


def as_list(images: ImageLike | Iterable[ImageLike]) -> tuple[list[ImageLike], bool]:
    """One image or several, as a list, and whether it was one.

    A uint8 array (N, H, W, C) is several, one of fewer dimensions is one.
    """
    from PIL import Image

    one = isinstance(images, (str, os.PathLike, Image.Image))
    if one or (isinstance(images, np.ndarray) and images.ndim != 4):
        return [images], True  # type: ignore[list-item]
    return list(images), False  # type: ignore[arg-type]


def decode(image: ImageLike, mode: str) -> tuple[Image.Image, str]:
    """Any accepted image as an upright PIL image in mode "L" or "RGB", and its name for errors."""
    from PIL import Image

    if isinstance(image, np.ndarray):
        where = f"array {image.shape} {image.dtype}"
        return _to_mode(_from_array(image, where), mode, where), where
    if isinstance(image, Image.Image):
        where = f"PIL image {image.mode} {image.height} x {image.width}"
        with _LOCKS[id(image) // 16 % len(_LOCKS)]:  # objects lie 16 bytes apart at least
            return _load(image, mode, where), where
    if not isinstance(image, (str, os.PathLike)):
        raise ImageError(
            f"an image is a path, a PIL image or a uint8 array, not {type(image).__name__}"
        )
    path = os.fsdecode(image)
    where = repr(path)
    try:
        with Image.open(path) as opened:
            _check_pixels(opened, where)
            return _load(opened, mode, where), where
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise ImageError(f"{where}: {_reason(error, path)}") from error


def _load(image: Image.Image, mode: str, where: str) -> Image.Image:
    if image.format == "EPS":
        raise ImageError(f"{where}: EPS is a program, not pixels; convert it to PNG first")
    if not image.width or not image.height:
        raise ImageError(f"{where}: the image is empty")
    try:
        image.load()
        return _to_mode(_upright(image), mode, where)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # as above
        raise ImageError(f"{where}: {_reason(error)}") from error


def _check_pixels(image: Image.Image, where: str) -> None:
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise ImageError(
            f"{where}: {image.height} x {image.width} (H x W) is more than the {limit} pixels "
            "allowed; where the file is to be trusted, raise PIL.Image.MAX_IMAGE_PIXELS"
        )


def _reason(error: Exception, path: str = "") -> str:
    """Why an image cannot be read, in words; `path` where it is a file."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "is a folder; pycnn.vision.expand lists its images"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, UnidentifiedImageError):
        empty = os.path.isfile(path) and os.path.getsize(path) == 0
        return "the file is empty" if empty else "not an image in a format that Pillow knows"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return (
            f"more than the {Image.MAX_IMAGE_PIXELS} pixels allowed; where the file is to be "
            "trusted, raise PIL.Image.MAX_IMAGE_PIXELS"
        )
    return f"cannot be decoded: {str(error) or type(error).__name__}"


def _upright(image: Image.Image) -> Image.Image:
    from PIL import Image

    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged EXIF beside sound pixels: viewers ignore it too
        return image
    step = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    if step is None:
        return image
    upright = image.transpose(Image.Transpose[step])
    for name in _ORIENTED_BY:  # a copy has them too, and may be decoded once more
        upright.info.pop(name, None)
    return upright


def _to_mode(image: Image.Image, mode: str, where: str) -> Image.Image:
    """Bring a decoded image to "L" or "RGB"."""
    from PIL import Image

    # Pillow opens a PNG or PPM of 16 bits in mode "I" (32 bits) or "I;16", by its version.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        image = _eight_bits(np.asarray(image))
    elif image.mode in ("I", "F"):
        raise ImageError(
            f"{where}: pixels of mode {image.mode!r} (32 bits) have no agreed white: scale them "
            "to 0..255 and give a uint8 array"
        )
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(values: npt.NDArray[Any]) -> Image.Image:
    """0..65535 to 0..255, rounded to nearest."""
    from PIL import Image

    wide = values.astype(np.int64).clip(0, 65535)
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))


def _from_array(array: npt.NDArray[Any], where: str) -> Image.Image:
    from PIL import Image

    wanted = "expected uint8 (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA"
    if array.dtype != np.uint8:
        raise ImageError(
            f"{where}: {wanted}; a float array that is already preprocessed goes to run(), "
            "as (N, C, H, W)"
        )
    if array.size == 0:
        raise ImageError(f"{where}: the image is empty")
    if array.ndim == 4:
        raise ImageError(f"{where}: {wanted}; for several images use batch() or a list")
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        hint = ""
        if array.shape[0] in (1, 3, 4):
            hint = "; this looks like (C, H, W): use array.transpose(1, 2, 0)"
        raise ImageError(f"{where}: {wanted}{hint}")
    if array.ndim not in (2, 3):
        raise ImageError(f"{where}: {wanted}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array))
