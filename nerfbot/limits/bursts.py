"""Faults that come in bursts: an alternating renewal process in continuous time, vectorised over units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.channel import Floats
from nerfbot.limits.compiled import compiled
from nerfbot.limits.streams import Stream

_MOST_TURNS = 64  # in one step; further bursts in one long step are dropped
_BLOCK = 64  # countdowns that are looked through for ends at a time
_LONGEST = 1e9  # s; a clock may jump by more than a number can hold


@compiled
def _run_down(countdown: np.ndarray, speed: np.ndarray, elapsed: float, due: np.ndarray) -> int:
    """Run every countdown down by ``elapsed`` s; list those that have ended in ``due``, return their number.

    Works in blocks without a branch, since few blocks have one that ends.
    """
    listed = 0
    for start in range(0, countdown.size, _BLOCK):
        left, pace = countdown[start : start + _BLOCK], speed[start : start + _BLOCK]
        over = 0
        for i in range(left.shape[0]):
            left[i] -= pace[i] * elapsed
            over += left[i] <= 0.0
        if over:
            for i in range(left.shape[0]):
                if left[i] <= 0.0:
                    due[listed] = start + i
                    listed += 1
    return listed


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
    due: np.ndarray,
) -> int:
    """Turn the listed units, each with its ``drawn`` Exp(1); keep those listed that are due again.

    What follows a countdown has run since it ended, at most for ``elapsed`` s. Returns how many are kept.
    """
    again, count = 0, active.size // exponential.size
    for n in range(drawn.shape[0]):
        i = due[n]
        since = min(-countdown[i] / speed[i], elapsed)
        active[i] = not active[i]
        if active[i]:
            speed[i], length = 1.0, duration[i] * (drawn[n] if exponential[i // count] else 1.0)
        else:
            speed[i], length = rate[i], drawn[n]
        countdown[i] = length - since * speed[i]
        if countdown[i] <= 0.0:
            due[again] = i
            again += 1
    return again


@compiled
def _set(
    rates: np.ndarray,
    durations: np.ndarray,
    speed: np.ndarray,
    active: np.ndarray,
    robots: np.ndarray,
    rate: np.ndarray,
    duration: np.ndarray,
    first_unit: int,
) -> None:
    """Set what `BurstProcess.set` says, in arrays (units, count)."""
    for u in range(rate.shape[1]):
        for n in range(robots.shape[0]):
            r = robots[n]
            rates[first_unit + u, r], durations[first_unit + u, r] = rate[n, u], duration[n, u]
            if not active[first_unit + u, r]:
                speed[first_unit + u, r] = rate[n, u]


class BurstProcess:
    """``active`` (count, units) tells which units are in a burst; it is rewritten in place.

    While healthy a unit's hazard budget, Exp(1), is used up at ``rate``; in a burst the time left runs
    down at 1. Both are one countdown with a speed, so that a rate that changes (a lift) acts at once and
    the share of time in fault does not depend on how often `step` is called.
    ``exponential`` (units,) says whose durations are drawn; the others are all equal to the mean.
    """

    def __init__(self, purpose: str, seeds: NDArray[np.uint64], exponential: NDArray[np.bool_]) -> None:
        shape = (len(exponential), len(seeds))  # robots side by side, as the kernels want them
        self._active = np.zeros(shape, bool)
        self.active = self._active.T
        self._exponential = exponential
        self._rate, self._duration = np.zeros(shape), np.ones(shape)
        self._speed, self._countdown = np.zeros(shape), np.ones(shape)
        self._counter = np.zeros(shape, np.int64)
        # Flat views: the kernels treat all units alike.
        self._countdowns, self._speeds = self._countdown.reshape(-1), self._speed.reshape(-1)
        self._due = np.empty(self._active.size, np.intp)
        self._stream = Stream(purpose, seeds)
        self.reset(np.arange(len(seeds)), seeds)

    def reset(self, robots: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        """Make all units of ``robots`` (indices) healthy and start their streams from ``seeds``."""
        self._stream.reseed(robots, seeds)
        self._active[:, robots] = False
        self._counter[:, robots] = 0
        units = np.arange(len(self._active))[:, None]
        self._countdown[:, robots] = self._draw(robots, np.zeros(1, np.int64), units)
        self._speed[:, robots] = self._rate[:, robots]

    def set(self, robots: NDArray[np.intp], rate: Floats, duration: Floats, first_unit: int = 0) -> None:
        """Set rates (1/s) and mean durations (s) of ``robots``, each (len(robots), units).

        ``first_unit``: the unit that their first column belongs to.
        """
        _set(self._rate, self._duration, self._speed, self._active, robots, rate, duration, first_unit)

    def step(self, elapsed: float) -> None:
        """Advance by ``elapsed`` seconds, through as many bursts as fall into them."""
        elapsed = min(elapsed, _LONGEST)
        due = _run_down(self._countdowns, self._speeds, elapsed, self._due)
        for turn in range(_MOST_TURNS):
            if not due:
                break
            units, robots = np.divmod(self._due[:due], self._active.shape[1])
            self._counter[units, robots] += 1
            due = _turn(
                self._countdowns,
                self._speeds,
                self._active.reshape(-1),
                self._rate.reshape(-1),
                self._duration.reshape(-1),
                self._exponential,
                self._draw(robots, self._counter[units, robots], units),
                elapsed if turn < _MOST_TURNS - 1 else 0.0,
                self._due,
            )

    def _draw(self, robots: NDArray[np.intp], counter: NDArray[np.int64], units: NDArray[np.intp]) -> Floats:
        """Return Exp(1) numbers; the arguments broadcast."""
        return -np.log1p(-self._stream.uniform(robots, counter, units))
