"""Element-wise ops of two operands: every kind, every way to broadcast, constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tolerances import ELEMENTWISE, EXACT, assert_close

from pycnn import Graph, ShapeError, ops
from pycnn.model import Model
from pycnn.passes import optimize
from pycnn.weights import ArrayWeights

Rng = np.random.Generator
Array = np.ndarray[Any, Any]

KINDS: dict[str, tuple[Callable[[Array, Array], Array], float]] = {
    "add": (np.add, ELEMENTWISE),
    "mul": (np.multiply, ELEMENTWISE),
    "div": (np.divide, ELEMENTWISE),
    "max": (np.maximum, EXACT),
    "min": (np.minimum, EXACT),
    "prelu": (lambda a, b: np.where(a < 0, a * b, a), ELEMENTWISE),
}
SHAPES = [
    ((1, 1, 1, 1), (1, 1, 1, 1)),
    ((2, 17, 3, 5), (2, 17, 3, 5)),
    ((2, 33, 4, 3), (2, 33, 1, 1)),  # squeeze and excitation
    ((2, 33, 4, 3), (1, 33, 1, 1)),
    ((2, 17, 3, 5), (2, 1, 3, 5)),
    ((2, 17, 3, 5), (1, 1, 1, 1)),
    ((2, 17, 3, 5), (2, 17, 3, 1)),
    ((2, 17, 3, 5), (2, 17, 1, 5)),
    ((2, 1, 3, 1), (1, 20, 1, 4)),
    ((3, 10), (3, 10)),
    ((3, 40), (1, 40)),
]


def images(rng: Rng, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, np.float32) + np.float32(0.01)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_and_broadcasts(
    kind: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], isa: str, poison: int, rng: Rng
) -> None:
    function, tolerance = KINDS[kind]
    for a_shape, b_shape in (shapes, shapes[::-1]):
        a, b = images(rng, a_shape), images(rng, b_shape)
        got = ops.binary(kind, a, b, isa=isa, poison=poison)
        assert_close(got, function(a.astype(np.float64), b.astype(np.float64)), tolerance, kind)


def test_coefficients_and_relu(isa: str, rng: Rng) -> None:
    a, b = images(rng, (2, 17, 3, 5)), images(rng, (2, 17, 1, 1))
    got = ops.binary("add", a, b, 0.5, -2.0, relu=True, isa=isa)
    expected = np.maximum(0.5 * a.astype(np.float64) - 2.0 * b.astype(np.float64), 0)
    assert_close(got, expected, ELEMENTWISE)


def test_a_relu_after_it_is_fused(rng: Rng) -> None:
    graph = Graph("excited")
    x = graph.input("x", (17, 3, 5))
    product = graph.binary("product", x, graph.global_avg_pool("mean", x), "mul")
    graph.output(graph.relu("relu", product))
    assert [node.op for node in optimize(graph).nodes] == ["global_avg_pool", "binary"]
    model, batch = Model(graph, ArrayWeights({})), images(rng, (2, 17, 3, 5))
    got = model.run(batch)
    np.testing.assert_array_equal(got, model.run(batch, taps=["product"])["relu"])
    expected = batch * batch.astype(np.float64).mean((2, 3), keepdims=True)
    assert_close(got, np.maximum(expected, 0), ELEMENTWISE * 2)


def test_prelu(isa: str, poison: int, rng: Rng) -> None:
    for shape in ((2, 19, 3, 4), (2, 19)):
        x, weight = images(rng, shape), images(rng, (19,))
        slope = weight.reshape(-1, *[1] * (len(shape) - 2)).astype(np.float64)
        assert_close(
            ops.prelu(x, weight, isa=isa, poison=poison), np.where(x < 0, x * slope, x), ELEMENTWISE
        )


@pytest.mark.parametrize("shape", [(1, 1, 1), (17, 1, 1), (1, 3, 5), (17, 3, 5)], ids=str)
@pytest.mark.parametrize("swapped", [False, True])
def test_constants(shape: tuple[int, int, int], swapped: bool, rng: Rng) -> None:
    graph = Graph("constant")
    x = graph.input("x", (17, 3, 5))
    attrs = {"kind": "div", "shape": shape, "swapped": swapped}
    graph.output(graph.add_node("y", "binary", [x], attrs, {"weight": shape}))
    batch, constant = images(rng, (2, 17, 3, 5)), images(rng, shape)
    got = Model(graph, ArrayWeights({"y.weight": constant})).run(batch)
    left, right = batch.astype(np.float64), constant.astype(np.float64)
    assert_close(got, right / left if swapped else left / right, ELEMENTWISE)


def test_nan_wins_a_maximum(isa: str) -> None:
    a = np.array([[np.nan, 1.0, np.inf, -np.inf]], np.float32)
    b = np.array([[1.0, np.nan, 0.0, 0.0]], np.float32)
    np.testing.assert_array_equal(ops.binary("max", a, b, isa=isa), np.maximum(a, b))
    np.testing.assert_array_equal(ops.binary("min", a, b, isa=isa), np.minimum(a, b))


def test_misuse(rng: Rng) -> None:
    x = images(rng, (1, 3, 4, 4))
    with pytest.raises(ShapeError, match="do not broadcast"):
        ops.binary("mul", x, images(rng, (1, 2, 4, 4)))
    with pytest.raises(ShapeError, match="is not one of 'add', 'div'"):
        ops.binary("xor", x, x)
    with pytest.raises(ShapeError, match="must be finite"):
        ops.binary("add", x, x, np.inf)
    with pytest.raises(ShapeError, match="do not broadcast"):
        ops.prelu(x, images(rng, (4,)))
