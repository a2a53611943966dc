"""How far each layer is from a reference, for every algorithm and instruction set."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn import _core
from pycnn.backend import Cpu, Parameters, Wanted
from pycnn.errors import UnsupportedError, suggest
from pycnn.graph import Graph, Node
from pycnn.inside import golden, references
from pycnn.opset import OPS, Array, Shape, Tuning
from pycnn.passes import optimize
from pycnn.tables import html_table, text_table

__all__ = ["ALGORITHMS", "AS_CHOSEN", "Layer", "Parity", "Run", "parity"]

#: What is chosen for a network as it runs.
AS_CHOSEN = {"latency": Tuning("latency"), "throughput": Tuning("throughput")}
#: Algorithms of a convolution: csrc/ops/conv2d.h.
ALGORITHMS = (
    "direct",
    "gemm",
    "depthwise",
    "stem",
    "grouped",
    "winograd_f2x2_3x3",
    "winograd_f4x4_3x3",
    "winograd_f5x5_3x3",
    "winograd_f6x6_3x3",
    "winograd_f2x2_5x5",
    "winograd_f4x4_5x5",
    "winograd_f4x4_3x3_stride2",
    "winograd_f4x4_3x3_plain",
    "winograd_f5x5_3x3_plain",
)
AGAINST = ("golden", "torch", "onnx")
#: What the numeric contract allows a whole network: docs/numerics.md.
TOLERANCE = 1e-4

Read = Callable[[str], Array]


@dataclass(frozen=True)
class Layer:
    """One layer of a run.

    Attributes
    ----------
    algorithm
        Of a convolution; empty for other ops.
    max_error
        The largest difference, relative to the reference's largest absolute value.
    rms_error
        The RMS of the difference, relative to the RMS of the reference.
    """

    name: str
    op: str
    algorithm: str
    max_error: float
    rms_error: float


@dataclass(frozen=True)
class Run:
    """A whole network on one instruction set.

    Attributes
    ----------
    isa
        The instruction set.
    algorithms
        "latency" or "throughput": as the engine chooses them. Else the one that every convolution
        had that it fits, and all others a plain sum.
    layers
        In order.
    tolerance
        Of `rms_error`.
    """

    isa: str
    algorithms: str
    layers: tuple[Layer, ...]
    tolerance: float

    @property
    def diverges(self) -> str | None:
        """The first layer whose RMS error is beyond the tolerance, or not a number."""
        beyond = (one.name for one in self.layers if not one.rms_error <= self.tolerance)
        return next(beyond, None)

    @property
    def worst(self) -> Layer:
        """The layer with the largest RMS error."""
        return max(self.layers, key=lambda one: (math.isnan(one.rms_error), one.rms_error))


@dataclass(frozen=True)
class Parity:
    """A network against a reference; printing it gives a table with a line for each run."""

    network: str
    against: str
    tolerance: float
    runs: tuple[Run, ...]

    @property
    def holds(self) -> bool:
        """Whether no layer of any run diverges."""
        return all(run.diverges is None for run in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; an error that is no number is null."""
        runs = [
            {
                "isa": run.isa,
                "algorithms": run.algorithms,
                "diverges": run.diverges,
                "worst": run.worst.name,
                "layers": [
                    {key: _finite(value) for key, value in asdict(layer).items()}
                    for layer in run.layers
                ],
            }
            for run in self.runs
        ]
        return {
            "network": self.network,
            "against": self.against,
            "tolerance": self.tolerance,
            "holds": self.holds,
            "runs": runs,
        }

    def layers_table(self) -> str:
        """The errors of each layer: those of the first run, and the largest of all runs."""
        lines = []
        for i, one in enumerate(self.runs[0].layers):
            every = [run.layers[i] for run in self.runs]
            lines.append(
                (
                    one.name,
                    one.op,
                    one.algorithm,
                    _number(one.max_error),
                    _number(one.rms_error),
                    _number(max(layer.rms_error for layer in every)),
                )
            )
        first = self.runs[0]
        header = ("layer", "op", f"{first.isa}, {first.algorithms}", "max", "RMS", "RMS, all runs")
        return text_table(header, lines, left=3)

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                run.isa,
                run.algorithms,
                _number(max(layer.max_error for layer in run.layers)),
                _number(run.worst.rms_error),
                run.worst.name,
                _number(run.layers[-1].rms_error),
                run.diverges or "none",
            )
            for run in self.runs
        ]

    def _title(self) -> str:
        return f"{self.network} against {self.against}, {len(self.runs[0].layers)} layers"

    def _header(self) -> tuple[str, ...]:
        beyond = f"first beyond {self.tolerance:g}"
        return ("isa", "algorithms", "max", "RMS", "of layer", "RMS of output", beyond)

    def __str__(self) -> str:
        return f"{self._title()}\n{text_table(self._header(), self._cells(), left=2)}"

    def _repr_html_(self) -> str:
        return html_table(self._title(), self._header(), self._cells(), left=2)


def parity(
    graph: Graph,
    read: Read | None,
    against: str = "golden",
    *,
    name: str | None = None,
    isas: Iterable[str] | None = None,
    algorithms: Iterable[str] | None = None,
    tolerance: float = TOLERANCE,
    threads: int | None = None,
) -> Parity:
    """Compare every layer of a network with a reference.

    The network runs as it always does: compared are the values that exist then, of layers that
    nothing is fused into.

    Parameters
    ----------
    graph : Graph
    read : function or None
        Gives a parameter by its name, float32; each is read once. None will do for "golden".
    against : {"golden", "torch", "onnx"}
        "golden": float64 results that ship with the package, of weights and an image of their own.
        "torch": PyTorch in float64. "onnx": ONNX Runtime in float32, of the file that pycnn writes.
        Both on random numbers and the weights given.
    name : str, optional
        In place of the graph's.
    isas, algorithms : names, optional
        Some instruction sets, and of "latency", "throughput" and :data:`ALGORITHMS` some; all that
        the machine has, and that fit a layer, by default.
    tolerance : float
        Of a layer's RMS error.
    threads : int, optional

    Raises
    ------
    UnsupportedError
        No golden activations of this network, or PyTorch or ONNX Runtime is not installed.
    ValueError
        No such reference, algorithm or instruction set, or a tolerance that is no finite number
        of at least 0.

    Examples
    --------
    >>> import pycnn
    >>> from pycnn.models import find
    >>> found = parity(find("lenet5").graph(), read=None)
    >>> found.holds, found.runs[0].layers[-1].name
    (True, 'output')
    """
    if against not in AGAINST:
        raise ValueError(f"against is one of {', '.join(AGAINST)}, not {against!r}")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance must be a finite number of at least 0, got {tolerance}")
    graph = graph.with_outputs(graph.outputs)
    layers, x = golden.survivors(graph), golden.image(_only_size(graph))
    if against == "golden":
        found = golden.open_golden(graph)
        once = functools.cache(golden.GoldenWeights(graph, found.scales).read)
        sizes = {name: math.prod(shape) for name, shape in graph.shapes().items()}
        wanted = references.of_golden(found, sizes)
    else:
        if read is None:
            raise ValueError(f"a comparison with {against} needs the weights")
        once = functools.cache(read)
        compute = references.of_torch if against == "torch" else references.of_onnx
        wanted = compute(graph, once, layers, x)
    layers = [layer for layer in layers if layer in wanted]
    chosen = _chosen(graph, algorithms)
    runs = [
        Run(isa, label, tuple(_compare(ours, plan, wanted)), tolerance)
        for isa in (isas if isas is not None else reversed(_core.available_isas()))
        for label, (forced, tuning) in chosen.items()
        for ours, plan in [_run(forced, once, layers, x, Cpu(threads, isa, tuning))]
    ]
    if not runs:
        raise ValueError("no instruction set or algorithm is left to compare")
    return Parity(name or graph.name, against, tolerance, tuple(runs))


def _only_size(graph: Graph) -> tuple[int, int, int]:
    if len(graph.inputs) != 1:
        raise UnsupportedError(f"{graph.name} has {len(graph.inputs)} inputs; parity needs one")
    return next(iter(graph.inputs.values()))


def _chosen(graph: Graph, names: Iterable[str] | None) -> dict[str, tuple[Graph, Tuning]]:
    """Label -> the graph with its algorithms, and how those are chosen that it leaves open."""
    every = (*AS_CHOSEN, *ALGORITHMS)
    asked = list(every if names is None else names)
    for name in asked:
        if name not in every:
            raise ValueError(
                f"no algorithm {name!r}{suggest(name, every)}; there are {', '.join(every)}"
            )
    found: dict[str, tuple[Graph, Tuning]] = {}
    shapes = graph.shapes()
    for name in asked:
        if name in AS_CHOSEN:
            found[name] = (graph, AS_CHOSEN[name])
        elif (forced := _forced(graph, shapes, name)) is not None:
            found[name] = (forced, Tuning(winograd=False))
    return found


def _forced(graph: Graph, shapes: Mapping[str, Shape], algorithm: str) -> Graph | None:
    """Every convolution that it fits with this algorithm; None where there is none."""
    nodes, fitting = [], 0
    for node in graph.nodes:
        if node.op == "conv2d":
            forced = replace(node, attrs={**node.attrs, "algorithm": algorithm})
            if _fits(graph, forced, shapes):
                node, fitting = forced, fitting + 1
        nodes.append(node)
    return graph.with_nodes(nodes) if fitting else None


def _fits(graph: Graph, node: Node, shapes: Mapping[str, Shape]) -> bool:
    choose = OPS[node.op].choose
    assert choose is not None
    try:
        choose(node.attrs, [shapes[n] for n in node.inputs], graph.param_shapes(node), Tuning())
    except UnsupportedError:
        return False
    return True


def _run(
    graph: Graph, read: Read, layers: Sequence[str], x: Array, backend: Cpu
) -> tuple[dict[str, Array], Graph]:
    """What these layers compute, and the graph that was compiled."""

    def source(node: Node) -> Parameters:
        arrays = {
            role: read(name).reshape(graph.parameters[name]) for role, name in node.params.items()
        }
        return Parameters(arrays, mapped=False)

    tapped = optimize(graph.with_outputs({layer: layer for layer in layers}))
    (name,), (n, c, h, w) = graph.inputs, x.shape
    plan = backend.compile(Wanted(tapped, {name: (n, c, h, w)}, {name: "float32"}, source))
    return plan.run([x], backend.threads), plan.graph


def _compare(ours: Mapping[str, Array], graph: Graph, wanted: references.Wanted) -> Iterable[Layer]:
    nodes = {node.name: node for node in graph.nodes}
    for name, values in ours.items():
        reference, node = wanted[name], nodes[name]
        difference = _difference(values, reference)
        yield Layer(
            name,
            node.op,
            node.attrs.get("algorithm", "") if node.op == "conv2d" else "",
            float(np.abs(difference).max()) / (reference.largest or 1.0),
            math.sqrt(float(np.mean(difference**2))) / (reference.rms or 1.0),
        )


def _difference(values: Array, reference: references.Reference) -> npt.NDArray[np.float64]:
    flat = values.reshape(-1)
    taken = flat if reference.places is None else flat[reference.places]
    difference: npt.NDArray[np.float64] = taken.astype(np.float64) - reference.values
    return difference


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    return f"{value:.1e}"
