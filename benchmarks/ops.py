"""Time of each op at each shape of benchmarks/shapes: the kernel alone, without layout conversions.

A measurement is one `Program` of equal tasks, as a network is one of different tasks. Each task
has its own copy of input, weights and output, and the copies together are twice the L2 of all
threads, so that no task finds its data in L2; in L3 it may. What comes out is the time of the
program by the number of its tasks. Before that, one task's result is compared with torch in
float64.

The *roof* of a layer is the larger of its multiply-adds at the compute peak and its bytes (each
tensor read or written once) at the memory peak; *share* is the roof's time over the measured time.
It can exceed 1 where the data is in L3, and with Winograd, which multiplies less.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from benchmarks import machine
from benchmarks.markdown import table
from benchmarks.timing import Times, repeat, seconds_of, summarize
from pycnn import _core
from pycnn.errors import ShapeError, UnsupportedError
from pycnn.opset import OPS, Shape

SHAPES = Path(__file__).with_name("shapes")
NAMES = ("conv2d", "linear", "pool2d", "lrn", "add", "softmax", "concat")

# Relative RMS error that each algorithm of conv2d may have; None: 2e-8 sqrt(C R S), at least 3e-7.
ALGORITHMS: dict[str, float | None] = {
    **dict.fromkeys(("direct", "gemm", "depthwise", "grouped")),
    "winograd_f2x2_3x3": 1e-6,
    "winograd_f4x4_3x3": 3e-6,
    "winograd_f2x2_5x5": 3e-6,
    "winograd_f5x5_3x3": 1e-5,
    "winograd_f6x6_3x3": 1e-5,
    "winograd_f4x4_5x5": 1e-5,
    "winograd_f4x4_3x3_stride2": 3e-6,
    "winograd_f4x4_3x3_plain": 3e-6,
    "winograd_f5x5_3x3_plain": 1e-5,
}

MAX_COPIES = 1024  # of a task, for the tiniest
MIN_PROGRAM_S = 0.5e-3  # so that entering and leaving the program does not count
MIN_WORK_PER_THREAD = 2_000_000  # so that the executor takes all threads, as in a larger network
REST_S = 0.02  # after torch, whose threads spin on for a while
SLOW = 10.0  # an algorithm this many times slower than the chosen one is timed once

Array = npt.NDArray[np.float32]
Tensors = Sequence[torch.Tensor]


@dataclass(frozen=True)
class Case:
    """One row of a table of shapes, ready to run."""

    table: str  # conv2d, pool2d, ...
    row: dict[str, str]
    text: str  # the geometry, for people
    op: str  # name in pycnn.opset.OPS
    attrs: dict[str, Any]
    inputs: list[Shape]
    params: dict[str, tuple[int, ...]]
    reference: Callable[[Tensors, dict[str, torch.Tensor]], torch.Tensor]
    plain_input: bool = False

    @property
    def output(self) -> Shape:
        return OPS[self.op].output_shape(self.attrs, self.inputs, self.params)

    @property
    def macs(self) -> int:
        return OPS[self.op].macs(self.attrs, self.params, self.output)

    @property
    def bytes(self) -> int:
        """Of every tensor, once."""
        return 4 * sum(math.prod(s) for s in (*self.inputs, *self.params.values(), self.output))


@dataclass(frozen=True)
class Result:
    """One measurement; `share` is of the roof, None where the peaks are unknown."""

    op: str
    networks: str
    layer: str
    geometry: str
    algorithm: str
    chosen: bool  # what algorithm="auto" takes
    isa: str
    threads: int
    macs: int
    bytes: int
    copies: int
    relative_rms: float
    times: Times
    gflops: float = field(init=False)
    gbps: float = field(init=False)
    roof_ms: float | None
    share: float | None = field(init=False)

    def __post_init__(self) -> None:
        ms = self.times.median_ms
        object.__setattr__(self, "gflops", 2e-6 * self.macs / ms)
        object.__setattr__(self, "gbps", 1e-6 * self.bytes / ms)
        object.__setattr__(self, "share", self.roof_ms / ms if self.roof_ms is not None else None)


# The rows -----------------------------------------------------------------------------------------


def cases(table: str, network: str | None) -> Iterator[Case]:
    """The rows of a table, or those that a network uses."""
    with (SHAPES / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if network is None or network in uses(row["networks"]):
                yield _MAKERS[table](row)


def uses(networks: str) -> dict[str, int]:
    """How often each network has the shape: "resnet18:2 resnet34:3" as a dict."""
    return {name: int(n) for name, _, n in (entry.partition(":") for entry in networks.split())}


def _size(row: dict[str, str]) -> Shape:
    return (1, int(row["c"]), int(row["h"]), int(row["w"]))


def _sides(row: dict[str, str]) -> tuple[int, int, int, int]:
    top, bottom, left, right = (int(row[f"pad_{s}"]) for s in ("top", "bottom", "left", "right"))
    return (top, bottom, left, right)


def _pair(row: dict[str, str], name: str) -> tuple[int, int]:
    return (int(row[f"{name}_h"]), int(row[f"{name}_w"]))


def _dims(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape[1:]))


def _relu(y: torch.Tensor, attrs: dict[str, Any]) -> torch.Tensor:
    return y.relu() if attrs["relu"] else y


def _conv2d(row: dict[str, str]) -> Case:
    x = _size(row)
    k, r, s, groups = (int(row[name]) for name in ("k", "r", "s", "groups"))
    attrs = {
        "stride": _pair(row, "stride"),
        "padding": _sides(row),
        "dilation": _pair(row, "dilation"),
        "groups": groups,
        "relu": row["relu"] == "1",
    }
    params = {"weight": (k, x[1] // groups, r, s), "bias": (k,)}
    y = OPS["conv2d"].output_shape(attrs, [x], params)
    residual = row["residual"] == "1"

    def reference(xs: Tensors, p: dict[str, torch.Tensor]) -> torch.Tensor:
        top, bottom, left, right = attrs["padding"]
        padded = F.pad(xs[0], (left, right, top, bottom))
        shape = {name: attrs[name] for name in ("stride", "dilation", "groups")}
        found = F.conv2d(padded, p["weight"], p["bias"], **shape)
        return _relu(found + xs[1] if residual else found, attrs)

    text = f"{_dims(x)} -> {k}, {r}x{s}"
    text += f" stride {row['stride_h']}" if attrs["stride"] != (1, 1) else ""
    text += f" pad {row['pad_top']}" if any(attrs["padding"]) else ""
    text += f" groups {groups}" if groups > 1 else ""
    text += " + residual" if residual else ""
    inputs = [x, y] if residual else [x]
    plain = row["plain_input"] == "1"
    return Case("conv2d", row, text, "conv2d", attrs, inputs, params, reference, plain)


def _linear(row: dict[str, str]) -> Case:
    c, k = int(row["c"]), int(row["k"])
    attrs = {"relu": row["relu"] == "1"}
    return Case(
        *("linear", row, f"{c} -> {k}", "linear", attrs, [(1, c, 1, 1)]),
        {"weight": (k, c), "bias": (k,)},
        lambda xs, p: _relu(F.linear(xs[0].flatten(1), p["weight"], p["bias"]), attrs),
    )


def _pool2d(row: dict[str, str]) -> Case:
    x, window, stride = _size(row), _pair(row, "window"), _pair(row, "stride")
    attrs = {
        "kernel_size": window,
        "stride": stride,
        "padding": _sides(row),
        "ceil_mode": row["ceil_mode"] == "1",
        "count_include_pad": row["count_include_pad"] == "1",
        "window_rule": row["window_rule"],
    }

    def reference(xs: Tensors, p: dict[str, torch.Tensor]) -> torch.Tensor:
        # torch pads alike on both sides; its shape tells whether its windows are the same.
        shape = (window, stride, attrs["padding"][::2])
        if row["kind"] == "max":
            return F.max_pool2d(xs[0], *shape, ceil_mode=attrs["ceil_mode"])
        return F.avg_pool2d(xs[0], *shape, attrs["ceil_mode"], attrs["count_include_pad"])

    text = f"{_dims(x)}, {row['kind']} {window[0]}x{window[1]} stride {stride[0]}"
    text += f" pad {row['pad_top']}" if any(attrs["padding"]) else ""
    op = {"max": "max_pool2d", "average": "avg_pool2d"}[row["kind"]]
    return Case("pool2d", row, text, op, attrs, [x], {}, reference)


def _lrn(row: dict[str, str]) -> Case:
    x = _size(row)
    window = (int(row["before"]), int(row["after"]))
    constants = {name: float(row[name]) for name in ("alpha", "beta", "k")}

    def reference(xs: Tensors, p: dict[str, torch.Tensor]) -> torch.Tensor:
        return F.local_response_norm(xs[0], sum(window) + 1, **constants)

    text = f"{_dims(x)}, size {sum(window) + 1}"
    return Case("lrn", row, text, "lrn", {"window": window, **constants}, [x], {}, reference)


def _add(row: dict[str, str]) -> Case:
    x, attrs = _size(row), {"relu": row["relu"] == "1"}
    return Case(
        *("add", row, _dims(x), "add", attrs, [x, x], {}),
        lambda xs, p: _relu(xs[0] + xs[1], attrs),
    )


def _softmax(row: dict[str, str]) -> Case:
    x = _size(row)
    return Case("softmax", row, _dims(x), "softmax", {}, [x], {}, lambda xs, p: xs[0].softmax(1))


def _concat(row: dict[str, str]) -> Case:
    """All inputs copied; in a network most of them are written in place, at no cost."""
    h, w = int(row["h"]), int(row["w"])
    inputs: list[Shape] = [(1, int(c), h, w) for c in row["channels"].split("+")]
    text = f"{row['channels']} x{h}x{w}"
    return Case("concat", row, text, "concat", {}, inputs, {}, lambda xs, p: torch.cat(list(xs), 1))


_MAKERS: dict[str, Callable[[dict[str, str]], Case]] = {
    **{"conv2d": _conv2d, "linear": _linear, "pool2d": _pool2d, "lrn": _lrn},
    **{"add": _add, "softmax": _softmax, "concat": _concat},
}


# Running ------------------------------------------------------------------------------------------


def _aligned(elems: int) -> Array:
    """Uninitialised floats that begin at a cache line, as in an arena."""
    raw = np.empty(4 * elems + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + 4 * elems].view(np.float32)


def _to_blocked(x: Array) -> Array:
    """(N, C, H, W) to NCHW16c; the lanes beyond C are NaN, since nothing may read them."""
    n, c, h, w = x.shape
    block = _core.CHANNEL_BLOCK
    padded = np.full((n, -(-c // block) * block, h, w), np.nan, np.float32)
    padded[:, :c] = x
    blocks = padded.reshape(n, -1, block, h, w).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(blocks).reshape(-1)


def _from_blocked(flat: Array, shape: Shape) -> Array:
    n, c, h, w = shape
    blocks = flat.reshape(n, -1, h, w, _core.CHANNEL_BLOCK).transpose(0, 1, 4, 2, 3)
    return blocks.reshape(n, -1, h, w)[:, :c]


class Bench:
    """The arrays of a case, and programs that run it."""

    def __init__(self, case: Case, isa: str) -> None:
        self.case, self.isa = case, isa
        rng = np.random.default_rng(0)
        self.inputs = [rng.standard_normal(shape, np.float32) for shape in case.inputs]
        # Weights that keep the signal's size, and biases small beside it, as in trained networks.
        self.params = {}
        for role, shape in case.params.items():
            scale = 0.1 if role == "bias" else 1 / math.sqrt(math.prod(shape[1:]))
            self.params[role] = np.float32(scale) * rng.standard_normal(shape, np.float32)
        self._expected: npt.NDArray[np.float64] | None = None

    def algorithms(self) -> list[str]:
        """All that fit, the one that "auto" takes first; [""] for an op that has one only."""
        if self.case.op != "conv2d":
            return [""]
        chosen = self._select("auto")
        assert chosen is not None
        others = [name for name in ALGORITHMS if name != chosen and self._select(name) is not None]
        return [chosen, *others]

    def _select(self, algorithm: str) -> str | None:
        try:
            params = _core.Conv2dParams(**self.case.attrs, algorithm=algorithm)
        except ShapeError:  # the engine has no algorithm of that name
            return None
        try:
            return _core.conv2d_select(params, self.case.inputs[0], self.case.params["weight"])
        except UnsupportedError:
            return None

    def program(
        self, algorithm: str, copies: int, rounds: int
    ) -> tuple[Callable[[int], Array], int]:
        """`rounds` times all `copies` of the task: run(threads) -> blocked output, and its work."""
        case, spec = self.case, OPS[self.case.op]
        attrs = {**case.attrs, "algorithm": algorithm} if algorithm else case.attrs
        buffers, strides = [], []
        for i, x in enumerate(self.inputs):
            blocked = not (case.plain_input and i == 0)
            flat = _to_blocked(x) if blocked else x.reshape(-1)
            strides.append(-(-flat.size // 16) * 16)
            buffer = _aligned(copies * strides[-1])
            for copy in range(copies):
                buffer[copy * strides[-1] :][: flat.size] = flat
            buffers.append(buffer)
        size = _core.storage_elems(case.output)
        y = _aligned(copies * size)
        y.fill(np.nan)
        tasks = []
        for copy in range(copies):
            refs = [
                _core.TensorRef(
                    1 + i,
                    copy * stride,
                    shape,
                    blocked=not (case.plain_input and i == 0),
                )
                for i, (shape, stride) in enumerate(zip(case.inputs, strides, strict=True))
            ]
            target = _core.TensorRef(1 + len(buffers), copy * size, case.output)
            packed = spec.pack(attrs, self.params) if spec.pack else None
            tasks.append(spec.tasks(attrs, refs, packed, target, self.isa))
        program = _core.Program(0, [buffer.size for buffer in buffers], [y.size])
        all_tasks = [step for steps in tasks for step in steps] * rounds
        for stage, task in enumerate(all_tasks):
            program.add(case.row["layer"], task, stage)

        def run(threads: int) -> Array:
            program.run(buffers, [y], threads)
            return y[:size]

        return run, program.work

    def relative_rms(self, blocked: Array) -> float:
        """RMS of the error against torch in float64, by the RMS of the result."""
        if self._expected is None:
            with torch.inference_mode():
                xs = [torch.from_numpy(x).double() for x in self.inputs]
                params = {role: torch.from_numpy(p).double() for role, p in self.params.items()}
                found = self.case.reference(xs, params).numpy()
            n, c, h, w = (*found.shape, 1, 1)[:4]
            if (n, c, h, w) != tuple(self.case.output):
                raise ValueError(f"torch gives {found.shape} for {self.case.text}, not ours")
            self._expected = found.reshape(n, c, h, w)
            time.sleep(REST_S)
        error = _from_blocked(blocked, self.case.output) - self._expected
        return float(np.sqrt(np.mean(error**2)) / np.sqrt(np.mean(self._expected**2)))

    def tolerance(self, algorithm: str) -> float:
        """What the numeric contract allows."""
        if algorithm and algorithm not in ALGORITHMS:
            raise KeyError(f"give the tolerance of '{algorithm}' in {Path(__file__).name}")
        reduction = math.prod(self.case.params.get("weight", (1, 1))[1:])
        return ALGORITHMS.get(algorithm) or max(3e-7, 2e-8 * math.sqrt(reduction))


class WrongResult(Exception):
    """A kernel does not compute what torch does: its time means nothing."""


def measure(
    case: Case,
    isa: str,
    threads: Sequence[int],
    peaks: machine.Peaks | None,
    budget_s: float,
    rotate_bytes: int | None = None,
    every_algorithm: bool = True,
) -> Iterator[Result]:
    """Check, then time, every algorithm of one case with each number of threads."""
    bench = Bench(case, isa)
    algorithms = bench.algorithms()
    fastest_s = math.inf
    for algorithm in algorithms if every_algorithm else algorithms[:1]:
        once, work = bench.program(algorithm, copies=1, rounds=1)
        error = bench.relative_rms(once(max(threads)))
        if not error <= bench.tolerance(algorithm):
            raise WrongResult(
                f"{case.table} {case.row['layer']} ({case.text}) {algorithm} {isa}: relative RMS "
                f"error {error:.1e}, allowed {bench.tolerance(algorithm):.1e}"
            )
        for n in threads:
            once_s = seconds_of(lambda n=n, once=once: once(n))
            chosen = algorithm == algorithms[0]
            slow = not chosen and once_s > SLOW * fastest_s
            target = rotate_bytes or 2 * machine.l2_bytes() * n
            copies = 1 if slow else min(MAX_COPIES, -(-target // case.bytes))
            rounds = max(
                math.ceil(MIN_PROGRAM_S / (copies * once_s)),
                math.ceil(MIN_WORK_PER_THREAD * n / (copies * work)),
            )
            if slow:
                times = summarize([once_s])
            else:
                run, _ = bench.program(algorithm, copies, rounds)
                run(n)
                seconds = repeat(lambda n=n, run=run: run(n), budget_s, at_least=5)
                times = summarize(seconds, copies * rounds)
            if chosen:
                fastest_s = 1e-3 * times.median_ms
            yield Result(
                *(case.table, case.row["networks"], case.row["layer"], case.text),
                *(algorithm, chosen, isa, n, case.macs, case.bytes, copies, error, times),
                roof_ms=_roof_ms(case, peaks[n]) if peaks else None,
            )


def _roof_ms(case: Case, peak: dict[str, float]) -> float:
    return max(2e-6 * case.macs / peak["compute_gflops"], 1e-6 * case.bytes / peak["read_gbps"])


# Printing -----------------------------------------------------------------------------------------

HEAD = (
    f"{'op':8}{'layer':26}{'geometry':42}{'algorithm':11}{'isa':9}{'thr':>3}{'copies':>7}"
    f"{'median ms':>11}{'p10':>9}{'p90':>9}{'GFLOP/s':>9}{'GB/s':>7}{'share':>7}"
)


def line(result: Result) -> str:
    """One row of the table; an asterisk marks the algorithm that "auto" takes."""
    t = result.times
    algorithm = result.algorithm + ("*" if result.algorithm and result.chosen else "")
    share = f"{100 * result.share:6.0f}%" if result.share is not None else f"{'-':>7}"
    gflops = f"{result.gflops:9.1f}" if result.macs else f"{'-':>9}"
    return (
        f"{result.op:8}{result.layer[:25]:26}{result.geometry[:41]:42}{algorithm:11}"
        f"{result.isa:9}{result.threads:3}{result.copies:7}{t.median_ms:11.4f}{t.p10_ms:9.4f}"
        f"{t.p90_ms:9.4f}{gflops}{result.gbps:7.1f}{share}"
    )


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [asdict(result) for result in results]


def markdown(results: Sequence[Result], heading: str, far: int = 25) -> str:
    """Summary by op, by network, and the layers furthest from their roof."""
    text = ["# Ops", "", heading, "", *_paragraph(), ""]
    text += ["## By op: every shape once, the algorithm that `auto` takes", ""]
    text += table(
        ("op", "isa", "threads", "shapes", "ms", "GFLOP/s", "GB/s", "share of the roof"),
        _by_op(results),
    )
    chosen = [r for r in results if r.chosen]
    if not chosen:
        return "\n".join(text) + "\n"
    most = max(r.threads for r in chosen)
    chosen = [r for r in chosen if r.threads == most]
    text += ["", f"## By network: ms of its layers, batch 1, {most} threads", ""]
    tables = ("conv2d", "linear", "pool2d", "lrn")
    text += table(("network", "isa", *tables, "sum", "roof"), _by_network(chosen, tables))
    lost = [r for r in chosen if r.roof_ms is not None and r.op not in ("add", "concat")]
    lost.sort(key=lambda r: (r.roof_ms or 0.0) - r.times.median_ms)
    text += ["", f"## The {min(far, len(lost))} layers that lose most against their roof", ""]
    text += [f"One use, {most} threads.", ""]
    text += table(
        ("op", "layer", "geometry", "networks", "algorithm", "isa")
        + ("ms", "GFLOP/s", "GB/s", "share", "lost ms"),
        [
            (r.op, r.layer, r.geometry, r.networks, r.algorithm or "-", r.isa)
            + (f"{r.times.median_ms:.3f}", f"{r.gflops:.0f}" if r.macs else "-", f"{r.gbps:.1f}")
            + (f"{100 * (r.share or 0):.0f} %", f"{r.times.median_ms - (r.roof_ms or 0):.3f}")
            for r in lost[:far]
        ],
    )
    return "\n".join(text) + "\n"


def _paragraph() -> list[str]:
    return [
        "Every result was compared with torch in float64 first. Each task has its own copy of",
        "input, weights and output; the copies together are at least twice the L2 of all threads",
        "(L3 may hold them). ms are medians. The roof is the larger of the multiply-adds at the",
        "compute peak and the bytes, each once, at the reading peak; so data in L3 can be above",
        "100 %. `concat` copies all its inputs here; in a network they are written in place. `add`",
        "is mostly fused there.",
    ]


def _by_op(results: Sequence[Result]) -> list[tuple[str, ...]]:
    rows = []
    for op, isa, n in dict.fromkeys((r.op, r.isa, r.threads) for r in results):
        group = [r for r in results if (r.op, r.isa, r.threads) == (op, isa, n) and r.chosen]
        ms = sum(r.times.median_ms for r in group)
        macs, size = sum(r.macs for r in group), sum(r.bytes for r in group)
        roof = sum(r.roof_ms or 0.0 for r in group)
        rows.append(
            (op, isa, str(n), str(len(group)), f"{ms:.2f}")
            + (f"{2e-6 * macs / ms:.0f}" if macs else "-", f"{1e-6 * size / ms:.1f}")
            + (f"{100 * roof / ms:.0f} %" if roof else "-",)
        )
    return rows


def _by_network(results: Sequence[Result], tables: Sequence[str]) -> list[tuple[str, ...]]:
    sums: dict[tuple[str, str], dict[str, float]] = {}
    for r in results:
        for network, count in uses(r.networks).items() if r.op in tables else ():
            row = sums.setdefault((network, r.isa), dict.fromkeys((*tables, "roof"), 0.0))
            row[r.op] += count * r.times.median_ms
            row["roof"] += count * (r.roof_ms or 0.0)
    return [
        (network, isa)
        + tuple(f"{row[table]:.2f}" for table in tables)
        + (f"{sum(row[table] for table in tables):.2f}", f"{row['roof']:.2f}")
        for (network, isa), row in sums.items()
    ]
