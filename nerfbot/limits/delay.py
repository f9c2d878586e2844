"""A causal delay line: values come out after their latency, by time stamp, and never out of order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.channel import Floats

_START = 8


class DelayLine:
    """Delays messages of shape (count, *shape), each robot with its own latency.

    A message pushed at ``now`` with delay d comes out at the first `pop` at or after ``now + d``, but
    never before an earlier message: when the latency falls, later messages wait for earlier ones.
    Before the first release `pop` gives ``initial``. Grows as needed; memory is bounded by the latency
    times the message rate.
    """

    def __init__(self, initial: NDArray, dtype: type | np.dtype = np.float64) -> None:
        self._initial = np.array(initial, dtype)
        self._count = len(initial)
        self._rows = np.arange(self._count)
        self._values = np.empty((_START, *self._initial.shape), dtype)
        self._due = np.full((_START, self._count), np.inf)
        self._values[:] = self._initial
        self._newest = 0  # slot 0 holds the initial value, as if released long ago
        self._due[0] = -np.inf
        self._released = np.zeros(self._count, np.int64)

    def reset(self, robots: NDArray[np.intp], initial: NDArray | None = None) -> None:
        """Forget all messages of ``robots``; they give ``initial`` (or the first initial value) again."""
        if initial is not None:
            self._initial[robots] = initial
        slot = self._newest % len(self._due)
        self._values[slot, robots] = self._initial[robots]
        self._due[slot, robots] = -np.inf
        self._released[robots] = self._newest

    def push(self, value: NDArray, now: float, delay: Floats | float) -> None:
        """Add ``value`` (count, *shape) at ``now`` (s) with ``delay`` (count,) or one number (s)."""
        newest = self._newest + 1
        size = len(self._due)
        if newest - int(self._released.min() if self._count > 1 else self._released[0]) >= size:
            self._grow()
            size = len(self._due)
        slot = newest % size
        self._values[slot] = value
        due = self._due[slot]
        np.add(delay, now, due)
        np.maximum(due, self._due[(newest - 1) % size], out=due)
        self._newest = newest

    def pop(self, now: float, out: NDArray) -> bool:
        """Write the newest message released by ``now`` into ``out``; True if any robot has a new one."""
        size = len(self._due)
        if self._count == 1:  # the same as below without array overhead
            released = before = int(self._released[0])
            while released < self._newest and self._due[(released + 1) % size, 0] <= now:
                released += 1
            self._released[0] = released
            out[...] = self._values[released % size]
            return released != before
        fresh = False
        while True:
            following = self._released + 1
            ready = (following <= self._newest) & (self._due[following % size, self._rows] <= now)
            if not ready.any():
                break
            fresh = True
            self._released += ready
        flat = self._values.reshape(size * self._count, *self._values.shape[2:])
        np.take(flat, (self._released % size) * self._count + self._rows, axis=0, out=out, mode="clip")
        return fresh

    def _grow(self) -> None:
        """Double the ring, oldest message first, so that slots stay message number modulo size."""
        size = len(self._due)
        first = self._newest - size + 1
        old = np.arange(first, self._newest + 1)
        values = np.empty((2 * size, *self._values.shape[1:]), self._values.dtype)
        due = np.full((2 * size, self._count), np.inf)
        values[old % (2 * size)] = self._values[old % size]
        due[old % (2 * size)] = self._due[old % size]
        self._values, self._due = values, due
