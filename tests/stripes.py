"""Images that a line of code makes, and a small network that learns to tell them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pycnn import Graph, Model
from pycnn.vision import Dataset, Preprocessing
from pycnn.weights import RandomWeights

SIZE = 12
CLASSES = ("level", "slanted", "upright")


def stripes(count: int, seed: int = 0) -> Dataset:
    """Noisy stripes of three directions, `count` images of each."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    images, labels = [], []
    for i in range(3 * count):
        place = (rows, rows + columns, columns)[i % 3]
        wave = np.sin(1.6 * place + rng.uniform(0, 6)) * 60 + 128
        noise = rng.normal(0, 25, (SIZE, SIZE, 3))
        images.append((wave[..., None] + noise).clip(0, 255).astype(np.uint8))
        labels.append(i % 3)
    return Dataset(np.stack(images), labels, CLASSES)


def seascapes(count: int, seed: int = 0) -> Dataset:
    """Smooth images, `count` of each of three classes, bluer than red: as BGR for RGB looks."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 160, (3 * count, 3, 3, 1)) + np.array([-50, 0, 50])
    labels = np.arange(3 * count) % 3
    coarse += 15 * labels[:, None, None, None]
    return Dataset(coarse.repeat(4, 1).repeat(4, 2).astype(np.uint8), labels, CLASSES)


def folder_of(root: Path, data: Dataset) -> Path:
    """Write the images as PNG, a folder for each class."""
    for i in range(len(data)):
        folder = root / data.classes[data.labels[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data[i]).save(folder / f"{i:03}.png")
    return root


def small_net(head: bool = True, *, strict: bool = False) -> Model:
    """Two blocks with batch normalisation, dropout and a linear head."""
    g = Graph("small")
    x = g.input("data", (3, SIZE, SIZE))
    for i, channels in enumerate((8, 16), start=1):
        x = g.conv2d(f"conv{i}", x, channels, 3, padding=1, bias=False)
        x = g.relu(f"relu{i}", g.batch_norm(f"bn{i}", x))
        x = g.max_pool2d(f"pool{i}", x, 2)
    x = g.global_avg_pool("pool", x)
    g.output(g.linear("fc", g.dropout("drop", x, 0.2), 10) if head else x)
    preprocessing = Preprocessing((SIZE, SIZE), scale=1 / 64, mean=(2.0,))
    return Model(g, RandomWeights(g, 3), preprocessing=preprocessing, strict=strict)


def parameters(model: Model) -> dict[str, np.ndarray]:
    content = model.content()
    return {name: np.array(content.read(name)) for name in model.graph.parameters}


def changed(before: Model, after: Model) -> set[str]:
    old, new = parameters(before), parameters(after)
    return {name for name in new if name not in old or not np.array_equal(old[name], new[name])}
