"""ONNX: a network and its weights in one file, of opset 7 and later. Docs: docs/onnx.md.

The first axis of every value is the batch and stays it, so each image is computed by itself. That
makes a model that was exported for one batch right at any other: an op that would mix images, or
change their number, is refused when the model is read.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from pycnn.errors import ModelFormatError, PycnnError, UnsupportedError
from pycnn.formats.onnx_fold import FOLDS, fold
from pycnn.formats.onnx_graph import Converter, OnnxNode, Tensor, Value
from pycnn.formats.onnx_ops import OPS
from pycnn.formats.onnx_schema import TENSORS, messages
from pycnn.formats.onnx_tensors import OnnxTensors
from pycnn.formats.protobuf import lift, parse
from pycnn.formats.tensor_file import MAX_BYTES, TensorFile, map_file
from pycnn.graph import Graph
from pycnn.placement import vectors

_DOMAINS = ("", "ai.onnx")
_FIRST_OPSET = 7

# Height and width of an image input for which a model says no number.
_FREE_EDGE = 224

_MAX_DEPTH = 16  # of If within If
_MAX_NODES = 20_000  # those of a DenseNet-201 by the more talkative exporter are 2,000


def read_onnx(
    path: Path, max_bytes: int = MAX_BYTES, weights: Mapping[str, Any] | None = None
) -> tuple[Graph, TensorFile]:
    """Read a model.

    Parameters
    ----------
    path : Path
    max_bytes : int
        The most that its tensors may take as float32.
    weights : mapping, optional
        Of no use here: a model says all its shapes.

    Returns
    -------
    graph, tensors
        Nodes and parameters are called as in the model.

    Raises
    ------
    ModelFormatError
        A damaged file, or a network that cannot be.
    UnsupportedError
        Ops that pycnn lacks, all of them; or a use of one that it lacks.
    """
    data = map_file(path)
    model = parse(messages()["ModelProto"](), lift(data, TENSORS, path), path)
    opset = _opset(path, model)
    graph = model.graph
    _refuse_missing(path, graph)
    tensors = OnnxTensors(path, max_bytes)
    converter = Converter(Graph(graph.name or path.stem), path, data, tensors, opset)
    scope: dict[str, Value] = {}
    for initializer in graph.initializer:
        scope[initializer.name] = converter.reader.constant(initializer, initializer.name)
    nodes = _all_nodes(graph)
    if len(nodes) > _MAX_NODES:
        raise ModelFormatError(f"{path}: {len(nodes):,} nodes are more than {_MAX_NODES:,}")
    read = {name for node in nodes for name in node.input}
    for value in graph.input:
        if value.name not in scope and value.name in read:
            scope[value.name] = _input(converter, value)
    _convert(converter, graph.node, scope, 0)
    outputs = {}
    for value in graph.output:
        if value.name in converter.unmade:
            raise UnsupportedError(f"{path}: pycnn lacks the {converter.unmade[value.name]}")
        if value.name not in scope:
            raise ModelFormatError(f"{path}: no node makes the output '{value.name}'")
        outputs[value.name] = scope[value.name]
    if not outputs:
        raise ModelFormatError(f"{path}: the model has no output")
    return _finish(converter, outputs), tensors


def _opset(path: Path, model: Any) -> int:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for domain in _DOMAINS:
        if domain in versions:
            if versions[domain] < _FIRST_OPSET:
                raise UnsupportedError(
                    f"{path}: opset {versions[domain]}; pycnn reads {_FIRST_OPSET} and later: "
                    "onnx.version_converter converts"
                )
            return int(versions[domain])
    raise ModelFormatError(f"{path}: not an ONNX model: it names no opset")


def _all_nodes(graph: Any, depth: int = 0) -> list[Any]:
    """The nodes of a graph and of the branches in it."""
    nodes = list(graph.node)
    if depth <= _MAX_DEPTH:
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    nodes += _all_nodes(attribute.g, depth + 1)
    return nodes


def _refuse_missing(path: Path, graph: Any) -> None:
    """Name all ops at once that pycnn lacks, also those of branches that may not be taken."""
    missing: dict[str, list[str]] = {}
    for node in _all_nodes(graph):
        if node.domain not in _DOMAINS:
            missing.setdefault(f"{node.domain}.{node.op_type}", []).append(node.name)
        elif node.op_type not in OPS and node.op_type not in FOLDS and node.op_type != "If":
            missing.setdefault(node.op_type, []).append(node.name or ", ".join(node.output))
    if missing:
        text = "; ".join(
            f"{op} ({', '.join(names[:5])}{', ...' * (len(names) > 5)})"
            for op, names in sorted(missing.items())
        )
        raise UnsupportedError(f"{path}: pycnn lacks these ops: {text}")
    if graph.sparse_initializer:
        raise UnsupportedError(f"{path}: sparse initializers")


def _input(converter: Converter, value: Any) -> Tensor:
    where = f"{converter.path}: input '{value.name}'"
    tensor_type = value.type.tensor_type
    if not tensor_type.HasField("shape") or not 1 <= len(tensor_type.shape.dim) <= 5:
        raise UnsupportedError(f"{where}: expected a shape of 1 to 5 dimensions")
    if tensor_type.elem_type != 1:
        raise UnsupportedError(f"{where}: expected float32, got type {tensor_type.elem_type}")
    batch, *dims = tensor_type.shape.dim
    sizes = []
    for axis, dim in enumerate(dims, 1):
        free = not dim.HasField("dim_value")
        if free and (axis == 1 or len(dims) != 3):
            raise UnsupportedError(f"{where}: axis {axis} must have a size")
        sizes.append(_FREE_EDGE if free else dim.dim_value)
    if min(sizes, default=1) < 1:
        raise ModelFormatError(f"{where} has the impossible shape {sizes}")
    converter.note_batch(batch.dim_value if batch.HasField("dim_value") else None)
    return converter.input(value.name, tuple(sizes), any(not d.HasField("dim_value") for d in dims))


def _convert(
    converter: Converter, nodes: Sequence[Any], scope: MutableMapping[str, Value], depth: int
) -> None:
    """Convert nodes in order; `scope` gets what they make."""
    for message in nodes:
        inputs: list[Value | None] = []
        for name in message.input:
            if name in converter.unmade:
                raise UnsupportedError(
                    f"{converter.path}: pycnn lacks the {converter.unmade[name]}"
                )
            if name and name not in scope:
                raise ModelFormatError(
                    f"{converter.path}: node '{message.name}' ({message.op_type}) reads '{name}', "
                    "which nothing before it makes"
                )
            inputs.append(scope[name] if name else None)
        node = OnnxNode(converter, message, inputs)
        try:
            made = _values(converter, node, scope, depth)
        except PycnnError as error:
            raise type(error)(_located(converter, node, error)) from error
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise ModelFormatError(_located(converter, node, error)) from error
        for name, value in zip(message.output, made, strict=False):
            if name:
                scope[name] = value
        for name in message.output[len(made) :]:
            if name:
                converter.unmade[name] = f"output '{name}' of {node.label}"


def _located(converter: Converter, node: OnnxNode, error: Exception) -> str:
    text = str(error)
    if isinstance(error, PycnnError) and text.startswith(f"{converter.path}: node "):
        return text  # of a node in a branch
    return f"{converter.path}: node {node.label}: {text.removeprefix(f'{converter.path}: ')}"


def _values(
    converter: Converter, node: OnnxNode, scope: MutableMapping[str, Value], depth: int
) -> Sequence[Value]:
    if node.op_type == "If":
        return _branch(node, converter, scope, depth)
    folded = fold(node)
    if folded is not None:
        return [folded]
    if node.op_type not in OPS:
        raise UnsupportedError("is implemented for constants only")
    return OPS[node.op_type](node)


def _branch(
    node: OnnxNode, converter: Converter, scope: MutableMapping[str, Value], depth: int
) -> Sequence[Value]:
    """Convert the branch that a constant condition takes; it sees the values around it."""
    if depth >= _MAX_DEPTH:
        raise UnsupportedError(f"branches nested deeper than {_MAX_DEPTH}")
    condition = bool(node.array(0).reshape(-1)[0])
    graph = node.graph("then_branch" if condition else "else_branch")
    inner = ChainMap[str, Value]({}, scope)
    for initializer in graph.initializer:
        inner[initializer.name] = converter.reader.constant(initializer, initializer.name)
    _convert(converter, graph.node, inner, depth + 1)
    return [inner[value.name] for value in graph.output]


def _finish(converter: Converter, outputs: Mapping[str, Value]) -> Graph:
    """Make outputs, of the rank that the model gives them, and leave out what they do not need."""
    graph = converter.graph
    made: dict[str, str] = {}
    flat = vectors(graph)
    for name, value in outputs.items():
        if not isinstance(value, Tensor):
            raise UnsupportedError(
                f"{converter.path}: the output '{name}' is a constant, or its batch is not first"
            )
        source = value.node
        if len(value.dims) == 1 and source not in flat:
            source = graph.flatten(converter.unique(f"{name}/flatten"), source)
        elif len(value.dims) == 3 and source in flat:
            shape = (value.dims[0], value.dims[1], value.dims[2])
            source = graph.permute(
                converter.unique(f"{name}/image"), source, value.dims, (0, 1, 2), shape
            )
        made[name] = source
    graph.outputs = made
    pruned = graph.with_outputs(made)
    pruned.inputs = {
        name: size
        for name, size in graph.inputs.items()
        if name in made.values() or any(name in node.inputs for node in pruned.nodes)
    }
    converter.forget_unused(pruned.parameters)
    return pruned
