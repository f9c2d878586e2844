"""Statistics over seeds: interquartile means with bootstrap intervals, probability of improvement, Holm.

The seed is the unit. Definitions follow Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand

RESAMPLES = 10_000
FEWEST = 4
"""Seeds below which an interval would say nothing."""


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
    found: NDArray[np.float64] = (ordered * weight.reshape(shape)).sum(axis) / weight.sum()
    return found


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values.mean(-1)
    return found


STATISTICS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "iqm": interquartile_mean,
    "mean": _mean,
}


def interval(values: ArrayLike, statistic: str = "iqm", seed: int = 0) -> Interval:
    """A statistic of one arm's seeds with its percentile-bootstrap interval. NaN values are left out.

    Raises `InvalidCommand` for an unknown statistic.
    """
    if statistic not in STATISTICS:
        raise InvalidCommand(f"statistic: must be one of {', '.join(STATISTICS)}, got {statistic!r}")
    found = np.asarray(values, float)
    found = found[np.isfinite(found)]
    if not len(found):
        return Interval(np.nan, np.nan, np.nan)
    compute = STATISTICS[statistic]
    value = float(compute(found))
    if len(found) < FEWEST:
        return Interval(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    drawn = compute(found[rng.integers(len(found), size=(RESAMPLES, len(found)))])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def paired_gap(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Interval:
    """Mean of first - second over seeds that both arms ran, with its bootstrap interval."""
    gaps = np.asarray(first, float) - np.asarray(second, float)
    return interval(gaps, "mean", seed)


def stratified_interval(groups: Sequence[ArrayLike], seed: int = 0) -> Interval:
    """Interquartile mean over several tasks' seeds together; resampled within each task."""
    arrays = [np.asarray(group, float) for group in groups]
    arrays = [group[np.isfinite(group)] for group in arrays]
    arrays = [group for group in arrays if len(group)]
    if not arrays:
        return Interval(np.nan, np.nan, np.nan)
    value = float(interquartile_mean(np.concatenate(arrays)))
    if min(map(len, arrays)) < FEWEST:
        return Interval(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    drawn = [group[rng.integers(len(group), size=(RESAMPLES, len(group)))] for group in arrays]
    low, high = np.quantile(interquartile_mean(np.concatenate(drawn, axis=1)), [0.025, 0.975])
    return Interval(value, float(low), float(high))


def probability_of_improvement(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Interval:
    """P(a seed of `first` is above one of `second`), ties half; with its bootstrap interval."""
    a, b = (np.asarray(values, float) for values in (first, second))
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if not len(a) or not len(b):
        return Interval(np.nan, np.nan, np.nan)
    wins = (a[:, None] > b[None, :]) + 0.5 * (a[:, None] == b[None, :])
    value = float(wins.mean())
    if min(len(a), len(b)) < FEWEST:
        return Interval(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(a), size=(RESAMPLES, len(a)))
    columns = rng.integers(len(b), size=(RESAMPLES, len(b)))
    drawn = np.array([wins[np.ix_(row, column)].mean() for row, column in zip(rows, columns, strict=True)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def permutation_test(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p-value of a paired sign-flip test of the mean gap; exact up to 20 pairs, else drawn."""
    gaps = np.asarray(first, float) - np.asarray(second, float)
    gaps = gaps[np.isfinite(gaps)]
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
