"""The images that a network learns from: checked, split, told apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pycnn.errors import DataError, ImageError
from pycnn.transfer.store import DIGEST_BYTES
from pycnn.vision.dataset import Dataset

if TYPE_CHECKING:
    from pycnn.vision.decode import ImageLike

__all__ = ["HELD_OUT", "content_of", "digest", "require_classes", "split"]

#: The images that are not learnt from, as errors call them.
HELD_OUT = "held out"


def require_classes(
    labels: npt.NDArray[np.int64], classes: Sequence[str], part: str = "to learn from"
) -> None:
    """Raise DataError unless there are two classes or more, each with an image that can be used.

    `part` says of which images these are the labels.
    """
    if len(classes) < 2:
        raise DataError(f"one class only, {classes[0]!r}: telling classes apart takes two or more")
    counts = np.bincount(labels, minlength=len(classes))
    empty = [repr(name) for name, n in zip(classes, counts, strict=True) if n == 0]
    if empty:
        raise DataError(
            f"no image that can be used of the class {', '.join(empty)} among those {part}"
        )


def split(data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Hold out a fraction of each class, drawn by `seed`, at least one image of it.

    Returns
    -------
    tuple of Dataset
        What is left, and what is held out, each in the order that it had.

    Raises
    ------
    DataError
        A class has a single image.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"the fraction to hold out must lie between 0 and 1, got {fraction}")
    rng = np.random.default_rng(seed)
    held = np.zeros(len(data), np.bool_)
    for number, name in enumerate(data.classes):
        members = np.flatnonzero(data.labels == number)
        if len(members) == 1:
            raise DataError(
                f"the class {name!r} has a single image, so none can be held out for validation: "
                "give more of them, or images of their own as validation="
            )
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held[rng.permutation(members)[:count]] = True
    return data.subset(~held), data.subset(held)


def digest(image: ImageLike) -> bytes:
    """Tell images apart by what is in them: a hash of the file's bytes, or of the pixels.

    Raises
    ------
    ImageError
        A file cannot be read.
    """
    if isinstance(image, (str, os.PathLike)):
        try:
            with open(image, "rb") as file:
                found = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise ImageError(f"{os.fsdecode(image)!r}: {error.strerror}") from None
    elif isinstance(image, np.ndarray):
        found = hashlib.sha256(f"{image.dtype.str} {image.shape}".encode())
        found.update(np.ascontiguousarray(image).data)
    else:  # of a PIL image everything that decides how it is read
        about = (image.mode, image.size, image.getpalette(), image.info.get("transparency"))
        found = hashlib.sha256(repr(about).encode())
        found.update(image.getexif().tobytes())
        found.update(image.tobytes())
    return found.digest()[:DIGEST_BYTES]


def content_of(data: Dataset) -> str:
    """Tell data sets apart by all that is learnt from them: a hash."""
    found = hashlib.sha256(repr(data.classes).encode())
    for i in range(len(data)):
        try:
            found.update(digest(data[i]))
        except ImageError:  # it is left out, as the stream will say
            found.update(bytes(DIGEST_BYTES))
    found.update(data.labels.tobytes())
    found.update(data.numbers.tobytes())
    return found.hexdigest()
