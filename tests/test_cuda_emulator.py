"""The CUDA kernels on the CPU: csrc/cuda/kernels under the emulator of tests/cuda_emulator.

The kernels' sources are the ones that nvcc compiles. With ASan and UBSan; not their checks of the
stack, which do not know the emulator's fibers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "--param", "asan-stack=0"]
INCLUDE = ["-Itests/cuda_emulator/include", "-Itests/cuda_emulator", "-Icsrc"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]


def sources() -> list[Path]:
    """Kernels first, slowest first: two compilers at a time end together."""
    folder = ROOT / "csrc/cuda/kernels"
    kernels = sorted([*folder.glob("*.cu"), *folder.glob("*.cpp")])
    kernels.sort(key=lambda path: not path.name.startswith("conv2d"))
    emulator = sorted((ROOT / "tests/cuda_emulator").glob("*.cpp"))
    return [*kernels, *emulator, ROOT / "csrc/core/tensor.cpp"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    folder = tmp_path_factory.mktemp("cuda_emulator")

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.name}.o"
        flags = ["-std=c++20", "-O1", "-g1", *SANITIZE, *WARNINGS, *INCLUDE]
        subprocess.run(
            [compiler, *flags, "-x", "c++", "-c", str(source), "-o", str(target)],
            cwd=ROOT,
            check=True,
        )
        return target

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compile_one, sources()))
    target = folder / "emulator"
    subprocess.run([compiler, *SANITIZE, *map(str, objects), "-o", str(target)], check=True)
    return target


@pytest.mark.parametrize("test", ["emulator", "index_maps", "ops", "conv2d"])
def test_kernels(program: Path, test: str) -> None:
    done = subprocess.run([program, test], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    passed = int(done.stdout.splitlines()[-1].removesuffix(" checks passed, 0 failed"))
    assert passed > 0
