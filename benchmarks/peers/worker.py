"""One engine in its process: `python -c COMMAND ENGINE FOLDER BATCH THREADS FD`.

Imports nothing but NumPy and the engine, so that peak memory and time to the first result are the
engine's own. Talks with harness.py over the file descriptor.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.peers import prepare
from benchmarks.peers.engines import ENGINES
from benchmarks.timing import repeat

RUNS_AT_LEAST = 1
COMMAND = "from benchmarks.peers import worker; worker.main()"


@dataclass(frozen=True)
class Start:
    """What a fresh process took until its first result. Import is apart."""

    import_ms: float
    load_ms: float
    first_run_ms: float
    peak_bytes: int
    logits: npt.NDArray[np.float32]


def main() -> None:
    engine, where, batch, threads, fd = sys.argv[1:]
    with Connection(int(fd)) as connection:
        serve(engine, Path(where), int(batch), int(threads), connection)


def serve(engine: str, folder: Path, batch: int, threads: int, connection: Connection) -> None:
    """Send how the engine started, then the seconds of runs for each turn asked for."""
    x = np.load(folder / prepare.INPUT, mmap_mode="r")[:batch].copy()
    moments = [time.perf_counter()]
    open_file = ENGINES[engine].load()
    moments.append(time.perf_counter())
    run = open_file(folder / ENGINES[engine].file, batch, threads)
    moments.append(time.perf_counter())
    logits = run(x)
    moments.append(time.perf_counter())
    ms = [1e3 * (b - a) for a, b in itertools.pairwise(moments)]
    connection.send(Start(*ms, peak_bytes(), logits))
    while (turn_s := connection.recv()) is not None:
        run(x)  # wakes what slept; does not count
        connection.send(repeat(lambda: run(x), turn_s, RUNS_AT_LEAST))


def peak_bytes() -> int:
    """The most memory that this process had resident, mapped files included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/self/status has no VmHWM")
