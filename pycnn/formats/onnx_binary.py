"""ONNX's element-wise ops of several operands, each of them a tensor or a constant."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pycnn.errors import ModelFormatError, UnsupportedError
from pycnn.formats.onnx_graph import Dims, OnnxNode, Tensor, Value, physical
from pycnn.formats.onnx_lrn import LrnPart
from pycnn.formats.onnx_tensors import Constant

# The op's kind here, and the factors of its operands.
_KINDS = {"sub": ("add", 1.0, -1.0)}


def _broadcast(a: Dims, b: Dims) -> Dims:
    if len(a) != len(b):
        raise UnsupportedError(f"operands of {len(a) + 1} and {len(b) + 1} dimensions")
    pairs = list(zip(a, b, strict=True))
    if any(left != right and 1 not in (left, right) for left, right in pairs):
        raise ModelFormatError(f"operands of the shapes {a} and {b}")
    dims = tuple(max(left, right) for left, right in pairs)
    # Here the axes beyond the second are one.
    if any(math.prod(operand[2:]) not in (1, math.prod(dims[2:])) for operand in (a, b)):
        raise UnsupportedError(f"broadcasts {a} and {b}, more than three dimensions")
    return dims


def _constant_dims(x: Tensor, constant: Constant) -> Dims:
    """Shape of a constant beside a tensor, without the batch, in which it has one number."""
    shape = constant.shape
    if len(shape) > len(x.dims) + 1:
        raise UnsupportedError(f"a constant of {shape}, of more dimensions than the other operand")
    full = (*[1] * (len(x.dims) + 1 - len(shape)), *shape)
    if full[0] != 1:
        raise UnsupportedError(f"a constant of {shape}, another for each image of the batch")
    return full[1:]


def _combine(n: OnnxNode, kind: str, a: Value, b: Value, last: bool = True) -> Tensor:
    graph = n.converter.graph
    kind, alpha, beta = _KINDS.get(kind, (kind, 1.0, 1.0))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        dims = _broadcast(a.dims, b.dims)
        if kind == "add" and alpha == beta and a.dims == b.dims:
            return n.make(graph.add, [a, b], last=last)
        return n.make(graph.binary, [a, b], kind, alpha, beta, dims=dims, last=last)
    x, constant, swapped = (a, b, False) if isinstance(a, Tensor) else (b, a, True)
    if not isinstance(x, Tensor) or not isinstance(constant, Constant):
        raise UnsupportedError("has two constants")
    shape = _constant_dims(x, constant)
    dims = _broadcast(x.dims, shape)
    number = constant.scalar()
    if number is not None and dims == x.dims:
        made = _with_number(n, kind, x, number, swapped, alpha, beta, last)
        if made is not None:
            return made
    attrs = {"kind": kind, "alpha": alpha, "beta": beta, "shape": physical(shape)}
    if swapped:
        attrs["swapped"] = True
    constants = {"weight": (constant, physical(shape))}
    return n.with_constants("binary", x, constants, attrs, dims, last)


def _with_number(
    n: OnnxNode,
    kind: str,
    x: Tensor,
    number: float,
    swapped: bool,
    alpha: float,
    beta: float,
    last: bool,
) -> Tensor | None:
    """Return a tensor and one number as an op of one tensor; None where there is none."""
    graph = n.converter.graph
    if not math.isfinite(number):
        return None
    if kind == "add":
        scale, shift = (beta, alpha * number) if swapped else (alpha, beta * number)
        return n.make(graph.affine, x, scale, shift, last=last)
    if kind == "mul":
        return n.make(graph.affine, x, number, last=last)
    if kind == "max":
        return n.make(graph.clip, x, low=number, last=last)
    if kind == "min":
        return n.make(graph.clip, x, high=number, last=last)
    return None


def binary(kind: str) -> Callable[[OnnxNode], Sequence[Value]]:
    """Give the function of an op of two operands."""

    def made(n: OnnxNode) -> Sequence[Value]:
        a, b = n.any(0), n.any(1)
        whole = _normalisation(n, kind, a, b)
        if whole is not None:
            return [whole]
        result = _combine(n, kind, a, b)
        part = _part(n, kind, a, b)
        if part is not None:
            n.converter.lrn[result.node] = part
        return [result]

    return made


def _part(n: OnnxNode, kind: str, a: Value, b: Value) -> LrnPart | None:
    """What of a normalisation this computes (onnx_lrn), if anything."""
    if kind == "mul" and isinstance(a, Tensor) and a == b:
        return LrnPart(a.node)
    if isinstance(a, Constant):
        a, b = b, a
    if not isinstance(a, Tensor) or not isinstance(b, Constant):
        return None
    part, number = n.converter.lrn.get(a.node), b.scalar()
    if part is None or number is None:
        return None
    if kind == "mul" and part.is_mean:
        return replace(part, alpha=number)
    if kind == "add" and part.alpha is not None and part.k is None:
        return replace(part, k=number)
    return None


def _normalisation(n: OnnxNode, kind: str, a: Value, b: Value) -> Tensor | None:
    if kind != "div" or not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return None
    part = n.converter.lrn.get(b.node)
    if part is None or part.beta is None or part.x != a.node or a.dims != b.dims:
        return None
    window = (part.before, part.after)
    return n.make(n.converter.graph.lrn, a, window, part.alpha, part.beta, part.k)


def n_ary(kind: str) -> Callable[[OnnxNode], Sequence[Value]]:
    """Give the function of an op of any number of operands: a chain of two at a time."""

    def made(n: OnnxNode) -> Sequence[Value]:
        operands = [n.any(i) for i in range(len(n.inputs))]
        step = "add" if kind == "mean" else kind
        y = operands[0]
        for i, other in enumerate(operands[1:], 2):
            y = _combine(n, step, y, other, last=i == len(operands) and kind != "mean")
        if not isinstance(y, Tensor):
            raise UnsupportedError("has one operand, a constant")
        if kind == "mean":
            y = n.make(n.converter.graph.affine, y, 1.0 / len(operands))
        return [y]

    return made


def prelu(n: OnnxNode) -> Sequence[Value]:
    """Leaky ReLU whose slope is an operand."""
    x = n.tensor()
    slope = n.any(1)
    per_channel = isinstance(slope, Constant) and slope.shape == x.dims[:1]
    if isinstance(slope, Constant) and per_channel and x.dims[-1] != x.dims[0]:
        # As older exporters have it; by ONNX's rule it would be along the last axis, and not fit.
        slope = slope.reshaped((*slope.shape, *[1] * (len(x.dims) - 1)))
    return [_combine(n, "prelu", x, slope)]


def clip(n: OnnxNode) -> Sequence[Value]:
    """Bounds are attributes in older opsets, inputs in newer ones."""
    bounds: dict[str, Any] = {"low": -math.inf, "high": math.inf}
    for i, (name, attribute) in enumerate(zip(bounds, ("min", "max"), strict=True), 1):
        if n.optional(i) is not None:
            number = n.constant(i).scalar()
            if number is None:
                raise UnsupportedError(f"has a bound of the shape {n.constant(i).shape}")
            bounds[name] = number
        else:
            bounds[name] = n.number(attribute, bounds[name])
    bounds["low"] = min(bounds.values())  # the upper bound has the last word
    return [n.make(n.converter.graph.clip, n.tensor(), **bounds)]


def power(n: OnnxNode) -> Sequence[Value]:
    """Power by one number."""
    x, exponent = n.tensor(), n.constant(1).scalar()
    if exponent is None:
        raise UnsupportedError(f"has exponents of the shape {n.constant(1).shape}")
    made = n.make(n.converter.graph.pow, x, exponent)
    part = n.converter.lrn.get(x.node)
    if exponent == 2.0:
        n.converter.lrn[made.node] = LrnPart(x.node)
    elif part is not None and part.k is not None and part.beta is None:
        n.converter.lrn[made.node] = replace(part, beta=exponent)
    return [made]
