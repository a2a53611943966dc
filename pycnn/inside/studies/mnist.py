"""MNIST's training digits from a folder: those that a study learns from and those held out."""

from __future__ import annotations

import gzip
import math
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pycnn.errors import ImageError
from pycnn.vision.dataset import Dataset
from pycnn.vision.labels import labels

__all__ = ["HELD_OUT", "read"]

SIDE = 28
HELD_OUT = 10_000  # the last digits: for testing only
_MOST_DIGITS = 1_000_000


def read(folder: str | os.PathLike[str]) -> tuple[Dataset, Dataset]:
    """Digits to learn from, and the last 10,000, held out.

    Parameters
    ----------
    folder : path
        It has ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, each perhaps with
        ``.gz``, as LeCun publishes them.

    Raises
    ------
    ImageError
        They are not there, or damaged; the message names the file.
    """
    images = _read_idx(_find(Path(folder), "train-images-idx3-ubyte"), (SIDE, SIDE))
    classes = _read_idx(_find(Path(folder), "train-labels-idx1-ubyte"), ())
    if len(images) <= HELD_OUT or len(classes) != len(images):
        raise ImageError(
            f"folder {os.fspath(folder)!r}: {len(images)} images and {len(classes)} labels; "
            f"expected as many of both, and more than the {HELD_OUT} that are held out"
        )
    data = Dataset(images, classes, labels("mnist"))
    numbers = np.arange(len(data))
    return data.subset(numbers[:-HELD_OUT]), data.subset(numbers[-HELD_OUT:])


def _find(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.exists():
            return file
    raise ImageError(f"folder {str(folder)!r}: expected MNIST's {name}, perhaps with .gz")


def _read_idx(file: Path, item: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """An IDX file of items of this shape, uint8."""
    header = 4 + 4 * (1 + len(item))
    most = header + _MOST_DIGITS * math.prod(item)  # more cannot be meant: a gzip grows 1000-fold
    try:
        with gzip.open(file) if file.suffix == ".gz" else open(file, "rb") as stream:
            raw = stream.read(most + 1)
    except (OSError, EOFError) as error:
        raise ImageError(f"{str(file)!r}: {error}") from error
    magic = bytes((0, 0, 8, 1 + len(item)))
    if len(raw) < header or raw[:4] != magic:
        raise ImageError(f"{str(file)!r}: no IDX file of uint8 in {1 + len(item)} dimensions")
    count, *sizes = struct.unpack(f">{1 + len(item)}I", raw[4:header])
    if tuple(sizes) != item or len(raw) != header + count * math.prod(item):
        raise ImageError(
            f"{str(file)!r}: its header says {count} items of {tuple(sizes)}, expected {item}, and "
            f"{len(raw) - header} bytes follow"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(count, *item)
