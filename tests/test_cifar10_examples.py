"""The examples on CIFAR-10 run, on a few images."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "cifar10"

pytestmark = pytest.mark.slow


@pytest.fixture
def run(shared_data: Callable[[str], Path], tmp_path: Path) -> Callable[..., str]:
    data = shared_data("inception_v1_bvlc/weights.npz").parents[1]

    def call(name: str, *options: str) -> str:
        command = [sys.executable, FOLDER / f"{name}.py", "--data", data, "--out", tmp_path]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        unexpected = re.sub(r"^training: .*\n", "", done.stderr, flags=re.MULTILINE)
        assert (done.returncode, unexpected) == (0, "")
        return done.stdout

    return call


@pytest.mark.parametrize(
    ("name", "says"), [("augmentation", "mirrored, cropped"), ("ensemble", "10 crops: ")]
)
def test_training_from_nothing(
    run: Callable[..., str], tmp_path: Path, name: str, says: str
) -> None:
    printed = run(name, "--images", "128", "--tested", "50", "--epochs", "1")
    assert "128 training images" in printed and says in printed
    assert (tmp_path / f"{name}.png").exists()


def test_features(run: Callable[..., str], tmp_path: Path) -> None:
    options = ("--store", str(tmp_path / "store"), "--per-class", "20", "--held-out", "200")
    first, second = run("features", *options), run("features", *options)
    assert "20 images a class, 1200 computed" in first
    assert "20 images a class, 0 computed" in second
    assert float(re.findall(r"accuracy ([0-9.]+)", first)[0]) > 60


def test_four_regimes(run: Callable[..., str], tmp_path: Path) -> None:
    options = ("--store", str(tmp_path / "store"), "--per-class", "2", "--held-out", "50")
    regimes = ("--regimes", "features", "freeze:pool4/3x3_s2")
    first, second = (run("four_regimes", *options, *regimes) for _ in range(2))
    assert len(re.findall(r"'accuracy': 0\.\d+", first)) == 2
    assert second == ""  # the points are in the file
    assert (tmp_path / "four_regimes.png").exists()
