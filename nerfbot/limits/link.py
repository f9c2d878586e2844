"""The command link: whole messages arrive late by a latency and by a jitter drawn for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.channel import Floats
from nerfbot.limits.delay import DelayLine
from nerfbot.limits.streams import Draws
from nerfbot.limits.table import KeepsViews, LimitTable


class CommandLink(KeepsViews):
    """Delays commands of shape (count, channels); the jitter is uniform between 0 and its limit."""

    VIEWS = ("_latency", "_jitter")

    def __init__(self, limits: LimitTable, seeds: NDArray[np.uint64], channels: int) -> None:
        self._limits = limits
        self._bind_views()
        self._draws = Draws("command/jitter", seeds, 1) if "jitter" in limits.declared else None
        self._line = DelayLine(len(seeds), channels)
        self._arrived = np.zeros((len(seeds), channels))

    def _bind_views(self) -> None:
        self._latency, self._jitter = self._limits["latency"][:, 0], self._limits["jitter"][:, 0]

    def reset(self, robots: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        """Start the jitters of ``robots`` anew; `begin` must follow before the next message."""
        if self._draws is not None:
            self._draws.reset(robots, seeds)

    def begin(self, robots: NDArray[np.intp], neutral: Floats) -> None:
        """Lose what is under way to ``robots``; ``neutral`` (len(robots), channels) is there at once."""
        self._line.reset(robots, neutral)

    def send(self, command: Floats, now: float) -> Floats:
        """Take ``command`` at ``now`` (s) and return what has arrived; the next call reuses the array."""
        self._line.exchange(command, now, self._delay(), self._arrived)
        return self._arrived

    def receive(self, now: float) -> Floats:
        """Return what has arrived by ``now`` (s); the next call reuses the array."""
        self._line.pop(now, self._arrived)
        return self._arrived

    def send_ahead(self, command: Floats, now: float, period: float, steps: int) -> Floats:
        """`send`, then `receive` a ``period`` (s) later each: (steps, count, channels)."""
        arrived = np.empty((steps, *command.shape))
        self._line.exchange_ahead(command, now, self._delay(), period, arrived)
        return arrived

    def _delay(self) -> Floats:
        if self._draws is None:
            return self._latency
        delay: Floats = self._latency + self._jitter * self._draws.next()[:, 0]
        return delay
