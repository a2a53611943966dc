"""Timing a callable: warm-up, repetitions, median and spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Milliseconds of one call."""

    min_ms: float
    p10_ms: float
    median_ms: float
    p90_ms: float
    repetitions: int


def seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def repeat(call: Callable[[], object], budget_s: float, at_least: int) -> list[float]:
    """Seconds of each call, until the budget is spent and there are `at_least` of them."""
    found: list[float] = []
    end = time.perf_counter() + budget_s
    while len(found) < at_least or time.perf_counter() < end:
        found.append(seconds_of(call))
    return found


def summarize(seconds: list[float], calls: int = 1) -> Times:
    """Median and spread; each measurement was of `calls` calls."""
    ms = sorted(1e3 * s / calls for s in seconds)

    def quantile(q: float) -> float:
        return ms[round(q * (len(ms) - 1))]

    return Times(ms[0], quantile(0.1), statistics.median(ms), quantile(0.9), len(ms))
