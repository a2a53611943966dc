"""Whole networks beside PyTorch: the same weights, the same NumPy batch in, NumPy logits out.

Each engine has a process of its own and they take turns, A B A B, the other asleep; a turn's first
run does not count. In one process the engines' threads disturb each other. Ratios of one turn are
what counts on a shared machine.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pycnn
from benchmarks.timing import repeat, summarize
from pycnn.models import names

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from alive import randomise
from torch_networks import build, weights

NETWORKS = [
    *("lenet5", "alexnet", "nin", "inception_v1", "vgg16", "resnet18", "resnet50", "resnet152")
]
LOGITS_TOLERANCE = 1e-4  # of the largest logit
RUNS_AT_LEAST = 3
ENGINES = ("pycnn", "torch")

HEAD = (
    f"{'network':<14}{'batch':>6}{'threads':>8}{'pycnn ms':>11}{'p90':>10}{'min':>10}"
    f"{'torch ms':>11}{'p90':>10}{'min':>10}{'ratio':>8}{'GFLOP/s':>9}"
)


class WrongResult(Exception):
    """The engines disagree: their times mean nothing."""


class UnknownNetwork(Exception):
    """No network of this name."""


@dataclass(frozen=True)
class Turns:
    """How often each engine has its turn, its rest before, and how long it runs."""

    count: int
    pause_s: float
    turn_s: float


@dataclass(frozen=True)
class Result:
    """One network at one batch and number of threads; `ratio` is pycnn's time over torch's."""

    network: str
    batch: int
    threads: int
    pycnn: dict[str, float]
    torch: dict[str, float]
    ratio: float  # median over the turns of the ratio of the turn's medians
    gflops: float  # 2 x MACs over pycnn's median
    error: float  # largest difference of a logit, by the largest logit


def torch_engine(name: str) -> tuple[Callable[[Any], Any], dict[str, Any], tuple[int, ...]]:
    """PyTorch's eager best: channels_last, batch norm folded, ReLU in place, results let go.

    Returns its run, the weights, and the shape of an image.
    """
    net = randomise(build(name), seed=0).eval()
    size, arrays = net.input_shape, weights(net)
    modules = {step: module for step, module, _ in net.steps}
    steps: list[tuple[str, torch.nn.Module, tuple[str, ...]]] = []
    stands_for: dict[str, str] = {}
    for step, module, inputs in net.steps:
        producer = modules.get(inputs[0])
        if isinstance(module, torch.nn.BatchNorm2d) and isinstance(producer, torch.nn.Conv2d):
            fused = torch.nn.utils.fuse_conv_bn_eval(producer, module)
            producer.weight, producer.bias = fused.weight, fused.bias
            module = torch.nn.Identity()
        sources = tuple(stands_for.get(source, source) for source in inputs)
        if isinstance(module, torch.nn.Identity | torch.nn.Dropout):
            stands_for[step] = sources[0]
        else:
            steps.append((step, module, sources))
    readers = [source for _, _, sources in steps for source in sources]
    for _, module, sources in steps:
        if isinstance(module, torch.nn.ReLU):
            module.inplace = readers.count(sources[0]) == 1
    last_use = {source: i for i, (_, _, sources) in enumerate(steps) for source in sources}
    net = net.to(memory_format=torch.channels_last)

    def run(x: Any) -> Any:
        with torch.inference_mode():
            batch = torch.from_numpy(x).to(memory_format=torch.channels_last)
            values = {"data": batch}
            for i, (step, module, sources) in enumerate(steps):
                values[step] = module(*(values[source] for source in sources))
                for source in sources:
                    if last_use[source] == i:
                        values.pop(source, None)
            return values[step].numpy()

    return run, arrays, size


def pycnn_engine(name: str, arrays: dict[str, Any], threads: int) -> Callable[[Any], Any]:
    return pycnn.load(name, weights=arrays, threads=threads).run


def serve(connection: Connection, engine: str, name: str, batch: int, threads: int) -> None:
    """One engine in a process of its own: sends its logits, then times of runs when asked."""
    torch.set_num_threads(threads)
    run, arrays, size = torch_engine(name)
    if engine == "pycnn":
        run = pycnn_engine(name, arrays, threads)
    x = np.random.default_rng(0).standard_normal((batch, *size), np.float32)
    connection.send(run(x))
    while (turn_s := connection.recv()) is not None:
        run(x)
        connection.send(repeat(lambda: run(x), turn_s, RUNS_AT_LEAST))


def measure(name: str, batch: int, threads: int, turns: Turns) -> Result:
    """Check the engines against each other, then time them in turn."""
    if name not in names():
        raise UnknownNetwork(f"no network '{name}'; there are {', '.join(names())}")
    context = multiprocessing.get_context("spawn")
    connections: dict[str, Connection] = {}
    for engine in ENGINES:
        connections[engine], theirs = context.Pipe()
        arguments = (theirs, engine, name, batch, threads)
        context.Process(target=serve, args=arguments, daemon=True).start()
    try:
        logits = {engine: connection.recv() for engine, connection in connections.items()}
        difference = np.abs(logits["pycnn"] - logits["torch"]).max()
        error = float(difference / np.abs(logits["torch"]).max())
        if not error <= LOGITS_TOLERANCE:
            raise WrongResult(f"{name}: logits differ by {error:.1e} of the largest")
        seconds: dict[str, list[list[float]]] = {engine: [] for engine in ENGINES}
        for _ in range(turns.count):
            for engine, connection in connections.items():
                time.sleep(turns.pause_s)
                connection.send(turns.turn_s)
                seconds[engine].append(connection.recv())
    finally:
        for connection in connections.values():
            connection.send(None)
    ratios = [
        statistics.median(a) / statistics.median(b)
        for a, b in zip(seconds["pycnn"], seconds["torch"], strict=True)
    ]
    found = {
        engine: asdict(summarize([s for turn in all_turns for s in turn]))
        for engine, all_turns in seconds.items()
    }
    macs = pycnn.load(name, weights="random").summary(batch).macs
    return Result(
        *(name, batch, threads, found["pycnn"], found["torch"]),
        ratio=statistics.median(ratios),
        gflops=2e-6 * macs / found["pycnn"]["median_ms"],
        error=error,
    )


def line(r: Result) -> str:
    columns = "".join(
        f"{t['median_ms']:>11.3f}{t['p90_ms']:>10.3f}{t['min_ms']:>10.3f}"
        for t in (r.pycnn, r.torch)
    )
    return f"{r.network:<14}{r.batch:>6}{r.threads:>8}{columns}{r.ratio:>8.2f}{r.gflops:>9.1f}"


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [asdict(result) for result in results]


def markdown(results: Sequence[Result], heading: str, turns: Turns) -> str:
    rows = "\n".join(
        f"| {r.network} | {r.batch} | {r.threads} "
        f"| {r.pycnn['median_ms']:.2f} / {r.pycnn['p90_ms']:.2f} / {r.pycnn['min_ms']:.2f} "
        f"| {r.torch['median_ms']:.2f} / {r.torch['p90_ms']:.2f} / {r.torch['min_ms']:.2f} "
        f"| {r.ratio:.2f} | {r.gflops:.0f} |"
        for r in results
    )
    return (
        f"# Networks beside PyTorch\n\n{heading}\n\n"
        f"NumPy in and out, random weights. Each engine has a process of its own; {turns.count} "
        f"turns of {turns.turn_s} s each, interleaved, {turns.pause_s} s of rest before each. "
        "Milliseconds: median / p90 / minimum. The ratio is pycnn's time over PyTorch's (eager, "
        "channels_last, batch norm folded, ReLU in place), the median over the turns: below 1 "
        "pycnn is ahead. "
        "GFLOP/s are 2 x MACs.\n\n"
        "| network | batch | threads | pycnn ms | PyTorch ms | ratio | GFLOP/s |\n"
        "|---|---|---|---|---|---|---|\n"
        f"{rows}\n"
    )
