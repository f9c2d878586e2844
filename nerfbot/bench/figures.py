"""What every benchmark returns: figures, each beside a baseline of the same run; and how calls are timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Baseline:
    """What a figure was measured beside, in the same run."""

    name: str
    value: float


@dataclass(frozen=True)
class Figure:
    """One measured number: its name, value, unit, which way is better, and what it was measured against."""

    name: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    against: Baseline | None = None


def seconds_per_call(call: Callable[[], object], budget: float = 0.5, rounds: int = 7) -> float:
    """Median over ``rounds`` of the time of one call, s; ``budget`` is about the time a round takes, s."""
    began = time.perf_counter()
    calls = 0
    while time.perf_counter() - began < 0.1 * budget:
        call()
        calls += 1
    repeats = max(1, int(calls * 10 * 0.5))

    def once() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    return statistics.median(once() for _ in range(rounds))
