"""From a twist to wheels and back: a differential drive, and a car's (Ackermann steering).

Kinematics only: the robot sets the motors. Geometry: K. Lynch and F. Park, *Modern Robotics*, 13.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .description import Ackermann, Drive

STANDING = 1e-3
"""A car slower than this (m/s) stands: what curve it is asked for is told by the yaw rate's sign alone."""


class WheelCommand(NamedTuple):
    """``speeds`` of driven wheels (rad/s), the torque each may use (N·m), ``angles`` of the hinges (rad)."""

    speeds: list[float]
    force: float
    angles: list[float]


class Differential:
    """Wheels on two sides that turn at different speeds.

    ``effort`` (N·m) and ``speed`` (rad/s): the least that the URDF gives any of the wheels. When a wheel
    would have to turn faster, both components of the twist shrink together, so that the path keeps its
    curvature.
    """

    def __init__(self, drive: Drive, effort: float, speed: float) -> None:
        self.driven, self.hinges = (*drive.left, *drive.right), ()
        self.rolling: tuple[str, ...] = ()
        self._left, self._count = len(drive.left), len(self.driven)
        self._radius, self._half_track = drive.wheel_radius, drive.track / 2
        self._effort, self._speed = effort, speed

    def command(self, forward: float, turning: float, push: float, moment: float) -> WheelCommand:
        """Wheels for ``forward`` m/s and ``turning`` rad/s, with at most ``push`` N and ``moment`` N·m."""
        turn = turning * self._half_track
        left, right = (forward - turn) / self._radius, (forward + turn) / self._radius
        excess = max(abs(left), abs(right)) / self._speed
        if excess > 1.0:
            left, right = left / excess, right / excess
        per_wheel = self._radius / self._count
        force = min(push * per_wheel, moment * per_wheel / self._half_track, self._effort)
        return WheelCommand([left] * self._left + [right] * (self._count - self._left), force, [])

    def efforts(self, torques: Sequence[float]) -> tuple[float, float]:
        """The push in N and the moment in N·m about the vertical of the driven wheels' torques (N·m)."""
        left, right = sum(torques[: self._left]), sum(torques[self._left : self._count])
        return (left + right) / self._radius, (right - left) / self._radius * self._half_track


class Car:
    """Driven wheels that cannot turn on the spot, and steered ones that point along the curve.

    Curvature is bounded by the steering's range: a tighter curve is driven as the tightest, at the speed that
    was asked for, so that its yaw rate is less than asked. The moment about the vertical cannot be capped.
    """

    def __init__(self, drive: Ackermann, effort: float, speed: float) -> None:
        self.driven, self.hinges, self.rolling = drive.driven, drive.steering, drive.rolling
        self._radius, self._half_track, self._wheelbase = drive.wheel_radius, drive.track / 2, drive.wheelbase
        self._effort, self._speed = effort, speed
        self.curvature = math.tan(drive.max_steering) / drive.wheelbase
        """The tightest curve, 1/m."""
        self._last = 0.0

    def command(self, forward: float, turning: float, push: float, moment: float) -> WheelCommand:
        """Wheels for ``forward`` m/s and ``turning`` rad/s, with at most ``push`` N; no ``moment``."""
        if abs(forward) > STANDING:
            wanted = turning / forward
        else:  # standing, the steering turns the way that driving on ahead would take
            wanted = math.copysign(math.inf, turning) if turning else self._last
        curve = self._last = max(-self.curvature, min(self.curvature, wanted))
        sides = (1.0 - curve * self._half_track, 1.0 + curve * self._half_track)
        speeds = [forward * side / self._radius for side in sides]
        excess = max(map(abs, speeds)) / self._speed
        if excess > 1.0:
            speeds = [speed / excess for speed in speeds]
        angles = [math.atan(self._wheelbase * curve / side) for side in sides]
        return WheelCommand(speeds, min(push * self._radius / 2, self._effort), angles)

    def efforts(self, torques: Sequence[float]) -> tuple[float, float]:
        """The push in N of the driven wheels' torques (N·m); the moment is told as 0."""
        return sum(torques[:2]) / self._radius, 0.0


def drive_of(drive: Drive | Ackermann, effort: float, speed: float) -> Differential | Car:
    """The drive that a description states, with the wheels' limits: ``effort`` N·m, ``speed`` rad/s."""
    return Car(drive, effort, speed) if isinstance(drive, Ackermann) else Differential(drive, effort, speed)
