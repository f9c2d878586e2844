"""From a twist to wheels and back: a differential drive, and a car's (Ackermann steering).

Kinematics only: `motors` sets the motors. Geometry: K. Lynch and F. Park, *Modern Robotics*, 13.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nerfbot.limits.channel import Floats
from nerfbot.limits.compiled import compiled

from .description import AckermannDrive, DifferentialDrive

STANDING = 1e-3
"""A car slower than this (m/s) stands: the sign of the yaw rate alone decides where its steering points."""


class WheelCommands(NamedTuple):
    """Rows for the coming physics steps, up to the last that differs from the one before.

    ``speeds`` of driven wheels (rad/s), the ``torques`` they may use (N·m), ``angles`` of hinges (rad).
    """

    speeds: list[list[float]]
    torques: list[list[float]]
    angles: list[list[float]]


@compiled
def _differential(
    twists: np.ndarray,
    limits: np.ndarray,
    most: np.ndarray,
    from_twist: np.ndarray,
    from_effort: np.ndarray,
    top: float,
    effort: float,
    speeds: np.ndarray,
    torques: np.ndarray,
) -> int:
    """Fill ``speeds`` and ``torques`` (steps, wheels); returns the number of rows up to the last change."""
    changes = 1
    for k in range(twists.shape[0]):
        fastest, torque = top, effort
        for c in range(2):
            torque = min(torque, min(limits[k, c], most[c]) * from_effort[c])
        for wheel in range(speeds.shape[1]):
            speed = twists[k, 0] * from_twist[0, wheel] + twists[k, 1] * from_twist[1, wheel]
            speeds[k, wheel], torques[k, wheel] = speed, torque
            fastest = max(fastest, abs(speed))
        for wheel in range(speeds.shape[1]):
            if fastest > top:
                speeds[k, wheel] *= top / fastest
            if k and (speeds[k, wheel] != speeds[k - 1, wheel] or torque != torques[k - 1, wheel]):
                changes = k + 1
    return changes


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
        turn = np.repeat([-self._half_track, self._half_track], [self._left, self._count - self._left])
        self._from_twist = np.array([np.ones(self._count), turn]) / self._radius
        self._from_effort = self._radius / self._count / np.array([1.0, self._half_track])

    def reset(self) -> None:
        """Nothing: wheels on two sides keep no state."""

    def wheels(self, twists: Floats, limits: Floats, most: Floats) -> WheelCommands:
        """Wheels for ``twists`` (steps, 2) in m/s and rad/s, with at most ``limits``, as large, in N and N·m.

        ``most`` (2,): bounds of all limits.
        """
        speeds, torques = np.empty((2, len(twists), self._count))
        rows = _differential(
            twists,
            limits,
            most,
            self._from_twist,
            self._from_effort,
            self._speed,
            self._effort,
            speeds,
            torques,
        )
        return WheelCommands(speeds[:rows].tolist(), torques[:rows].tolist(), [])

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

    def wheels(self, twists: Floats, limits: Floats, most: Floats) -> WheelCommands:
        """Wheels for ``twists`` (steps, 2) in m/s and rad/s, with at most ``limits``, as large, in N.

        ``most`` (2,): bounds of all limits. The moment cannot be limited.
        """
        rows = [self._wheels(forward, turning) for forward, turning in twists.tolist()]
        torques = np.minimum(np.minimum(limits[:, 0], most[0]) * self._radius / 2, self._effort).tolist()
        return WheelCommands(
            [speeds for speeds, _ in rows],
            [[torque] * 2 for torque in torques],
            [angles for _, angles in rows],
        )

    def _wheels(self, forward: float, turning: float) -> tuple[list[float], list[float]]:
        """The speeds of the driven wheels and the angles of the hinges."""
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
        return speeds, angles

    def twist_effort(self, torques: Sequence[float]) -> tuple[float, float]:
        """The force in N of the driven wheels' torques (N·m); the moment is reported as 0."""
        return sum(torques[:2]) / self._radius, 0.0


Kinematics = DifferentialKinematics | AckermannKinematics


def kinematics_of(drive: DifferentialDrive | AckermannDrive, effort: float, speed: float) -> Kinematics:
    """The kinematics of a drive whose wheels have the limits ``effort`` N·m and ``speed`` rad/s."""
    kind = AckermannKinematics if isinstance(drive, AckermannDrive) else DifferentialKinematics
    return kind(drive, effort, speed)  # type: ignore[arg-type]
