"""What each op of a graph is: its output shape, its cost, its packed weights and its tasks.

One row of :data:`OPS` per op. Shapes are always four-dimensional here, ``(N, C, H, W)``; a vector
is ``(N, C, 1, 1)``. The arithmetic on shapes and the checks are the engine's (csrc/ops).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.errors import ShapeError
from pycnn.indices import (
    Indices,
    gather_indices,
    gather_sizes,
    pad_indices,
    pad_sizes,
    slice_indices,
    slice_sizes,
)

Shape = tuple[int, int, int, int]
Attrs = Mapping[str, Any]
Array = npt.NDArray[np.float32]
ParamShapes = Mapping[str, tuple[int, ...]]
Params = Mapping[str, Array]
Refs = Sequence[_core.TensorRef]


@dataclass(frozen=True)
class Tuning:
    """What a model's user may say about the choice of algorithms.

    Attributes
    ----------
    optimize
        ``"latency"``: fastest for an image at a time, where weights must be read for each.
        ``"throughput"``: for batches.
    winograd
        False: plain sums only.
    """

    optimize: str = "latency"
    winograd: bool = True

    def __post_init__(self) -> None:
        if self.optimize not in ("latency", "throughput"):
            raise ValueError(f"optimize must be 'latency' or 'throughput', got {self.optimize!r}")


DEFAULT_TUNING = Tuning()


@dataclass(frozen=True)
class OpSpec:
    """How the graph, the summary and the compiler treat one op.

    Attributes
    ----------
    output_shape
        ``(attrs, input shapes, parameter shapes by role) -> shape``; raises ShapeError.
    tasks
        ``(attrs, input refs, packed weights, output ref, isa) -> tasks``.
    macs
        Multiply-adds, ``(attrs, parameter shapes, output shape) -> int``; only convolutions and
        linear layers count, as in the papers.
    pack
        ``(attrs, parameters by role) -> packed weights`` for ops that have parameters.
    packing
        Tells apart the forms in which a layer's weights can be packed, by its chosen attrs.
    packed_bytes
        What `pack` will take, ``(attrs, parameter shapes) -> bytes``.
    choose
        Fixes what depends on the input's shape, ``(attrs, input shapes, parameter shapes, tuning)
        -> attrs``.
    workspace_elems
        What each thread needs beside the arena, ``(chosen attrs, input shapes, parameter shapes)
        -> elements``.
    buffers
        Roles of parameters that training does not change.
    reads_plain
        The op reads plain NCHW too, so that a network's input needs no copy.
    """

    output_shape: Callable[[Attrs, Sequence[Shape], ParamShapes], Shape]
    tasks: Callable[[Attrs, Sequence[_core.TensorRef], Any, _core.TensorRef, str], list[_core.Task]]
    macs: Callable[[Attrs, ParamShapes, Shape], int] = lambda attrs, params, shape: 0
    pack: Callable[[Attrs, Params], Any] | None = None
    packing: Callable[[Attrs], object] = lambda attrs: None
    packed_bytes: Callable[[Attrs, ParamShapes], int] = lambda attrs, params: 0
    choose: Callable[[Attrs, Sequence[Shape], ParamShapes, Tuning], Attrs] | None = None
    workspace_elems: Callable[[Attrs, Sequence[Shape], ParamShapes], int] = (
        lambda attrs, x, params: 0
    )
    buffers: tuple[str, ...] = ()
    reads_plain: bool = False


# Convolution and linear -------------------------------------------------------------------------


def conv2d_params(attrs: Attrs) -> _core.Conv2dParams:
    """Parameters of a convolution."""
    return _core.Conv2dParams(
        stride=attrs["stride"],
        padding=attrs["padding"],
        dilation=attrs["dilation"],
        groups=attrs["groups"],
        relu=attrs.get("relu", False),
        max_pool=attrs.get("max_pool", False),
        algorithm=attrs.get("algorithm", "auto"),
    )


def dense_weight_shape(attrs: Attrs, params: ParamShapes) -> tuple[int, ...]:
    """Shape ``(K, C, R, S)``, also of a weight stored per connection (`dense_weight`)."""
    table = attrs.get("connections")
    if table is None:
        return params["weight"]
    return (len(table), attrs["in_channels"], *params["weight"][1:])


def dense_weight(attrs: Attrs, weight: Array) -> Array:
    """Expand the filters of a connection table, ``(connections, R, S)``, to ``(K, C, R, S)``.

    LeCun et al. 1998, table I: a feature map of C3 sees some of the maps of S2 only.
    """
    table = attrs.get("connections")
    if table is None:
        return weight
    dense = np.zeros((len(table), attrs["in_channels"], *weight.shape[1:]), np.float32)
    filters = iter(weight)
    for k, inputs in enumerate(table):
        for c in inputs:
            dense[k, c] = next(filters)
    return dense


def batch_norm_affine(
    attrs: Attrs, params: Params, role: str = ""
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scale and shift (float64) that batch normalisation is at inference."""
    mean, var = (params[role + name].astype(np.float64) for name in ("running_mean", "running_var"))
    scale = 1.0 / np.sqrt(var + attrs[role + "eps"])
    shift = -mean * scale
    if role + "weight" in params:
        weight = params[role + "weight"].astype(np.float64)
        scale, shift = scale * weight, shift * weight
    if role + "bias" in params:
        shift = shift + params[role + "bias"]
    return scale, shift


def folded(
    attrs: Attrs, params: Params
) -> tuple[Array, Array | None, npt.NDArray[np.float64] | None]:
    """Dense weight, bias and scale of the filters; the latter two have a folded batch norm in them.

    Folded are those of pycnn.passes.fold_batch_norm.
    """
    weight, bias = dense_weight(attrs, params["weight"]), params.get("bias")
    if "bn.eps" not in attrs:
        return np.ascontiguousarray(weight), bias, None
    scale, shift = batch_norm_affine(attrs, params, "bn.")
    if bias is not None:
        shift = shift + bias * scale
    return np.ascontiguousarray(weight), shift.astype(np.float32), scale


def _pack_conv2d(attrs: Attrs, params: Params) -> _core.PackedConv2d:
    """Pack, with `threads`; `mapped`: the weight is a view of a file, whose pages are let go."""
    weight, bias, scale = folded(attrs, params)
    let_go = attrs.get("mapped", False) and "connections" not in attrs
    algorithm, threads = attrs.get("algorithm", "direct"), attrs.get("threads", 0)
    return _core.conv2d_pack(weight, bias, algorithm, scale, let_go, threads)


def _conv2d_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    if len(params["weight"]) != 4 and "connections" not in attrs:
        raise ShapeError(f"the weight has shape {params['weight']}, expected (K, C, R, S)")
    return _with_bias(
        _core.conv2d_output_shape(conv2d_params(attrs), x[0], dense_weight_shape(attrs, params)),
        params,
    )


def _with_bias(y: Shape, params: ParamShapes) -> Shape:
    """Return the output shape, for which a bias must have one number for each channel."""
    if params.get("bias", (y[1],)) != (y[1],):
        raise ShapeError(f"the bias has shape {params['bias']}, expected ({y[1]},)")
    return y


def _choose_conv2d(attrs: Attrs, x: Sequence[Shape], params: ParamShapes, tuning: Tuning) -> Attrs:
    weight = dense_weight_shape(attrs, params)
    chosen = _core.conv2d_select(
        conv2d_params(attrs), x[0], weight, tuning.optimize, tuning.winograd
    )
    return {**attrs, "algorithm": chosen}


def _conv2d_workspace(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> int:
    weight = dense_weight_shape(attrs, params)
    return _core.conv2d_workspace_elems(conv2d_params(attrs), x[0], weight)


def _weight_macs(attrs: Attrs, params: ParamShapes, y: Shape) -> int:
    return y[0] * y[2] * y[3] * math.prod(params["weight"])


def _packed_channels(channels: int) -> int:
    return -(-channels // _core.CHANNEL_BLOCK) * _core.CHANNEL_BLOCK


def _conv2d_bytes(attrs: Attrs, params: ParamShapes) -> int:
    weight = dense_weight_shape(attrs, params)
    return _core.conv2d_packed_bytes(weight, attrs.get("algorithm", "direct"))


def _conv2d_tasks(
    attrs: Attrs, x: Refs, packed: Any, y: _core.TensorRef, isa: str
) -> list[_core.Task]:
    residual = x[1] if len(x) > 1 else None
    return [_core.conv2d_task(conv2d_params(attrs), x[0], packed, residual, y, isa)]


def _linear_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    return _with_bias(_core.linear_output_shape(x[0], params["weight"]), params)


# Pooling ----------------------------------------------------------------------------------------


def pool2d_params(op: str, attrs: Attrs, x: Shape) -> _core.Pool2dParams:
    """Parameters of one of the four poolings; the global ones take the whole image."""
    if op.startswith("global_"):
        attrs = {"kernel_size": x[2:], "stride": (1, 1), "padding": (0, 0, 0, 0)}
    return _core.Pool2dParams(
        kind="max" if "max" in op else "average",
        kernel_size=attrs["kernel_size"],
        stride=attrs["stride"],
        padding=attrs["padding"],
        ceil_mode=attrs.get("ceil_mode", False),
        count_include_pad=attrs.get("count_include_pad", True),
        window_rule=attrs.get("window_rule", "torch"),
    )


def _pool2d(op: str) -> OpSpec:
    return OpSpec(
        output_shape=lambda attrs, x, params: _core.pool2d_output_shape(
            pool2d_params(op, attrs, x[0]), x[0]
        ),
        tasks=lambda attrs, x, packed, y, isa: [
            _core.pool2d_task(pool2d_params(op, attrs, x[0].shape), x[0], y, isa)
        ],
    )


# Element-wise and per channel -------------------------------------------------------------------


def _same_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    for other in x[1:]:
        if other != x[0]:
            raise ShapeError(f"add: the inputs have shapes {x[0]} and {other}; they must be equal")
    return x[0]


def _lrn_params(attrs: Attrs) -> tuple[int, int, float, float, float]:
    before, after = attrs["window"]
    return before, after, attrs["alpha"], attrs["beta"], attrs["k"]


# Element-wise functions, and the attributes that are their alpha and beta (csrc/ops/activation.h).
ACTIVATIONS = {
    "relu": ("", ""),
    "sigmoid": ("", ""),
    "tanh": ("scale", "slope"),
    "affine": ("scale", "shift"),
    "leaky_relu": ("slope", ""),
    "clip": ("low", "high"),
    "hard_sigmoid": ("scale", "shift"),
    "hard_swish": ("", ""),
    "pow": ("exponent", ""),
    "sqrt": ("", ""),
}


def activation_params(op: str, attrs: Attrs) -> tuple[str, float, float]:
    """Kind, alpha and beta of an element-wise function."""
    alpha, beta = ACTIVATIONS[op]
    return op, attrs.get(alpha, 1.0), attrs.get(beta, 1.0)


def _activation(op: str) -> OpSpec:
    return OpSpec(
        output_shape=_same_shape,
        tasks=lambda attrs, x, packed, y, isa: [
            _core.activation_task(*activation_params(op, attrs), x[0], y, isa)
        ],
    )


def binary_operands(attrs: Attrs, x: Sequence[Any], constant: Any) -> tuple[Any, Any]:
    """Left and right: two inputs, or one and the constant (the first where `swapped`)."""
    if len(x) == 2:
        return x[0], x[1]
    return (constant, x[0]) if attrs.get("swapped") else (x[0], constant)


def _binary_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    constant = None
    if "weight" in params:
        constant = (1, *attrs["shape"])
        if math.prod(params["weight"]) != math.prod(constant):
            raise ShapeError(f"the constant has shape {params['weight']}, expected {constant[1:]}")
    if len(x) + len(params) != 2:
        raise ShapeError(f"binary: {len(x) + len(params)} operands, expected 2")
    return _core.binary_output_shape(*binary_operands(attrs, x, constant))


def _binary_tasks(
    attrs: Attrs, x: Refs, packed: Any, y: _core.TensorRef, isa: str
) -> list[_core.Task]:
    a, b = binary_operands(attrs, x, None)
    return [
        _core.binary_task(
            attrs["kind"],
            attrs.get("alpha", 1.0),
            attrs.get("beta", 1.0),
            attrs.get("relu", False),
            a,
            b,
            packed,
            y,
            isa,
        )
    ]


def _pack_constant(attrs: Attrs, params: Params) -> _core.PackedConstant | None:
    if "weight" not in params:
        return None
    return _core.constant_pack(params["weight"].reshape(-1), (1, *attrs["shape"]))


def _constant_bytes(attrs: Attrs, params: ParamShapes) -> int:
    if "weight" not in params:
        return 0
    c, h, w = attrs["shape"]
    return int(4 * _packed_channels(c) * h * w)


def _per_channel_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    for role, shape in params.items():
        if shape != (x[0][1],):
            raise ShapeError(
                f"{role} has shape {shape}, expected ({x[0][1]},): one number for each channel"
            )
    return x[0]


def _channel_affine_tasks(
    attrs: Attrs, x: Refs, packed: Any, y: _core.TensorRef, isa: str
) -> list[_core.Task]:
    return [_core.channel_affine_task(attrs.get("relu", False), x[0], packed, y, isa)]


def _pack_batch_norm(attrs: Attrs, params: Params) -> _core.PackedChannelAffine:
    scale, shift = batch_norm_affine(attrs, params)
    return _core.channel_affine_pack(scale.astype(np.float32), shift.astype(np.float32))


def _pack_channel_affine(attrs: Attrs, params: Params) -> _core.PackedChannelAffine:
    weight = params["weight"]
    return _core.channel_affine_pack(weight, params.get("bias", np.zeros_like(weight)))


def _affine_bytes(attrs: Attrs, params: ParamShapes) -> int:
    channels = next(iter(params.values()))[0]
    return 2 * 4 * _packed_channels(channels)


# Channels and layout ----------------------------------------------------------------------------


def _concat_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    if not x:
        raise ShapeError("concat: no inputs")
    n, _, h, w = x[0]
    for other in x[1:]:
        if (other[0], *other[2:]) != (n, h, w):
            raise ShapeError(f"concat: the inputs {list(x)} differ in more than their channels")
    return (n, sum(shape[1] for shape in x), h, w)


def _concat_tasks(
    attrs: Attrs, x: Refs, packed: Any, y: _core.TensorRef, isa: str
) -> list[_core.Task]:
    """Copy the inputs, but those that were written in place (`attrs["in_place"]`)."""
    tasks, offset = [], 0
    for i, ref in enumerate(x):
        if i not in attrs.get("in_place", ()):
            tasks.append(_core.copy_channels_task(offset, 1, False, ref, y, isa))
        offset += ref.shape[1]
    return tasks


def _shortcut_a_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    n, c, h, w = x[0]
    stride, channels = attrs["stride"], attrs["out_channels"]
    if stride < 1:
        raise ShapeError(f"shortcut_a: stride must be at least 1, got {stride}")
    if channels < c:
        raise ShapeError(f"shortcut_a: {channels} output channels, fewer than the input's {c}")
    return (n, channels, -(-h // stride), -(-w // stride))


def _shortcut_a_tasks(
    attrs: Attrs, x: Refs, packed: Any, y: _core.TensorRef, isa: str
) -> list[_core.Task]:
    offset = (attrs["out_channels"] - x[0].shape[1]) // 2
    return [_core.copy_channels_task(offset, attrs["stride"], True, x[0], y, isa)]


def _gather(
    indices: Callable[[Attrs, Shape], Indices], sizes: Callable[[Attrs, Shape], Sequence[int]]
) -> OpSpec:
    """Row of an op that picks channels, rows and columns of its input by index; -1 is `value`.

    `sizes` says how many, and raises where the indices cannot be.
    """

    def output_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
        channels, rows, columns = sizes(attrs, x[0])
        shape = (x[0][0], channels, rows, columns)
        if 0 in shape:
            raise ShapeError(f"nothing is left of the input {x[0]}")
        return shape

    return OpSpec(
        output_shape,
        lambda attrs, x, packed, y, isa: [
            _core.gather_task(*indices(attrs, x[0].shape), attrs.get("value", 0.0), x[0], y, isa)
        ],
    )


def _permute_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    n, *image = x[0]
    c, h, w = attrs["shape"]
    if sorted(attrs["perm"]) != list(range(len(attrs["dims"]))):
        raise ShapeError(f"permute: {attrs['perm']} is no order of {len(attrs['dims'])} axes")
    if not math.prod(image) == math.prod(attrs["dims"]) == math.prod((c, h, w)):
        raise ShapeError(
            f"permute: an image {tuple(image)} is not {attrs['dims']}, or not {attrs['shape']}"
        )
    return (n, c, h, w)


def _flatten_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    n, c, h, w = x[0]
    return (n, c * h * w, 1, 1)


def _rbf_shape(attrs: Attrs, x: Sequence[Shape], params: ParamShapes) -> Shape:
    k, c = params["weight"]
    if x[0][1:] != (c, 1, 1):
        raise ShapeError(f"rbf: the input {x[0]} is not (N, {c})")
    return (x[0][0], k, 1, 1)


OPS: dict[str, OpSpec] = {
    "conv2d": OpSpec(
        _conv2d_shape,
        _conv2d_tasks,
        macs=_weight_macs,
        pack=_pack_conv2d,
        packed_bytes=_conv2d_bytes,
        choose=_choose_conv2d,
        packing=lambda attrs: _core.conv2d_packing(attrs["algorithm"]),
        workspace_elems=_conv2d_workspace,
        reads_plain=True,
    ),
    "linear": OpSpec(
        _linear_shape,
        lambda attrs, x, packed, y, isa: [
            _core.linear_task(attrs.get("relu", False), x[0], packed, y, isa)
        ],
        macs=_weight_macs,
        pack=_pack_conv2d,
        packed_bytes=_conv2d_bytes,
    ),
    **{
        op: _pool2d(op) for op in ("max_pool2d", "avg_pool2d", "global_avg_pool", "global_max_pool")
    },
    "lrn": OpSpec(
        lambda attrs, x, params: _core.lrn_output_shape(*_lrn_params(attrs), x[0]),
        lambda attrs, x, packed, y, isa: [_core.lrn_task(*_lrn_params(attrs), x[0], y, isa)],
    ),
    **{op: _activation(op) for op in ACTIVATIONS},
    "add": OpSpec(
        _same_shape,
        lambda attrs, x, packed, y, isa: [
            _core.add_task(attrs.get("relu", False), x[0], x[1], y, isa)
        ],
    ),
    "binary": OpSpec(
        _binary_shape, _binary_tasks, pack=_pack_constant, packed_bytes=_constant_bytes
    ),
    "batch_norm": OpSpec(
        _per_channel_shape,
        _channel_affine_tasks,
        pack=_pack_batch_norm,
        packed_bytes=_affine_bytes,
        buffers=("running_mean", "running_var"),
    ),
    "channel_affine": OpSpec(
        _per_channel_shape,
        _channel_affine_tasks,
        pack=_pack_channel_affine,
        packed_bytes=_affine_bytes,
    ),
    "concat": OpSpec(_concat_shape, _concat_tasks),
    "shortcut_a": OpSpec(_shortcut_a_shape, _shortcut_a_tasks),
    "pad": _gather(pad_indices, pad_sizes),
    "slice": _gather(slice_indices, slice_sizes),
    "gather": _gather(gather_indices, gather_sizes),
    "permute": OpSpec(
        _permute_shape,
        lambda attrs, x, packed, y, isa: [
            _core.permute_task(attrs["dims"], attrs["perm"], x[0], y, isa)
        ],
    ),
    "flatten": OpSpec(
        _flatten_shape,
        lambda attrs, x, packed, y, isa: [_core.layout_task(x[0], y, isa)],
    ),
    "dropout": OpSpec(  # inference: identity; pycnn.passes.remove_dropout takes it out
        _same_shape,
        lambda attrs, x, packed, y, isa: [_core.copy_channels_task(0, 1, False, x[0], y, isa)],
    ),
    "softmax": OpSpec(
        _same_shape,
        lambda attrs, x, packed, y, isa: [_core.softmax_task(False, x[0], y, isa)],
    ),
    "log_softmax": OpSpec(
        _same_shape,
        lambda attrs, x, packed, y, isa: [_core.softmax_task(True, x[0], y, isa)],
    ),
    "rbf": OpSpec(
        _rbf_shape,
        lambda attrs, x, packed, y, isa: [_core.rbf_task(x[0], packed, y, isa)],
        pack=lambda attrs, params: _core.rbf_pack(params["weight"]),
        packed_bytes=lambda attrs, params: (
            4 * _packed_channels(params["weight"][0]) * params["weight"][1]
        ),
        buffers=("weight",),
    ),
}
