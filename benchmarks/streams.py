"""Streams of augmented images beside torch's DataLoader: images a second, start, memory.

Each case runs in processes of its own, engines in turn. All do the same to the images:
the DataLoader once with torchvision's steps, done as torchvision does them with Pillow and torch,
and once with pycnn's, image by image. A worker is a thread here and a process there.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import DISTURBED, ROOT, OthersBusy
from benchmarks.markdown import table
from pycnn.vision import (
    Augmentation,
    ColorJitter,
    Dataset,
    Mirror,
    Preprocessing,
    RandomCrop,
    RandomResizedCrop,
    Rotate,
    Stream,
    presets,
)
from pycnn.vision.render import Renderer

PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "images"

SMALL = presets.CIFAR10_AKAMASTER
LARGE = presets.TORCHVISION
ENGINES = ("pycnn", "DataLoader", "DataLoader, pycnn's steps")


@dataclass(frozen=True)
class Case:
    """Images, what is done to them, and how many come in an epoch and a batch."""

    title: str
    augmentation: Augmentation
    preprocessing: Preprocessing
    images: int
    batch_size: int


CASES = {
    "cifar": Case(
        "32 x 32 from an array: crop with a border of 4, mirror",
        Augmentation([RandomCrop(32, padding=4), Mirror()]),
        *(SMALL, 10_000, 128),
    ),
    "cifar-more": Case(
        "32 x 32 from an array: crop, mirror, rotation, colour jitter",
        Augmentation([RandomCrop(32, padding=4), Mirror(), Rotate(15), ColorJitter(0.4, 0.4, 0.4)]),
        *(SMALL, 10_000, 128),
    ),
    "photographs": Case(
        "two JPEG files again and again: random resized crop to 224 x 224, mirror",
        Augmentation([RandomResizedCrop(224), Mirror()]),
        *(LARGE, 256, 32),
    ),
}


@dataclass(frozen=True)
class Result:
    """One engine in one case; the median over the turns, memory the largest."""

    case: str
    engine: str
    workers: int
    images_per_s: float
    start_ms: float  # from asking for an epoch to its first batch
    memory_mib: float  # beyond what the process had before, workers and all
    others_cpus: float


def data(case: Case) -> Dataset:
    if case.preprocessing is SMALL:
        images = np.random.default_rng(0).integers(0, 256, (case.images, 32, 32, 3), np.uint8)
        return Dataset(images, np.zeros(case.images, np.int64))
    files = sorted(PHOTOGRAPHS.glob("*.jpg"))
    return Dataset([files[i % len(files)] for i in range(case.images)], np.arange(case.images) % 2)


def measure(workers: Sequence[int], turns: int, cases: Iterable[str] = CASES) -> list[Result]:
    results = []
    for case in cases:
        for count in workers:
            found: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
            others = OthersBusy()
            for _ in range(turns):
                for engine in ENGINES:
                    found[engine].append(_in_a_process(case, engine, count))
            for engine, runs in found.items():
                results.append(
                    Result(
                        *(case, engine, count),
                        statistics.median(run["images_per_s"] for run in runs),
                        statistics.median(run["start_ms"] for run in runs),
                        max(run["memory_mib"] for run in runs),
                        others.cpus(),
                    )
                )
                print(line(results[-1]), flush=True)
    return results


def _in_a_process(case: str, engine: str, workers: int) -> dict[str, float]:
    # PyTorch, on one thread, is loaded by all: whoever trains has it.
    program = (
        "import torch; torch.set_num_threads(1); "
        f"from benchmarks.streams import run; run({case!r}, {engine!r}, {workers})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def run(name: str, engine: str, workers: int) -> None:
    """Three epochs, the first of which tells the start; prints JSON."""
    case = CASES[name]
    images = data(case)
    make = {
        "pycnn": _stream,
        "DataLoader": _torchvision_loader,
        "DataLoader, pycnn's steps": _loader_of_our_steps,
    }[engine]
    memory = _Memory()
    start = time.perf_counter()
    batches = make(case, images, workers)
    seconds = []
    start_s = 0.0
    for epoch in range(3):
        begin = time.perf_counter()
        count = 0
        for batch in batches:
            if epoch == 0 and count == 0:
                start_s = time.perf_counter() - start
            count += len(batch[0])
        assert count == case.images
        seconds.append(time.perf_counter() - begin)
    result = {
        "images_per_s": case.images / min(seconds[1:]),
        "start_ms": 1e3 * start_s,
        "memory_mib": memory.stop() / 2**20,
    }
    print(json.dumps(result))


def _stream(case: Case, images: Dataset, workers: int) -> Iterable[Any]:
    return Stream(
        *(images, case.preprocessing, case.augmentation),
        batch_size=case.batch_size,
        shuffle=True,
        threads=workers,
    )


def _loader_of_our_steps(case: Case, images: Dataset, workers: int) -> Iterable[Any]:
    renderer = Renderer(case.preprocessing, case.augmentation, 0)

    def transform(image: Any, i: int) -> Any:
        out = np.empty((1, *case.preprocessing.shape), np.float32)
        renderer.render(out, [image], np.array([i]), 0)
        return out[0]

    return _loader(case, images, workers, transform)


def _torchvision_loader(case: Case, images: Dataset, workers: int) -> Iterable[Any]:
    import torch

    from benchmarks.torchvision_steps import steps_of

    steps = steps_of(case.augmentation)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in (case.preprocessing.mean, case.preprocessing.std)
    )

    def transform(image: Any, _: int) -> Any:
        from PIL import Image

        if isinstance(image, np.ndarray):
            picture = Image.fromarray(image)
        else:
            with Image.open(image) as opened:
                picture = opened.convert("RGB")
        for step in steps:
            picture = step(picture)
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        return x.to(torch.float32).div(255).sub_(mean).div_(std)

    return _loader(case, images, workers, transform)


def _loader(
    case: Case, images: Dataset, workers: int, transform: Callable[[Any, int], Any]
) -> Iterable[Any]:
    from torch.utils.data import DataLoader

    class Images:
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, i: int) -> Any:
            return transform(images[i], i), int(images.labels[i])

    return DataLoader(
        Images(),  # type: ignore[arg-type]
        batch_size=case.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
    )


class _Memory:
    """Watches the memory of this process and its children: each page divided by its owners."""

    def __init__(self) -> None:
        self._before = self._most = _pss()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            self._most = max(self._most, _pss())

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        return self._most - self._before


def _pss() -> int:
    """Bytes of this process and its children."""
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    total = 0
    for process in (me, *children):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:  # it has ended
            continue
        total += sum(
            int(row.split()[1]) << 10 for row in text.splitlines() if row.startswith("Pss:")
        )
    return total


# Printing -----------------------------------------------------------------------------------------


def line(r: Result) -> str:
    busy = f"; others kept {r.others_cpus:.1f} CPUs busy" if r.others_cpus > DISTURBED else ""
    return (
        f"{r.case}, {r.workers} workers, {r.engine}: {r.images_per_s:.0f} images/s, start "
        f"{r.start_ms:.0f} ms, {r.memory_mib:.0f} MiB{busy}"
    )


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [asdict(result) for result in results]


def markdown(results: Sequence[Result], heading: str) -> str:
    text = ["# Streams of images beside torch's DataLoader", "", heading, "", *_EXPLANATION, ""]
    for name, case in CASES.items():
        own = [r for r in results if r.case == name]
        rows = [
            (str(r.workers), r.engine, f"{r.images_per_s:.0f}", f"{r.start_ms:.0f}")
            + (f"{r.memory_mib:.0f}", f"{r.others_cpus:.1f}")
            for r in own
        ]
        head = ("workers", "engine", "images/s", "start ms", "MiB", "CPUs of others")
        text += [f"## {case.title}", "", *table(head, rows), ""]
    return "\n".join(text)


_EXPLANATION = """\
The consumer does nothing. A worker is a thread of pycnn's and a process of the DataLoader's
(persistent, its other options as they come). The DataLoader runs torchvision's steps, written out
with Pillow and torch as torchvision does them, or pycnn's own, image by image. Images a second are
those of the faster of two epochs after the first; the start is from making the loader to its first
batch; memory is what the process and its workers have beyond what the process had before (PSS).
Medians over the turns, memory the largest.
""".splitlines()
