"""Activations, sums, softmax, per-channel ops, and the ops that only move values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
import shapes
from tolerances import ELEMENTWISE, EXACT, assert_close

from pycnn import ShapeError, ops

Rng = np.random.Generator
SHAPES = [(1, 1), (3, 10), (2, 33), (1, 1, 1, 1), (2, 17, 3, 5), (1, 48, 7, 7)]
SPECIALS = np.array(
    [0.0, -0.0, 1e-45, -1e-45, 1e-38, 1e-20, 1e-4, 0.3, 0.625, 1, 5, 9, 20, 88, 89, 104, 1e4, 3e38],
    np.float32,
)


def images(rng: Rng, shape: tuple[int, ...], scale: float = 1.0) -> Any:
    return (scale * rng.standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax"])
def test_activations(name: str, shape: tuple[int, ...], isa: str, poison: int, rng: Rng) -> None:
    x = images(rng, shape, 3.0)
    got = getattr(ops, name)(x, isa=isa, poison=poison)
    assert_close(got, getattr(reference, name)(x), EXACT if name == "relu" else ELEMENTWISE, name)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_each_value_of_a_wide_range(name: str, isa: str) -> None:
    """Relative to each value, not to the largest: small answers are as good as large ones."""
    dense = np.linspace(-12, 12, 20_001, dtype=np.float32)
    x = np.concatenate([dense, np.geomspace(1e-30, 1, 2_000, dtype=np.float32), SPECIALS])
    x = np.concatenate([x, -x])[None]
    got = getattr(ops, name)(x, isa=isa).astype(np.float64)
    expected = getattr(reference, name)(x)
    normal = np.abs(expected) > 1.2e-38
    relative = np.abs(got - expected)[normal] / np.abs(expected[normal])
    assert np.sqrt(np.mean(relative**2)) < ELEMENTWISE
    assert relative.max() < 4e-7
    assert np.abs(got - expected)[~normal].max() < 1.2e-38


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_nan_and_infinity(name: str, isa: str) -> None:
    x = np.array([[np.nan, np.inf, -np.inf, 0.0] * 5], np.float32)
    limits = {"relu": (np.inf, 0), "sigmoid": (1, 0), "tanh": (1, -1)}[name]
    got = getattr(ops, name)(x, isa=isa)[0]
    assert np.isnan(got[0::4]).all()
    assert (got[1::4] == limits[0]).all()
    assert (got[2::4] == limits[1]).all()


PARAMETRIC: dict[str, tuple[tuple[float, ...], Callable[..., Any], float]] = {
    "affine": ((-1.5, 0.25), lambda x, a, b: a * x + b, ELEMENTWISE),
    "leaky_relu": ((0.2,), lambda x, a: np.where(x < 0, a * x, x), ELEMENTWISE),
    "clip": ((-0.5, 2.0), np.clip, EXACT),
    "hard_sigmoid": ((0.2, 0.5), lambda x, a, b: np.clip(a * x + b, 0, 1), ELEMENTWISE),
    "hard_swish": ((), lambda x: x * np.clip(x / 6 + 0.5, 0, 1), ELEMENTWISE),
    "sqrt": ((), np.sqrt, ELEMENTWISE),
    "log_softmax": ((), lambda x: np.log(reference.softmax(x)), ELEMENTWISE),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PARAMETRIC)
def test_functions_with_parameters(
    name: str, shape: tuple[int, ...], isa: str, poison: int, rng: Rng
) -> None:
    parameters, expected, tolerance = PARAMETRIC[name]
    x = np.abs(images(rng, shape, 4.0)) if name == "sqrt" else images(rng, shape, 4.0)
    # As the engine has them: float32.
    rounded = [float(np.float32(value)) for value in parameters]
    got = getattr(ops, name)(x, *parameters, isa=isa, poison=poison)
    assert_close(got, expected(x.astype(np.float64), *rounded), tolerance, name)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -0.5, -0.75, -1.0, 1.0, 0.0])
def test_pow(exponent: float, isa: str, poison: int, rng: Rng) -> None:
    x = np.abs(images(rng, (2, 17, 3, 5), 3.0)) + np.float32(0.1)
    got = ops.pow(x, exponent, isa=isa, poison=poison)
    assert_close(got, x.astype(np.float64) ** exponent, ELEMENTWISE)
    negative = ops.pow(-x, 2.0, isa=isa)
    assert_close(negative, x.astype(np.float64) ** 2, ELEMENTWISE)


def test_clip_bounds(isa: str) -> None:
    x = np.array([[-np.inf, -1.0, np.nan, 7.0, np.inf]], np.float32)
    np.testing.assert_array_equal(ops.clip(x, isa=isa), x)
    np.testing.assert_array_equal(ops.clip(x, 0.0, 6.0, isa=isa), np.clip(x, 0, 6))
    with pytest.raises(ShapeError, match="lower bound 2 is not at most the upper bound 1"):
        ops.clip(x, 2.0, 1.0)
    with pytest.raises(ShapeError, match="lower bound nan"):
        ops.clip(x, np.nan)


def test_log_softmax_of_hard_rows(isa: str) -> None:
    x = np.array([[200.0, 0.0, -200.0] + [0.0] * 30, [88.8] * 33], np.float32)
    exact = x.astype(np.float64)
    shifted = exact - exact.max(1, keepdims=True)
    expected = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    assert_close(ops.log_softmax(x, isa=isa, poison=0xFF), expected, ELEMENTWISE)


def test_global_max_pool(isa: str, poison: int, rng: Rng) -> None:
    x = images(rng, (2, 17, 5, 3))
    got = ops.global_max_pool(x, isa=isa, poison=poison)
    np.testing.assert_array_equal(got, x.max((2, 3), keepdims=True))


def test_scaled_tanh(isa: str, rng: Rng) -> None:
    x = images(rng, (2, 17, 4, 4), 2.0)
    got = ops.tanh(x, 1.7159, 2 / 3, isa=isa)
    assert_close(got, reference.tanh(x, 1.7159, 2 / 3), ELEMENTWISE)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_add(shape: tuple[int, ...], relu: bool, isa: str, poison: int, rng: Rng) -> None:
    a, b = images(rng, shape), images(rng, shape)
    got = ops.add(a, b, relu=relu, isa=isa, poison=poison)
    assert_close(got, reference.add(a, b, relu), ELEMENTWISE)


@pytest.mark.parametrize("row", shapes.rows("add"), ids=shapes.layer_id)
def test_sums_of_the_networks(row: dict[str, str], isa: str, rng: Rng) -> None:
    shape = (1, *(int(row[key]) for key in ("c", "h", "w")))
    a, b, relu = images(rng, shape), images(rng, shape), row["relu"] == "1"
    got = ops.add(a, b, relu=relu, isa=isa, poison=0xFF)
    assert_close(got, reference.add(a, b, relu), ELEMENTWISE)


@pytest.mark.parametrize("row", shapes.rows("softmax"), ids=shapes.layer_id)
def test_softmax_of_the_networks(row: dict[str, str], isa: str, rng: Rng) -> None:
    x = images(rng, (3, int(row["c"])), 5.0)
    assert_close(ops.softmax(x, isa=isa, poison=0xFF), reference.softmax(x), ELEMENTWISE)


@pytest.mark.parametrize("row", shapes.rows("concat"), ids=shapes.layer_id)
def test_concatenations_of_the_networks(row: dict[str, str], isa: str, rng: Rng) -> None:
    size = (int(row["h"]), int(row["w"]))
    xs = [images(rng, (1, int(c), *size)) for c in row["channels"].split("+")]
    assert_close(ops.concat(xs, isa=isa, poison=0xFF), reference.concat(xs), EXACT)


def test_add_refuses_other_shapes(rng: Rng) -> None:
    with pytest.raises(ShapeError, match="must be equal"):
        ops.add(images(rng, (1, 3, 4, 4)), images(rng, (1, 3, 4, 5)))


def test_softmax_of_hard_rows(isa: str) -> None:
    x = np.array(
        [[1e4, 1e4, -1e4] + [0.0] * 30, [-np.inf, 0.0, 1.0] + [-np.inf] * 30, [88.8] * 33],
        np.float32,
    )
    got = ops.softmax(x, isa=isa, poison=0xFF)
    assert_close(got, reference.softmax(x), ELEMENTWISE)
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-6)


def test_softmax_keeps_nan_to_its_row(isa: str, rng: Rng) -> None:
    x = images(rng, (3, 20))
    x[1, 4] = np.nan
    got = ops.softmax(x, isa=isa)
    assert np.isnan(got[1]).all()
    assert np.isfinite(got[[0, 2]]).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm(shape: tuple[int, ...], relu: bool, isa: str, poison: int, rng: Rng) -> None:
    x, c = images(rng, shape), shape[1]
    mean, weight, bias = (images(rng, (c,)) for _ in range(3))
    var = rng.uniform(0.1, 3, c).astype(np.float32)
    got = ops.batch_norm(x, mean, var, weight, bias, 1e-3, relu=relu, isa=isa, poison=poison)
    per_channel = [
        v.reshape(-1, *[1] * (len(shape) - 2)).astype(np.float64) for v in (mean, var, weight, bias)
    ]
    m, v, w, b = per_channel
    expected = (x - m) / np.sqrt(v + 1e-3) * w + b
    assert_close(got, np.maximum(expected, 0) if relu else expected, ELEMENTWISE * 2)


def test_channel_affine(isa: str, poison: int, rng: Rng) -> None:
    x = images(rng, (2, 19, 3, 4))
    weight, bias = images(rng, (19,)), images(rng, (19,))
    got = ops.channel_affine(x, weight, bias, isa=isa, poison=poison)
    assert_close(got, reference.channel_affine(x, weight, bias), ELEMENTWISE)
    with pytest.raises(ShapeError, match="one number for each channel"):
        ops.channel_affine(x, weight[:5], bias[:5])


@pytest.mark.parametrize(
    "channels", [(16, 32), (1, 2, 3), (16, 5, 16), (33, 15, 17), (64,)], ids=str
)
def test_concat(channels: tuple[int, ...], isa: str, poison: int, rng: Rng) -> None:
    xs = [images(rng, (2, c, 3, 5)) for c in channels]
    got = ops.concat(xs, isa=isa, poison=poison)
    assert_close(got, reference.concat(xs), EXACT)


def test_concat_refuses_other_sizes(rng: Rng) -> None:
    with pytest.raises(ShapeError, match="no inputs"):
        ops.concat([])
    with pytest.raises(ShapeError, match="differ in more than their channels"):
        ops.concat([images(rng, (1, 3, 4, 4)), images(rng, (1, 3, 4, 5))])


@pytest.mark.parametrize(
    "shape", [(1, 16, 5, 5), (2, 17, 3, 4), (3, 1, 2, 2), (2, 40, 1, 1)], ids=str
)
def test_flatten(shape: tuple[int, ...], isa: str, poison: int, rng: Rng) -> None:
    x = images(rng, shape)
    np.testing.assert_array_equal(ops.flatten(x, isa=isa, poison=poison), x.reshape(shape[0], -1))


@pytest.mark.parametrize(
    ("shape", "out", "stride"),
    [((2, 16, 8, 8), 32, 2), ((1, 3, 7, 9), 5, 2), ((1, 17, 5, 5), 51, 1), ((1, 16, 4, 4), 16, 3)],
)
def test_shortcut_a(
    shape: tuple[int, ...], out: int, stride: int, isa: str, poison: int, rng: Rng
) -> None:
    x = images(rng, shape)
    got = ops.shortcut_a(x, out, stride, isa=isa, poison=poison)
    assert_close(got, reference.shortcut_a(x, out, stride), EXACT)
    with pytest.raises(ShapeError, match="fewer than the input's"):
        ops.shortcut_a(x, shape[1] - 1, stride)
    with pytest.raises(ShapeError, match="stride must be at least 1"):
        ops.shortcut_a(x, out, 0)


@pytest.mark.parametrize(("rows", "c", "k"), [(1, 84, 10), (5, 3, 33), (2, 16, 16)])
def test_rbf(rows: int, c: int, k: int, isa: str, poison: int, rng: Rng) -> None:
    x, weight = images(rng, (rows, c)), images(rng, (k, c))
    assert_close(
        ops.rbf(x, weight, isa=isa, poison=poison), reference.rbf(x, weight), ELEMENTWISE * 2
    )
