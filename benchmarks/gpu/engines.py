"""pycnn and PyTorch on a GPU, each at its best: float32 NCHW on the device in, float32 logits out.

The change of layout and of precision is part of what is timed, for everybody.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import pycnn
from benchmarks.gpu.clock import Clock, torch_dtype
from benchmarks.peers.definitions import Inference, Net, weights

Run = Callable[[], Tensor]  # on the input that it was made for


@dataclass(frozen=True)
class Job:
    """What an engine is to run."""

    name: str
    net: Net
    x: Tensor
    dtype: str
    clock: Clock


def _pycnn(job: Job) -> Run:
    on_gpu = job.clock.device == "cuda"
    how = {"device": "cuda", "dtype": job.dtype} if on_gpu else {}
    model = pycnn.load(job.name, weights=weights(job.net), check_input=False, **how)
    if on_gpu:
        return lambda: model.run(job.x)
    x = job.x.numpy()
    return lambda: torch.from_numpy(model.run(x))


class _Mixed(nn.Module):
    """A network in another precision and NHWC, between float32 NCHW and float32."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.dtype = torch_dtype(job.dtype)
        network = Inference(copy.deepcopy(job.net)).to(job.clock.device, self.dtype)
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        y: Tensor = self.network(x.to(self.dtype, memory_format=torch.channels_last))
        return y.float()


def _set_flags(job: Job) -> None:
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = job.dtype == "tf32"


def _torch_graph(job: Job) -> Run:
    _set_flags(job)
    network = _Mixed(job)
    if job.clock.device != "cuda":
        return lambda: network(job.x)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # cuDNN tries its algorithms here
            network(job.x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = network(job.x)

    def run() -> Tensor:
        graph.replay()
        return y

    return run


def _torch_compile(job: Job) -> Run:
    _set_flags(job)
    torch.compiler.reset()  # it gives up compiling a module after some instances of it
    network = torch.compile(_Mixed(job), mode="max-autotune")
    return lambda: network(job.x)


ENGINES: dict[str, Callable[[Job], Run]] = {
    "pycnn": _pycnn,
    "torch_graph": _torch_graph,
    "torch_compile": _torch_compile,
}
