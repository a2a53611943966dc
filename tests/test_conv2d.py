"""conv2d: each algorithm on each instruction set against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import shapes
import tolerances
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_close

from pycnn import ShapeError, UnsupportedError, _core, ops

# In any form; "auto" is one of them (test_choice_of_algorithm).
ALGORITHMS = ["direct", "gemm", "depthwise", "grouped", "stem", *tolerances.WINOGRAD]
Rng = np.random.Generator


def floats(rng: Rng, *shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return rng.standard_normal(shape, np.float32)


def fits(algorithm: str, x: Any, weight: Any, **options: Any) -> bool:
    try:
        ops.conv2d(x, weight, algorithm=algorithm, **options)
    except UnsupportedError:
        return False
    return True


def check_all(
    rng: Rng,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    *,
    isas: list[str],
    poison: int = 0xFF,
    residual: bool = False,
    relu: bool = False,
    bias: bool = True,
    algorithms: list[str] = ALGORITHMS,
    **options: Any,
) -> int:
    """Compare every algorithm that fits; returns how many there were."""
    x, weight = floats(rng, *x_shape), floats(rng, *weight_shape)
    b = floats(rng, weight_shape[0]) if bias else None
    expected = reference.conv2d(x, weight, b, **options)
    r = floats(rng, *expected.shape) if residual else None
    expected = reference.conv2d(x, weight, b, residual=r, relu=relu, **options)
    terms = int(np.prod(weight_shape[1:]))
    usable = [a for a in algorithms if fits(a, x, weight, **options)]
    for algorithm in usable:
        for isa in isas:
            got = ops.conv2d(
                x, weight, b, residual=r, relu=relu, algorithm=algorithm, isa=isa,
                poison=poison, **options,
            )  # fmt: skip
            tolerance = tolerances.convolution(terms, algorithm=algorithm)
            assert_close(got, expected, tolerance, f"{algorithm} {isa} {x_shape} {weight_shape}")
    return len(usable)


# Geometry of edges. (x, weight, options)
EDGES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((1, 1, 1, 1), (16, 1, 1, 1), {}),
    ((2, 3, 1, 1), (40, 3, 3, 3), {"padding": 1}),
    ((1, 16, 7, 7), (16, 16, 1, 1), {}),
    ((3, 17, 5, 6), (33, 17, 1, 1), {}),
    ((1, 5, 9, 8), (70, 5, 3, 3), {"padding": 1}),
    ((2, 33, 8, 9), (24, 33, 3, 3), {"padding": (0, 1, 2, 3)}),
    ((1, 4, 15, 15), (40, 4, 2, 2), {"stride": 5}),
    ((1, 16, 14, 14), (64, 16, 1, 1), {"stride": 2}),
    ((1, 8, 13, 12), (40, 8, 3, 3), {"dilation": 2, "padding": 2}),
    ((1, 8, 13, 12), (40, 8, 3, 2), {"dilation": (3, 1), "stride": (1, 2), "padding": (3, 0)}),
    ((1, 3, 23, 23), (48, 3, 11, 11), {"stride": 4}),
    ((2, 3, 19, 17), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((1, 1, 5, 5), (80, 1, 5, 5), {}),
    ((2, 3, 19, 45), (70, 3, 3, 5), {"padding": (1, 0, 3, 2)}),
    ((1, 4, 9, 70), (16, 4, 3, 4), {"stride": (3, 2), "padding": 1}),
    ((1, 1, 28, 28), (6, 1, 5, 5), {"padding": 2}),
    ((2, 1, 7, 35), (8, 1, 5, 5), {"padding": (1, 2, 0, 1)}),
    ((1, 1, 6, 33), (5, 1, 5, 5), {}),
    ((1, 2, 3, 3), (40, 2, 3, 3), {"padding": 5}),
    ((1, 3, 2, 2), (40, 3, 5, 5), {"padding": 2}),
    ((1, 32, 6, 6), (64, 16, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 96, 7, 7), (144, 32, 5, 5), {"groups": 3, "padding": 2}),
    ((1, 6, 6, 6), (90, 2, 3, 3), {"groups": 3, "padding": 1}),
    ((1, 24, 6, 6), (48, 12, 3, 3), {"groups": 2}),
    ((2, 32, 9, 9), (32, 1, 3, 3), {"groups": 32, "padding": 1}),
    ((1, 20, 9, 9), (20, 1, 3, 3), {"groups": 20, "stride": 2, "padding": 1}),
    ((1, 20, 6, 6), (60, 1, 3, 3), {"groups": 20, "padding": 1}),
    ((1, 32, 5, 5), (64, 16, 1, 1), {"groups": 2}),
    ((3, 20, 29, 25), (40, 20, 3, 3), {"padding": 1}),
    ((3, 20, 21, 26), (40, 20, 5, 5), {"padding": (2, 0, 1, 2)}),
    ((2, 20, 33, 41), (40, 20, 3, 3), {"padding": (0, 1, 1, 0), "stride": 2}),
    ((2, 32, 40, 9), (64, 16, 3, 3), {"padding": 1, "groups": 2}),
]


@pytest.mark.parametrize(("x", "weight", "options"), EDGES, ids=str)
def test_edges(
    x: tuple[int, ...], weight: tuple[int, ...], options: Any, isa: str, poison: int, rng: Rng
) -> None:
    assert check_all(rng, x, weight, isas=[isa], poison=poison, **options) >= 1


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_epilogue(bias: bool, relu: bool, residual: bool, isa: str, rng: Rng) -> None:
    for weight, groups in (((70, 20, 3, 3), 1), ((70, 20, 1, 1), 1), ((20, 1, 3, 3), 20)):
        check_all(
            rng, (2, 20, 7, 6), weight, isas=[isa], bias=bias, relu=relu, residual=residual,
            groups=groups,
        )  # fmt: skip
    check_all(rng, (2, 1, 6, 34), (7, 1, 5, 5), isas=[isa], bias=bias, relu=relu, residual=residual)


@pytest.mark.parametrize("pixels", range(1, 15))
def test_every_tile_tail(pixels: int, isa: str, rng: Rng) -> None:
    """Each count of pixels, and of blocks of output channels, that a tile can end with."""
    for k in (16, 33, 48, 64, 70, 130):
        check_all(rng, (1, 19, 1, pixels), (k, 19, 1, 1), isas=[isa])
        check_all(rng, (1, 3, 1, pixels), (k, 3, 1, 3), isas=[isa], padding=(0, 1))


@pytest.mark.parametrize("channels", [1, 2, 3, 15, 16, 17, 31, 32, 33, 48])
def test_every_channel_tail(channels: int, isa: str, rng: Rng) -> None:
    check_all(rng, (1, channels, 5, 5), (40, channels, 3, 3), isas=[isa], padding=1)
    check_all(rng, (1, channels, 5, 5), (channels, 1, 3, 3), isas=[isa], groups=channels)


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 16]))
    filter_size = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    dilation = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, 4)) for _ in range(4))
    size = []
    for axis in range(2):
        extent = dilation[axis] * (filter_size[axis] - 1) + 1
        smallest = max(1, extent - padding[2 * axis] - padding[2 * axis + 1])
        size.append(draw(st.integers(smallest, smallest + 9)))
    return {
        "x": (draw(st.integers(1, 3)), groups * draw(st.integers(1, 35)), *size),
        "out": groups * draw(st.integers(1, 40)),
        "filter": filter_size,
        "options": {
            "stride": (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        },
        "relu": draw(st.booleans()),
        "residual": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


@given(geometries())
def test_random_geometries(g: dict[str, Any]) -> None:
    rng = np.random.default_rng(g["seed"])
    weight = (g["out"], g["x"][1] // g["options"]["groups"], *g["filter"])
    x, w, b = floats(rng, *g["x"]), floats(rng, *weight), floats(rng, g["out"])
    expected = reference.conv2d(x, w, b, relu=g["relu"], **g["options"])
    r = floats(rng, *expected.shape) if g["residual"] else None
    expected = reference.conv2d(x, w, b, residual=r, relu=g["relu"], **g["options"])
    tolerance = tolerances.convolution(int(np.prod(weight[1:])), expected.size)
    for isa in _core.available_isas():
        got = ops.conv2d(x, w, b, residual=r, relu=g["relu"], isa=isa, poison=0xFF, **g["options"])
        assert_close(got, expected, tolerance, isa)


def _network_layer(row: dict[str, str], limit: int, isas: list[str]) -> None:
    """One layer of a network, channels and size cut to `limit`, against torch in float64."""
    v = {key: int(value) for key, value in row.items() if key not in ("networks", "layer")}
    groups = v["groups"]
    c, k = (min(v[key], limit * groups) for key in ("c", "k"))
    size = [min(v[key], max(limit // 2, v[f] + 8)) for key, f in (("h", "r"), ("w", "s"))]
    rng = np.random.default_rng(2015)
    x, w, b = floats(rng, 1, c, *size), floats(rng, k, c // groups, v["r"], v["s"]), floats(rng, k)
    pads = [v[f"pad_{side}"] for side in ("left", "right", "top", "bottom")]
    padded = torch.nn.functional.pad(torch.from_numpy(x).double(), pads)
    expected = torch.nn.functional.conv2d(
        padded,
        torch.from_numpy(w).double(),
        torch.from_numpy(b).double(),
        stride=(v["stride_h"], v["stride_w"]),
        dilation=(v["dilation_h"], v["dilation_w"]),
        groups=groups,
    )
    r = floats(rng, *expected.shape) if v["residual"] else None
    if r is not None:
        expected = expected + torch.from_numpy(r)
    if v["relu"]:
        expected = expected.relu()
    options: dict[str, Any] = {
        "stride": (v["stride_h"], v["stride_w"]),
        "padding": tuple(v[f"pad_{side}"] for side in ("top", "bottom", "left", "right")),
        "dilation": (v["dilation_h"], v["dilation_w"]),
        "groups": groups,
    }
    for algorithm in ("direct", "gemm", *tolerances.WINOGRAD):
        if not fits(algorithm, x, w, **options):
            continue
        for isa in isas:
            got = ops.conv2d(
                x, w, b, residual=r, relu=bool(v["relu"]), algorithm=algorithm, isa=isa,
                poison=0xFF, **options,
            )  # fmt: skip
            tolerance = tolerances.convolution(c // groups * v["r"] * v["s"], algorithm=algorithm)
            assert_close(got, expected.numpy(), tolerance, f"{algorithm} {isa}")


@pytest.mark.parametrize("row", shapes.rows("conv2d"), ids=shapes.layer_id)
def test_layers_of_the_networks(row: dict[str, str]) -> None:
    _network_layer(row, 48, _core.available_isas())


@pytest.mark.slow
@pytest.mark.parametrize("row", shapes.rows("conv2d"), ids=shapes.layer_id)
def test_layers_of_the_networks_in_full(row: dict[str, str]) -> None:
    _network_layer(row, 1 << 20, _core.available_isas())


def test_depthwise_on_single_pixels(isa: str, rng: Rng) -> None:
    """Plain and blocked layout look alike there: nothing beyond the array may be read."""
    check_all(rng, (1, 3, 1, 1), (3, 1, 1, 1), isas=[isa], groups=3)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_a_special_value_stays_in_its_receptive_field(special: float, isa: str, rng: Rng) -> None:
    x, weight = floats(rng, 1, 20, 9, 9), floats(rng, 40, 20, 3, 3)
    x[0, 7, 4, 4] = special
    got = ops.conv2d(x, weight, padding=1, algorithm="direct", isa=isa)
    touched = np.zeros((9, 9), bool)
    touched[3:6, 3:6] = True
    assert not np.isfinite(got[0][:, touched]).any()
    assert np.isfinite(got[0][:, ~touched]).all()


@pytest.mark.parametrize(
    ("x", "weight", "options", "algorithm"),
    [
        ((1, 64, 56, 56), (64, 64, 1, 1), {}, "gemm"),
        ((1, 64, 56, 56), (64, 64, 1, 1), {"stride": 2}, "direct"),
        ((1, 64, 56, 56), (64, 64, 1, 1), {"padding": 1}, "direct"),
        ((1, 3, 224, 224), (64, 3, 7, 7), {"stride": 2}, "stem"),
        ((1, 3, 224, 224), (64, 3, 7, 7), {"stride": 3}, "direct"),
        ((1, 32, 9, 9), (32, 1, 3, 3), {"groups": 32}, "depthwise"),
        ((1, 32, 9, 9), (64, 1, 3, 3), {"groups": 32}, "grouped"),
        ((1, 24, 9, 9), (48, 12, 3, 3), {"groups": 2}, "grouped"),
        ((1, 1, 9, 9), (1, 1, 3, 3), {}, "stem"),
        # Large tiles, but not on the largest maps; of many channels those of small weights.
        ((1, 256, 30, 30), (256, 256, 3, 3), {"padding": 1}, "winograd_f6x6_3x3"),
        ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}, "winograd_f4x4_3x3"),
        ((1, 64, 112, 112), (64, 64, 3, 3), {"padding": 1}, "winograd_f4x4_3x3"),
        ((1, 512, 28, 28), (512, 512, 3, 3), {"padding": 1}, "winograd_f4x4_3x3"),
        ((1, 512, 7, 7), (512, 512, 3, 3), {"padding": 1}, "winograd_f4x4_3x3_plain"),
        ((16, 512, 7, 7), (512, 512, 3, 3), {"padding": 1}, "winograd_f4x4_3x3_plain"),
        ((1, 256, 14, 14), (256, 256, 3, 3), {"padding": 1}, "winograd_f5x5_3x3_plain"),
        ((1, 96, 27, 27), (256, 48, 5, 5), {"groups": 2, "padding": 2}, "winograd_f4x4_5x5"),
        ((1, 48, 7, 7), (128, 48, 5, 5), {"padding": 2}, "winograd_f2x2_5x5"),
        ((1, 128, 56, 56), (128, 128, 3, 3), {"stride": 2, "padding": 1},
         "winograd_f4x4_3x3_stride2"),
        ((1, 512, 14, 14), (512, 512, 3, 3), {"stride": 2, "padding": 1}, "direct"),
        ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 2, "dilation": 2}, "direct"),
    ],
)  # fmt: skip
def test_choice_of_algorithm(
    x: tuple[int, ...], weight: tuple[int, ...], options: dict[str, int], algorithm: str
) -> None:
    stride, padding = options.get("stride", 1), options.get("padding", 0)
    params = _core.Conv2dParams(
        stride=(stride, stride),
        padding=(padding,) * 4,
        dilation=(options.get("dilation", 1),) * 2,
        groups=options.get("groups", 1),
    )
    assert _core.conv2d_select(params, x, weight) == algorithm


def test_choice_for_batches_and_without_winograd() -> None:
    params = _core.Conv2dParams(stride=(1, 1), padding=(1,) * 4, dilation=(1, 1), groups=1)
    for n in (1, 16):  # never by the batch, which would change the bits of a row
        x, weight = (n, 512, 7, 7), (512, 512, 3, 3)
        assert _core.conv2d_select(params, x, weight, "throughput") == "winograd_f4x4_3x3"
        assert _core.conv2d_select(params, x, weight, "latency", winograd=False) == "direct"


@pytest.mark.parametrize(
    ("x", "weight", "options", "message"),
    [
        ((1, 3, 8, 8), (4, 2, 3, 3), {}, "the input has 3 channels"),
        ((1, 4, 8, 8), (6, 2, 3, 3), {"groups": 4}, "do not divide into 4 groups"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"groups": 0}, "groups must be at least 1"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"stride": 0}, "stride must be 1..2^30"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"stride": 2**31 - 1}, "stride must be 1..2^30"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"dilation": (1, 0)}, "dilation must be 1..2^30"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"padding": -1}, "padding must be 0..2^30"),
        ((1, 4, 2, 8), (6, 4, 3, 3), {}, "more than the padded input's height of 2"),
        ((1, 4, 8, 2), (6, 4, 3, 3), {}, "more than the padded input's width of 2"),
        ((0, 4, 8, 8), (6, 4, 3, 3), {}, "is empty"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"algorithm": "fastest"}, "is not one of 'auto'"),
        ((4, 8, 8), (6, 4, 3, 3), {}, "expected (N, C, H, W)"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"padding": 1 << 40}, "padding must be 0..2^30"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"padding": (1, 2, 3)}, "expected one of (1, 2, 4) numbers"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"stride": 1.5}, "expected integers"),
        ((1, 4, 8, 8), (6, 4, 3), {}, "expected (K, C, R, S)"),
    ],
)
def test_misuse(
    x: tuple[int, ...], weight: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShapeError) as error:
        ops.conv2d(np.zeros(x, np.float32), np.zeros(weight, np.float32), **options)
    assert message in str(error.value)
    assert isinstance(error.value, ValueError)


def test_a_stem_beyond_any_memory_is_refused() -> None:
    params = _core.Conv2dParams(
        stride=(1 << 30, 4), padding=(1 << 30, 1 << 30, 1 << 28, 1 << 28), dilation=(1, 1), groups=1
    )
    with pytest.raises(ShapeError):
        _core.conv2d_workspace_elems(params, (1, 8, 8, 8), (16, 8, 1, 1))


def test_an_algorithm_that_cannot_says_so(rng: Rng) -> None:
    x, weight = floats(rng, 1, 4, 8, 8), floats(rng, 6, 4, 3, 3)
    for algorithm in ("gemm", "depthwise"):
        with pytest.raises(UnsupportedError, match=f"'{algorithm}' cannot do weight"):
            ops.conv2d(x, weight, algorithm=algorithm)
    with pytest.raises(NotImplementedError):
        ops.conv2d(x, floats(rng, 6, 2, 3, 3), groups=2, algorithm="direct")


def test_dtypes_and_strides_of_arrays(rng: Rng) -> None:
    x, weight = floats(rng, 2, 4, 8, 8), floats(rng, 6, 4, 3, 3)
    with pytest.raises(ShapeError, match="float64, expected float32"):
        ops.conv2d(x.astype(np.float64), weight)
    with pytest.raises(ShapeError, match="bias"):
        ops.conv2d(x, weight, np.zeros(5, np.float32))
    with pytest.raises(ShapeError, match="residual"):
        ops.conv2d(x, weight, residual=np.zeros((2, 6, 5, 5), np.float32))
    turned = np.asfortranarray(x)
    assert not turned.flags.c_contiguous
    np.testing.assert_array_equal(ops.conv2d(turned, weight), ops.conv2d(x, weight))
    np.testing.assert_array_equal(
        ops.conv2d(x[::-1, :, ::-1], weight), ops.conv2d(x[::-1, :, ::-1].copy(), weight)
    )
