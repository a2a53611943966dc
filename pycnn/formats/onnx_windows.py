"""ONNX's convolutions and pools."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pycnn.errors import ModelFormatError, ShapeError, UnsupportedError
from pycnn.formats.onnx_graph import Dims, OnnxNode, Tensor, Value
from pycnn.formats.onnx_tensors import Constant
from pycnn.opset import Shape

Sides = tuple[int, int, int, int]


def _pair(n: OnnxNode, name: str, default: Sequence[int]) -> tuple[int, int]:
    values = n.integers(name, default)
    if len(values) != 2:
        raise ModelFormatError(f"{name} is {values}; an image has two sizes")
    return values[0], values[1]


def _padding(
    n: OnnxNode,
    size: Dims,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: Sequence[int],
) -> Sides:
    """Give (top, bottom, left, right), also where only a rule says them (auto_pad)."""
    rule = n.string("auto_pad", "NOTSET")
    if rule in ("NOTSET", ""):
        pads = n.integers("pads", [0, 0, 0, 0])
        if len(pads) != 4:
            raise ModelFormatError(f"pads is {pads}; an image has four sides")
        return pads[0], pads[2], pads[1], pads[3]
    if rule == "VALID":
        return 0, 0, 0, 0
    if rule not in ("SAME_UPPER", "SAME_LOWER"):
        raise ModelFormatError(f"auto_pad is {rule!r}")
    if n.converter.free_size and max(stride) > 1:
        raise UnsupportedError(f"auto_pad {rule} of an image whose size the model leaves free")
    sides: list[int] = []
    for i in range(2):
        if stride[i] < 1:
            raise ModelFormatError(f"strides is {stride}")
        span = dilation[i] * (kernel[i] - 1) + 1
        total = max(0, (-(-size[i] // stride[i]) - 1) * stride[i] + span - size[i])
        half = total // 2
        sides += [half, total - half] if rule == "SAME_UPPER" else [total - half, half]
    return sides[0], sides[1], sides[2], sides[3]


def _image_dims(shape: Shape) -> Dims:
    return shape[1:]


def conv(n: OnnxNode) -> Sequence[Value]:
    """Convolution of images; the weight is a constant."""
    x, weight = n.tensor(), n.constant(1)
    n.rank(x, 4)
    if len(weight.shape) != 4:
        raise ModelFormatError(f"the weight has shape {weight.shape}, expected (K, C, R, S)")
    kernel = (weight.shape[2], weight.shape[3])
    if _pair(n, "kernel_shape", kernel) != kernel:
        raise ModelFormatError(f"kernel_shape is not that of the weight, {kernel}")
    stride, dilation = _pair(n, "strides", (1, 1)), _pair(n, "dilations", (1, 1))
    attrs = {
        "stride": stride,
        "padding": _padding(n, x.dims[1:], kernel, stride, dilation),
        "dilation": dilation,
        "groups": n.integer("group", 1),
        "algorithm": "auto",
    }
    constants: dict[str, tuple[Constant, Dims]] = {"weight": (weight, weight.shape)}
    if n.optional(2) is not None:
        constants["bias"] = (n.constant(2), weight.shape[:1])
    made = n.with_constants("conv2d", x, constants, attrs)
    return [replace(made, dims=_image_dims(n.converter.graph.shape(made.node)))]


def _pool(n: OnnxNode, method: Callable[..., str], **options: Any) -> Sequence[Value]:
    x = n.tensor()
    n.rank(x, 4)
    kernel, stride = _pair(n, "kernel_shape", ()), _pair(n, "strides", (1, 1))
    if n.integers("dilations", (1, 1)) != [1, 1]:
        raise UnsupportedError("is a dilated pool")
    padding = _padding(n, x.dims[1:], kernel, stride, (1, 1))
    ceil_mode = bool(n.integer("ceil_mode", 0))
    made = n.make(method, x, kernel, stride, padding, ceil_mode, **options)
    return [replace(made, dims=_image_dims(n.converter.graph.shape(made.node)))]


def max_pool(n: OnnxNode) -> Sequence[Value]:
    """Maximum of windows."""
    return _pool(n, n.converter.graph.max_pool2d)


def average_pool(n: OnnxNode) -> Sequence[Value]:
    """Average of windows; of channels where the model has them as an image's depth."""
    if len(n.tensor().dims) == 4:
        return [_average_of_channels(n)]
    include = bool(n.integer("count_include_pad", 0))
    return _pool(n, n.converter.graph.avg_pool2d, count_include_pad=include)


def _average_of_channels(n: OnnxNode) -> Tensor:
    """(N, 1, C, H, W) averaged over windows of C: a normalisation's (onnx_lrn)."""
    x = n.tensor()
    kernel = n.integers("kernel_shape")
    size = kernel[0] if kernel else 0
    if (
        x.dims[0] != 1
        or kernel[1:] != [1, 1]
        or set(n.integers("strides", [1])) != {1}
        or set(n.integers("pads", [0])) != {0}
        or n.string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    ):
        raise UnsupportedError("pools three dimensions")
    dims = (1, x.dims[1] - size + 1, *x.dims[2:])
    if dims[1] < 1:
        raise ShapeError(f"the window of {size} is larger than the {x.dims[1]} channels")
    made = n.make(n.converter.graph.avg_pool2d, x, (size, 1), (1, 1), dims=dims)
    part = n.converter.lrn.get(x.node)
    if part is not None and part.is_square and size == part.before + part.after + 1:
        n.converter.lrn[made.node] = replace(part, averaged=True)
    return made


def global_pool(name: str) -> Callable[[OnnxNode], Sequence[Value]]:
    """Pool over all that follows the channels."""

    def made(n: OnnxNode) -> Sequence[Value]:
        x = n.tensor()
        dims = (x.dims[0], *[1] * (len(x.dims) - 1))
        if math.prod(x.dims) == 0 or len(x.dims) < 2:
            raise ModelFormatError(f"pools {x.dims}, which is no image")
        return [n.make(getattr(n.converter.graph, name), x, dims=dims)]

    return made
