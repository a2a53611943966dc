"""Averaged probabilities: of the crops of an image, of the networks of an ensemble."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["AT_ONCE", "average", "log_of"]

Floats = npt.NDArray[np.float32]

# Images that go through a network at once: bounds memory, whatever is asked.
AT_ONCE = 16


def average(
    probabilities: Callable[[Floats], Floats], images: Iterable[tuple[int, Floats]], rows: int
) -> Floats:
    """Mean probabilities of each row over its images; all images run together, in pieces.

    Parameters
    ----------
    probabilities : callable
        (n, C, H, W) to (n, classes).
    images : iterable of (row, (C, H, W))
        Each row has at least one.
    rows : int

    Returns
    -------
    (rows, classes) float32
    """
    sums: npt.NDArray[np.float64] | None = None
    counts = np.zeros(rows, np.int64)
    waiting = iter(images)
    while piece := list(itertools.islice(waiting, AT_ONCE)):
        numbers = [row for row, _ in piece]
        found = probabilities(np.stack([image for _, image in piece]))
        if sums is None:
            sums = np.zeros((rows, *found.shape[1:]))
        np.add.at(sums, numbers, found)
        np.add.at(counts, numbers, 1)
    assert sums is not None
    return (sums.T / counts).T.astype(np.float32)


def log_of(probabilities: Floats) -> Floats:
    """What the softmax makes the probabilities of; a zero becomes the smallest that float32 has."""
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
