"""What each op is on a GPU: its packed parameters and its tasks.

One row of :data:`DEVICE_OPS` for each of :data:`pycnn.opset.OPS`, whose rows say shape, cost and
parameters for every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.cuda.device import Target
from pycnn.graph import Node
from pycnn.indices import Indices, gather_indices, pad_indices, slice_indices
from pycnn.opset import (
    ACTIVATIONS,
    Attrs,
    Params,
    ParamShapes,
    Shape,
    activation_params,
    batch_norm_affine,
    binary_operands,
    conv2d_params,
    dense_weight_shape,
    folded,
    pool2d_params,
)

Packed = Any  # what a row's `pack` gave
Choice = Any  # a `_cuda.ConvPlan`, None for ops that have nothing to choose
Refs = Sequence[Any]  # of `_cuda.TensorRef`


@dataclass(frozen=True)
class DeviceOp:
    """How the device's compiler treats one op.

    Attributes
    ----------
    tasks
        ``(target, attrs, input refs, packed parameters, choice, output ref) -> tasks``.
    choose
        Fixes a convolution's algorithm, ``(target, node, input shape, weight shape, whether it is
        plain NCHW) -> choice``.
    pack
        ``(target, attrs, parameters by role, choice) -> packed parameters``, in device memory.
    packed_bytes
        What `pack` takes, ``(target, attrs, parameter shapes, choice) -> bytes``.
    """

    tasks: Callable[[Target, Attrs, Refs, Packed, Choice, Any], list[Any]]
    choose: Callable[[Target, Node, Shape, Shape, bool], Choice] | None = None
    pack: Callable[[Target, Attrs, Params, Choice], Packed] | None = None
    packed_bytes: Callable[[Target, Attrs, ParamShapes, Choice], int] = lambda *_: 0


# Convolution and linear -------------------------------------------------------------------------

# A linear layer is a convolution whose filter is as large as the image: 1x1 behind a flatten that
# runs, H x W where the flatten before it is left out (pycnn.cuda.compile).
_LINEAR = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}


def weight_shape(node: Node, params: ParamShapes, x: Shape) -> Shape:
    """Shape ``(K, C/G, R, S)`` of a convolution's or a linear layer's weight."""
    if node.op == "linear":
        return (params["weight"][0], *x[1:])
    k, c, r, s = dense_weight_shape(node.attrs, params)
    return (k, c, r, s)


def _choose(target: Target, node: Node, x: Shape, weight: Shape, plain: bool) -> Choice:
    attrs = {**_LINEAR, **node.attrs} if node.op == "linear" else node.attrs
    params = conv2d_params({**attrs, "algorithm": "auto"})  # which speaks of the CPU's
    return target.cuda.conv2d_select(
        params, x, weight, target.dtype, plain, True, target.traits, attrs.get("device_algorithm")
    )


def _pack_convolution(target: Target, attrs: Attrs, params: Params, choice: Choice) -> Packed:
    weight, bias, scale = folded(attrs, params)
    packed = target.cuda.conv2d_pack(
        choice, weight.reshape(choice.weight_shape), scale, target.index
    )
    return packed, None if bias is None else target.cuda.upload(bias, target.index)


def _convolution_bytes(target: Target, attrs: Attrs, params: ParamShapes, choice: Choice) -> int:
    biased = "bias" in params or "bn.eps" in attrs
    return int(choice.packed_bytes + 4 * choice.weight_shape[0] * biased)


def _convolution_tasks(
    target: Target, attrs: Attrs, x: Refs, packed: Packed, choice: Choice, y: Any
) -> list[Any]:
    residual = x[1] if len(x) > 1 else None
    return [target.cuda.conv2d_task(choice, x[0], *packed, residual, y)]


_CONVOLUTION = DeviceOp(
    _convolution_tasks,
    choose=_choose,
    pack=_pack_convolution,
    packed_bytes=_convolution_bytes,
)


# Element-wise and per channel -------------------------------------------------------------------


def _pool2d(op: str) -> DeviceOp:
    return DeviceOp(
        lambda target, attrs, x, packed, choice, y: [
            target.cuda.pool2d_task(pool2d_params(op, attrs, x[0].shape), x[0], y)
        ]
    )


def _activation(op: str) -> DeviceOp:
    return DeviceOp(
        lambda target, attrs, x, packed, choice, y: [
            target.cuda.activation_task(*activation_params(op, attrs), x[0], y)
        ]
    )


def _softmax(log: bool) -> DeviceOp:
    return DeviceOp(
        lambda target, attrs, x, packed, choice, y: [target.cuda.softmax_task(log, x[0], y)]
    )


def _binary_tasks(
    target: Target, attrs: Attrs, x: Refs, packed: Packed, choice: Choice, y: Any
) -> list[Any]:
    a, b = binary_operands(attrs, x, None)
    shape = (1, *attrs["shape"]) if packed is not None else (1, 1, 1, 1)
    return [
        target.cuda.binary_task(
            attrs["kind"],
            attrs.get("alpha", 1.0),
            attrs.get("beta", 1.0),
            attrs.get("relu", False),
            a,
            b,
            packed,
            shape,
            y,
        )
    ]


def _pack_constant(target: Target, attrs: Attrs, params: Params, choice: Choice) -> Packed:
    if "weight" not in params:
        return None
    values = np.ascontiguousarray(params["weight"].reshape(-1))
    return target.cuda.upload_tensor(values, (1, *attrs["shape"]), target.dtype, target.index)


def _constant_bytes(target: Target, attrs: Attrs, params: ParamShapes, choice: Choice) -> int:
    return target.itemsize * math.prod(attrs["shape"]) if "weight" in params else 0


def _affine_tasks(
    target: Target, attrs: Attrs, x: Refs, packed: Packed, choice: Choice, y: Any
) -> list[Any]:
    return [target.cuda.channel_affine_task(attrs.get("relu", False), x[0], *packed, y)]


def _pack_batch_norm(target: Target, attrs: Attrs, params: Params, choice: Choice) -> Packed:
    return tuple(
        target.cuda.upload(values.astype(np.float32), target.index)
        for values in batch_norm_affine(attrs, params)
    )


def _pack_affine(target: Target, attrs: Attrs, params: Params, choice: Choice) -> Packed:
    weight = params["weight"]
    shift = params.get("bias", np.zeros_like(weight))
    return tuple(target.cuda.upload(values, target.index) for values in (weight, shift))


def _affine_bytes(target: Target, attrs: Attrs, params: ParamShapes, choice: Choice) -> int:
    return 2 * 4 * next(iter(params.values()))[0]


# Channels and layout ----------------------------------------------------------------------------


def _concat_tasks(
    target: Target, attrs: Attrs, x: Refs, packed: Packed, choice: Choice, y: Any
) -> list[Any]:
    """Copy the inputs, but those that were written in place (`attrs["in_place"]`)."""
    tasks, offset = [], 0
    for i, ref in enumerate(x):
        if i not in attrs["in_place"]:
            tasks.append(target.cuda.copy_channels_task(offset, 1, False, ref, y))
        offset += ref.shape[1]
    return tasks


def _shortcut_a_tasks(
    target: Target, attrs: Attrs, x: Refs, packed: Packed, choice: Choice, y: Any
) -> list[Any]:
    offset = (attrs["out_channels"] - x[0].shape[1]) // 2
    return [target.cuda.copy_channels_task(offset, attrs["stride"], True, x[0], y)]


def _gather(indices_of: Callable[[Attrs, Shape], Indices]) -> DeviceOp:
    def tasks(
        target: Target, attrs: Attrs, x: Refs, packed: Packed, choice: Choice, y: Any
    ) -> list[Any]:
        axes = indices_of(attrs, x[0].shape)
        indices = target.cuda.upload_indices([i for axis in axes for i in axis], target.index)
        return [target.cuda.gather_task(indices, attrs.get("value", 0.0), x[0], y)]

    return DeviceOp(tasks)


DEVICE_OPS: dict[str, DeviceOp] = {
    "conv2d": _CONVOLUTION,
    "linear": _CONVOLUTION,
    **{
        op: _pool2d(op) for op in ("max_pool2d", "avg_pool2d", "global_avg_pool", "global_max_pool")
    },
    "lrn": DeviceOp(
        lambda target, attrs, x, packed, choice, y: [
            target.cuda.lrn_task(
                *attrs["window"], attrs["alpha"], attrs["beta"], attrs["k"], x[0], y
            )
        ]
    ),
    **{op: _activation(op) for op in ACTIVATIONS},
    "add": DeviceOp(
        lambda target, attrs, x, packed, choice, y: [
            target.cuda.add_task(attrs.get("relu", False), x[0], x[1], y)
        ]
    ),
    "binary": DeviceOp(_binary_tasks, pack=_pack_constant, packed_bytes=_constant_bytes),
    "batch_norm": DeviceOp(_affine_tasks, pack=_pack_batch_norm, packed_bytes=_affine_bytes),
    "channel_affine": DeviceOp(_affine_tasks, pack=_pack_affine, packed_bytes=_affine_bytes),
    "concat": DeviceOp(_concat_tasks),
    "shortcut_a": DeviceOp(_shortcut_a_tasks),
    "pad": _gather(pad_indices),
    "slice": _gather(slice_indices),
    "gather": _gather(gather_indices),
    "permute": DeviceOp(
        lambda target, attrs, x, packed, choice, y: [
            target.cuda.permute_task(attrs["dims"], attrs["perm"], x[0], y)
        ]
    ),
    "flatten": DeviceOp(
        lambda target, attrs, x, packed, choice, y: [target.cuda.flatten_task(x[0], y)]
    ),
    "dropout": DeviceOp(  # inference: identity; pycnn.passes.remove_dropout takes it out
        lambda target, attrs, x, packed, choice, y: [
            target.cuda.copy_channels_task(0, 1, False, x[0], y)
        ]
    ),
    "softmax": _softmax(log=False),
    "log_softmax": _softmax(log=True),
    "rbf": DeviceOp(
        lambda target, attrs, x, packed, choice, y: [target.cuda.rbf_task(x[0], packed, y)],
        pack=lambda target, attrs, params, choice: target.cuda.upload(
            np.ascontiguousarray(params["weight"]), target.index
        ),
        packed_bytes=lambda target, attrs, params, choice: 4 * math.prod(params["weight"]),
    ),
}
