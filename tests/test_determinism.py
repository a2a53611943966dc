"""The bits of a row depend on neither its batch, its place there, the threads nor the run."""

from __future__ import annotations

import numpy as np
import pytest

import pycnn
from pycnn import ops
from pycnn.weights import RandomWeights

NETWORKS = ["lenet5", "resnet20", "inception_v1", "alexnet"]
THROUGHPUT = ["inception_v1", "resnet18"]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, isa: str) -> None:
    if isa == "baseline" and name != "lenet5":
        pytest.skip("the same cut into units as avx2, and slow")
    model = pycnn.load(name, weights="random", isa=isa, threads=2)
    (size,) = model.graph.inputs.values()
    batch = np.random.default_rng(1).standard_normal((3, *size), np.float32)
    expected = np.concatenate([model.run(row[None]) for row in batch])
    np.testing.assert_array_equal(model.run(batch), expected)
    np.testing.assert_array_equal(model.run(batch), expected)
    np.testing.assert_array_equal(model.run(batch[::-1]), expected[::-1])
    for threads in (1, 3):
        other = pycnn.load(name, weights="random", isa=isa, threads=threads)
        np.testing.assert_array_equal(other.run(batch), expected)


@pytest.mark.parametrize("name", THROUGHPUT)
def test_networks_for_throughput(name: str) -> None:
    model = pycnn.load(name, weights="random", optimize="throughput")
    (size,) = model.graph.inputs.values()
    batch = np.random.default_rng(1).standard_normal((3, *size), np.float32)
    np.testing.assert_array_equal(model.run(batch)[2], model.run(batch[2:])[0])


def test_a_pool_within_a_convolution() -> None:
    g = pycnn.Graph("pooled")
    x = g.conv2d("c", g.input("x", (16, 64, 64)), 32, 3, padding=1)
    g.output(g.max_pool2d("p", g.relu("r", x), 2))
    model = pycnn.Model(g, RandomWeights(g), threads=2)
    batch = np.random.default_rng(1).standard_normal((5, 16, 64, 64), np.float32)
    np.testing.assert_array_equal(model.run(batch)[4], model.run(batch[4:])[0])


@pytest.mark.parametrize("shape", [(16, 512, 28, 1), (40, 64, 56, 1), (20, 256, 20, 3)])
def test_batches_that_no_cache_holds(shape: tuple[int, int, int, int]) -> None:
    """More than 8 MB of pixels are gone through in another order, in which no sum differs."""
    n, c, size, kernel = shape
    rng = np.random.default_rng(4)
    x = rng.standard_normal((n, c, size, size), np.float32)
    weight = rng.standard_normal((1100, c, kernel, kernel), np.float32)
    options = {"stride": 2, "padding": kernel // 2, "algorithm": "direct"}
    got = ops.conv2d(x, weight, **options)
    for row in (0, n - 1):
        np.testing.assert_array_equal(got[row], ops.conv2d(x[row : row + 1], weight, **options)[0])


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 8])
def test_a_convolution_on_any_number_of_threads(threads: int, isa: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((5, 40, 23, 19), np.float32)
    weight = rng.standard_normal((70, 40, 3, 3), np.float32)
    got = ops.conv2d(x, weight, padding=1, isa=isa, threads=threads)
    np.testing.assert_array_equal(got, ops.conv2d(x, weight, padding=1, isa=isa, threads=1))


def test_rows_of_a_linear_layer(isa: str) -> None:
    """One row is a matrix-vector product, many are a matrix product: the same sums."""
    rng = np.random.default_rng(3)
    x, weight = (
        rng.standard_normal((13, 300), np.float32),
        rng.standard_normal((90, 300), np.float32),
    )
    whole = ops.linear(x, weight, isa=isa)
    for i, row in enumerate(x):
        np.testing.assert_array_equal(ops.linear(row[None], weight, isa=isa)[0], whole[i])
