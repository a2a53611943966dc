"""The runtimes, each at its best: float32 NCHW NumPy in, NumPy logits out.

An engine is imported in a process of its own only (worker.py). How each is best used was tried on
the networks here; what lost is said beside it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers import prepare

Array = npt.NDArray[np.float32]
Run = Callable[[Array], Array]
Open = Callable[[Path, int, int], Run]  # file, batch, threads


@dataclass(frozen=True)
class Engine:
    """How a runtime is used.

    Attributes
    ----------
    distribution
        Its name on the package index, for the version.
    load
        Imports it and gives `open(file, batch, threads) -> run`.
    file
        The network's file that it opens.
    settings
        What was set, for the report.
    float32
        False for rows apart: by default the runtime computes in less.
    avx2
        Environment that holds it to AVX2; None where it has no such switch.
    """

    distribution: str
    load: Callable[[], Open]
    file: str
    settings: str
    float32: bool = True
    avx2: dict[str, str] | None = None


def installed(name: str) -> bool:
    """Whether the engine's package is there."""
    try:
        metadata.version(ENGINES[name].distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def environment(name: str, threads: int, isa: str) -> dict[str, str]:
    """Environment of an engine's process: threads, and AVX2 where pycnn is held to it."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        # What inductor compiled for one instruction set computes nonsense under another.
        "TORCHINDUCTOR_CACHE_DIR": str(prepare.FOLDER / f"inductor-{isa}"),
        **((ENGINES[name].avx2 or {}) if isa == "avx2" else {}),
    }


def _pycnn() -> Open:
    import pycnn

    def open_file(file: Path, batch: int, threads: int) -> Run:
        optimize = "latency" if batch == 1 else "throughput"
        return pycnn.load(file.parent.name, weights=file, threads=threads, optimize=optimize).run

    return open_file


def _onnxruntime() -> Open:
    import onnxruntime as ort

    def open_file(file: Path, batch: int, threads: int) -> Run:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_free_dimension_override_by_name("N", batch)
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"data": x})[0]

    return open_file


def _openvino(precision: str | None) -> Open:
    import openvino

    def open_file(file: Path, batch: int, threads: int) -> Run:
        core = openvino.Core()
        model = core.read_model(file)
        shape = model.inputs[0].partial_shape
        shape[0] = batch
        model.reshape(shape)
        # At batch 16 THROUGHPUT with two streams of 8 images, or of one image after another, came
        # within 7 % on either side.
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if precision is not None:
            config["INFERENCE_PRECISION_HINT"] = precision
        request = core.compile_model(model, "CPU", config).create_infer_request()

        def run(x: Array) -> Array:
            request.infer([x], share_inputs=True)
            return request.get_output_tensor().data.copy()

        return run

    return open_file


def _ncnn(half: bool) -> Open:
    import ncnn

    def open_file(file: Path, batch: int, threads: int) -> Run:
        # It knows no batch. One image to a thread is 2 to 16 % faster than one after the other.
        parallel = threads if batch > 1 else 1
        net = ncnn.Net()
        net.opt.num_threads = threads // parallel
        if not half:
            net.opt.use_fp16_packed = False
            net.opt.use_fp16_storage = False
            net.opt.use_fp16_arithmetic = False
        net.load_param(str(file))
        net.load_model(str(file.with_suffix(".bin")))

        def one(image: Array) -> Array:
            extractor = net.create_extractor()
            extractor.input("in0", ncnn.Mat(image))
            return np.array(extractor.extract("out0")[1])

        if parallel == 1:
            return lambda x: np.stack([one(image) for image in x])
        pool = ThreadPoolExecutor(parallel)
        return lambda x: np.stack(list(pool.map(one, x)))

    return open_file


def _mnn() -> Open:
    import MNN.expr
    import MNN.nn

    def open_file(file: Path, batch: int, threads: int) -> Run:
        config = {"backend": "CPU", "precision": "high", "numThread": threads}
        net = MNN.nn.load_module_from_file(
            str(file),
            ["data"],
            ["logits"],
            runtime_manager=MNN.nn.create_runtime_manager((config,)),
            shape_mutable=False,
        )

        def run(x: Array) -> Array:
            data = MNN.expr.placeholder(list(x.shape), MNN.expr.NCHW)
            data.write(x)
            return np.array(MNN.expr.convert(net.forward(data), MNN.expr.NCHW).read())

        return run

    return open_file


def _torch(form: str) -> Open:
    import torch

    def open_file(file: Path, batch: int, threads: int) -> Run:
        torch.set_num_threads(threads)
        memory_format = torch.channels_last
        if form == "frozen":
            memory_format = torch.contiguous_format
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript
                net = torch.jit.freeze(torch.jit.load(file).eval())
                net = torch.jit.optimize_for_inference(net)
        else:
            net = torch.load(file, mmap=True, weights_only=False)
        if form == "inductor":
            net = torch.compile(net, options={"freezing": True})

        def run(x: Array) -> Array:
            with torch.inference_mode():
                return net(torch.from_numpy(x).to(memory_format=memory_format)).numpy()

        return run

    return open_file


_ONEDNN = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
_TORCH = {**_ONEDNN, "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}

# Their order is that of a turn.
ENGINES = {
    "pycnn": Engine("pycnn", _pycnn, prepare.SAFETENSORS, "Winograd where it is faster", avx2={}),
    "onnxruntime": Engine(
        "onnxruntime", _onnxruntime, prepare.ONNX, "all optimisations, sequential"
    ),
    "openvino": Engine(
        "openvino", lambda: _openvino("f32"), prepare.OPENVINO, "latency, f32 hint", avx2=_ONEDNN
    ),
    "ncnn": Engine(
        "ncnn", lambda: _ncnn(half=False), prepare.NCNN, "fp16 storage, packing, arithmetic off"
    ),
    "mnn": Engine("MNN", _mnn, prepare.MNN, "high precision"),
    "torch_eager": Engine(
        "torch", lambda: _torch("eager"), prepare.TORCH, "channels_last", avx2=_TORCH
    ),
    "torch_frozen": Engine(
        "torch", lambda: _torch("frozen"), prepare.TORCHSCRIPT, "frozen TorchScript", avx2=_TORCH
    ),
    "torch_inductor": Engine(
        "torch", lambda: _torch("inductor"), prepare.TORCH, "inductor, freezing", avx2=_TORCH
    ),
    "openvino_default": Engine(
        "openvino",
        lambda: _openvino(None),
        prepare.OPENVINO,
        "latency, its default precision",
        float32=False,
        avx2=_ONEDNN,
    ),
    "ncnn_default": Engine(
        "ncnn", lambda: _ncnn(half=True), prepare.NCNN, "its default precision", float32=False
    ),
}
