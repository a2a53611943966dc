"""Nothing compiled for AVX2 or AVX-512 can be linked into the baseline path."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "tools" / "check_isa_symbols.py"


def check(*build_dirs: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *map(str, build_dirs)]
    return subprocess.run(command, capture_output=True, text=True)


needs_nm = pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) is not installed")


@needs_nm
def test_built_kernels_share_no_symbol() -> None:
    result = check()
    if result.returncode == 2:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr


@needs_nm
@pytest.mark.parametrize(
    ("source", "shared"),
    [
        (
            "namespace pycnn::cpu::avx512 { inline int own(int a) { return a; } auto* p = &own; }",
            "",
        ),
        ("namespace pycnn::cpu::avx512 { void f() { static int n = 1; ++n; } }", ""),
        (
            "static int own(int a) { return a; } namespace pycnn::cpu::avx512 { auto* p = &own; }",
            "",
        ),
        ("inline int helper(int a) { return a; } auto* p = &helper;", "W helper(int)"),
        ("namespace pycnn::cpu::avx2 { int f(int a) { return a; } }", "T pycnn::cpu::avx2::f(int)"),
        (
            "template <class T> T twice(T a) { return a + a; } template int twice(int);",
            "twice<int>",
        ),
    ],
)
def test_finds_what_the_linker_could_share(tmp_path: Path, source: str, shared: str) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("c++ is not installed")
    objects = tmp_path / "CMakeFiles" / "pycnn_kernels_avx512.dir"
    objects.mkdir(parents=True)
    (tmp_path / "k.cpp").write_text(source)
    command = [compiler, "-std=c++20", "-c", str(tmp_path / "k.cpp"), "-o", str(objects / "k.o")]
    subprocess.run(command, check=True)
    result = check(tmp_path)
    assert result.returncode == (1 if shared else 0), result.stderr
    assert shared in result.stderr
