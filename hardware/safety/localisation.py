"""Where the robot is on the course by its odometry, how certain that is, and where leases hold.

The operator puts the robot on the course's start and sets the origin; from then on every metre travelled adds
uncertainty. A jump or NaN in the odometry ends the position until the next origin; silence suspends it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from nerfbot.course import Course
from nerfbot.limits import AXES
from nerfbot.powers import LeasePolicy, Zone

NO_ORIGIN = "no origin has been set"


class PlanarPose(NamedTuple):
    """A pose on the floor that can be composed: x and y in m, heading in rad."""

    x: float
    y: float
    heading: float

    def compose(self, other: PlanarPose) -> PlanarPose:
        """`other`, given relative to this pose, in the frame that this pose is given in."""
        c, s = math.cos(self.heading), math.sin(self.heading)
        x, y = self.x + c * other.x - s * other.y, self.y + s * other.x + c * other.y
        return PlanarPose(x, y, self.heading + other.heading)

    def inverse(self) -> PlanarPose:
        """The origin of this pose's frame, relative to this pose."""
        c, s = math.cos(self.heading), math.sin(self.heading)
        return PlanarPose(-c * self.x - s * self.y, s * self.x - c * self.y, -self.heading)


def course_policy(course: Course, max_duration: float) -> LeasePolicy:
    """Leases inside the course's lift zones only, for at most `max_duration` s; no world edits."""
    zones = [
        Zone(region=region.shape, axes=tuple(axis for axis in AXES if axis in region.zone.axes))  # type: ignore[attr-defined]
        for region in course.regions
        if region.kind == "lift_zone"
    ]
    return LeasePolicy(zones=tuple(zones), max_duration=max_duration)


class Localiser:
    """The robot's pose on the course by odometry, and its radius of uncertainty.

    Args:
        max_speed: of the robot (m/s); a faster change of position is a jump.
        drift: m of uncertainty for each m travelled.
        timeout: s of silence after which there is no position.

    """

    def __init__(self, max_speed: float, drift: float = 0.02, timeout: float = 0.5) -> None:
        self.max_speed, self.drift, self.timeout = max_speed, drift, timeout
        self.travelled = 0.0
        """Metres since the origin was set."""
        self.problem = NO_ORIGIN
        """Why there is no position; "" where there is one."""
        self._odometry_frame: PlanarPose | None = None
        self._last: PlanarPose | None = None
        self._received = -math.inf

    def set_origin(self, at: PlanarPose, now: float) -> str:
        """Declare that the robot is at `at` on the course now (s, steady); "" or why it is refused."""
        if self._last is None or self.is_silent(now):
            return "there is no fresh odometry"
        self._odometry_frame = at.compose(self._last.inverse())
        self.travelled, self.problem = 0.0, ""
        return ""

    def update(self, pose: PlanarPose, now: float) -> str:
        """Process a pose in the odometry's own frame at `now` (s, steady); "" or what is wrong with it."""
        if not all(map(math.isfinite, pose)):
            return self._lose(f"a pose that is not finite: {tuple(pose)}")
        before, elapsed = self._last, now - self._received
        self._last, self._received = pose, now
        if before is None:
            return ""
        moved = math.hypot(pose.x - before.x, pose.y - before.y)
        # Messages may come in pairs after a pause: allow for two control periods at least
        reach = self.max_speed * min(max(elapsed, 0.1), self.timeout) * 1.5 + 0.02
        if moved > reach:
            return self._lose(f"a jump of {moved:.2f} m in {elapsed:.3f} s")
        self.travelled += moved
        return ""

    def _lose(self, problem: str) -> str:
        self._odometry_frame, self.problem = None, problem
        return problem

    def is_silent(self, now: float) -> bool:
        """Whether no pose came within the timeout."""
        return not 0.0 <= now - self._received < self.timeout

    def pose(self, now: float) -> PlanarPose | None:
        """The pose on the course; None without an origin, after a jump, or in silence."""
        if self._odometry_frame is None or self._last is None:
            return None
        return None if self.is_silent(now) else self._odometry_frame.compose(self._last)

    def worst_point(self, now: float, zones: Sequence[Zone]) -> tuple[float, float] | None:
        """The position, or a point on the rim of its uncertainty that lies outside a zone it is in.

        Checking leases at this point shrinks every zone by the drift. None where there is no position.
        """
        pose = self.pose(now)
        if pose is None:
            return None
        radius = self.drift * self.travelled
        inside = [zone for zone in zones if zone.region.holds(pose.x, pose.y)]
        for k in range(16):
            x, y = pose.x + radius * math.cos(k * math.pi / 8), pose.y + radius * math.sin(k * math.pi / 8)
            # Crossing into another zone with the same axes leaves no zone
            for zone in inside:
                if not any(set(zone.axes) <= set(other.axes) and other.region.holds(x, y) for other in zones):
                    return x, y
        return pose.x, pose.y
