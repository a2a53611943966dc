"""LeNet-5 with tanh, sigmoid and ReLU, before or after its pooling."""

from __future__ import annotations

import numpy as np

from pycnn import ops
from pycnn.graph import Graph
from pycnn.inside.studies import Settings, mnist
from pycnn.inside.studies.report import Report, new_figure
from pycnn.inside.studies.training import Epoch, Recipe, train
from pycnn.loading import load
from pycnn.model import Model

ACTIVATIONS = {"tanh": Graph.tanh, "sigmoid": Graph.sigmoid, "relu": Graph.relu}
EPOCHS = 5


def lenet(activation: str, place: str) -> Model:
    """LeNet-5 with He's random weights; `place` is "before" or "after" each pooling."""
    model = load("lenet5", "random", activation=activation)
    if place == "after":
        return model
    squash = ACTIVATIONS[activation]
    return model.edit(
        drop=[f"s2/{activation}", f"s4/{activation}"],
        insert={
            conv: lambda g, x, conv=conv: squash(g, f"{conv}/{activation}", x)
            for conv in ("c1", "c3")
        },
    )


def run(report: Report, settings: Settings) -> None:
    """Train six networks on MNIST."""
    assert settings.data is not None  # study() asked for it
    learnt, held_out = mnist.read(settings.data)
    recipe = Recipe(4 * EPOCHS if settings.full else EPOCHS, seed=settings.seed)
    report.heading("What is trained")
    report.text(
        f"Six networks on {len(learnt):,} digits, {recipe.epochs} epochs each, tested on "
        f"{len(held_out):,} others. All else is the same: weights, order, rate "
        f"({recipe.learning_rate} at its highest)."
    )
    report.code(lenet)
    histories: dict[tuple[str, str], list[Epoch]] = {}
    for activation in ACTIVATIONS:
        for place in ("after", "before"):
            stem = recipe.stem(f"lenet5_{activation}_{place}")
            checkpoint = settings.folder / f"{stem}.pt"
            model = lenet(activation, place)
            _, histories[activation, place] = train(
                model, recipe, learnt, held_out, checkpoint, device=settings.device
            )
    figure = new_figure(8, 4)
    axes = figure.subplots()
    rows = []
    for (activation, place), history in histories.items():
        errors = [100 * (1 - epoch.held_out.accuracy) for epoch in history]
        style = "o-" if place == "after" else "s--"
        axes.plot([epoch.number for epoch in history], errors, style, label=f"{activation} {place}")
        last = history[-1]
        rows.append((f"{activation} {place} pooling", f"{last.training.loss:.4f}",
                     f"{errors[-1]:.2f} %", f"{errors[0]:.2f} %"))  # fmt: skip
        report.numbers[f"{activation} {place}"] = errors
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("held-out error, %")
    axes.grid(alpha=0.3)
    axes.legend()
    report.table(
        "At the end", ("network", "training loss", "held-out error", "after one epoch"), rows
    )
    report.figure(figure, "Held-out error; solid: after pooling, dashed: before it.")
    best = min(report.numbers, key=lambda name: report.numbers[name][-1])
    worst = max(report.numbers, key=lambda name: report.numbers[name][-1])
    report.finding(
        f"Best is {best} pooling with {report.numbers[best][-1]:.2f} % of held-out digits wrong, "
        f"worst {worst} pooling with {report.numbers[worst][-1]:.2f} %; the standard error of such "
        f"a number is {100 * np.sqrt(0.01 * 0.99 / len(held_out)):.2f}."
    )
    _max_pooling(report, settings.seed)


def _max_pooling(report: Report, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((2, 6, 28, 28), np.float32)
    equal = {
        name: bool(np.array_equal(ops.max_pool2d(f(x), 2), f(ops.max_pool2d(x, 2))))
        for name, f in (("tanh", ops.tanh), ("sigmoid", ops.sigmoid), ("relu", ops.relu))
    }
    report.numbers["max pooling: equal bits"] = equal
    report.heading("With max pooling the place does not matter")
    report.finding(
        "A function that never falls and a maximum may change places: the same numbers, bit for "
        f"bit, with {', '.join(name for name, same in equal.items() if same)}; applied after "
        "pooling it is computed on a quarter of the values. With LeNet-5's averages it matters."
    )
