"""What training did: numbers of each epoch, the confusion of classes, and pictures of both."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import UnsupportedError
from pycnn.opset import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Measured",
    "Step",
    "best_of",
    "confusion_matrix",
    "draw_confusion",
    "draw_curves",
    "measure",
]

# Classes up to which the numbers of a confusion matrix can be read.
_READABLE_CLASSES = 20


@dataclass(frozen=True)
class Measured:
    """Mean cross-entropy, and the part of the images that are classified rightly.

    Where every class weighs the same, the loss is the mean of the classes' mean losses.
    """

    loss: float
    accuracy: float

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, accuracy {100 * self.accuracy:.1f} %"


@dataclass(frozen=True)
class Step:
    """One row of the history.

    Attributes
    ----------
    setting
        The epoch, 0 being the start, or the strength of regularisation that was tried.
    train, validation
        Of the images that are learnt from, and of those held out.
    seconds
        That it took.
    """

    setting: float
    train: Measured
    validation: Measured
    seconds: float


def best_of(history: Sequence[Step]) -> Step:
    """The step whose parameters are kept: the first of the lowest loss on held-out images."""
    return min(history, key=lambda step: (math.isnan(step.validation.loss), step.validation.loss))


def measure(logits: Array, labels: npt.NDArray[np.int64], balance: bool = False) -> Measured:
    """Loss and accuracy of logits ``(N, classes)``; every class may weigh the same in the loss."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1))
    loss = log_sum - shifted[np.arange(len(labels)), labels]
    weights = 1 / np.bincount(labels)[labels] if balance else None
    mean = float(np.average(loss, weights=weights))
    return Measured(mean, float((logits.argmax(1) == labels).mean()))


def confusion_matrix(
    logits: Array, labels: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.int64]:
    """How often each class (row) was taken for each (column)."""
    pairs = labels * classes + logits.argmax(1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def draw_curves(history: Sequence[Step], setting: str, path: str | os.PathLike[str]) -> None:
    """Write a PNG of loss and accuracy over `setting`, "epoch" or "C".

    Raises
    ------
    UnsupportedError
        matplotlib is not installed.
    """
    figure = _figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    x = [step.setting for step in history]
    for label, style, measured in (
        ("training", "o-", [step.train for step in history]),
        ("held out", "s-", [step.validation for step in history]),
    ):
        left.plot(x, [found.loss for found in measured], style, ms=3, label=label)
        right.plot(x, [100 * found.accuracy for found in measured], style, ms=3, label=label)
    for axes, title in ((left, "cross-entropy"), (right, "accuracy, %")):
        axes.set_xlabel("C (larger: less regularised)" if setting == "C" else setting)
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if setting == "C":
            axes.set_xscale("log")
        else:
            axes.xaxis.get_major_locator().set_params(integer=True)
    left.legend()
    _save(figure, path)


def draw_confusion(
    confusion: npt.NDArray[np.int64], classes: Sequence[str], path: str | os.PathLike[str]
) -> None:
    """Write a PNG of a confusion matrix: each row in parts of its class.

    Raises
    ------
    UnsupportedError
        matplotlib is not installed.
    """
    side = min(max(3.5, 1.5 + 0.5 * len(classes)), 20.0)
    figure = _figure(side + 1, side)
    axes = figure.subplots()
    parts = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    image = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    axes.set_title("held-out images")
    figure.colorbar(image, ax=axes, shrink=0.8, label="part of the class")
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=90)
    axes.set_yticks(places, classes)
    axes.set_xlabel("taken for")
    axes.set_ylabel("class")
    if len(classes) <= _READABLE_CLASSES:
        for i in places:
            for j in places:
                colour = "white" if parts[i, j] > 0.5 else "black"
                axes.text(j, i, str(confusion[i, j]), ha="center", va="center", color=colour)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UnsupportedError(
            "pictures need matplotlib, which is not installed: pip install 'pycnn[train]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format="png")
