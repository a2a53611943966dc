"""Safetensors: a JSON header and raw tensors.

The library checks the file, but copies each tensor that it reads; ours are views of the mapping.
It writes from arrays that are all in memory; our writer needs one at a time.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.errors import ModelFormatError
from pycnn.formats.tensor_file import MAX_BYTES, MappedTensors
from pycnn.formats.writing import Content, replacing

_DTYPES = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}


class SafetensorsFile(MappedTensors):
    """Reader; the library checks header, offsets and sizes against the file."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(path, max_bytes)
        from safetensors import SafetensorError, safe_open

        try:
            open_file: Any = safe_open  # untyped in the library
            with open_file(path, framework="numpy") as checked:
                self.metadata = checked.metadata() or {}
        except SafetensorError as error:
            raise ModelFormatError(f"{path}: not a valid safetensors file: {error}") from error
        (length,) = struct.unpack("<Q", self.data[:8])
        start = 8 + length
        header = json.loads(bytes(self.data[8:start]))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            first, end = entry["data_offsets"]
            if entry["dtype"] in _DTYPES:
                dtype = np.dtype(_DTYPES[entry["dtype"]])
                bfloat16 = entry["dtype"] == "BF16"
                self.place(
                    name, start + first, entry["shape"], dtype, end=start + end, bfloat16=bfloat16
                )
            else:
                self._declare(name, entry["shape"], entry["dtype"])


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
