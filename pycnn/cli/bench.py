"""``pycnn bench``."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from pycnn.cli.common import (
    Device,
    Dtype,
    Isa,
    Json,
    NameOrFile,
    Options,
    Threads,
    Weights,
    load_model,
    print_json,
    print_table,
)


def bench(
    name: NameOrFile,
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 1,
    runs: Annotated[
        int, typer.Option(min=1, help="Runs that count, after one that does not.")
    ] = 20,
    weights: Weights = None,
    threads: Threads = None,
    isa: Isa = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Time the network on random input; random weights where none are at hand."""
    import numpy as np

    from pycnn import active_isa

    model = load_model(
        name,
        weights,
        option,
        threads=threads,
        isa=isa,
        device=device,
        dtype=dtype,
        random_if_none=True,
    )
    (size,) = model.graph.inputs.values()
    x = np.random.default_rng(0).standard_normal((batch, *size), np.float32)
    first_s = _seconds(model, x)  # compiles the plan, packs the weights
    _seconds(model, x)
    times_s = np.array([_seconds(model, x) for _ in range(runs)])
    macs, memory = model.summary(batch).macs, model.memory(batch)
    p10, median, p90 = np.percentile(times_s, [10, 50, 90])
    result = {
        "model": model.name,
        "weights": model.weights_origin,
        "batch": batch,
        "threads": model.threads,
        "isa": isa or active_isa(),
        "device": device,
        "dtype": dtype,
        "runs": runs,
        "first_run_ms": 1e3 * first_s,
        "min_ms": 1e3 * float(times_s.min()),
        "p10_ms": 1e3 * float(p10),
        "median_ms": 1e3 * float(median),
        "p90_ms": 1e3 * float(p90),
        "images_per_s": batch / float(median),
        "macs": macs,
        "gflops": 2e-9 * macs / float(median),
        "weights_bytes": memory.weights_bytes,
        "activation_bytes": memory.activation_bytes,
    }
    if as_json:
        print_json(result)
        return
    lines = {
        "weights": model.weights_origin,
        "batch, threads": f"{batch}, {model.threads}",
        "instruction set": str(result["isa"]),
        "first run": f"{result['first_run_ms']:.2f} ms, with compiling and packing",
        "median": f"{result['median_ms']:.3f} ms of {runs} runs",
        "min, p10, p90": ", ".join(f"{result[key]:.3f}" for key in ("min_ms", "p10_ms", "p90_ms")),
        "images/s": f"{result['images_per_s']:.1f}",
        "GFLOP/s": f"{result['gflops']:.1f} (2 x MACs)",
        "memory": f"{memory.weights_bytes / 1e6:.1f} MB weights, "
        f"{memory.activation_bytes / 1e6:.1f} MB activations",
    }
    print_table((model.name, ""), lines.items())


def _seconds(model: Any, x: Any) -> float:
    start = time.perf_counter()
    model.run(x)
    return time.perf_counter() - start
