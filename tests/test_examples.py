"""The examples and the README's Python run as they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_example(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"look_inside.py": "3: 0.99", "own_network.py": "equal bits: True"}
    assert expected[example.name] in done.stdout


@pytest.mark.slow
def test_features_of_cifar10(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    program = ROOT / "examples" / "transfer" / "cifar10_features.py"
    data = shared_data("inception_v1_bvlc/weights.npz").parents[1]
    options = ["--data", data, "--store", tmp_path, "--out", tmp_path, "--per-class", "20"]
    command = [sys.executable, program, *options, "--held-out", "200"]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert "20 images a class, 1200 computed" in first
    assert "20 images a class, 0 computed" in second
    assert float(re.findall(r"accuracy ([0-9.]+)", first)[0]) > 60


def test_the_example_of_the_readme(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = code.replace("pycnn/data/", f"{ROOT}/pycnn/data/")
    code = code.replace("weights.npz", str(shared_data("inception_v1_bvlc/weights.npz")))
    code = code.replace('load("resnet50")', 'load("resnet50", weights="random")')  # no network here
    shipped = ROOT / "pycnn/data/weights/lenet5.safetensors"
    convert = [sys.executable, "-m", "pycnn", "convert", str(shipped), str(tmp_path / "model.onnx")]
    subprocess.run(convert, check=True)
    for name in ("cat.jpg", "dog.jpg"):
        code = code.replace(name, str(shared_data(f"images/{name}")))
    program = "import numpy\nbatch = numpy.zeros((1, 3, 224, 224), numpy.float32)\n" + code
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "6,998,552" in done.stdout
