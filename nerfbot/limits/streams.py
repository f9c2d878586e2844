"""Random numbers that depend on (seed, purpose, lane, counter) only: streams never disturb each other.

A counter-based generator: the SplitMix64 finaliser (Steele, Lea and Flood 2014, "Fast splittable
pseudorandom number generators") applied to a key and a counter. Drawing for one robot, one impairment or
one step never shifts what another draws, and a reset of one robot leaves the rest of the batch alone.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Uint64 = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix(x: Uint64) -> Uint64:
    """Scramble 64-bit words of any shape; every input bit affects every output bit."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


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
        lanes = mix(np.atleast_1d(np.asarray(lane)).astype(np.uint64) + _GOLDEN)
        key = mix(self._keys[robots] ^ lanes)
        words = mix(key + np.asarray(counter).astype(np.uint64) * _GOLDEN)
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
