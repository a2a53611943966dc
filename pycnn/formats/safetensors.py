"""Safetensors: a JSON header and raw tensors, memory-mapped by the safetensors library.

The library writes from arrays that are all in memory; our writer needs one at a time.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError
from pycnn.formats.tensor_file import MAX_BYTES, TensorFile
from pycnn.formats.writing import Content, replacing

_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}


class SafetensorsFile(TensorFile):
    """Reader; the library checks header, offsets and sizes against the file."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(path, max_bytes)
        from safetensors import SafetensorError, safe_open

        self._error = SafetensorError
        try:
            open_file: Any = safe_open  # untyped in the library
            self._file = open_file(path, framework="numpy")
            for name in self._file.keys():  # noqa: SIM118  # no mapping
                part = self._file.get_slice(name)
                dtype = part.get_dtype()
                self._declare(name, part.get_shape(), _DTYPES.get(dtype, dtype))
            self.metadata = self._file.metadata() or {}
        except SafetensorError as error:
            raise ModelFormatError(f"{path}: not a valid safetensors file: {error}") from error

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32."""
        self._require_float(name)
        try:
            array = self._file.get_tensor(name)
        except self._error as error:
            raise ModelFormatError(f"{self.path}: tensor '{name}': {error}") from error
        return self._as_float32(name, array)


def write(path: Path, content: Content) -> None:
    """Write float32 tensors and the metadata."""
    header: dict[str, Any] = {"__metadata__": dict(content.metadata)}
    end = 0
    for name, shape in content.shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in content.shapes:
            file.write(np.ascontiguousarray(content.read(name), "<f4").data)
