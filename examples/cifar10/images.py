"""The images of CIFAR-10 in ../shared/data, and what every example of this folder can be told."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from pycnn import Model
from pycnn.vision import Dataset, Stream
from pycnn.vision.labels import labels

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "build" / "stores"
HELD_OUT = 5_000  # the last images, by which nothing is trained or chosen
CHOOSING = 100  # of each class, the last before those: by which settings are chosen


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What every example can be told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data",
        help="folder of cifar10/ (train_00.png ..., 1000 rows of a 32 x 32 image each, and "
        "train_labels.npy) and inception_v1_bvlc/weights.npz",
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "examples", help="folder for what is written"
    )
    return parser


def load(data: Path) -> tuple[Dataset, Dataset]:
    """Images to learn from (45,000) and held-out ones (5,000)."""
    sheets = sorted((data / "cifar10").glob("train_*.png"))
    pixels = np.concatenate([np.asarray(Image.open(sheet)) for sheet in sheets])
    classes = np.load(data / "cifar10" / "train_labels.npy")
    everything = Dataset(pixels.reshape(-1, 32, 32, 3), classes, labels("cifar10"))
    places = np.arange(len(everything))
    return everything.subset(places[:-HELD_OUT]), everything.subset(places[-HELD_OUT:])


def load_to_choose(data: Path) -> tuple[Dataset, Dataset, Dataset]:
    """Images to learn from (44,000), to choose settings by (1,000), and held out (5,000)."""
    rest, held_out = load(data)
    by_class = [np.flatnonzero(rest.labels == number) for number in range(len(rest.classes))]
    choosing = np.sort(np.concatenate([members[-CHOOSING:] for members in by_class]))
    learning = np.setdiff1d(np.arange(len(rest)), choosing)
    return rest.subset(learning), rest.subset(choosing), held_out


def first_of_each_class(dataset: Dataset, count: int) -> Dataset:
    """The first `count` images of each class, in their order; all where there are fewer."""
    chosen = [
        np.flatnonzero(dataset.labels == number)[:count] for number in range(len(dataset.classes))
    ]
    return dataset.subset(np.sort(np.concatenate(chosen)))


def accuracy(model: Model, images: Dataset, crops: int | None = None) -> float:
    """Part of the images that a model names rightly."""
    right = 0
    for pixels, classes in Stream(images, model.preprocessing, batch_size=100):
        right += int((model.run(pixels, crops=crops).argmax(1) == classes).sum())
    return right / len(images)
