"""Threads that make batches ahead of whoever takes them, in order and with bounded memory."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pycnn.errors import ImageError

__all__ = ["Making", "Slot", "Times"]

Floats = npt.NDArray[np.float32]
Fill: TypeAlias = Callable[
    [Floats, npt.NDArray[np.int64], Callable[[], bool]], dict[int, ImageError]
]


@dataclass
class Slot:
    """A batch in the making."""

    rows: npt.NDArray[np.int64]  # places in the data set
    images: Floats
    missing: int  # rows not made yet
    failed: dict[int, ImageError] = field(default_factory=dict)  # by row


@dataclass
class Times:
    """Seconds, summed over the threads."""

    busy_s: float = 0.0
    waited_s: float = 0.0  # of whoever takes them


class Making:
    """The batches of one epoch, made by threads; the owner takes them one by one, then closes it.

    Parameters
    ----------
    batches : list of (n,) int64
        The places of each batch's images in the data set.
    shape : (C, H, W)
    fill : callable
        ``fill(images, rows, closed)`` writes the images at these places, and gives what failed, by
        row. Several threads call it at a time, each with rows of its own. Where ``closed()`` turns
        true it may leave the rest out.
    unit : int
        Rows that one call fills.
    threads, ahead : int
        How many threads; how many batches may be ready or in the making.
    times : Times
        What time went into is added here.
    """

    def __init__(
        self,
        batches: list[npt.NDArray[np.int64]],
        shape: tuple[int, int, int],
        fill: Fill,
        *,
        unit: int,
        threads: int,
        ahead: int,
        times: Times,
    ) -> None:
        self._times = times
        self._batches = batches
        self._shape = shape
        self._fill = fill
        self._unit = unit
        self._ahead = ahead
        self._slots: dict[int, Slot] = {}
        self._taken = 0
        self._units = self._each_unit()
        self._next_batch = 0
        self._error: BaseException | None = None
        self._closed = False
        # The garbage collector may close this in a thread that holds the lock: it is reentrant.
        self._changed = threading.Condition(threading.RLock())
        self._threads = [
            threading.Thread(target=self._work, name=f"pycnn-image-{i}", daemon=True)
            for i in range(threads)
        ]
        _open.add(self)
        for thread in self._threads:
            thread.start()

    def take(self) -> Slot | None:
        """The next batch, when it is whole; None once this is closed.

        What went wrong in a thread is raised here.
        """
        start = time.perf_counter()
        with self._changed:
            self._changed.wait_for(self._is_ready)
            self._times.waited_s += time.perf_counter() - start
            if self._error is not None:
                raise self._error
            if self._closed:
                return None
            slot = self._slots.pop(self._taken)
            self._taken += 1
            self._changed.notify_all()
        return slot

    def close(self, timeout: float | None = None) -> None:
        """End the threads, each after the image it is at; wait for them, if long, so many seconds.

        One of the threads itself, in which the garbage collector found a loop that nobody goes on
        with, does not wait: they end when it goes on.
        """
        with self._changed:
            self._closed = True
            self._slots.clear()
            self._changed.notify_all()
        if threading.current_thread() in self._threads:
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        _open.discard(self)

    def abandon(self) -> None:
        """In a forked process, which has neither the threads nor whoever may hold the lock."""
        self._changed = threading.Condition(threading.RLock())
        self._threads = []
        self._closed = True
        self._error = RuntimeError(
            "a loop over a stream does not go on in a forked process: begin a new one there"
        )

    def _is_closed(self) -> bool:
        return self._closed

    def _is_ready(self) -> bool:
        slot = self._slots.get(self._taken)
        return self._closed or (slot is not None and slot.missing == 0)

    def _each_unit(self) -> Iterator[tuple[Slot, int, int]]:
        """Slot, first and last row of each call, in order; a slot is made when it is begun."""
        for number, rows in enumerate(self._batches):
            slot = Slot(rows, np.empty((len(rows), *self._shape), np.float32), len(rows))
            self._slots[number] = slot
            for start in range(0, len(rows), self._unit):
                last = start + self._unit >= len(rows)
                self._next_batch = number + last
                yield slot, start, min(start + self._unit, len(rows))

    def _has_room(self) -> bool:
        return self._closed or self._next_batch < self._taken + self._ahead

    def _next_unit(self) -> tuple[Slot, int, int] | None:
        """Wait for room and take a unit; None when there is nothing left to do."""
        with self._changed:
            self._changed.wait_for(self._has_room)
            return None if self._closed else next(self._units, None)

    def _work(self) -> None:
        try:
            while (unit := self._next_unit()) is not None:
                self._make(*unit)
        except BaseException as error:  # whoever takes the batches is told
            with self._changed:
                self._error, self._closed = error, True
                self._changed.notify_all()

    def _make(self, slot: Slot, first: int, last: int) -> None:
        start = time.perf_counter()
        failed = self._fill(slot.images[first:last], slot.rows[first:last], self._is_closed)
        with self._changed:
            self._times.busy_s += time.perf_counter() - start
            slot.failed.update({first + row: error for row, error in failed.items()})
            slot.missing -= last - first
            if slot.missing == 0:
                self._changed.notify_all()


# A stream may still be open when the interpreter ends; its threads should not run on then.
_open: weakref.WeakSet[Making] = weakref.WeakSet()
_EXIT_S = 10.0


@atexit.register
def _close_all() -> None:
    for making in list(_open):
        making.close(_EXIT_S)


def _abandon_all() -> None:
    for making in list(_open):
        making.abandon()
    _open.clear()


os.register_at_fork(after_in_child=_abandon_all)
