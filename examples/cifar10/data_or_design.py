"""Data against hand-engineering: how much each way of seeing gains from more images.

    python examples/cifar10/data_or_design.py [--per-class 10 50 ...]

HOG features with a linear classifier (scikit-image, Dalal and Triggs 2005), a small CNN trained
from nothing, and features of Inception v1 with a softmax head, on the same images of CIFAR-10; all
measured on the same held-out images. Points go to a file as they are measured; a further call goes
on from there and draws the chart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from images import STORE, accuracy, arguments, first_of_each_class, load_to_choose
from networks import inception, logits_from_store, stages
from points import Points
from skimage.feature import hog
from training import train

from pycnn.transfer import fit
from pycnn.transfer.history import measure
from pycnn.transfer.softmax import fit_softmax
from pycnn.vision import Augmentation, Dataset, Mirror, RandomCrop

WAYS = {
    "HOG, linear classifier": "s--",
    "small CNN from nothing": "^-",
    "Inception v1 features": "o-",
}
# The small CNN sees about as many images whatever their number, each 5 to 200 times.
IMAGES_SEEN = 120_000


def hog_features(data: Dataset) -> npt.NDArray[np.float32]:
    """(N, 1764): nine directions in cells of 4 x 4 pixels, normalised in blocks of 2 x 2 cells."""
    return np.stack(
        [
            hog(data[i], 9, (4, 4), (2, 2), block_norm="L2-Hys", channel_axis=-1)
            for i in range(len(data))
        ]
    ).astype(np.float32)


def by_hog(learning: Dataset, choosing: Dataset, held_out: Dataset) -> float:
    x, x_choosing, x_held_out = (hog_features(data) for data in (learning, choosing, held_out))
    heads = [
        fit_softmax(x, learning.labels, 10, strength, with_bias=True, balance=False)
        for strength in (0.0003, 0.003)
    ]
    best = min(heads, key=lambda head: measure(head.logits(x_choosing), choosing.labels).loss)
    return measure(best.logits(x_held_out), held_out.labels).accuracy


def by_small_cnn(learning: Dataset, held_out: Dataset) -> float:
    """Three convolutions, trained as in augmentation.py."""
    model, _ = train(
        stages("small", (32, 64, 128), convolutions=1),
        learning,
        Augmentation([RandomCrop(32, padding=4), Mirror()], border="reflect"),
        epochs=min(200, max(5, IMAGES_SEEN // len(learning))),
    )
    return accuracy(model, held_out)


def by_inception(
    learning: Dataset, choosing: Dataset, held_out: Dataset, options: argparse.Namespace
) -> float:
    model = inception(options.data)
    done = fit(model, learning, "features", validation=choosing, store=options.store)
    logits = logits_from_store(done.model, model, held_out, options.store)
    return measure(logits, held_out.labels).accuracy


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--store", type=Path, default=STORE)
    sizes = [10, 50, 200, 500, 1000, 2000, 4300]
    parser.add_argument("--per-class", type=int, nargs="+", default=sizes)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    options = parser.parse_args()
    everything, choosing, held_out = load_to_choose(options.data)
    points = Points(options.out / "data_or_design.jsonl")
    for count in options.per_class:
        learning = first_of_each_class(everything, count)
        sets = (learning, choosing, held_out)
        measures = {
            "HOG, linear classifier": lambda sets=sets: by_hog(*sets),
            "small CNN from nothing": lambda sets=sets: by_small_cnn(sets[0], sets[2]),
            "Inception v1 features": lambda sets=sets: by_inception(*sets, options),
        }
        for way in options.ways:
            points.measure(
                {"way": way, "per_class": count},
                lambda way=way, measures=measures: {"accuracy": round(measures[way](), 4)},
            )
    points.draw(
        options.out / "data_or_design.png",
        "way",
        WAYS,
        "CIFAR-10: what is designed, and what is learnt",
    )


if __name__ == "__main__":
    main()
