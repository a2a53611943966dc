"""NumPy's .npz: a zip of .npy arrays. Pickled objects are refused.

What the file says of itself is JSON in the zip's comment, which other readers pass over;
compressed by zlib where it is too long for one.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError, UnsupportedError
from pycnn.formats.tensor_file import MAX_BYTES, TensorFile
from pycnn.formats.writing import Content, replacing

# What a damaged archive or array raises, depending on where the damage is.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError),
    *(NotImplementedError, RuntimeError, MemoryError),
)

_LONGEST_METADATA = 32 << 20  # once it is decompressed


class NpzFile(TensorFile):
    """Reader; shapes come from the headers, before anything is allocated.

    The archive is opened anew for each array: an open one shares its position and its locks with
    the children of a fork.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(path, max_bytes)
        try:
            with zipfile.ZipFile(path) as archive:
                self.metadata = _metadata(archive.comment)
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
        self._declare(name, shape, dtype.name)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes > entry.file_size:
            raise ModelFormatError(
                f"{self.path}: array '{name}' announces {nbytes:,} bytes, "
                f"the entry has {entry.file_size:,}"
            )

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32."""
        self._require_float(name)
        try:
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open(name + ".npy") as file,
            ):
                array = np.lib.format.read_array(file, allow_pickle=False)
        except _DAMAGE as error:
            raise ModelFormatError(f"{self.path}: array '{name}': {error}") from error
        return self._as_float32(name, array)


def _metadata(comment: bytes) -> dict[str, str]:
    """Ours; a comment of somebody else's says nothing."""
    try:
        if not comment.startswith(b"{"):
            comment = zlib.decompressobj().decompress(comment, _LONGEST_METADATA)
        found = json.loads(comment)
    except (ValueError, RecursionError, zlib.error):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def write(path: Path, content: Content) -> None:
    """Write float32 tensors, uncompressed as numpy.savez does, and the metadata."""
    comment = json.dumps(dict(content.metadata)).encode()
    if len(comment) > zipfile.ZIP_MAX_COMMENT:
        comment = zlib.compress(comment, 9)
    if len(comment) > zipfile.ZIP_MAX_COMMENT:
        raise UnsupportedError(
            f"{path}: {len(comment):,} bytes of metadata; an npz file takes "
            f"{zipfile.ZIP_MAX_COMMENT:,}, a safetensors file more"
        )
    with replacing(path) as file, zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name in content.shapes:
            # A fixed date: the same weights are the same file.
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, content.read(name), allow_pickle=False)
        archive.comment = comment
