"""What others compute for the layers of a network: golden files, PyTorch, ONNX Runtime."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.errors import UnsupportedError
from pycnn.formats import Content, write
from pycnn.graph import Graph
from pycnn.inside.golden import Golden, sampled
from pycnn.opset import Array
from pycnn.weights import ArrayWeights

__all__ = ["Reference", "Wanted", "of_golden", "of_onnx", "of_torch"]


@dataclass(frozen=True)
class Reference:
    """What a layer should compute.

    Attributes
    ----------
    values
        All of them, flat, or those at `places`.
    rms, largest
        RMS and largest absolute value of all.
    """

    values: npt.NDArray[np.float64]
    places: npt.NDArray[np.int64] | None
    rms: float
    largest: float


Wanted = Mapping[str, Reference]
Read = Callable[[str], Array]


def of_golden(found: Golden, sizes: Mapping[str, int]) -> Wanted:
    """The samples of a golden file; `sizes` are how many values the layers have."""
    return {
        name: Reference(
            values.astype(np.float64),
            sampled(name, sizes[name]),
            found.rms[name],
            found.largest[name],
        )
        for name, values in found.values.items()
    }


def of_torch(graph: Graph, read: Read, layers: Sequence[str], x: Array) -> Wanted:
    """Compute in float64 with PyTorch, by the rows of :mod:`pycnn.pytorch.ops`."""
    from pycnn.pytorch import require_torch

    torch = require_torch()
    from pycnn.pytorch.module import GraphModule

    weights = ArrayWeights({name: read(name) for name in graph.parameters})
    module = GraphModule(graph.with_outputs({name: name for name in layers}), weights).double()
    with torch.inference_mode():
        results = module(torch.from_numpy(x).double())
    if len(layers) == 1:
        results = {layers[0]: results}
    return {name: _whole(results[name].numpy()) for name in layers}


def of_onnx(graph: Graph, read: Read, layers: Sequence[str], x: Array) -> Wanted:
    """Write the network as ONNX and run it with ONNX Runtime, whose rewrites are off."""
    try:
        import onnxruntime
    except ImportError:
        raise UnsupportedError(
            "a comparison with ONNX needs ONNX Runtime, which is not installed: "
            "pip install onnxruntime 'pycnn[onnx]'"
        ) from None
    tapped = graph.with_outputs({name: name for name in layers})
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="pycnn-parity-") as folder:
        path = Path(folder) / "network.onnx"
        write(path, Content(tapped.parameters, read, {}, tapped))
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    (given,) = session.get_inputs()
    results = session.run(None, {given.name: x})
    names = [output.name for output in session.get_outputs()]
    return {name: _whole(values) for name, values in zip(names, results, strict=True)}


def _whole(values: npt.NDArray[np.floating[Any]]) -> Reference:
    flat = np.asarray(values, np.float64).reshape(-1)
    rms = math.sqrt(float(np.mean(flat**2)))
    return Reference(flat, None, rms, float(np.abs(flat).max()))
