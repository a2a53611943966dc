"""NumPy's .npz: a zip of .npy arrays. Pickled objects are refused."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError
from pycnn.formats.tensor_file import TensorFile

# More than any network here takes; a zip bomb stops at the header that announces it.
MAX_BYTES = 8 << 30

# What a damaged archive or array raises, depending on where the damage is.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError),
    *(NotImplementedError, RuntimeError, MemoryError),
)


class NpzFile(TensorFile):
    """Reader; shapes come from the headers, before anything is allocated.

    The archive is opened anew for each array: an open one shares its position and its locks with
    the children of a fork.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    self._read_header(archive, entry)
        except _DAMAGE as error:
            raise ModelFormatError(f"{path}: not a valid npz file: {error}") from error

    def _read_header(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename:
            raise ModelFormatError(f"{self.path}: entry '{entry.filename}' is no .npy array")
        with archive.open(entry) as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(file)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes > MAX_BYTES or nbytes > entry.file_size:
            raise ModelFormatError(
                f"{self.path}: array '{name}' announces {nbytes:,} bytes, "
                f"the entry has {entry.file_size:,}"
            )
        self.shapes[name] = tuple(int(size) for size in shape)
        self.dtypes[name] = dtype.name

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32."""
        try:
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open(name + ".npy") as file,
            ):
                array = np.lib.format.read_array(file, allow_pickle=False)
        except _DAMAGE as error:
            raise ModelFormatError(f"{self.path}: array '{name}': {error}") from error
        return self._as_float32(name, array)
