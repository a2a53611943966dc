"""Several networks that answer together: `Ensemble`."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.averaging import AT_ONCE, average, log_of
from pycnn.errors import ImageError, ShapeError, UnsupportedError
from pycnn.model import Model, Prediction, preprocessing_of
from pycnn.opset import Array
from pycnn.vision.crops import check_count, crops_of_image
from pycnn.vision.decode import as_list, decode

if TYPE_CHECKING:
    from pycnn.vision.decode import ImageLike

__all__ = ["Ensemble", "EnsembleSummary", "Opinions"]

FEWEST, MOST = 2, 15


@dataclass(frozen=True)
class Opinions:
    """What the members of an ensemble think of N images.

    Attributes
    ----------
    mean : (N, classes) float32
        The weighted mean of the members' probabilities.
    members : (members, N, classes) float32
        The probabilities of each.
    disagreement : (N,) float32
        Entropy of the mean less the mean of the members' entropies, in nats: 0 where all say the
        same, log(members) where each of them, of equal weight, is sure of another class. (The
        Jensen-Shannon divergence.)
    """

    mean: Array
    members: Array
    disagreement: Array


@dataclass(frozen=True)
class Member:
    """One line of an `EnsembleSummary`; `ms` is the median time of a run, if it was measured."""

    name: str
    input_size: tuple[int, int]
    weight: float
    parameters: int
    macs: int
    ms: float | None


@dataclass(frozen=True)
class EnsembleSummary:
    """What an ensemble is made of and costs; printing it gives a table."""

    batch: int
    members: tuple[Member, ...]

    @property
    def parameters(self) -> int:
        """Of all members."""
        return sum(member.parameters for member in self.members)

    @property
    def macs(self) -> int:
        """Multiply-adds of one run of all members."""
        return sum(member.macs for member in self.members)

    @property
    def ms(self) -> float | None:
        """Milliseconds of one run of all members, one after the other."""
        times = [member.ms for member in self.members if member.ms is not None]
        return sum(times) if times else None

    def __str__(self) -> str:
        rows = [("member", "input", "weight", "parameters", "MACs", "ms")]
        for m in self.members:
            size = f"{m.input_size[0]} x {m.input_size[1]}"
            counts = (f"{m.parameters:,}", f"{m.macs:,}", _ms(m.ms))
            rows.append((m.name, size, f"{m.weight:.3f}", *counts))
        rows.append(("all", "", "", f"{self.parameters:,}", f"{self.macs:,}", _ms(self.ms)))
        widths = [max(len(row[i]) for row in rows) for i in range(6)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in rows
        ]
        dearest = max(member.macs for member in self.members)
        times = f"{self.macs / dearest:.1f} times the multiply-adds of the dearest member"
        return "\n".join([*lines, f"batch {self.batch}; {times}"])


def _ms(ms: float | None) -> str:
    return "" if ms is None else f"{ms:.2f}"


class Ensemble:
    """Two to fifteen networks whose probabilities are averaged.

    They may be of different architectures, input sizes and preprocessing. An image is decoded once
    for all of them. Each uses all threads, one after the other; memory is that of the models.

    Parameters
    ----------
    models : sequence of Model
        With the same classes in the same order, as far as they know their labels.
    weights : sequence of float, optional
        One for each, positive; only their ratios matter. Default: equal ones.

    Raises
    ------
    ValueError
        Fewer than two models or more than fifteen, labels or numbers of classes that differ, or
        weights that do not fit.
    TypeError
        One is no Model.

    Examples
    --------
    >>> import pycnn
    >>> both = Ensemble([pycnn.load("lenet5"), pycnn.load("lenet5", weights="random")], [9, 1])
    >>> both.predict("pycnn/data/samples/digit_7_50999.png")[0].label
    '7'
    """

    def __init__(self, models: Sequence[Model], weights: Sequence[float] | None = None) -> None:
        self.models = tuple(models)
        if not FEWEST <= len(self.models) <= MOST:
            raise ValueError(f"an ensemble has {FEWEST} to {MOST} models, got {len(self.models)}")
        for model in self.models:
            if not isinstance(model, Model):
                raise TypeError(f"expected a pycnn.Model, got {type(model).__name__}")
        self.labels = self._labels()
        given = np.ones(len(self.models)) if weights is None else np.asarray(weights, np.float64)
        if given.shape != (len(self.models),) or not (np.isfinite(given) & (given > 0)).all():
            raise ValueError(
                f"expected {len(self.models)} positive weights, one a model, got {weights}"
            )
        self.weights: npt.NDArray[np.float64] = given / given.sum()

    def _labels(self) -> tuple[str, ...] | None:
        """The labels that all agree on; None where no member has any."""
        first, labels, named_by = self.models[0], None, None
        for model in self.models:
            if _classes(model) != _classes(first):
                raise ValueError(
                    f"{model.name} has {_classes(model)} classes and {first.name} "
                    f"{_classes(first)}: their probabilities cannot be averaged"
                )
            if labels is None:
                labels, named_by = model.labels, model
            elif model.labels is not None and model.labels != labels:
                assert named_by is not None
                if len(model.labels) != len(labels):
                    raise ValueError(
                        f"{model.name} has {len(model.labels)} labels and {named_by.name} "
                        f"{len(labels)}, of {_classes(model)} classes each"
                    )
                i = next(i for i in range(len(labels)) if labels[i] != model.labels[i])
                raise ValueError(
                    f"class {i} is {labels[i]!r} for {named_by.name} and {model.labels[i]!r} for "
                    f"{model.name}: their probabilities cannot be averaged"
                )
        return labels

    # Running --------------------------------------------------------------------------------------

    def run(self, batch: Any, *, crops: int | None = None) -> Array:
        """Logarithm of the mean probabilities: ``(N, classes)``, whose softmax is the mean.

        Parameters
        ----------
        batch : (N, C, H, W) float32, or a list of one such batch for each model
            One batch for all is right only where all preprocess alike; `batches` makes the list.
        crops : {1, 2, 10, 144}, optional
            See `Model.run`.

        Raises
        ------
        ShapeError
            One batch was given, and the models preprocess differently; or a list of another length.
        """
        return log_of(self.probabilities(batch, crops=crops))

    def probabilities(self, batch: Any, *, crops: int | None = None) -> Array:
        """Weighted mean of the members' probabilities; takes what `run` takes."""
        return self.opinions(batch, crops=crops).mean

    def opinions(self, batch: Any, *, crops: int | None = None) -> Opinions:
        """The mean, what each member thinks, and how far they disagree; takes what `run` takes."""
        batches = self._one_each(batch)
        found = [
            model.probabilities(x, crops=crops)
            for model, x in zip(self.models, batches, strict=True)
        ]
        if len({len(rows) for rows in found}) > 1:
            raise ShapeError(
                f"the batches are of {', '.join(str(len(rows)) for rows in found)} images"
            )
        return self._opinions(found)

    def classify(self, images: Sequence[ImageLike], *, crops: int | None = None) -> Array:
        """Mean probabilities ``(N, classes)`` of images; an image is decoded once for all."""
        if crops is not None:
            check_count(crops)
        if len(images) == 0:
            raise ImageError("expected at least one image, got none")
        pieces = []
        for start in range(0, len(images), AT_ONCE):
            part = images[start : start + AT_ONCE]
            if crops is None:
                members = [
                    model.probabilities(x, check_input=False)
                    for model, x in zip(self.models, self.batches(part), strict=True)
                ]
            else:
                decoded = [_Decoded(image) for image in part]
                members = [
                    average(
                        functools.partial(model.probabilities, check_input=False),
                        _views(decoded, crops, model),
                        len(part),
                    )
                    for model in self.models
                ]
            pieces.append(self._opinions(members).mean)
        return np.concatenate(pieces)

    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        top: int = 5,
        *,
        crops: int | None = None,
    ) -> list[Prediction] | list[list[Prediction]]:
        """Classify images, each model with its own preprocessing; as `Model.predict`."""
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        listed, one = as_list(images)
        rows = self.classify(listed, crops=crops) if listed else ()
        namer = next((model for model in self.models if model.labels), self.models[0])
        found = [namer.rank(row, top) for row in rows]
        return found[0] if one else found

    def batches(self, images: Sequence[ImageLike]) -> list[Array]:
        """Preprocess images for each model, each decoded once: what `run` and `opinions` take.

        Returns
        -------
        list of (N, C, H, W) float32
            One for each model; the same array for models that preprocess alike.

        Raises
        ------
        UnsupportedError
            A model does not know its preprocessing.
        ImageError
            An image cannot be used; the message names it.
        """
        distinct = dict.fromkeys(preprocessing_of(model) for model in self.models)
        made = {p: np.empty((len(images), *p.shape), np.float32) for p in distinct}

        def fill(n: int) -> None:
            decoded = _Decoded(images[n])
            with decoded.named():
                for preprocessing, batch in made.items():
                    batch[n] = preprocessing(decoded.pixels)

        from concurrent.futures import ThreadPoolExecutor  # here: it imports logging

        with ThreadPoolExecutor(_core.default_num_threads()) as pool:
            for _ in pool.map(fill, range(len(images))):
                pass
        return [made[preprocessing_of(model)] for model in self.models]

    # Looking --------------------------------------------------------------------------------------

    def summary(self, batch: int = 1, runs: int = 0) -> EnsembleSummary:
        """What the members are and cost.

        Parameters
        ----------
        batch : int
        runs : int
            How often to run each member to measure its time; 0: no time.
        """
        return EnsembleSummary(
            batch,
            tuple(
                Member(
                    *(model.name, _input_size(model)[1:], float(weight)),
                    *((found := model.summary(batch)).parameters, found.macs),
                    _median_ms(model, batch, runs) if runs else None,
                )
                for model, weight in zip(self.models, self.weights, strict=True)
            ),
        )

    def __len__(self) -> int:
        return len(self.models)

    def __repr__(self) -> str:
        return f"<pycnn.Ensemble {', '.join(model.name for model in self.models)}>"

    # Inside ---------------------------------------------------------------------------------------

    def _one_each(self, batch: Any) -> Sequence[Any]:
        if isinstance(batch, (list, tuple)):
            if len(batch) != len(self.models):
                raise ShapeError(
                    f"expected {len(self.models)} batches, one a model, got {len(batch)}"
                )
            return batch
        first = self.models[0]
        for model in self.models:
            if _input_size(model) != _input_size(first) or _values(model) != _values(first):
                raise ShapeError(
                    f"{model.name} takes other inputs than {first.name}: give a list of batches, "
                    "one a model, as batches(images) makes it"
                )
        return [batch] * len(self.models)

    def _opinions(self, members: Sequence[Array]) -> Opinions:
        stacked = np.stack(members)
        mean = np.tensordot(self.weights, stacked.astype(np.float64), axes=1)
        spread = _entropy(mean) - self.weights @ _entropy(stacked.astype(np.float64))
        return Opinions(mean.astype(np.float32), stacked, np.maximum(spread, 0).astype(np.float32))


class _Decoded:
    """The pixels of an image, which several models look at, and what to call it."""

    def __init__(self, image: ImageLike) -> None:
        decoded, self._name = decode(image, "RGB")
        self.pixels = np.asarray(decoded)

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Put the image's name before errors about its pixels."""
        try:
            yield
        except ImageError as error:
            raise ImageError(f"{self._name}: {error}") from error


def _views(images: Sequence[_Decoded], crops: int, model: Model) -> Iterator[tuple[int, Array]]:
    """The crops of each image, preprocessed for this model, with the image's number."""
    for n, image in enumerate(images):
        with image.named():
            for x in crops_of_image(image.pixels, crops, preprocessing_of(model)):
                yield n, x


def _classes(model: Model) -> int:
    return model.graph.shapes()[next(iter(model.graph.outputs.values()))][1]


def _input_size(model: Model) -> tuple[int, int, int]:
    if len(model.graph.inputs) != 1:
        raise UnsupportedError(f"{model.name} has several inputs")
    return next(iter(model.graph.inputs.values()))


def _values(model: Model) -> object:
    """What a value of a preprocessed batch means."""
    p = model.preprocessing
    return None if p is None else (p.channels, p.scale, p.mean, p.std)


def _entropy(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    entropy: npt.NDArray[np.float64] = -(probabilities * logs).sum(axis=-1)
    return entropy


def _median_ms(model: Model, batch: int, runs: int) -> float:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *_input_size(model)), np.float32)
    model.probabilities(x)  # compiles and packs
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        model.probabilities(x)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)
