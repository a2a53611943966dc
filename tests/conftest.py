"""What all tests share."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

import pycnn

for _variable in ("PYCNN_CPU_ISA", "PYCNN_NUM_THREADS", "PYCNN_MIRROR"):
    os.environ.pop(_variable, None)
# No test fetches anything, nor finds what somebody fetched, unless it says so.
_empty_home = tempfile.TemporaryDirectory(prefix="pycnn-home-")
os.environ["PYCNN_HOME"] = _empty_home.name
os.environ["PYCNN_OFFLINE"] = "1"

# The same examples at each run; no deadline, since machines are shared.
settings.register_profile("pycnn", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("pycnn")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(params=pycnn.available_isas())
def isa(request: pytest.FixtureRequest) -> str:
    """Each instruction set of this machine."""
    return str(request.param)


@pytest.fixture(params=[0xFF, 0xA5], ids=["NaN before", "0xA5 before"])
def poison(request: pytest.FixtureRequest) -> int:
    """What fills results and scratch memory before a run: NaN, or a small number."""
    return int(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1998)


@pytest.fixture
def picture() -> npt.NDArray[np.uint8]:
    """6 x 8 RGB, every pixel different."""
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a file of the shared data; skips, visibly, where that is absent."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs ../shared/data/{name}")
        return path

    return find


@pytest.fixture(scope="session")
def built_cuda_on_host() -> ModuleType:
    """A `pycnn._cuda` whose kernels run on the host, in the block emulator."""
    subprocess.run(["make", "cuda-on-host", f"VENV={sys.prefix}"], cwd=ROOT, check=True)
    (file,) = (ROOT / "build" / "cuda-on-host").glob("_cuda.*.so")
    # pybind11 keeps modules by their names, and would give the build's own where that was loaded.
    spec = importlib.util.spec_from_file_location("cuda_on_host._cuda", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cuda_on_host(built_cuda_on_host: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """That module in the place of `pycnn._cuda`, for one test."""
    monkeypatch.setitem(sys.modules, "pycnn._cuda", built_cuda_on_host)
    return built_cuda_on_host
