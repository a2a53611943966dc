"""Damaged files: a corpus of mutations aimed at lengths, dimensions and offsets.

    for data in mutations(seeds, count=2000, seed=0): ...

Every mutation is of one of the good files given, by a generator of that seed alone, so a failure
repeats. `survives` opens each and says what must hold of any file whatsoever.
"""

from __future__ import annotations

import contextlib
import os
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pycnn import PycnnError

# Values at which sizes go wrong: signs, overflows, just beyond.
EDGES = (
    *(0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 53) + 1),
    *(0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF),
)
DIGITS = b"0123456789"


def mutations(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` damaged files, in turn of each of the good ones."""
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        data = seeds[i % len(seeds)]
        for _ in range(1 + int(rng.integers(3))):
            data = STEPS[int(rng.integers(len(STEPS)))](data, rng)
        yield data


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Mostly near the ends, where headers and directories are; else anywhere."""
    if len(data) > 600 and rng.random() < 0.7:
        near = int(rng.integers(600))
        return near if rng.random() < 0.6 else len(data) - 1 - near
    return int(rng.integers(max(1, len(data))))


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return (
        data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
        if data
        else data
    )


def set_byte(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.bytes(1) + data[at + 1 :]


def set_number(data: bytes, rng: np.random.Generator) -> bytes:
    """A 16, 32 or 64-bit number, of either byte order, becomes an edge, or moves a little."""
    code = "HIQ"[int(rng.integers(3))]
    order = "<>"[int(rng.integers(2))]
    size = struct.calcsize(order + code)
    if len(data) < size:
        return data
    at = min(_place(data, rng), len(data) - size)
    (value,) = struct.unpack_from(order + code, data, at)
    new = EDGES[int(rng.integers(len(EDGES)))]
    if rng.random() < 0.4:
        new = value + int(rng.integers(-4, 5))
    return data[:at] + struct.pack(order + code, new % (1 << 8 * size)) + data[at + size :]


def set_varint(data: bytes, rng: np.random.Generator) -> bytes:
    """A number of protobuf becomes another one, of another length."""
    at = _place(data, rng)
    end = at
    while end < len(data) and data[end] & 0x80 and end < at + 9:
        end += 1
    return data[:at] + varint(EDGES[int(rng.integers(len(EDGES)))]) + data[end + 1 :]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def set_decimal(data: bytes, rng: np.random.Generator) -> bytes:
    """A number in decimal digits, of JSON, npy's header or a prototxt, becomes an edge."""
    at = start = _place(data, rng)
    for _ in range(4000):
        if start < len(data) and data[start] in DIGITS:
            break
        start = (start + 1) % max(1, len(data))
    else:
        return data
    at = start
    while at < len(data) and data[at] in DIGITS:
        at += 1
    new = str(EDGES[int(rng.integers(len(EDGES)))])
    return data[:start] + (b"-" if rng.random() < 0.2 else b"") + new.encode() + data[at:]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: _place(data, rng)]


def remove(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + 1 + int(rng.integers(16)) :]


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    part = data[at : at + 1 + int(rng.integers(64))]
    return data[:at] + part * (1 + int(rng.integers(4))) + data[at:]


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.bytes(1 + int(rng.integers(8))) + data[at:]


def swap(data: bytes, rng: np.random.Generator) -> bytes:
    """Two parts of a file change places."""
    size = 1 + int(rng.integers(32))
    a, b = sorted((_place(data, rng), _place(data, rng)))
    if b - a < size or b + size > len(data):
        return data
    return (
        data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]
    )


STEPS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    *(flip, set_byte, cut, remove, repeat, insert, swap),
    *(set_number, set_number, set_number, set_varint, set_varint, set_decimal, set_decimal),
)


class _Watch:
    """What is opened or started while it is on; an audit hook cannot be taken away again."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            # Modules are imported when they are first needed.
            name = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else ""
            if name and not name.endswith((".py", ".pyc", ".so")):
                self.seen.append(name)
        elif event.startswith(("subprocess.", "os.exec", "os.system", "socket.", "os.posix_spawn")):
            self.seen.append(event)


_watch = _Watch()

MAX_BYTES = 1 << 24  # what the files may take; the good ones take less
SLOW_S = 5.0  # far more than any takes, also on a busy machine (of CPU time)
SPARE_BYTES = 1 << 30  # of address space, beyond what the process has


def survives(read: Callable[[Path, int], None], path: Path, data: bytes) -> str:
    """Read a file as it may come: a PycnnError, or nothing, but no other error, hang or bomb.

    Nor may another file be opened, or anything be started.

    Returns
    -------
    str
        "read", or the name of the error.
    """
    path.write_bytes(data)
    start = time.process_time()
    _watch.seen.clear()
    try:
        with address_space(SPARE_BYTES):
            _watch.on = True
            read(path, MAX_BYTES)
        outcome = "read"
    except PycnnError as error:
        assert path.name in str(error), f"the message names no file: {error}"
        outcome = type(error).__name__
    finally:
        _watch.on = False
    assert set(_watch.seen) <= {str(path)}, f"opened or started {_watch.seen}"
    seconds = time.process_time() - start
    assert seconds < SLOW_S, f"{seconds:.1f} s"
    return outcome


@contextlib.contextmanager
def address_space(spare: int) -> Iterator[None]:
    """More than `spare` bytes of new memory are a MemoryError."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
