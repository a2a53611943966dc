"""
pycnn's programs on NVIDIA GPUs. Use them through the pycnn package.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import pycnn._core
import typing
import typing_extensions
__all__: list[str] = ['ARCHITECTURES', 'ConvPlan', 'Device', 'DeviceBuffer', 'DeviceTensor', 'Program', 'Task', 'TensorRef', 'Ticket', 'VECTOR_BYTES', 'activation_task', 'add_task', 'binary_task', 'channel_affine_task', 'conv2d_pack', 'conv2d_select', 'conv2d_task', 'copy_channels_task', 'flatten_task', 'gather_task', 'layout_task', 'lrn_task', 'make_wait', 'permute_task', 'pool2d_task', 'rbf_task', 'softmax_task', 'support', 'upload', 'upload_indices', 'upload_tensor']
class TensorRef:
    """
    A tensor of a program: bytes into a buffer (0 is the arena, then the inputs, then the outputs). A pitch of 0 is dense NCHW, any other the elements between pixels.
    """
    def __init__(self, buffer: typing.SupportsInt | typing.SupportsIndex, offset_bytes: typing.SupportsInt | typing.SupportsIndex, shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], pitch: typing.SupportsInt | typing.SupportsIndex, dtype: str) -> None:
        ...
    @property
    def buffer(self) -> int:
        ...
    @property
    def offset_bytes(self) -> int:
        ...
    @property
    def pitch(self) -> int:
        ...
    @property
    def shape(self) -> tuple[int, int, int, int]:
        ...
class Task:
    """
    One step: a launch with its arguments.
    """
    @property
    def workspace_bytes(self) -> int:
        ...
class Ticket:
    """
    A run with host memory that was submitted.
    """
class Program:
    """
    Steps over one arena of a device, run in one call.
    """
    def __init__(self, device: typing.SupportsInt | typing.SupportsIndex, overlap: bool, arena_bytes: typing.SupportsInt | typing.SupportsIndex, input_bytes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], output_bytes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> None:
        ...
    def add(self, name: str, task: Task, stage: typing.SupportsInt | typing.SupportsIndex, workspace_offset: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Steps of one stage may run side by side; stages are added in ascending order.
        """
    def collect(self, ticket: Ticket, outputs: collections.abc.Sequence[numpy.ndarray]) -> None:
        """
        Waits for a run and writes into `outputs`.
        """
    def enqueue(self, inputs: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], outputs: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], stream: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Queues a run on device memory, at these addresses, and returns at once.
        """
    def profile(self, inputs: collections.abc.Sequence[numpy.ndarray]) -> list[float]:
        """
        Runs step after step; gives the seconds of each, in the order of `names`.
        """
    def submit(self, inputs: collections.abc.Sequence[numpy.ndarray], poison: typing.SupportsInt | typing.SupportsIndex | None = None) -> Ticket:
        """
        Begins a run on float32 arrays, which have been read when it returns.
        """
    def trim(self) -> None:
        ...
    @property
    def captured(self) -> list[str]:
        """
        Names of the steps that are launched as one CUDA graph.
        """
    @property
    def names(self) -> list[str]:
        ...
class DeviceTensor:
    """
    A dense tensor in device memory.
    """
    @staticmethod
    def empty(shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], device: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex) -> DeviceTensor:
        """
        New float32 memory, ordered on a stream, which must outlive it.
        """
    @staticmethod
    def from_capsule(capsule: typing_extensions.CapsuleType) -> DeviceTensor:
        ...
    def numpy(self, stream: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy on the host, after all that is queued on the stream.
        """
    def to_capsule(self) -> typing_extensions.CapsuleType:
        ...
    @property
    def address(self) -> int:
        ...
    @property
    def device(self) -> int:
        ...
    @property
    def dtype(self) -> str:
        ...
    @property
    def shape(self) -> list[int]:
        ...
class DeviceBuffer:
    """
    Device memory that plans share.
    """
    @property
    def bytes(self) -> int:
        ...
class Device:
    """
    What the choice of a convolution's algorithm looks at.
    """
    def __init__(self, *, major: typing.SupportsInt | typing.SupportsIndex, minor: typing.SupportsInt | typing.SupportsIndex, sm_count: typing.SupportsInt | typing.SupportsIndex, max_shared_bytes: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class ConvPlan:
    """
    All that is decided about one convolution.
    """
    @property
    def algorithm(self) -> str:
        ...
    @property
    def packed_bytes(self) -> int:
        ...
    @property
    def packing(self) -> tuple[str, bool, int]:
        ...
    @property
    def split_k(self) -> int:
        ...
    @property
    def tile(self) -> int:
        ...
    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        ...
    @property
    def workspace_bytes(self) -> int:
        ...
def activation_task(kind: str, alpha: typing.SupportsFloat | typing.SupportsIndex, beta: typing.SupportsFloat | typing.SupportsIndex, x: TensorRef, y: TensorRef) -> Task:
    ...
def add_task(relu: bool, a: TensorRef, b: TensorRef, y: TensorRef) -> Task:
    ...
def binary_task(kind: str, alpha: typing.SupportsFloat | typing.SupportsIndex, beta: typing.SupportsFloat | typing.SupportsIndex, relu: bool, a: TensorRef | None, b: TensorRef | None, constant: DeviceBuffer, constant_shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], y: TensorRef) -> Task:
    ...
def channel_affine_task(relu: bool, x: TensorRef, scale: DeviceBuffer, shift: DeviceBuffer, y: TensorRef) -> Task:
    ...
def conv2d_pack(plan: ConvPlan, weight: numpy.ndarray, scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None, device: typing.SupportsInt | typing.SupportsIndex) -> DeviceBuffer:
    ...
def conv2d_select(params: pycnn._core.Conv2dParams, x: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], weight: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], dtype: str, x_nchw: bool, aligned: bool, device: Device, algorithm: str | None = None) -> ConvPlan:
    ...
def conv2d_task(plan: ConvPlan, x: TensorRef, weights: DeviceBuffer, bias: DeviceBuffer, residual: TensorRef | None, y: TensorRef) -> Task:
    ...
def copy_channels_task(offset: typing.SupportsInt | typing.SupportsIndex, stride: typing.SupportsInt | typing.SupportsIndex, fill: bool, x: TensorRef, y: TensorRef) -> Task:
    ...
def flatten_task(x: TensorRef, y: TensorRef) -> Task:
    ...
def gather_task(indices: DeviceBuffer, fill: typing.SupportsFloat | typing.SupportsIndex, x: TensorRef, y: TensorRef) -> Task:
    ...
def layout_task(x: TensorRef, y: TensorRef) -> Task:
    ...
def lrn_task(before: typing.SupportsInt | typing.SupportsIndex, after: typing.SupportsInt | typing.SupportsIndex, alpha: typing.SupportsFloat | typing.SupportsIndex, beta: typing.SupportsFloat | typing.SupportsIndex, k: typing.SupportsFloat | typing.SupportsIndex, x: TensorRef, y: TensorRef) -> Task:
    ...
def make_wait(waiting: typing.SupportsInt | typing.SupportsIndex, working: typing.SupportsInt | typing.SupportsIndex, device: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    What is queued on one stream from now on comes after what is queued on the other.
    """
def permute_task(dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], perm: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], x: TensorRef, y: TensorRef) -> Task:
    ...
def pool2d_task(params: pycnn._core.Pool2dParams, x: TensorRef, y: TensorRef) -> Task:
    ...
def rbf_task(x: TensorRef, weights: DeviceBuffer, y: TensorRef) -> Task:
    ...
def softmax_task(log: bool, x: TensorRef, y: TensorRef) -> Task:
    ...
def support() -> dict[str, typing.Any]:
    """
    Versions, devices, and what asking for them gave; never raises for want of a GPU.
    """
def upload(array: numpy.ndarray, device: typing.SupportsInt | typing.SupportsIndex) -> DeviceBuffer:
    """
    A copy of float32 values.
    """
def upload_indices(indices: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], device: typing.SupportsInt | typing.SupportsIndex) -> DeviceBuffer:
    ...
def upload_tensor(values: numpy.ndarray, shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], dtype: str, device: typing.SupportsInt | typing.SupportsIndex) -> DeviceBuffer:
    """
    Plain float32 (1, C, H, W) as an NHWC tensor of a dtype.
    """
ARCHITECTURES: str = 'emulator'
VECTOR_BYTES: int = 16
