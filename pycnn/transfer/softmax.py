"""A softmax head on features that do not change: logistic regression by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycnn.errors import UnsupportedError
from pycnn.opset import Array

__all__ = ["ALWAYS_TRIED", "STRENGTHS", "SoftmaxHead", "fit_softmax"]

#: Strengths of regularisation: scikit-learn's C, on features of unit variance. So many are always
#: tried, and others as long as the last one is the best.
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
ALWAYS_TRIED = 5

_MAX_ITERATIONS = 300


@dataclass(frozen=True)
class SoftmaxHead:
    """``softmax(weight x + bias)``, for features as they are.

    Attributes
    ----------
    weight
        ``(classes, features)`` float32.
    bias
        ``(classes,)`` float32.
    """

    weight: Array
    bias: Array

    def logits(self, x: Array) -> Array:
        """``(N, classes)``."""
        return x @ self.weight.T + self.bias


def fit_softmax(
    x: Array,
    labels: npt.NDArray[np.int64],
    classes: int,
    strength: float,
    with_bias: bool,
    balance: bool,
) -> SoftmaxHead:
    """Fit by multinomial logistic regression with an L2 penalty.

    Parameters
    ----------
    x : (N, features) float32
    labels : (N,) int64
        Every class occurs.
    classes : int
    strength : float
        scikit-learn's C: the larger, the weaker the penalty. Features are divided by their
        standard deviation first, so that it means the same for any network.
    with_bias : bool
        Whether there is a bias to be learnt.
    balance : bool
        Whether every class weighs the same, however many images it has.

    Raises
    ------
    UnsupportedError
        scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise UnsupportedError(
            "this needs scikit-learn, which is not installed: pip install 'pycnn[train]'"
        ) from None
    mean = x.mean(0, dtype=np.float64).astype(np.float32) * with_bias
    scale = x.std(0, dtype=np.float64).astype(np.float32)
    scale[scale == 0] = 1  # a feature that is the same for all images says nothing
    regression = LogisticRegression(
        C=strength,
        fit_intercept=with_bias,
        class_weight="balanced" if balance else None,
        max_iter=_MAX_ITERATIONS,
    )
    # Threads of BLAS that wait for each other in a loop stand still on a busy machine.
    with threadpool_limits(limits=1, user_api="blas"):
        regression.fit((x - mean) / scale, labels)
    weight, bias = regression.coef_, regression.intercept_
    if classes == 2:  # scikit-learn keeps the difference of the two
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight.astype(np.float64) / scale
    bias = bias - weight @ mean.astype(np.float64)
    return SoftmaxHead(weight.astype(np.float32), bias.astype(np.float32))
