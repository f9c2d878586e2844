"""The cell controller: drives one move of the grid as a closed loop of twists and reports how it ended.

It requests a speed; the nerf layer decides what the robot makes of it, so a nerfed robot is slower, weaker
and less reliable at a move. It reads odometry, and knows neither a simulator nor a policy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nerfbot.angles import wrap_angle
from nerfbot.course import Course
from nerfbot.course.elements import STEPS

Cell = tuple[int, int]
Outcome = Literal["arrived", "stuck", "timed-out"]

DIRECTIONS = tuple(STEPS)
"""Directions of the moves 1 to 4: east, north, west, south."""


@dataclass(frozen=True)
class Pace:
    """How a controller drives.

    It requests at most `speed` m/s and `turn_rate` rad/s, and counts on `braking` m/s². A cell is reached
    within the share `arrived` of its side from its centre, without stopping there; the speed is low enough
    to stop within the share `slack` of a side. Off by more than `turn_from` rad it turns on the spot until
    within `turn_to` rad. It is stuck after `patience` s without progress; a move times out after `time_out` s
    plus `times` times its nominal duration.
    """

    speed: float = 1.0
    turn_rate: float = 3.0
    braking: float = 2.0
    arrived: float = 0.2
    slack: float = 0.25
    turn_from: float = 0.5
    turn_to: float = 0.12
    patience: float = 2.5
    time_out: float = 4.0
    times: float = 4.0
    gain: float = 4.0
    acceleration: float = 2.5
    turn_acceleration: float = 10.0
    period: float = 0.05


class CellController:
    """Drives from cell to cell of ``course``, one move at a time.

    `begin` starts a move; `command` gives the twist of each control step until `outcome` is not None.
    """

    def __init__(self, course: Course, pace: Pace | None = None) -> None:
        self.course, self.pace = course, pace or Pace()
        self.speed = min(self.pace.speed, math.sqrt(2 * self.pace.braking * self.pace.slack * course.cell))
        """m/s that it drives at: no faster than it can stop within a cell."""
        self.outcome: Outcome | None = "arrived"
        self._command = (0.0, 0.0)

    def begin(self, cell: Cell, direction: int, now: float, nominal: float) -> None:
        """Start the move from ``cell`` in ``direction`` (0 to 3) at ``now`` s.

        ``nominal`` is the time in s that a cell takes under the present nerf; the time-out scales with it.
        """
        self._down, self._right = STEPS[DIRECTIONS[direction]]
        self._start = self.course.centre(*cell)
        self._goal = self.course.centre(cell[0] + self._down, cell[1] + self._right)
        self._deadline = now + self.pace.time_out + self.pace.times * nominal
        self._turning = False
        self._shortest, self._progress_time = math.inf, now
        self.outcome = None

    def command(self, pose: Sequence[float], now: float) -> tuple[float, float]:
        """Forward speed (m/s) and yaw rate (rad/s) for the pose x m, y m, heading rad at ``now`` s.

        Once `outcome` is set the move is over, and the returned twist must not be sent.
        """
        speed, yaw_rate = self._target_twist(pose, now)
        return self._command if self.outcome is not None else self._smoothed(speed, yaw_rate)

    def halt(self) -> tuple[float, float]:
        """The twist of a control step in which the robot slows to a stop or stands still."""
        return self._smoothed(0.0, 0.0)

    def _smoothed(self, speed: float, yaw_rate: float) -> tuple[float, float]:
        """The twist nearest to this one that the accelerations allow after the last command."""
        steps = self.pace.acceleration * self.pace.period, self.pace.turn_acceleration * self.pace.period
        pairs = zip((speed, yaw_rate), self._command, steps, strict=True)
        forward, turn = (max(last - step, min(last + step, target)) for target, last, step in pairs)
        self._command = (forward, turn)
        return self._command

    def _target_twist(self, pose: Sequence[float], now: float) -> tuple[float, float]:
        x, y, heading = pose
        side = self.course.cell
        # Distance left along the move, and the offset from its line (rows grow as y falls)
        ahead = (self._goal[0] - x) * self._right - (self._goal[1] - y) * self._down
        aside = (self._goal[0] - x) * self._down + (self._goal[1] - y) * self._right
        if ahead < self.pace.arrived * side:
            self.outcome = "arrived"
            return 0.0, 0.0
        if abs(aside) > 0.2 * side and ahead > 0.5 * side:
            return self._return_to_start(x, y, heading, now)
        # Pure pursuit of a point on the line, half a cell ahead
        bearing = math.atan2(-self._down, self._right)
        error = wrap_angle(bearing + math.atan2(aside, 0.5 * side) - heading)
        return self._towards(error, ahead + 0.2 * side, ahead + 0.3 * side * abs(error), now)

    def _return_to_start(self, x: float, y: float, heading: float, now: float) -> tuple[float, float]:
        """Drive back to the centre of the start cell: the robot is too far off the line to set out."""
        side = self.course.cell
        dx, dy = self._start[0] - x, self._start[1] - y
        distance = math.hypot(dx, dy)
        error = wrap_angle(math.atan2(dy, dx) - heading)
        backwards = abs(error) > math.pi / 2
        error = wrap_angle(error + math.pi) if backwards else error
        speed, yaw_rate = self._towards(error, distance, side + distance + 0.3 * side * abs(error), now)
        return (-speed if backwards else speed), yaw_rate

    def _towards(self, error: float, distance: float, remaining: float, now: float) -> tuple[float, float]:
        """The twist for a heading ``error`` (rad) with ``distance`` m left to stop in.

        ``remaining`` measures progress, m: the controller is stuck when it has not fallen for too long.
        """
        self._turning = abs(error) > (self.pace.turn_to if self._turning else self.pace.turn_from)
        if remaining < self._shortest - 0.02:
            self._shortest, self._progress_time = remaining, now
        if now >= self._deadline:
            self.outcome = "timed-out"
        elif now - self._progress_time >= self.pace.patience:
            self.outcome = "stuck"
        if self.outcome is not None:
            return 0.0, 0.0
        braking_speed = max(0.1, math.sqrt(2 * self.pace.braking * max(distance, 0.0)))
        speed = 0.0 if self._turning else min(self.speed, braking_speed)
        return speed, max(-self.pace.turn_rate, min(self.pace.turn_rate, self.pace.gain * error))
