"""The command link: whole messages arrive late by a latency and by a jitter drawn for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.channel import Floats
from nerfbot.limits.delay import DelayLine
from nerfbot.limits.streams import Stream
from nerfbot.limits.table import LimitTable

_BLOCK = 64


class CommandLink:
    """Delays commands of shape (count, channels); before the first arrives it gives the neutral command."""

    def __init__(self, limits: LimitTable, seeds: NDArray[np.uint64], channels: int) -> None:
        self._latency = limits["latency"][:, 0]
        self._jitter = limits["jitter"][:, 0]
        self._jitters = "jitter" in limits.declared
        self._line = DelayLine(np.zeros((len(seeds), channels)))
        self._arrived = np.zeros((len(seeds), channels))
        self._stream = Stream("command/jitter", seeds)
        self._robots = np.arange(len(seeds))
        self._row = _BLOCK
        self._start = np.full(len(seeds), -_BLOCK)  # number of the message whose jitter is in row 0
        self._block = np.empty((_BLOCK, len(seeds)))

    def reset(self, robots: NDArray[np.intp], seeds: NDArray[np.uint64]) -> None:
        """Start the jitters of ``robots`` anew; `begin` must follow before the next message."""
        self._stream.reseed(robots, seeds)
        self._start[robots] = -self._row
        self._draw(robots)

    def begin(self, robots: NDArray[np.intp], neutral: Floats) -> None:
        """Lose what is under way to ``robots``; ``neutral`` (len(robots), channels) is there at once."""
        self._line.reset(robots, neutral)

    def send(self, command: Floats, now: float) -> Floats:
        """Take ``command`` at ``now`` (s) and return what has arrived by then; do not keep the array."""
        delay: Floats = self._latency
        if self._jitters:
            if self._row == _BLOCK:
                self._row = 0
                self._start += _BLOCK
                self._draw(self._robots)
            delay = delay + self._jitter * self._block[self._row]
            self._row += 1
        self._line.push(command, now, delay)
        self._line.pop(now, self._arrived)
        return self._arrived

    def _draw(self, robots: NDArray[np.intp]) -> None:
        """Fill the block: a robot's n-th message gets its n-th number, whenever the others were reset."""
        numbers = self._start[robots] + np.arange(_BLOCK)[:, None]
        self._block[:, robots] = self._stream.uniform(robots[None], np.maximum(numbers, 0))
