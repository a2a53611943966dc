"""Nodes whose inputs are constants, or shapes, and become constants when a model is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycnn.errors import ModelFormatError, UnsupportedError
from pycnn.formats.onnx_graph import OnnxNode, Tensor, Turned, Unknown
from pycnn.formats.onnx_schema import DTYPES
from pycnn.formats.onnx_tensors import SMALL_ELEMS, Array, Constant


def fold(node: OnnxNode) -> Constant | None:
    """Return the value of a node that depends on no input of the network, else None."""
    if node.op_type in _FROM_NOTHING:
        return _FROM_NOTHING[node.op_type](node)
    if node.op_type not in FOLDS or any(isinstance(v, (Tensor, Turned)) for v in node.inputs):
        return None
    if node.op_type in _VIEWS:
        return _VIEWS[node.op_type](node)
    for value in node.inputs:
        if isinstance(value, Constant) and value.elems > SMALL_ELEMS:
            raise UnsupportedError(f"computes with the constant '{value.name}' of {value.shape}")
        unknown = isinstance(value, Constant) and value.dtype == "object"
        if unknown and node.op_type not in _MOVES:
            raise UnsupportedError("computes with a size that the model leaves free")
    with np.errstate(all="ignore"):
        result = np.asarray(_COMPUTED[node.op_type](node))
    if result.dtype == object and all(isinstance(size, int) for size in result.flat):
        result = result.astype(np.int64)  # the part of a shape that is known
    return node.folded(result)


def _refuse_large(shape: tuple[int, ...]) -> None:
    """Before it is computed: small constants may give a large one."""
    if math.prod(shape) > 4 * SMALL_ELEMS:
        raise UnsupportedError(f"computes a constant of shape {shape}")


# From a tensor's shape, or from nothing ---------------------------------------------------------


def _shape(node: OnnxNode) -> Constant:
    value = node.any(0)
    sizes: list[Any]
    if isinstance(value, Tensor):
        sizes = [node.converter.batch, *value.dims]
        if node.converter.free_size and len(value.dims) > 1:
            sizes[2:] = [Unknown("an image's size")] * (len(sizes) - 2)
    else:
        sizes = list(value.shape)
    start, end = node.integer("start", 0), node.integer("end", len(sizes))
    sizes = sizes[slice(start, end)]
    known = all(isinstance(size, int) for size in sizes)
    return node.folded(np.array(sizes, np.int64 if known else object))


def _constant(node: OnnxNode) -> Constant:
    if node.has("value"):
        return node.value("value")
    if node.has("value_int"):
        return node.folded(np.array(node.integer("value_int", 0), np.int64))
    if node.has("value_float"):
        return node.folded(np.array(node.number("value_float", 0.0), np.float32))
    if node.has("value_ints"):
        return node.folded(np.array(node.integers("value_ints"), np.int64))
    if node.has("value_floats"):
        return node.folded(np.array(node.numbers("value_floats"), np.float32))
    raise UnsupportedError("is no constant of numbers")


def _constant_of_shape(node: OnnxNode) -> Constant:
    value = node.value("value").load() if node.has("value") else np.zeros(1, np.float32)
    if value.size != 1:
        raise ModelFormatError(f"fills with {value.size} numbers")
    return node.converter.reader.filled(node.outputs[0], tuple(node.sizes(0)), value)


# The same numbers in another shape or type: of any size, moved when they are asked for ----------


def _reshape(node: OnnxNode) -> Constant:
    constant, sizes = node.constant(0), list(node.array(1).reshape(-1))
    if node.integer("allowzero", 0) == 0:
        sizes = [size or constant.shape[i] for i, size in enumerate(sizes)]
    if any(not isinstance(size, (int, np.integer)) for size in sizes):
        raise UnsupportedError("gives a constant a size that the model leaves free")
    return constant.reshaped(resolved([int(size) for size in sizes], constant.elems))


def resolved(sizes: list[int], elems: int) -> tuple[int, ...]:
    """Return a shape with its -1, if it has one, replaced; it must hold so many numbers."""
    if sizes.count(-1) == 1:
        rest = math.prod(size for size in sizes if size != -1)
        sizes = [size if size != -1 else elems // rest if rest else 0 for size in sizes]
    if math.prod(sizes) != elems or any(size < 0 for size in sizes):
        raise ModelFormatError(f"{elems} numbers have not the shape {sizes}")
    return tuple(sizes)


def _transpose(node: OnnxNode) -> Constant:
    constant = node.constant(0)
    perm = node.integers("perm", range(len(constant.shape))[::-1])
    if sorted(perm) != list(range(len(constant.shape))):
        raise ModelFormatError(f"transposes {constant.shape} by {perm}")
    shape = tuple(constant.shape[axis] for axis in perm)
    return node.derived(constant, shape, lambda array: array.transpose(perm))


def _cast(node: OnnxNode) -> Constant:
    constant, target = node.constant(0), DTYPES.get(node.integer("to", 0))
    if target is None or target == "bfloat16":
        raise UnsupportedError(f"casts to type {node.integer('to', 0)}")
    if constant.dtype == "object":  # sizes, which are integers already
        return constant
    return constant.derived(
        constant.name, constant.shape, target, lambda array: array.astype(target)
    )


def squeezed(shape: tuple[int, ...], axes: list[int]) -> tuple[int, ...]:
    """Return the shape without these axes of size 1; without axes, without any."""
    rank = len(shape)
    if any(not -rank <= axis < rank for axis in axes):
        raise ModelFormatError(f"axes {axes} of {shape}")
    drop = {axis % rank for axis in axes} if axes else {i for i in range(rank) if shape[i] == 1}
    if any(shape[axis] != 1 for axis in drop):
        raise ModelFormatError(f"axes {axes} of {shape} are not all 1")
    return tuple(size for i, size in enumerate(shape) if i not in drop)


def unsqueezed(shape: tuple[int, ...], axes: list[int]) -> tuple[int, ...]:
    """Return the shape with sizes of 1 put in."""
    rank = len(shape) + len(axes)
    places = {axis % rank for axis in axes if -rank <= axis < rank}
    if len(places) != len(axes):
        raise ModelFormatError(f"axes {axes} of {rank}")
    rest = iter(shape)
    return tuple(1 if i in places else next(rest) for i in range(rank))


def _squeeze(node: OnnxNode) -> Constant:
    constant = node.constant(0)
    return constant.reshaped(squeezed(constant.shape, node.setting("axes", 1)))


def _unsqueeze(node: OnnxNode) -> Constant:
    constant = node.constant(0)
    return constant.reshaped(unsqueezed(constant.shape, node.setting("axes", 1)))


# Small ones, computed at once -------------------------------------------------------------------


def _arrays(node: OnnxNode) -> list[Array]:
    return [node.array(i) for i in range(len(node.inputs))]


def _divide(a: Array, b: Array) -> Array:
    if np.issubdtype(a.dtype, np.integer):
        if not np.all(b):
            raise ModelFormatError("divides an integer by 0")
        return np.trunc(a / b).astype(a.dtype)
    return np.asarray(a / b)


def _gather(node: OnnxNode) -> Array:
    data, indices, axis = node.array(0), node.array(1).astype(np.int64), node.integer("axis", 0)
    _refuse_large((*data.shape[:axis], *indices.shape, *data.shape[axis:][1:]))
    return np.asarray(np.take(data, indices, axis=axis))


def _slice(node: OnnxNode) -> Array:
    data = node.array(0)
    bounds = [slice(None)] * data.ndim
    for axis, start, stop, step in slices(node, data.ndim):
        bounds[axis] = slice(start, stop, step)
    return np.asarray(data[tuple(bounds)])


def slices(node: OnnxNode, rank: int) -> list[tuple[int, int, int, int]]:
    """Return (axis, start, stop, step) of a Slice, of either form."""
    starts, stops = node.setting("starts", 1), node.setting("ends", 2)
    axes = node.setting("axes", 3, range(len(starts)))
    steps = node.sizes(4) if node.optional(4) is not None else [1] * len(starts)
    if any(not -rank <= axis < rank for axis in axes) or 0 in steps:
        raise ModelFormatError(f"slices axes {axes} of {rank} by steps {steps}")
    return [
        (axis % rank, start, stop, step)
        for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True)
    ]


def _of(function: Callable[..., Any]) -> Callable[[OnnxNode], Any]:
    """Give an element-wise function."""

    def computed(node: OnnxNode) -> Any:
        arrays = _arrays(node)
        _refuse_large(np.broadcast_shapes(*(array.shape for array in arrays)))
        return function(*arrays)

    return computed


def _reduce_product(node: OnnxNode) -> Array:
    axes = node.setting("axes", 1)
    keep = bool(node.integer("keepdims", 1))
    return np.asarray(np.prod(node.array(0), axis=tuple(axes) or None, keepdims=keep))


_FROM_NOTHING: Mapping[str, Callable[[OnnxNode], Constant]] = {
    "Shape": _shape,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
}
_VIEWS: Mapping[str, Callable[[OnnxNode], Constant]] = {
    "Identity": lambda node: node.constant(0),
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Cast": _cast,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
# These move sizes without looking at them, so that one may be unknown.
_MOVES = ("Gather", "Slice", "Concat")
_COMPUTED: Mapping[str, Callable[[OnnxNode], Any]] = {
    "Gather": _gather,
    "Slice": _slice,
    "Concat": lambda node: np.concatenate(_arrays(node), axis=node.integer("axis", 0)),
    "Add": _of(np.add),
    "Sub": _of(np.subtract),
    "Mul": _of(np.multiply),
    "Div": _of(_divide),
    "Neg": _of(np.negative),
    "Abs": _of(np.abs),
    "Sqrt": _of(np.sqrt),
    "Pow": _of(lambda a, b: np.power(a, b).astype(a.dtype)),
    "Floor": _of(np.floor),
    "Ceil": _of(np.ceil),
    "Equal": _of(np.equal),
    "Greater": _of(np.greater),
    "Less": _of(np.less),
    "And": _of(np.logical_and),
    "Or": _of(np.logical_or),
    "Not": _of(np.logical_not),
    "Where": _of(np.where),
    "ReduceProd": _reduce_product,
}

#: Ops that are computed where all their inputs are constants.
FOLDS = frozenset((*_FROM_NOTHING, *_VIEWS, *_COMPUTED))
