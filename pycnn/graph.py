"""A network as a graph: nodes in order, each with one output that carries the node's name."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pycnn.errors import ShapeError, UnknownNameError, UnsupportedError, suggest
from pycnn.opset import OPS, Shape

IntOrPair = int | tuple[int, int]
Bounds = tuple[int | None, int | None, int | None]  # start, stop, step, as in slice()
Padding = int | tuple[int, int] | tuple[int, int, int, int]


@dataclass(frozen=True)
class Node:
    """One layer. `params` maps a role ("weight", "bias", ...) to the name of a parameter."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


def _integers(value: object, counts: tuple[int, ...]) -> tuple[int, ...]:
    """The integers of one number or a sequence, which must have one of these lengths."""
    values = tuple(value) if isinstance(value, Sequence) else (value,)
    try:
        numbers = tuple(operator.index(v) for v in values)  # NumPy's integers too, floats not
    except TypeError:
        raise ShapeError(f"expected integers, got {value!r}") from None
    if len(numbers) not in counts:
        raise ShapeError(f"expected one of {counts} numbers, got {value!r}")
    return numbers


def pair(value: IntOrPair) -> tuple[int, int]:
    """(height, width), from one number or both."""
    numbers = _integers(value, (1, 2))
    return numbers[0], numbers[-1]


def sides(padding: Padding) -> tuple[int, int, int, int]:
    """Top, bottom, left, right, from one number, (height, width) or all four."""
    numbers = _integers(padding, (1, 2, 4))
    if len(numbers) == 4:
        return numbers[0], numbers[1], numbers[2], numbers[3]
    return numbers[0], numbers[0], numbers[-1], numbers[-1]


@dataclass
class Graph:
    """A network without its weights.

    Build it with :meth:`input`, then one method per layer (each returns the layer's name, the next
    layer's input), then :meth:`output`. ::

        g = Graph("tiny")
        x = g.input("data", (3, 32, 32))
        x = g.relu("relu1", g.conv2d("conv1", x, 16, 3, padding=1))
        g.output(g.global_avg_pool("pool", x))

    Attributes
    ----------
    inputs
        Name -> nominal ``(C, H, W)``.
    nodes
        In an order in which they can be computed.
    outputs
        Public name -> name of a node or an input. The first is the main output.
    parameters
        Name -> shape, as in torch: ``<node>.weight``, ``<node>.bias``, ...
    """

    name: str
    inputs: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _shapes: dict[str, Shape] = field(default_factory=dict, repr=False, compare=False)

    # Looking --------------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        """Return the node of that name; UnknownNameError with near matches otherwise."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise UnknownNameError(f"{self.name} has no layer '{name}'{suggest(name, self.names())}")

    def names(self) -> list[str]:
        """Names of the inputs and of all layers, in order."""
        return [*self.inputs, *(node.name for node in self.nodes)]

    def consumers(self) -> dict[str, list[Node]]:
        """For each value the nodes that read it (once per use)."""
        found: dict[str, list[Node]] = {name: [] for name in self.names()}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return found

    def buffers(self) -> set[str]:
        """Names of the parameters that training does not change (running statistics)."""
        return {
            node.params[role]
            for node in self.nodes
            for role in OPS[node.op].buffers
            if role in node.params
        }

    def shapes(self, inputs: Mapping[str, Shape] | None = None) -> dict[str, Shape]:
        """Shape ``(N, C, H, W)`` of every value; batch 1 and the nominal size by default.

        Raises
        ------
        ShapeError
            Naming the layer that the shapes do not fit.
        """
        if inputs is None:
            inputs = {name: (1, *size) for name, size in self.inputs.items()}
        shapes = dict(inputs)
        for node in self.nodes:
            shapes[node.name] = self._output_shape(node, shapes)
        return shapes

    def shape(self, name: str) -> Shape:
        """Nominal shape of a value, at batch 1; while the graph is built."""
        return self._shapes[name]

    def macs(self, shapes: Mapping[str, Shape] | None = None) -> dict[str, int]:
        """Multiply-adds of every layer."""
        shapes = shapes or self.shapes()
        return {
            node.name: OPS[node.op].macs(node.attrs, self.param_shapes(node), shapes[node.name])
            for node in self.nodes
        }

    def param_shapes(self, node: Node) -> dict[str, tuple[int, ...]]:
        """Shapes of a node's parameters by role."""
        return {role: self.parameters[name] for role, name in node.params.items()}

    def _output_shape(self, node: Node, shapes: Mapping[str, Shape]) -> Shape:
        try:
            return OPS[node.op].output_shape(
                node.attrs, [shapes[name] for name in node.inputs], self.param_shapes(node)
            )
        except (ShapeError, UnsupportedError) as error:
            raise type(error)(f"layer '{node.name}' of {self.name}: {error}") from None

    # Changing -------------------------------------------------------------------------------------

    def with_outputs(self, outputs: Mapping[str, str]) -> Graph:
        """Return the part of the graph that these outputs need."""
        needed = set(outputs.values())
        nodes = []
        for node in reversed(self.nodes):
            if node.name in needed:
                nodes.append(node)
                needed.update(node.inputs)
        nodes.reverse()
        parameters = {name for node in nodes for name in node.params.values()}
        return replace(
            self,
            nodes=nodes,
            outputs=dict(outputs),
            parameters={k: v for k, v in self.parameters.items() if k in parameters},
        )

    def with_nodes(self, nodes: Iterable[Node], renamed: Mapping[str, str] | None = None) -> Graph:
        """Return the graph with other nodes; `renamed` says which values stand for removed ones."""
        renamed = renamed or {}

        def current(name: str) -> str:
            while name in renamed:
                name = renamed[name]
            return name

        return replace(
            self,
            nodes=[
                replace(node, inputs=tuple(current(name) for name in node.inputs)) for node in nodes
            ],
            outputs={public: current(name) for public, name in self.outputs.items()},
        )

    # Building -------------------------------------------------------------------------------------

    def add_node(
        self,
        name: str,
        op: str,
        inputs: Sequence[str],
        attrs: Mapping[str, Any] | None = None,
        params: Mapping[str, tuple[int, ...]] | None = None,
        param_names: Mapping[str, str] | None = None,
    ) -> str:
        """Append a node; infers its shape.

        Its parameters are called ``<name>.<role>``, or as `param_names` calls a role: two nodes may
        share a parameter.

        Raises
        ------
        ShapeError
            When the shapes do not fit.
        UnsupportedError
            When the op is not implemented for these attributes.
        ValueError, UnknownNameError
            When the name is taken, or an input is unknown.
        """
        if name in self._shapes:
            raise ValueError(f"{self.name} already has a layer '{name}'")
        for source in inputs:
            if source not in self._shapes:
                known = suggest(source, self._shapes)
                raise UnknownNameError(
                    f"{self.name}: '{name}' reads '{source}', not known yet{known}"
                )
        params = params or {}
        names = {role: f"{name}.{role}" for role in params} | dict(param_names or {})
        node = Node(name, op, tuple(inputs), attrs or {}, names)
        for role, shape in params.items():
            if self.parameters.setdefault(names[role], shape) != shape:
                raise ShapeError(
                    f"{self.name}: '{name}' wants the parameter '{names[role]}' of shape {shape}, "
                    f"another layer of shape {self.parameters[names[role]]}"
                )
        self._shapes[name] = self._output_shape(node, self._shapes)
        self.nodes.append(node)
        return name

    def input(self, name: str, size: tuple[int, int, int]) -> str:
        """Add an input of nominal size ``(C, H, W)``."""
        if name in self._shapes:
            raise ValueError(f"{self.name} already has a layer '{name}'")
        self.inputs[name] = size
        self._shapes[name] = (1, *size)
        return name

    def output(self, source: str, name: str | None = None) -> None:
        """Make a layer an output, under its own name or another."""
        self._channels(source)  # raises when there is none
        self.outputs[name or source] = source

    def _channels(self, source: str) -> int:
        if source not in self._shapes:
            raise UnknownNameError(
                f"{self.name} has no layer '{source}'{suggest(source, self._shapes)}"
            )
        return self._shapes[source][1]

    def conv2d(
        self,
        name: str,
        x: str,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        connections: Sequence[Sequence[int]] | None = None,
        algorithm: str = "auto",
    ) -> str:
        """Convolution; weight ``(K, C/groups, R, S)``.

        With `connections` output map ``k`` sees the input maps ``connections[k]`` only, and the
        weight is one filter per connection, ``(connections, R, S)`` (LeCun et al. 1998, table I).
        """
        in_channels = self._channels(x)
        attrs: dict[str, Any] = {
            "stride": pair(stride),
            "padding": sides(padding),
            "dilation": pair(dilation),
            "groups": groups,
            "algorithm": algorithm,
        }
        weight: tuple[int, ...] = (out_channels, in_channels // max(groups, 1), *pair(kernel_size))
        if connections is not None:
            attrs["connections"] = tuple(tuple(row) for row in connections)
            attrs["in_channels"] = in_channels
            weight = (sum(len(row) for row in connections), *pair(kernel_size))
        params = {"weight": weight}
        if bias:
            params["bias"] = (out_channels,)
        return self.add_node(name, "conv2d", [x], attrs, params)

    def linear(self, name: str, x: str, out_features: int, bias: bool = True) -> str:
        """Fully connected layer; weight ``(K, C)``."""
        params: dict[str, tuple[int, ...]] = {"weight": (out_features, self._channels(x))}
        if bias:
            params["bias"] = (out_features,)
        return self.add_node(name, "linear", [x], {}, params)

    def max_pool2d(
        self,
        name: str,
        x: str,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        window_rule: str = "torch",
    ) -> str:
        """Max pooling; see csrc/ops/pool2d.h for the window rules."""
        attrs = {
            "kernel_size": pair(kernel_size),
            "stride": pair(kernel_size if stride is None else stride),
            "padding": sides(padding),
            "ceil_mode": ceil_mode,
            "window_rule": window_rule,
        }
        return self.add_node(name, "max_pool2d", [x], attrs)

    def avg_pool2d(
        self,
        name: str,
        x: str,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        window_rule: str = "torch",
    ) -> str:
        """Average pooling; see csrc/ops/pool2d.h for the divisor and the window rules."""
        attrs = {
            "kernel_size": pair(kernel_size),
            "stride": pair(kernel_size if stride is None else stride),
            "padding": sides(padding),
            "ceil_mode": ceil_mode,
            "count_include_pad": count_include_pad,
            "window_rule": window_rule,
        }
        return self.add_node(name, "avg_pool2d", [x], attrs)

    def global_avg_pool(self, name: str, x: str) -> str:
        """Average over the whole image: ``(N, C, 1, 1)``."""
        return self.add_node(name, "global_avg_pool", [x])

    def global_max_pool(self, name: str, x: str) -> str:
        """Maximum over the whole image: ``(N, C, 1, 1)``."""
        return self.add_node(name, "global_max_pool", [x])

    def lrn(
        self,
        name: str,
        x: str,
        size: int | tuple[int, int] = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
    ) -> str:
        """Local response normalisation across channels; alpha is divided by the size.

        An even `size` has torch's window (``size//2`` before); give (before, after) for another.
        """
        window = size if isinstance(size, tuple) else (size // 2, (size - 1) // 2)
        attrs = {"window": window, "alpha": alpha, "beta": beta, "k": k}
        return self.add_node(name, "lrn", [x], attrs)

    def relu(self, name: str, x: str) -> str:
        """``max(x, 0)``."""
        return self.add_node(name, "relu", [x])

    def sigmoid(self, name: str, x: str) -> str:
        """``1 / (1 + exp(-x))``."""
        return self.add_node(name, "sigmoid", [x])

    def tanh(self, name: str, x: str, scale: float = 1.0, slope: float = 1.0) -> str:
        """``scale * tanh(slope * x)``."""
        return self.add_node(name, "tanh", [x], {"scale": scale, "slope": slope})

    def affine(self, name: str, x: str, scale: float = 1.0, shift: float = 0.0) -> str:
        """``scale * x + shift``."""
        return self.add_node(name, "affine", [x], {"scale": scale, "shift": shift})

    def leaky_relu(self, name: str, x: str, slope: float = 0.01) -> str:
        """``x``, times `slope` where it is negative."""
        return self.add_node(name, "leaky_relu", [x], {"slope": slope})

    def clip(self, name: str, x: str, low: float = -math.inf, high: float = math.inf) -> str:
        """``min(max(x, low), high)``; ReLU6 is this from 0 to 6."""
        return self.add_node(name, "clip", [x], {"low": low, "high": high})

    def hard_sigmoid(self, name: str, x: str, scale: float = 1 / 6, shift: float = 0.5) -> str:
        """``min(max(scale * x + shift, 0), 1)``."""
        return self.add_node(name, "hard_sigmoid", [x], {"scale": scale, "shift": shift})

    def hard_swish(self, name: str, x: str) -> str:
        """``x * min(max(x / 6 + 1/2, 0), 1)``."""
        return self.add_node(name, "hard_swish", [x])

    def pow(self, name: str, x: str, exponent: float) -> str:
        """``x ** exponent``."""
        return self.add_node(name, "pow", [x], {"exponent": exponent})

    def sqrt(self, name: str, x: str) -> str:
        """Square root."""
        return self.add_node(name, "sqrt", [x])

    def prelu(self, name: str, x: str) -> str:
        """``x``, times ``weight[c]`` where it is negative."""
        channels = self._channels(x)
        attrs = {"kind": "prelu", "shape": (channels, 1, 1)}
        return self.add_node(name, "binary", [x], attrs, {"weight": (channels,)})

    def binary(
        self, name: str, a: str, b: str, kind: str, alpha: float = 1.0, beta: float = 1.0
    ) -> str:
        """Two inputs, broadcast as in NumPy; see csrc/ops/binary.h for the kinds.

        "add" is ``alpha * a + beta * b``. The sum of equal shapes is :meth:`add`, which a
        convolution before it takes into its own loop.
        """
        attrs = {"kind": kind, "alpha": alpha, "beta": beta}
        return self.add_node(name, "binary", [a, b], attrs)

    def batch_norm(self, name: str, x: str, eps: float = 1e-5, affine: bool = True) -> str:
        """Batch normalisation at inference, by the running statistics; Caffe's is not affine."""
        shape = (self._channels(x),)
        roles = ("weight", "bias") * affine + ("running_mean", "running_var")
        return self.add_node(name, "batch_norm", [x], {"eps": eps}, dict.fromkeys(roles, shape))

    def channel_affine(self, name: str, x: str, bias: bool = True) -> str:
        """``y = x * weight[c] + bias[c]``."""
        roles = ("weight", "bias") if bias else ("weight",)
        params = dict.fromkeys(roles, (self._channels(x),))
        return self.add_node(name, "channel_affine", [x], {}, params)

    def add(self, name: str, a: str, b: str) -> str:
        """Element-wise sum."""
        return self.add_node(name, "add", [a, b])

    def concat(self, name: str, inputs: Sequence[str]) -> str:
        """Concatenation of channels."""
        return self.add_node(name, "concat", inputs)

    def shortcut_a(self, name: str, x: str, out_channels: int, stride: int) -> str:
        """He et al. 2015, option A: every stride-th pixel, zero channels on both sides."""
        return self.add_node(
            name, "shortcut_a", [x], {"out_channels": out_channels, "stride": stride}
        )

    def pad(
        self,
        name: str,
        x: str,
        padding: Padding = 0,
        channels: tuple[int, int] = (0, 0),
        mode: str = "constant",
        value: float = 0.0,
    ) -> str:
        """Pad the image by `value`, its reflection or its edge; add channels before and after.

        Negative numbers crop.
        """
        attrs = {"padding": sides(padding), "channels": channels, "mode": mode, "value": value}
        return self.add_node(name, "pad", [x], attrs)

    def slice(self, name: str, x: str, channels: Bounds, rows: Bounds, columns: Bounds) -> str:
        """``x[:, slice(*channels), slice(*rows), slice(*columns)]``, each (start, stop, step)."""
        return self.add_node(name, "slice", [x], {"bounds": (channels, rows, columns)})

    def gather(self, name: str, x: str, indices: Sequence[int]) -> str:
        """``x[:, indices]``: channels by index."""
        return self.add_node(name, "gather", [x], {"indices": tuple(indices)})

    def permute(
        self,
        name: str,
        x: str,
        dims: Sequence[int],
        perm: Sequence[int],
        shape: tuple[int, int, int],
    ) -> str:
        """Each image reshaped to `dims`, transposed by `perm`, reshaped to `shape` (C, H, W)."""
        attrs = {"dims": tuple(dims), "perm": tuple(perm), "shape": shape}
        return self.add_node(name, "permute", [x], attrs)

    def flatten(self, name: str, x: str) -> str:
        """``(N, C, H, W)`` to ``(N, C*H*W)``, in the order c, h, w."""
        return self.add_node(name, "flatten", [x])

    def dropout(self, name: str, x: str, p: float = 0.5) -> str:
        """The identity at inference; kept for the summary and for training."""
        return self.add_node(name, "dropout", [x], {"p": p})

    def softmax(self, name: str, x: str) -> str:
        """Softmax over the channels."""
        return self.add_node(name, "softmax", [x])

    def log_softmax(self, name: str, x: str) -> str:
        """Logarithm of the softmax over the channels."""
        return self.add_node(name, "log_softmax", [x])

    def rbf(self, name: str, x: str, out_features: int) -> str:
        """``y[k] = -sum_j (x[j] - weight[k, j])^2``; the weight is fixed (LeCun et al. 1998)."""
        params = {"weight": (out_features, self._channels(x))}
        return self.add_node(name, "rbf", [x], {}, params)
