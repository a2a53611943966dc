"""The four regimes against the number of training images.

    python examples/cifar10/four_regimes.py [--per-class 10 30 ...]

Inception v1 on CIFAR-10, mirrored images (but for "freeze", which keeps the frozen part's output
in the store), at most 20 epochs of gradient descent, four of "full". Points go to a file as they
are measured; a further call goes on from there and draws the chart.
"""

from __future__ import annotations

from pathlib import Path

from images import STORE, accuracy, arguments, first_of_each_class, load_to_choose
from networks import inception, logits_from_store
from points import Points

from pycnn.transfer import Schedule, fit
from pycnn.transfer.history import measure
from pycnn.vision import Augmentation, Mirror

FREEZE = "freeze:pool4/3x3_s2"  # trains the modules 5a and 5b, and the head
REGIMES = {"features": "o-", "head": "s--", FREEZE: "^-", "full": "D-"}
# An epoch of "full" costs as much as ten of the others, which begin from the frozen part's output.
EPOCHS = {"full": 4}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--per-class", type=int, nargs="+", default=[10, 30, 100, 300])
    parser.add_argument("--regimes", nargs="+", default=list(REGIMES), choices=list(REGIMES))
    parser.add_argument("--held-out", type=int, default=1_000)
    options = parser.parse_args()
    everything, choosing, held_out = load_to_choose(options.data)
    choosing = first_of_each_class(choosing, 10)
    held_out = held_out.subset(range(options.held_out))
    model = inception(options.data)
    points = Points(options.out / "four_regimes.jsonl")
    for count in options.per_class:
        for regime in options.regimes:

            def point(count: int = count, regime: str = regime) -> dict[str, float]:
                done = fit(
                    model,
                    first_of_each_class(everything, count),
                    regime,
                    validation=choosing,
                    augmentation=Augmentation(Mirror()) if regime in ("head", "full") else None,
                    schedule=Schedule(epochs=EPOCHS.get(regime, 20), batch_size=16, patience=5),
                    store=options.store,
                )
                if regime in ("features", "head"):  # the frozen part is in the store
                    logits = logits_from_store(done.model, model, held_out, options.store)
                    right = measure(logits, held_out.labels).accuracy
                else:
                    right = accuracy(done.model, held_out)
                seconds = sum(step.seconds for step in done.history)
                return {"accuracy": round(right, 4), "training_s": round(seconds, 1)}

            points.measure({"regime": regime, "per_class": count}, point)
    points.draw(
        options.out / "four_regimes.png",
        "regime",
        REGIMES,
        "Inception v1 on CIFAR-10: what may learn",
    )


if __name__ == "__main__":
    main()
