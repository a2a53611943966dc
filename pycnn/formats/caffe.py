"""Caffe: a network as prototxt (text), its weights as caffemodel (binary), of either generation.

Layers keep their names, and parameters are called ``<layer>.weight`` and so on, as in the networks
of :mod:`pycnn.models`. Docs: docs/formats.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import ModelFormatError, PycnnError, ShapeError, UnsupportedError
from pycnn.formats.caffe_layers import LAYERS, Builder
from pycnn.formats.caffe_schema import BLOBS, layer_type, messages
from pycnn.formats.protobuf import Place, lift, parse
from pycnn.formats.tensor_file import MAX_BYTES, MappedTensors, TensorFile, trimmed
from pycnn.graph import Graph

Shapes = Mapping[str, tuple[int, ...]]

# ResNet-152's takes 100 kB.
_MAX_TEXT_BYTES = 1 << 20
_MAX_LAYERS = 5_000
_MAX_LAYERS_TRIED = 100_000  # over all input sizes; a ResNet-152 has 670

# What a layer's blobs are, in order; of a type that is not here, weight and bias.
_ROLES = {"BatchNorm": ("running_mean", "running_var")}

# Layers that read data and make nothing but blobs of it: the first is the network's input.
_DATA = ("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData")

# Layers that only training and its log need.
_DROPPED = ("Accuracy", "Silence")

# Edges of square images, in pixels, that are tried where a prototxt does not say its input's size.
_EDGES = (*range(1, 65), 96, 112, 128, 160, 192, 224, 227, 231, 256, 299, 320, 384, 448, 512)


class CaffemodelFile(MappedTensors):
    """The blobs of a caffemodel; the network that it also describes is that of the training.

    BatchNorm's statistics are stored as sums beside their number; they come out divided by it.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(path, max_bytes)
        self._counts: dict[str, tuple[Place, np.dtype[Any]]] = {}
        net = parse(messages()["NetParameter"](), lift(self.data, BLOBS, path), path)
        for layer in _layers(net, path):
            self._place_blobs(layer)

    def _place_blobs(self, layer: Any) -> None:
        kind, blobs = layer_type(layer), list(layer.blobs)
        roles = _ROLES.get(kind, ("weight", "bias"))
        if kind == "BatchNorm" and len(blobs) == 3:
            count = self._floats(f"{layer.name}.count", blobs.pop())
            self._counts.update(dict.fromkeys((f"{layer.name}.{role}" for role in roles), count))
        for i, blob in enumerate(blobs):
            name = f"{layer.name}.{roles[i] if i < len(roles) else f'blob{i}'}"
            place, dtype = self._floats(name, blob)
            shape = self._shape(blob, 2 if kind == "InnerProduct" and i == 0 else 1)
            if place.length != math.prod(shape) * dtype.itemsize:
                raise ModelFormatError(
                    f"{self.path}: blob '{name}' of shape {shape} at byte {place.offset} has "
                    f"{place.length} bytes of {dtype.name}"
                )
            strides = None
            if kind == "InnerProduct" and i == 0 and layer.inner_product_param.transpose:
                if len(shape) != 2:
                    raise ModelFormatError(f"{self.path}: blob '{name}' is no matrix: {shape}")
                shape, strides = shape[::-1], (1, shape[1])
            self.place(name, place.offset, shape, dtype, strides)

    def _floats(self, name: str, blob: Any) -> tuple[Place, np.dtype[Any]]:
        dtype = np.dtype("<f8" if blob.HasField("double_data") else "<f4")
        data = blob.double_data or blob.data
        place = Place.unpack(data) if data else Place(0, 0)
        if place.length < dtype.itemsize:
            raise ModelFormatError(f"{self.path}: blob '{name}' has no data")
        return place, dtype

    def _shape(self, blob: Any, dimensions: int) -> tuple[int, ...]:
        """Shape; of the first generation's four numbers 1s go until `dimensions` are left."""
        if blob.HasField("shape"):
            return tuple(blob.shape.dim)
        shape: tuple[int, ...] = (blob.num, blob.channels, blob.height, blob.width)
        while len(shape) > dimensions and shape[0] == 1:
            shape = shape[1:]
        return shape

    def is_mapped(self, name: str) -> bool:
        """Where nothing is converted, nor divided."""
        return name not in self._counts and super().is_mapped(name)

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32."""
        values = super().read(name)
        if name in self._counts:
            place, dtype = self._counts[name]
            count = float(np.frombuffer(self.data, dtype, 1, place.offset)[0])
            with np.errstate(invalid="ignore"):
                exact = values / np.float64(count or math.inf)  # Caffe's rule for 0
            return self._as_float32(name, exact)
        return values


class _NoTensors(TensorFile):
    """A prototxt has none: they come in a file of their own."""

    def read(self, name: str) -> npt.NDArray[np.float32]:
        raise KeyError(name)


def read_prototxt(
    path: Path, max_bytes: int = MAX_BYTES, weights: Shapes | None = None
) -> tuple[Graph, TensorFile]:
    """Read a network in its TEST phase.

    Parameters
    ----------
    path : Path
    max_bytes : int
        Here for all readers alike; a description has a limit of its own.
    weights : mapping of name to shape, optional
        Of the weights that it will get. A network that begins with a Data layer says neither the
        size nor, often, the channels of its input: then the channels are those of the weights, and
        its nominal size is the smallest square at which everything fits.

    Returns
    -------
    graph, tensors
        There are no tensors.

    Raises
    ------
    ModelFormatError
        No valid prototxt, or a network that cannot be.
    UnsupportedError
        Layers that pycnn lacks; all are named.
    """
    net = _parse_text(path)
    layers = [layer for layer in _layers(net, path) if _included(layer, net.state)]
    unknown = [
        f"{layer.name} ({layer_type(layer)})"
        for layer in layers
        if layer_type(layer) not in {*LAYERS, *_DATA, *_DROPPED, "Input"}
    ]
    if unknown:
        raise UnsupportedError(f"{path}: pycnn has no layer for {', '.join(unknown)}")
    failure: ModelFormatError | None = None
    for tried, inputs in enumerate(_input_sizes(path, net, layers, weights)):
        if tried * len(layers) > _MAX_LAYERS_TRIED:
            break
        try:
            graph = _build(path, net, layers, inputs)
        except ShapeError as error:  # another size of the input may do
            failure = ModelFormatError(f"{path}: {error}")
            continue
        except PycnnError as error:
            raise type(error)(f"{path}: {error}") from None
        if weights is None or _fits(graph, weights):
            return graph, _NoTensors(path)
        failure = ModelFormatError(f"{path}: the weights fit the network at no input size tried")
    assert failure is not None  # _input_sizes gives one at least
    raise failure


def _parse_text(path: Path) -> Any:
    schema = messages()
    from google.protobuf import text_format

    size = path.stat().st_size
    if size > _MAX_TEXT_BYTES:
        raise ModelFormatError(f"{path}: {size:,} bytes are no prototxt")
    net = schema["NetParameter"]()
    try:
        text_format.Parse(path.read_text("utf-8"), net)
    except text_format.ParseError as error:
        raise ModelFormatError(f"{path}: line {error}") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ModelFormatError(f"{path}: not a valid prototxt: {error}") from error
    return net


def _layers(net: Any, path: Path) -> list[Any]:
    layers = [*net.layers, *net.layer]
    if len(layers) > _MAX_LAYERS:
        raise ModelFormatError(f"{path}: {len(layers):,} layers are more than {_MAX_LAYERS:,}")
    for layer in net.layers:
        if layer.HasField("layer"):
            raise UnsupportedError(
                f"{path}: layers of the oldest generation, before 2014; "
                "Caffe's upgrade_net_proto_text and upgrade_net_proto_binary rewrite them"
            )
    return layers


def _included(layer: Any, state: Any) -> bool:
    """Caffe's rule, in the TEST phase unless the network says otherwise."""

    def met(rule: Any) -> bool:
        return (
            (not rule.HasField("phase") or rule.phase == state.phase)
            and (not rule.HasField("min_level") or state.level >= rule.min_level)
            and (not rule.HasField("max_level") or state.level <= rule.max_level)
            and set(rule.stage) <= set(state.stage)
            and not set(rule.not_stage) & set(state.stage)
        )

    if layer.include:
        return any(met(rule) for rule in layer.include)
    return not any(met(rule) for rule in layer.exclude)


Size = tuple[int, int, int]


def _input_sizes(
    path: Path, net: Any, layers: list[Any], weights: Shapes | None
) -> Iterator[dict[str, Size]]:
    """Nominal (C, H, W) of each input; several choices where the file leaves the size free."""
    sizes: dict[str, Size] = {}
    free: tuple[str, int, Sequence[int]] | None = None  # blob, channels, edges to try
    dims = [tuple(shape.dim) for shape in net.input_shape]
    if not dims:  # four numbers for each
        numbers = list(net.input_dim)
        dims = [tuple(numbers[i : i + 4]) for i in range(0, len(numbers), 4)]
    blobs = list(zip(net.input, dims, strict=False))
    if len(blobs) < len(net.input):
        raise ModelFormatError(f"{path}: input '{net.input[len(blobs)]}' has no shape")
    for layer in layers:
        kind = layer_type(layer)
        if kind == "Input":
            shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
            shapes = shapes * len(layer.top) if len(shapes) == 1 else shapes
            if len(shapes) != len(layer.top):
                raise ModelFormatError(f"{path}: layer '{layer.name}' needs a shape for each top")
            blobs += zip(layer.top, shapes, strict=True)
        elif kind in _DATA and layer.top:
            size = _data_size(layer)
            if None not in size:
                blobs.append((layer.top[0], (1, *size)))
            elif free is not None:
                raise UnsupportedError(f"{path}: two inputs of free size")
            else:
                channels = size[0] or _first_channels(layers, layer.top[0], weights)
                free = (layer.top[0], channels, [size[1]] if size[1] else _EDGES)
    for name, shape in blobs:
        n, *image = (*shape, 1, 1)[:4] if len(shape) == 2 else shape
        if len(image) != 3 or min(n, *image) < 1:
            raise ModelFormatError(f"{path}: input '{name}' of shape {tuple(shape)}")
        sizes[name] = (image[0], image[1], image[2])
    if free is None:
        yield sizes
        return
    if weights is None and free[2] is _EDGES:
        raise UnsupportedError(
            f"{path}: the layer of '{free[0]}' does not say the input's size: "
            "give the weights too, or an Input layer in its place"
        )
    for edge in free[2]:
        yield {**sizes, free[0]: (free[1], edge, edge)}


def _data_size(layer: Any) -> tuple[int | None, int | None, int | None]:
    """Channels, height and width that a data layer announces."""
    if layer_type(layer) == "MemoryData":
        param = layer.memory_data_param
        return (param.channels, param.height, param.width)
    if layer_type(layer) == "DummyData":
        param = layer.dummy_data_param
        if param.shape and len(param.shape[0].dim) == 4:
            return tuple(param.shape[0].dim[1:])
        if param.channels and param.height and param.width:
            return (param.channels[0], param.height[0], param.width[0])
    crop = layer.transform_param.crop_size or layer.data_param.crop_size or None
    channels = 1 if layer.transform_param.force_gray else None
    return (channels, crop, crop)


def _first_channels(layers: list[Any], blob: str, weights: Shapes | None) -> int:
    """Channels that the first convolution of a blob expects; colour images where none tells."""
    for layer in layers:
        weight = (weights or {}).get(f"{layer.name}.weight", ())
        if blob in layer.bottom and layer_type(layer) == "Convolution" and len(weight) == 4:
            return int(weight[1] * layer.convolution_param.group)
    return 3


def _build(path: Path, net: Any, layers: list[Any], inputs: dict[str, Size]) -> Graph:
    builder = Builder(Graph(net.name or path.stem))
    read = {blob for layer in layers for blob in layer.bottom}
    for name, size in inputs.items():
        if name in read:  # a label that only training reads is none
            builder.input(name, size)
    labels = {
        blob
        for layer in layers
        if layer_type(layer) in _DATA
        for blob in layer.top
        if blob not in inputs
    }
    for layer in layers:
        kind = layer_type(layer)
        if kind in LAYERS:
            builder.layer(layer, kind, [blob for blob in layer.bottom if blob not in labels])
    builder.finish()
    return builder.graph


def _fits(graph: Graph, weights: Shapes) -> bool:
    """Whether the weights that are there have the graph's shapes, but for sizes of 1 at the end."""
    return all(
        trimmed(weights[name]) == trimmed(shape)
        for name, shape in graph.parameters.items()
        if name in weights
    )
