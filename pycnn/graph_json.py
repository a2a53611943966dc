"""A graph as what JSON can hold, for files that keep a network beside its weights.

One row of :data:`_ROWS` per op says which inputs, parameters and attributes a node may have, so
that a text that need not be trusted becomes a graph that the engine can take, or an error that
names the node.
"""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.errors import ModelFormatError, PycnnError
from pycnn.graph import Graph
from pycnn.opset import Shape

__all__ = ["graph_from_dict", "graph_to_dict"]

_VERSION = 1

_MOST_NODES = 20_000
_LONGEST_NAME = 4096
_LARGEST = (1 << 31) - 1
_INT64 = 1 << 63
_MOST_ELEMS = 1 << 31  # of one value, at batch 1

_INFINITE = {"inf": math.inf, "-inf": -math.inf}  # which JSON has no numbers for

# A value of JSON as an attribute; ValueError where it is none. Lists become tuples.
_Kind = Callable[[Any], Any]


def _integers_from(low: int, high: int = _LARGEST) -> _Kind:
    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"expected an integer of {low} to {high}, got {reprlib.repr(value)}")
        return value

    return read


def _number(value: Any) -> float:
    if isinstance(value, str) and value in _INFINITE:
        return _INFINITE[value]
    # NaN is in no range, and an integer of many digits is no float at all.
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"expected a number, got {reprlib.repr(value)}")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {reprlib.repr(value)}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise ValueError(
            f"expected a text of at most {_LONGEST_NAME} characters, got {reprlib.repr(value)}"
        )
    value.encode()  # half of a surrogate pair is no text: a ValueError
    return value


def _word(*known: str) -> _Kind:
    def read(value: Any) -> str:
        if value not in known:
            raise ValueError(f"expected one of {', '.join(known)}, got {reprlib.repr(value)}")
        return str(value)

    return read


def _optional(kind: _Kind) -> _Kind:
    return lambda value: None if value is None else kind(value)


def _tuple_of(kind: _Kind, count: int | None = None, most: float = math.inf) -> _Kind:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or count not in (None, len(value)) or len(value) > most:
            many = f"at most {most}" if count is None else str(count)
            raise ValueError(f"expected a list of {many}, got {reprlib.repr(value)}")
        return tuple(kind(item) for item in value)

    return read


_ANY = _integers_from(-_LARGEST)
_SIZE = _integers_from(1)
_INDEX = _integers_from(0)
_PAIR = _tuple_of(_SIZE, 2)
_IMAGE = _tuple_of(_SIZE, 3)
_AXES = 8  # of a permutation: more than any file has
_WINDOW: Mapping[str, _Kind] = {
    "kernel_size": _PAIR,
    "stride": _PAIR,
    "padding": _tuple_of(_INDEX, 4),
    "ceil_mode": _flag,
    "window_rule": _word("torch", "caffe"),
}


@dataclass(frozen=True)
class _Row:
    """What a node of one op has.

    Attributes
    ----------
    attrs
        Name -> kind; those whose name ends in ``?`` may be absent.
    roles
        Of its parameters, those in ``may`` only sometimes.
    inputs
        How few and how many.
    """

    attrs: Mapping[str, _Kind]
    roles: frozenset[str]
    may: frozenset[str]
    inputs: tuple[int, float]

    def attributes(self, found: Any) -> dict[str, Any]:
        """Check and convert; ValueError names the attribute."""
        known = {name.removesuffix("?"): kind for name, kind in self.attrs.items()}
        _check_keys(found, "attrs", known, [name for name in known if name in self.attrs])
        attrs = {}
        for name, value in found.items():
            try:
                attrs[name] = known[name](value)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return attrs


def _row(
    attrs: Mapping[str, _Kind] | None = None,
    roles: str = "",
    may: str = "",
    inputs: tuple[int, float] = (1, 1),
) -> _Row:
    return _Row(attrs or {}, frozenset(roles.split()), frozenset(may.split()), inputs)


_ROWS: Mapping[str, _Row] = {
    "conv2d": _row(
        {
            "stride": _PAIR,
            "padding": _tuple_of(_INDEX, 4),
            "dilation": _PAIR,
            "groups": _SIZE,
            "algorithm": _text,
            "connections?": _tuple_of(_tuple_of(_INDEX)),
            "in_channels?": _SIZE,
        },
        "weight",
        "bias",
    ),
    "linear": _row(roles="weight", may="bias"),
    "max_pool2d": _row(_WINDOW),
    "avg_pool2d": _row({**_WINDOW, "count_include_pad": _flag}),
    "global_avg_pool": _row(),
    "global_max_pool": _row(),
    "lrn": _row(
        {
            "window": _tuple_of(_INDEX, 2),
            "alpha": _number,
            "beta": _number,
            "k": _number,
        }
    ),
    "relu": _row(),
    "sigmoid": _row(),
    "tanh": _row({"scale": _number, "slope": _number}),
    "affine": _row({"scale": _number, "shift": _number}),
    "leaky_relu": _row({"slope": _number}),
    "clip": _row({"low": _number, "high": _number}),
    "hard_sigmoid": _row({"scale": _number, "shift": _number}),
    "hard_swish": _row(),
    "pow": _row({"exponent": _number}),
    "sqrt": _row(),
    "add": _row(inputs=(2, 2)),
    "binary": _row(
        {
            "kind": _word("add", "mul", "div", "max", "min", "prelu"),
            "alpha?": _number,
            "beta?": _number,
            "shape?": _IMAGE,
            "swapped?": _flag,
        },
        may="weight",
        inputs=(1, 2),
    ),
    "batch_norm": _row({"eps": _number}, "running_mean running_var", "weight bias"),
    "channel_affine": _row({}, "weight", "bias"),
    "concat": _row(inputs=(1, math.inf)),
    "shortcut_a": _row({"out_channels": _SIZE, "stride": _SIZE}),
    "pad": _row(
        {
            "padding": _tuple_of(_ANY, 4),
            "channels": _tuple_of(_ANY, 2),
            "mode": _word("constant", "reflect", "edge"),
            "value": _number,
        }
    ),
    # Files say "to the end" by the largest integer that they have.
    "slice": _row(
        {"bounds": _tuple_of(_tuple_of(_optional(_integers_from(-_INT64, _INT64)), 3), 3)}
    ),
    "gather": _row({"indices": _tuple_of(_INDEX)}),
    "permute": _row(
        {
            "dims": _tuple_of(_SIZE, most=_AXES),
            "perm": _tuple_of(_INDEX, most=_AXES),
            "shape": _IMAGE,
        }
    ),
    "flatten": _row(),
    "dropout": _row({"p": _number}),
    "softmax": _row(),
    "log_softmax": _row(),
    "rbf": _row(roles="weight"),
}


def graph_to_dict(graph: Graph) -> dict[str, Any]:
    """All of a graph but the shapes of its parameters, which its tensors have, for JSON."""
    nodes = [
        {
            "name": node.name,
            "op": node.op,
            "inputs": list(node.inputs),
            "attrs": {name: _plain(value) for name, value in node.attrs.items()},
            "params": dict(node.params),
        }
        for node in graph.nodes
    ]
    return {
        "version": _VERSION,
        "name": graph.name,
        "inputs": {name: list(size) for name, size in graph.inputs.items()},
        "nodes": nodes,
        "outputs": dict(graph.outputs),
    }


def _plain(value: Any) -> Any:
    """An attribute as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def graph_from_dict(found: Any, shapes: Mapping[str, tuple[int, ...]], max_bytes: int) -> Graph:
    """Undo :func:`graph_to_dict`, for data that need not be trusted.

    Parameters
    ----------
    found
        What JSON gave.
    shapes : mapping
        Name -> shape of the tensors that belong to the graph.
    max_bytes : int
        The most that a weight may take once it is expanded.

    Returns
    -------
    Graph

    Raises
    ------
    ModelFormatError
        Anything is missing, unknown, of another type or size; a layer reads what comes after it,
        or does not fit; a parameter has no tensor. The layer is named.
    """
    try:
        return _graph(found, shapes, max_bytes)
    except (PycnnError, ValueError) as error:
        raise ModelFormatError(f"graph: {error}") from None


def _graph(found: Any, shapes: Mapping[str, tuple[int, ...]], max_bytes: int) -> Graph:
    keys = ("version", "name", "inputs", "nodes", "outputs")
    _check_keys(found, "", keys, keys)
    if found["version"] != _VERSION:
        raise ValueError(f"version {reprlib.repr(found['version'])}, only {_VERSION} is known")
    graph = Graph(_text(found["name"]))
    for name, size in _items(found["inputs"], "inputs"):
        graph.input(_text(name), _IMAGE(size))
        _check_size(graph.shape(name))
    if not isinstance(found["nodes"], list) or len(found["nodes"]) > _MOST_NODES:
        raise ValueError(f"nodes: expected a list of at most {_MOST_NODES:,}")
    for i, node in enumerate(found["nodes"]):
        try:
            _add_node(graph, node, shapes, max_bytes)
        except (PycnnError, ValueError) as error:
            name = node.get("name") if isinstance(node, dict) else None
            raise ValueError(f"node {i}, {reprlib.repr(name)}: {error}") from None
    for name, source in _items(found["outputs"], "outputs"):
        graph.output(_text(source), _text(name))
    if not graph.inputs or not graph.outputs:
        raise ValueError("no input or no output")
    return graph


def _add_node(
    graph: Graph, found: Any, shapes: Mapping[str, tuple[int, ...]], max_bytes: int
) -> None:
    keys = ("name", "op", "inputs", "attrs", "params")
    _check_keys(found, "", keys, keys)
    row = _ROWS.get(_text(found["op"]))
    if row is None:
        raise ValueError(f"op {found['op']!r} is unknown")
    inputs = _tuple_of(_text)(found["inputs"])
    few, many = row.inputs
    if not few <= len(inputs) <= many:
        raise ValueError(f"{len(inputs)} inputs, expected {few} to {many}")
    attrs = row.attributes(found["attrs"])
    _check_keys(found["params"], "params", row.roles | row.may, row.roles)
    names = {role: _text(name) for role, name in found["params"].items()}
    for name in names.values():
        if name not in shapes:
            raise ValueError(f"the file has no tensor {reprlib.repr(name)}")
    params = {role: shapes[name] for role, name in names.items()}
    if found["op"] == "binary" and names and "shape" not in attrs:
        raise ValueError("shape: missing, though there is a constant")
    if "connections" in attrs:
        _check_connections(attrs, params["weight"], max_bytes)
    name = graph.add_node(_text(found["name"]), found["op"], inputs, attrs, params, names)
    _check_size(graph.shape(name))


def _check_connections(attrs: Mapping[str, Any], weight: tuple[int, ...], max_bytes: int) -> None:
    """Compare a table with its filters, and look at the size of what it is expanded to."""
    if "in_channels" not in attrs:
        raise ValueError("in_channels: missing, though there are connections")
    table, channels = attrs["connections"], attrs["in_channels"]
    if len(weight) != 3 or sum(map(len, table)) != weight[0]:
        raise ValueError(f"connections: a weight of shape {weight} has not one filter for each")
    if any(c >= channels for row in table for c in row):
        raise ValueError(f"connections: a channel beyond {channels}")
    if 4 * len(table) * channels * weight[1] * weight[2] > max_bytes:
        raise ValueError(f"connections: the whole weight takes more than max_bytes, {max_bytes:,}")


def _check_size(shape: Shape) -> None:
    if math.prod(shape) > _MOST_ELEMS:
        raise ValueError(f"a value of shape {shape} has more than {_MOST_ELEMS:,} numbers")


def _check_keys(found: Any, what: str, known: Collection[str], needed: Collection[str]) -> None:
    """Refuse what is no object of JSON with these names."""
    place = f"{what}: " if what else ""
    if not isinstance(found, dict):
        raise ValueError(f"{place}expected named fields, got {reprlib.repr(found)}")
    for name in found:
        if name not in known:
            raise ValueError(f"{place}unknown {reprlib.repr(name)}")
    missing = [name for name in sorted(needed) if name not in found]
    if missing:
        raise ValueError(f"{place}no {', '.join(missing)}")


def _items(found: Any, what: str) -> Collection[tuple[Any, Any]]:
    if not isinstance(found, dict):
        raise ValueError(f"{what}: expected names, got {reprlib.repr(found)}")
    return found.items()
