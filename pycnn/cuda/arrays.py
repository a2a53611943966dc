"""Arrays in a GPU's memory, the caller's and ours, exchanged without a copy.

By DLPack, or where a library lacks it by ``__cuda_array_interface__``. No library is imported for
it: whoever hands in a tensor has imported its library.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from pycnn.cuda.device import Target
from pycnn.errors import ShapeError

_ON_CUDA = (2, 13)  # DLPack's device types kDLCUDA and kDLCUDAManaged
_LEGACY_STREAM = 1  # what the protocols call CUDA's default stream
_TYPES = {"<f4": "float32", "<f2": "float16"}


class DeviceArray:
    """A result in device memory: float32, dense.

    Any library with DLPack takes it without a copy, such as ``torch.from_dlpack(array)``; its
    memory is freed when nobody holds it any more.

    Attributes
    ----------
    shape
        As the network's output.
    device
        CUDA's index of the device.
    """

    def __init__(self, tensor: Any, stream: int, target: Target) -> None:
        self._tensor = tensor
        self._stream = stream
        self._target = target
        self.shape = tuple(tensor.shape)
        self.dtype = np.dtype(np.float32)
        self.device = int(tensor.device)

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Give it away; the consumer's stream waits for the one on which it is computed."""
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("only a view on the same device is given")
        if stream not in (-1, self._stream):
            waiting = _LEGACY_STREAM if stream is None else stream
            self._target.cuda.make_wait(waiting, self._stream, self.device)
        return self._tensor.to_capsule()

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's type and index of the device."""
        return _ON_CUDA[0], self.device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Numba's protocol, version 3."""
        return {
            "shape": self.shape,
            "typestr": "<f4",
            "data": (self._tensor.address, False),
            "strides": None,
            "version": 3,
            "stream": self._stream or _LEGACY_STREAM,
        }

    def numpy(self) -> npt.NDArray[np.float32]:
        """Return a copy on the host; waits for the result."""
        copied: npt.NDArray[np.float32] = self._tensor.numpy(self._stream)
        return copied

    def __repr__(self) -> str:
        return f"<pycnn.DeviceArray {self.shape} float32 on cuda:{self.device}>"


def is_on_device(value: Any) -> bool:
    """Whether a value is an array in a GPU's memory."""
    if isinstance(value, np.ndarray):
        return False
    if hasattr(value, "__dlpack_device__"):
        return value.__dlpack_device__()[0] in _ON_CUDA
    return hasattr(value, "__cuda_array_interface__")


def stream_of(value: Any) -> int:
    """Return the stream on which the array's library works at the moment."""
    library = _library(value)
    if library is not None and library.__name__ == "torch":
        return int(library.cuda.current_stream(value.device).cuda_stream)
    interface = getattr(value, "__cuda_array_interface__", {})
    return int(interface.get("stream") or _LEGACY_STREAM)


class Borrowed:
    """A caller's array while its address is used.

    Its library is told on which stream, so that what it has queued elsewhere is waited for.

    Attributes
    ----------
    address, shape, dtype, device
        Where it lies and what is there.
    """

    def __init__(self, value: Any, stream: int, target: Target) -> None:
        if hasattr(value, "__dlpack__"):
            try:
                capsule = value.__dlpack__(stream=stream or _LEGACY_STREAM)
            except (BufferError, RuntimeError, TypeError) as error:
                raise ShapeError(f"{type(value).__name__}: {error}") from None
            self._tensor = target.cuda.DeviceTensor.from_capsule(capsule)
            self.address, self.dtype = self._tensor.address, self._tensor.dtype
            self.shape, self.device = tuple(self._tensor.shape), self._tensor.device
        else:
            interface = value.__cuda_array_interface__
            self.address, self.shape = interface["data"][0], tuple(interface["shape"])
            if interface["typestr"] not in _TYPES:
                raise ShapeError(f"expected float32 or float16, got {interface['typestr']}")
            if not _is_dense(interface):
                raise ShapeError("expected a C-contiguous array")
            self.dtype, self.device = _TYPES[interface["typestr"]], target.index
        if self.device != target.index:
            raise ShapeError(f"the array is on cuda:{self.device}, the model on {target}")


def as_callers(result: DeviceArray, example: Any) -> Any:
    """Return the result as an array of the example's library, where that has ``from_dlpack``."""
    take = getattr(_library(example), "from_dlpack", None)
    return result if take is None else take(result)


def _library(value: Any) -> Any:
    return sys.modules.get(type(value).__module__.partition(".")[0])


def _is_dense(interface: dict[str, Any]) -> bool:
    if interface.get("strides") is None:
        return True
    expected = int(interface["typestr"][2:])
    for size, stride in zip(
        reversed(interface["shape"]), reversed(interface["strides"]), strict=True
    ):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True
