"""What a trained Inception v1 answers without local response normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.inside.studies import Settings, cifar10
from pycnn.inside.studies.report import Report, new_figure
from pycnn.loading import load
from pycnn.model import Model, preprocessing_of
from pycnn.opset import Array
from pycnn.vision.files import expand
from pycnn.vision.stream import Stream

_IMAGES = 1000
_BATCH = 32


def with_scale(model: Model, factors: dict[str, float]) -> Model:
    """The model with each normalisation replaced by one factor for all values."""
    return model.edit(
        replace={
            name: lambda g, x, name=name, factor=factor: g.affine(f"{name}_scale", x, scale=factor)
            for name, factor in factors.items()
        }
    )


def mean_factors(model: Model, batches: Sequence[Array]) -> dict[str, float]:
    """What the normalisations multiply by on average: mean output over mean input."""
    lrns = [node for node in model.graph.nodes if node.op == "lrn"]
    sums = {node.name: np.zeros(2) for node in lrns}
    for batch in batches:
        wanted = [name for node in lrns for name in (node.name, *node.inputs)]
        taps: Any = model.run(batch, taps=wanted)
        for node in lrns:
            after, before = taps[node.name], taps[node.inputs[0]]
            sums[node.name] += [np.abs(after).sum(), np.abs(before).sum()]
    return {name: float(a / b) for name, (a, b) in sums.items()}


def run(report: Report, settings: Settings) -> None:
    """Compare answers of three networks on real images."""
    assert settings.data is not None  # study() asked for it
    model = load("inception_v1", settings.weights)
    batches, what = _batches(settings.data, model)
    lrns = [node.name for node in model.graph.nodes if node.op == "lrn"]
    factors = mean_factors(model, batches[:4])
    networks = {
        "as trained": model,
        "without": model.edit(drop=lrns),
        "one factor instead": with_scale(model, factors),
    }
    report.heading("What is compared")
    report.text(
        f"The trained Inception v1 of BVLC on {what}: as it is; with its normalisations "
        f"({', '.join(lrns)}) left out; and with each replaced by one number, its mean effect on "
        f"the first images ({', '.join(f'{factor:.3f}' for factor in factors.values())}), so that "
        "only what depends on the neighbouring channels is lost. Nothing is trained again."
    )
    report.code(with_scale)
    answers = {name: _answers(network, batches) for name, network in networks.items()}
    before = answers["as trained"]
    rows, agree = [], {}
    for name, after in answers.items():
        same = float((after.argmax(1) == before.argmax(1)).mean())
        five = np.argsort(-after, 1)[:, :5]
        among = float((five == before.argmax(1)[:, None]).any(1).mean())
        moved = float(np.abs(after - before).sum(1).mean() / 2)
        agree[name] = same
        rows.append((name, f"{100 * same:.1f} %", f"{100 * among:.1f} %", f"{moved:.3f}",
                     f"{after.max(1).mean():.3f}"))  # fmt: skip
        report.numbers[name] = {
            "same_answer": same,
            "among_five": among,
            "probability_moved": moved,
        }
    report.table(
        "Beside the network as trained",
        ("network", "same answer", "its answer among five", "probability moved", "mean of largest"),
        rows,
    )
    figure = new_figure(8, 3.5)
    axes = figure.subplots()
    for name, after in answers.items():
        axes.hist(after.max(1), bins=[i / 20 for i in range(21)], histtype="step", label=name)
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("images")
    axes.legend()
    report.figure(figure, "How sure the networks are.")
    report.heading("What comes out")
    report.finding(
        f"Left out of a network that was trained with it, the answer stays the same for "
        f"{100 * agree['without']:.1f} % of the images; with one factor in its place for "
        f"{100 * agree['one factor instead']:.1f} %."
    )


def _batches(data: Path, model: Model) -> tuple[list[Array], str]:
    if any(data.glob("data_batch_*.bin")) or any(data.glob("train_*.png")):
        _, held_out = cifar10.read(data)
        images: Any = held_out.subset(np.arange(_IMAGES))
        what = f"{_IMAGES:,} images of CIFAR-10, enlarged"
    else:
        files = expand(data)[:_IMAGES]
        images, what = (files, np.zeros(len(files), np.int64)), f"{len(files)} images"
    stream = Stream(images, preprocessing_of(model), batch_size=_BATCH)
    return [pixels for pixels, _ in stream], what


def _answers(model: Model, batches: Sequence[Array]) -> npt.NDArray[np.float32]:
    """Probabilities (N, classes)."""
    return np.concatenate([model.probabilities(batch) for batch in batches])
