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
def _run_down(countdown: np.ndarray, speed: np.ndarray, elapsed: np.ndarray, due: np.ndarray) -> int:
    """Take what ``elapsed`` (count,) s cost off every countdown (units, count).

    Lists those that have run out, numbered end to end, and returns how many. In blocks, without a branch:
    most have nothing to list.
    """
    listed, count = 0, countdown.shape[1]
    for unit in range(countdown.shape[0]):
        for start in range(0, count, _BLOCK):
            left, pace = countdown[unit, start : start + _BLOCK], speed[unit, start : start + _BLOCK]
            time = elapsed[start : start + _BLOCK]
            over = 0
            for i in range(left.shape[0]):
                left[i] -= pace[i] * time[i]
                over += left[i] <= 0.0
            if over:
                for i in range(left.shape[0]):
                    if left[i] <= 0.0:
                        due[listed] = unit * count + start + i
                        listed += 1
    return listed


@compiled
def _run_down_quietly(
    countdown: np.ndarray, speed: np.ndarray, first: float, period: float, steps: int
) -> bool:
    """Take the cost of ``steps`` steps off every countdown (units, count), if none runs out meanwhile.

    The first step takes ``first`` s, the others a ``period`` each. Returns whether it was done.
    """
    for write in (False, True):
        for u in range(countdown.shape[0]):
            for r in range(countdown.shape[1]):
                left = countdown[u, r] - speed[u, r] * first
                for _ in range(steps - 1):  # one by one: the same bits as step by step
                    left -= speed[u, r] * period
                if left <= 0.0:
                    return False
                if write:
                    countdown[u, r] = left
    return True


@compiled
def _turn(
    countdown: np.ndarray,
    speed: np.ndarray,
    active: np.ndarray,
    rate: np.ndarray,
    duration: np.ndarray,
    exponential: np.ndarray,
    drawn: np.ndarray,
    elapsed: np.ndarray,
    due: np.ndarray,
) -> int:
    """Turn the listed units, each with its ``drawn`` Exp(1); keep those listed that are due again.

    What follows a countdown has run since it ended, at most for ``elapsed`` (count,) s. Arrays are (units,
    count), units are numbered end to end. Returns how many are kept.
    """
    again, count = 0, active.shape[1]
    for n in range(drawn.shape[0]):
        u, r = due[n] // count, due[n] % count
        since = min(-countdown[u, r] / speed[u, r], elapsed[r])
        active[u, r] = not active[u, r]
        if active[u, r]:
            speed[u, r], length = 1.0, duration[u, r] * (drawn[n] if exponential[u] else 1.0)
        else:
            speed[u, r], length = rate[u, r], drawn[n]
        countdown[u, r] = length - since * speed[u, r]
        if countdown[u, r] <= 0.0:
            due[again] = due[n]
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
    """Which units of which robots are in a burst.

    While healthy a unit's hazard budget, Exp(1), is used up at ``rate``; in a burst the time left runs
    down at 1. Both are one countdown with a speed, so that a rate that changes (a lift) acts at once and
    the share of time in fault does not depend on how often `step` is called.
    ``exponential`` (units,) says whose durations are drawn; the others are all equal to the mean.
    """

    def __init__(self, purpose: str, seeds: NDArray[np.uint64], exponential: NDArray[np.bool_]) -> None:
        shape = (len(exponential), len(seeds))  # robots side by side, as the kernels want them
        self.active_by_unit = np.zeros(shape, bool)
        """Which units are in a burst, (units, count); rewritten in place."""
        self._exponential = exponential
        self._rate, self._duration = np.zeros(shape), np.ones(shape)
        self._speed, self._countdown = np.zeros(shape), np.ones(shape)
        self._counter = np.zeros(shape, np.int64)
        self._due = np.empty(self.active_by_unit.size, np.intp)
        self._elapsed = np.zeros(len(seeds))
        self._stream = Stream(purpose, seeds)
        self.reset(np.arange(len(seeds)), seeds)

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which units are in a burst, (count, units), a view."""
        return self.active_by_unit.T

    def reset(self, robots: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        """Make all units of ``robots`` (indices) healthy and start their streams from ``seeds``."""
        self._stream.reseed(robots, seeds)
        self.active_by_unit[:, robots] = False
        self._counter[:, robots] = 0
        units = np.arange(len(self.active_by_unit))[:, None]
        self._countdown[:, robots] = self._draw(robots, np.zeros(1, np.int64), units)
        self._speed[:, robots] = self._rate[:, robots]

    def set(self, robots: NDArray[np.intp], rate: Floats, duration: Floats, first_unit: int = 0) -> None:
        """Set rates (1/s) and mean durations (s) of ``robots``, each (len(robots), units).

        ``first_unit``: the unit that their first column belongs to.
        """
        _set(self._rate, self._duration, self._speed, self.active_by_unit, robots, rate, duration, first_unit)

    def step(self, elapsed: float | Floats) -> None:
        """Advance by ``elapsed`` s, one for all or (count,), through as many bursts as fall into them."""
        if isinstance(elapsed, float):
            self._elapsed.fill(min(elapsed, _LONGEST))
        else:
            np.minimum(elapsed, _LONGEST, out=self._elapsed)
        due = _run_down(self._countdown, self._speed, self._elapsed, self._due)
        for turn in range(_MOST_TURNS):
            if not due:
                break
            units, robots = np.divmod(self._due[:due], len(self._elapsed))
            self._counter[units, robots] += 1
            if turn == _MOST_TURNS - 1:
                self._elapsed[:] = 0.0
            due = _turn(
                self._countdown,
                self._speed,
                self.active_by_unit,
                self._rate,
                self._duration,
                self._exponential,
                self._draw(robots, self._counter[units, robots], units),
                self._elapsed,
                self._due,
            )

    def pass_quietly(self, first: float, period: float, steps: int) -> bool:
        """`step` by ``first`` s and ``steps`` - 1 times by ``period`` s, if nothing begins or ends meanwhile.

        Returns whether it did; otherwise nothing has changed.
        """
        return bool(_run_down_quietly(self._countdown, self._speed, min(first, _LONGEST), period, steps))

    def _draw(self, robots: NDArray[np.intp], counter: NDArray[np.int64], units: NDArray[np.intp]) -> Floats:
        """Return Exp(1) numbers; the arguments broadcast."""
        return -np.log1p(-self._stream.uniform(robots, counter, units))
