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
