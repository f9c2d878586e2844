"""What the driver tells its clients after each cycle."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """What the driver does: torque off, following commands, stopping, holding still, letting down."""

    OFF = "off"
    RUN = "run"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"


@dataclass
class DriverReport:
    """The driver after the cycle at ``now`` (s); the fields are the keys of its JSON.

    ``reasons`` and ``guards`` that speak, number and reason of the latch, how far the ``recovery`` from it is
    and what it ``needs`` an operator to do, lift ``levels``; position,
    velocity, effort and goal by joint (rad, rad/s, N·m, rad); the envelope's ``digest``.
    """

    now: float
    phase: str
    reasons: list[str]
    guards: list[str]
    latch: int
    latched: str
    recovery: str
    needs: list[str]
    levels: list[float]
    position: list[float]
    velocity: list[float]
    effort: list[float]
    goal: list[float]
    digest: str
