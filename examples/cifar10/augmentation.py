"""A small network trained on CIFAR-10 with and without augmentation, on the same budget.

python examples/cifar10/augmentation.py --data ../shared/data
"""

from __future__ import annotations

from pathlib import Path

from networks import stages
from training import options, train

from pycnn.vision import Augmentation, Mirror, RandomCrop

CHAINS = {
    "as they are": None,
    "mirrored, cropped": Augmentation([RandomCrop(32, padding=4), Mirror()], border="reflect"),
}


def main() -> None:
    args, images, tested = options(__doc__)
    histories = {}
    for name, augmentation in CHAINS.items():
        print(name)
        model = stages("small", (32, 64, 128), convolutions=1)
        _, histories[name] = train(model, images, augmentation, args.epochs, tested=tested)
    print(f"\n{len(images)} training images, {len(tested)} held out, {args.epochs} epochs")
    for name, history in histories.items():
        _, own, other = history[-1]
        print(f"{name:32} {own:6.1%} of the training images, {other:6.1%} held out")
    draw(histories, args.out / "augmentation.png")


def draw(histories: dict[str, list[tuple[int, float, float]]], path: Path) -> None:
    """Both accuracies over the epochs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for (name, history), colour in zip(histories.items(), ("C3", "C0"), strict=True):
        epochs = [row[0] for row in history]
        own, other = ([100 * row[i] for row in history] for i in (1, 2))
        axes.plot(epochs, other, colour, label=name)
        axes.plot(epochs, own, colour, linestyle=":")
        axes.annotate(f"{other[-1]:.1f} %", (epochs[-1], other[-1]), (4, -3), color=colour,
                      textcoords="offset points")  # fmt: skip
    axes.set(xlabel="epoch", ylabel="accuracy, %", title="CIFAR-10: held out (dotted: trained on)")
    axes.margins(x=0.09)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
