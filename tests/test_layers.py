"""Who may import whom: the layers of docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Each may import those above it, and itself. A package stands for all of its files.
PYTHON_LAYERS = [
    "errors",
    "tables",
    "_core",
    "_cuda",
    "indices",
    "opset",
    "graph",
    "surgery",
    "receptive_field",
    "graph_json",
    "passes",
    "planner",
    "placement",
    "split",
    "compile",
    "cuda",
    "ops",
    "formats",
    "weights",
    "pytorch",
    "vision",
    "models",
    "passport",
    "recognition",
    "download",
    "hub",
    "summary",
    "backend",
    "memory",
    "batch",
    "averaging",
    "inspection",
    "model",
    "ensemble",
    "loading",
    "conversion",
    "transfer",
    "inside",
    "__init__",
    "cli",
    "__main__",
]
# What a model's methods call when everything is imported: unpickling, the tools that look inside.
UPWARDS = {("model", "loading"), ("inspection", "model"), ("inspection", "inside")}
# Who may use what is not everybody's.
THIRD_PARTY = {
    "PIL": {"cli", "inside", "vision"},
    "typer": {"cli"},
    "rich": {"cli", "hub", "transfer"},
    "safetensors": {"formats"},
    "google": {"formats"},
    "sklearn": {"transfer"},
    "threadpoolctl": {"transfer"},  # comes with scikit-learn
    "matplotlib": {"transfer", "inside"},
    "onnxruntime": {"inside"},
    "torch": {"pytorch", "transfer", "inside"},
}
STANDARD = {"numpy", "pycnn"}

# Beside the kernels, who may know CUDA's headers.
CUDA_RUNTIME = {"cuda/check.h", "cuda/device.cpp", "cuda/tensor_map.cpp"}
CPP_LAYERS = ["core", "image", "ops headers", "cuda", "cpu", "ops", "program", "bindings"]


def python_files() -> list[Path]:
    return sorted((ROOT / "pycnn").rglob("*.py"))


def layer_of(file: Path) -> str:
    return file.relative_to(ROOT / "pycnn").parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Dotted names that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            if node.module == "pycnn":
                found.update(f"pycnn.{alias.name}" for alias in node.names)
            else:
                found.add(node.module or "")
    return found


@pytest.mark.parametrize("file", python_files(), ids=lambda f: str(f.relative_to(ROOT)))
def test_python_imports_point_upwards(file: Path) -> None:
    layer = layer_of(file)
    assert layer in PYTHON_LAYERS, f"{file}: give '{layer}' a place in the layers"
    for name in imports(file):
        package, _, rest = name.partition(".")
        if package == "pycnn" and rest:
            target = rest.split(".")[0]
            # Names of the package itself come from its __init__.
            target = target if target in PYTHON_LAYERS else "__init__"
            higher = PYTHON_LAYERS.index(target) > PYTHON_LAYERS.index(layer)
            assert not higher or (layer, target) in UPWARDS, f"imports {name}"
        elif package in THIRD_PARTY:
            assert layer in THIRD_PARTY[package], f"{layer} must not import {package}"


def test_every_dependency_is_accounted_for() -> None:
    import sys

    for file in python_files():
        for name in imports(file):
            package = name.partition(".")[0]
            known = package in sys.stdlib_module_names or package in STANDARD | set(THIRD_PARTY)
            assert known, f"{file} imports {name}"


def cpp_files() -> list[Path]:
    return sorted(f for f in (ROOT / "csrc").rglob("*") if f.suffix in (".h", ".cpp", ".cu"))


def cpp_layer(path: Path) -> str:
    folder = path.parts[0]
    if folder == "ops" and path.suffix == ".h" and path.name != "checks.h":
        return "ops headers"
    return folder


@pytest.mark.parametrize("file", cpp_files(), ids=lambda f: str(f.relative_to(ROOT)))
def test_cpp_includes_point_upwards(file: Path) -> None:
    own = file.relative_to(ROOT / "csrc")
    text = file.read_text()
    for name in re.findall(r'#include "([^"]+)"', text):
        assert (ROOT / "csrc" / name).is_file(), f"{name} is not below csrc/"
        order = (CPP_LAYERS.index(cpp_layer(Path(name))), CPP_LAYERS.index(cpp_layer(own)))
        assert order[0] <= order[1], f"{own} includes {name}"
        if own.parts[0] == "cuda":  # it does not link the engine
            assert cpp_layer(Path(name)) in ("core", "ops headers", "cuda"), f"{own}: {name}"
    for name in re.findall(r"#include <([^>]+)>", text):
        if name.startswith("pybind11"):
            assert own.parts[0] == "bindings"
        if name.startswith("cuda"):
            kernel = own.parts[:2] == ("cuda", "kernels")
            assert kernel or str(own) in CUDA_RUNTIME, f"{own}: the seam is csrc/cuda/device.h"
    if own.parts[:2] == ("cpu", "kernels"):
        assert not re.search(r"std::(?!mem)", re.sub(r"//.*", "", text)), "templates: see vec.h"
