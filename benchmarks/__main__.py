"""`python -m benchmarks COMMAND`, from the repository root; see docs/performance.md."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from pycnn import _core

RESULTS = Path(__file__).with_name("results")


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        return int(args.command(args))
    except machine.PeakError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True)

    peak = commands.add_parser("peak", help="describe the machine and measure its peaks")
    peak.set_defaults(command=_peak)

    ops = commands.add_parser("ops", help="each op at each shape of benchmarks/shapes")
    ops.add_argument("--op", action="append", help="this op only; may be repeated")
    ops.add_argument("--network", help="the shapes of this network only")
    ops.add_argument("--isa", type=_list, default=[_core.active_isa()], metavar="A,B")
    ops.add_argument("--auto-only", action="store_true", help="leave out the other algorithms")
    ops.add_argument("--budget-s", type=float, default=0.2, help="seconds for each measurement")
    ops.add_argument("--rotate-mib", type=float, help="memory to go round in; default 2 x L2")
    ops.set_defaults(command=_ops)

    peers = commands.add_parser("peers", help="networks, beside the other runtimes")
    peers.add_argument("--networks", type=_list, metavar="A,B", help="default: all of the papers")
    peers.add_argument("--engines", type=_list, metavar="A,B", help="default: all installed")
    peers.add_argument("--batch", type=_numbers, default=[1, 16], metavar="1,16")
    peers.add_argument("--turns", type=int, default=3, help="turns of each engine")
    peers.add_argument("--starts", type=int, default=3, help="fresh processes of each engine")
    peers.add_argument("--resume", action="store_true", help="leave what the file has undisturbed")
    peers.set_defaults(command=_peers)

    layers = commands.add_parser("layers", help="each layer in its network, beside its limit")
    layers.add_argument("--networks", type=_list, metavar="A,B", help="default: all of the papers")
    layers.add_argument("--batch", type=_numbers, default=[1, 16], metavar="1,16")
    layers.add_argument("--runs", type=int, default=15)
    layers.set_defaults(command=_layers)

    streams = commands.add_parser("streams", help="of augmented images, beside a DataLoader")
    streams.add_argument("--workers", type=_numbers, metavar="1,2", help="default: the CPUs")
    streams.add_argument("--turns", type=int, default=3, help="turns of each engine")
    streams.add_argument("--json", type=Path, default=RESULTS / "streams.json")
    streams.set_defaults(command=_streams)
    gpu = commands.add_parser("gpu", help="networks and their layers on a GPU, beside PyTorch")
    gpu.add_argument("--networks", type=_list, metavar="A,B", help="default: all of the papers")
    gpu.add_argument("--batch", type=_numbers, default=[1, 8, 32, 128, 256], metavar="1,8")
    gpu.add_argument("--dtype", type=_list, default=["float16"], metavar="A,B")
    gpu.add_argument("--engines", type=_list, metavar="A,B", help="default: all")
    gpu.add_argument("--turns", type=int, default=5, help="turns of each engine")
    gpu.add_argument("--resume", action="store_true", help="leave what the file has")
    gpu.add_argument("--minutes", type=float, help="begin no cell that may end later")
    gpu.add_argument("--rehearse", action="store_true", help="on the CPU: does it run?")
    gpu.add_argument("--json", type=Path, default=RESULTS / "gpu.json", help="and Markdown beside")
    gpu.set_defaults(command=_gpu)

    counting = commands.add_parser("instructions", help="of each kernel, beside the stored ones")
    counting.add_argument("--store", action="store_true", help="these are to be kept from now on")
    counting.set_defaults(command=_instructions)

    chart = commands.add_parser("chart", help="draw what peers found; print the README's table")
    chart.add_argument("--json", type=Path, default=RESULTS / "peers.json")
    chart.add_argument("--png", type=Path, default=machine.ROOT / "docs" / "speed.png")
    chart.set_defaults(command=_chart)

    default_threads = sorted({1, _core.default_num_threads()})
    for each in (peak, ops, peers, layers):
        each.add_argument("--threads", type=_numbers, default=default_threads, metavar="1,2")
        each.add_argument("--json", type=Path, help="write here, and Markdown beside it")
    for each in (ops, peers):
        each.add_argument("--quick", action="store_true", help="as short as can be: does it run?")
    return parser


def _list(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected numbers of at least 1, got {text}")
    return numbers


def _peak(args: argparse.Namespace) -> int:
    found = {"machine": machine.describe(), "peaks": machine.peaks(args.threads)}
    print(json.dumps(found, indent=2))
    _write(args.json, found)
    return 0


def _ops(args: argparse.Namespace) -> int:
    from benchmarks import ops

    names = args.op or list(ops.NAMES)
    unknown = set(names) - set(ops.NAMES)
    if unknown:
        return _misuse(f"no table of shapes for {', '.join(unknown)}; there is {ops.NAMES}")
    unavailable = set(args.isa) - set(_core.available_isas())
    if unavailable:
        return _misuse(f"this machine has not {', '.join(unavailable)}; {_core.available_isas()}")
    described, peaks = machine.describe(), _peaks_or_none(args.threads)
    rotate_bytes = int(args.rotate_mib * (1 << 20)) if args.rotate_mib else None
    results: list[ops.Result] = []
    print(ops.HEAD)
    try:
        for name in names:
            for case in ops.cases(name, args.network):
                for isa in args.isa:
                    for result in ops.measure(
                        *(case, isa, args.threads, peaks),
                        budget_s=0.002 if args.quick else args.budget_s,
                        rotate_bytes=rotate_bytes,
                        every_algorithm=not (args.auto_only or args.quick),
                    ):
                        results.append(result)
                        print(ops.line(result), flush=True)
    except ops.WrongResult as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if not results:
        return _misuse(f"no shapes of {args.network} in {names}")
    whole = not (args.op or args.network or args.quick)
    found = {"machine": described, "peaks": peaks, "results": ops.as_json(results)}
    text = ops.markdown(results, machine.heading(described, peaks))
    _write(args.json or (RESULTS / "ops.json" if whole else None), found, text)
    return 0


def _peers(args: argparse.Namespace) -> int:
    from benchmarks.peers import engines, harness, prepare, report

    if max(args.batch) > prepare.MAX_BATCH:
        return _misuse(f"the batch may be {prepare.MAX_BATCH} at most, got {max(args.batch)}")
    installed = [name for name in engines.ENGINES if engines.installed(name)]
    missing = [name for name in engines.ENGINES if name not in installed]
    if missing:
        print(f"benchmarks: not installed, see [bench]: {', '.join(missing)}", file=sys.stderr)
    for asked, known in ((args.networks, harness.NETWORKS), (args.engines, installed)):
        unknown = set(asked or ()) - set(known)
        if unknown:
            return _misuse(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    isa, best_isa = _core.active_isa(), _core.available_isas()[-1]
    # Held to AVX2 OpenVINO still takes this machine for one with bfloat16, and finds no kernel.
    usual = [name for name in installed if isa != "avx2" or engines.ENGINES[name].float32]
    turns = harness.Turns(count=args.turns, starts=args.starts)
    if args.quick:
        turns = harness.Turns(count=2, pause_s=0.0, turn_s=0.0, starts=1)
    whole = not (args.networks or args.engines or args.quick)
    default = RESULTS / ("peers.json" if isa == best_isa else f"peers_{isa}.json")
    path = args.json or (default if whole else None)

    described, peaks = machine.describe(), _peaks_or_none(args.threads)
    entries = report.read(path) if path else []
    for network in args.networks or harness.NETWORKS:
        for batch in args.batch:
            for threads in args.threads:
                cell = harness.Cell(network, batch, threads, isa)
                if args.resume and report.has(entries, cell):
                    continue
                try:
                    comparison = harness.measure(cell, args.engines or usual, turns)
                except harness.WrongResult as error:
                    print(f"benchmarks: {error}", file=sys.stderr)
                    return 1
                entry = report.entry(cell, turns, comparison, described["commit"])
                print(report.lines(entry), flush=True)
                entries = report.put(entries, entry)
                found = {"machine": described, "peaks": peaks, "entries": entries}
                text = report.markdown(entries, machine.heading(described, peaks))
                _write(path, found, text)
    return 0


def _layers(args: argparse.Namespace) -> int:
    from benchmarks import layers
    from benchmarks.peers.harness import NETWORKS

    unknown = set(args.networks or ()) - set(NETWORKS)
    if unknown:
        return _misuse(f"there is no {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    described, peaks = machine.describe(), machine.peaks(args.threads)
    results: list[layers.Network] = []
    for network in args.networks or NETWORKS:
        for batch in args.batch:
            for threads in args.threads:
                found = layers.measure(network, batch, threads, peaks[threads], args.runs)
                results.append(found)
                print(layers.line(found), flush=True)
    found_all = {"machine": described, "peaks": peaks, "results": layers.as_json(results)}
    text = layers.markdown(results, machine.heading(described, peaks))
    _write(args.json or (None if args.networks else RESULTS / "layers.json"), found_all, text)
    return 0


def _streams(args: argparse.Namespace) -> int:
    from benchmarks import streams

    if not streams.PHOTOGRAPHS.is_dir():
        return _misuse(f"needs the photographs of {streams.PHOTOGRAPHS}")
    described = machine.describe()
    results = streams.measure(args.workers or [_core.default_num_threads()], args.turns)
    found = {"machine": described, "results": streams.as_json(results)}
    _write(args.json, found, streams.markdown(results, machine.heading(described, None)))
    return 0


def _gpu(args: argparse.Namespace) -> int:
    from benchmarks.gpu import clock, harness, report
    from benchmarks.gpu.engines import ENGINES
    from benchmarks.peers.harness import NETWORKS

    unknown = set(args.networks or ()) - set(NETWORKS) | set(args.engines or ()) - set(ENGINES)
    if unknown:
        return _misuse(f"there is no {', '.join(unknown)}")
    timer = clock.Rehearsal() if args.rehearse else clock.Gpu()
    turns = harness.Turns(1, 0.0, 1) if args.rehearse else harness.Turns(args.turns)
    described = {**machine.describe(), **timer.describe()}
    end = time.monotonic() + (math.inf if args.minutes is None else 60 * args.minutes)
    longest_s = 0.0  # of the cells so far
    failed = False
    entries, peaks = report.read(args.json)
    for dtype in args.dtype:
        peaks[f"{described['card']}, {dtype}"] = clock.peaks(timer, dtype)
    for network in args.networks or NETWORKS:
        for batch in args.batch:
            for dtype in args.dtype:
                cell = harness.Cell(network, batch, dtype)
                if args.resume and report.has(entries, cell, described["card"]):
                    continue
                start = time.monotonic()
                if start + longest_s > end:
                    print(f"benchmarks: {cell} and later are left: run this again", file=sys.stderr)
                    return 1 if failed else 0
                timer.release()
                found = harness.measure(cell, args.engines or list(ENGINES), turns, timer)
                timer.release()
                measured = found["engines"].get("pycnn", {}).get("ms") and not args.rehearse
                layers = harness.layers(cell, runs=15) if measured else []
                about = {"card": described["card"], "commit": described["commit"]}
                entry = {**vars(cell), **about, "layers": layers, **found}
                print(report.line(entry), flush=True)
                failed = failed or bool(report.wrong(entry))
                entries = report.put(entries, entry)
                heading = f"{described['card']}, torch {described['torch']}; see docs/gpu.md."
                found_all = {"machine": described, "peaks": peaks, "entries": entries}
                _write(args.json, found_all, report.markdown(entries, heading, peaks))
                longest_s = max(longest_s, time.monotonic() - start)
    return 1 if failed else 0


def _instructions(args: argparse.Namespace) -> int:
    from benchmarks import instructions

    try:
        counts = instructions.count()
    except instructions.CannotCount as error:
        return _misuse(str(error))
    before = instructions.stored()["counts"] if instructions.STORED.exists() else {}
    for name, now in counts.items():
        change = f"{now / before[name] - 1:+8.1%}" if name in before else "     new"
        print(f"{name:<38}{now:>12,}{change}")
    if args.store:
        instructions.store(counts)
    return 0


def _chart(args: argparse.Namespace) -> int:
    from benchmarks.peers import chart, report

    entries = [e for e in report.read(args.json) if "ratio" in e]
    if not entries:
        return _misuse(f"{args.json} compares pycnn with nothing")
    threads = max(e["threads"] for e in entries)
    entries = [e for e in entries if e["threads"] == threads]
    chart.draw(entries, args.png)
    print(chart.readme_table(entries))
    return 0


def _misuse(message: str) -> int:
    print(f"benchmarks: {message}", file=sys.stderr)
    return 2


def _peaks_or_none(threads: Sequence[int]) -> machine.Peaks | None:
    try:
        return machine.peaks(threads)
    except machine.PeakError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return None


def _write(path: Path | None, found: dict[str, Any], text: str | None = None) -> None:
    """Results as JSON, and as Markdown beside it. Partial runs are written only when asked for."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if text is not None:
        path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"wrote {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
