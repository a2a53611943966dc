"""Ops that pick: pads, slices, channels by index; and permutations of whole images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pycnn import ShapeError, UnsupportedError, ops

Rng = np.random.Generator
SHAPES = [(1, 1, 1, 1), (2, 17, 3, 5), (1, 48, 7, 4), (3, 40, 1, 1)]


def images(rng: Rng, shape: tuple[int, ...]) -> Any:
    return rng.standard_normal(shape, np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("padding", [0, 2, (1, 0), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("channels", [(0, 0), (3, 14), (16, 0)], ids=str)
def test_pad_by_a_constant(
    shape: tuple[int, ...], padding: Any, channels: tuple[int, int], isa: str, poison: int, rng: Rng
) -> None:
    x = images(rng, shape)
    top, bottom, left, right = ops.sides(padding)
    got = ops.pad(x, padding, channels, value=-0.5, isa=isa, poison=poison)
    expected = np.pad(
        x, ((0, 0), channels, (top, bottom), (left, right)), constant_values=np.float32(-0.5)
    )
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_pad_by_the_image(mode: str, isa: str, poison: int, rng: Rng) -> None:
    x = images(rng, (2, 17, 4, 6))
    got = ops.pad(x, (3, 1, 2, 5), mode=mode, isa=isa, poison=poison)
    np.testing.assert_array_equal(got, np.pad(x, ((0, 0), (0, 0), (3, 1), (2, 5)), mode))  # type: ignore[call-overload]


def test_negative_padding_crops(isa: str, rng: Rng) -> None:
    x = images(rng, (2, 5, 6, 7))
    got = ops.pad(x, (-1, 2, 0, -3), (-2, 0), isa=isa)
    expected = np.pad(x[:, 2:, 1:, :-3], ((0, 0), (0, 0), (0, 2), (0, 0)))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "bounds",
    [
        ((16, 32, 1), (None, None, None), (None, None, None)),
        ((3, None, 2), (1, -1, 1), (None, None, 2)),
        ((None, None, -1), (None, None, -1), (-2, None, -2)),
        ((0, 1000, 1), (0, 1, 1), (-1, 1000, 1)),
    ],
    ids=str,
)
def test_slice(bounds: Any, isa: str, poison: int, rng: Rng) -> None:
    x = images(rng, (2, 37, 5, 6))
    got = ops.slice(x, *bounds, isa=isa, poison=poison)
    np.testing.assert_array_equal(got, x[:, *(slice(*bound) for bound in bounds)])


@pytest.mark.parametrize("indices", [[0], [5, 5, 36], range(16, 32), range(36, -1, -1)], ids=str)
def test_gather(indices: Any, isa: str, poison: int, rng: Rng) -> None:
    x = images(rng, (2, 37, 2, 3))
    got = ops.gather(x, indices, isa=isa, poison=poison)
    np.testing.assert_array_equal(got, x[:, list(indices)])


@pytest.mark.parametrize(
    ("dims", "perm", "shape"),
    [
        ((18, 4, 6), (0, 1, 2), (18, 4, 6)),
        ((18, 4, 6), (2, 0, 1), (6, 18, 4)),
        ((3, 6, 4, 6), (1, 0, 2, 3), (18, 4, 6)),  # a channel shuffle
        ((18, 2, 2, 3, 2), (2, 4, 0, 1, 3), (72, 2, 3)),  # space to depth
        ((432,), (0,), (2, 8, 27)),
        ((2, 3, 3, 2, 2, 1, 3, 2), (7, 6, 5, 4, 3, 2, 1, 0), (432, 1, 1)),
    ],
    ids=str,
)
def test_permute(dims: Any, perm: Any, shape: Any, isa: str, poison: int, rng: Rng) -> None:
    x = images(rng, (2, 18, 4, 6))
    got = ops.permute(x, dims, perm, shape, isa=isa, poison=poison)
    axes = (0, *(axis + 1 for axis in perm))
    np.testing.assert_array_equal(got, x.reshape(2, *dims).transpose(axes).reshape(2, *shape))


def test_misuse(rng: Rng) -> None:
    x = images(rng, (1, 3, 4, 4))
    with pytest.raises(ShapeError, match="a reflection of 4 of an axis of 4"):
        ops.pad(x, 4, mode="reflect")
    with pytest.raises(ShapeError, match="'wrap' is not one of"):
        ops.pad(x, 1, mode="wrap")
    with pytest.raises(ShapeError, match="before and 2 after an axis of 4"):
        ops.pad(x, (1 << 60, 2, 0, 0))
    with pytest.raises(ShapeError, match="-4 before"):
        ops.pad(x, (-4, 2, 0, 0))
    with pytest.raises(ShapeError, match="nothing is left"):
        ops.slice(x, (3, 3, 1))
    with pytest.raises(ShapeError, match="channel 3 of 3"):
        ops.gather(x, [0, 3])
    with pytest.raises(ShapeError, match="is not"):
        ops.permute(x, (3, 17), (0, 1), (3, 4, 4))
    with pytest.raises(ShapeError, match="is no order of 2 axes"):
        ops.permute(x, (3, 16), (0, 0), (3, 4, 4))
    with pytest.raises(UnsupportedError, match="9 dimensions"):
        ops.permute(x, (3, 16) + (1,) * 7, range(9), (3, 4, 4))
