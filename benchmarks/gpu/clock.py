"""Time on the device, by CUDA's events; the card's peaks; both on the CPU for a rehearsal."""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch

Call = Callable[[], object]


class Clock(ABC):
    """Times what is queued on a device."""

    device: str

    @abstractmethod
    def seconds(self, call: Call, calls: int) -> float:
        """Seconds of `calls` calls, queued back to back."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait for all that is queued."""

    def release(self) -> None:
        """Give back memory that nobody uses any more."""
        gc.collect()

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The card, the driver and the clocks, for the report."""

    def latency(self, call: Call) -> float:
        """Seconds until one call's result is there, seen from the host."""
        self.synchronize()
        start = time.perf_counter()
        call()
        self.synchronize()
        return time.perf_counter() - start

    def calls_for(self, call: Call, budget_s: float) -> int:
        """How many calls take about that long."""
        self.seconds(call, 2)  # warm
        return max(1, int(budget_s / max(self.seconds(call, 3) / 3, 1e-6)))


class Gpu(Clock):
    """The current CUDA device."""

    device = "cuda"

    def seconds(self, call: Call, calls: int) -> float:
        """Between two events around the calls."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return 1e-3 * float(start.elapsed_time(end))

    def synchronize(self) -> None:
        """Wait for the device."""
        torch.cuda.synchronize()

    def release(self) -> None:
        """Also what torch's allocator keeps, which pycnn could not have."""
        super().release()
        torch.cuda.empty_cache()

    def describe(self) -> dict[str, Any]:
        """As torch and the driver tell."""
        properties = torch.cuda.get_device_properties(0)
        return {
            "card": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "sm_count": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }


class Rehearsal(Clock):
    """The CPU in the place of a GPU: shows that everything runs, and no more."""

    device = "cpu"

    def seconds(self, call: Call, calls: int) -> float:
        """Wall clock."""
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        """Nothing is queued."""

    def describe(self) -> dict[str, Any]:
        """No card."""
        return {"card": "none: a rehearsal on the CPU", "torch": torch.__version__}


def peaks(clock: Clock, dtype: str) -> dict[str, float]:
    """`tflops` of a large matrix product in this precision, `gbps` of a copy, read and written."""
    small = clock.device == "cpu"
    n, elements = (256, 1 << 20) if small else (8192, 1 << 30)
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    stored = torch_dtype(dtype)
    a, b = (torch.randn(n, n, device=clock.device).to(stored) for _ in range(2))
    source = torch.randn(elements // 4, device=clock.device)
    target = torch.empty_like(source)

    def best(call: Call) -> float:
        calls = clock.calls_for(call, 0.2)
        return min(clock.seconds(call, calls) / calls for _ in range(5))

    product_s, copy_s = best(lambda: a @ b), best(lambda: target.copy_(source))
    return {"tflops": 2e-12 * n**3 / product_s, "gbps": 2e-9 * 4 * source.numel() / copy_s}


def torch_dtype(dtype: str) -> torch.dtype:
    """What torch stores for one of pycnn's dtypes."""
    stored = {"float16": torch.float16, "bfloat16": torch.bfloat16}
    return stored.get(dtype, torch.float32)
