"""PyTorch's .pt, .pth and .th, without PyTorch: state dicts, in either layout of ``torch.save``.

The zip layout (since 1.6) keeps a pickle, ``data.pkl``, and one uncompressed entry for each
storage; the legacy layout is a row of pickles with the storages' bytes behind them. Both pickles
are read by :mod:`pycnn.formats.unpickle`, which runs nothing; tensors are views of the mapped file.

Read are a dict of tensors, and a dict that has one under "state_dict", "model_state_dict" or
"model". Names are as in the file. Whole modules and TorchScript are programs, and are refused.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.errors import ModelFormatError, PycnnError, UnsupportedError
from pycnn.formats.tensor_file import MAX_BYTES, MappedTensors
from pycnn.formats.unpickle import UnpicklingError, inert, unpickle

__all__ = ["TorchFile"]

_WRAPPERS = ("state_dict", "model_state_dict", "model")

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_PICKLE = "data.pkl"
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip entry: lengths of its name and extra field

# Storage type -> dtype without its byte order; of bfloat16, which NumPy lacks, the name.
_STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    elems: int
    first: int  # where a view of a storage begins in it, in elements


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise UnpicklingError("a tensor without a storage")
    return _Tensor(storage, _integer(offset), _integers(shape), _integers(strides))


def _integer(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise UnpicklingError(f"expected a size, got {str(value)[:40]!r}")
    return value


def _integers(values: object) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)):
        raise UnpicklingError(f"expected sizes, got {type(values).__name__}")
    return tuple(_integer(value) for value in values)


def _parameter(data: Any, *_: object) -> Any:
    return data


def _ordered_dict(items: Sequence[Any] = ()) -> dict[Any, Any]:
    found = {}
    for key, value in items:
        if not isinstance(key, (str, int)):
            raise UnpicklingError(f"a key of type {type(key).__name__}")
        found[key] = value
    return found


_ALLOWED: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": _integers,
    # What training scripts leave beside the tensors: read over, never made.
    **dict.fromkeys(
        (
            "argparse.Namespace",
            "torch.device",
            "numpy.dtype",
            "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar",
            "_codecs.encode",
        ),
        inert,
    ),
    # A storage's type is no call; it stands in persistent ids.
    **{f"torch.{name}": inert for name in _STORAGES},
}


def _storage(value: object) -> _Storage:
    """A storage from ("storage", type, key, location, elements, view or nothing)."""
    if not isinstance(value, tuple) or len(value) < 5 or value[0] != "storage":
        raise UnpicklingError("a persistent id that is no storage")
    _, kind, key, _, elems, *view = value
    name = str(getattr(kind, "name", "")).removeprefix("torch.")
    if name not in _STORAGES or not isinstance(key, str):
        raise UnpicklingError(f"a storage of type {name or type(kind).__name__!r}")
    first = 0
    if view and view[0] is not None:
        if not isinstance(view[0], tuple) or len(view[0]) != 3:
            raise UnpicklingError("a view that is none")
        first = _integer(view[0][1])
    return _Storage(key, _STORAGES[name], _integer(elems), first)


class TorchFile(MappedTensors):
    """Reader of both layouts."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(path, max_bytes)
        try:
            if bytes(self.data[:4]) == b"PK\x03\x04":
                self._read_zip()
            else:
                self._read_legacy()
        except UnpicklingError as error:
            raise ModelFormatError(
                f"{path}: no PyTorch state dict: {error}. In PyTorch, "
                "torch.save(model.state_dict(), path) makes one"
            ) from error
        except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError) as error:
            if isinstance(error, PycnnError):
                raise
            raise ModelFormatError(f"{path}: not a valid PyTorch file: {error}") from error

    # The zip layout -------------------------------------------------------------------------------

    def _read_zip(self) -> None:
        with zipfile.ZipFile(self.path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            pickles = [name for name in entries if name.count("/") == 1 and _base(name) == _PICKLE]
            if len(pickles) != 1:
                raise ModelFormatError(f"{self.path}: {len(pickles)} entries '{_PICKLE}', not 1")
            folder = pickles[0].removesuffix(_PICKLE)
            if f"{folder}constants.pkl" in entries:
                raise UnsupportedError(
                    f"{self.path} is a TorchScript program; in PyTorch, "
                    "torch.save(torch.jit.load(path).state_dict(), other) makes a state dict of it"
                )
            start, size = self._stored(entries[pickles[0]])
            root, _ = unpickle(self.data[start : start + size], _ALLOWED, _storage)
            order = "<"
            if (mark := entries.get(f"{folder}byteorder")) is not None:
                start, size = self._stored(mark)
                order = ">" if bytes(self.data[start : start + size]) == b"big" else "<"

        def find(storage: _Storage) -> tuple[int, int]:
            entry = entries.get(f"{folder}data/{storage.key}")
            if entry is None:
                raise ModelFormatError(f"{self.path}: storage '{storage.key[:100]}' is missing")
            return self._stored(entry)

        self._place_all(root, order, find)

    def _stored(self, entry: zipfile.ZipInfo) -> tuple[int, int]:
        """Where the bytes of an entry begin in the file, and how many they are."""
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ModelFormatError(
                f"{self.path}: entry '{entry.filename[:100]}' is compressed or encrypted, "
                "as PyTorch never writes it"
            )
        header = bytes(self.data[entry.header_offset : entry.header_offset + _LOCAL_HEADER.size])
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise ModelFormatError(
                f"{self.path}: entry '{entry.filename[:100]}' has no header at byte "
                f"{entry.header_offset}"
            )
        name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        start = entry.header_offset + len(header) + name_bytes + extra_bytes
        if start + entry.file_size > len(self.data):
            raise ModelFormatError(
                f"{self.path}: entry '{entry.filename[:100]}' ends at byte "
                f"{start + entry.file_size}; the file has {len(self.data)}"
            )
        return start, entry.file_size

    # The legacy layout ----------------------------------------------------------------------------

    def _read_legacy(self) -> None:
        # The bytes of a storage do not say how wide its elements are: what refers to it does.
        widths: dict[str, int] = {}

        def persistent(value: object) -> _Storage:
            storage = _storage(value)
            widths[storage.key] = _dtype(storage).itemsize
            return storage

        values = []
        start = 0
        for _ in range(5):
            value, start = unpickle(self.data, _ALLOWED, persistent, start)
            values.append(value)
            if values[0] != _LEGACY_MAGIC:
                raise ModelFormatError(f"{self.path}: not a PyTorch file: another magic number")
        _, protocol, system, root, keys = values
        if protocol != _LEGACY_PROTOCOL:
            raise UnsupportedError(f"{self.path}: another protocol than {_LEGACY_PROTOCOL}")
        little = isinstance(system, dict) and system.get("little_endian", True)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ModelFormatError(f"{self.path}: no list of storages before byte {start}")
        places: dict[str, tuple[int, int]] = {}
        for key in keys:
            if key not in widths:
                raise ModelFormatError(f"{self.path}: nothing refers to storage '{key[:100]}'")
            count = int.from_bytes(self.data[start : start + 8], "little")
            places[key] = start + 8, count * widths[key]
            start += 8 + count * widths[key]
            if start > len(self.data):
                raise ModelFormatError(
                    f"{self.path}: storage '{key[:100]}' ends at byte {start}; "
                    f"the file has {len(self.data)}"
                )

        def find(storage: _Storage) -> tuple[int, int]:
            if storage.key not in places:
                raise ModelFormatError(f"{self.path}: storage '{storage.key[:100]}' is missing")
            return places[storage.key]

        self._place_all(root, "<" if little else ">", find)

    # Both -----------------------------------------------------------------------------------------

    def _place_all(
        self, root: object, order: str, find: Callable[[_Storage], tuple[int, int]]
    ) -> None:
        """Place the tensors of the state dict; `find` gives a storage's first byte and bytes."""
        for name, tensor in self._state_dict(root).items():
            storage = tensor.storage
            dtype = _dtype(storage, order)
            start, size = find(storage)
            self.place(
                name,
                start + dtype.itemsize * (storage.first + tensor.offset),
                tensor.shape,
                dtype,
                strides=tensor.strides,
                end=start + size,
                bfloat16=storage.dtype == "bfloat16",
            )

    def _state_dict(self, root: object) -> dict[str, _Tensor]:
        for wrapper in _WRAPPERS:
            if isinstance(root, dict) and isinstance(root.get(wrapper), dict):
                root = root[wrapper]
        if not isinstance(root, dict):
            raise ModelFormatError(f"{self.path}: a {type(root).__name__}, not a state dict")
        found = {
            name: value
            for name, value in root.items()
            if isinstance(name, str) and isinstance(value, _Tensor)
        }
        if not found:
            keys = ", ".join(str(key)[:40] for key in list(root)[:10])
            raise ModelFormatError(f"{self.path}: no tensors in the dict of {keys or 'nothing'}")
        return found


def _dtype(storage: _Storage, order: str = "<") -> np.dtype[np.generic]:
    return np.dtype(order + ("u2" if storage.dtype == "bfloat16" else storage.dtype))


def _base(name: str) -> str:
    return name.rpartition("/")[2]
