"""The cell-mover: one move of the grid as a closed loop of twists, with an end that is always reported.

It asks for a speed; what the robot makes of it is the nerf layer's business, so that a nerfed robot is
slower, weaker and less reliable at a move. It reads the odometry, and knows neither a simulator nor a policy.
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
    """How a mover drives.

    `speed` m/s and `turn_rate` rad/s that it asks for at most, `braking` m/s² that it counts on. `arrived`:
    a cell is reached this near (share of its side) to its middle, while rolling on; `slack`: share of a side
    in which it must be able to stop from its speed. `turn_from` and `turn_to` rad: beyond the first it turns
    on the spot until within the second. `patience` s without getting on, after which it is stuck; `time_out`
    s for a move on top of the time that `times` nominal ones take.
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


class CellMover:
    """Drives from cell to cell; one move at a time.

    Args:
        course: whose cells.
        pace: how it drives.

    `begin` names the move, `command` gives the twist for each control step until `outcome` is no longer None.

    """

    def __init__(self, course: Course, pace: Pace | None = None) -> None:
        self.course, self.pace = course, pace or Pace()
        self.speed = min(self.pace.speed, math.sqrt(2 * self.pace.braking * self.pace.slack * course.cell))
        """m/s that it drives at: no faster than it can stop within a cell."""
        self.outcome: Outcome | None = "arrived"
        self._sent = (0.0, 0.0)

    def begin(self, cell: Cell, direction: int, now: float, nominal: float) -> None:
        """Begin the move from ``cell`` in ``direction`` (0 to 3) at ``now`` s.

        ``nominal``: s that a cell takes at the present nerf; the time-out counts in it.
        """
        self._down, self._right = STEPS[DIRECTIONS[direction]]
        self._from = self.course.centre(*cell)
        self._goal = self.course.centre(cell[0] + self._down, cell[1] + self._right)
        self._end = now + self.pace.time_out + self.pace.times * nominal
        self._turning = False
        self._best, self._since = math.inf, now
        self.outcome = None

    def command(self, pose: Sequence[float], now: float) -> tuple[float, float]:
        """Forward speed (m/s) and yaw rate (rad/s) for the pose x m, y m, heading rad at ``now`` s.

        Where `outcome` is set the move is over, and its twist is not to be sent.
        """
        wanted = self._wanted(pose, now)
        return self._eased(*wanted) if self.outcome is None else self._sent

    def halt(self) -> tuple[float, float]:
        """The twist for a control step in which it is to stand still."""
        return self._eased(0.0, 0.0)

    def _eased(self, speed: float, yaw: float) -> tuple[float, float]:
        """A twist, as near to this one as its accelerations allow."""
        steps = self.pace.acceleration * self.pace.period, self.pace.turn_acceleration * self.pace.period
        pairs = zip((speed, yaw), self._sent, steps, strict=True)
        forward, turn = (max(last - most, min(last + most, wanted)) for wanted, last, most in pairs)
        self._sent = (forward, turn)
        return self._sent

    def _wanted(self, pose: Sequence[float], now: float) -> tuple[float, float]:
        x, y, heading = pose
        side = self.course.cell
        # How far is left along the move, and how far off its line the robot is (rows grow as y falls)
        ahead = (self._goal[0] - x) * self._right - (self._goal[1] - y) * self._down
        aside = (self._goal[0] - x) * self._down + (self._goal[1] - y) * self._right
        if ahead < self.pace.arrived * side:
            self.outcome = "arrived"
            return 0.0, 0.0
        wanted = math.atan2(-self._down, self._right)
        if abs(aside) > 0.2 * side and ahead > 0.5 * side:
            return self._retreat(x, y, heading, now)
        # Pure pursuit of a point of the line half a cell ahead
        off = wrap_angle(wanted + math.atan2(aside, 0.5 * side) - heading)
        self._turning = abs(off) > (self.pace.turn_to if self._turning else self.pace.turn_from)
        self._watch(ahead + 0.3 * side * abs(off), now)
        if self.outcome is not None:
            return 0.0, 0.0
        return 0.0 if self._turning else self._rolling(ahead + 0.2 * side), self._yaw(off)

    def _retreat(self, x: float, y: float, heading: float, now: float) -> tuple[float, float]:
        """Back to the middle of the cell that it is in first: it stands too far to the side to set out."""
        dx, dy = self._from[0] - x, self._from[1] - y
        distance = math.hypot(dx, dy)
        off = wrap_angle(math.atan2(dy, dx) - heading)
        backwards = abs(off) > math.pi / 2
        off = wrap_angle(off + math.pi) if backwards else off
        self._turning = abs(off) > (self.pace.turn_to if self._turning else self.pace.turn_from)
        self._watch(self.course.cell + distance + 0.3 * self.course.cell * abs(off), now)
        if self.outcome is not None:
            return 0.0, 0.0
        speed = 0.0 if self._turning else self._rolling(distance)
        return (-speed if backwards else speed), self._yaw(off)

    def _rolling(self, left: float) -> float:
        """Speed with which it can still stop ``left`` m ahead."""
        return min(self.speed, max(0.1, math.sqrt(2 * self.pace.braking * max(left, 0.0))))

    def _yaw(self, off: float) -> float:
        return max(-self.pace.turn_rate, min(self.pace.turn_rate, self.pace.gain * off))

    def _watch(self, left: float, now: float) -> None:
        """Note progress; stuck without any for too long, timed out at the end of its time."""
        if left < self._best - 0.02:
            self._best, self._since = left, now
        if now >= self._end:
            self.outcome = "timed-out"
        elif now - self._since >= self.pace.patience:
            self.outcome = "stuck"
