"""The examples that train small networks run, on a few images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [("augmentation", "mirrored, cropped"), ("ensemble", "10 crops: ")],
)
def test_example(name: str, says: str, shared_data: Callable[[str], Path]) -> None:
    program = ROOT / "examples" / "training" / f"{name}.py"
    options = ["--images", "128", "--tested", "50", "--epochs", "1"]
    data = ["--data", str(shared_data("cifar10"))]
    done = subprocess.run(
        [sys.executable, program, *data, *options], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "128 training images" in done.stdout and says in done.stdout
