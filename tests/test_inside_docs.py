"""The examples of docs/inside.md and of the docstrings that it speaks of are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import pycnn.inside

ROOT = Path(__file__).parents[1]
MODULES = [
    "pycnn.inspection",
    "pycnn.receptive_field",
    "pycnn.surgery",
    "pycnn.tables",
    *(module.name for module in pkgutil.iter_modules(pycnn.inside.__path__, "pycnn.inside.")),
]


def test_docstrings() -> None:
    tried = 0
    for name in MODULES:
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        tried += result.attempted
    assert tried > 20


def test_snippets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, as one program, on an image of noise in the place of the photographs."""
    text = (ROOT / "docs" / "inside.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert "class_activation(" in code
    sample = ROOT / "pycnn" / "data" / "samples" / "digit_3_50950.png"
    for name in ("cat.jpg", "dog.jpg"):
        (tmp_path / name).write_bytes(sample.read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "inside.md", "exec"), {})
