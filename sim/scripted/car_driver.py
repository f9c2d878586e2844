"""A scripted driver for a car: it turns only while it rolls, and backs off where it must."""

from __future__ import annotations

import math

from nerfbot.angles import wrap_angle
from nerfbot.course import Course

from ..errors import InvalidRobot
from ..robots.description import AckermannDrive, RobotDescription
from .driver import BACK_SPEED, BRAKING, ScriptedDriver
from .navigation import Point

LATERAL = 2.5
"""Lateral acceleration that the driver asks of the tyres, m/s²."""

_BEHIND, _AHEAD = 1.5, 0.6
_BACK_STEPS = 40


class CarDriver(ScriptedDriver):
    """Drives one episode on ``course``; raises `InvalidRobot` for a robot without steering."""

    def __init__(self, course: Course, speed: float = 1.4, robot: RobotDescription | str = "racecar") -> None:
        description = robot if isinstance(robot, RobotDescription) else RobotDescription.load(robot)
        super().__init__(course, speed, description)
        if not isinstance(description.drive, AckermannDrive):
            raise InvalidRobot(f"{description.name}: drive: a car's driver needs one with steering")
        self._curvature = math.tan(description.drive.max_steering) / description.drive.wheelbase
        self._reversing = 0

    def _steer(
        self, target: Point, speed: float, stop: bool, left: float | None = None
    ) -> tuple[float, float]:
        """Pursue ``target`` (m) on a circle at up to ``speed`` m/s; ``left`` m remain to the end.

        R. C. Coulter, *Implementation of the pure pursuit path tracking algorithm*, CMU-RI-TR-92-01, 1992.
        """
        dx, dy = target[0] - self._here[0], target[1] - self._here[1]
        distance, off = math.hypot(dx, dy), wrap_angle(math.atan2(dy, dx) - self._pose[2])
        curve = 2.0 * math.sin(off) / max(distance, 0.05)
        if abs(off) > _BEHIND or abs(curve) > 1.5 * self._curvature:
            self._reversing = self._reversing or _BACK_STEPS
        if self._reversing:
            self._reversing = 0 if abs(off) < _AHEAD and abs(curve) < self._curvature else self._reversing - 1
            return -BACK_SPEED, math.copysign(BACK_SPEED * self._curvature, off)
        curve = max(-self._curvature, min(self._curvature, curve))
        speed = min(speed, math.sqrt(LATERAL / max(abs(curve), 1e-3)))
        if stop:
            left = distance if left is None else left
            speed = min(speed, max(0.15, math.sqrt(2 * BRAKING * max(0.0, left - 0.03)) - 0.1))
        return speed, speed * curve
