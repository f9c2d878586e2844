"""A causal delay line: values come out after their latency, by time stamp, and never out of order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.channel import Floats
from nerfbot.limits.compiled import compiled

_START = 8

ROUNDING = 1e-9
"""Times that differ by less are equal, s: sums of periods must not decide when a message is due."""


@compiled
def _enqueue(
    values: np.ndarray, due: np.ndarray, newest: int, value: np.ndarray, delay: np.ndarray, now: float
) -> None:
    """Store message ``newest`` and when it is due: after its delay, and not before the message before it."""
    size = due.shape[0]
    slot, before = newest % size, (newest - 1) % size
    for r in range(due.shape[1]):
        due[slot, r] = max(now + delay[r], due[before, r])
        for k in range(value.shape[1]):
            values[slot, r, k] = value[r, k]


@compiled
def _oldest(released: np.ndarray) -> int:
    """The oldest message that a robot still uses; earlier ones may be overwritten."""
    oldest = released[0]
    for r in range(1, released.shape[0]):
        oldest = min(oldest, released[r])
    return oldest


@compiled
def _release(
    values: np.ndarray, due: np.ndarray, released: np.ndarray, newest: int, now: float, out: np.ndarray
) -> None:
    """Move each robot on to its newest message that is due by ``now`` and copy that into ``out``."""
    size = due.shape[0]
    for r in range(due.shape[1]):
        last = released[r]
        while last < newest and due[(last + 1) % size, r] <= now + ROUNDING:
            last += 1
        released[r] = last
        slot = last % size
        for k in range(out.shape[1]):
            out[r, k] = values[slot, r, k]


@compiled
def _exchange_ahead(
    values: np.ndarray,
    due: np.ndarray,
    released: np.ndarray,
    newest: int,
    value: np.ndarray,
    delay: np.ndarray,
    now: float,
    period: float,
    out: np.ndarray,
) -> None:
    """`_enqueue`, then `_release` into ``out`` (steps, count, elements), a ``period`` (s) later each.

    One call into compiled code costs as much as the work in it.
    """
    _enqueue(values, due, newest, value, delay, now)
    for k in range(out.shape[0]):
        _release(values, due, released, newest, now + k * period, out[k])


class DelayLine:
    """Delays messages of ``elements`` numbers for ``count`` robots, each with its own latency.

    A message pushed at ``now`` with delay d comes out at the first `pop` at or after ``now + d``, but
    never before an earlier message: when the latency falls, later messages wait for earlier ones.
    Before the first release `pop` gives what `reset` was given, or zeros. Grows as needed; memory is
    bounded by the latency times the message rate.
    """

    def __init__(self, count: int, elements: int, dtype: type | np.dtype = np.float64) -> None:
        self._values = np.zeros((_START, count, elements), dtype)
        self._due = np.full((_START, count), np.inf)
        self._newest = 0  # slot 0 holds the initial value, as if released long ago
        self._due[0] = -np.inf
        self._released = np.zeros(count, np.int64)
        self._full = 0  # up to this message there is room, whatever has been released since

    def reset(self, robots: NDArray[np.intp], initial: NDArray) -> None:
        """Forget all messages of ``robots``; ``initial`` (len(robots), elements) is there at once."""
        slot = self._newest % len(self._due)
        self._values[slot, robots] = initial
        self._due[slot, robots] = -np.inf
        self._released[robots] = self._newest

    def push(self, value: NDArray, now: float, delay: Floats) -> None:
        """Add ``value`` (count, elements) at ``now`` (s) with ``delay`` (count,) in s."""
        if self._newest >= self._full:
            self._make_room()
        self._newest += 1
        _enqueue(self._values, self._due, self._newest, value, delay, now)

    def pop(self, now: float, out: NDArray) -> None:
        """Write the newest message of each robot released by ``now`` (s) into ``out`` (count, elements)."""
        _release(self._values, self._due, self._released, self._newest, now, out)

    def exchange(self, value: NDArray, now: float, delay: Floats, out: NDArray) -> None:
        """`push` ``value``, then `pop` into ``out``, both at ``now`` (s)."""
        self.exchange_ahead(value, now, delay, 0.0, out[None])

    def exchange_ahead(self, value: NDArray, now: float, delay: Floats, period: float, out: NDArray) -> None:
        """`exchange` at ``now``, then `pop` every ``period`` (s): ``out`` (steps, count, elements)."""
        if self._newest >= self._full:
            self._make_room()
        self._newest += 1
        _exchange_ahead(self._values, self._due, self._released, self._newest, value, delay, now, period, out)

    def hold(self, robots: NDArray[np.intp], released: NDArray[np.int64]) -> NDArray:
        """Take the last `exchange` back for ``robots``, which stood at ``released``; what they have by now.

        Their newest message is then the one before once more, due with it, which changes nothing.
        """
        size = len(self._due)
        slot, before = self._newest % size, (self._newest - 1) % size
        self._due[slot, robots], self._values[slot, robots] = (
            self._due[before, robots],
            self._values[before, robots],
        )
        self._released[robots] = released
        return self._values[released % size, robots]

    def released(self, robots: NDArray[np.intp]) -> NDArray[np.int64]:
        """The number of the message that each of ``robots`` stands at, a copy."""
        return self._released[robots]

    def _make_room(self) -> None:
        """Count how many more messages fit; grow the ring where none does."""
        oldest = int(_oldest(self._released))
        if self._newest + 1 - oldest >= len(self._due):
            self._grow()
        self._full = oldest + len(self._due) - 1

    def _grow(self) -> None:
        """Double the ring; a message's slot stays its number modulo the size."""
        size = len(self._due)
        numbers = np.arange(self._newest - size + 1, self._newest + 1)
        values = np.zeros((2 * size, *self._values.shape[1:]), self._values.dtype)
        due = np.full((2 * size, self._due.shape[1]), np.inf)
        values[numbers % (2 * size)] = self._values[numbers % size]
        due[numbers % (2 * size)] = self._due[numbers % size]
        self._values, self._due = values, due
