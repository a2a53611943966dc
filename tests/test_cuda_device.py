"""Which GPU can be used, or why none; `pycnn doctor`; loading without a driver."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

import pycnn
from pycnn import DeviceError, UnsupportedError
from pycnn.cli.app import app
from pycnn.cuda import device
from pycnn.cuda.device import Gpu, Support, missing, target

H200 = Gpu("NVIDIA H200", 9, 0, 132, 227 << 10, 141 << 30, 60 << 20)
TURING = Gpu("Quadro T4", 7, 5, 40, 64 << 10, 16 << 30, 4 << 20)
GOOD = Support(True, 13000, 13010, "", (H200,), "80-real 90a-real 90-virtual")

BUILT = importlib.util.find_spec("pycnn._cuda") is not None


@pytest.mark.parametrize(
    ("found", "index", "reason"),
    [
        (GOOD, 0, None),
        (GOOD._replace(driver=13020), 0, None),
        (Support(False), 0, "this build of pycnn has no CUDA"),
        (GOOD._replace(driver=0, error="cudaErrorInsufficientDriver, ..."), 0, "no NVIDIA driver"),
        (GOOD._replace(driver=12040), 0, "is for CUDA 12.4 and older; .* needs one for CUDA 13.0"),
        (GOOD._replace(gpus=()), 0, "there is no NVIDIA GPU, or CUDA_VISIBLE_DEVICES hides it"),
        (GOOD._replace(gpus=(), error="cudaErrorNoDevice, no"), 0, "there is no NVIDIA GPU"),
        (GOOD._replace(gpus=(), error="cudaErrorUnknown, it"), 0, "failed: cudaErrorUnknown, it"),
        (GOOD, 1, "there is no device 1: 1 found"),
        (GOOD._replace(gpus=(H200, TURING)), 1, r"Quadro T4 has compute capability 7.5; .* 8.0"),
    ],
    ids=str,
)
def test_what_is_missing(
    found: Support, index: int, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "support", lambda: found)
    if reason is None:
        assert missing(found, index) is None
        assert target(f"cuda:{index}", "float16").gpu == found.gpus[index]
        return
    with pytest.raises(DeviceError, match=f"device='cuda:{index}': .*{reason}"):
        target(f"cuda:{index}", "float16")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", ""])
def test_no_name_of_a_device(name: str) -> None:
    with pytest.raises(ValueError, match='must be "cpu", "cuda" or "cuda:N"'):
        pycnn.load("lenet5", device=name)


def test_options_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedError, match="the CPU computes in float32 only, not 'float16'"):
        pycnn.load("lenet5", dtype="float16")
    monkeypatch.setattr(device, "support", lambda: GOOD)
    with pytest.raises(ValueError, match="dtype must be one of 'float32', 'tf32'"):
        pycnn.load("lenet5", device="cuda", dtype="int8")
    with pytest.raises(ValueError, match="isa='avx2' is of the CPU"):
        pycnn.load("lenet5", device="cuda", isa="avx2")


def test_without_a_gpu_auto_is_the_cpu() -> None:
    if missing(device.support()) is None:
        pytest.skip("there is a GPU")
    assert pycnn.active_isa() in repr(pycnn.load("lenet5", device="auto"))
    with pytest.raises(DeviceError, match="`pycnn doctor` tells what there is"):
        pycnn.load("lenet5", device="cuda")


def test_the_real_module_loads_without_a_driver() -> None:
    """The runtime is linked statically, and libcuda is looked for at the first call only."""
    if not BUILT:
        pytest.skip("built without CUDA: make core PYCNN_CUDA=ON")
    code = (
        "import pycnn, pycnn._cuda as c; found = c.support(); print(found['runtime_version']); "
        "print(open('/proc/self/maps').read())"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    version, _, maps = done.stdout.partition("\n")
    assert int(version) >= 12050
    assert "_cuda" in maps
    linked = subprocess.run(
        ["ldd", importlib.util.find_spec("pycnn._cuda").origin],  # type: ignore[union-attr]
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for library in ("libcuda", "cudart", "cudnn", "cublas"):
        assert library not in linked


def test_importing_pycnn_leaves_cuda_alone() -> None:
    code = "import sys, pycnn; pycnn.load('lenet5'); print('pycnn._cuda' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("found", [GOOD, Support(False), GOOD._replace(driver=0, gpus=())], ids=str)
def test_doctor(found: Support, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "support", lambda: found)
    told: dict[str, Any] = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert told["isa"] == pycnn.active_isa()
    assert told["home"] == os.environ["PYCNN_HOME"]
    assert told["cuda"]["missing"] == missing(found)
    assert told["cuda"]["driver"] == ("13.1" if found.driver else None)
    text = CliRunner().invoke(app, ["doctor"]).stdout
    assert str(told["threads"]) in text
    assert ("NVIDIA H200, compute capability 9.0, 141.0 GiB, usable" in text) == bool(found.gpus)
    assert (missing(found) or "usable") in text
