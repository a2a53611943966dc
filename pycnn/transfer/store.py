"""Rows of features on disk: computed once, kept whatever happens to the process that computes.

A store is a folder named by the hash of everything its values depend on but the images (its
facts); inside, a row is found by the hash of the image it was computed from. So a store is never
stale: other weights make another folder, a changed image is another row, and a larger set of
images reuses the rows of a smaller one.

``rows`` holds the values, float32, one row after another. ``index`` is a log of records, one for
each row in the same order: digest of the image, CRC-32 of the row, CRC-32 of these two. A record
is written after its row is on the disk. So whatever a kill or a full disk cuts off is a tail that
nothing refers to, and the next writer overwrites it. Values go to the disk by ``pwrite``, where a
full disk is an error, not by the mapping, where it would be the process's death.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import StoreError
from pycnn.formats.writing import replacing
from pycnn.opset import Array

__all__ = ["DIGEST_BYTES", "FeatureStore", "named"]

DIGEST_BYTES = 24

_RECORD = np.dtype([("digest", f"S{DIGEST_BYTES}"), ("row_crc", "<u4"), ("crc", "<u4")])


def named(facts: Mapping[str, Any]) -> tuple[str, str]:
    """The name of what depends on these facts alone, and the facts as JSON."""
    text = json.dumps(facts, indent=2, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32], text


class FeatureStore:
    """Rows of one shape, by the digest of an image.

    Any number of processes may use one folder at a time: they write in turns, under a lock that
    the system lets go when its holder dies.

    Parameters
    ----------
    root : path
        The folder of all stores; made where it is missing.
    facts : mapping
        What the values depend on, as JSON knows it. Its hash names the store's own folder.
    shape : tuple of int
        Of a row.

    Raises
    ------
    StoreError
        The folder cannot be made or read, or holds something else than it should.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = FeatureStore(folder.name, {"weights": "some hash"}, (2,))
    >>> cat, dog = b"c" * DIGEST_BYTES, b"d" * DIGEST_BYTES
    >>> with store.writing():
    ...     store.append([cat], np.array([[1, 2]], np.float32))
    >>> store.find([cat, dog]).tolist()
    [0, -1]
    >>> store.rows[0].tolist()
    [1.0, 2.0]
    """

    def __init__(
        self, root: str | os.PathLike[str], facts: Mapping[str, Any], shape: Sequence[int]
    ) -> None:
        self.shape = tuple(shape)
        self.row_bytes = 4 * math.prod(self.shape)
        name, text = named({**facts, "shape": list(self.shape)})
        self.folder = Path(root) / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_facts(text)
            for name in ("rows", "index"):
                (self.folder / name).touch()
        except OSError as error:
            raise StoreError(f"the feature store {self.folder} cannot be opened: {error}") from None
        self._positions: dict[bytes, int] = {}
        self._records = 0  # of the index that were read
        self._rows: npt.NDArray[np.float32] | None = None
        self.refresh()

    def _check_facts(self, text: str) -> None:
        path = self.folder / "facts.json"
        if not path.exists():
            with replacing(path) as file:
                file.write(text.encode())
        elif path.read_text(encoding="utf-8", errors="replace") != text:
            raise StoreError(f"{path} does not say what this store is for; remove {self.folder}")

    def __len__(self) -> int:
        """How many images have a row."""
        return len(self._positions)

    # Reading --------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take note of what was added since, by whatever process."""
        try:
            with open(self.folder / "index", "rb") as file:
                file.seek(self._records * _RECORD.itemsize)
                added = file.read()
            rows = (self.folder / "rows").stat().st_size // self.row_bytes
        except OSError as error:
            raise StoreError(f"the feature store {self.folder} cannot be read: {error}") from None
        count = min(len(added) // _RECORD.itemsize, rows - self._records)
        size = _RECORD.itemsize
        for i in range(count):
            record = added[i * size : (i + 1) * size]
            if zlib.crc32(record[:-4]) == int.from_bytes(record[-4:], "little"):
                self._positions[record[:DIGEST_BYTES]] = self._records + i
        self._records += max(count, 0)

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        """All rows, ``(rows, *shape)``: a read-only mapping of the file."""
        if self._rows is None or len(self._rows) != self._records:
            if self._records == 0:
                return np.empty((0, *self.shape), np.float32)
            try:
                self._rows = np.memmap(
                    self.folder / "rows", np.float32, "r", shape=(self._records, *self.shape)
                )
            except (OSError, ValueError) as error:
                raise StoreError(f"{self.folder / 'rows'} cannot be mapped: {error}") from None
        return self._rows

    def find(self, digests: Iterable[bytes]) -> npt.NDArray[np.int64]:
        """Position in `rows` of each image, -1 where there is none."""
        return np.array([self._positions.get(digest, -1) for digest in digests], np.int64)

    def drop_damaged(self, digests: Iterable[bytes]) -> int:
        """Forget those of the rows whose values are not what was written; return their number."""
        try:
            index = np.fromfile(self.folder / "index", _RECORD, self._records)
        except OSError as error:
            raise StoreError(f"the feature store {self.folder} cannot be read: {error}") from None
        rows = self.rows
        damaged = [
            digest
            for digest in self._positions.keys() & set(digests)
            if zlib.crc32(np.ascontiguousarray(rows[self._positions[digest]]).data)
            != index["row_crc"][self._positions[digest]]
        ]
        for digest in damaged:
            del self._positions[digest]
        return len(damaged)

    # Writing --------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock, with what others wrote before taken note of. One turn at a time."""
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(
                f"the feature store {self.folder} cannot be written: {error}"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refresh()
            yield
        finally:
            os.close(lock)

    def append(self, digests: Sequence[bytes], rows: Array) -> None:
        """Add rows, within :meth:`writing`; they are on the disk when it returns.

        Raises
        ------
        StoreError
            The disk is full or fails. What was added by earlier calls is kept.
        """
        values = np.ascontiguousarray(rows, np.float32).reshape(len(digests), -1)
        records = b"".join(
            _record(digest, row) for digest, row in zip(digests, values, strict=True)
        )
        try:
            for name, data, start in (
                ("rows", values.tobytes(), self._records * self.row_bytes),
                ("index", records, self._records * _RECORD.itemsize),
            ):
                _write(self.folder / name, data, start)
        except OSError as error:
            raise StoreError(
                f"the feature store {self.folder} cannot be written: {error.strerror}. "
                f"Its {len(self)} rows of {self.row_bytes} bytes are kept, and the next call goes "
                "on from there; make room, or give another folder as store="
            ) from None
        self.refresh()


def _record(digest: bytes, row: npt.NDArray[np.float32]) -> bytes:
    body = digest + zlib.crc32(row.data).to_bytes(4, "little")
    return body + zlib.crc32(body).to_bytes(4, "little")


def _write(path: Path, data: bytes, start: int) -> None:
    """Write from `start` on, cut off what lies behind, and wait for the disk."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(file, start)
        view = memoryview(data)
        while view:
            written = os.pwrite(file, view, start)
            view, start = view[written:], start + written
        os.fsync(file)
    finally:
        os.close(file)
