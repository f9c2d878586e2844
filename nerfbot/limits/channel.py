"""What is commanded and what comes back: channels, measurements, the limited command and its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidSpec

AXES = ("strength", "speed", "sensing", "reliability")

Mode = Literal["position", "velocity", "effort"]
Floats = NDArray[np.float64]

_BASE_UNIT = {"m": "m", "m/s": "m", "N": "m", "rad": "rad", "rad/s": "rad", "N·m": "rad", "1": "1"}


@dataclass(frozen=True)
class Channel:
    """One actuated quantity: a joint, or a twist component such as ``linear.x``.

    ``unit`` is the unit of the commanded value: m, m/s or N for a linear channel, rad, rad/s or N·m for
    an angular one, 1 for a normalised one. ``effort_limit`` says whether the plant can cap the effort of
    this channel; ``measures`` names the measured quantities (position, velocity, effort) it reports;
    ``velocity_limit`` says whether the plant bounds the speed of an effort channel by itself.

    Raises `InvalidSpec` for an unknown mode or unit.
    """

    name: str
    mode: Mode
    unit: str
    effort_limit: bool = False
    measures: frozenset[str] = field(default_factory=frozenset)
    velocity_limit: bool = False

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise InvalidSpec(f"channel {self.name}: mode must be one of {get_args(Mode)}, got {self.mode!r}")
        if self.unit not in _BASE_UNIT:
            raise InvalidSpec(
                f"channel {self.name}: unit must be one of {tuple(_BASE_UNIT)}, got {self.unit!r}"
            )

    @property
    def base_unit(self) -> str:
        """Unit of the channel's position: m, rad or 1."""
        return _BASE_UNIT[self.unit]

    @property
    def effort_unit(self) -> str:
        """Unit of the channel's effort: N, N·m or 1."""
        return {"m": "N", "rad": "N·m", "1": "1"}[self.base_unit]


class Measured(NamedTuple):
    """What the plant reports, each of shape (count, channels), or None where it does not measure it."""

    position: Floats | None = None
    velocity: Floats | None = None
    effort: Floats | None = None


class Reason(IntFlag):
    """Why a limited command differs from the requested one; a bit mask, one per robot and channel."""

    NONE = 0
    LATENCY = 1 << 0
    HOLD = 1 << 1
    DROP = 1 << 2
    INTERMITTENT = 1 << 3
    DEAD_BAND = 1 << 4
    BACKLASH = 1 << 5
    QUANTUM = 1 << 6
    JERK = 1 << 7
    ACCELERATION = 1 << 8
    VELOCITY = 1 << 9
    GAIN = 1 << 10
    EFFORT = 1 << 11
    ENVELOPE = 1 << 12
    INVALID = 1 << 13
    TIME = 1 << 14
    STOP = 1 << 15


class Limited(NamedTuple):
    """A command fit for the plant.

    ``value`` (count, channels) in the channels' units; ``effort_limit`` (count, channels), the largest
    effort the plant may use in N or N·m, inf where none is declared; ``reasons`` (count, channels),
    uint16, bits of `Reason`. The arrays belong to the caller: the limiter never writes to them again.
    """

    value: Floats
    effort_limit: Floats
    reasons: NDArray[np.uint16]


class MotionLimits(NamedTuple):
    """How the channels may move: each (count, channels), 1e12 in size where nothing is stated.

    ``velocity`` (rad/s or m/s), ``acceleration`` and ``deceleration`` (rad/s² or m/s²), ``low`` and ``high``
    (rad or m), the range of positions.
    """

    velocity: Floats
    acceleration: Floats
    deceleration: Floats
    low: Floats
    high: Floats
