"""Random numbers that depend on (seed, purpose, lane, counter) only: streams never disturb each other.

A counter-based generator: the SplitMix64 finaliser (Steele, Lea and Flood 2014, "Fast splittable
pseudorandom number generators") applied to a key and a counter. Drawing for one robot, one impairment or
one step never shifts what another draws, and a reset of one robot leaves the rest of the batch alone.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.compiled import compiled

Uint64 = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@compiled
def mix(x: Uint64) -> Uint64:
    """Scramble 64-bit words of any shape; every input bit affects every output bit."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


@compiled
def _uniform(keys: Uint64, counter: Uint64, lane: Uint64) -> NDArray[np.float64]:
    """Numbers in [0, 1); the arguments broadcast."""
    key = mix(keys ^ mix(lane + _GOLDEN))
    return (mix(key + counter * _GOLDEN) >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Stream:
    """One purpose's random numbers for ``count`` robots.

    ``purpose`` is a stable text such as ``"noise/lidar"``: the same text and seed give the same numbers
    whatever other streams exist.
    """

    def __init__(self, purpose: str, seeds: NDArray[np.integer]) -> None:
        digest = hashlib.sha256(purpose.encode()).digest()
        self._purpose = np.array([int.from_bytes(digest[:8], "little")], np.uint64)
        self._keys = np.zeros(len(seeds), np.uint64)
        self.reseed(np.arange(len(seeds)), seeds)

    def reseed(self, robots: NDArray[np.intp], seeds: NDArray[np.integer]) -> None:
        """Start the streams of ``robots`` (indices) anew from ``seeds``, one a robot."""
        self._keys[robots] = mix(mix(np.asarray(seeds).astype(np.uint64) + _GOLDEN) ^ self._purpose)

    def uniform(
        self, robots: NDArray[np.intp], counter: NDArray[np.integer], lane: NDArray[np.integer] | int = 0
    ) -> NDArray[np.float64]:
        """Numbers in [0, 1) for ``robots`` at ``counter``; ``lane`` tells channels or elements apart.

        ``robots``, ``counter`` and ``lane`` broadcast against each other; so is the result's shape.
        """
        lanes = np.atleast_1d(np.asarray(lane)).astype(np.uint64)
        return _uniform(self._keys[robots], np.asarray(counter).astype(np.uint64), lanes)


class Draws:
    """One purpose's numbers for successive calls, drawn a block of calls ahead.

    The n-th call after a robot's reset gets the robot's n-th numbers, whenever the others were reset.
    ``lanes`` numbers a robot and call; standard normal ones (Box and Muller 1958) with ``normal``.
    """

    _BLOCK_NUMBERS = 4096

    def __init__(self, purpose: str, seeds: NDArray[np.uint64], lanes: int, normal: bool = False) -> None:
        self._stream = Stream(purpose, seeds)
        self._robots, self._normal = np.arange(len(seeds)), normal
        self._row, self._first = 0, np.zeros(len(seeds), np.int64)  # number of the call that row 0 belongs to
        self.resize(lanes)

    def resize(self, lanes: int) -> None:
        """Go on with this many numbers a robot and call; the calls count on."""
        following = self._first + self._row
        self._lanes = np.arange(lanes)
        self._size = min(64, max(1, self._BLOCK_NUMBERS // (len(self._robots) * lanes)))
        self._row, self._first = self._size, following - self._size
        self._block = np.empty((self._size, len(self._robots), lanes))

    def reset(self, robots: NDArray[np.intp], seeds: NDArray[np.integer]) -> None:
        """Start the numbers of ``robots`` (indices) anew from ``seeds``."""
        self._stream.reseed(robots, seeds)
        self._first[robots] = -self._row
        if self._row < self._size:
            self._draw(robots)

    def next(self) -> NDArray[np.float64]:
        """Return the next numbers, (count, lanes); do not write to them."""
        if self._row == self._size:
            self._row = 0
            self._first += self._size
            self._draw(self._robots)
        self._row += 1
        return self._block[self._row - 1]

    def hold(self, robots: NDArray[np.intp]) -> None:
        """Take the last call back for ``robots`` (indices): the next one gets them the same numbers."""
        self._first[robots] -= 1
        self._draw(robots)

    def _draw(self, robots: NDArray[np.intp]) -> None:
        calls = np.maximum(self._first[robots] + np.arange(self._size)[:, None], 0)[:, :, None]
        if self._normal:
            radius = np.sqrt(-2.0 * np.log1p(-self._stream.uniform(robots[:, None], calls, 2 * self._lanes)))
            angle = 2.0 * np.pi * self._stream.uniform(robots[:, None], calls, 2 * self._lanes + 1)
            self._block[:, robots] = radius * np.cos(angle)
        else:
            self._block[:, robots] = self._stream.uniform(robots[:, None], calls, self._lanes)
