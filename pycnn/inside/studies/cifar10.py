"""CIFAR-10 from a folder: the images that the studies learn from and those they are tested on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pycnn.errors import ImageError
from pycnn.vision.dataset import Dataset
from pycnn.vision.labels import labels

__all__ = ["HELD_OUT", "read"]

SIDE = 32
HELD_OUT = 5000  # the last images: for testing only
_RECORD_BYTES = 1 + 3 * SIDE * SIDE


def read(folder: str | os.PathLike[str]) -> tuple[Dataset, Dataset]:
    """Images to learn from, and the last 5,000, held out.

    Parameters
    ----------
    folder : path
        It has either ``data_batch_1.bin`` ..., as Krizhevsky publishes them ("binary version"), or
        ``train_00.png`` ..., an image of 1,024 pixels a row, beside ``train_labels.npy``.

    Raises
    ------
    ImageError
        It has neither, or they are damaged; the message names the file.
    """
    root = Path(folder)
    batches, pictures = sorted(root.glob("data_batch_*.bin")), sorted(root.glob("train_*.png"))
    images: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.generic]
    if batches:
        images, classes = _records(batches)
    elif pictures:
        images, classes = _rows(pictures, root / "train_labels.npy")
    else:
        raise ImageError(
            f"folder {str(root)!r}: expected CIFAR-10's data_batch_1.bin ... (the binary version "
            "of www.cs.toronto.edu/~kriz/cifar.html), found none"
        )
    if len(images) <= HELD_OUT:
        raise ImageError(
            f"folder {str(root)!r}: {len(images)} images; the last {HELD_OUT} are held out, so "
            "there must be more"
        )
    data = Dataset(images, classes, labels("cifar10"))
    numbers = np.arange(len(data))
    return data.subset(numbers[:-HELD_OUT]), data.subset(numbers[-HELD_OUT:])


def _records(files: list[Path]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Of records of a label and 3 x 32 x 32 bytes."""
    for file in files:
        if file.stat().st_size % _RECORD_BYTES:
            raise ImageError(
                f"{str(file)!r}: expected records of {_RECORD_BYTES} bytes, got "
                f"{file.stat().st_size} bytes: it is cut off, or no file of CIFAR-10"
            )
    records = np.concatenate([np.fromfile(file, np.uint8) for file in files])
    records = records.reshape(-1, _RECORD_BYTES)
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0]


def _rows(
    files: list[Path], label_file: Path
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.generic]]:
    """Of pictures that have an image in each row."""
    parts = []
    for file in files:
        try:
            with Image.open(file) as picture:
                if picture.width != SIDE * SIDE or picture.mode != "RGB":
                    raise ImageError(
                        f"{str(file)!r}: expected RGB rows of {SIDE * SIDE} pixels, got "
                        f"{picture.mode} of {picture.width}"
                    )
                parts.append(np.asarray(picture).reshape(-1, SIDE, SIDE, 3))
        except OSError as error:
            raise ImageError(f"{str(file)!r}: {error}") from error
    try:
        classes = np.load(label_file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ImageError(f"{str(label_file)!r}: {error}") from error
    return np.concatenate(parts), classes
