"""A cell of the comparison: one network, batch and precision; the engines in turn, A B C A B C."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import pycnn
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.engines import ENGINES, Job, Run
from benchmarks.peers.definitions import Net, network, weights

# Of the largest logit, against float64: more, and the engine computes another network.
ALLOWED = {"float32": 1e-4, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 1e-1}
CHECKED = 2  # images


@dataclass(frozen=True)
class Cell:
    """What is compared."""

    network: str
    batch: int
    dtype: str


@dataclass(frozen=True)
class Turns:
    """How often each engine has its turn, and how long that is."""

    count: int = 5
    turn_s: float = 0.2
    latencies: int = 20  # single calls in a turn


def measure(cell: Cell, engines: Sequence[str], turns: Turns, clock: Clock) -> dict[str, Any]:
    """Milliseconds of a batch by engine, errors, and the ratio to the best of the others."""
    net = network(cell.network)
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(cell.batch, *net.input_shape, generator=generator).to(clock.device)
    reference = _reference(net, x[:CHECKED])
    job = Job(cell.network, net, x, cell.dtype, clock)
    runs: dict[str, Run] = {}
    found: dict[str, Any] = {}
    with torch.inference_mode():
        for name in engines:
            found[name] = {"error": None, "ms": [], "latency_ms": []}
            try:
                run = ENGINES[name](job)
                error = _error(run()[:CHECKED], reference)
            except Exception as failure:  # torch.compile needs what not every machine has
                found[name]["failed"] = f"{type(failure).__name__}: {failure}"
                continue
            found[name]["error"] = error
            if error <= ALLOWED[cell.dtype]:
                runs[name] = run
        calls = {name: clock.calls_for(run, turns.turn_s) for name, run in runs.items()}
        for _ in range(turns.count):
            for name, run in runs.items():
                run()  # a turn's first run wakes caches and clocks
                ms = 1e3 * clock.seconds(run, calls[name]) / calls[name]
                latencies = [clock.latency(run) for _ in range(turns.latencies)]
                found[name]["ms"].append(ms)
                found[name]["latency_ms"].append(1e3 * statistics.median(latencies))
    return {"engines": found, **_compared(found)}


def layers(cell: Cell, runs: int) -> list[dict[str, Any]]:
    """Each step of pycnn's program: its time, and what it computes and moves in it."""
    model = pycnn.load(
        cell.network, weights=weights(network(cell.network)), device="cuda", dtype=cell.dtype
    )
    (size,) = model.graph.inputs.values()
    x = np.random.default_rng(0).standard_normal((cell.batch, *size), np.float32)
    plan = model.compile(cell.batch)
    plan.profile([x])  # touches everything
    profiles = [plan.profile([x]) for _ in range(runs)]
    ms: Counter[str] = Counter()  # by node: some have several steps
    for steps in zip(*profiles, strict=True):
        ms[steps[0][0]] += 1e3 * statistics.median(seconds for _, seconds in steps)
    steps: dict[str, Any] = {}
    for step in plan.layout.steps:  # an output may bear its layer's name: counted with it
        steps.setdefault(step.name, step)
    return [_layer(steps[name], step_ms, plan) for name, step_ms in ms.items()]


def _layer(step: Any, ms: float, plan: Any) -> dict[str, Any]:
    moved = [*step.inputs, step.output]
    bytes_moved = sum(int(np.prod(place.shape)) * _itemsize(place.dtype) for place in moved)
    macs = 0
    if step.choice is not None:
        k, c, r, s = step.choice.weight_shape
        n, _, p, q = step.output.shape
        macs = n * p * q * k * c * r * s
        bytes_moved += k * c * r * s * _itemsize(plan.target.dtype)
    return {
        "name": step.name,
        "op": step.node.op if step.node else "layout",
        "algorithm": step.choice.algorithm if step.choice else None,
        "tile": step.choice.tile if step.choice else None,
        "split_k": step.choice.split_k if step.choice else None,
        "ms": ms,
        "tflops": 2e-9 * macs / ms,
        "gbps": 1e-6 * bytes_moved / ms,
    }


def _itemsize(dtype: str) -> int:
    return 2 if dtype in ("float16", "bfloat16") else 4


def _reference(net: Net, x: torch.Tensor) -> torch.Tensor:
    """Logits in float64, with nothing lost to the precision of an engine."""
    import copy

    with torch.inference_mode():
        exact: torch.Tensor = copy.deepcopy(net).double().to(x.device)(x.double())
    return exact


def _error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    error = float((got.double() - wanted).abs().max() / wanted.abs().max())
    return error if error == error else float("inf")  # NaN is as wrong as can be


def _compared(found: dict[str, Any]) -> dict[str, Any]:
    """pycnn over the best of the others: medians over the turns of the ratios within them."""
    others = [name for name, engine in found.items() if name != "pycnn" and engine["ms"]]
    if not others or not found.get("pycnn", {}).get("ms"):
        return {}
    best = min(others, key=lambda name: statistics.median(found[name]["ms"]))
    return {"best_other": best, **{f"{key}_ratio": _ratio(found, best, key) for key in _KEYS}}


_KEYS = ("ms", "latency_ms")


def _ratio(found: dict[str, Any], other: str, key: str) -> float:
    own = found["pycnn"][key]
    return statistics.median(a / b for a, b in zip(own, found[other][key], strict=True))
