"""A bound on a probability from k cases in n trials, and percentiles; without SciPy."""

from __future__ import annotations

import math
from collections.abc import Sequence


def upper_bound(cases: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided upper Clopper-Pearson bound on the probability of a case.

    The p for which at most ``cases`` in ``trials`` has probability 1 - ``confidence`` (Clopper and Pearson,
    Biometrika 26, 1934); 1 for no trials.
    """
    if trials <= 0 or cases >= trials:
        return 1.0
    tail = 1.0 - confidence
    if cases == 0:
        return 1.0 - float(tail ** (1.0 / trials))
    low, high = cases / trials, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _at_most(cases, trials, middle) > tail:
            low = middle
        else:
            high = middle
    return high


def _at_most(cases: int, trials: int, p: float) -> float:
    """Probability of at most ``cases`` of ``trials``, each with probability ``p``."""
    if p >= 1.0:
        return 0.0
    logs = [
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(p) + (trials - k) * math.log1p(-p)
        for k in range(cases + 1)
    ]  # fmt: skip
    return math.fsum(math.exp(value) for value in logs)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of the values do not exceed; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
