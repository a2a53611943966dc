"""Write a network and its weights as ONNX, opset 17, for any batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import UnsupportedError
from pycnn.formats.onnx_schema import ATTRIBUTE_TYPES, messages
from pycnn.formats.protobuf import varint
from pycnn.formats.writing import GRAPH_KEY, Content, replacing
from pycnn.graph import Graph, Node
from pycnn.opset import dense_weight
from pycnn.placement import vectors

Array = npt.NDArray[Any]

_OPSET = 17
_IR_VERSION = 8
_FLOAT, _INT64 = 1, 7
_MAX_FILE_BYTES = (1 << 31) - 1  # protobuf's
_INITIALIZER, _GRAPH, _RAW_DATA = 5, 7, 9  # fields of GraphProto, ModelProto, TensorProto


def write(path: Path, content: Content) -> None:
    """Write the file.

    Raises
    ------
    UnsupportedError
        There is no network, it has an op that ONNX cannot say, or the file would be beyond 2 GiB.
    """
    if content.graph is None:
        raise UnsupportedError(f"{path}: ONNX is a format of networks, and these are tensors alone")
    writer = _Writer(path, content)
    writer.nodes()
    model = messages()["ModelProto"](ir_version=_IR_VERSION, producer_name="pycnn")
    model.opset_import.add(domain="", version=_OPSET)
    for key, value in content.metadata.items():
        if key != GRAPH_KEY:
            model.metadata_props.add(key=key, value=value)
    head, description = model.SerializeToString(), writer.graph.SerializeToString()
    tensors = [_tensor_head(name, shape, dtype) for name, shape, dtype in writer.tensors]
    total = len(description) + sum(len(start) + nbytes for start, nbytes in tensors)
    if total + len(head) > _MAX_FILE_BYTES:
        raise UnsupportedError(f"{path}: {total:,} bytes are more than one ONNX file may have")
    with replacing(path) as file:
        file.write(head + varint(_GRAPH << 3 | 2) + varint(total) + description)
        for (name, shape, _), (start, nbytes) in zip(writer.tensors, tensors, strict=True):
            data = np.ascontiguousarray(writer.read(name).reshape(shape)).tobytes()
            assert len(data) == nbytes, name
            file.write(start + data)


def _tensor_head(name: str, shape: Sequence[int], dtype: int) -> tuple[bytes, int]:
    """Return what comes before a tensor's bytes in the file, and their number."""
    tensor = messages()["TensorProto"](name=name, data_type=dtype, dims=shape).SerializeToString()
    nbytes = math.prod(shape) * (4 if dtype == _FLOAT else 8)
    tensor += varint(_RAW_DATA << 3 | 2) + varint(nbytes)
    return varint(_INITIALIZER << 3 | 2) + varint(len(tensor) + nbytes) + tensor, nbytes


class _Writer:
    """A GraphProto under construction; tensors are listed, and read when they are written."""

    def __init__(self, path: Path, content: Content) -> None:
        assert content.graph is not None
        self.path = path
        self.content = content
        self.source: Graph = content.graph
        self.graph = messages()["GraphProto"](name=self.source.name)
        self.tensors: list[tuple[str, tuple[int, ...], int]] = []
        self.shapes = self.source.shapes()
        self.flat = vectors(self.source)
        self._made: dict[str, Callable[[], Array]] = {}
        self._names = set(self.source.names()) | set(self.source.outputs)

    def nodes(self) -> None:
        """Write inputs, nodes and outputs."""
        for name, size in self.source.inputs.items():
            self._value(self.graph.input.add(name=name), ["N", *size])
        for node in self.source.nodes:
            make = _OPS.get(node.op)
            if make is None:
                raise UnsupportedError(f"{self.path}: ONNX has no op for '{node.name}' ({node.op})")
            make(self, node)
        for public, name in self.source.outputs.items():
            if public != name:
                self.add("Identity", [name], public)
            shape = self.shapes[name][1:2] if name in self.flat else self.shapes[name][1:]
            self._value(self.graph.output.add(name=public), ["N", *shape])

    def _value(self, value: Any, shape: Sequence[int | str]) -> None:
        value.type.tensor_type.elem_type = _FLOAT
        for size in shape:
            dim = value.type.tensor_type.shape.dim.add()
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size

    def unique(self, name: str) -> str:
        """Return a name that no value has."""
        while name in self._names:
            name += "'"
        self._names.add(name)
        return name

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, which carries the node's name."""
        node = self.graph.node.add(op_type=op, name=output, input=inputs, output=[output])
        for name, value in attributes.items():
            attribute = node.attribute.add(name=name)
            if isinstance(value, int):
                field, attribute.i = "i", int(value)
            elif isinstance(value, float):
                field, attribute.f = "f", value
            elif isinstance(value, str):
                field, attribute.s = "s", value.encode()
            else:
                field = "ints"
                attribute.ints.extend(value)
            attribute.type = ATTRIBUTE_TYPES[field]
        return output

    def param(
        self, name: str, shape: tuple[int, ...], change: Callable[[Array], Array] | None = None
    ) -> str:
        """Make a parameter of the network an initializer, of this shape."""
        if name not in [known for known, _, _ in self.tensors]:
            read = self.content.read
            self._made[name] = (lambda: change(read(name))) if change else (lambda: read(name))
            self.tensors.append((name, shape, _FLOAT))
        return name

    def constant(self, name: str, values: Any) -> str:
        """Make an initializer of numbers: integers become int64, others float32."""
        array = np.asarray(values)
        integers = array.dtype.kind == "i"
        array = array.astype(np.int64 if integers else np.float32)
        name = self.unique(name)
        self._made[name] = lambda: array
        self.tensors.append((name, array.shape, _INT64 if integers else _FLOAT))
        return name

    def read(self, name: str) -> Array:
        """Values of an initializer."""
        return self._made[name]()

    def image(self, node: Node, name: str) -> str:
        """Return a value with four dimensions."""
        if name not in self.flat:
            return name
        shape = self.constant(f"{node.name}/image_shape", [0, 0, 1, 1])
        return self.add("Reshape", [name, shape], self.unique(f"{node.name}/image"))

    def vector(self, node: Node, name: str) -> str:
        """Return a value with two dimensions."""
        if name in self.flat:
            return name
        return self.add("Flatten", [name], self.unique(f"{node.name}/vector"), axis=1)


Op = Callable[[_Writer, Node], object]


def _pads(padding: tuple[int, int, int, int]) -> list[int]:
    top, bottom, left, right = padding
    return [top, left, bottom, right]


def _conv2d(w: _Writer, node: Node) -> None:
    shape = w.source.param_shapes(node)["weight"]
    if "connections" in node.attrs:
        shape = (len(node.attrs["connections"]), node.attrs["in_channels"], *shape[1:])
    inputs = [w.image(node, node.inputs[0])]
    inputs.append(w.param(node.params["weight"], shape, lambda a: dense_weight(node.attrs, a)))
    if "bias" in node.params:
        inputs.append(w.param(node.params["bias"], shape[:1]))
    w.add(
        *("Conv", inputs, node.name),
        kernel_shape=shape[2:],
        strides=node.attrs["stride"],
        pads=_pads(node.attrs["padding"]),
        dilations=node.attrs["dilation"],
        group=node.attrs["groups"],
    )


def _linear(w: _Writer, node: Node) -> None:
    shapes = w.source.param_shapes(node)
    inputs = [w.vector(node, node.inputs[0])]
    roles = [role for role in ("weight", "bias") if role in shapes]
    inputs += [w.param(node.params[role], shapes[role]) for role in roles]
    w.add("Gemm", inputs, node.name, transB=1)


def _pool(op: str) -> Op:
    def make(w: _Writer, node: Node) -> None:
        attrs = node.attrs
        kernel, stride = attrs["kernel_size"], attrs["stride"]
        wide = any(s > k for s, k in zip(stride, kernel, strict=True))
        if attrs["ceil_mode"] and attrs["window_rule"] == "caffe" and wide:
            raise UnsupportedError(f"{w.path}: ONNX has no Caffe's pools such as '{node.name}'")
        extra: dict[str, Any] = {}
        if op == "AveragePool":
            extra["count_include_pad"] = int(attrs["count_include_pad"])
        w.add(
            *(op, [w.image(node, node.inputs[0])], node.name),
            kernel_shape=kernel,
            strides=stride,
            pads=_pads(attrs["padding"]),
            ceil_mode=int(attrs["ceil_mode"]),
            **extra,
        )

    return make


def _lrn(w: _Writer, node: Node) -> None:
    before, after = node.attrs["window"]
    size = before + after + 1
    if (before, after) != ((size - 1) // 2, size // 2):
        raise UnsupportedError(f"{w.path}: ONNX has no window as that of '{node.name}'")
    numbers = {"alpha": "alpha", "beta": "beta", "bias": "k"}
    values = {theirs: float(node.attrs[ours]) for theirs, ours in numbers.items()}
    w.add("LRN", [node.inputs[0]], node.name, size=size, **values)


def _simple(op: str, **attributes: Any) -> Op:
    """An op of the same inputs; attributes by name of ours (text) or as they are."""

    def make(w: _Writer, node: Node) -> None:
        values = {
            name: float(node.attrs[value]) if isinstance(value, str) else value
            for name, value in attributes.items()
        }
        w.add(op, list(node.inputs), node.name, **values)

    return make


def _scaled(w: _Writer, name: str, source: str, factor: float, output: str | None = None) -> str:
    if factor == 1.0 and output is None:
        return source
    number = w.constant(f"{name}/factor", factor)
    return w.add("Mul", [source, number], output or w.unique(f"{name}/scaled"))


def _tanh(w: _Writer, node: Node) -> None:
    x = _scaled(w, node.name, node.inputs[0], node.attrs["slope"])
    if node.attrs["scale"] == 1.0:
        w.add("Tanh", [x], node.name)
    else:
        y = w.add("Tanh", [x], w.unique(f"{node.name}/tanh"))
        _scaled(w, node.name, y, node.attrs["scale"], node.name)


def _affine(w: _Writer, node: Node) -> None:
    x = _scaled(w, node.name, node.inputs[0], node.attrs["scale"])
    w.add("Add", [x, w.constant(f"{node.name}/shift", node.attrs["shift"])], node.name)


def _clip(w: _Writer, node: Node) -> None:
    bounds = {"low": node.attrs["low"], "high": node.attrs["high"]}
    names = [
        w.constant(f"{node.name}/{name}", float(bound)) if math.isfinite(bound) else ""
        for name, bound in bounds.items()
    ]
    w.add("Clip", [node.inputs[0], *names], node.name)


def _pow(w: _Writer, node: Node) -> None:
    exponent = w.constant(f"{node.name}/exponent", float(node.attrs["exponent"]))
    w.add("Pow", [node.inputs[0], exponent], node.name)


def _binary(w: _Writer, node: Node) -> None:
    attrs = node.attrs
    mixed = {name in w.flat for name in node.inputs} == {True, False} or (
        "weight" in node.params and node.name in w.flat and attrs["shape"][1:] != (1, 1)
    )
    operands = [w.image(node, name) if mixed else name for name in node.inputs]
    if "weight" in node.params:
        shape = attrs["shape"][: 1 if all(name in w.flat for name in operands) else 3]
        constant = w.param(node.params["weight"], shape)
        operands.insert(0 if attrs.get("swapped") else 1, constant)
    op = {"add": "Add", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "prelu": "PRelu"}
    if attrs["kind"] == "add":
        factors = (attrs.get("alpha", 1.0), attrs.get("beta", 1.0))
        operands = [
            _scaled(w, node.name, x, float(factor))
            for x, factor in zip(operands, factors, strict=True)
        ]
    w.add(op[attrs["kind"]], operands, node.name)


def _batch_norm(w: _Writer, node: Node) -> None:
    channels = w.shapes[node.inputs[0]][1]
    inputs = [node.inputs[0]]
    for role in ("weight", "bias", "running_mean", "running_var"):
        if role in node.params:
            inputs.append(w.param(node.params[role], (channels,)))
        else:
            values = np.full(channels, 1.0 if role == "weight" else 0.0)
            inputs.append(w.constant(f"{node.name}/{role}", values))
    w.add("BatchNormalization", inputs, node.name, epsilon=float(node.attrs["eps"]))


def _channel_affine(w: _Writer, node: Node) -> None:
    shape: tuple[int, ...] = (w.shapes[node.name][1],)
    shape = shape if node.name in w.flat else (*shape, 1, 1)
    last = "bias" not in node.params
    product = node.name if last else w.unique(f"{node.name}/product")
    w.add("Mul", [node.inputs[0], w.param(node.params["weight"], shape)], product)
    if not last:
        w.add("Add", [product, w.param(node.params["bias"], shape)], node.name)


def _shortcut_a(w: _Writer, node: Node) -> None:
    stride, total = node.attrs["stride"], node.attrs["out_channels"]
    channels = w.shapes[node.inputs[0]][1]
    before = (total - channels) // 2
    numbers = ([0, 0], [1 << 62] * 2, [2, 3], [stride] * 2)
    inputs = [w.constant(f"{node.name}/slice{i}", values) for i, values in enumerate(numbers)]
    x = w.add("Slice", [node.inputs[0], *inputs], w.unique(f"{node.name}/slice"))
    pads = w.constant(f"{node.name}/pads", [0, before, 0, 0, 0, total - channels - before, 0, 0])
    w.add("Pad", [x, pads], node.name)


def _pad(w: _Writer, node: Node) -> None:
    (before, after), (top, bottom, left, right) = node.attrs["channels"], node.attrs["padding"]
    pads = w.constant(f"{node.name}/pads", [0, before, top, left, 0, after, bottom, right])
    value = w.constant(f"{node.name}/value", float(node.attrs["value"]))
    source = w.image(node, node.inputs[0])
    w.add("Pad", [source, pads, value], node.name, mode=node.attrs["mode"])


def _slice(w: _Writer, node: Node) -> None:
    columns: list[list[int]] = [[], [], [], []]  # starts, ends, axes, steps
    axes = 1 if node.inputs[0] in w.flat else 3
    for axis, (start, stop, step) in enumerate(node.attrs["bounds"][:axes], 1):
        step = 1 if step is None else step
        first, last = (0, 1 << 62) if step > 0 else (1 << 62, -(1 << 62))
        row = (first if start is None else start, last if stop is None else stop, axis, step)
        for column, number in zip(columns, row, strict=True):
            column.append(number)
    inputs = [w.constant(f"{node.name}/slice{i}", column) for i, column in enumerate(columns)]
    w.add("Slice", [node.inputs[0], *inputs], node.name)


def _gather(w: _Writer, node: Node) -> None:
    indices = w.constant(f"{node.name}/indices", list(node.attrs["indices"]))
    w.add("Gather", [node.inputs[0], indices], node.name, axis=1)


def _permute(w: _Writer, node: Node) -> None:
    dims, perm = node.attrs["dims"], node.attrs["perm"]
    shapes = [
        w.constant(f"{node.name}/{what}", [0, *sizes])
        for what, sizes in (("from", dims), ("to", node.attrs["shape"]))
    ]
    x = w.add("Reshape", [node.inputs[0], shapes[0]], w.unique(f"{node.name}/reshaped"))
    if tuple(perm) != tuple(range(len(perm))):
        order = [0, *(axis + 1 for axis in perm)]
        x = w.add("Transpose", [x], w.unique(f"{node.name}/turned"), perm=order)
    w.add("Reshape", [x, shapes[1]], node.name)


def _rbf(w: _Writer, node: Node) -> None:
    """-J mean_j (x[n, 1, j] - weight[k, j])^2: a mean over space is what readers of images know."""
    name = node.name
    shape = w.source.param_shapes(node)["weight"]
    x = w.vector(node, node.inputs[0])
    x = w.add("Unsqueeze", [x, w.constant(f"{name}/axis", [1])], w.unique(f"{name}/row"))
    x = w.add("Sub", [x, w.param(node.params["weight"], shape)], w.unique(f"{name}/difference"))
    x = w.add("Mul", [x, x], w.unique(f"{name}/square"))
    x = w.add("ReduceMean", [x], w.unique(f"{name}/mean"), axes=[2], keepdims=0)
    w.add("Mul", [x, w.constant(f"{name}/count", -float(shape[1]))], name)


_OPS: Mapping[str, Op] = {
    "add": _simple("Add"),
    "affine": _affine,
    "avg_pool2d": _pool("AveragePool"),
    "batch_norm": _batch_norm,
    "binary": _binary,
    "channel_affine": _channel_affine,
    "clip": _clip,
    "concat": _simple("Concat", axis=1),
    "conv2d": _conv2d,
    "dropout": _simple("Identity"),
    "flatten": _simple("Flatten", axis=1),
    "gather": _gather,
    "global_avg_pool": _simple("GlobalAveragePool"),
    "global_max_pool": _simple("GlobalMaxPool"),
    "hard_sigmoid": _simple("HardSigmoid", alpha="scale", beta="shift"),
    "hard_swish": _simple("HardSwish"),
    "leaky_relu": _simple("LeakyRelu", alpha="slope"),
    "linear": _linear,
    "log_softmax": _simple("LogSoftmax", axis=1),
    "lrn": _lrn,
    "max_pool2d": _pool("MaxPool"),
    "pad": _pad,
    "permute": _permute,
    "pow": _pow,
    "rbf": _rbf,
    "relu": _simple("Relu"),
    "shortcut_a": _shortcut_a,
    "sigmoid": _simple("Sigmoid"),
    "slice": _slice,
    "softmax": _simple("Softmax", axis=1),
    "sqrt": _simple("Sqrt"),
    "tanh": _tanh,
}
