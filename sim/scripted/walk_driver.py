"""A scripted driver for a quadruped: `ScriptedDriver` finds the way, a trot makes joint positions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course
from nerfbot.limits import AXES

from ..physics.client import CONTROL_STEP
from ..plant.sensors import Readings
from ..robots.description import RobotDescription
from ..robots.gait import Gait, Trot
from .driver import ScriptedDriver

STRONG = (AXES.index("strength"), AXES.index("speed"))
"""The axes that a faster gait needs lifted: it walks for the lower of the two."""

SETTLED = 0.3
"""How long it stands before it walks, s."""


class WalkDriver:
    """Walks one episode on ``course``; a new episode needs a new one.

    ``lift()`` tells the lift levels by axis, as an observation reveals them: a gait that asks for more than
    the caps allow stumbles. ``phase`` and `act` as `ScriptedDriver` has them.
    """

    def __init__(
        self,
        course: Course,
        lift: Callable[[], NDArray[np.float64]],
        robot: RobotDescription | str = "a1",
        gait: Gait | str = "a1",
    ) -> None:
        description = robot if isinstance(robot, RobotDescription) else RobotDescription.load(robot)
        gait = gait if isinstance(gait, Gait) else Gait.load(gait)
        self._trot = Trot(gait, tuple(row.channel() for row in description.channels))
        self._lift = lift
        self._driver = ScriptedDriver(course, gait.speed(1.0), description)

    @property
    def phase(self) -> str:
        """What the driver is doing."""
        return self._driver.phase

    def act(self, readings: Readings, now: float) -> NDArray[np.float64]:
        """Joint positions (channels,) in rad for these readings at ``now`` s."""
        forward, turning = self._driver.act(readings, now) if now >= SETTLED else (0.0, 0.0)
        level = min(float(self._lift()[axis]) for axis in STRONG)
        return self._trot.step(float(forward), float(turning), level, CONTROL_STEP)
