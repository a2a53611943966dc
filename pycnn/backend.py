"""What a model runs on: the CPU or a GPU. Each compiles, keeps packed weights, and runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pycnn import _core
from pycnn import compile as cpu
from pycnn.cuda import compile as gpu
from pycnn.cuda.arrays import Borrowed, DeviceArray, as_callers, is_on_device, stream_of
from pycnn.cuda.device import Target, missing, support, target
from pycnn.cuda.opset import DEVICE_OPS, Choice
from pycnn.errors import ShapeError, UnsupportedError
from pycnn.graph import Graph, Node
from pycnn.opset import OPS, Array, Params, Shape, Tuning
from pycnn.passes import specialize

# Images of a batch in host memory that go to a GPU at once: the next ones are copied meanwhile.
HOST_CHUNK = 64
# Such parts that are under way; each has page-locked memory and a place on the device.
_PARTS_UNDER_WAY = 2

# What decides packed values beside the parameters and the algorithm.
_PACKED_ATTRS = ("eps", "bn.eps", "connections", "shape")


class Parameters(NamedTuple):
    """A node's parameters by role; `mapped`: its weight is a view of a file's pages."""

    arrays: Params
    mapped: bool


Plan = Any  # cpu.Plan or gpu.Plan, whichever the backend makes
Source = Callable[[Node], Parameters]
PlanFor = Callable[[tuple[Shape, ...], tuple[str, ...]], Plan]  # by shapes and dtypes of the inputs


class Wanted(NamedTuple):
    """An optimised graph, shapes and dtypes of its inputs by name, and its parameters."""

    graph: Graph
    inputs: Mapping[str, Shape]
    dtypes: Mapping[str, str]
    source: Source


class Backend(ABC):
    """One device of a model."""

    def __init__(self) -> None:
        self._packed: dict[object, Any] = {}

    @abstractmethod
    def compile(self, wanted: Wanted) -> Plan:
        """Compile for one shape of the inputs."""

    @abstractmethod
    def run(self, plan_for: PlanFor, arrays: Sequence[Array], poison: int | None) -> dict[str, Any]:
        """Run on arrays of the host; new ones come out."""

    @abstractmethod
    def memory(self, graph: Graph, inputs: Mapping[str, Shape]) -> tuple[int, int]:
        """Bytes of the packed weights, and of everything else that a plan keeps."""

    @abstractmethod
    def describe(self) -> str:
        """What it is, for `repr`."""

    @abstractmethod
    def numerics(self) -> str:
        """What of it decides the bits of a result."""

    @property
    def threads(self) -> int:
        """How many threads of the CPU a run may use."""
        return 1

    def takes(self, value: Any) -> bool:
        """Whether an array lies in memory that only this device sees."""
        return False

    def run_there(self, plan_for: PlanFor, values: Sequence[Any]) -> dict[str, Any]:
        """Run on arrays that it `takes`; arrays of the same library come out."""
        raise UnsupportedError("this device has no arrays of its own")

    def trim(self, plans: Sequence[Plan]) -> None:
        """Let go of all packed weights and of what the plans keep."""
        self._packed.clear()


class Cpu(Backend):
    """The CPU, with an instruction set, threads, and a way to choose algorithms."""

    def __init__(self, threads: int | None, isa: str | None, tuning: Tuning) -> None:
        super().__init__()
        if isa is not None:
            _core.require_isa(isa)
        self._threads, self._isa, self._tuning = threads, isa, tuning

    @property
    def threads(self) -> int:
        """How many threads a run may use."""
        return self._threads or _core.default_num_threads()

    def compile(self, wanted: Wanted) -> cpu.Plan:
        """Compile for the instruction set."""

        def packed(node: Node) -> Any:
            spec = OPS[node.op]
            key = _packing_key(node, spec.packing(node.attrs))
            if spec.pack is not None and key not in self._packed:
                arrays, mapped = wanted.source(node)
                self._packed[key] = spec.pack(
                    {**node.attrs, "mapped": mapped, "threads": self.threads}, arrays
                )
            return self._packed[key]

        return cpu.compile_graph(
            wanted.graph, wanted.inputs, packed, self.isa, self._tuning, self.threads
        )

    def run(self, plan_for: PlanFor, arrays: Sequence[Array], poison: int | None) -> dict[str, Any]:
        """Run with all threads."""
        shapes, dtypes = _signature(arrays)
        results: dict[str, Any] = plan_for(shapes, dtypes).run(arrays, self.threads, poison)
        return results

    def memory(self, graph: Graph, inputs: Mapping[str, Shape]) -> tuple[int, int]:
        """Weights, and the arena with the workspaces of the threads."""
        values = graph.shapes(inputs)
        graph = specialize(graph, values, self._tuning)
        weights = {
            _packing_key(node, spec.packing(node.attrs)): spec.packed_bytes(
                node.attrs, graph.param_shapes(node)
            )
            for node in graph.nodes
            if (spec := OPS[node.op]).pack
        }
        return sum(weights.values()), 4 * cpu.activation_elems(graph, values, self.threads)

    @property
    def isa(self) -> str:
        """The instruction set that it runs on."""
        return self._isa or _core.active_isa()

    def describe(self) -> str:
        """Instruction set and threads."""
        return f"{self.isa}, {self.threads} threads"

    def numerics(self) -> str:
        """Instruction set and the choice of algorithms."""
        return f"{self.isa}, {self._tuning}"


class Cuda(Backend):
    """A GPU, with a precision."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def compile(self, wanted: Wanted) -> gpu.Plan:
        """Compile for the device and precision."""

        def packed(node: Node, choice: Choice) -> Any:
            pack = DEVICE_OPS[node.op].pack
            key = _device_packing_key(node, choice)
            if pack is not None and key not in self._packed:
                arrays = wanted.source(node).arrays
                self._packed[key] = pack(self._target, node.attrs, arrays, choice)
            return self._packed[key]

        layout = gpu.lay_out(wanted.graph, wanted.inputs, self._target, wanted.dtypes)
        return gpu.build(layout, packed, self._target)

    def run(self, plan_for: PlanFor, arrays: Sequence[Array], poison: int | None) -> dict[str, Any]:
        """Run; large batches in parts, so that one is copied while another is computed."""
        images = {len(array) for array in arrays}
        chunk = HOST_CHUNK if len(images) == 1 else max(images)
        under_way: deque[tuple[Plan, Any]] = deque()
        parts: list[dict[str, Any]] = []

        def collect() -> None:
            plan, ticket = under_way.popleft()
            parts.append(plan.collect(ticket))

        for start in range(0, max(images), chunk):
            if len(under_way) == _PARTS_UNDER_WAY:
                collect()
            part = [array[start : start + chunk] for array in arrays]
            plan = plan_for(*_signature(part))
            under_way.append((plan, plan.submit(part, poison)))
        while under_way:
            collect()
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def takes(self, value: Any) -> bool:
        """Arrays of torch, CuPy and other libraries in a GPU's memory."""
        return is_on_device(value)

    def run_there(self, plan_for: PlanFor, values: Sequence[Any]) -> dict[str, Any]:
        """Queue a run on the stream of the first array's library."""
        stream = stream_of(values[0])
        borrowed = [Borrowed(value, stream, self._target) for value in values]
        for array in borrowed:
            if len(array.shape) != 4:
                raise ShapeError(f"expected a batch (N, C, H, W), got {array.shape}")
        plan = plan_for(
            tuple(array.shape for array in borrowed), tuple(array.dtype for array in borrowed)
        )
        results = plan.enqueue([array.address for array in borrowed], stream)
        return {
            name: as_callers(DeviceArray(tensor, stream, self._target), values[0])
            for name, tensor in results.items()
        }

    def memory(self, graph: Graph, inputs: Mapping[str, Shape]) -> tuple[int, int]:
        """Weights, and the arena with the workspaces, as they are on the device."""
        layout = gpu.lay_out(graph, inputs, self._target)
        weights = {
            _device_packing_key(step.node, step.choice): row.packed_bytes(
                self._target, step.node.attrs, layout.graph.param_shapes(step.node), step.choice
            )
            for step in layout.steps
            if step.node is not None and (row := DEVICE_OPS[step.node.op]).pack is not None
        }
        return sum(weights.values()), layout.arena_bytes

    def describe(self) -> str:
        """Device and precision."""
        return f"{self._target}, {self._target.dtype}"

    def numerics(self) -> str:
        """The same: algorithms are chosen for the device."""
        return self.describe()

    def trim(self, plans: Sequence[Plan]) -> None:
        """Wait for what runs, then free everything on the device."""
        for plan in plans:
            plan.program.trim()
        super().trim(plans)


def backend_for(
    device: str, dtype: str, threads: int | None, isa: str | None, tuning: Tuning
) -> Backend:
    """Make the backend of a model.

    Parameters
    ----------
    device
        "cpu", "cuda", "cuda:N", or "auto": a GPU if there is one that can be used.

    Raises
    ------
    DeviceError
        The device cannot be used; the message gives the reason.
    UnsupportedError
        The CPU computes in float32 only.
    """
    if device == "auto":
        device = "cpu" if missing(support()) else "cuda"
    if device != "cpu":
        if isa is not None:
            raise ValueError(f"isa={isa!r} is of the CPU, but device={device!r}")
        return Cuda(target(device, dtype))
    if dtype != "float32":
        raise UnsupportedError(f"the CPU computes in float32 only, not {dtype!r}")
    return Cpu(threads, isa, tuning)


def _signature(arrays: Sequence[Array]) -> tuple[tuple[Shape, ...], tuple[str, ...]]:
    shapes: Any = tuple([array.shape for array in arrays])
    return shapes, ("float32",) * len(arrays)


def _packing_key(node: Node, packing: object) -> tuple[object, ...]:
    """Tell apart what is packed: nodes that share parameters may pack them differently."""
    values = tuple(repr(node.attrs.get(name)) for name in _PACKED_ATTRS)
    return (node.op, packing, values, tuple(sorted(node.params.items())))


def _device_packing_key(node: Node, choice: Choice) -> tuple[object, ...]:
    packing = None if choice is None else (choice.packing, choice.weight_shape)
    return _packing_key(node, packing)


__all__ = ["HOST_CHUNK", "Backend", "Cpu", "Cuda", "Parameters", "Wanted", "backend_for"]
