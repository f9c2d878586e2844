"""Statistics over seeds: interquartile means with bootstrap intervals, probability of improvement, Holm.

The seed is the unit. Definitions follow Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand

RESAMPLES = 10_000
FEWEST = 4
"""With fewer seeds there is no interval."""


class Interval(NamedTuple):
    """A statistic and its 95 % interval; NaN ends where there are too few seeds for one."""

    value: float
    low: float
    high: float


def interquartile_mean(values: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Mean of the middle half; a value at the border counts with the part of it that lies inside."""
    ordered = np.sort(np.asarray(values, float), axis=axis)
    count = ordered.shape[axis]
    edge = np.arange(count, dtype=float)
    weight = np.clip(np.minimum(edge + 1, 0.75 * count) - np.maximum(edge, 0.25 * count), 0.0, 1.0)
    shape = [1] * ordered.ndim
    shape[axis] = count
    mean: NDArray[np.float64] = (ordered * weight.reshape(shape)).sum(axis) / weight.sum()
    return mean


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = values.mean(-1)
    return mean


STATISTICS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "iqm": interquartile_mean,
    "mean": _mean,
}
UNDEFINED = Interval(np.nan, np.nan, np.nan)


def interval(values: ArrayLike, statistic: str = "iqm", seed: int = 0) -> Interval:
    """A statistic of one arm's seeds with its percentile-bootstrap interval. NaN values are left out.

    Raises `InvalidCommand` for an unknown statistic.
    """
    if statistic not in STATISTICS:
        raise InvalidCommand(f"statistic: must be one of {', '.join(STATISTICS)}, got {statistic!r}")
    finite = _finite(values)
    if not len(finite):
        return UNDEFINED
    compute = STATISTICS[statistic]
    value = float(compute(finite))
    if len(finite) < FEWEST:
        return Interval(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    return _percentiles(value, compute(finite[rng.integers(len(finite), size=(RESAMPLES, len(finite)))]))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, float)
    return array[np.isfinite(array)]


def _percentiles(value: float, resampled: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def paired_gap(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Interval:
    """Mean of first - second over seeds that both arms ran, with its bootstrap interval."""
    gaps = np.asarray(first, float) - np.asarray(second, float)
    return interval(gaps, "mean", seed)


def probability_of_improvement(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Interval:
    """P(a seed of `first` is above one of `second`), ties half; with its bootstrap interval."""
    a, b = _finite(first), _finite(second)
    if not len(a) or not len(b):
        return UNDEFINED
    wins = (a[:, None] > b[None, :]) + 0.5 * (a[:, None] == b[None, :])
    value = float(wins.mean())
    if min(len(a), len(b)) < FEWEST:
        return Interval(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(a), size=(RESAMPLES, len(a)))
    columns = rng.integers(len(b), size=(RESAMPLES, len(b)))
    pairs = zip(rows, columns, strict=True)
    return _percentiles(value, np.array([wins[np.ix_(row, column)].mean() for row, column in pairs]))


def permutation_test(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p-value of a paired sign-flip test of the mean gap; exact up to 20 pairs, else sampled."""
    gaps = _finite(np.asarray(first, float) - np.asarray(second, float))
    count = len(gaps)
    if count == 0:
        return float("nan")
    if count <= 20:
        numbers = np.arange(2**count)[:, None]
        signs = 1.0 - 2.0 * ((numbers >> np.arange(count)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (100_000, count))
    means = np.abs((signs * gaps).mean(1))
    return float((means >= abs(gaps.mean()) - 1e-12).mean())


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values (Holm 1979): step down, never falling."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    running = 0.0
    for index, name in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - index) * p_values[name]))
        adjusted[name] = running
    return {name: adjusted[name] for name in p_values}
