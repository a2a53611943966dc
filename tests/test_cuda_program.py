"""The device's program, whole, on machines without a GPU: its kernels run in the block emulator.

`make cuda-on-host` builds a `pycnn._cuda` over tests/cuda_host/device.cpp in place of the CUDA
runtime. Everything else is what runs on a GPU: plan, program, packing, copies, arrays.
"""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest
import tolerances
from device_cases import (
    CASES,
    batch_for,
    graph_of,
    large_activations,
    model_of,
    small_inception,
    small_resnet,
)

import pycnn
from pycnn import DeviceError, ShapeError, backend
from pycnn.cuda.compile import Plan
from pycnn.cuda.device import DTYPES
from pycnn.cuda.opset import DEVICE_OPS
from pycnn.opset import OPS

pytestmark = pytest.mark.usefixtures("cuda_on_host")


AMPERE, HOPPER = "cuda:0", "cuda:1"  # the emulator's two devices


def on_device(graph: pycnn.Graph, dtype: str = "float32", device: str = AMPERE) -> pycnn.Model:
    return model_of(graph, device=device, dtype=dtype)


def algorithms(model: pycnn.Model) -> set[str]:
    return {step.choice.algorithm for step in model.compile(2).layout.steps if step.choice}


def run(model: pycnn.Model, x: Any, poison: int | None = None) -> Any:
    return next(iter(model._run(x, model.graph.outputs, poison=poison).values()))


def assert_near(got: Any, expected: Any, tolerance: float) -> None:
    assert got.shape == expected.shape
    assert got.dtype == np.float32
    error = tolerances.rms_error(got, expected)
    assert error <= tolerance, f"{error:.3g} above {tolerance:.3g}"


def test_every_op_has_a_row_and_a_case() -> None:
    assert set(DEVICE_OPS) == set(OPS)
    graphs = [graph_of(build) for build in CASES.values()]
    assert {node.op for graph in graphs for node in graph.nodes} == set(OPS)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("case", CASES)
def test_op(case: str, dtype: str, poison: int) -> None:
    graph = graph_of(CASES[case])
    x = batch_for(graph, 2)
    expected = model_of(graph).run(x)
    got = run(on_device(graph, dtype), x, poison)
    assert_near(got, expected, tolerances.DEVICE_OP[dtype])


@pytest.mark.parametrize("device", [AMPERE, HOPPER])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("build", [small_resnet, small_inception])
def test_small_network(build: Any, dtype: str, device: str, poison: int) -> None:
    graph = build()
    x = batch_for(graph, 2)
    model = on_device(graph, dtype, device)
    fastest = {"float32": "simt"}.get(dtype, "mma" if device == AMPERE else "wgmma")
    assert any(name.endswith(fastest) for name in algorithms(model))
    expected, got = model_of(graph).run(x), run(model, x, poison)
    assert np.abs(got - expected).max() <= tolerances.DEVICE_LOGITS[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lenet5(dtype: str) -> None:
    x = np.random.default_rng(3).standard_normal((3, 1, 32, 32), np.float32)
    expected = pycnn.load("lenet5").run(x)
    got = pycnn.load("lenet5", device="cuda", dtype=dtype).run(x)
    assert np.abs(got - expected).max() <= tolerances.DEVICE_LOGITS[dtype] * np.abs(expected).max()
    np.testing.assert_array_equal(got.argmax(1), expected.argmax(1))


def test_the_same_bits_from_run_to_run() -> None:
    graph = small_inception()
    x = batch_for(graph, 2)
    model = on_device(graph)
    first = run(model, x, 0xFF)
    np.testing.assert_array_equal(run(model, x, 0xA5), first)
    np.testing.assert_array_equal(on_device(graph).run(x), first)


def test_all_but_the_ends_is_one_graph() -> None:
    program = on_device(small_resnet()).compile(1).program
    ends = {"conv1_relu", "fc"}  # read the input, write the output
    assert program.captured == [name for name in program.names if name not in ends] + ["fc"]


def test_large_batches_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "HOST_CHUNK", 2)
    changes = []
    for name, change in (("submit", 1), ("collect", -1)):
        method = getattr(Plan, name)

        def counted(*args: Any, method: Any = method, change: int = change) -> Any:
            changes.append(change)
            return method(*args)

        monkeypatch.setattr(Plan, name, counted)
    graph = small_resnet()
    x = batch_for(graph, 7)
    got = on_device(graph).run(x)
    assert max(itertools.accumulate(changes)) == 2  # one is copied while another is computed
    assert changes.count(1) == 4
    np.testing.assert_array_equal(got[6:], on_device(graph).run(x[6:]))
    assert_near(got, model_of(graph).run(x), tolerances.DEVICE_LOGITS["float32"])


def test_taps_and_until() -> None:
    graph = small_inception()
    x = batch_for(graph, 1)
    model, expected = on_device(graph), model_of(graph).run(x, taps=["pool1", "output", "c3"])
    got = model.run(x, taps=["pool1", "output", "c3"])
    assert isinstance(got, dict)
    assert isinstance(expected, dict)
    for name, value in expected.items():
        assert_near(got[name], value, tolerances.DEVICE_LOGITS["float32"])
    assert_near(model.run(x, until="pool1"), expected["pool1"], tolerances.DEVICE_OP["float32"])


def test_memory_is_what_is_allocated() -> None:
    model = on_device(small_inception(), "float16")
    memory = model.memory(2)
    model.run(batch_for(model.graph, 2))
    buffers = [
        buffer
        for packed in model._backend._packed.values()
        for buffer in (packed if isinstance(packed, tuple) else (packed,))
        if buffer is not None
    ]
    assert memory.weights_bytes == sum(buffer.bytes for buffer in buffers)
    assert memory.activation_bytes == model.compile(2).layout.arena_bytes
    assert memory.output_bytes == 4 * 2 * 10


def test_out_of_memory_leaves_the_model_usable() -> None:
    graph = small_resnet()
    x = batch_for(graph, 1)
    model, large = on_device(graph), on_device(large_activations())
    expected = model.run(x)
    for _ in range(2):  # nothing of the first attempt is left
        with pytest.raises(DeviceError, match=r"out of device memory: \d+ bytes wanted for the ar"):
            large.run(batch_for(large.graph, 40))
    np.testing.assert_array_equal(model.run(x), expected)


def test_trim() -> None:
    graph = small_resnet()
    x = batch_for(graph, 1)
    model = on_device(graph)
    expected = model.run(x)
    model.trim()
    gc.collect()
    assert not model._backend._packed
    np.testing.assert_array_equal(model.run(x), expected)


def test_many_threads_on_one_model() -> None:
    graph = small_resnet()
    x = batch_for(graph, 2)
    model = on_device(graph)
    expected = model.run(x)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: model.run(x), range(8)):
            np.testing.assert_array_equal(got, expected)


def test_a_model_names_its_device_and_pickles() -> None:
    model = pycnn.load("lenet5", device="cuda", dtype="float16")
    assert "cuda:0 (block emulator), float16" in repr(model)
    again = pickle.loads(pickle.dumps(model))
    assert repr(again) == repr(model)
    x = batch_for(model.graph, 1)
    np.testing.assert_array_equal(again.run(x), model.run(x))
    assert "cuda:0" in repr(pycnn.load("lenet5", device="auto"))


def test_profile() -> None:
    plan = on_device(small_resnet()).compile(1)
    steps = plan.profile([batch_for(small_resnet(), 1)])
    assert [name for name, _ in steps] == plan.program.names
    assert all(seconds >= 0 for _, seconds in steps)


# Device arrays ------------------------------------------------------------------------------------


class Foreign:
    """Another library's array in device memory, which is host memory here."""

    def __init__(self, array: Any, **changed: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": None,
            "version": 3,
            "stream": 1,
            **changed,
        }


def test_device_arrays_by_the_cuda_array_interface() -> None:
    graph = small_inception()
    x = batch_for(graph, 2)
    model = on_device(graph)
    got: Any = model.run(Foreign(x))
    np.testing.assert_array_equal(got.numpy(), model.run(x))
    assert got.__cuda_array_interface__["shape"] == (2, 10)
    kept, other = got.numpy(), 2 * x
    model.run(Foreign(other)).numpy()
    np.testing.assert_array_equal(got.numpy(), kept)  # results are the caller's own


def test_runs_on_different_streams_come_one_after_the_other() -> None:
    """They share an arena, and one begins before another has ended unless it is made to wait."""
    graph = small_resnet()
    model = on_device(graph)
    batches = [batch_for(graph, 2, seed) for seed in range(6)]
    expected = [model.run(x) for x in batches]
    results: list[Any] = [
        model.run(Foreign(x, stream=stream)) for stream, x in enumerate(batches, start=1)
    ]
    for got, wanted in zip(reversed(results), reversed(expected), strict=True):
        np.testing.assert_array_equal(got.numpy(), wanted)


def test_a_model_goes_while_its_runs_are_under_way() -> None:
    graph = small_resnet()
    x = batch_for(graph, 1)
    model = on_device(graph)
    expected = model.run(x)
    got: Any = model.run(Foreign(x))
    del model
    gc.collect()
    np.testing.assert_array_equal(got.numpy(), expected)


def test_device_arrays_by_dlpack() -> None:
    """What one run gives, another takes, by the protocol that torch and CuPy speak."""
    graph = graph_of(lambda g, x: g.relu("y", g.conv2d("a", x, 3, 1)), (3, 8, 8))
    x = batch_for(graph, 1)
    model = on_device(graph)
    once: Any = model.run(Foreign(x))
    assert once.__dlpack_device__() == (2, 0)

    class Tensor:
        __dlpack__, __dlpack_device__ = once.__dlpack__, once.__dlpack_device__

    twice: Any = model.run(Tensor())
    np.testing.assert_array_equal(twice.numpy(), model.run(model.run(x)))
    once.__dlpack__(stream=7)  # nobody takes it: it is freed
    with pytest.raises(BufferError, match="same device"):
        once.__dlpack__(dl_device=(1, 0))


def test_half_precision_arrays() -> None:
    graph = small_inception()
    x = batch_for(graph, 1).astype(np.float16)
    model = on_device(graph, "float16")
    got: Any = model.run(Foreign(x))
    expected = model_of(graph).run(x.astype(np.float32))
    assert_near(got.numpy(), expected, tolerances.DEVICE_LOGITS["float16"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"typestr": "<f8"}, "expected float32 or float16, got <f8"),
        ({"strides": (4, 4, 4, 4)}, "C-contiguous"),
        ({"shape": (3, 23, 23)}, r"expected a batch \(N, C, H, W\)"),
        ({"shape": (1, 4, 23, 23)}, "conv1"),
    ],
    ids=str,
)
def test_a_device_array_that_does_not_fit(changed: dict[str, Any], message: str) -> None:
    model = on_device(small_inception())
    with pytest.raises(ShapeError, match=message):
        model.run(Foreign(batch_for(model.graph, 1), **changed))


def _run_in_child(model: pycnn.Model, x: Any, results: Any) -> None:
    try:
        results.put(model.run(x))
    except DeviceError as error:
        results.put(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_fork_is_told() -> None:
    model = on_device(small_resnet())
    x = batch_for(model.graph, 1)
    model.run(x)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_run_in_child, args=(model, x, results))
    child.start()
    assert "used CUDA and was then forked" in results.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
