"""What every reader gives: the tensors of a file, by name, read when they are asked for."""

from __future__ import annotations

import math
import mmap
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError

# More than any network here takes; a file that announces more is refused at its headers.
MAX_BYTES = 8 << 30

# What becomes float32 without asking; everything else is refused. NumPy has no bfloat16.
FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")

_MAX_DIMENSIONS = 32
_LONGEST_NAME = 512


class TensorFile(ABC):
    """Tensors of one file. Names and shapes are known at once, values are read when asked for.

    Attributes
    ----------
    path
        The file.
    max_bytes
        The most that all tensors may take as float32.
    shapes
        Name -> shape, in the order of the file.
    dtypes
        Name -> NumPy's name of the dtype, or the file's where NumPy has none.
    metadata
        What the file says of itself, text to text.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self.metadata: Mapping[str, str] = {}
        self._bytes = 0

    @abstractmethod
    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32; ModelFormatError when it is damaged or no float tensor."""

    def is_mapped(self, name: str) -> bool:
        """Whether :meth:`read` gives a view of the mapped file, whose pages may be let go."""
        return False

    def _declare(self, name: str, shape: Sequence[int], dtype: str) -> None:
        """Note a tensor, or refuse it, before anything is allocated for it.

        Raises
        ------
        ModelFormatError
            The name is there already, a dimension is impossible, or all tensors so far would take
            more than `max_bytes`.
        """
        where = f"{self.path}: tensor '{name[:_LONGEST_NAME]}'"
        if len(name) > _LONGEST_NAME:
            raise ModelFormatError(f"{where}: a name of {len(name)} characters")
        if name in self.shapes:
            raise ModelFormatError(f"{where} is there twice")
        if len(shape) > _MAX_DIMENSIONS or any(size < 0 for size in shape):
            raise ModelFormatError(f"{where}: impossible shape {tuple(shape[:_MAX_DIMENSIONS])}")
        # The empty dimensions are left out: NumPy multiplies the others.
        elems = math.prod(size for size in shape if size)
        self._bytes += 4 * elems
        if self._bytes > self.max_bytes:
            raise ModelFormatError(
                f"{where} of shape {tuple(shape)} brings the file to {self._bytes:,} bytes of "
                f"float32, more than max_bytes, {self.max_bytes:,}"
            )
        self.shapes[name] = tuple(int(size) for size in shape)
        self.dtypes[name] = dtype

    def _require_float(self, name: str) -> None:
        """Refuse a tensor whose dtype is no use, before anything is read."""
        if self.dtypes[name] not in FLOAT_DTYPES:
            raise ModelFormatError(
                f"{self.path}: tensor '{name}' has dtype {self.dtypes[name]}, "
                f"expected one of {', '.join(FLOAT_DTYPES)}"
            )

    def _as_float32(self, name: str, array: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """The values as float32, row by row and aligned; not copied where they are so already."""
        try:
            with np.errstate(over="raise", invalid="ignore"):
                return np.require(array, np.float32, ["C", "A"])
        except FloatingPointError:
            raise ModelFormatError(
                f"{self.path}: tensor '{name}' has values beyond float32"
            ) from None


class MappedTensors(TensorFile):
    """Tensors that lie as plain bytes at known places of a file, which is mapped, not read."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(path, max_bytes)
        self.data = map_file(path)
        self._places: dict[str, tuple[int, np.dtype[np.generic], tuple[int, ...]]] = {}

    def place(
        self,
        name: str,
        offset: int,
        shape: Sequence[int],
        dtype: np.dtype[np.generic],
        strides: Sequence[int] | None = None,
        end: int | None = None,
        bfloat16: bool = False,
    ) -> None:
        """Say where a tensor lies, and check it.

        Parameters
        ----------
        name : str
        offset : int
            Of the first byte, in the file.
        shape : sequence of int
        dtype : numpy.dtype
            With its byte order.
        strides : sequence of int, optional
            In elements, none negative; default: row by row.
        end : int, optional
            Where the part of the file that it lies in ends; default: the file's end.
        bfloat16 : bool
            Whether `dtype`, which is uint16, is the upper half of float32.

        Raises
        ------
        ModelFormatError
            It does not lie there, or is what :meth:`_declare` refuses.
        """
        self._declare(name, shape, "bfloat16" if bfloat16 else dtype.name)
        sizes = self.shapes[name]
        rows = _row_major(sizes) if strides is None else tuple(strides)
        if len(rows) != len(sizes) or any(step < 0 for step in rows):
            raise ModelFormatError(f"{self.path}: tensor '{name}': impossible strides {rows}")
        elems = 0
        if all(sizes):
            elems = 1 + sum((size - 1) * step for size, step in zip(sizes, rows, strict=True))
        last = offset + elems * dtype.itemsize
        limit = len(self.data) if end is None else min(end, len(self.data))
        if offset < 0 or last > limit:
            raise ModelFormatError(
                f"{self.path}: tensor '{name}' of shape {sizes} at byte {offset} ends at byte "
                f"{last}, beyond {limit}"
            )
        self._places[name] = (offset, dtype, rows)

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32, without a copy where it is float32 already."""
        self._require_float(name)
        offset, dtype, strides = self._places[name]
        shape = self.shapes[name]
        if not all(shape):
            return np.zeros(shape, np.float32)
        steps = tuple(step * dtype.itemsize for step in strides)
        array: npt.NDArray[np.generic] = np.ndarray(shape, dtype, self.data, offset, steps)
        if self.dtypes[name] == "bfloat16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return self._as_float32(name, array)

    def is_mapped(self, name: str) -> bool:
        """Where nothing is converted: float32, row by row, aligned."""
        offset, dtype, strides = self._places.get(name, (0, None, ()))
        return (
            dtype == np.dtype("<f4")
            and strides == _row_major(self.shapes[name])
            and offset % dtype.alignment == 0
            and sys.byteorder == "little"
        )


def map_file(path: Path) -> memoryview:
    """Map a whole file, read-only; the mapping lives as long as the view, or arrays over it."""
    with open(path, "rb") as file:
        return map_open(file)


def map_open(file: IO[bytes]) -> memoryview:
    """Map a file that is open; the mapping outlives it."""
    if os.fstat(file.fileno()).st_size == 0:  # which cannot be mapped
        return memoryview(b"")
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without sizes of 1 at its end, which tell no two tensors apart."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps = [1] * len(shape)
    for i in range(len(shape) - 1, 0, -1):
        steps[i - 1] = steps[i] * shape[i]
    return tuple(steps)
