"""The Python of the documents runs, and the site's pages of networks are true."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pycnn
from pycnn.conversion import convert
from pycnn.models import find, names, variants

ROOT = Path(__file__).parents[1]


def run(code: str, name: str, **given: Any) -> str:
    """What a program prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, name, "exec"), given)
    return said.getvalue()


def snippets(page: str) -> str:
    """A page's Python, as one program."""
    text = (ROOT / "docs" / page).read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert code
    return code


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
    said = run(snippets("first_hour.md"), "first_hour.md")
    assert said.splitlines()[1].startswith("7 0.99")
    assert "(1, 3)" in said.splitlines()[-1]


# With files of these names, and random weights in the place of published ones ---------------------


@pytest.fixture
def small() -> pycnn.Model:
    """A network that reads photographs and is quick."""
    graph = pycnn.Graph("small")
    x = graph.input("data", (3, 224, 224))
    x = graph.relu("relu1", graph.conv2d("conv1/7x7_s2", x, 8, 7, stride=4))
    x = graph.flatten("flat", graph.global_avg_pool("pool", x))
    graph.output(graph.linear("fc", x, 2))
    model = pycnn.Model(graph, pycnn.weights.RandomWeights(graph, 0), labels=["cat", "dog"])
    model.preprocessing = find("inception_v1").preprocessing
    return model


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: pycnn.Model, rng: np.random.Generator
) -> Path:
    """A folder with the photographs that the documents speak of; `load` gives `small` for names."""
    for i, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(8):
            pixels = rng.integers(0, 120, (240, 260, 3)) + 130 * i
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(tmp_path / "photos" / name / f"{k}.png")
    for name in ("cat.jpg", "new.jpg", "photo.jpg"):
        picture.save(tmp_path / name)
    real = pycnn.load

    def load(name: Any, *args: Any, **options: Any) -> pycnn.Model:
        return real(name, *args, **options) if args or options or "." in str(name) else small

    monkeypatch.setattr(pycnn, "load", load)
    monkeypatch.setenv("PYCNN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_weights(world: Path, small: pycnn.Model) -> None:
    small.save("small.safetensors")
    convert(world / "small.safetensors", world / "model.onnx")
    run(snippets("weights.md"), "weights.md", pycnn=pycnn)
    assert pycnn.load("mine.safetensors").labels == ("cat", "dog")


def test_formats(world: Path, shared_data: Callable[[str], Path]) -> None:
    pycnn.load("resnet50", "random").save("resnet50.npz")
    torch.save({k: torch.from_numpy(v) for k, v in np.load("resnet50.npz").items()}, "resnet50.pth")
    files = {"deploy.prototxt": "*.prototxt", "net.caffemodel": "*.caffemodel"}
    for name, pattern in files.items():
        (file,) = shared_data("nin_cifar10").glob(pattern)
        (world / name).symlink_to(file)
    pycnn.load("deploy.prototxt", weights="net.caffemodel").save("weights.npz")
    convert(world / "weights.npz", world / "model.onnx")
    run(snippets("formats.md"), "formats.md", pycnn=pycnn)


def test_practice(world: Path, small: pycnn.Model, rng: np.random.Generator) -> None:
    seen = 0

    def train(images: torch.Tensor, labels: torch.Tensor) -> float:
        nonlocal seen
        seen += len(labels)
        return 0.0

    batch = rng.standard_normal((2, 3, 256, 256), np.float32)
    given = {"model": small, "train": train, "batch": batch, "files": ["cat.jpg", "new.jpg"]}
    said = run(snippets("practice.md"), "practice.md", pycnn=pycnn, torch=torch, **given)
    assert seen == 160
    assert "160 images in 10 batches" in said
    assert (world / "sheet.png").exists()


def test_transfer(world: Path) -> None:
    said = run(snippets("transfer.md"), "transfer.md")
    assert "features" in said
    assert {file.name for file in (world / "plots").iterdir()} == {"curves.png", "confusion.png"}
    assert pycnn.load("mine.safetensors").labels == ("cat", "dog")


# The site -----------------------------------------------------------------------------------------


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
    assert 'pycnn.load("lenet5")\n' in pages["networks/lenet5.md"]
    assert '`pycnn.load("nin")` takes the published weights' in pages["networks/nin.md"]
    assert "resize   shorter side to 256" in pages["networks/vgg16.md"]
    assert "138,357,544 parameters, 15,470,264,320" in pages["networks/vgg16.md"]
    assert "99.23 %" in pages["networks/lenet5.md"]
    assert "as published" in pages["networks/resnet50.md"]
    for text in pages.values():
        assert "None" not in text
