"""Pooling: torch's and Caffe's window rules, borders, divisors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import shapes
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import ELEMENTWISE, EXACT, assert_close

from pycnn import ShapeError, _core, ops

Rng = np.random.Generator


def check(rng: Rng, shape: tuple[int, ...], isas: list[str], poison: int, **options: Any) -> None:
    x = rng.standard_normal(shape, np.float32)
    for isa in isas:
        got = ops.max_pool2d(x, **options, isa=isa, poison=poison)
        assert_close(got, reference.max_pool2d(x, **options), EXACT, f"max {isa}")
        for include in (True, False):
            got = ops.avg_pool2d(x, count_include_pad=include, **options, isa=isa, poison=poison)
            expected = reference.avg_pool2d(x, count_include_pad=include, **options)
            assert_close(got, expected, ELEMENTWISE, f"average {isa} {include}")


EDGES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 1, 1, 1), {"kernel_size": 1}),
    ((2, 17, 7, 9), {"kernel_size": 3, "stride": 2}),
    ((1, 33, 7, 9), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ((1, 16, 6, 6), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ((1, 5, 8, 8), {"kernel_size": 2, "stride": 5}),
    ((1, 5, 8, 8), {"kernel_size": 2, "stride": 3, "ceil_mode": True}),
    ((1, 5, 8, 8), {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)}),
    ((1, 5, 8, 9), {"kernel_size": 4, "padding": (0, 3, 2, 1), "ceil_mode": True}),
    ((3, 16, 3, 3), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ((1, 20, 14, 14), {"kernel_size": 14}),
]


@pytest.mark.parametrize("window_rule", ["torch", "caffe"])
@pytest.mark.parametrize(("shape", "options"), EDGES, ids=str)
def test_edges(
    shape: tuple[int, ...], options: Any, window_rule: str, isa: str, poison: int, rng: Rng
) -> None:
    check(rng, shape, [isa], poison, window_rule=window_rule, **options)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    return {
        "shape": tuple(draw(st.integers(1, top)) for top in (2, 35)) + tuple(
            draw(st.integers(k, k + 9)) for k in kernel
        ),
        "options": {
            "kernel_size": kernel,
            "stride": (draw(st.integers(1, 6)), draw(st.integers(1, 6))),
            "padding": tuple(draw(st.integers(0, kernel[i // 2] - 1)) for i in range(4)),
            "ceil_mode": draw(st.booleans()),
            "window_rule": draw(st.sampled_from(["torch", "caffe"])),
        },
    }  # fmt: skip


@given(windows())
def test_random_windows(w: dict[str, Any]) -> None:
    check(np.random.default_rng(0), w["shape"], _core.available_isas(), 0xFF, **w["options"])


@pytest.mark.parametrize("size", range(1, 13))
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, 0), (3, 2, 1), (2, 2, 0), (2, 3, 1)]
)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_against_torch(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> None:
    if size + 2 * padding < kernel:
        with pytest.raises(ShapeError):
            ops.max_pool2d(np.zeros((1, 1, size, size), np.float32), kernel)
        return
    x = np.random.default_rng(size).standard_normal((1, 3, size, size), np.float32)
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    t = torch.from_numpy(x)
    expected = torch.nn.functional.max_pool2d(t, **options).numpy()
    np.testing.assert_array_equal(ops.max_pool2d(x, **options), expected)
    for include in (True, False):
        expected = torch.nn.functional.avg_pool2d(t.double(), count_include_pad=include, **options)
        got = ops.avg_pool2d(x, count_include_pad=include, **options)
        assert_close(got, expected.numpy(), ELEMENTWISE)


@pytest.mark.parametrize("row", shapes.rows("pool2d"), ids=shapes.layer_id)
def test_layers_of_the_networks(row: dict[str, str], isa: str, rng: Rng) -> None:
    shape = (1, min(int(row["c"]), 40), int(row["h"]), int(row["w"]))
    options: dict[str, Any] = {
        "kernel_size": (int(row["window_h"]), int(row["window_w"])),
        "stride": (int(row["stride_h"]), int(row["stride_w"])),
        "padding": tuple(int(row[f"pad_{s}"]) for s in ("top", "bottom", "left", "right")),
        "ceil_mode": row["ceil_mode"] == "1",
        "window_rule": row["window_rule"],
    }
    check(rng, shape, [isa], 0xFF, **options)


def test_where_torch_and_caffe_differ() -> None:
    """No padding, stride > kernel, ceil mode: Caffe keeps a window that lies outside the input."""
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    options: dict[str, Any] = {"kernel_size": 1, "stride": 3, "ceil_mode": True}
    assert ops.max_pool2d(x, **options).shape == (1, 1, 1, 1)
    caffe = ops.max_pool2d(x, **options, window_rule="caffe")
    lowest = -np.finfo(np.float32).max
    np.testing.assert_array_equal(caffe, [[[[0, lowest], [lowest, lowest]]]])
    average = ops.avg_pool2d(x, **options, window_rule="caffe")
    np.testing.assert_array_equal(average, [[[[0, 0], [0, 0]]]])


def test_caffe_drops_the_window_where_there_is_padding_on_any_side() -> None:
    x = np.ones((1, 1, 3, 3), np.float32)
    options: dict[str, Any] = {"kernel_size": 2, "stride": 3, "ceil_mode": True}
    caffe = ops.max_pool2d(x, **options, padding=(0, 0, 0, 1), window_rule="caffe")
    assert caffe.shape[2] == 1


def test_nan_wins_a_maximum_and_infinities_are_values(isa: str) -> None:
    x = np.zeros((1, 20, 4, 4), np.float32)
    x[0, 3, 0, 1], x[0, 4] = np.nan, -np.inf
    got = ops.max_pool2d(x, 2, isa=isa)
    assert np.isnan(got[0, 3, 0, 0])
    assert np.isnan(got).sum() == 1
    assert (got[0, 4] == -np.inf).all()


def test_global_average(isa: str, poison: int, rng: Rng) -> None:
    for shape in ((1, 3, 1, 1), (2, 17, 7, 7), (1, 1024, 7, 7), (2, 40, 3, 8)):
        x = rng.standard_normal(shape, np.float32)
        got = ops.global_avg_pool(x, isa=isa, poison=poison)
        assert_close(got, x.astype(np.float64).mean((2, 3), keepdims=True), ELEMENTWISE * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 0}, "kernel_size must be at least 1"),
        ({"kernel_size": 2, "stride": 0}, "stride must be at least 1"),
        ({"kernel_size": 2, "padding": 2}, "smaller than kernel_size 2"),
        ({"kernel_size": 2, "padding": -1}, "at least 0"),
        ({"kernel_size": 6}, "larger than the padded input"),
        ({"kernel_size": 2, "window_rule": "keras"}, "is not one of 'caffe', 'torch'"),
    ],
)
def test_misuse(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ops.max_pool2d(np.zeros((1, 3, 5, 5), np.float32), **options)
