"""What ONNX nodes are converted with: values, their batch, and the graph that grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.errors import ModelFormatError, UnsupportedError
from pycnn.formats.onnx_lrn import LrnPart
from pycnn.formats.onnx_schema import ATTRIBUTE_TYPES
from pycnn.formats.onnx_tensors import Array, Constant, OnnxTensors, TensorReader
from pycnn.graph import Graph

Dims = tuple[int, ...]

_MAX_LOOKED_AT = 1 << 22


class Unknown:
    """A size that a model leaves free, where its code asks for it: the batch, an image's edge."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return self.what


#: The number of images, as the first element of a shape.
BATCH = Unknown("the batch")


@dataclass(frozen=True)
class Tensor:
    """A value that depends on the input.

    Attributes
    ----------
    dims
        Its shape in the model without the batch, which comes first.
    node
        The node of the graph that computes it, in the shape of :func:`physical`. Numbers lie in
        the same order.
    """

    dims: Dims
    node: str


@dataclass(frozen=True)
class Turned:
    """An image or vector whose channels come before the batch, as dynamo picks some of them."""

    x: Tensor


Value = Tensor | Constant | Turned


def physical(dims: Dims) -> tuple[int, int, int]:
    """(C, H, W) of a value: missing sizes are 1, those beyond the second axis one."""
    c, h = (*dims, 1, 1)[:2]
    return (c, h, math.prod(dims[2:]))


class Converter:
    """The graph under construction, and what all nodes share."""

    def __init__(
        self, graph: Graph, path: Path, data: memoryview, tensors: OnnxTensors, opset: int
    ) -> None:
        self.graph = graph
        self.path = path
        self.tensors = tensors
        self.opset = opset
        self.reader = TensorReader(path, data, tensors.max_bytes)
        self.batch: int | Unknown | None = None  # None: no input has been seen
        self.free_size = False  # an input's height or width
        self.unmade: dict[str, str] = {}  # optional outputs that are not implemented
        self.lrn: dict[str, LrnPart] = {}  # node -> the part of a normalisation that it is
        self.reshaped: dict[str, Tensor] = {}  # node -> what it is in another shape
        self._names: dict[str, int] = {}  # and how often each was wanted
        self._looked_at = 0

    def note_batch(self, size: int | None) -> None:
        """Take the batch of an input; None where it is free."""
        batch = BATCH if size is None else size
        if self.batch is not None and batch != self.batch:
            raise UnsupportedError(f"{self.path}: inputs of batch {self.batch} and {batch}")
        self.batch = batch

    def input(self, name: str, dims: Dims, free: bool) -> Tensor:
        """Add an input."""
        self.free_size |= free
        self._names[name] = 1
        return Tensor(dims, self.graph.input(name, physical(dims)))

    def unique(self, name: str) -> str:
        """Return the name, or one like it if a node has it."""
        while name in self._names:
            self._names[name] += 1
            name = f"{name}#{self._names[name]}"
        self._names[name] = 1
        return name

    def look_at(self, elems: int) -> None:
        """Count the numbers of constants that decide how nodes are made; bounded in sum."""
        self._looked_at += elems
        if self._looked_at > _MAX_LOOKED_AT:
            raise ModelFormatError("the model's constants have too many numbers that decide shapes")

    def forget_unused(self, parameters: Collection[str]) -> None:
        """Leave out the tensors of nodes that no output needs."""
        self.tensors.keep(parameters)


class OnnxNode:
    """A node of the model with its inputs, its attributes, and the ways to make nodes of ours."""

    def __init__(self, converter: Converter, message: Any, inputs: Sequence[Value | None]) -> None:
        self.converter = converter
        self.op_type: str = message.op_type
        self.name: str = message.name or (message.output[0] if message.output else "")
        self.outputs: list[str] = list(message.output)
        self.inputs = list(inputs)
        self._attributes = {attribute.name: attribute for attribute in message.attribute}
        self._suffixes = 0

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"'{self.name}' ({self.op_type})"

    @property
    def opset(self) -> int:
        """Version of the operator set."""
        return self.converter.opset

    # Attributes -----------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether an attribute is there."""
        return name in self._attributes

    def integer(self, name: str, default: int) -> int:
        """Give an attribute."""
        return int(self._attribute(name, "i")) if self.has(name) else default

    def number(self, name: str, default: float) -> float:
        """Give an attribute."""
        return float(self._attribute(name, "f")) if self.has(name) else default

    def string(self, name: str, default: str) -> str:
        """Give an attribute."""
        if not self.has(name):
            return default
        return bytes(self._attribute(name, "s")).decode("utf-8", "replace")

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """Give an attribute."""
        return list(self._attribute(name, "ints")) if self.has(name) else list(default)

    def numbers(self, name: str) -> list[float]:
        """Give an attribute."""
        return list(self._attribute(name, "floats"))

    def value(self, name: str) -> Constant:
        """Give an attribute that is a tensor."""
        return self.converter.reader.constant(self._attribute(name, "t"), self.outputs[0])

    def graph(self, name: str) -> Any:
        """Give an attribute that is a graph."""
        return self._attribute(name, "g")

    def _attribute(self, name: str, field: str) -> Any:
        """Content of an attribute, which must be of that type; an old file may not say its type."""
        if not self.has(name):
            raise ModelFormatError(f"the attribute '{name}' is missing")
        attribute = self._attributes[name]
        if attribute.type not in (0, ATTRIBUTE_TYPES[field]):
            raise ModelFormatError(f"the attribute '{name}' is of type {attribute.type}")
        return getattr(attribute, field)

    # Inputs ---------------------------------------------------------------------------------------

    def optional(self, index: int) -> Value | None:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def any(self, index: int) -> Tensor | Constant:
        """An input of either kind."""
        found = self.optional(index)
        if found is None:
            raise ModelFormatError(f"input {index} is missing")
        if isinstance(found, Turned):
            raise UnsupportedError(f"input {index} is transposed: the batch is not first")
        return found

    def tensor(self, index: int = 0) -> Tensor:
        """An input that depends on the network's."""
        found = self.any(index)
        if not isinstance(found, Tensor):
            raise UnsupportedError(f"input {index} is a constant")
        return found

    def constant(self, index: int) -> Constant:
        """An input that does not."""
        found = self.any(index)
        if not isinstance(found, Constant):
            raise UnsupportedError(
                f"input {index} is no constant: it depends on the network's input"
            )
        return found

    def array(self, index: int) -> Array:
        """Values of a small constant."""
        constant = self.constant(index)
        self.converter.look_at(constant.elems)
        return constant.load()

    def sizes(self, index: int) -> list[int]:
        """Return the integers of a constant; none may depend on a size that is free."""
        numbers = self.array(index).reshape(-1).tolist()
        for number in numbers:
            if not isinstance(number, int):
                raise UnsupportedError(f"input {index} depends on {number!r}")
        return numbers

    def setting(self, name: str, index: int, default: Sequence[int] = ()) -> list[int]:
        """Integers that are an attribute in older opsets and an input in newer ones."""
        if self.has(name) or self.optional(index) is None:
            return self.integers(name, default)
        return self.sizes(index)

    def rank(self, tensor: Tensor, *ranks: int) -> Dims:
        """Return the dimensions, of which there must be so many, with the batch."""
        if len(tensor.dims) + 1 not in ranks:
            wanted = " or ".join(map(str, ranks))
            raise UnsupportedError(
                f"has an input of {len(tensor.dims) + 1} dimensions, not {wanted}"
            )
        return tensor.dims

    def axis(self, axis: int, tensor: Tensor) -> int:
        """Return an axis, counted from 0 and with the batch, which it must not be."""
        rank = len(tensor.dims) + 1
        if not -rank <= axis < rank:
            raise ModelFormatError(f"axis {axis} of {rank}")
        if axis % rank == 0:
            raise UnsupportedError("works along the batch, over all images")
        return axis % rank

    # Making nodes ---------------------------------------------------------------------------------

    def new_name(self, last: bool = True) -> str:
        """Name of the next node: the model's for the last one, else with a number."""
        if last:
            return self.converter.unique(self.name)
        self._suffixes += 1
        return self.converter.unique(f"{self.name}/{self._suffixes}")

    def make(
        self,
        method: Callable[..., str],
        inputs: Tensor | Sequence[Tensor],
        *args: Any,
        dims: Dims | None = None,
        last: bool = True,
        **kwargs: Any,
    ) -> Tensor:
        """Add a node by a method of the graph; `dims` where they are not the first input's."""
        sources = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        names = [source.node for source in sources]
        node = method(self.new_name(last), *names, *args, **kwargs)
        return Tensor(sources[0].dims if dims is None else dims, node)

    def with_constants(
        self,
        op: str,
        x: Tensor,
        constants: Mapping[str, tuple[Constant, Dims]],
        attrs: Mapping[str, Any],
        dims: Dims | None = None,
        last: bool = True,
    ) -> Tensor:
        """Add a node with parameters: role -> constant, its shape there."""
        names, shapes = {}, {}
        for role, (constant, shape) in constants.items():
            if constant.elems != math.prod(shape):
                raise ModelFormatError(f"{role} has shape {constant.shape}, expected {shape}")
            names[role] = self.converter.tensors.add(constant.reshaped(shape))
            shapes[role] = shape
        node = self.converter.graph.add_node(
            self.new_name(last), op, [x.node], attrs, shapes, names
        )
        return Tensor(x.dims if dims is None else dims, node)

    def reshape(self, x: Tensor, dims: Dims, last: bool = True) -> Tensor:
        """Return the same numbers in another shape; a node only where they must move."""
        if math.prod(dims) != math.prod(x.dims):
            raise ModelFormatError(f"{x.dims} is not {dims}")
        if physical(dims) == physical(x.dims):
            return Tensor(dims, x.node)
        before = self.converter.reshaped.get(x.node)
        if before is not None and physical(before.dims) == physical(dims):  # there and back
            return Tensor(dims, before.node)
        graph = self.converter.graph
        if len(dims) == 1:
            made = self.make(graph.flatten, x, dims=dims, last=last)
        else:
            image = physical(x.dims)
            made = self.make(
                graph.permute, x, image, (0, 1, 2), physical(dims), dims=dims, last=last
            )
        self.converter.reshaped[made.node] = x
        if x.node in self.converter.lrn:
            self.converter.lrn[made.node] = self.converter.lrn[x.node]
        return made

    def transpose(self, x: Tensor, perm: Sequence[int], last: bool = True) -> Tensor:
        """Transpose the axes after the batch; `perm` counts without it."""
        dims = tuple(x.dims[axis] for axis in perm)
        graph = self.converter.graph
        return self.make(
            graph.permute, x, x.dims, tuple(perm), physical(dims), dims=dims, last=last
        )

    def derived(
        self, constant: Constant, shape: Dims, change: Callable[[Array], Array]
    ) -> Constant:
        """Return a constant that is computed from another when it is asked for."""
        dtype = "float32" if constant.dtype == "bfloat16" else constant.dtype
        return constant.derived(f"{constant.name}.{self.op_type}", shape, dtype, change)

    def folded(self, values: Array) -> Constant:
        """Return a constant that was computed when the model was read."""
        return self.converter.reader.computed(self.outputs[0], np.asarray(values))
