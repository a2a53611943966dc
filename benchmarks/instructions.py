"""How many instructions each kernel takes, by callgrind: a guard that needs no quiet machine.

For AVX2, since valgrind knows no AVX-512; the kernels are one source for both. The counts are those
of one compiler: another one's are not compared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT

ISA = "avx2"
SOURCE = ROOT / "tests" / "cpp" / "count_instructions.cpp"
STORED = Path(__file__).with_name("results") / "instructions.json"
ALLOWED = 1.03  # times what is stored


class CannotCount(Exception):
    """Something that counting needs is not here; the message says what."""


def compiler() -> str:
    """Name and version of the C++ compiler."""
    if (path := shutil.which("c++")) is None:
        raise CannotCount("no C++ compiler (c++)")
    command = [path, "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[0]


def count() -> dict[str, int]:
    """Instructions of one run of each kernel.

    Raises
    ------
    CannotCount
        valgrind is not installed, or the extension was not built here.
    """
    if shutil.which("valgrind") is None:
        raise CannotCount("valgrind is not installed")
    engines = sorted(ROOT.glob("build/*-linux_x86_64/libpycnn_engine.a"))
    if not engines:
        raise CannotCount("the engine is not built: make core")
    newest = max(engines, key=lambda path: path.stat().st_mtime)
    with tempfile.TemporaryDirectory() as scratch:
        program, out = Path(scratch, "count"), Path(scratch, "out")
        flags = ["-std=c++20", "-O2", "-pthread", f"-I{ROOT / 'csrc'}", "-o", program]
        subprocess.run(["c++", *flags, SOURCE, newest], check=True)
        callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        subprocess.run(
            [*callgrind, f"--callgrind-out-file={out}", program],
            check=True,
            capture_output=True,
            env={**os.environ, "PYCNN_CPU_ISA": ISA},
        )
        dumps = [path.read_text(encoding="utf-8") for path in Path(scratch).glob("out.*")]
    found = {}
    for dump in dumps:
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", dump, re.MULTILINE)
        total = re.search(r"^totals: (\d+)$", dump, re.MULTILINE)
        if name and total:  # else it is the dump at the program's end
            found[name[1]] = int(total[1])
    return dict(sorted(found.items()))


def stored() -> dict[str, Any]:
    """The stored `counts`, and the `compiler` they are of."""
    found: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return found


def store(counts: dict[str, int]) -> None:
    found = {"compiler": compiler(), "isa": ISA, "counts": counts}
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def grown(before: dict[str, int], now: dict[str, int]) -> list[str]:
    """A line for each kernel that takes more than allowed, or is not in both."""
    lines = [
        f"{name}: {now[name]:,} instructions, {before[name]:,} are stored "
        f"({now[name] / before[name] - 1:+.1%})"
        for name in sorted(before.keys() & now.keys())
        if now[name] > ALLOWED * before[name]
    ]
    return lines + [f"{name}: not in both" for name in sorted(before.keys() ^ now.keys())]
