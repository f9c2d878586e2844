"""From a twist to wheels and back: a differential drive, and a car's (Ackermann steering).

Kinematics only: `motors` sets the motors. Geometry: K. Lynch and F. Park, *Modern Robotics*, 13.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .description import AckermannDrive, DifferentialDrive

STANDING = 1e-3
"""A car slower than this (m/s) stands: the sign of the yaw rate alone decides where its steering points."""


class WheelCommand(NamedTuple):
    """``speeds`` of driven wheels (rad/s), the torque each may use (N·m), ``angles`` of the hinges (rad)."""

    speeds: list[float]
    torque: float
    angles: list[float]


class DifferentialKinematics:
    """Wheels on two sides that turn at different speeds.

    ``effort`` (N·m) and ``speed`` (rad/s): the least that the URDF gives any of the wheels. When a wheel
    would have to turn faster, both components of the twist shrink together, so that the path keeps its
    curvature.
    """

    def __init__(self, drive: DifferentialDrive, effort: float, speed: float) -> None:
        self._left, self._count = len(drive.left), len(drive.driven)
        self._radius, self._half_track = drive.wheel_radius, drive.track / 2
        self._effort, self._speed = effort, speed

    def reset(self) -> None:
        """Nothing: wheels on two sides keep no state."""

    def wheels(self, forward: float, turning: float, force: float, moment: float) -> WheelCommand:
        """Wheels for ``forward`` m/s and ``turning`` rad/s, with at most ``force`` N and ``moment`` N·m."""
        turn = turning * self._half_track
        left, right = (forward - turn) / self._radius, (forward + turn) / self._radius
        excess = max(abs(left), abs(right)) / self._speed
        if excess > 1.0:
            left, right = left / excess, right / excess
        per_wheel = self._radius / self._count
        torque = min(force * per_wheel, moment * per_wheel / self._half_track, self._effort)
        return WheelCommand([left] * self._left + [right] * (self._count - self._left), torque, [])

    def twist_effort(self, torques: Sequence[float]) -> tuple[float, float]:
        """Force in N and moment in N·m about the vertical of the driven wheels' torques (N·m)."""
        left, right = sum(torques[: self._left]), sum(torques[self._left : self._count])
        return (left + right) / self._radius, (right - left) / self._radius * self._half_track


class AckermannKinematics:
    """Driven wheels that cannot turn on the spot, and steered ones that point along the curve.

    Curvature is bounded by the steering's range: a tighter curve is driven as the tightest, at the requested
    speed, so that its yaw rate is less than requested. The moment about the vertical cannot be limited.
    """

    def __init__(self, drive: AckermannDrive, effort: float, speed: float) -> None:
        self._radius, self._half_track, self._wheelbase = drive.wheel_radius, drive.track / 2, drive.wheelbase
        self._effort, self._speed, self._max_curvature = effort, speed, drive.max_curvature
        self.reset()

    def reset(self) -> None:
        """Straighten the steering."""
        self._curvature = 0.0

    def wheels(self, forward: float, turning: float, force: float, moment: float) -> WheelCommand:
        """Wheels for ``forward`` m/s and ``turning`` rad/s, with at most ``force`` N; no ``moment``."""
        if abs(forward) > STANDING:
            curvature = turning / forward
        else:  # standing, the steering turns the way that driving on ahead would take
            curvature = math.copysign(math.inf, turning) if turning else self._curvature
        curvature = self._curvature = max(-self._max_curvature, min(self._max_curvature, curvature))
        sides = (1.0 - curvature * self._half_track, 1.0 + curvature * self._half_track)
        speeds = [forward * side / self._radius for side in sides]
        excess = max(map(abs, speeds)) / self._speed
        if excess > 1.0:
            speeds = [speed / excess for speed in speeds]
        angles = [math.atan(self._wheelbase * curvature / side) for side in sides]
        return WheelCommand(speeds, min(force * self._radius / 2, self._effort), angles)

    def twist_effort(self, torques: Sequence[float]) -> tuple[float, float]:
        """The force in N of the driven wheels' torques (N·m); the moment is reported as 0."""
        return sum(torques[:2]) / self._radius, 0.0


Kinematics = DifferentialKinematics | AckermannKinematics


def kinematics_of(drive: DifferentialDrive | AckermannDrive, effort: float, speed: float) -> Kinematics:
    """The kinematics of a drive whose wheels have the limits ``effort`` N·m and ``speed`` rad/s."""
    kind = AckermannKinematics if isinstance(drive, AckermannDrive) else DifferentialKinematics
    return kind(drive, effort, speed)  # type: ignore[arg-type]
