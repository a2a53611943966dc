"""Five small networks trained on CIFAR-10, against the best of them; ten crops against one.

They differ in architecture, input size and seed. What the ensemble gains, where its members
disagree, and what it costs. The one that takes 24 x 24 of the 32 x 32 pixels can see ten crops.

    python examples/cifar10/ensemble.py --data ../shared/data
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from networks import centre, stages
from training import options, train

import pycnn
from pycnn.vision import Augmentation, Mirror, RandomCrop

NETWORKS = (
    stages("plain", (16, 32, 64), convolutions=1),
    stages("large filters", (16, 32), convolutions=1, kernel=5),
    stages("wide", (24, 48, 96), convolutions=1),
    stages("deep", (12, 24, 48), convolutions=2),
    stages("24 x 24", (24, 48, 96), convolutions=1, side=24),
)


def main() -> None:
    args, images, tested = options(__doc__)
    members = []
    for seed, model in enumerate(NETWORKS):
        print(model.name)
        side = model.preprocessing.input_size[0]
        augmentation = Augmentation([RandomCrop(side, padding=(36 - side) // 2), Mirror()])
        members.append(train(model, images, augmentation, args.epochs, seed)[0])
    ensemble = pycnn.Ensemble(members)

    batches = ensemble.batches([tested[i] for i in range(len(tested))])
    opinions = ensemble.opinions(batches)
    right = [(rows.argmax(1) == tested.labels).mean() for rows in opinions.members]
    together = opinions.mean.argmax(1) == tested.labels
    print(f"\n{len(images)} training images, {args.epochs} epochs, {len(tested)} held out\n")
    print(ensemble.summary(batch=16, runs=20))
    print()
    for model, part in zip(members, right, strict=True):
        print(f"{model.name:16} {part:.1%}")
    print(f"{'all together':16} {together.mean():.1%}, best member {max(right):.1%}")

    order = np.argsort(opinions.disagreement)
    fifths = [together[part].mean() for part in np.array_split(order, 5)]
    print("right, by fifths of the images, from agreed on to disputed:")
    print("  " + "  ".join(f"{part:.1%}" for part in fifths))
    print(f"views of {members[-1].name!r}:")
    pixels = centre(32).batch([tested[i] for i in range(len(tested))])
    for crops in (1, 2, 10):
        start = time.perf_counter()
        found = members[-1].run(pixels, crops=crops).argmax(1)
        ms = 1e3 * (time.perf_counter() - start) / len(tested)
        print(f"  {crops:2} crops: {(found == tested.labels).mean():.1%}, {ms:.2f} ms an image")
    names = [member.name for member in members]
    draw(right, float(together.mean()), fifths, names, args.out / "ensemble.png")


def draw(
    right: list[float], together: float, fifths: list[float], names: list[str], path: Path
) -> None:
    """Accuracies of members and ensemble, and the ensemble's by disagreement."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, other) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    bars = left.bar([*names, "all"], [100 * p for p in (*right, together)])
    bars[-1].set_color("C1")
    left.bar_label(bars, fmt="%.1f")
    left.set(ylabel="held out, % right", title="Five networks, and all together")
    left.tick_params(axis="x", rotation=20)
    bars = other.bar(["agreed", "", " ", "  ", "disputed"], [100 * p for p in fifths], color="C1")
    other.bar_label(bars, fmt="%.1f")
    other.set(title="All together, by how far the members disagree", ylabel="% right")
    for axes in (left, other):
        axes.set_ylim(0, 100)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
