"""The pytest plugin of `make gpu-test` and `make gpu-sanitize`, which runs a suite in parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SUITE = """
import pathlib

def test_a(): pass
def test_b(): assert pathlib.Path("mended").exists()
def test_c(): pass
"""


def test_each_call_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    notes = tmp_path / "passed.txt"

    def run(minutes: str) -> tuple[int, str]:
        command = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "in_parts"]
        done = subprocess.run(
            [sys.executable, *command, "--passed", str(notes), "--minutes", minutes],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    code, told = run("0")
    assert code != 0
    assert "2 tests are left: run this again" in told
    assert notes.read_text() == "test_suite.py::test_a\n"
    code, told = run("7")
    assert code == 1
    assert "1 failed, 1 passed, 1 deselected" in told
    (tmp_path / "mended").touch()
    code, told = run("0")
    assert code == 0
    assert "1 passed, 2 deselected" in told
    assert not notes.exists()
    assert "3 passed" in run("7")[1]
