"""Local response normalisation: every window, the betas in use, torch's and ONNX's even sizes."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import shapes
import torch
from tolerances import ELEMENTWISE, assert_close

from pycnn import ShapeError, UnsupportedError, ops

Rng = np.random.Generator


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3, 16, 17, 40])
def test_torch_windows(size: int, channels: int, isa: str, poison: int, rng: Rng) -> None:
    x = 5 * rng.standard_normal((2, channels, 3, 4), np.float32)
    got = ops.lrn(x, size, alpha=0.5, beta=0.75, k=1.5, isa=isa, poison=poison)
    before, after = reference.lrn_window_torch(size)
    assert_close(got, reference.lrn(x, before, after, 0.5, 0.75, 1.5), ELEMENTWISE)
    expected = torch.nn.functional.local_response_norm(
        torch.from_numpy(x).double(), size, 0.5, 0.75, 1.5
    )
    assert_close(got, expected.numpy(), ELEMENTWISE)


@pytest.mark.parametrize("size", [2, 4, 6])
def test_onnx_windows_are_mirrored(size: int, isa: str, rng: Rng) -> None:
    x = 5 * rng.standard_normal((1, 20, 2, 2), np.float32)
    window = reference.lrn_window_onnx(size)
    assert window == reference.lrn_window_torch(size)[::-1]
    got = ops.lrn(x, window, alpha=0.5, isa=isa)
    assert_close(got, reference.lrn(x, *window, 0.5, 0.75, 1.0), ELEMENTWISE)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.75, 1.0, 0.3, 2.0])
@pytest.mark.parametrize("k", [1.0, 2.0])
def test_exponents(beta: float, k: float, isa: str, rng: Rng) -> None:
    x = 100 * rng.standard_normal((1, 21, 3, 3), np.float32)
    got = ops.lrn(x, 5, alpha=1e-4, beta=beta, k=k, isa=isa)
    assert_close(got, reference.lrn(x, 2, 2, 1e-4, beta, k), ELEMENTWISE)


def test_wide_windows(isa: str, rng: Rng) -> None:
    x = rng.standard_normal((1, 40, 2, 3), np.float32)
    for window in ((40, 40), (0, 64), (64, 0), (17, 20)):
        got = ops.lrn(x, window, alpha=1.0, isa=isa, poison=0xFF)
        assert_close(got, reference.lrn(x, *window, 1.0, 0.75, 1.0), ELEMENTWISE, str(window))


@pytest.mark.parametrize("row", shapes.rows("lrn"), ids=shapes.layer_id)
def test_layers_of_the_networks(row: dict[str, str], isa: str, rng: Rng) -> None:
    x = 50 * rng.standard_normal((1, int(row["c"]), 9, int(row["w"])), np.float32)
    alpha, beta, k = (float(row[key]) for key in ("alpha", "beta", "k"))
    window = (int(row["before"]), int(row["after"]))
    got = ops.lrn(x, window, alpha, beta, k, isa=isa, poison=0xFF)
    assert_close(got, reference.lrn(x, *window, alpha, beta, k), ELEMENTWISE)


def test_misuse() -> None:
    x = np.zeros((1, 3, 2, 2), np.float32)
    with pytest.raises(ShapeError, match="lrn"):
        ops.lrn(x, (-1, 2))
    with pytest.raises(UnsupportedError, match="at most 64"):
        ops.lrn(x, 1000)
