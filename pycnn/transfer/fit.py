"""Teaching a network new classes: `fit`."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import StoreError
from pycnn.hub import cache_folder
from pycnn.model import Model, preprocessing_of
from pycnn.opset import Array
from pycnn.pytorch import require_torch
from pycnn.transfer.data import HELD_OUT, content_of, require_classes, split
from pycnn.transfer.features import (
    Features,
    Unreadable,
    View,
    extract,
    facts_of,
    folder_of,
)
from pycnn.transfer.history import (
    Step,
    best_of,
    confusion_matrix,
    draw_confusion,
    draw_curves,
    measure,
)
from pycnn.transfer.progress import bar
from pycnn.transfer.regimes import Division, divide, resolve, usual_augmentation
from pycnn.transfer.schedule import Schedule
from pycnn.transfer.softmax import ALWAYS_TRIED, STRENGTHS, SoftmaxHead, fit_softmax
from pycnn.transfer.store import named
from pycnn.vision import Augmentation, Dataset, Stream
from pycnn.vision.dataset import DataLike, as_dataset
from pycnn.vision.preprocess import Preprocessing
from pycnn.weights import ArrayWeights, renewed

__all__ = ["Fit", "fit"]


@dataclass(frozen=True)
class Fit:
    """What :func:`fit` gives.

    Attributes
    ----------
    model
        An ordinary model, with the classes as labels; `Fit.save` keeps all of it.
    regime, reason
        What was frozen, and why.
    history
        Of each epoch, or of each strength of regularisation that was tried.
    accuracy
        Part of the held-out images that the model classifies rightly.
    confusion
        ``(classes, classes)``: how often each class (row) was taken for each (column), of the
        held-out images.
    unreadable
        Images that were left out, with the reason.
    computed
        Rows of features that were not in the store yet.
    """

    model: Model
    regime: str
    reason: str
    history: tuple[Step, ...]
    accuracy: float
    confusion: npt.NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]
    computed: int

    @property
    def setting(self) -> str:
        """What `Step.setting` is: "epoch", or "C", the larger the less regularised."""
        return "C" if self.regime == "features" else "epoch"

    @property
    def kept(self) -> Step:
        """The step whose parameters the model has: the one of the lowest loss held out."""
        return best_of(self.history)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "network": self.model.name,
            "classes": list(self.model.labels or ()),
            "regime": self.regime,
            "reason": self.reason,
            "accuracy": self.accuracy,
            "confusion": self.confusion.tolist(),
            "history": [asdict(step) for step in self.history],
            "kept": asdict(self.kept),
            "unreadable": [asdict(image) for image in self.unreadable],
            "computed": self.computed,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as `Model.save` does; where it cannot be written, elsewhere.

        Raises
        ------
        StoreError
            The file cannot be written, because the disk is full for example. The message says in
            which file the model is instead: in the cache folder (``PYCNN_HOME``), or else in that
            for temporary files. In memory it stays in any case: `save` may be called again.
        UnsupportedError
            Another suffix than ``.safetensors``, ``.npz`` or ``.onnx``.
        """
        path = Path(path)
        try:
            self.model.save(path)
        except OSError as error:
            raise StoreError(
                f"the trained model cannot be saved: {error}; {self._rescue(path)}"
            ) from error

    def _rescue(self, path: Path) -> str:
        """Save in another folder, and say which file that is, or why there is none."""
        failed = []
        for folder in (cache_folder, tempfile.gettempdir):
            try:
                place = Path(folder())
                place.mkdir(parents=True, exist_ok=True)
                file = place / f"{path.stem}-{os.urandom(4).hex()}{path.suffix}"
                self.model.save(file)
            except OSError as error:
                failed.append(str(error))
            else:
                return f"it is in {str(file)!r} instead"
        return f"nor elsewhere: {'; '.join(failed)}"

    def draw(self, folder: str | os.PathLike[str]) -> None:
        """Write `curves.png` and `confusion.png`.

        Raises
        ------
        UnsupportedError
            matplotlib is not installed.
        """
        draw_curves(self.history, self.setting, Path(folder) / "curves.png")
        draw_confusion(self.confusion, self.model.labels or (), Path(folder) / "confusion.png")

    def __str__(self) -> str:
        lines = [
            f"{self.model.name}, {self.regime} ({self.reason})",
            f"{100 * self.accuracy:.1f} % of {self.confusion.sum()} held-out images are right",
        ]
        if self.unreadable:
            lines.append(f"{len(self.unreadable)} images cannot be read and were left out")
        return "\n".join(lines)


def fit(
    model: Model,
    data: DataLike,
    regime: str = "auto",
    *,
    validation: DataLike | float = 0.2,
    tap: str | None = None,
    augmentation: Augmentation | None = None,
    views: int = 1,
    schedule: Schedule | None = None,
    head: str = "features",
    balance: bool = True,
    seed: int = 0,
    store: str | os.PathLike[str] | None = None,
    show: bool = True,
) -> Fit:
    """Teach a network new classes.

    Parameters
    ----------
    model : Model
        With its preprocessing. It does not change.
    data : path, (images, labels) or Dataset
        A path is a folder with a folder of images for each class. Labels are numbers or names.
    regime : str
        What learns, and what is frozen, which means: does not change at all, statistics of batch
        normalisation included.

        - "features": a softmax head on the features of a layer, by logistic regression. They are
          computed once and kept in the store.
        - "head": a new head, by gradient descent on augmented images.
        - "freeze:<layer>": what follows a layer, by gradient descent. pycnn runs what is before.
        - "full": everything, by gradient descent.
        - "auto": by the number of images; `Fit.reason` says why.
    validation : float, or as `data`
        What is held out: a part of each class, drawn by `seed`, or images of their own.
    tap : str, optional
        The layer of the features, for "features" and "head", where the network is cut and gets a
        linear head; default: the one before its own head, which is replaced.
    augmentation : Augmentation, optional
        Of the images that are learnt from. Default: for "head" random crops out of a border of an
        eighth of the side, mirrored where the network takes colours; for the others none.
        ``Augmentation()`` is none for "head" too. Without one, "head" and "freeze" keep what the
        frozen part gives in the store, and run it only once.
    views : int
        With an augmentation, "features" learns from each image as it is and from so many draws.
    schedule : Schedule, optional
        Of gradient descent.
    head : {"features", "random"}
        How the new head begins in "head", "freeze" and "full": as "features" would make it of the
        same arguments, so that nothing worse than that is kept, and the first steps do not spoil
        the other layers; or at random.
    balance : bool
        Whether every class weighs the same, however many images it has.
    seed : int
        Of what is held out, the order of the images, augmentation, dropout and new weights.
    store : path, optional
        Folder of the feature stores, and of the checkpoint that gradient descent keeps after each
        epoch, so that the same call goes on after a kill; it is removed at the end. Default:
        `features` in the cache folder (``PYCNN_HOME``).
    show : bool
        Whether to say on stderr how far it is: by bars on a terminal, else a line for each epoch.

    Returns
    -------
    Fit

    Raises
    ------
    DataError
        One class only, a class without images, a label that is none of the classes, ...
    ImageError
        A folder is empty, or there is no such file. Single unreadable images are left out, with an
        InputWarning each.
    UnknownNameError, UnsupportedError
        A layer that does not exist, or where the network cannot be cut; near names are given. Or a
        package is missing.
    StoreError
        The store or the checkpoint cannot be written; what was computed is kept, and the same call
        goes on from it.
    """
    learnt = as_dataset(data)
    require_classes(learnt.labels, learnt.classes)
    if isinstance(validation, (int, float)):
        learnt, held_out = split(learnt, validation, seed)
    else:
        held_out = as_dataset(validation, learnt.classes)
        require_classes(held_out.labels, held_out.classes, HELD_OUT)
    if head not in ("features", "random"):
        raise ValueError(f"head is 'features' or 'random', got {head!r}")
    if views < 1:
        raise ValueError(f"views must be at least 1, got {views}")
    preprocessing = preprocessing_of(model)
    regime, reason = resolve(regime, model.graph, learnt.labels, held_out.labels)
    drawn = usual_augmentation(regime, preprocessing) if augmentation is None else augmentation
    if drawn is not None and not drawn.steps:
        augmentation = drawn = None
    classes = len(learnt.classes)
    division = divide(model.graph, regime, classes, tap)
    task = _Task(
        model,
        preprocessing,
        regime,
        division,
        learnt,
        held_out,
        drawn,
        views,
        schedule or Schedule(),
        head,
        balance,
        seed,
        store,
        show,
    )
    new = division.head.params.values()
    arrays, computed = renewed(model.content().read, division.graph, new, seed), 0
    if regime == "features":
        found = _by_regression(task, division)
    else:
        require_torch()
        if head == "features":
            frozen = divide(model.graph, "features", classes, tap)
            if frozen.head == division.head:  # Network in Network's, a convolution, is not
                begun = _by_regression(replace(task, augmentation=augmentation), frozen)
                arrays, computed = arrays | begun.arrays, begun.computed
        found = _by_descent(task, arrays)
    return Fit(
        model=model.with_graph(division.graph, arrays | found.arrays, learnt.classes),
        regime=regime,
        reason=reason,
        history=tuple(found.history),
        accuracy=measure(found.logits, found.labels).accuracy,
        confusion=confusion_matrix(found.logits, found.labels, classes),
        unreadable=found.unreadable,
        computed=computed + found.computed,
    )


@dataclass(frozen=True)
class _Task:
    """What the steps of one fit share."""

    model: Model
    preprocessing: Preprocessing
    regime: str
    division: Division
    training: Dataset
    validation: Dataset
    augmentation: Augmentation | None
    views: int
    schedule: Schedule
    head: str
    balance: bool
    seed: int
    store: str | os.PathLike[str] | None
    show: bool

    def extract(self, tap: str, data: Dataset, view: View | None = None) -> Features:
        """Features from the store, at a layer that the model has already."""
        return extract(self.model, tap, data, view=view, store=self.store, show=self.show)

    def stream(self, data: Dataset, *, learn: bool) -> Stream:
        """Images of a training epoch, augmented and shuffled, or as they are predicted."""
        return Stream(
            data,
            self.preprocessing,
            self.augmentation if learn else None,
            batch_size=self.schedule.batch_size,
            shuffle=learn,
            seed=self.seed,
        )

    def facts(self) -> dict[str, Any]:
        """Everything that gradient descent depends on, as JSON knows it."""
        return {
            **facts_of(self.model, next(iter(self.model.graph.outputs.values()))),
            "regime": self.regime,
            "cut": self.division.cut,
            "training": content_of(self.training),
            "validation": content_of(self.validation),
            "augmentation": repr(self.augmentation),
            "views": self.views,
            "schedule": asdict(self.schedule),
            "head": self.head,
            "balance": self.balance,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class _Learnt:
    """What a regime gives: new values of parameters, and how they did."""

    arrays: dict[str, Array]
    history: list[Step]
    logits: Array  # of the held-out images
    labels: npt.NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]
    computed: int


def _by_regression(task: _Task, division: Division) -> _Learnt:
    """Logistic regression on stored features, at the strength that does best held out."""
    views: list[View | None] = [None]
    if task.augmentation is not None:
        views += [View(task.augmentation, task.seed, epoch) for epoch in range(task.views)]
    parts = [task.extract(division.tap, task.training, view) for view in views]
    held_out = task.extract(division.tap, task.validation)
    x = np.concatenate([part.matrix() for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    require_classes(labels, task.training.classes)
    require_classes(held_out.labels, task.training.classes, HELD_OUT)
    x_held_out = held_out.matrix()
    names = division.head.params
    history: list[Step] = []
    heads: list[SoftmaxHead] = []
    classes, with_bias = len(task.training.classes), "bias" in names
    with bar("logistic regression", len(STRENGTHS), task.show) as shown:
        for strength in STRENGTHS:
            if len(history) >= ALWAYS_TRIED and best_of(history) is not history[-1]:
                break
            start = time.perf_counter()
            head = fit_softmax(x, labels, classes, strength, with_bias, task.balance)
            own = measure(head.logits(x), labels, task.balance)
            measured = measure(head.logits(x_held_out), held_out.labels, task.balance)
            history.append(Step(strength, own, measured, time.perf_counter() - start))
            heads.append(head)
            shown.advance(1, f"held out: {measured}")
    best = heads[history.index(best_of(history))]
    values = {"weight": best.weight, "bias": best.bias}
    return _Learnt(
        {name: values[role] for role, name in names.items()},
        history,
        best.logits(x_held_out),
        held_out.labels,
        _once([*(part.unreadable for part in parts), held_out.unreadable]),
        sum(part.computed for part in (*parts, held_out)),
    )


def _by_descent(task: _Task, arrays: Mapping[str, Array]) -> _Learnt:
    """Gradient descent on what is not frozen, from these parameters on."""
    from torch import __version__ as torch_version

    from pycnn.pytorch.module import GraphModule
    from pycnn.transfer.checkpoint import Checkpoint
    from pycnn.transfer.sources import Stored, Streamed
    from pycnn.transfer.training import logits_of, train

    division, schedule = task.division, task.schedule
    graph = division.learning()
    module = GraphModule(graph, ArrayWeights({name: arrays[name] for name in graph.parameters}))
    classes, labels = task.training.classes, task.training.labels
    training: Stored | Streamed
    validation: Stored | Streamed
    if division.cut is None:
        training = Streamed(task.stream(task.training, learn=True), classes)
        validation = Streamed(task.stream(task.validation, learn=False), classes, part=HELD_OUT)
    else:
        validation = Stored(task.extract(division.cut, task.validation), schedule.batch_size)
        require_classes(validation.features.labels, classes, HELD_OUT)
        if task.augmentation is None:
            features = task.extract(division.cut, task.training)
            require_classes(labels := features.labels, classes)
            training = Stored(features, schedule.batch_size, task.seed)
        else:
            stream = task.stream(task.training, learn=True)
            training = Streamed(stream, classes, task.model, division.cut)
    counts = np.bincount(labels, minlength=len(classes))
    facts = {**task.facts(), "torch": str(torch_version)}
    checkpoint = Checkpoint(folder_of(task.store) / f"{named(facts)[0]}.checkpoint", facts)
    history = train(
        module,
        frozenset(division.head.params.values()),
        training,
        validation,
        schedule,
        (counts.sum() / (len(counts) * counts)).astype(np.float32) if task.balance else None,
        task.seed,
        checkpoint,
        task.show,
    )
    logits, labels = logits_of(module, validation)
    checkpoint.remove()
    sources = (training, validation)
    return _Learnt(
        module.arrays(),
        history,
        logits,
        labels,
        _once([source.unreadable for source in sources]),
        sum(source.computed for source in sources),
    )


def _once(parts: Iterable[Sequence[Unreadable]]) -> tuple[Unreadable, ...]:
    """Each image that was left out, once."""
    return tuple({image.name: image for part in parts for image in part}.values())
