"""What the auxiliary heads of Inception v1 reach while it trains, and what they do to it."""

from __future__ import annotations

from pycnn.inside.studies import Settings, small
from pycnn.inside.studies.report import Report, new_figure
from pycnn.inside.studies.training import AUXILIARY_WEIGHT


def run(report: Report, settings: Settings) -> None:
    """Train a small Inception with its heads and without."""
    data = small.data_of(settings)
    with_heads = small.train_small(small.inception(heads=True), data, settings)
    alone = small.train_small(small.inception(), data, settings)
    report.heading("What is trained")
    small.about(report, data, alone)
    report.text(
        "Three Inception modules of a quarter of the paper's widths. Behind the first and the "
        "second stands a head as in the paper, a quarter as wide: average pool, 1x1 convolution, "
        "two linear layers, dropout of 0.7. Their losses are added, "
        f"{AUXILIARY_WEIGHT} times each (section 5); for use they are cut off."
    )
    report.code(small.inception)
    accuracies = {
        name: [100 * epoch.heads[name].accuracy for epoch in with_heads.history]
        for name in with_heads.history[-1].heads
    }
    accuracies["main"] = [100 * epoch.held_out.accuracy for epoch in with_heads.history]
    accuracies["main, trained alone"] = [100 * epoch.held_out.accuracy for epoch in alone.history]
    report.numbers.update(accuracies)
    figure = new_figure(7, 4)
    axes = figure.subplots()
    for name, values in accuracies.items():
        style = "s--" if "alone" in name else "o-"
        axes.plot(range(1, len(values) + 1), values, style, ms=4, label=name)
    small.label_epochs(axes)
    axes.set_ylabel("held-out accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend()
    report.heading("What comes out")
    report.table(
        "Held-out accuracy, %",
        ("head", "after one epoch", "at the end"),
        [(name, f"{a[0]:.1f}", f"{a[-1]:.1f}") for name, a in accuracies.items()],
    )
    report.figure(figure, "Held-out accuracy of each head after each epoch.")
    last = {name: values[-1] for name, values in accuracies.items()}
    report.finding(
        f"The heads reach {last['aux1']:.1f}, {last['aux2']:.1f} and {last['main']:.1f} %, from "
        "the first to the main one: "
        + (
            "each module adds to it."
            if last["aux1"] < last["aux2"] < last["main"]
            else "not every module adds to it."
        )
    )
    error = small.standard_error(last["main"], len(data[1]))
    report.finding(
        f"Trained alone, without heads, the network reaches {last['main, trained alone']:.1f} %, "
        f"with them {last['main']:.1f} %; by the number of images alone the standard error of each "
        f"is {error:.1f}. It is shallow: what heads do for a deep network this does not tell."
    )
