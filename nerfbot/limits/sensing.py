"""The arithmetic of the sensor limiter: when a sample is taken, and what it contains.

All of it is in one file, as `compiled`'s cache requires.
"""

from __future__ import annotations

import math

import numpy as np

from nerfbot.limits.compiled import compiled
from nerfbot.limits.fields import SENSOR_FIELDS

PLAIN, RAYS, IMAGE = 0, 1, 2

_ROUNDING = 1e-9  # s: sums of periods must not decide when a sample is due
_HUGE = 1e30  # a larger reading counts as lost, so that no later arithmetic overflows
_LONGEST = 1e9  # s; a clock may jump by more than a number can hold

_COLUMN = {field: column for column, field in enumerate(SENSOR_FIELDS)}
_RANGE, _RATE, _NOISE, _BIAS = (_COLUMN[f] for f in ("range", "rate", "noise", "bias"))
_DRIFT, _DROPOUT = _COLUMN["drift"], _COLUMN["dropout"]

# Columns of the marks: the most and the least that a reading can be, what a lost element reads, and what a
# ray reads that is too near to measure (-inf). A ray without a return reads the most.
MOST, LEAST, LOST, NEAR = 0, 1, 2, 3

# Columns of the clocks: when the next sample is due, and when the last was taken (NaN: never).
NEXT, TAKEN = 0, 1

HIDDEN = -1
"""The source of an element that is out of view."""


@compiled
def sense(
    reading: np.ndarray,
    now: float,
    limits: np.ndarray,
    kind: int,
    marks: np.ndarray,
    source: np.ndarray,
    noise: np.ndarray,
    steps: np.ndarray,
    losses: np.ndarray,
    frozen: np.ndarray,
    clocks: np.ndarray,
    walk: np.ndarray,
    sample: np.ndarray,
    is_first: np.ndarray,
    is_new: np.ndarray,
) -> None:
    """Take the samples that are due at ``now`` (s) and update ``sample`` (count, elements) in place.

    ``reading`` (count, elements); ``limits`` (count, fields); ``marks`` (4,), see `MOST`; ``source`` (count,
    elements): which element each one shows, or `HIDDEN`; ``noise``, ``losses``: random numbers (count,
    elements), or one column where there are none; ``walk`` and its ``steps`` (count, elements or 1);
    ``frozen`` (count,); ``is_first`` (count,) is set where this was the first sample, ``is_new`` where
    ``sample`` shows a new one.
    """
    count, elements = reading.shape
    most, least = marks[MOST], marks[LEAST]
    # One column serves all elements: its index is then multiplied by 0.
    noises, walks, chances = int(noise.shape[1] > 1), int(walk.shape[1] > 1), int(losses.shape[1] > 1)
    for r in range(count):
        taken = clocks[r, TAKEN]
        is_first[r] = math.isnan(taken)
        is_new[r] = False
        due = clocks[r, NEXT]
        if not is_first[r] and now < due - _ROUNDING:
            continue
        period = 1.0 / limits[r, _RATE]
        # Keep the phase while the calls keep up; never owe more than one sample.
        following = (now if is_first[r] else due) + period
        clocks[r, NEXT] = now + period if following <= now else following
        clocks[r, TAKEN] = now
        if limits[r, _DRIFT] > 0.0 and not is_first[r]:
            # In whole nanoseconds, so that it does not depend on where a batch's clock began.
            since = np.rint(min(max(now - taken, 0.0), _LONGEST) * 1e9) * 1e-9
            growth = limits[r, _DRIFT] * math.sqrt(since)
            for k in range(walk.shape[1]):
                walk[r, k] += growth * steps[r, k]
        if frozen[r] and not is_first[r]:
            continue
        is_new[r] = True
        for k in range(elements):
            x = reading[r, source[r, k]]  # the value of a hidden element is not used
            lost = source[r, k] == HIDDEN or losses[r, k * chances] < limits[r, _DROPOUT]
            is_near = kind == RAYS and x == -math.inf
            is_far = kind == RAYS and (x >= most or x > limits[r, _RANGE])
            if not (is_near or is_far):
                lost = lost or not abs(x) <= _HUGE or (kind == RAYS and x < least)  # NaN compares false
            x += limits[r, _NOISE] * noise[r, k * noises]
            x += limits[r, _BIAS] + walk[r, k * walks]
            if kind == PLAIN:
                if not lost:
                    sample[r, k] = x
            elif lost:
                sample[r, k] = marks[LOST]
            elif is_near:
                sample[r, k] = marks[NEAR]
            elif is_far:
                sample[r, k] = most
            else:
                sample[r, k] = min(max(x, least), most)
