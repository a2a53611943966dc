"""Caffe's layers as nodes of a graph: one function for each type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pycnn.errors import ModelFormatError, PycnnError, UnsupportedError
from pycnn.graph import Graph
from pycnn.opset import Shape


class Builder:
    """A graph under construction. Blobs are names that layers write again, in place."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._value: dict[str, str] = {}  # blob -> the node that wrote it last
        self._unread: dict[str, None] = {}  # blobs that nobody has read, in order
        self._shared: set[str] = set()

    def input(self, blob: str, size: tuple[int, int, int]) -> None:
        """Add an input."""
        self._value[blob] = self.graph.input(blob, size)

    def layer(self, layer: Any, kind: str, bottoms: list[str]) -> None:
        """Add the nodes of a layer."""
        for blob in bottoms:
            if blob not in self._value:
                raise self.error(layer, f"reads the blob '{blob}', which no layer has made yet")
            self._unread.pop(blob, None)
        for param in layer.param:
            shared = param if isinstance(param, str) else param.name
            if shared in self._shared:
                raise self.unsupported(layer, f"shares the weights '{shared}' with another layer")
            if shared:
                self._shared.add(shared)
        sources = [self._value[blob] for blob in bottoms]
        minimum, make = LAYERS[kind]
        if len(sources) < minimum:
            raise self.error(layer, f"has {len(sources)} bottoms, expected {minimum}")
        try:
            made = make(self, layer, sources)
        except PycnnError:
            raise
        except ValueError as error:  # the name is taken
            raise self.error(layer, f"cannot be added: {error}") from error
        tops = list(layer.top) or [layer.name]  # a loss may have none
        if len(made) == 1:
            made *= len(tops)  # Split; the weight of a loss is a second top
        if len(made) != len(tops):
            raise self.error(layer, f"has {len(tops)} tops, expected {len(made)}")
        for blob, node in zip(tops, made, strict=True):
            self._value[blob] = node
            self._unread[blob] = None

    def finish(self) -> None:
        """Make outputs of the blobs that no layer reads."""
        for blob in self._unread:
            self.graph.output(self._value[blob], blob)
        if not self.graph.outputs:
            raise ModelFormatError("a network without layers")

    def shape(self, source: str) -> Shape:
        """Nominal shape of a node's output."""
        return self.graph.shape(source)

    def flat(self, layer: Any, source: str) -> str:
        """Return the source as a vector."""
        if self.shape(source)[2:] == (1, 1):
            return source
        return self.graph.flatten(f"{layer.name}/flatten", source)

    def error(self, layer: Any, text: str) -> ModelFormatError:
        """Say what is wrong with a layer."""
        return ModelFormatError(f"layer '{layer.name}' {text}")

    def unsupported(self, layer: Any, text: str) -> UnsupportedError:
        """Say what pycnn lacks for a layer."""
        return UnsupportedError(f"layer '{layer.name}' {text}")

    def only(self, layer: Any, **values: tuple[object, object]) -> None:
        """Refuse a parameter that is (got, not what is implemented)."""
        for name, (got, known) in values.items():
            if got != known:
                raise self.unsupported(layer, f"has {name} {got}; only {known} is implemented")


Made = list[str]


def _sizes(b: Builder, layer: Any, param: Any, name: str, short: str, default: int) -> Any:
    """(height, width) of ``kernel_size``/``kernel_h``/``kernel_w`` and the like."""
    height, width = f"{short}_h", f"{short}_w"
    if height in param.DESCRIPTOR.fields_by_name and (
        param.HasField(height) or param.HasField(width)
    ):
        return (getattr(param, height), getattr(param, width))
    value = getattr(param, name)
    sizes = tuple(value) if not isinstance(value, int) else (value,)
    if len(sizes) > 2:
        raise b.unsupported(layer, f"has {len(sizes)} sizes of {name}; images have two")
    return (sizes or (default,))[0], (sizes or (default,))[-1]


def _convolution(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.convolution_param
    b.only(layer, axis=(p.axis, 1))
    return [
        b.graph.conv2d(
            layer.name,
            x[0],
            p.num_output,
            _sizes(b, layer, p, "kernel_size", "kernel", 0),
            _sizes(b, layer, p, "stride", "stride", 1),
            _sizes(b, layer, p, "pad", "pad", 0),
            _sizes(b, layer, p, "dilation", "dilation", 1),
            p.group,
            p.bias_term,
        )
    ]


def _inner_product(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.inner_product_param
    b.only(layer, axis=(p.axis, 1))
    return [b.graph.linear(layer.name, b.flat(layer, x[0]), p.num_output, p.bias_term)]


def _pooling(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.pooling_param
    method = p.DESCRIPTOR.enum_types_by_name["PoolMethod"].values_by_number[p.pool].name
    if method == "STOCHASTIC":
        raise b.unsupported(layer, "is a stochastic pool")
    if p.global_pooling:
        pool = b.graph.global_max_pool if method == "MAX" else b.graph.global_avg_pool
        return [pool(layer.name, x[0])]
    window = {
        "kernel_size": _sizes(b, layer, p, "kernel_size", "kernel", 0),
        "stride": _sizes(b, layer, p, "stride", "stride", 1),
        "padding": _sizes(b, layer, p, "pad", "pad", 0),
        "ceil_mode": p.round_mode == 0,
        "window_rule": "caffe",
    }
    pool2d = b.graph.max_pool2d if method == "MAX" else b.graph.avg_pool2d
    return [pool2d(layer.name, x[0], **window)]


def _lrn(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.lrn_param
    if p.local_size % 2 == 0:
        raise b.error(layer, f"has the even local_size {p.local_size}; Caffe takes odd ones only")
    if p.norm_region == 0:
        return [b.graph.lrn(layer.name, x[0], p.local_size, p.alpha, p.beta, p.k)]
    # Within a channel: x / (1 + alpha * average of x^2 over the window) ^ beta.
    g, name = b.graph, layer.name
    y = g.pow(f"{name}/square", x[0], 2.0)
    y = g.avg_pool2d(f"{name}/mean", y, p.local_size, 1, (p.local_size - 1) // 2)
    y = g.affine(f"{name}/sum", y, p.alpha, 1.0)
    y = g.pow(f"{name}/power", y, -p.beta)
    return [g.binary(name, x[0], y, "mul")]


def _relu(b: Builder, layer: Any, x: list[str]) -> Made:
    slope = layer.relu_param.negative_slope
    if slope:
        return [b.graph.leaky_relu(layer.name, x[0], slope)]
    return [b.graph.relu(layer.name, x[0])]


def _prelu(b: Builder, layer: Any, x: list[str]) -> Made:
    if not layer.prelu_param.channel_shared:
        return [b.graph.prelu(layer.name, x[0])]
    attrs = {"kind": "prelu", "shape": (1, 1, 1)}
    return [b.graph.add_node(layer.name, "binary", x[:1], attrs, {"weight": (1,)})]


def _power(b: Builder, layer: Any, x: list[str]) -> Made:
    p, g = layer.power_param, b.graph
    if p.power == 1.0:
        return [g.affine(layer.name, x[0], p.scale, p.shift)]
    y = x[0]
    if (p.scale, p.shift) != (1.0, 0.0):
        y = g.affine(f"{layer.name}/affine", y, p.scale, p.shift)
    return [g.pow(layer.name, y, p.power)]


def _clip(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.clip_param
    if not (p.HasField("min") and p.HasField("max")):
        raise b.error(layer, "needs min and max")
    return [b.graph.clip(layer.name, x[0], p.min, p.max)]


def _softmax(b: Builder, layer: Any, x: list[str]) -> Made:
    b.only(layer, axis=(layer.softmax_param.axis, 1))
    return [b.graph.softmax(layer.name, x[0])]


def _concat(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.concat_param
    b.only(layer, axis=(p.axis, 1), concat_dim=(p.concat_dim, 1))
    return [b.graph.concat(layer.name, x)]


def _slice(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.slice_param
    b.only(layer, axis=(p.axis, 1), slice_dim=(p.slice_dim, 1))
    channels, count = b.shape(x[0])[1], len(layer.top)
    points = list(p.slice_point)
    if not points:
        if channels % count:
            raise b.error(layer, f"cuts {channels} channels into {count} equal parts")
        points = [channels // count * i for i in range(1, count)]
    whole = (None, None, None)
    return [
        b.graph.slice(f"{layer.name}/{top}", x[0], (start, stop, 1), whole, whole)
        for top, start, stop in zip(layer.top, [0, *points], [*points, channels], strict=False)
    ]


def _flatten(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.flatten_param
    b.only(layer, axis=(p.axis, 1), end_axis=(p.end_axis, -1))
    return [b.graph.flatten(layer.name, x[0])]


def _reshape(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.reshape_param
    b.only(layer, axis=(p.axis, 0), num_axes=(p.num_axes, -1))
    dims, image = list(p.shape.dim), b.shape(x[0])[1:]
    if not 2 <= len(dims) <= 4 or dims[0] not in (0, -1) or dims.count(-1) > 1:
        raise b.unsupported(layer, f"reshapes to {dims}; the batch must stay")
    sizes = [size or image[i] for i, size in enumerate(dims[1:])]
    if -1 in sizes:
        rest = 1
        for size in sizes:
            rest *= abs(size)
        sizes[sizes.index(-1)] = image[0] * image[1] * image[2] // max(rest, 1)
    if len(sizes) == 1:
        return [b.graph.flatten(layer.name, x[0])]
    c, h, w = (*sizes, 1)[:3]
    return [b.graph.permute(layer.name, x[0], image, (0, 1, 2), (c, h, w))]


def _eltwise(b: Builder, layer: Any, x: list[str]) -> Made:
    p, g = layer.eltwise_param, b.graph
    operation = p.DESCRIPTOR.enum_types_by_name["EltwiseOp"].values_by_number[p.operation].name
    coefficients = list(p.coeff) or [1.0] * len(x)
    if len(coefficients) != len(x):
        raise b.error(layer, f"has {len(coefficients)} coefficients for {len(x)} bottoms")
    if any(b.shape(other) != b.shape(x[0]) for other in x):
        raise b.error(layer, f"has bottoms of the shapes {[b.shape(other) for other in x]}")
    y, left = x[0], coefficients[0]
    for i, (other, right) in enumerate(zip(x[1:], coefficients[1:], strict=True), 1):
        name = layer.name if i == len(x) - 1 else f"{layer.name}/{i}"
        if operation != "SUM":
            y = g.binary(name, y, other, {"PROD": "mul", "MAX": "max"}[operation])
        elif left == right == 1.0:
            y = g.add(name, y, other)
        else:
            y = g.binary(name, y, other, "add", left, right)
        left = 1.0
    return [y]


def _batch_norm(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.batch_norm_param
    b.only(layer, use_global_stats=(p.use_global_stats, True))
    return [b.graph.batch_norm(layer.name, x[0], p.eps, affine=False)]


def _scale(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.scale_param
    if len(x) == 2:  # squeeze and excitation: an image, and a number for each of its channels
        b.only(layer, axis=(p.axis, 0), bias_term=(p.bias_term, False))
        if b.shape(x[1]) != (*b.shape(x[0])[:2], 1, 1):
            raise b.unsupported(layer, f"scales {b.shape(x[0])} by {b.shape(x[1])}")
        return [b.graph.binary(layer.name, x[0], x[1], "mul")]
    b.only(layer, axis=(p.axis, 1), num_axes=(p.num_axes, 1))
    return [b.graph.channel_affine(layer.name, x[0], p.bias_term)]


def _bias(b: Builder, layer: Any, x: list[str]) -> Made:
    p = layer.bias_param
    b.only(layer, bottoms=(len(x), 1), axis=(p.axis, 1), num_axes=(p.num_axes, 1))
    channels = b.shape(x[0])[1]
    attrs = {"kind": "add", "shape": (channels, 1, 1)}
    return [b.graph.add_node(layer.name, "binary", x, attrs, {"weight": (channels,)})]


#: Type -> how many blobs it reads at least, and what makes its nodes.
LAYERS: Mapping[str, tuple[int, Callable[[Builder, Any, list[str]], Made]]] = {
    "Convolution": (1, _convolution),
    "InnerProduct": (1, _inner_product),
    "Pooling": (1, _pooling),
    "LRN": (1, _lrn),
    "ReLU": (1, _relu),
    "PReLU": (1, _prelu),
    "Sigmoid": (1, lambda b, layer, x: [b.graph.sigmoid(layer.name, x[0])]),
    "TanH": (1, lambda b, layer, x: [b.graph.tanh(layer.name, x[0])]),
    "Power": (1, _power),
    "Clip": (1, _clip),
    "Dropout": (
        1,
        lambda b, layer, x: [b.graph.dropout(layer.name, x[0], layer.dropout_param.dropout_ratio)],
    ),
    "Softmax": (1, _softmax),
    "SoftmaxWithLoss": (1, _softmax),
    "Concat": (1, _concat),
    "Split": (1, lambda b, layer, x: x[:1]),
    "Slice": (1, _slice),
    "Flatten": (1, _flatten),
    "Reshape": (1, _reshape),
    "Eltwise": (2, _eltwise),
    "BatchNorm": (1, _batch_norm),
    "Scale": (1, _scale),
    "Bias": (1, _bias),
}
