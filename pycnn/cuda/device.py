"""Which GPU there is, and if there is none that can be used, why."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, NamedTuple

from pycnn.errors import DeviceError

DTYPES = ("float32", "tf32", "float16", "bfloat16")

# Tensor cores' mma.sync with bfloat16 and asynchronous copies begin with it.
_OLDEST_CAPABILITY = (8, 0)
# From this compute capability on a kernel may begin while the one before it ends.
_OVERLAP_CAPABILITY = (9, 0)


def itemsize_of(dtype: str) -> int:
    """Bytes of a stored number."""
    return 4 if dtype in ("float32", "tf32") else 2


class Gpu(NamedTuple):
    """A device as the driver describes it."""

    name: str
    major: int
    minor: int
    sm_count: int
    max_shared_bytes: int
    memory_bytes: int
    l2_bytes: int

    @property
    def capability(self) -> tuple[int, int]:
        """Compute capability."""
        return self.major, self.minor


class Support(NamedTuple):
    """What there is of CUDA here.

    Attributes
    ----------
    built
        This build of pycnn has its CUDA half.
    runtime, driver
        CUDA's version numbers, 13000 for 13.0; a driver of 0 is none.
    error
        What asking for devices gave, empty where it worked.
    architectures
        What the kernels were compiled for, as CMake writes it.
    """

    built: bool
    runtime: int = 0
    driver: int = 0
    error: str = ""
    gpus: tuple[Gpu, ...] = ()
    architectures: str = ""


def support() -> Support:
    """Ask the build, the driver and the devices."""
    if importlib.util.find_spec("pycnn._cuda") is None:
        return Support(built=False)
    module = _module()
    found = module.support()
    return Support(
        True,
        found["runtime_version"],
        found["driver_version"],
        found["error"],
        tuple(Gpu(**device) for device in found["devices"]),
        module.ARCHITECTURES,
    )


def version(number: int) -> str:
    """CUDA's number of a version as text: 13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def missing(found: Support, index: int = 0) -> str | None:
    """Why the device of this index cannot be used, and what would help; None where it can."""
    if not found.built:
        return (
            "this build of pycnn has no CUDA: build it where nvcc is found, or with "
            "-DPYCNN_CUDA=ON, which says what is missing"
        )
    if found.driver == 0:
        return "no NVIDIA driver is installed, or not visible here (a container needs --gpus all)"
    if found.driver // 1000 < found.runtime // 1000:
        return (
            f"the NVIDIA driver is for CUDA {version(found.driver)} and older; this build of "
            f"pycnn needs one for CUDA {found.runtime // 1000}.0 or newer"
        )
    if found.error and "cudaErrorNoDevice" not in found.error:
        return f"asking for devices failed: {found.error}"
    if not found.gpus:
        return "there is no NVIDIA GPU, or CUDA_VISIBLE_DEVICES hides it"
    if not 0 <= index < len(found.gpus):
        return f"there is no device {index}: {len(found.gpus)} found, counted from 0"
    gpu = found.gpus[index]
    if gpu.capability < _OLDEST_CAPABILITY:
        return (
            f"{gpu.name} has compute capability {gpu.major}.{gpu.minor}; pycnn needs "
            f"{_OLDEST_CAPABILITY[0]}.{_OLDEST_CAPABILITY[1]} (Ampere) or newer"
        )
    return None


@dataclass(frozen=True)
class Target:
    """The device, and the precision, that a network is compiled for.

    Attributes
    ----------
    index
        Of the device, as CUDA counts.
    gpu
        What it is.
    dtype
        One of `DTYPES`.
    """

    index: int
    gpu: Gpu
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            known = ", ".join(map(repr, DTYPES))
            raise ValueError(f"dtype must be one of {known}, got {self.dtype!r}")

    def __str__(self) -> str:
        return f"cuda:{self.index} ({self.gpu.name})"

    @property
    def cuda(self) -> Any:
        """The module `pycnn._cuda`."""
        return _module()

    @property
    def itemsize(self) -> int:
        """Bytes of a stored number."""
        return itemsize_of(self.dtype)

    @property
    def vector(self) -> int:
        """Channels that a kernel reads at once."""
        return int(self.cuda.VECTOR_BYTES) // self.itemsize

    @property
    def overlap(self) -> bool:
        """Whether a kernel may begin while the one before it ends."""
        return self.gpu.capability >= _OVERLAP_CAPABILITY

    @functools.cached_property
    def traits(self) -> Any:
        """What the choice of a convolution's algorithm looks at."""
        gpu = self.gpu
        return self.cuda.Device(
            major=gpu.major,
            minor=gpu.minor,
            sm_count=gpu.sm_count,
            max_shared_bytes=gpu.max_shared_bytes,
        )


def target(device: str, dtype: str) -> Target:
    """Find ``"cuda"`` or ``"cuda:1"``.

    Raises
    ------
    DeviceError
        There is no such device that can be used; the message gives the reason.
    ValueError
        That is no name of a device, or no dtype.
    """
    name, colon, number = device.partition(":")
    if name != "cuda" or (colon and not number.isdecimal()):
        raise ValueError(f'device must be "cpu", "cuda" or "cuda:N", got {device!r}')
    index = int(number or 0)
    found = support()
    reason = missing(found, index)
    if reason is not None:
        raise DeviceError(f"device={device!r}: {reason}; `pycnn doctor` tells what there is")
    return Target(index, found.gpus[index], dtype)


def _module() -> Any:
    """`pycnn._cuda`; loaded when a device is asked for, since it is large and often not there."""
    return importlib.import_module("pycnn._cuda")
