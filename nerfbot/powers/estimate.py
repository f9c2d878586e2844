"""An upper confidence estimate of an expected harm, and its extrapolation to a higher lift level."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def upper_mean(samples: ArrayLike, spread: float, confidence: float) -> float:
    """A value that the expectation exceeds with probability at most 1 - confidence.

    One-sided empirical Bernstein bound for independent samples, shape (n,), in [0, spread] (Maurer and
    Pontil 2009, "Empirical Bernstein Bounds and Sample Variance Penalization", theorem 4). With fewer
    than two samples nothing is known, and the answer is infinity.
    """
    values = np.asarray(samples, dtype=np.float64)
    count = values.size
    if count < 2:
        return math.inf
    log = math.log(2.0 / (1.0 - confidence))
    deviation = math.sqrt(2.0 * float(values.var(ddof=1)) * log / count)
    return float(values.mean()) + deviation + 7.0 * spread * log / (3.0 * (count - 1))


def expected_harm(
    harms: ArrayLike, levels: ArrayLike, level: float, spread: float, slope: float, confidence: float
) -> float:
    """An upper estimate of the expected harm of one episode at `level`.

    `harms` and `levels`, shape (n,), are those of past episodes. Each is carried to `level` by what the
    harm can have grown at most: `slope`, per unit of level, times the rise from its own level; nothing
    where its own level was as high or higher, since harm does not fall when the lift rises.
    """
    rise = np.maximum(0.0, level - np.asarray(levels, dtype=np.float64))
    grown = slope * float(rise.mean()) if rise.size else 0.0
    return upper_mean(harms, spread, confidence) + grown
