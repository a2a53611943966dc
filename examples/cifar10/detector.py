"""A detector of cats and dogs from 50 photographs of each class: cat, dog, neither.

    python examples/cifar10/detector.py

Features of Inception v1 with a softmax head, against a LeNet-like net trained from nothing on the
same 150 images; five draws of the images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from images import STORE, accuracy, arguments, first_of_each_class, load_to_choose
from networks import inception, lenet_like, logits_from_store

from pycnn import Model
from pycnn.transfer import Schedule, fit
from pycnn.transfer.history import measure
from pycnn.vision import Augmentation, Dataset, Mirror, RandomCrop

CLASSES = ("cat", "dog", "neither")
DRAWS = 5


def three_classes(data: Dataset, count: int, seed: int) -> Dataset:
    """Draw `count` cats, as many dogs, and as many of the other eight classes."""
    names = np.array(data.classes)[data.labels]
    kinds = np.where(names == "cat", 0, np.where(names == "dog", 1, 2))
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([rng.permutation(np.flatnonzero(kinds == k))[:count] for k in range(3)])
    images = [data[i] for i in chosen]
    return Dataset(np.stack(images), kinds[chosen], CLASSES)


def by_features(
    model: Model, learning: Dataset, choosing: Dataset, held_out: Dataset, store: Path
) -> float:
    done = fit(model, learning, "features", validation=choosing, store=store)
    logits = logits_from_store(done.model, model, held_out, store)
    return measure(logits, held_out.labels).accuracy


def from_nothing(learning: Dataset, choosing: Dataset, held_out: Dataset, seed: int) -> float:
    done = fit(
        lenet_like(3),
        learning,
        "full",
        validation=choosing,
        augmentation=Augmentation((RandomCrop(32, padding=4), Mirror())),
        schedule=Schedule(epochs=100, learning_rate=0.003, patience=25),
        head="random",
        seed=seed,
    )
    return accuracy(done.model, held_out)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--store", type=Path, default=STORE)
    options = parser.parse_args()
    learning, choosing, held_out = load_to_choose(options.data)
    learning = first_of_each_class(learning, 500)  # whose features the other examples have stored
    model = inception(options.data)
    right = {"features": [], "from nothing": []}
    for seed in range(DRAWS):
        sets = (
            three_classes(learning, 50, seed),
            three_classes(choosing, 50, seed),
            three_classes(held_out, 400, seed),
        )
        right["features"].append(by_features(model, *sets, options.store))
        right["from nothing"].append(from_nothing(*sets, seed))
        print(seed, *(f"{name} {100 * found[-1]:.1f} %" for name, found in right.items()))
    for name, found in right.items():
        mean, low, high = (100 * of(found) for of in (np.mean, min, max))
        print(f"{name}: {mean:.1f} %, from {low:.1f} to {high:.1f}")


if __name__ == "__main__":
    main()
