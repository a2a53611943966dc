"""ONNX's ops as nodes of a graph, one function for each; docs/onnx.md lists them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pycnn.errors import ModelFormatError, UnsupportedError
from pycnn.formats.onnx_binary import binary, clip, n_ary, power, prelu
from pycnn.formats.onnx_fold import resolved, slices, squeezed, unsqueezed
from pycnn.formats.onnx_graph import Dims, OnnxNode, Tensor, Turned, Unknown, Value
from pycnn.formats.onnx_tensors import Constant
from pycnn.formats.onnx_windows import average_pool, conv, global_pool, max_pool

Made = Sequence[Value]

# Per channel ------------------------------------------------------------------------------------


def _batch_norm(n: OnnxNode) -> Made:
    if n.integer("training_mode", 0) or n.integer("spatial", 1) != 1:
        raise UnsupportedError("normalises by statistics of the batch, or each pixel")
    x = n.tensor()
    roles = ("weight", "bias", "running_mean", "running_var")
    shape = (x.dims[0],)
    constants = {role: (n.constant(i), shape) for i, role in enumerate(roles, 1)}
    return [n.with_constants("batch_norm", x, constants, {"eps": n.number("epsilon", 1e-5)})]


def _lrn(n: OnnxNode) -> Made:
    x, size = n.tensor(), n.integer("size", 0)
    window = ((size - 1) // 2, size // 2)  # of an even size: more after the channel
    return [
        n.make(
            n.converter.graph.lrn,
            x,
            window,
            n.number("alpha", 1e-4),
            n.number("beta", 0.75),
            n.number("bias", 1.0),
        )
    ]


def _along_channels(n: OnnxNode, x: Tensor, axis: int, method: Callable[..., str]) -> Tensor:
    """Apply a method that works over the channels along another axis, by turning it there."""
    if axis == 1:
        return n.make(method, x)
    order = [axis - 1, *(i for i in range(len(x.dims)) if i != axis - 1)]
    turned = n.make(method, n.transpose(x, order, last=False), last=False)
    return n.transpose(turned, [order.index(i) for i in range(len(order))])


def _softmax(name: str) -> Callable[[OnnxNode], Made]:
    def made(n: OnnxNode) -> Made:
        x, method = n.tensor(), getattr(n.converter.graph, name)
        if n.opset >= 13:
            return [_along_channels(n, x, n.axis(n.integer("axis", -1), x), method)]
        # Before, over all that follows the axis, as one.
        axis = n.axis(n.integer("axis", 1), x)
        joined = (*x.dims[: axis - 1], math.prod(x.dims[axis - 1 :]))
        flat = n.reshape(x, joined, last=False)
        return [n.reshape(_along_channels(n, flat, axis, method), x.dims, last=False)]

    return made


def _element_wise(name: str, **attributes: tuple[str, float]) -> Callable[[OnnxNode], Made]:
    """An op of one tensor; `attributes` give each argument's name in ONNX and its default."""

    def made(n: OnnxNode) -> Made:
        values: dict[str, Any] = {ours: n.number(*theirs) for ours, theirs in attributes.items()}
        return [n.make(getattr(n.converter.graph, name), n.tensor(), **values)]

    return made


# Linear layers ----------------------------------------------------------------------------------


def _gemm(n: OnnxNode) -> Made:
    x, weight = n.tensor(), n.constant(1)
    n.rank(x, 2)
    if n.integer("transA", 0) or len(weight.shape) != 2:
        raise UnsupportedError("multiplies a transposed input, or not by a matrix")
    alpha, beta = n.number("alpha", 1.0), n.number("beta", 1.0)
    if not n.integer("transB", 0):
        weight = n.derived(weight, weight.shape[::-1], lambda array: array.T)
    if alpha != 1.0:
        weight = n.derived(weight, weight.shape, lambda array: array * alpha)
    out = weight.shape[0]
    constants: dict[str, tuple[Constant, Dims]] = {"weight": (weight, (out, x.dims[0]))}
    bias = n.optional(2)
    if bias is not None and beta != 0.0:
        constant = n.constant(2)
        if constant.elems == 1 and out != 1:
            constant = n.derived(constant, (out,), lambda array: array.reshape(1).repeat(out))
        if beta != 1.0:
            constant = n.derived(constant, constant.shape, lambda array: array * beta)
        if constant.elems != out:
            raise UnsupportedError(f"adds a matrix of {constant.shape}, another row to each image")
        constants["bias"] = (constant, (out,))
    return [n.with_constants("linear", x, constants, {}, (out,))]


def _matmul(n: OnnxNode) -> Made:
    x, weight = n.tensor(), n.constant(1)
    n.rank(x, 2)
    if len(weight.shape) != 2:
        raise UnsupportedError(f"multiplies by {weight.shape}, which is no matrix")
    features, out = weight.shape
    weight = n.derived(weight, (out, features), lambda array: array.T)
    return [n.with_constants("linear", x, {"weight": (weight, (out, x.dims[0]))}, {}, (out,))]


# Shapes -----------------------------------------------------------------------------------------


def _reshape(n: OnnxNode) -> Made:
    x, sizes = n.tensor(), list(n.array(1).reshape(-1))
    if n.opset < 14 or n.integer("allowzero", 0) == 0:
        shape = (n.converter.batch, *x.dims)
        sizes = [size if size != 0 else shape[i] for i, size in enumerate(sizes)]
    return [n.reshape(x, _without_batch(n, sizes, x.dims))]


def _without_batch(n: OnnxNode, sizes: list[Any], dims: Dims) -> Dims:
    """Return the shape of one image; refuse one that does not keep the batch first."""
    if not sizes:
        raise UnsupportedError("leaves no batch")
    elems = math.prod(dims)
    sizes = [size if isinstance(size, Unknown) else int(size) for size in sizes]
    batch, *image = sizes
    if any(isinstance(size, Unknown) for size in image):
        raise UnsupportedError(f"reshapes to {sizes}: only the batch may be left free")
    if batch == n.converter.batch:
        return resolved(image, elems)
    if batch == -1 and math.prod(image) == elems:  # one such image for each
        return tuple(image)
    raise UnsupportedError(f"reshapes {elems} numbers an image to {sizes}: the batch does not stay")


def _flatten(n: OnnxNode) -> Made:
    x, axis = n.tensor(), n.integer("axis", 1)
    rank = len(x.dims) + 1
    if axis not in (1, 1 - rank):
        raise UnsupportedError(f"flattens from axis {axis}, the batch with it")
    return [n.reshape(x, (math.prod(x.dims),))]


def _squeeze(n: OnnxNode) -> Made:
    x = n.tensor()
    axes = n.setting("axes", 1)
    if not axes:
        raise UnsupportedError("squeezes whatever is 1, perhaps the batch")
    axes = [n.axis(axis, x) for axis in axes]
    return [n.reshape(x, squeezed(x.dims, [axis - 1 for axis in axes]))]


def _unsqueeze(n: OnnxNode) -> Made:
    x, axes = n.tensor(), n.setting("axes", 1)
    rank = len(x.dims) + 1 + len(axes)
    if any(axis % rank == 0 for axis in axes):
        raise UnsupportedError("puts an axis before the batch")
    return [n.reshape(x, unsqueezed(x.dims, [axis % rank - 1 for axis in axes]))]


def _transpose(n: OnnxNode) -> Made:
    turned = n.optional(0)
    x = turned.x if isinstance(turned, Turned) else n.tensor()
    rank = len(x.dims) + 1
    perm = n.integers("perm", range(rank)[::-1])
    if sorted(perm) != list(range(rank)):
        raise ModelFormatError(f"transposes {rank} axes by {perm}")
    if perm == [1, 0, *range(2, rank)]:
        return [x if isinstance(turned, Turned) else Turned(x)]
    if perm[0] != 0 or isinstance(turned, Turned):
        raise UnsupportedError(f"transposes by {perm}: the batch does not stay first")
    return [n.transpose(x, [axis - 1 for axis in perm[1:]])]


# Parts ------------------------------------------------------------------------------------------


def _concat(n: OnnxNode) -> Made:
    if not all(isinstance(value, Tensor) for value in n.inputs):
        return [_concat_with_fills(n)]
    xs = [n.tensor(i) for i in range(len(n.inputs))]
    axis = n.axis(n.integer("axis", 1), xs[0])
    n.rank(xs[0], *{len(x.dims) + 1 for x in xs})
    total = sum(x.dims[axis - 1] for x in xs)
    dims = (*xs[0].dims[: axis - 1], total, *xs[0].dims[axis:])
    if any((*x.dims[: axis - 1], total, *x.dims[axis:]) != dims for x in xs):
        raise ModelFormatError(f"joins {[x.dims for x in xs]} along axis {axis}")
    concat = n.converter.graph.concat
    if axis == 1:
        return [Tensor(dims, concat(n.new_name(), [x.node for x in xs]))]
    order = [axis - 1, *(i for i in range(len(dims)) if i != axis - 1)]
    turned = [n.transpose(x, order, last=False) for x in xs]
    joined = Tensor(
        tuple(dims[i] for i in order), concat(n.new_name(False), [x.node for x in turned])
    )
    return [n.transpose(joined, [order.index(i) for i in range(len(order))])]


def _concat_with_fills(n: OnnxNode) -> Tensor:
    """Join images and channels that all hold one number, as zeros beside a shortcut: by padding."""
    graph = n.converter.graph
    parts: list[Tensor] = []
    waiting = 0  # channels before the first image
    fills: set[float] = set()
    for i, value in enumerate(n.inputs):
        if isinstance(value, Tensor):
            part = value
            before, waiting, after = waiting, 0, 0
        else:
            shape, values = n.constant(i).shape, n.array(i)
            if len(shape) != 4 or shape[0] != 1 or not (values == values.flat[:1]).all():
                raise UnsupportedError(f"joins images and a constant of {shape}")
            fills |= set(values.flat[:1].tolist())
            if not parts:
                waiting += shape[1]
                continue
            part, before, after = parts.pop(), 0, shape[1]
        n.rank(part, 4)
        if before or after:
            dims = (part.dims[0] + before + after, *part.dims[1:])
            part = n.make(
                *(graph.pad, part, 0, (before, after), "constant", max(fills)),
                dims=dims,
                last=False,
            )
        parts.append(part)
    if n.integer("axis", 1) != 1 or len(fills) != 1 or not parts:
        raise UnsupportedError("joins images and constants, but not channels of one number")
    if len(parts) == 1:
        return parts[0]
    dims = (sum(part.dims[0] for part in parts), *parts[0].dims[1:])
    return Tensor(dims, graph.concat(n.new_name(), [part.node for part in parts]))


def _cut(
    n: OnnxNode, x: Tensor, bounds: Mapping[int, tuple[int, int, int]], last: bool = True
) -> Tensor:
    """Slice a tensor: axis, with the batch, -> start, stop, step."""
    n.rank(x, 2, 3, 4)
    places = [bounds.get(axis, (None, None, None)) for axis in (1, 2, 3)]
    dims = tuple(
        len(range(*slice(*place).indices(size)))
        for size, place in zip(x.dims, places, strict=False)
    )
    return n.make(n.converter.graph.slice, x, *places, dims=dims, last=last)


def _slice(n: OnnxNode) -> Made:
    x = n.tensor()
    bounds = {
        n.axis(axis, x): (start, stop, step)
        for axis, start, stop, step in slices(n, len(x.dims) + 1)
    }
    return [_cut(n, x, bounds)]


def _split(n: OnnxNode) -> Made:
    x = n.tensor()
    axis = n.axis(n.integer("axis", 0), x)
    size, count = x.dims[axis - 1], len(n.outputs)
    parts = n.setting("split", 1)
    if not parts:
        each = -(-size // count)  # the last one may be smaller
        parts = [min(each, size - each * i) for i in range(count)]
    if sum(parts) != size or len(parts) != count or min(parts) < 1:
        raise ModelFormatError(f"splits {size} into {parts}")
    starts = [0, *itertools.accumulate(parts)][:count]
    return [
        _cut(n, x, {axis: (start, start + part, 1)}, last=False)
        for start, part in zip(starts, parts, strict=True)
    ]


def _indices(n: OnnxNode, size: int) -> list[int]:
    """Input 1, of which none may be beyond an axis of that size."""
    picked = [index + size if index < 0 else index for index in n.sizes(1)]
    if any(not 0 <= index < size for index in picked):
        raise ModelFormatError(f"gathers {picked[:5]} of {size}")
    return picked


def _gather(n: OnnxNode) -> Made:
    x, indices = n.tensor(), n.constant(1)
    axis = n.axis(n.integer("axis", 0), x)
    picked = _indices(n, x.dims[axis - 1])
    if not indices.shape:
        one = _cut(n, x, {axis: (picked[0], picked[0] + 1, 1)})
        return [n.reshape(one, (*x.dims[: axis - 1], *x.dims[axis:]), last=False)]
    if axis != 1 or len(indices.shape) != 1:
        raise UnsupportedError("gathers, but not channels by a list")
    return [_channels(n, x, picked)]


def _channels(n: OnnxNode, x: Tensor, picked: list[int]) -> Tensor:
    return n.make(n.converter.graph.gather, x, picked, dims=(len(picked), *x.dims[1:]))


def _gather_nd(n: OnnxNode) -> Made:
    """Channels by a list, as dynamo exports x[:, list]: between two transpositions."""
    turned, indices = n.optional(0), n.constant(1)
    if not isinstance(turned, Turned) or indices.shape[1:] != (1,) or n.integer("batch_dims", 0):
        raise UnsupportedError("gathers, but not channels by a list")
    return [Turned(_channels(n, turned.x, _indices(n, turned.x.dims[0])))]


def _pad(n: OnnxNode) -> Made:
    x = n.tensor()
    rank = len(x.dims) + 1
    pads = n.setting("pads", 1)
    axes = n.sizes(3) if n.optional(3) is not None else list(range(rank))
    if len(pads) != 2 * len(axes):
        raise ModelFormatError(f"has {len(pads)} pads for {len(axes)} axes")
    fill = n.constant(2).scalar() if n.optional(2) is not None else n.number("value", 0.0)
    mode = n.string("mode", "constant")
    if mode not in ("constant", "reflect", "edge") or fill is None:
        raise UnsupportedError(f"pads by {mode}")
    margins = {}
    for i, axis in enumerate(axes):
        before, after = pads[i], pads[i + len(axes)]
        if before or after:
            margins[n.axis(axis, x)] = (before, after)
    if rank > 4 and not set(margins) <= {1, 2}:
        raise UnsupportedError(f"pads an axis beyond the third of {rank}")
    dims = tuple(size + sum(margins.get(i, (0, 0))) for i, size in enumerate(x.dims, 1))
    channels, rows, columns = (margins.get(axis, (0, 0)) for axis in (1, 2, 3))
    graph = n.converter.graph
    made = n.make(graph.pad, x, (*rows, *columns), channels, mode, fill, dims=dims)
    part = n.converter.lrn.get(x.node)
    if part is not None and part.is_square and set(margins) <= {2} and x.dims[0] == 1 and not fill:
        n.converter.lrn[made.node] = replace(
            part, before=part.before + rows[0], after=part.after + rows[1]
        )
    return [made]


def _reduce(mean: bool) -> Callable[[OnnxNode], Made]:
    """Give the function of an average over an image, or of a sum, which is one times the size."""

    def made(n: OnnxNode) -> Made:
        x = n.tensor()
        axes = {n.axis(axis, x) for axis in n.setting("axes", 1)}
        spatial = set(range(2, len(x.dims) + 1))
        if not axes or not axes <= spatial:
            raise UnsupportedError(f"reduces axes {sorted(axes)}; only some of {spatial} can be")
        dims = tuple(1 if axis in axes else size for axis, size in enumerate(x.dims, 1))
        graph = n.converter.graph
        if n.converter.free_size and not (mean and axes == spatial):
            raise UnsupportedError("needs the size of an image, which the model leaves free")
        if axes == spatial:
            y = n.make(graph.global_avg_pool, x, dims=dims, last=mean)
        else:
            n.rank(x, 4)
            window = tuple(size if i in axes else 1 for i, size in enumerate(x.dims[1:], 2))
            y = n.make(graph.avg_pool2d, x, window, (1, 1), dims=dims, last=mean)
        if not mean:
            y = n.make(graph.affine, y, float(math.prod(x.dims) // math.prod(dims)))
        kept = tuple(size for axis, size in enumerate(x.dims, 1) if axis not in axes)
        return [y if n.integer("keepdims", 1) else n.reshape(y, kept, last=False)]

    return made


# The same value ---------------------------------------------------------------------------------


def _dropout(n: OnnxNode) -> Made:
    training = n.optional(2)
    if training is not None and any(n.array(2).reshape(-1)):
        raise UnsupportedError("drops numbers, as in training")
    return [n.tensor()]


def _cast(n: OnnxNode) -> Made:
    if n.integer("to", 0) != 1:
        raise UnsupportedError("casts an image; pycnn has float32 only")
    return [n.tensor()]


OPS: Mapping[str, Callable[[OnnxNode], Made]] = {
    "Add": binary("add"),
    "AveragePool": average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": clip,
    "Concat": _concat,
    "Conv": conv,
    "Div": binary("div"),
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gemm": _gemm,
    "GlobalAveragePool": global_pool("global_avg_pool"),
    "GlobalMaxPool": global_pool("global_max_pool"),
    "HardSigmoid": _element_wise("hard_sigmoid", scale=("alpha", 0.2), shift=("beta", 0.5)),
    "HardSwish": _element_wise("hard_swish"),
    "Identity": lambda n: [n.tensor()],
    "LRN": _lrn,
    "LeakyRelu": _element_wise("leaky_relu", slope=("alpha", 0.01)),
    "LogSoftmax": _softmax("log_softmax"),
    "MatMul": _matmul,
    "Max": n_ary("max"),
    "MaxPool": max_pool,
    "Mean": n_ary("mean"),
    "Min": n_ary("min"),
    "Mul": binary("mul"),
    "Neg": lambda n: [n.make(n.converter.graph.affine, n.tensor(), -1.0)],
    "PRelu": prelu,
    "Pad": _pad,
    "Pow": power,
    "ReduceMean": _reduce(mean=True),
    "ReduceSum": _reduce(mean=False),
    "Relu": _element_wise("relu"),
    "Reshape": _reshape,
    "Sigmoid": _element_wise("sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax("softmax"),
    "Split": _split,
    "Sqrt": _element_wise("sqrt"),
    "Squeeze": _squeeze,
    "Sub": binary("sub"),
    "Sum": n_ary("add"),
    "Tanh": _element_wise("tanh"),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
