"""
pycnn's engine: ops, programs, threads. Use it through the pycnn package.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['CHANNEL_BLOCK', 'Conv2dParams', 'PackedChannelAffine', 'PackedConstant', 'PackedConv2d', 'PackedRbf', 'Pool2dParams', 'Program', 'Task', 'TensorRef', 'activation_task', 'active_isa', 'add_task', 'available_isas', 'binary_output_shape', 'binary_task', 'channel_affine_pack', 'channel_affine_task', 'constant_pack', 'conv2d_can_max_pool', 'conv2d_output_shape', 'conv2d_pack', 'conv2d_packed_bytes', 'conv2d_packing', 'conv2d_select', 'conv2d_task', 'conv2d_winograd', 'conv2d_workspace_elems', 'copy_channels_task', 'default_num_threads', 'gather_task', 'layout_task', 'linear_output_shape', 'linear_task', 'lrn_output_shape', 'lrn_task', 'permute_task', 'pool2d_output_shape', 'pool2d_task', 'rbf_pack', 'rbf_task', 'render_images', 'require_isa', 'softmax_task', 'storage_elems', 'uniforms']
class TensorRef:
    """
    A tensor of a program: `offset` elements into a buffer (0 is the arena, then the inputs, then the outputs).
    """
    def __init__(self, buffer: typing.SupportsInt | typing.SupportsIndex, offset: typing.SupportsInt | typing.SupportsIndex, shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], blocked: bool = True, buffer_channels: typing.SupportsInt | typing.SupportsIndex = 0) -> None:
        ...
    @property
    def shape(self) -> tuple[int, int, int, int]:
        ...
class Task:
    """
    One step: a kernel with its arguments.
    """
    @property
    def units(self) -> int:
        ...
    @property
    def work(self) -> int:
        ...
class Program:
    """
    A flat list of tasks over one arena, run in one call.
    """
    def __init__(self, arena_elems: typing.SupportsInt | typing.SupportsIndex, input_elems: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], output_elems: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> None:
        ...
    def add(self, name: str, task: Task, stage: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Tasks of one stage run side by side; stages are added in ascending order.
        """
    def bytes(self, threads: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        Of the arena and the threads' workspaces, for one run.
        """
    def profile(self, inputs: collections.abc.Sequence[numpy.ndarray], outputs: collections.abc.Sequence[numpy.ndarray], threads: typing.SupportsInt | typing.SupportsIndex) -> list[float]:
        """
        Runs as `run` does; gives the seconds of each task, in the order of `names`.
        """
    def run(self, inputs: collections.abc.Sequence[numpy.ndarray], outputs: collections.abc.Sequence[numpy.ndarray], threads: typing.SupportsInt | typing.SupportsIndex, poison: typing.SupportsInt | typing.SupportsIndex | None = None) -> None:
        """
        Runs all tasks without the GIL; writes into `outputs`.
        """
    def trim(self) -> None:
        ...
    @property
    def names(self) -> list[str]:
        ...
    @property
    def work(self) -> int:
        ...
class Conv2dParams:
    def __init__(self, *, stride: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"], padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(4)"], dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"], groups: typing.SupportsInt | typing.SupportsIndex, relu: bool = False, max_pool: bool = False, algorithm: str = 'auto') -> None:
        ...
class PackedConv2d:
    @property
    def bytes(self) -> int:
        ...
class Pool2dParams:
    def __init__(self, *, kind: str, kernel_size: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"], stride: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"], padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(4)"], ceil_mode: bool, count_include_pad: bool, window_rule: str) -> None:
        ...
class PackedConstant:
    @property
    def bytes(self) -> int:
        ...
class PackedChannelAffine:
    @property
    def bytes(self) -> int:
        ...
class PackedRbf:
    @property
    def bytes(self) -> int:
        ...
def activation_task(kind: str, alpha: typing.SupportsFloat | typing.SupportsIndex, beta: typing.SupportsFloat | typing.SupportsIndex, x: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def active_isa() -> str:
    """
    The instruction set in use: the machine's best, or PYCNN_CPU_ISA.
    """
def add_task(relu: bool, a: TensorRef, b: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def available_isas() -> list[str]:
    """
    The instruction sets that this machine can run, worst to best.
    """
def binary_output_shape(a: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], b: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> tuple[int, int, int, int]:
    ...
def binary_task(kind: str, alpha: typing.SupportsFloat | typing.SupportsIndex, beta: typing.SupportsFloat | typing.SupportsIndex, relu: bool, a: TensorRef | None, b: TensorRef | None, constant: PackedConstant, y: TensorRef, isa: str) -> Task:
    ...
def channel_affine_pack(scale: numpy.ndarray, shift: numpy.ndarray) -> PackedChannelAffine:
    ...
def channel_affine_task(relu: bool, x: TensorRef, packed: PackedChannelAffine, y: TensorRef, isa: str) -> Task:
    ...
def constant_pack(values: numpy.ndarray, shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> PackedConstant:
    ...
def conv2d_can_max_pool(algorithm: str) -> bool:
    ...
def conv2d_output_shape(params: Conv2dParams, x: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], weight: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> tuple[int, int, int, int]:
    ...
def conv2d_pack(weight: numpy.ndarray, bias: numpy.ndarray | None, algorithm: str = 'direct', scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None = None, let_go: bool = False, threads: typing.SupportsInt | typing.SupportsIndex = 0) -> PackedConv2d:
    """
    `let_go`: of the weight's pages, which must be those of a read-only mapping of a file.
    """
def conv2d_packed_bytes(weight: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], algorithm: str) -> int:
    ...
def conv2d_packing(algorithm: str) -> str:
    """
    What the weights are packed for; algorithms may share a form.
    """
def conv2d_select(params: Conv2dParams, x: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], weight: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], optimize: str = 'latency', winograd: bool = True) -> str:
    ...
def conv2d_task(params: Conv2dParams, x: TensorRef, packed: PackedConv2d, residual: TensorRef | None, y: TensorRef, isa: str) -> Task:
    ...
def conv2d_winograd(algorithm: str) -> tuple[int, int, bool] | None:
    """
    Side of a tile of the output, products of a tile, whether the packed weights are transformed; None where it is none of Winograd's.
    """
def conv2d_workspace_elems(params: Conv2dParams, x: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], weight: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> int:
    ...
def copy_channels_task(offset: typing.SupportsInt | typing.SupportsIndex, stride: typing.SupportsInt | typing.SupportsIndex, fill: bool, x: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def default_num_threads() -> int:
    """
    min(affinity, cgroup quota, cores), or PYCNN_NUM_THREADS.
    """
def gather_task(channels: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], rows: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], columns: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], fill: typing.SupportsFloat | typing.SupportsIndex, x: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def layout_task(x: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def linear_output_shape(x: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], weight: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> tuple[int, int, int, int]:
    ...
def linear_task(relu: bool, x: TensorRef, packed: PackedConv2d, y: TensorRef, isa: str) -> Task:
    ...
def lrn_output_shape(before: typing.SupportsInt | typing.SupportsIndex, after: typing.SupportsInt | typing.SupportsIndex, alpha: typing.SupportsFloat | typing.SupportsIndex, beta: typing.SupportsFloat | typing.SupportsIndex, k: typing.SupportsFloat | typing.SupportsIndex, x: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> tuple[int, int, int, int]:
    ...
def lrn_task(before: typing.SupportsInt | typing.SupportsIndex, after: typing.SupportsInt | typing.SupportsIndex, alpha: typing.SupportsFloat | typing.SupportsIndex, beta: typing.SupportsFloat | typing.SupportsIndex, k: typing.SupportsFloat | typing.SupportsIndex, x: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def permute_task(dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], perm: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], x: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def pool2d_output_shape(params: Pool2dParams, x: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> tuple[int, int, int, int]:
    ...
def pool2d_task(params: Pool2dParams, x: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def rbf_pack(weight: numpy.ndarray) -> PackedRbf:
    ...
def rbf_task(x: TensorRef, packed: PackedRbf, y: TensorRef, isa: str) -> Task:
    ...
def render_images(out: numpy.ndarray, images: numpy.ndarray, index: numpy.ndarray, affine: numpy.ndarray, grid: numpy.ndarray | None, colour: numpy.ndarray | None, table: numpy.ndarray, gain: numpy.ndarray, offset: numpy.ndarray, reversed: bool, border: str, fill: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Write images (n, C, P, Q) float32: see csrc/image/render.h. Starts no thread.
    """
def require_isa(name: str) -> None:
    """
    DeviceError when there is no such instruction set, or not here.
    """
def softmax_task(log: bool, x: TensorRef, y: TensorRef, isa: str) -> Task:
    ...
def storage_elems(shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], blocked: bool = True) -> int:
    """
    Elements of memory that a tensor takes; ShapeError when that is beyond any machine.
    """
def uniforms(seed: typing.SupportsInt | typing.SupportsIndex, epoch: typing.SupportsInt | typing.SupportsIndex, samples: numpy.ndarray, count: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    float64 (n, count) in [0, 1): Philox, keyed by seed, epoch, sample.
    """
CHANNEL_BLOCK: int = 16
__version__: str = '0.1.0'
