"""Faults that come in bursts: an alternating renewal process in continuous time, vectorised over units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.channel import Floats
from nerfbot.limits.compiled import compiled
from nerfbot.limits.streams import Stream

_MOST_TURNS = 64  # in one step; a pause of more bursts than that counts as one of fewer
_LONGEST = 1e9  # s; a clock may jump by more than a number can hold


@compiled
def _run_down(
    countdown: np.ndarray, speed: np.ndarray, elapsed: float, robots: np.ndarray, units: np.ndarray
) -> int:
    """Take what ``elapsed`` s cost off every countdown; list those that have run out, return how many."""
    due = 0
    for r in range(countdown.shape[0]):
        over = 0
        for u in range(countdown.shape[1]):  # without a branch: most steps of a robot have nothing to list
            countdown[r, u] -= speed[r, u] * elapsed
            over += countdown[r, u] <= 0.0
        if over:
            for u in range(countdown.shape[1]):
                if countdown[r, u] <= 0.0:
                    robots[due], units[due] = r, u
                    due += 1
    return due


@compiled
def _turn(
    countdown: np.ndarray,
    speed: np.ndarray,
    active: np.ndarray,
    rate: np.ndarray,
    duration: np.ndarray,
    exponential: np.ndarray,
    drawn: np.ndarray,
    elapsed: float,
    robots: np.ndarray,
    units: np.ndarray,
) -> int:
    """Turn the listed units, each with its ``drawn`` Exp(1); keep those listed that are due again.

    What follows a countdown has run since it ended, at most for ``elapsed`` s. Returns how many are kept.
    """
    again = 0
    for i in range(drawn.shape[0]):
        r, u = robots[i], units[i]
        since = min(-countdown[r, u] / speed[r, u], elapsed)
        active[r, u] = not active[r, u]
        if active[r, u]:
            speed[r, u], length = 1.0, duration[r, u] * (drawn[i] if exponential[u] else 1.0)
        else:
            speed[r, u], length = rate[r, u], drawn[i]
        countdown[r, u] = length - since * speed[r, u]
        if countdown[r, u] <= 0.0:
            robots[again], units[again] = r, u
            again += 1
    return again


class BurstProcess:
    """``active`` (count, units) tells which units are in a burst; it is rewritten in place.

    While healthy a unit's hazard budget, Exp(1), is used up at ``rate``; in a burst the time left runs
    down at 1. Both are one countdown with a speed, so that a rate that changes (a lift) acts at once and
    the share of time in fault does not depend on how often `step` is called.
    ``exponential`` (units,) says whose durations are drawn; the others are all equal to the mean.
    """

    def __init__(self, purpose: str, seeds: NDArray[np.uint64], exponential: NDArray[np.bool_]) -> None:
        shape = (len(seeds), len(exponential))
        self.active = np.zeros(shape, bool)
        self._exponential = exponential
        self._rate, self._duration = np.zeros(shape), np.ones(shape)
        self._speed, self._countdown = np.zeros(shape), np.ones(shape)
        self._counter = np.zeros(shape, np.int64)
        self._due = np.empty(self.active.size, np.intp), np.empty(self.active.size, np.intp)
        self._stream = Stream(purpose, seeds)
        self.reset(np.arange(len(seeds)), seeds)

    def reset(self, robots: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        """Make all units of ``robots`` (indices) healthy and start their streams from ``seeds``."""
        self._stream.reseed(robots, seeds)
        self.active[robots] = False
        self._counter[robots] = 0
        units = np.arange(self.active.shape[1])
        self._countdown[robots] = self._draw(robots[:, None], np.zeros(1, np.int64), units)
        self._speed[robots] = self._rate[robots]

    def set(self, robots: NDArray[np.intp], rate: Floats, duration: Floats) -> None:
        """Set rates (1/s) and mean durations (s) of ``robots``; each (len(robots), units)."""
        self._rate[robots], self._duration[robots] = rate, duration
        self._speed[robots] = np.where(self.active[robots], 1.0, rate)

    def step(self, elapsed: float) -> None:
        """Advance by ``elapsed`` seconds, through as many bursts as fall into them."""
        elapsed = min(elapsed, _LONGEST)
        robots, units = self._due
        due = _run_down(self._countdown, self._speed, elapsed, robots, units)
        for turn in range(_MOST_TURNS):
            if not due:
                break
            listed = robots[:due], units[:due]
            self._counter[listed] += 1
            due = _turn(
                self._countdown,
                self._speed,
                self.active,
                self._rate,
                self._duration,
                self._exponential,
                self._draw(listed[0], self._counter[listed], listed[1]),
                elapsed if turn < _MOST_TURNS - 1 else 0.0,
                robots,
                units,
            )

    def _draw(self, robots: NDArray[np.intp], counter: NDArray[np.int64], units: NDArray[np.intp]) -> Floats:
        """Return Exp(1) numbers; the arguments broadcast."""
        return -np.log1p(-self._stream.uniform(robots, counter, units))
