"""`python -m benchmarks ops|models|peak`, from the repository root; see docs/performance.md."""

from __future__ import annotations

import argparse
import json
import sys
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

    models = commands.add_parser("models", help="networks, beside PyTorch")
    models.add_argument("networks", nargs="*", help="default: a choice, see models.py")
    models.add_argument("--batch", type=_numbers, default=[1, 16], metavar="1,16")
    models.add_argument("--turns", type=int, default=7, help="turns of each engine")
    models.add_argument("--pause-s", type=float, default=0.2, help="rest before each turn")
    models.add_argument("--turn-s", type=float, default=0.5, help="seconds of runs in a turn")
    models.set_defaults(command=_models)

    default_threads = sorted({1, _core.default_num_threads()})
    for each in (peak, ops, models):
        each.add_argument("--threads", type=_numbers, default=default_threads, metavar="1,2")
        each.add_argument("--json", type=Path, help="write here, and Markdown beside it")
    for each in (ops, models):
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


def _models(args: argparse.Namespace) -> int:
    from benchmarks import models

    described, peaks = machine.describe(), _peaks_or_none(args.threads)
    turns = models.Turns(args.turns, args.pause_s, args.turn_s)
    if args.quick:
        turns = models.Turns(2, 0.0, 0.0)
    results: list[models.Result] = []
    print(models.HEAD)
    try:
        for network in args.networks or models.NETWORKS:
            for batch in args.batch:
                for threads in args.threads:
                    results.append(models.measure(network, batch, threads, turns))
                    print(models.line(results[-1]), flush=True)
    except (models.WrongResult, models.UnknownNetwork) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    whole = not (args.networks or args.quick)
    found = {"machine": described, "peaks": peaks, "results": models.as_json(results)}
    text = models.markdown(results, machine.heading(described, peaks), turns)
    _write(args.json or (RESULTS / "models.json" if whole else None), found, text)
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
