"""Where a model's weights come from, and whether they fit its network."""

from __future__ import annotations

import math
import os.path
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import WeightsError
from pycnn.formats import TensorFile
from pycnn.formats.tensor_file import FLOAT_DTYPES, trimmed
from pycnn.graph import Graph
from pycnn.opset import Array

Shapes = Mapping[str, tuple[int, ...]]
Rename = Callable[[str], str | None]


class Weights(ABC):
    """Float32 arrays by parameter name, made or read when asked for.

    Attributes
    ----------
    shapes
        Name -> shape of all that there is.
    dtypes
        Name -> dtype, where it may be one that is no use.
    """

    shapes: Shapes
    dtypes: Mapping[str, str] = {}

    @abstractmethod
    def get(self, name: str) -> Array:
        """One array; may be a new copy at each call."""

    def is_mapped(self, name: str) -> bool:
        """Whether :meth:`get` gives a view of a mapped file, whose pages may be let go."""
        return False

    @abstractmethod
    def describe(self) -> str:
        """Where they come from, for messages and `repr`."""


class FileWeights(Weights):
    """Weights of a file, read from it at each use."""

    def __init__(self, file: TensorFile, rename: Rename | None = None) -> None:
        self.path = os.path.abspath(file.path)
        self.file = file
        self._source = _renamed(self.file.shapes, rename, self.path)
        self.dtypes = {ours: self.file.dtypes[theirs] for ours, theirs in self._source.items()}
        self.shapes = {ours: self.file.shapes[theirs] for ours, theirs in self._source.items()}

    def get(self, name: str) -> Array:
        """One array."""
        return self.file.read(self._source[name])

    def is_mapped(self, name: str) -> bool:
        """Where the file's own bytes are what :meth:`get` gives."""
        return self.file.is_mapped(self._source[name])

    def describe(self) -> str:
        """Return the path."""
        return self.path


class ArrayWeights(Weights):
    """Weights in memory: the caller's arrays (NumPy, or anything with DLPack)."""

    def __init__(self, arrays: Mapping[str, Any], rename: Rename | None = None) -> None:
        source = _renamed(dict.fromkeys(arrays, ()), rename, "the given weights")
        self._arrays = {ours: _to_numpy(arrays[theirs], theirs) for ours, theirs in source.items()}
        self.shapes = {name: array.shape for name, array in self._arrays.items()}

    def get(self, name: str) -> Array:
        """One array, the caller's own where it is contiguous float32."""
        return np.ascontiguousarray(self._arrays[name], dtype=np.float32)

    def describe(self) -> str:
        """Say that they are in memory."""
        return "arrays in memory"


class RandomWeights(Weights):
    """He initialisation (He et al. 2015, "Delving deep", eq. 10), each tensor by its own seed."""

    def __init__(self, graph: Graph, seed: int = 0) -> None:
        self.shapes = graph.parameters
        self.seed = int(seed)
        roles = {name: role for node in graph.nodes for role, name in node.params.items()}
        self._index = {name: (i, roles[name]) for i, name in enumerate(graph.parameters)}

    def get(self, name: str) -> Array:
        """One array, the same at each call."""
        index, role = self._index[name]
        shape = self.shapes[name]
        if role in ("bias", "running_mean"):
            return np.zeros(shape, np.float32)
        if role == "running_var" or len(shape) == 1:
            return np.ones(shape, np.float32)
        generator = np.random.default_rng([self.seed, index])
        deviation = math.sqrt(2.0 / math.prod(shape[1:]))
        return generator.standard_normal(shape, np.float32) * np.float32(deviation)

    def describe(self) -> str:
        """Say that they are random."""
        return f"random, seed {self.seed}"


def check(graph: Graph, weights: Weights, optional: Shapes | None = None) -> None:
    """Compare names and shapes with what the graph needs; list everything that does not fit.

    Trailing sizes of 1 do not count: Caffe keeps a linear layer's weight as (K, C, 1, 1).

    Parameters
    ----------
    optional
        Further parameters that belong to the network but are not needed (heads that are off).

    Raises
    ------
    WeightsError
        Naming every missing, surplus and misshapen tensor.
    """
    known = {**(optional or {}), **graph.parameters}
    missing = [name for name in graph.parameters if name not in weights.shapes]
    surplus = [name for name in weights.shapes if name not in known]
    misshapen = [
        f"{name}: {weights.shapes[name]}, expected {known[name]}"
        for name in known
        if name in weights.shapes and trimmed(weights.shapes[name]) != trimmed(known[name])
    ]
    typed = [
        f"{name}: {dtype}, expected one of {', '.join(FLOAT_DTYPES)}"
        for name, dtype in weights.dtypes.items()
        if name in known and dtype not in FLOAT_DTYPES
    ]
    if missing or surplus or misshapen or typed:
        parts = [
            f"{len(found)} {what}:\n  " + "\n  ".join(found)
            for what, found in (
                ("missing", missing),
                ("surplus", surplus),
                ("of another shape", misshapen),
                ("of another type", typed),
            )
            if found
        ]
        raise WeightsError(
            f"the weights ({weights.describe()}) do not fit {graph.name}:\n" + "\n".join(parts)
        )


def parameter(weights: Weights, graph: Graph, name: str) -> Array:
    """One parameter in the shape that the graph gives it."""
    return weights.get(name).reshape(graph.parameters[name])


def renewed(
    read: Callable[[str], Array], graph: Graph, new: Collection[str], seed: int
) -> dict[str, Array]:
    """All parameters of a graph: random ones under the names in `new`, the others as `read`."""
    fresh = RandomWeights(graph, seed)
    return {name: (fresh.get if name in new else read)(name) for name in graph.parameters}


def from_dlpack(value: Any) -> npt.NDArray[Any]:
    """NumPy's view of an array, also of another library's.

    Raises
    ------
    ValueError
        NumPy cannot see it: it is on a GPU, records gradients, or has a dtype that NumPy lacks.
    """
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack__"):
        return np.asarray(value)
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"NumPy cannot take this {type(value).__name__} ({error}); "
            "for a torch tensor use .detach().cpu().float()"
        ) from None


def _renamed(shapes: Shapes, rename: Rename | None, source: str) -> dict[str, str]:
    """Our name -> the source's name; a name that already is ours stays."""
    found: dict[str, str] = {}
    # What torch's DataParallel puts before every name.
    wrapped = bool(shapes) and all(name.startswith("module.") for name in shapes)
    for theirs in shapes:
        bare = theirs.removeprefix("module.") if wrapped else theirs
        ours = rename(bare) if rename else bare
        if ours is None:
            continue
        if ours in found:
            raise WeightsError(
                f"{source}: '{found[ours]}' and '{theirs}' are both the parameter '{ours}'"
            )
        found[ours] = theirs
    return found


def _to_numpy(value: Any, name: str) -> npt.NDArray[np.generic]:
    try:
        array = from_dlpack(value.detach() if hasattr(value, "detach") else value)
    except ValueError as error:
        raise WeightsError(f"the weight '{name}': {error}") from None
    if not np.issubdtype(array.dtype, np.floating):
        raise WeightsError(f"the weight '{name}' has dtype {array.dtype}, expected floating point")
    return array


__all__ = [
    "ArrayWeights",
    "FileWeights",
    "RandomWeights",
    "Rename",
    "Weights",
    "check",
    "parameter",
    "renewed",
]
