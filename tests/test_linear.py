"""linear: every tail of rows and of outputs, and the same bits as a 1x1 convolution."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import shapes
import tolerances
from tolerances import assert_close

from pycnn import ShapeError, ops

Rng = np.random.Generator


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 7, 13])
@pytest.mark.parametrize(("c", "k"), [(1, 1), (3, 10), (16, 16), (84, 10), (400, 120), (37, 130)])
@pytest.mark.parametrize("relu", [False, True])
def test_against_float64(
    rows: int, c: int, k: int, relu: bool, isa: str, poison: int, rng: Rng
) -> None:
    x, weight = rng.standard_normal((rows, c), np.float32), rng.standard_normal((k, c), np.float32)
    bias = rng.standard_normal(k, np.float32)
    got = ops.linear(x, weight, bias, relu=relu, isa=isa, poison=poison)
    expected = reference.linear(x, weight, bias)
    expected = np.maximum(expected, 0) if relu else expected
    assert_close(got, expected, tolerances.convolution(c, max(1, np.count_nonzero(expected))))


@pytest.mark.parametrize("row", shapes.rows("linear"), ids=shapes.layer_id)
def test_layers_of_the_networks(row: dict[str, str], isa: str, rng: Rng) -> None:
    c, k = int(row["c"]), min(int(row["k"]), 200)
    x, weight = rng.standard_normal((32, c), np.float32), rng.standard_normal((k, c), np.float32)
    got = ops.linear(x, weight, isa=isa, poison=0xFF)
    assert_close(got, reference.linear(x, weight), tolerances.convolution(c))


def test_is_a_1x1_convolution_bit_for_bit(isa: str, rng: Rng) -> None:
    """At each position of an image a 1x1 convolution is a fully connected layer."""
    x, weight = (
        rng.standard_normal((2, 70, 3, 5), np.float32),
        rng.standard_normal((40, 70), np.float32),
    )
    bias = rng.standard_normal(40, np.float32)
    image = ops.conv2d(x, weight[:, :, None, None], bias, isa=isa)
    rows = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, 70)
    flat = ops.linear(rows, weight, bias, isa=isa)
    np.testing.assert_array_equal(image.transpose(0, 2, 3, 1).reshape(-1, 40), flat)


def test_misuse() -> None:
    x = np.zeros((2, 4), np.float32)
    with pytest.raises(ShapeError, match="the input has 4 features, the weight expects 5"):
        ops.linear(x, np.zeros((3, 5), np.float32))
    with pytest.raises(ShapeError, match="flatten it first"):
        ops.linear(np.zeros((2, 4, 3, 3), np.float32), np.zeros((3, 36), np.float32))
    with pytest.raises(ShapeError, match="dtype int64"):
        ops.linear(np.zeros((2, 4), np.int64), np.zeros((3, 4), np.float32))
