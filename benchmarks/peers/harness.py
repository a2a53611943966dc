"""Engines in turn, A B C A B C, each in a process of its own, the others asleep.

In one process the engines' threads would disturb each other. A turn's first run does not count: it
wakes threads and caches. On a shared machine only what lies in one turn can be compared, so the
ratio of two engines is the median over the turns of the ratio within each.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import machine
from benchmarks.peers import prepare
from benchmarks.peers.engines import ENGINES, environment
from benchmarks.peers.worker import COMMAND, Start
from benchmarks.timing import Times, summarize

NETWORKS = [
    *("lenet5", "alexnet", "nin", "inception_v1", "vgg16", "vgg19"),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
]
# An engine further than this from PyTorch in float64, by the largest logit, does not count as
# float32. It is what docs/numerics.md promises of pycnn. PyTorch in float32 is up to 2e-5 away on
# these weights, and ncnn's Winograd, which is the peer to beat, up to 8e-5.
FLOAT32 = 1e-4
ALLOWED = 0.5  # nobody may be further away, whatever the precision: that would be another network

Array = npt.NDArray[np.floating[Any]]


class WrongResult(Exception):
    """An engine does not compute the network: its time means nothing."""


@dataclass(frozen=True)
class Turns:
    """How often each engine has its turn, its rest before, and how long it runs.

    At batch 1 `starts` fresh processes of each engine show what loading takes; the last one stays.
    """

    count: int = 3
    pause_s: float = 0.2
    turn_s: float = 0.4
    starts: int = 3


@dataclass(frozen=True)
class Cell:
    """What is compared: the engines at one network, batch and number of threads."""

    network: str
    batch: int
    threads: int
    isa: str


@dataclass(frozen=True)
class Measured:
    """One engine in a cell."""

    version: str
    error: float  # largest difference of a logit from PyTorch in float64, by the largest logit
    float32: bool  # asked for, and near enough
    times: Times  # of all turns together
    turn_median_ms: list[float]
    turn_min_ms: list[float]
    import_ms: float  # these four are medians over fresh processes
    load_ms: float
    first_run_ms: float
    start_ms: float  # load and first run
    peak_bytes: int


@dataclass(frozen=True)
class Comparison:
    """The engines of a cell, and how many CPUs others kept busy meanwhile, on average."""

    engines: dict[str, Measured]
    others_cpus: float


class Worker:
    """An engine's process; a context manager that ends it."""

    def __init__(self, engine: str, cell: Cell, folder: Path) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            arguments = (engine, folder, cell.batch, cell.threads, theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *map(str, arguments)],
                env=environment(engine, cell.threads, cell.isa),
                pass_fds=[theirs.fileno()],
                stdout=subprocess.DEVNULL,  # some engines print
            )
        self._engine = engine

    def start(self) -> Start:
        return self._receive()

    def turn(self, seconds: float) -> list[float]:
        self._connection.send(seconds)
        return self._receive()

    def close(self) -> None:
        with self._connection:
            if self._process.poll() is None:
                self._connection.send(None)
        self._process.wait()

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            code = self._process.wait()
            raise WrongResult(f"{self._engine} ended with {code} before it answered") from None


def measure(cell: Cell, engines: Sequence[str], turns: Turns) -> Comparison:
    """Start every engine, compare its logits with PyTorch's, then time all in turn."""
    others = machine.OthersBusy()
    measured = _measure(cell, engines, turns)
    return Comparison(measured, others.cpus())


def _measure(cell: Cell, engines: Sequence[str], turns: Turns) -> dict[str, Measured]:
    folder = prepare.folder(cell.network, {ENGINES[name].file for name in engines})
    exact = np.load(folder / prepare.LOGITS)[: cell.batch]
    workers: dict[str, Worker] = {}
    starts: dict[str, list[Start]] = {name: [] for name in engines}
    seconds: dict[str, list[list[float]]] = {name: [] for name in engines}
    try:
        for _ in range(turns.starts if cell.batch == 1 else 1):
            for name in engines:
                if name in workers:
                    workers.pop(name).close()
                time.sleep(turns.pause_s)
                workers[name] = Worker(name, cell, folder)
                starts[name].append(workers[name].start())
        errors = {name: _error(name, cell, starts[name][-1].logits, exact) for name in engines}
        for _ in range(turns.count):
            for name, worker in workers.items():
                time.sleep(turns.pause_s)
                seconds[name].append(worker.turn(turns.turn_s))
    finally:
        for worker in workers.values():
            worker.close()
    return {name: _measured(name, errors[name], starts[name], seconds[name]) for name in engines}


def _error(name: str, cell: Cell, logits: Array, exact: Array) -> float:
    """Largest difference of a logit, by the largest logit."""
    error = float(np.abs(logits - exact).max() / np.abs(exact).max())
    if not error <= (FLOAT32 if name == "pycnn" else ALLOWED):
        raise WrongResult(
            f"{cell.network}, batch {cell.batch}: the logits of {name} differ from PyTorch's by "
            f"{error:.1e} of the largest"
        )
    return error


def _measured(
    name: str, error: float, starts: Sequence[Start], seconds: Sequence[Sequence[float]]
) -> Measured:
    return Measured(
        version=metadata.version(ENGINES[name].distribution),
        error=error,
        float32=ENGINES[name].float32 and error <= FLOAT32,
        times=summarize([s for turn in seconds for s in turn]),
        turn_median_ms=[1e3 * statistics.median(turn) for turn in seconds],
        turn_min_ms=[1e3 * min(turn) for turn in seconds],
        import_ms=statistics.median(start.import_ms for start in starts),
        load_ms=statistics.median(start.load_ms for start in starts),
        first_run_ms=statistics.median(start.first_run_ms for start in starts),
        start_ms=statistics.median(start.load_ms + start.first_run_ms for start in starts),
        peak_bytes=round(statistics.median(start.peak_bytes for start in starts)),
    )
