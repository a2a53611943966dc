"""CIFAR-10 by the features of Inception v1: a softmax head on 500 images a class.

    python examples/cifar10/features.py

The second run finds the features in the store.
"""

from __future__ import annotations

import time
from pathlib import Path

from images import STORE, arguments, first_of_each_class, load_to_choose
from networks import inception, logits_from_store

from pycnn.transfer import fit
from pycnn.transfer.history import measure


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--held-out", type=int, default=5_000)
    options = parser.parse_args()
    learning, choosing, held_out = load_to_choose(options.data)
    held_out = held_out.subset(range(options.held_out))
    model = inception(options.data)
    start = time.perf_counter()
    done = fit(
        model,
        first_of_each_class(learning, options.per_class),
        "features",
        validation=choosing,
        store=options.store,
    )
    logits = logits_from_store(done.model, model, held_out, options.store)
    seconds = time.perf_counter() - start
    options.out.mkdir(parents=True, exist_ok=True)
    done.save(options.out / "cifar10_features.safetensors")
    done.draw(options.out / "cifar10_features")
    right = measure(logits, held_out.labels)
    print(f"{options.per_class} images a class, {done.computed} computed: {right}, {seconds:.1f} s")


if __name__ == "__main__":
    main()
