"""A batch of inputs as the engine wants it, or what is wrong with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycnn.errors import ShapeError
from pycnn.opset import Array
from pycnn.weights import from_dlpack

__all__ = ["check_batch"]


def check_batch(batch: Any, size: tuple[int, int, int], name: str, images: bool) -> Array:
    """Return the batch as a C-contiguous float32 array, or say what is wrong with it."""
    c, h, w = size
    # The texts of the errors below take longer than a small network's first layer.
    if (
        isinstance(batch, np.ndarray)
        and batch.dtype == np.float32
        and batch.ndim == 4
        and batch.shape[1] == c
        and batch.size > 0
    ):
        return np.ascontiguousarray(batch)
    expected = f"{name}: expected a float32 batch (N, {c}, {h}, {w})"
    try:
        array = from_dlpack(batch)
    except ValueError as error:
        raise ShapeError(f"{expected}; {error}") from None
    got = f"got {array.dtype} {array.shape}"
    if array.dtype != np.float32:
        hint = ""
        if array.dtype == np.uint8 and images:
            hint = "; predict() takes uint8 images and preprocesses them"
        elif np.issubdtype(array.dtype, np.floating):
            hint = "; convert it with .astype(numpy.float32)"
        raise ShapeError(f"{expected}, {got}{hint}")
    if 2 <= array.ndim < 4 and set(size[array.ndim - 1 :]) == {1}:  # a network on vectors
        array = array.reshape((*array.shape, 1, 1)[:4])
    if array.ndim != 4:
        hint = "; add the batch dimension: x[None]" if array.ndim == 3 else ""
        raise ShapeError(f"{expected}, {got}{hint}")
    if array.shape[1] != c:
        hint = ""
        if array.shape[3] == c:
            hint = "; this looks like NHWC: use x.transpose(0, 3, 1, 2)"
        raise ShapeError(f"{expected}, {got}{hint}")
    if array.size == 0:
        raise ShapeError(f"{expected}, {got}: the batch is empty")
    return np.ascontiguousarray(array)
