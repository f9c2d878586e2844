"""Object poses from the robot's own detector, for the grid's observation."""

from __future__ import annotations

import numpy as np

from nerfbot.bridge.cells.grid_observation import ObjectPose
from nerfbot.bridge.cells.wall_map import LidarGeometry
from nerfbot.course import Course
from nerfbot.course.elements import Element
from nerfbot.sim.plant.sensors import Readings
from nerfbot.sim.scripted.object_tracker import ObjectTracker

CONTACT = 0.45
"""An object that is no longer detected this near (m) to the robot's middle was taken."""

MISSES = 10
"""Readings in a row without an object that ought to be in sight, after which it is forgotten."""


class DetectedObjects:
    """What a robot with this ``lidar`` has detected in one episode on ``course``."""

    def __init__(self, course: Course, lidar: LidarGeometry) -> None:
        self._elements = {item.id: item for item in course.elements if item.kind != "marker"}
        self._cell = course.cell
        half_view = 0.9 * float(np.abs(lidar.angles).max())
        self._tracker = ObjectTracker(
            lidar.mount, half_view, MISSES, lambda item: item.id in self._elements, lambda kind: CONTACT
        )

    def add(self, element: Element) -> None:
        """Track an element that a world edit has put there, once it is detected."""
        self._elements[element.id] = element

    def update(self, readings: Readings) -> None:
        """Take one set of readings."""
        self._tracker.update(readings, self._cell)

    def poses(self) -> list[ObjectPose]:
        """Where objects are believed to be, m."""
        return [
            ObjectPose(self._elements[name], item.x, item.y) for name, item in self._tracker.objects.items()
        ]
