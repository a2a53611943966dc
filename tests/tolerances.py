"""The tolerance table of docs/numerics.md, and the one comparison that uses it.

An error is the root mean square of the difference to a float64 reference, relative to the root mean
square of that reference.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

EXACT = 0.0  # copies, maxima: nothing is computed
ELEMENTWISE = 3e-7  # a few roundings of 2^-24 = 6e-8 each
LOGITS = 1e-4  # a whole network, of the largest logit


WINOGRAD = {
    "winograd_f2x2_3x3": 1e-6,
    "winograd_f4x4_3x3": 3e-6,
    "winograd_f5x5_3x3": 1e-5,
    "winograd_f6x6_3x3": 1e-5,
    "winograd_f2x2_5x5": 3e-6,
    "winograd_f4x4_5x5": 1e-5,
    "winograd_f4x4_3x3_stride2": 3e-6,
    "winograd_f4x4_3x3_plain": 3e-6,
    "winograd_f5x5_3x3_plain": 1e-5,
}


# On a GPU, against the CPU's float32: an op on numbers near 1, and a network's logits, of the
# largest. What is stored is rounded to 11 bits (float16), 8 (bfloat16), or, of a convolution's
# factors only, 11 (tf32); sums are float32. exp and the like are the device's, to a few units.
DEVICE_OP = {"float32": 2e-6, "tf32": 1e-3, "float16": 1e-3, "bfloat16": 8e-3}
DEVICE_LOGITS = {"float32": 1e-4, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 1e-1}


def convolution(terms: int, outputs: int | None = None, algorithm: str = "direct") -> float:
    """A running float32 sum of C*R*S terms, or the bound of one of Winograd's algorithms.

    The table speaks of whole layers. A handful of outputs is a small sample of the same errors:
    where a case has few, `outputs` widens the bound by what the sample's RMS may stray.
    """
    bound = WINOGRAD.get(algorithm) or max(3e-7, 2e-8 * math.sqrt(terms))
    return bound * (1 + 4 / math.sqrt(outputs)) if outputs is not None else bound


def rms_error(got: npt.NDArray[Any], reference: npt.NDArray[Any]) -> float:
    difference = got.astype(np.float64) - reference
    scale = math.sqrt(float(np.mean(np.square(reference)))) or 1.0
    return math.sqrt(float(np.mean(np.square(difference)))) / scale


def assert_close(
    got: npt.NDArray[Any], reference: npt.NDArray[Any], tolerance: float, what: str = ""
) -> None:
    """Compare; NaN and infinities must lie in the same places."""
    assert got.dtype == np.float32
    assert got.shape == reference.shape, f"{what}: {got.shape}, expected {reference.shape}"
    finite = np.isfinite(reference)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(reference), err_msg=what)
    infinite = np.isinf(reference)
    np.testing.assert_array_equal(got[infinite], reference[infinite].astype(np.float32), what)
    if not finite.any():
        return
    got, reference = np.where(finite, got, 0), np.where(finite, reference, 0)
    error = rms_error(got, reference)
    if not error <= tolerance:
        worst = np.unravel_index(np.argmax(np.abs(got - reference)), got.shape)
        raise AssertionError(
            f"{what}: RMS error {error:.3g} above {tolerance:.3g}; worst at "
            f"{tuple(map(int, worst))}: got {got[worst]!r}, expected {reference[worst]!r}"
        )
