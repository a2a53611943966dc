"""The core's own tests, in C++: the thread pool, cgroup quotas, the choice of instruction set."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_core(tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("c++ is not installed")
    core = [f"csrc/core/{name}.cpp" for name in ("thread_pool", "cpu_count", "cpu_isa")]
    program = tmp_path / "test_thread_pool"
    command = [compiler, "-std=c++20", "-O2", "-pthread", "-Icsrc", "-o", str(program)]
    subprocess.run([*command, "tests/cpp/test_thread_pool.cpp", *core], cwd=ROOT, check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].endswith(" checks passed, 0 failed")
