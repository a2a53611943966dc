"""Safetensors: a JSON header and raw tensors, memory-mapped by the safetensors library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError
from pycnn.formats.tensor_file import TensorFile

_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}


class SafetensorsFile(TensorFile):
    """Reader; the library checks header, offsets and sizes against the file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        from safetensors import SafetensorError, safe_open

        self._error = SafetensorError
        try:
            open_file: Any = safe_open  # untyped in the library
            self._file = open_file(path, framework="numpy")
            names = self._file.keys()
            slices = {name: self._file.get_slice(name) for name in names}
            self.shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            self.dtypes = {
                name: _DTYPES.get(part.get_dtype(), part.get_dtype())
                for name, part in slices.items()
            }
            self.metadata = self._file.metadata() or {}
        except SafetensorError as error:
            raise ModelFormatError(f"{path}: not a valid safetensors file: {error}") from error

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32."""
        try:
            array = self._file.get_tensor(name)
        except (self._error, TypeError) as error:  # TypeError: a dtype that NumPy lacks
            raise ModelFormatError(f"{self.path}: tensor '{name}': {error}") from error
        return self._as_float32(name, array)
