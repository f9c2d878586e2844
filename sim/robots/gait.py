"""A quadruped's trot as data and a generator: a twist in, a position for every joint out.

Diagonal legs step together (M. Raibert, *Legged Robots That Balance*, 1986, ch. 4); feet follow a line on the
ground and a cycloid above it. Open loop: balance is left to the short steps, heading to who steers.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nerfbot.declared import Declared, validate
from nerfbot.files import read_yaml, shipped
from nerfbot.limits import Channel

from ..errors import InvalidRobot
from .description import Positive

GAITS = Path(__file__).parent / "gaits"
STANCE = 0.5
"""Share of a cycle that a foot is on the ground."""


class Ends(Declared):
    """A number at lift level 0 and 1, straight in between."""

    nerfed: Positive
    lifted: Positive

    def at(self, level: float) -> float:
        """Its value at ``level`` in [0, 1]."""
        return (1.0 - level) * self.nerfed + level * self.lifted


class Leg(Declared):
    """Hip, thigh and calf joint by name; ``phase`` in the cycle; ``side``, 1 for left and -1 for right."""

    joints: tuple[str, str, str]
    phase: Annotated[float, Field(ge=0, lt=1)]
    side: Annotated[int, Field(ge=-1, le=1)]


class Gait(Declared):
    """A trot; see `gaits/a1.yaml` for the units."""

    name: str
    legs: dict[str, Leg]
    segment: Positive
    track: Positive
    grip: Annotated[float, Field(gt=0, le=1)]
    frequency: Ends
    stride: Ends
    height: Ends
    clearance: Ends
    start: Positive

    @classmethod
    def load(cls, source: str | Path) -> Gait:
        """Read the gait that ships as ``source``, or a YAML file; raises `InvalidRobot`, one line."""
        path = shipped(GAITS, source, "gait", InvalidRobot)
        return validate(cls, read_yaml(path, InvalidRobot), str(path), InvalidRobot)

    def speed(self, level: float) -> float:
        """The fastest way ahead at lift ``level``, m/s."""
        return self.stride.at(level) * self.grip * self.frequency.at(level) / STANCE


class Trot:
    """Generates a gait for a robot with ``channels``.

    Raises `InvalidRobot` where a joint of the gait is no position channel, or a channel is no joint of it.
    """

    def __init__(self, gait: Gait, channels: tuple[Channel, ...]) -> None:
        self.gait = gait
        names = [channel.name for channel in channels if channel.mode == "position"]
        joints = [joint for leg in gait.legs.values() for joint in leg.joints]
        if sorted(names) != sorted(joints) or len(names) != len(channels):
            odd = sorted(set(joints) ^ {channel.name for channel in channels})
            raise InvalidRobot(
                f"gait {gait.name}: legs: position channels and joints differ in {', '.join(odd)}"
            )
        self._places = {leg: [names.index(joint) for joint in item.joints] for leg, item in gait.legs.items()}
        self.restart()

    def restart(self) -> None:
        """Begin anew, standing."""
        self._phase = self._grown = 0.0

    def step(self, forward: float, turning: float, level: float, period: float) -> NDArray[np.float64]:
        """Positions (channels,) in rad after ``period`` s more at ``forward`` m/s and ``turning`` rad/s.

        ``level``: the lift in [0, 1] that strides, frequency and height are chosen for. Zero twist stands.
        """
        gait, positions = self.gait, np.zeros(sum(map(len, self._places.values())))
        walks = forward != 0.0 or turning != 0.0
        frequency, longest = gait.frequency.at(level), gait.stride.at(level)
        self._phase = (self._phase + frequency * period) % 1.0 if walks else 0.0
        self._grown = min(1.0, self._grown + period / gait.start) if walks else 0.0
        for name, leg in gait.legs.items():
            speed = forward - leg.side * turning * gait.track / 2
            stride = self._grown * max(-longest, min(longest, speed * STANCE / (gait.grip * frequency)))
            along, up = _foot((self._phase + leg.phase) % 1.0)
            thigh, calf = self._reach(
                stride * along, gait.height.at(level) - gait.clearance.at(level) * up * walks
            )
            positions[self._places[name]] = (0.0, thigh, calf)
        return positions

    def _reach(self, ahead: float, below: float) -> tuple[float, float]:
        """Thigh and calf angle (rad) with the foot ``ahead`` and ``below`` the hip, m: two equal segments."""
        length = min(math.hypot(ahead, below), 1.999 * self.gait.segment)
        knee = math.acos(length / (2.0 * self.gait.segment))
        return math.atan2(-ahead, below) + knee, -2.0 * knee


def _foot(phase: float) -> tuple[float, float]:
    """Where a foot is at ``phase``: share of the stride ahead (-0.5 to 0.5) and of the clearance up."""
    if phase < STANCE:
        return 0.5 - phase / STANCE, 0.0
    share = (phase - STANCE) / (1.0 - STANCE)
    return share - math.sin(2.0 * math.pi * share) / (2.0 * math.pi) - 0.5, math.sin(math.pi * share) ** 2
