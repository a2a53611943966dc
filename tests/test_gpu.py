"""On a real GPU: every op and network, in every dtype; `make gpu-test` runs this alone.

Without one all of it is skipped, with the reason. The same program runs under the emulator in
test_cuda_program.py.
"""

from __future__ import annotations

import functools
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
)

import pycnn
from pycnn import DeviceError, models
from pycnn.cuda.device import DTYPES, missing, support

REASON = missing(support())
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no GPU: {REASON}")

NETWORKS = [variant.id for variant in models.variants()]


def assert_logits(got: Any, expected: Any, dtype: str) -> None:
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert error <= tolerances.DEVICE_LOGITS[dtype], f"{error:.3g}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_op(case: str, dtype: str, poison: int) -> None:
    graph = graph_of(CASES[case])
    x = batch_for(graph, 2)
    expected = model_of(graph).run(x)
    model = model_of(graph, device="cuda", dtype=dtype)
    (got,) = model._run(x, graph.outputs, poison=poison).values()
    assert got.shape == expected.shape
    assert tolerances.rms_error(got, expected) <= tolerances.DEVICE_OP[dtype]


@functools.lru_cache(maxsize=1)  # the dtypes of a network come one after the other
def weights_and_reference(name: str) -> tuple[Any, Any, Any]:
    """A network's weights, a batch, and what the CPU makes of it."""
    torch = pytest.importorskip("torch")
    from alive import randomise
    from torch_networks import build, weights

    net = randomise(build(name), seed=42)
    given = weights(net)
    x = torch.randn(2, *net.input_shape, generator=torch.Generator().manual_seed(7)).numpy()
    return given, x, pycnn.load(name, weights=given).run(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, dtype: str) -> None:
    given, x, expected = weights_and_reference(name)
    assert_logits(
        pycnn.load(name, weights=given, device="cuda", dtype=dtype).run(x), expected, dtype
    )


@pytest.mark.parametrize("batch", [1, 3, 70])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_from_run_to_run(dtype: str, batch: int) -> None:
    graph = small_inception()
    x = batch_for(graph, batch)
    model = model_of(graph, device="cuda", dtype=dtype)
    first = model.run(x)
    for _ in range(20):
        np.testing.assert_array_equal(model.run(x), first)
    assert_logits(first, model_of(graph).run(x), dtype)


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_device_arrays(library: str) -> None:
    xp = pytest.importorskip(library)
    graph = small_inception()
    x = batch_for(graph, 4)
    model = model_of(graph, device="cuda", dtype="float16")
    there = xp.asarray(x, device="cuda") if library == "torch" else xp.asarray(x)
    results = [model.run(there) for _ in range(10)]
    assert type(results[0]) is type(there)
    for got in results:
        on_host = got.cpu().numpy() if library == "torch" else xp.asnumpy(got)
        np.testing.assert_array_equal(on_host, model.run(x))


def test_a_stream_of_the_callers() -> None:
    """What is queued before a run on a stream of torch's is seen by it, and so on after it."""
    torch = pytest.importorskip("torch")
    graph = small_inception()
    x = batch_for(graph, 4)
    model = model_of(graph, device="cuda", dtype="float32")
    expected = model.run(x)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(20):
            late = torch.zeros(x.shape, device="cuda")
            torch.cuda._sleep(1_000_000)
            late.copy_(torch.from_numpy(x))
            doubled = 2 * model.run(late)
            np.testing.assert_array_equal(doubled.cpu().numpy(), 2 * expected)


def test_out_of_memory_leaves_the_model_usable() -> None:
    graph = small_inception()
    x = batch_for(graph, 2)
    model = model_of(graph, device="cuda", dtype="float32")
    expected = model.run(x)
    large = model_of(large_activations(), device="cuda", dtype="float32")
    with pytest.raises(DeviceError, match=r"out of device memory: \d+ bytes wanted"):
        large.compile(8000).submit([batch_for(large.graph, 8000)])  # 512 GiB
    np.testing.assert_array_equal(model.run(x), expected)


def test_memory_is_what_is_taken() -> None:
    torch = pytest.importorskip("torch")
    model = pycnn.load("resnet50", weights="random", device="cuda", dtype="float16")
    x = torch.zeros(32, 3, 224, 224, device="cuda")
    before, _ = torch.cuda.mem_get_info()
    model.run(x)
    torch.cuda.synchronize()
    after, _ = torch.cuda.mem_get_info()
    memory = model.memory(32)
    known = memory.weights_bytes + memory.activation_bytes + memory.output_bytes
    assert known <= before - after <= known + (256 << 20)  # kernels' code, the graph, pages
