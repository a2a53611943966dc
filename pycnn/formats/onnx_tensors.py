"""Tensors of an ONNX model: in its file, beside it, in a field of numbers, or computed from others.

A :class:`Constant` knows its shape at once, its values when they are asked for. Those that become
parameters of the network are the model's :class:`OnnxTensors`.
"""

from __future__ import annotations

import functools
import math
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError, UnsupportedError
from pycnn.formats.onnx_schema import DTYPES, EXTERNAL
from pycnn.formats.protobuf import Place
from pycnn.formats.tensor_file import MAX_BYTES, TensorFile, map_open

Array = npt.NDArray[Any]

# Tensors up to this size are computed with at once, of all of them together so much.
SMALL_ELEMS = 1 << 14
_MAX_COMPUTED_BYTES = 64 << 20
_MAX_STEPS = 32  # from constant to constant


@dataclass(frozen=True)
class Constant:
    """A tensor that is known when the model is read.

    Attributes
    ----------
    name
        Of the value in the model.
    shape
        Its shape.
    dtype
        NumPy's name of its element type, or "bfloat16", which comes out as float32.
    load
        Gives the values.
    original
        The constant whose numbers these are in another shape, if they are.
    steps
        How many others it is computed through.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Array]
    original: Constant | None = None
    steps: int = 0

    @property
    def elems(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def is_same(self, other: Constant) -> bool:
        """Whether these are the same numbers in the same shape."""
        original = self.original or self
        return original is (other.original or other) and self.shape == other.shape

    def reshaped(self, shape: tuple[int, ...]) -> Constant:
        """Return the same numbers in another shape, under the same name."""
        if shape == self.shape:
            return self
        original = self.original or self
        return Constant(
            self.name,
            shape,
            self.dtype,
            lambda: original.load().reshape(shape),
            original,
            self.steps,
        )

    def derived(
        self, name: str, shape: tuple[int, ...], dtype: str, change: Callable[[Array], Array]
    ) -> Constant:
        """Return a constant that is computed from this one when it is asked for."""
        if self.steps >= _MAX_STEPS:
            raise UnsupportedError(f"computes a constant through more than {_MAX_STEPS} others")
        return Constant(name, shape, dtype, lambda: change(self.load()), steps=self.steps + 1)

    def scalar(self) -> float | None:
        """Return its value if it holds one number."""
        return float(self.load().reshape(())) if self.elems == 1 else None


class OnnxTensors(TensorFile):
    """The parameters of a model, by the names of its initializers."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(path, max_bytes)
        self._constants: dict[str, Constant] = {}

    def add(self, constant: Constant) -> str:
        """Make a constant a parameter; return its name. The same one twice is one parameter."""
        name, others = constant.name, 1
        while name in self._constants and not self._constants[name].is_same(constant):
            others += 1
            name = f"{constant.name}#{others}"
        if name not in self._constants:
            dtype = "float32" if constant.dtype == "bfloat16" else constant.dtype
            self._declare(name, constant.shape, dtype)
            self._constants[name] = constant
        return name

    def keep(self, names: Collection[str]) -> None:
        """Leave out all others."""
        for mapping in (self.shapes, self.dtypes, self._constants):
            for name in [name for name in mapping if name not in names]:
                del mapping[name]

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32."""
        self._require_float(name)
        return self._as_float32(name, self._constants[name].load())


class TensorReader:
    """Makes constants of the TensorProto messages of one model."""

    def __init__(self, path: Path, data: memoryview, max_bytes: int) -> None:
        self.path = path
        self.data = data
        self.max_bytes = max_bytes
        self._computed = 0
        self._beside: dict[str, memoryview] = {}  # files of external data

    def constant(self, tensor: Any, name: str) -> Constant:
        """Return the constant of a TensorProto; all sizes are checked."""
        where = f"{self.path}: tensor '{name}'"
        dtype = DTYPES.get(tensor.data_type)
        if dtype is None:
            raise UnsupportedError(f"{where} has elements of type {tensor.data_type}")
        shape = tuple(tensor.dims)
        if len(shape) > 32 or any(size < 0 for size in shape):
            raise ModelFormatError(f"{where} has the impossible shape {shape[:32]}")
        nbytes = math.prod(shape) * _storage(dtype).itemsize
        if nbytes > self.max_bytes:
            raise ModelFormatError(f"{where} of shape {shape} is larger than max_bytes")
        if tensor.data_location == EXTERNAL:
            data, place = self._external(where, tensor, nbytes)
        elif tensor.HasField("raw_data"):
            data, place = self.data, Place.unpack(tensor.raw_data)
        else:
            return Constant(name, shape, dtype, _numbers(where, tensor, shape, dtype))
        if place.length != nbytes:
            raise ModelFormatError(
                f"{where} of shape {shape} has {place.length} bytes of {dtype}, not {nbytes}"
            )
        return Constant(name, shape, dtype, functools.partial(_raw, data, place, shape, dtype))

    def filled(self, name: str, shape: tuple[int, ...], value: Array) -> Constant:
        """Return a constant of one number."""
        if any(size < 0 for size in shape):
            raise ModelFormatError(f"{self.path}: '{name}' has the impossible shape {shape}")
        if math.prod(shape) * value.itemsize > self.max_bytes:
            raise ModelFormatError(
                f"{self.path}: '{name}' of shape {shape} is larger than max_bytes"
            )
        number = value.reshape(())
        return Constant(name, shape, value.dtype.name, lambda: np.broadcast_to(number, shape))

    def computed(self, name: str, values: Array) -> Constant:
        """Return a constant that was computed from others; bounded in sum."""
        self._computed += values.nbytes
        if self._computed > _MAX_COMPUTED_BYTES:
            raise ModelFormatError(f"{self.path}: '{name}': too many constants are computed")
        return Constant(name, values.shape, values.dtype.name, lambda: values)

    def _external(self, where: str, tensor: Any, nbytes: int) -> tuple[memoryview, Place]:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", nbytes))
        except ValueError:
            raise ModelFormatError(f"{where}: impossible offset or length {entries}") from None
        if location not in self._beside:
            self._beside[location] = _map_beside(self.path, location, where)
        data = self._beside[location]
        if offset < 0 or length < 0 or offset + length > len(data):
            raise ModelFormatError(
                f"{where}: {length} bytes at byte {offset} of '{location}', which has {len(data)}"
            )
        return data, Place(offset, length)


def _storage(dtype: str) -> np.dtype[Any]:
    """How elements lie in a file: little-endian; bfloat16 is the upper half of a float32."""
    return np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<")


def _raw(data: memoryview, place: Place, shape: tuple[int, ...], dtype: str) -> Array:
    if 0 in shape:
        return np.zeros(shape, np.float32 if dtype == "bfloat16" else dtype)
    values = np.ndarray(shape, _storage(dtype), data, place.offset)
    return _widened(values, dtype)


def _widened(values: Array, dtype: str) -> Array:
    if dtype != "bfloat16":
        return values
    return (values.astype(np.uint32) << 16).view(np.float32)


def _numbers(where: str, tensor: Any, shape: tuple[int, ...], dtype: str) -> Callable[[], Array]:
    """Values in fields of numbers; 16-bit floats are there as the integers of their bits."""
    field = {"int64": "int64_data", "float64": "double_data"}.get(dtype, "int32_data")
    count = len(getattr(tensor, field))
    if count != math.prod(shape):
        raise ModelFormatError(f"{where} of shape {shape} has {count} numbers")

    def load() -> Array:
        numbers = getattr(tensor, field)
        if dtype in ("float16", "bfloat16"):
            bits = np.array(numbers, np.int64).astype(np.uint16).reshape(shape)
            return bits.view(np.float16) if dtype == "float16" else _widened(bits, dtype)
        return (
            np.array(numbers, np.int64 if field != "double_data" else np.float64)
            .astype(dtype)
            .reshape(shape)
        )

    return load


def _map_beside(model: Path, location: str, where: str) -> memoryview:
    """Map a file of external data: a plain name, a plain file, beside the model, no link."""
    if location in ("", ".", "..") or any(c in location for c in "/\\\0:"):
        raise ModelFormatError(
            f"{where}: external data in '{location}'; only a file beside the model is opened"
        )
    # What is checked is what was opened: a link is not followed, a pipe not waited for.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(
            model.parent / location, "rb", opener=lambda name, _: os.open(name, flags)
        ) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise ModelFormatError(f"{where}: '{location}' is a link, or no plain file")
            return map_open(file)
    except OSError as error:
        raise ModelFormatError(f"{where}: its external data cannot be read: {error}") from error
