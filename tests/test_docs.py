"""The site: its first hour is true, and so are the networks' pages."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pycnn.models import find, names, variants

ROOT = Path(__file__).parents[1]


def run(code: str, name: str) -> str:
    """What a program prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, name, "exec"), {})
    return said.getvalue()


@pytest.fixture(scope="module")
def site() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(
        "networks", ROOT / "tools" / "site" / "networks.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["networks"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["networks"]


def test_the_first_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "first_hour.md").read_text()
    said = run("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), "first_hour.md")
    assert said.splitlines()[1].startswith("7 0.99")
    assert "(1, 3)" in said.splitlines()[-1]


@pytest.mark.parametrize("name", names())
def test_the_snippet_of_a_network(site: ModuleType, name: str) -> None:
    said = run(site.snippet(find(name)), name)
    assert said.startswith("(1, ")
    assert "multiply-adds" in said


def test_each_network_has_a_page_with_all_of_its_variants(site: ModuleType) -> None:
    pages = site.pages()
    for variant in variants():
        assert f"`{variant.id}`" in pages[f"networks/{variant.name}.md"]
        assert pages[f"networks/{variant.name}.svg"].startswith("<svg")
        assert f"({variant.name}.md)" in pages["networks/index.md"]
    assert "138,357,544 parameters, 15,470,264,320" in pages["networks/vgg16.md"]
    assert "99.23 %" in pages["networks/lenet5.md"]
    assert "as published" in pages["networks/resnet50.md"]
    for text in pages.values():
        assert "None" not in text
