"""Winograd's errors stay inside the contract on real activations and on hard ranges of values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tolerances
import torch
from tolerances import assert_close

import pycnn
from pycnn import ops

Rng = np.random.Generator
Array = np.ndarray[Any, np.dtype[np.float32]]


def check(x: Array, weight: Array, bias: Array | None, stride: int, what: str) -> int:
    """Compare every form that fits with float64; returns how many there were."""
    size, padding = weight.shape[2], weight.shape[2] // 2
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x).double(),
        torch.from_numpy(weight).double(),
        torch.from_numpy(bias).double() if bias is not None else None,
        stride=stride,
        padding=padding,
    ).numpy()
    forms = [
        name
        for name in tolerances.WINOGRAD
        if f"_{size}x{size}" in name and name.endswith("_stride2") == (stride == 2)
    ]
    for form in forms:
        got = ops.conv2d(x, weight, bias, stride=stride, padding=padding, algorithm=form)
        assert_close(got, expected, tolerances.convolution(1, algorithm=form), f"{form} {what}")
    return len(forms)


def test_real_activations_of_inception_v1(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("inception_v1_bvlc")
    model = pycnn.load("inception_v1", weights=folder / "weights.npz", winograd=False)
    x = np.load(folder / "reference_logits.npz")["x"]
    convolutions = [
        node
        for node in model.graph.nodes
        if node.op == "conv2d" and model.graph.parameters[node.params["weight"]][2] > 1
    ]
    sources = {node.inputs[0] for node in convolutions} - set(model.graph.inputs)
    values = model.run(x, taps=sorted(sources))
    weights = np.load(folder / "weights.npz")
    forms = 0
    for node in convolutions:
        if node.inputs[0] in sources:
            weight, bias = (weights[node.params[role]] for role in ("weight", "bias"))
            forms += check(values[node.inputs[0]], weight, bias, 1, node.name)
    assert forms == 10 * 6 + 9 * 2  # 3x3 and 5x5 layers


def hard_ranges(rng: Rng, shape: tuple[int, ...]) -> dict[str, Array]:
    x = rng.standard_normal(shape, np.float32)
    sparse = np.where(rng.random(shape) < 0.01, x, 0).astype(np.float32)
    heavy = (np.exp(3 * rng.standard_normal(shape)) * np.sign(x)).astype(np.float32)
    large = np.abs(x) + np.float32(100)  # ten times the deviation of the weights' sums
    return {
        "tiny": x * np.float32(1e-25),
        "huge": x * np.float32(1e25),
        "sparse": sparse,
        "heavy tails": heavy,
        "far from zero": large,
        "steps": np.sign(x).cumsum(axis=3, dtype=np.float32),
        "each channel its own scale": x
        * np.float32(10.0) ** rng.integers(-4, 5, (1, shape[1], 1, 1)).astype(np.float32),
    }


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
def test_hard_ranges(size: int, stride: int, rng: Rng) -> None:
    weight = rng.standard_normal((48, 256, size, size), np.float32)
    for name, x in hard_ranges(rng, (1, 256, 26, 23)).items():
        check(x, weight, None, stride, name)


def test_errors_do_not_leave_their_tiles(rng: Rng) -> None:
    """A NaN spoils the outputs of the tiles that see it, no others, and no other image."""
    weight = rng.standard_normal((20, 16, 3, 3), np.float32)
    x = rng.standard_normal((2, 16, 30, 30), np.float32)
    x[0, 3, 15, 15] = np.nan
    got = ops.conv2d(x, weight, padding=1, algorithm="winograd_f6x6_3x3")
    assert np.isnan(got[0, :, 14:17, 14:17]).all()
    assert np.isfinite(got[0, :, :6]).all() and np.isfinite(got[0, :, 24:]).all()
    assert np.isfinite(got[1]).all()
