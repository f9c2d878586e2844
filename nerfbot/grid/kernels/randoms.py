"""The grid's random numbers: a counter-based generator, so that a draw depends only on its purpose.

A world's key comes from its seed and the number of the episode; a draw from the key, its purpose, the tick
and a lane. Adding one impairment never shifts what another draws, and worlds never disturb each other. The
mixing is SplitMix64's finaliser (Steele, Lea and Flood 2014), as in `nerfbot.limits.streams`.
"""

from __future__ import annotations

import enum

import warp as wp

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1

_GOLDEN = wp.constant(wp.uint64(GOLDEN))
_MIX_1 = wp.constant(wp.uint64(0xBF58476D1CE4E5B9))
_MIX_2 = wp.constant(wp.uint64(0x94D049BB133111EB))


class Purpose(enum.IntEnum):
    """What a number is drawn for."""

    LEVEL = 1
    PLAN = 2
    NERF = 3
    DROP = 4
    HOLD = 5
    INTERMITTENT = 6
    INTERFERENCE = 7
    DESTINATION = 8


@wp.func
def mix(x: wp.uint64) -> wp.uint64:
    """Scramble a 64-bit word; every input bit affects every output bit."""
    a = (x ^ (x >> wp.uint64(30))) * _MIX_1
    b = (a ^ (a >> wp.uint64(27))) * _MIX_2
    return b ^ (b >> wp.uint64(31))


@wp.func
def episode_key(seed: wp.uint64, episode: int) -> wp.uint64:
    """The key of a world's episode."""
    return mix(mix(seed + _GOLDEN) + wp.uint64(episode) * _GOLDEN)


@wp.func
def random_bits(key: wp.uint64, purpose: int, tick: int, lane: int) -> wp.uint64:
    """64 random bits."""
    counter = (wp.uint64(purpose) << wp.uint64(48)) | (wp.uint64(lane) << wp.uint64(32)) | wp.uint64(tick)
    return mix(mix(key ^ counter) + _GOLDEN)


@wp.func
def uniform(key: wp.uint64, purpose: int, tick: int, lane: int) -> wp.float64:
    """A number in [0, 1)."""
    return wp.float64(random_bits(key, purpose, tick, lane) >> wp.uint64(11)) * wp.float64(
        1.1102230246251565e-16
    )


@wp.func
def below(key: wp.uint64, purpose: int, tick: int, lane: int, n: int) -> int:
    """A whole number from 0 to n - 1, from the upper 32 bits."""
    return wp.int32(
        ((random_bits(key, purpose, tick, lane) >> wp.uint64(32)) * wp.uint64(n)) >> wp.uint64(32)
    )
