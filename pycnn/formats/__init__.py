"""One reader per file format; each gives the tensors of a file by name, read when asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pycnn.errors import ModelFormatError, UnsupportedError, WeightsError
from pycnn.formats import npz, safetensors
from pycnn.formats.tensor_file import TensorFile

__all__ = ["TensorFile", "open_weights"]

_READERS: Mapping[str, type[TensorFile]] = {
    ".safetensors": safetensors.SafetensorsFile,
    ".npz": npz.NpzFile,
}


def open_weights(path: str | os.PathLike[str]) -> TensorFile:
    """Open a weights file by its suffix.

    Raises
    ------
    WeightsError
        There is no such file.
    UnsupportedError
        No reader for this suffix.
    ModelFormatError
        The file is damaged.
    """
    file = Path(path)
    if not file.is_file():
        raise WeightsError(f"{file}: no such weights file")
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise UnsupportedError(f"{file}: cannot read weights from '{file.suffix}'; known: {known}")
    try:
        return reader(file)
    except OSError as error:
        raise ModelFormatError(f"{file}: cannot be read: {error}") from error
