"""`python -m benchmarks.peers.prepare NETWORK FILE...`: writes the files that the engines load.

Into build/benchmarks/peers/NETWORK/: the same weights in each engine's own form, an input, and
the logits that PyTorch computes for it in float64.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.peers.definitions import Inference, Net

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "benchmarks" / "peers"
INPUT, LOGITS = "input.npy", "logits.npy"
SAFETENSORS, ONNX, OPENVINO = "weights.safetensors", "net.onnx", "openvino.xml"
NCNN, MNN, TORCH, TORCHSCRIPT = "net.ncnn.param", "net.mnn", "torch.pt", "torchscript.pt"
MAX_BATCH = 16


def folder(network: str, files: Iterable[str]) -> Path:
    """Where these files of a network lie; a process of its own writes those that are not there."""
    path = FOLDER / network
    stamp, made_by = path / "made_by", _made_by()
    if not stamp.exists() or stamp.read_text() != made_by:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        stamp.write_text(made_by)
    missing = [name for name in (*files, LOGITS) if not (path / name).exists()]
    if missing:
        command = [sys.executable, "-m", __spec__.name, network, *missing]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # the converters talk
    return path


def _made_by() -> str:
    """Changes with whatever makes the files."""
    here, tests = Path(__file__).parent, ROOT / "tests"
    own = [here / name for name in ("definitions.py", "onnx_file.py", "prepare.py")]
    sources = [*own, tests / "alive.py", tests / "torch_networks.py"]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def prepare(network: str, files: Iterable[str]) -> None:
    """Write these files of a network."""
    import torch

    from benchmarks.peers import definitions

    path = FOLDER / network
    net = definitions.network(network)
    shape = (MAX_BATCH, *net.input_shape)
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    if LOGITS in files:
        np.save(path / INPUT, x)
        _logits(net, torch.from_numpy(x), path / LOGITS)
    if SAFETENSORS in files:
        from safetensors.numpy import save_file

        arrays = definitions.weights(net).items()
        save_file({k: np.ascontiguousarray(v) for k, v in arrays}, path / SAFETENSORS)

    inference = definitions.Inference(net).requires_grad_(False)
    if ONNX in files:
        _onnx(inference, path / ONNX)
    if OPENVINO in files:
        _openvino(inference, path / OPENVINO)
    if TORCHSCRIPT in files:
        _torchscript(inference, path / TORCHSCRIPT)
    if NCNN in files:
        _ncnn(inference, path / NCNN)
    if MNN in files:
        _mnn(inference, path / MNN)
    if TORCH in files:
        torch.save(inference.to(memory_format=torch.channels_last), path / TORCH)


def _logits(net: Net, x: Any, path: Path) -> None:
    import torch

    exact = copy.deepcopy(net).double()
    with torch.inference_mode():  # image by image: a batch in float64 takes much memory
        np.save(path, np.concatenate([exact(image).numpy() for image in x.double().split(1)]))


def _onnx(net: Inference, path: Path) -> None:
    from benchmarks.peers import onnx_file

    onnx_file.write(net, path)


def _openvino(net: Inference, path: Path) -> None:
    import openvino

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        onnx = Path(scratch, ONNX)
        _onnx(net, onnx)
        openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)


def _torchscript(net: Inference, path: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(net, torch.zeros(1, *net.input_shape))
        torch.jit.save(traced, path)


def _ncnn(net: Inference, path: Path) -> None:
    import pnnx

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        torchscript = Path(scratch, TORCHSCRIPT)
        _torchscript(net, torchscript)
        size = ",".join(map(str, net.input_shape))
        command = [pnnx.EXEC_PATH, torchscript, f"inputshape=[1,{size}]", "fp16=0"]
        for kind in ("pnnxparam", "pnnxbin", "pnnxpy", "pnnxonnx", "ncnnpy"):
            command.append(f"{kind}={Path(scratch, kind)}")
        command += [f"ncnnbin={path.with_suffix('.bin')}", f"ncnnparam={path}"]
        subprocess.run(command, check=True, capture_output=True)


def _mnn(net: Inference, path: Path) -> None:
    import _tools  # MNN's converter; its command-line tools would install packages and call home

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        onnx = Path(scratch, ONNX)
        _onnx(net, onnx)
        arguments = ["--modelFile", str(onnx), "--MNNModel", str(path), "--bizCode", "pycnn"]
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *arguments])


if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2:])
