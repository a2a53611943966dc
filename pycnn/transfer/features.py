"""What a frozen network makes of images at one of its layers, kept in a store."""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pycnn._core import __version__
from pycnn.errors import (
    DataError,
    ImageError,
    InputWarning,
    UnknownNameError,
    suggest,
)
from pycnn.hub import cache_folder
from pycnn.model import Model, preprocessing_of
from pycnn.opset import Array
from pycnn.transfer.data import digest
from pycnn.transfer.progress import Bar, bar
from pycnn.transfer.store import DIGEST_BYTES, FeatureStore
from pycnn.vision import Augmentation, Batch, Dataset, Stream
from pycnn.vision.decode import decoder

__all__ = [
    "Features",
    "Unreadable",
    "View",
    "extract",
    "facts_of",
    "folder_of",
]

# Images that go through the network, and to the disk, at once: what a kill loses at most.
BATCH = 32


class View(NamedTuple):
    """Which draw of an augmentation: that of a stream with this seed in this epoch."""

    augmentation: Augmentation
    seed: int
    epoch: int


@dataclass(frozen=True)
class Unreadable:
    """An image that was left out: its name, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Features:
    """Rows of a store for labelled images; those that cannot be read are left out.

    Attributes
    ----------
    rows
        The store's, ``(any, C, H, W)``, mapped from the disk.
    positions
        Row of each image.
    labels
        Class of each image.
    unreadable
        The images that were left out.
    computed
        How many rows this call computed; the others were in the store.
    """

    rows: Array
    positions: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]
    computed: int

    def __len__(self) -> int:
        """How many images."""
        return len(self.positions)

    def matrix(self) -> Array:
        """Read all: ``(images, C)``, averaged over the image where the layer is one."""
        gathered = np.empty((len(self), self.rows.shape[1]), np.float32)
        for i, position in enumerate(self.positions):
            gathered[i] = self.rows[position].mean(axis=(1, 2))
        return gathered


def extract(
    model: Model,
    tap: str,
    data: Dataset,
    *,
    view: View | None = None,
    store: str | os.PathLike[str] | None = None,
    show: bool = True,
) -> Features:
    """Compute what a layer gives for each image, or find it in the store.

    Parameters
    ----------
    model : Model
        With its preprocessing. It is run as it is: nothing in it changes.
    tap : str
        A layer.
    data : Dataset
        An image that occurs twice is computed once.
    view : View, optional
        Of the images as an augmentation changes them.
    store : path, optional
        Folder of stores; default: `features` in the cache folder (``PYCNN_HOME``).
    show : bool
        Whether to draw a progress bar on a terminal.

    Raises
    ------
    UnknownNameError
        There is no such layer; near matches are named.
    UnsupportedError
        The model does not know its preprocessing.
    StoreError
        The store cannot be read or written; what was computed is kept.
    DataError
        No image can be read.
    """
    preprocessing = preprocessing_of(model)
    if tap not in model.graph.names():
        raise UnknownNameError(
            f"{model.name} has no layer '{tap}' to take features from"
            f"{suggest(tap, model.graph.names())}"
        )
    shape = model.graph.shapes()[tap][1:]
    facts = facts_of(model, tap, view)
    kept = FeatureStore(folder_of(store), facts, shape)
    digests, unreadable = _digests(data, view)
    kept.drop_damaged(digests)
    todo = _missing(kept, digests, range(len(data)))
    computed = 0
    if todo:
        augmentation, seed, epoch = view or (None, 0, 0)
        stream = Stream(data.subset(todo), preprocessing, augmentation, batch_size=BATCH, seed=seed)
        stream.seek(epoch)
        with bar(f"{model.name} {tap}", len(todo), show) as shown:
            own = [digests[place] for place in todo]
            computed = _compute(model, tap, stream, own, kept, shown)
        unreadable.update(stream.failures)
    positions = kept.find(digests)
    usable = positions >= 0
    unreadable |= _twins(data, digests, np.flatnonzero(~usable).tolist(), unreadable)
    if not usable.any():
        reason = next(iter(unreadable.values()), "")
        raise DataError(f"none of the {len(data)} images can be used: {reason}")
    return Features(
        kept.rows,
        positions[usable],
        data.labels[usable],
        tuple(Unreadable(name, reason) for name, reason in unreadable.items()),
        computed,
    )


def folder_of(store: str | os.PathLike[str] | None) -> Path:
    """The folder of all stores, and of checkpoints, that was asked for, or the default one."""
    return Path(store) if store is not None else cache_folder() / "features"


def facts_of(model: Model, tap: str, view: View | None = None) -> dict[str, Any]:
    """Everything that the values of a layer depend on beside the images, as JSON knows it."""
    trunk = model.graph.with_outputs({tap: tap})
    content = model.content()
    weights = hashlib.sha256()
    for name in sorted(trunk.parameters):
        weights.update(f"{name} {trunk.parameters[name]}".encode())
        weights.update(np.ascontiguousarray(content.read(name)).data)
    layers = [
        (node.name, node.op, node.inputs, sorted(node.attrs.items()), sorted(node.params.items()))
        for node in trunk.nodes
    ]
    return {
        "engine": f"pycnn {__version__}, {model.numerics}",
        "network": model.name,
        "layers": hashlib.sha256(repr(layers).encode()).hexdigest(),
        "weights": weights.hexdigest(),
        "tap": tap,
        "decoder": decoder(),
        "preprocessing": model.preprocessing.to_dict() if model.preprocessing else None,
        "augmentation": [repr(view.augmentation), view.seed, view.epoch] if view else None,
    }


def _digests(data: Dataset, view: View | None) -> tuple[list[bytes], dict[str, str]]:
    """What the row of each image is found by, and why, by name, files cannot be read.

    A drawn view depends on the image's number in the data set too.
    """
    found: list[bytes] = []
    unreadable: dict[str, str] = {}
    for i in range(len(data)):
        try:
            own = digest(data[i])
        except ImageError as error:
            found.append(b"")
            unreadable[data.name(i)] = str(error)
            warnings.warn(f"left out: {error}", InputWarning, stacklevel=3)
            continue
        if view is not None:
            numbered = own + int(data.numbers[i]).to_bytes(8, "little")
            own = hashlib.sha256(numbered).digest()[:DIGEST_BYTES]
        found.append(own)
    return found, unreadable


def _twins(
    data: Dataset, digests: Sequence[bytes], places: Sequence[int], unreadable: Mapping[str, str]
) -> dict[str, str]:
    """Why, by name, those of the places are left out whose content was tried in another image."""
    tried = [i for i in places if data.name(i) in unreadable]
    reasons = {digests[i]: unreadable[data.name(i)] for i in tried}
    found: dict[str, str] = {}
    for i in places:
        if (name := data.name(i)) not in unreadable:
            found[name] = f"{name}: the same as {reasons[digests[i]]}"
            warnings.warn(f"left out: {found[name]}", InputWarning, stacklevel=3)
    return found


def _missing(store: FeatureStore, digests: Sequence[bytes], places: Sequence[int]) -> list[int]:
    """Those of the places whose image has no row, the first of each content."""
    first: dict[bytes, int] = {}
    for i in places:
        if digests[i]:
            first.setdefault(digests[i], i)
    positions = store.find(first)
    return [i for i, position in zip(first.values(), positions, strict=True) if position < 0]


def _compute(
    model: Model,
    tap: str,
    stream: Stream,
    digests: Sequence[bytes],
    store: FeatureStore,
    shown: Bar,
) -> int:
    """Add the rows of a stream's images, whose digests these are, to the store."""
    computed = 0
    for batch in _usable(stream):
        with store.writing():  # another process may have computed some of them since
            places = set(_missing(store, digests, batch.places.tolist()))
            rows = [row for row, place in enumerate(batch.places) if place in places]
            if rows:
                values = model.run(batch.images[rows], until=tap, check_input=False)
                store.append([digests[batch.places[row]] for row in rows], np.asarray(values))
        computed += len(rows)
        shown.advance(len(batch.places), "")
    return computed


def _usable(stream: Stream) -> Iterator[Batch]:
    """The batches of an epoch, of which there may be none.

    That no image at all can be used is for the caller to say, who knows the rows that are there.
    """
    with contextlib.suppress(ImageError):
        yield from stream
