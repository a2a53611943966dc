"""What the numbers were measured on: the machine, the versions, and the machine's peaks."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from pycnn import _core

ROOT = Path(__file__).resolve().parent.parent
PEAK_SOURCE = Path(__file__).with_name("peak.cpp")
PEAK_FLAGS = ("-O3", "-march=native", "-std=c++17", "-pthread", "-ffp-contract=fast")

DISTURBED = 0.1  # CPUs that others kept busy: more, and a measurement says so
DISTRIBUTIONS = ("pycnn", "numpy", "torch", "onnxruntime", "openvino", "ncnn", "MNN")

Peaks = dict[int, dict[str, float]]


class PeakError(Exception):
    """The peaks cannot be measured here; the message says why."""


def describe() -> dict[str, Any]:
    """Machine, versions and commit, for the JSON and the heads of the tables."""
    return {
        "cpu": _cpu_field("model name", "CPU part") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "usable_cpus": len(os.sched_getaffinity(0)),
        "caches": _caches(),
        "clock_mhz_reported": _clock_mhz(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_average": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "isa": _core.active_isa(),
        "available_isas": _core.available_isas(),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: version for name in DISTRIBUTIONS if (version := _version(name))},
        },
    }


def l2_bytes() -> int:
    """L2 cache of one core; 1 MiB where the system does not say."""
    sizes = [cache["bytes"] for cache in _caches() if cache["level"] == 2]
    return max(sizes, default=1 << 20)


class OthersBusy:
    """How many CPUs others have kept busy since this was made."""

    def __init__(self) -> None:
        self._start, self._others_s = time.perf_counter(), _busy_s() - _own_s()

    def cpus(self) -> float:
        others_s = _busy_s() - _own_s() - self._others_s
        return max(0.0, others_s / (time.perf_counter() - self._start))


def _busy_s() -> float:
    """CPU time that all CPUs have spent working, or had taken away by the hypervisor."""
    fields = (_read("/proc/stat") or "").split("\n")[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """CPU time of this process and of those that it has ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peaks(threads: Iterable[int]) -> Peaks:
    """`compute_gflops` (float32 multiply-adds) and `read_gbps` for each number of threads.

    Raises
    ------
    PeakError
        There is no C++ compiler, or it cannot compile benchmarks/peak.cpp.
    """
    program = _build_peak()
    return {
        n: {
            "compute_gflops": _peak(program, "compute", n),
            "read_gbps": _peak(program, "read", n),
        }
        for n in threads
    }


def _build_peak() -> Path:
    """Compile peak.cpp, once for each text and compiler, into build/."""
    asked = os.environ.get("CXX")
    names = [asked] if asked else ["g++", "c++", "clang++"]
    compiler = next((path for name in names if (path := shutil.which(name))), None)
    if compiler is None:
        raise PeakError(
            f"no C++ compiler ({', '.join(names)}), so the machine's peaks are unknown; "
            "install g++ or set CXX"
        )
    key = hashlib.sha256(PEAK_SOURCE.read_bytes() + " ".join((compiler, *PEAK_FLAGS)).encode())
    program = ROOT / "build" / "benchmarks" / f"peak-{key.hexdigest()[:12]}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        made = program.with_suffix(f".{os.getpid()}")
        command = [compiler, *PEAK_FLAGS, str(PEAK_SOURCE), "-o", str(made)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise PeakError(
                f"{compiler} cannot compile {PEAK_SOURCE.name}: {result.stderr.strip()}"
            )
        made.replace(program)
    return program


def _peak(program: Path, what: str, threads: int) -> float:
    result = subprocess.run([program, what, str(threads)], capture_output=True, text=True)
    if result.returncode != 0:
        raise PeakError(f"{program.name} {what} failed: {result.stderr.strip()}")
    return float(result.stdout)


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _cpu_field(*names: str) -> str | None:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in names:
            return value.strip()
    return None


def _clock_mhz() -> float | None:
    """What the system says; in a virtual machine often the nominal clock, not the actual one."""
    mhz = _cpu_field("cpu MHz")
    return float(mhz) if mhz else None


def _caches() -> list[dict[str, Any]]:
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(folder / name) for name in ("level", "type", "size"))
        if level and kind and size:
            units = {"K": 1 << 10, "M": 1 << 20}
            amount = int(size.rstrip("KM")) * units.get(size[-1], 1)
            shared = _read(folder / "shared_cpu_list")
            found.append({"level": int(level), "kind": kind, "bytes": amount, "cpus": shared})
    return found


def _commit() -> str | None:
    """Short hash of the checkout, with "+" where more than results differs; None without any."""
    try:
        git = ["git", "-C", str(ROOT)]
        done = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        )
        status = [*git, "status", "--porcelain", "--", ".", ":!benchmarks/results"]
        changed = subprocess.run(status, capture_output=True, text=True)
    except OSError:
        return None
    if done.returncode != 0:
        return None
    return done.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def heading(machine: dict[str, Any], measured: Peaks | None) -> str:
    """One paragraph for the head of a Markdown table."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    caches = ", ".join(
        f"L{cache['level']} {cache['bytes'] >> 10} KiB"
        for cache in machine["caches"]
        if cache["kind"] != "Instruction"
    )
    text = (
        f"{machine['cpu']}, {machine['usable_cpus']} CPUs, {caches}; {machine['isa']}; {versions}; "
        f"commit {machine['commit'] or 'none yet'}; load average at the start "
        f"{machine['load_average']}."
    )
    for n, peak in (measured or {}).items():
        text += (
            f" Peak with {n} thread{'s' if n > 1 else ''}: {peak['compute_gflops']:.0f} GFLOP/s, "
            f"reading {peak['read_gbps']:.0f} GB/s."
        )
    return text
