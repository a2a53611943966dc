"""NumPy's .npz: a zip of .npy arrays. Pickled objects are refused."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError
from pycnn.formats.tensor_file import TensorFile

# More than any network here takes; a zip bomb stops at the header that announces it.
MAX_BYTES = 8 << 30


class NpzFile(TensorFile):
    """Reader; shapes come from the headers, before anything is allocated."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._zip = zipfile.ZipFile(path)
            for entry in self._zip.infolist():
                name = entry.filename.removesuffix(".npy")
                if name == entry.filename:
                    raise ModelFormatError(f"{path}: entry '{entry.filename}' is no .npy array")
                shape, dtype = self._header(entry.filename)
                nbytes = math.prod(shape) * dtype.itemsize
                if nbytes > MAX_BYTES or nbytes > entry.file_size:
                    raise ModelFormatError(
                        f"{path}: array '{name}' announces {nbytes:,} bytes, "
                        f"the entry has {entry.file_size:,}"
                    )
                self.shapes[name] = shape
        except (
            zipfile.BadZipFile,
            ValueError,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise ModelFormatError(f"{path}: not a valid npz file: {error}") from error

    def _header(self, entry: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        with self._zip.open(entry) as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(file)
        return tuple(int(size) for size in shape), dtype

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32."""
        try:
            with self._zip.open(name + ".npy") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
        except (KeyError, zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise ModelFormatError(f"{self.path}: array '{name}': {error}") from error
        return self._as_float32(name, array)
