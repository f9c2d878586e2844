"""What a robot measures of its channels, collected from odometry or joint states for the limiter.

A number that is not finite, missing or old is not measured: then the limiter is told that there is none,
instead of a number that would stop the robot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel, Measured
from nerfbot.limits.channel import Floats

from .sensor_formats import JOINT_FIELDS, joint_numbers

MEASUREMENT_TIMEOUT = 0.5
"""A measurement older than this (s) is not used."""

_VELOCITY = JOINT_FIELDS.index("velocity")


class Measurements:
    """The newest measurement of each of ``channels``. Times are of the steady clock, s.

    Several publishers may measure some of the joints each.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._names = [channel.name for channel in channels]
        self._values = np.full((len(JOINT_FIELDS), len(channels)), math.nan)
        self._times = np.full(self._values.shape, -math.inf)
        self.problem = ""
        """What was wrong with the last message that could not be used whole."""

    def take_odometry(self, message: Any, now: float) -> None:
        """Take the velocities of the channels, parts of a twist such as `linear.x`."""
        numbers = np.full(self._values.shape, math.nan)
        numbers[_VELOCITY] = [attrgetter(name)(message.twist.twist) for name in self._names]
        self._store(numbers, [field == "velocity" for field in JOINT_FIELDS], now)

    def take_joints(self, message: Any, now: float) -> None:
        """Take what a `JointState` holds about the channels; a malformed one is not used at all."""
        try:
            numbers = joint_numbers(message, self._names)
        except InvalidCommand as error:
            self.problem = str(error)
            return
        given = [len(getattr(message, field)) > 0 for field in JOINT_FIELDS]
        self._store(numbers, given, now, list(message.name))

    def _store(self, numbers: Floats, given: list[bool], now: float, names: list[str] | None = None) -> None:
        """Store the finite numbers of a message that gave these fields, for ``names`` (None: for all)."""
        finite = np.isfinite(numbers)
        self._values[finite], self._times[finite] = numbers[finite], now
        named = [names is None or name in names for name in self._names]
        if not any(named):
            self.problem = self.problem or f"name: none of the channels is among {names}"
            return
        lost = np.argwhere(np.outer(given, named) & ~finite)
        self.problem = ""
        if len(lost):
            row, column = lost[0]
            number = numbers[row, column]
            self.problem = f"{JOINT_FIELDS[row]}[{self._names[column]}] = {number}: not used"

    def fresh(self, now: float) -> Measured | None:
        """What is measured of all channels at `now`; None for nothing."""
        known = self._known(now)
        rows = zip(self._values, known, strict=True)
        fields = [row[None].copy() if is_known else None for row, is_known in rows]
        return Measured(*fields) if any(known) else None

    def report(self, now: float) -> str:
        """What is measured, and why not the rest."""
        fields = [field for field, is_known in zip(JOINT_FIELDS, self._known(now), strict=True) if is_known]
        return "; ".join(filter(None, (", ".join(fields) or "nothing", self.problem)))

    def _known(self, now: float) -> list[bool]:
        return (now - self._times.min(axis=1) < MEASUREMENT_TIMEOUT).tolist()
