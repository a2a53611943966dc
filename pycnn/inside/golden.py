"""Golden activations: what float64 makes of known weights and a known image, layer by layer.

The package has a file of some ten kilobytes for each network: samples of what every layer computes,
as tools/make_golden.py found with PyTorch's float64 from a definition of the network that shares no
code with pycnn. Weights and image are made anew from hashes, the same on every machine: integers
only, and a scale for each tensor, from the file, that keeps the signal alive.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import UnsupportedError
from pycnn.graph import Graph
from pycnn.graph_json import graph_to_dict
from pycnn.opset import Array
from pycnn.passes import optimize

__all__ = ["Golden", "GoldenWeights", "digest", "image", "open_golden", "sampled", "survivors"]

SAMPLES = 32  # values kept of each layer
_CHUNK = 1 << 20
_Words = npt.NDArray[np.uint64]


def uniform(key: str, count: int) -> Array:
    """Numbers in [-1, 1) that `key` alone decides, exact to the bit everywhere (splitmix64)."""
    found = np.empty(count, np.float32)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        bits = _hashed(key, np.arange(start, stop, dtype=np.uint64)) >> np.uint64(40)
        found[start:stop] = bits.astype(np.float32) * np.float32(2**-23) - np.float32(1)
    return found


def _hashed(key: str, counters: _Words) -> _Words:
    seed = np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
    z = counters * np.uint64(0x9E3779B97F4A7C15) + seed
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def image(size: tuple[int, int, int]) -> Array:
    """The image ``(1, C, H, W)``, standard deviation 1."""
    return uniform("image", math.prod(size)).reshape(1, *size) * np.float32(math.sqrt(3))


def sampled(layer: str, size: int) -> npt.NDArray[np.int64]:
    """Which of a layer's values are kept, of so many."""
    places = _hashed(f"samples of {layer}", np.arange(SAMPLES, dtype=np.uint64))
    return (places % np.uint64(size)).astype(np.int64)


class GoldenWeights:
    """Parameters by name, made from hashes; `scales` are those of the network's file.

    Filters have mean zero, so that what ReLUs leave positive does not grow into a constant; batch
    norms shift by about 1.5, so that most ReLUs stay open: a deep network with half of them shut is
    chaotic, and float32 differs from float64 by more than any tolerance.
    """

    def __init__(self, graph: Graph, scales: Mapping[str, float]) -> None:
        self._shapes = graph.parameters
        self._scales = scales
        roles = {
            name: (node.op, role) for node in graph.nodes for role, name in node.params.items()
        }
        self._roles = roles

    def read(self, name: str) -> Array:
        """One parameter."""
        return self.bare(name) * np.float32(self._scales.get(name, 1.0))

    def bare(self, name: str) -> Array:
        """One parameter before its scale."""
        op, role = self._roles[name]
        shape = self._shapes[name]
        values = uniform(name, math.prod(shape)).reshape(shape)
        if op == "rbf":
            return np.where(values < 0, np.float32(-1), np.float32(1))
        if role == "weight" and len(shape) > 1:
            values -= values.mean(axis=tuple(range(1, len(shape))), keepdims=True)
            return values * np.float32(math.sqrt(3 / math.prod(shape[1:])))
        if op == "batch_norm" and role == "bias":
            return np.float32(1.5) + np.float32(0.1) * values
        if role in ("bias", "running_mean"):
            return np.float32(0.1) * values
        if role == "running_var":
            return np.float32(1.25) + np.float32(0.75) * values
        return np.float32(1) + np.float32(0.5) * values  # a weight for each channel


@dataclass(frozen=True)
class Golden:
    """What a file has: of each layer samples, its RMS and its largest absolute value."""

    scales: dict[str, float]
    values: dict[str, npt.NDArray[np.float32]]
    rms: dict[str, float]
    largest: dict[str, float]

    def save(self, path: Path) -> None:
        """Write the file."""
        names = json.dumps({"layers": list(self.values), "scales": list(self.scales)})
        np.savez_compressed(
            path,
            names=np.frombuffer(names.encode(), np.uint8),
            scales=np.array(list(self.scales.values()), np.float32),
            values=np.array(list(self.values.values()), np.float32),
            rms=np.array(list(self.rms.values()), np.float32),
            largest=np.array(list(self.largest.values()), np.float32),
        )


def open_golden(graph: Graph) -> Golden:
    """Read the golden activations of a network.

    Raises
    ------
    UnsupportedError
        The package has none of this very graph.
    """
    file = resources.files("pycnn") / "data" / "golden" / file_name(graph)
    if not file.is_file():
        raise UnsupportedError(
            f"no golden activations of this {graph.name} come with pycnn (they do for registered "
            "networks with their default options): compare with torch or onnx"
        )
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
        names: dict[str, Any] = json.loads(bytes(found["names"]))

        def by(key: str, of: str) -> dict[str, float]:
            return dict(zip(names[of], map(float, found[key]), strict=True))

        return Golden(
            by("scales", "scales"),
            dict(zip(names["layers"], found["values"], strict=True)),
            by("rms", "layers"),
            by("largest", "layers"),
        )


def file_name(graph: Graph) -> str:
    """Name of a network's file; equal graphs share one."""
    return f"{graph.name}-{digest(graph)}.npz"


def digest(graph: Graph) -> str:
    """Tell graphs apart by all that they compute."""
    graph = graph.with_outputs(graph.outputs)
    facts = [graph_to_dict(graph), {k: list(v) for k, v in graph.parameters.items()}]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def survivors(graph: Graph) -> list[str]:
    """Layers whose values exist in a run as it is: those that nothing is fused into.

    Tapping them changes nothing, and all of them together see every computation.
    """
    nodes = optimize(graph.with_outputs(graph.outputs)).nodes
    return [node.name for node in nodes if node.op != "flatten"]
