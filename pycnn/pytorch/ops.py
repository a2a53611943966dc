"""Each op of a graph in PyTorch: a row of :data:`FORWARD` is what `pycnn.opset.OPS` has a row for.

A function takes the node's attributes, its inputs ``(N, C, H, W)``, its parameters by role and
whether it trains; what follows the conventions of csrc/ops is written so that the results are
those of the kernels, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from pycnn.opset import OPS, Attrs, Shape

__all__ = ["FORWARD", "Forward"]

Params: TypeAlias = Mapping[str, Tensor]
Forward: TypeAlias = Callable[[Attrs, Sequence[Tensor], Params, bool], Tensor]

# PyTorch's share of a batch in the running statistics of batch normalisation.
MOMENTUM = 0.1


def _shape(op: str, attrs: Attrs, x: Sequence[Tensor]) -> Shape:
    """The engine's output shape, of an op without parameters."""
    shapes: list[Any] = [tuple(t.shape) for t in x]
    return OPS[op].output_shape(attrs, shapes, {})


def _torch_sides(padding: Sequence[int]) -> list[int]:
    """Top, bottom, left, right in the order of F.pad."""
    top, bottom, left, right = padding
    return [left, right, top, bottom]


def _conv2d(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    weight = params["weight"]
    table = attrs.get("connections")
    if table is not None:  # one filter per connection, as pycnn.opset packs it
        rows = [k for k, inputs in enumerate(table) for _ in inputs]
        columns = [c for inputs in table for c in inputs]
        dense = weight.new_zeros(len(table), attrs["in_channels"], *weight.shape[1:])
        weight = dense.index_put((torch.tensor(rows), torch.tensor(columns)), weight)
    top, bottom, left, right = attrs["padding"]
    y, padding = x[0], (top, left)
    if top != bottom or left != right:
        y, padding = F.pad(y, _torch_sides(attrs["padding"])), (0, 0)
    return F.conv2d(
        y, weight, params.get("bias"), attrs["stride"], padding, attrs["dilation"], attrs["groups"]
    )


def _linear(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    return F.linear(x[0].flatten(1), params["weight"], params.get("bias"))[:, :, None, None]


def _pool2d(op: str) -> Forward:
    """Pooling as csrc/ops/pool2d.h has it, over an input padded to the whole of all windows."""

    def forward(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
        height, width = x[0].shape[2:]
        _, _, rows, columns = _shape(op, attrs, x)
        (r, s), (down, right_by) = attrs["kernel_size"], attrs["stride"]
        top, bottom, left, right = attrs["padding"]
        # Windows beyond the padding, of ceil_mode; and rows that no window reads.
        below = (rows - 1) * down + r - top - height
        beyond = (columns - 1) * right_by + s - left - width
        edges = [left, beyond, top, below]
        if op == "max_pool2d":
            # Caffe's -FLT_MAX, where a window has no value at all.
            padded = F.pad(x[0], edges, value=torch.finfo(x[0].dtype).min)
            return F.max_pool2d(padded, (r, s), (down, right_by))
        sums = F.avg_pool2d(F.pad(x[0], edges), (r, s), (down, right_by), divisor_override=1)
        inside = attrs["count_include_pad"]
        over_rows = _window_sizes(rows, r, down, top, height, bottom if inside else None)
        over_columns = _window_sizes(columns, s, right_by, left, width, right if inside else None)
        sizes = torch.outer(over_rows, over_columns).clamp(min=1)
        return sums / sizes.to(sums)

    return forward


def _window_sizes(
    windows: int, kernel: int, stride: int, before: int, size: int, after: int | None
) -> Tensor:
    """How much of each window lies in the padded input, or (`after` None) in the input."""
    first = torch.arange(windows) * stride
    last = (first + kernel).clamp(max=before + size + (after or 0))
    if after is None:
        first = first.clamp(min=before)
    return (last - first).clamp(min=0)


def _lrn(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    before, after = attrs["window"]
    squares = F.pad(x[0].square(), [0, 0, 0, 0, before, after])
    channels, size = x[0].shape[1], before + after + 1
    others = (squares[:, i : i + channels] for i in range(1, size))
    total = sum(others, start=squares[:, :channels])
    scale: Tensor = attrs["k"] + attrs["alpha"] / size * total
    return x[0] / scale.pow(attrs["beta"])


def _batch_norm(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    return F.batch_norm(
        x[0],
        params["running_mean"],
        params["running_var"],
        params.get("weight"),
        params.get("bias"),
        training,
        MOMENTUM,
        attrs["eps"],
    )


def _channel_affine(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    y = x[0] * params["weight"][:, None, None]
    return y + params["bias"][:, None, None] if "bias" in params else y


_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mul": torch.mul,
    "div": torch.div,
    "max": torch.maximum,
    "min": torch.minimum,
    "prelu": lambda a, b: torch.where(a < 0, a * b, a),
}


def _binary(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    operands = list(x)
    if "weight" in params:
        constant = params["weight"].reshape(1, *attrs["shape"])
        operands.insert(0 if attrs.get("swapped") else 1, constant)
    a, b = operands
    if attrs["kind"] == "add":
        alpha, beta = float(attrs.get("alpha", 1.0)), float(attrs.get("beta", 1.0))
        return alpha * a + beta * b
    return _BINARY[attrs["kind"]](a, b)


def _shortcut_a(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    stride, added = attrs["stride"], attrs["out_channels"] - x[0].shape[1]
    return F.pad(x[0][:, :, ::stride, ::stride], [0, 0, 0, 0, added // 2, added - added // 2])


def _pad(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    if attrs["mode"] == "constant":
        edges = [*_torch_sides(attrs["padding"]), *attrs["channels"]]
        return F.pad(x[0], edges, value=attrs["value"])
    mode = {"reflect": "reflect", "edge": "replicate"}[attrs["mode"]]
    y = x[0]
    # F.pad knows these modes for the last two axes: channels take a turn as rows.
    if attrs["channels"] != (0, 0):
        y = F.pad(y.transpose(1, 2), [0, 0, *attrs["channels"]], mode=mode).transpose(1, 2)
    return F.pad(y, _torch_sides(attrs["padding"]), mode=mode)


def _slice(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    y = x[0]
    for axis, bounds in enumerate(attrs["bounds"], start=1):
        chosen = range(*slice(*bounds).indices(y.shape[axis]))  # torch knows no negative steps
        y = y.index_select(axis, torch.tensor(chosen, device=y.device))
    return y


def _gather(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    return x[0].index_select(1, torch.tensor(attrs["indices"], device=x[0].device))


def _permute(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    n = x[0].shape[0]
    y = x[0].reshape(n, *attrs["dims"]).permute(0, *(1 + axis for axis in attrs["perm"]))
    return y.reshape(n, *attrs["shape"])


def _rbf(attrs: Attrs, x: Sequence[Tensor], params: Params, training: bool) -> Tensor:
    rows = x[0].flatten(1)
    return -(rows[:, None] - params["weight"]).square().sum(2)[:, :, None, None]


def _of(function: Callable[..., Tensor], *names: str) -> Forward:
    """Give the row of a function of one value and of these attributes."""
    return lambda attrs, x, params, training: function(x[0], *(attrs[name] for name in names))


FORWARD: dict[str, Forward] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "max_pool2d": _pool2d("max_pool2d"),
    "avg_pool2d": _pool2d("avg_pool2d"),
    "global_avg_pool": _of(lambda x: x.mean((2, 3), keepdim=True)),
    "global_max_pool": _of(lambda x: x.amax((2, 3), keepdim=True)),
    "lrn": _lrn,
    "relu": _of(F.relu),
    "sigmoid": _of(torch.sigmoid),
    "tanh": _of(lambda x, scale, slope: scale * torch.tanh(slope * x), "scale", "slope"),
    "affine": _of(lambda x, scale, shift: scale * x + shift, "scale", "shift"),
    "leaky_relu": _of(F.leaky_relu, "slope"),
    "clip": _of(torch.clamp, "low", "high"),
    "hard_sigmoid": _of(lambda x, a, b: (a * x + b).clamp(0, 1), "scale", "shift"),
    "hard_swish": _of(F.hardswish),
    "pow": _of(torch.pow, "exponent"),
    "sqrt": _of(torch.sqrt),
    "add": lambda attrs, x, params, training: x[0] + x[1],
    "binary": _binary,
    "batch_norm": _batch_norm,
    "channel_affine": _channel_affine,
    "concat": lambda attrs, x, params, training: torch.cat(list(x), 1),
    "shortcut_a": _shortcut_a,
    "pad": _pad,
    "slice": _slice,
    "gather": _gather,
    "permute": _permute,
    "flatten": lambda attrs, x, params, training: x[0].flatten(1)[:, :, None, None],
    "dropout": lambda attrs, x, params, training: F.dropout(x[0], attrs["p"], training),
    "softmax": _of(lambda x: x.softmax(1)),
    "log_softmax": _of(lambda x: x.log_softmax(1)),
    "rbf": _rbf,
}
