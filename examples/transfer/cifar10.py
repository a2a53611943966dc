"""The CIFAR-10 images and the Inception v1 of ../shared/data, for the examples of this folder."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import pycnn
from pycnn import Graph, Model
from pycnn.transfer import Features, extract
from pycnn.vision import Dataset, Preprocessing
from pycnn.vision.labels import labels
from pycnn.weights import RandomWeights

ROOT = Path(__file__).resolve().parents[2]
HELD_OUT = 5_000  # the last images, by which nothing is trained or chosen
CHOOSING = 100  # of each class, the last before those: by which settings are chosen
TAP = "pool5/7x7_s1"  # 1,024 numbers an image


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What every example of this folder can be told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--store", type=Path, default=ROOT / "build" / "stores")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "examples")
    return parser


def load(data: Path) -> tuple[Dataset, Dataset, Dataset]:
    """Images to learn from (44,000), to choose settings by (1,000), and held out (5,000)."""
    sheets = sorted((data / "cifar10").glob("train_*.png"))
    pixels = np.concatenate([np.asarray(Image.open(sheet)) for sheet in sheets])
    classes = np.load(data / "cifar10" / "train_labels.npy").astype(np.int64)
    everything = Dataset(pixels.reshape(-1, 32, 32, 3), classes, labels("cifar10"))
    places = np.arange(len(everything))
    rest, held_out = everything.subset(places[:-HELD_OUT]), everything.subset(places[-HELD_OUT:])
    by_class = [np.flatnonzero(rest.labels == number) for number in range(10)]
    choosing = np.sort(np.concatenate([members[-CHOOSING:] for members in by_class]))
    learning = np.setdiff1d(np.arange(len(rest)), choosing)
    return rest.subset(learning), rest.subset(choosing), held_out


def first_of_each_class(dataset: Dataset, count: int) -> Dataset:
    """The first `count` images of each class, in their order; all where there are fewer."""
    chosen = [
        np.flatnonzero(dataset.labels == number)[:count] for number in range(len(dataset.classes))
    ]
    return dataset.subset(np.sort(np.concatenate(chosen)))


def inception(data: Path) -> Model:
    """The real Inception v1 of BVLC; for throughput, since whole batches go through it.

    Its own preprocessing cuts the borders off, which on 32 x 32 pixels is a loss: here the whole
    image becomes 224 x 224.
    """
    weights = data / "inception_v1_bvlc" / "weights.npz"
    model = pycnn.load("inception_v1", weights, optimize="throughput")
    assert model.preprocessing is not None
    model.preprocessing = dataclasses.replace(model.preprocessing, resize=(224, 224), crop=None)
    return model


def small_cnn() -> Model:
    """Three convolutions with batch normalisation, 94,000 parameters, for 32 x 32 pixels."""
    g = Graph("small_cnn")
    x = g.input("data", (3, 32, 32))
    for i, channels in enumerate((32, 64, 128), start=1):
        x = g.conv2d(f"conv{i}", x, channels, 3, padding=1, bias=False)
        x = g.relu(f"relu{i}", g.batch_norm(f"bn{i}", x))
        x = g.max_pool2d(f"pool{i}", x, 2)
    x = g.global_avg_pool("pool", x)
    g.output(g.linear("fc", x, 10))
    preprocessing = Preprocessing((32, 32), scale=1 / 64, mean=(2.0,))
    return Model(g, RandomWeights(g), preprocessing=preprocessing)


def lenet_like(classes: int) -> Model:
    """LeNet-5 with ReLU on colour: what one would train from nothing."""
    g = Graph("lenet_like")
    x = g.relu("relu1", g.conv2d("c1", g.input("data", (3, 32, 32)), 6, 5))
    x = g.relu("relu2", g.conv2d("c3", g.max_pool2d("s2", x, 2), 16, 5))
    x = g.flatten("flatten", g.max_pool2d("s4", x, 2))
    x = g.relu("relu3", g.linear("c5", x, 120))
    x = g.relu("relu4", g.linear("f6", x, 84))
    g.output(g.linear("output", x, classes))
    preprocessing = Preprocessing((32, 32), scale=1 / 64, mean=(2.0,))
    return Model(g, RandomWeights(g), preprocessing=preprocessing)


def logits_from_store(fitted: Model, trunk: Model, data: Dataset, store: Path) -> npt.NDArray:
    """Logits of a model that "features" gave, from the stored features of its frozen part."""
    features: Features = extract(trunk, TAP, data, store=store)
    head = fitted.content()
    weight, bias = (head.read(f"loss3/classifier.{role}") for role in ("weight", "bias"))
    return features.matrix() @ weight.reshape(len(weight), -1).T + bias


def accuracy(model: Model, data: Dataset, batch: int = 100) -> float:
    """Part of the images that a model classifies rightly."""
    assert model.preprocessing is not None and data.array is not None
    right = 0
    for start in range(0, len(data), batch):
        part = data.subset(range(start, min(start + batch, len(data))))
        logits = model.run(model.preprocessing.batch([part[i] for i in range(len(part))]))
        right += int((logits.argmax(1) == part.labels).sum())
    return right / len(data)
