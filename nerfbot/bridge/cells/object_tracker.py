"""Object poses from the robot's own detector: where each was seen last, reckoned from the odometry."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nerfbot.angles import wrap_angle
from nerfbot.bridge.cells.grid_observation import ObjectPose
from nerfbot.bridge.cells.wall_map import LidarGeometry
from nerfbot.course import Course
from nerfbot.course.elements import Element

CONTACT = 0.45
"""An object that is no longer detected this near (m) to the robot's middle was taken."""

MISSES = 10
"""Readings in a row without an object that ought to be in sight, after which it is no longer believed in."""


class Sighting(Protocol):
    """What a detector reports: the object's id, bearing (rad from straight ahead) and distance (m)."""

    @property
    def id(self) -> str:
        """Of the course's element."""

    @property
    def bearing(self) -> float:
        """Rad, left > 0."""

    @property
    def distance(self) -> float:
        """From the lidar, m."""


class Reading(Protocol):
    """The parts of a set of readings that are used here."""

    @property
    def pose(self) -> NDArray[np.float64]:
        """Place x and y in m, heading in rad."""

    @property
    def objects(self) -> Sequence[Sighting]:
        """What is detected now."""


class SeenObjects:
    """What has been seen in one episode on ``course`` by a robot with this ``lidar``."""

    def __init__(self, course: Course, lidar: LidarGeometry) -> None:
        self._elements = {item.id: item for item in course.elements if item.kind != "marker"}
        self._course, self._lidar = course, lidar
        self._half_view = float(np.abs(lidar.angles).max())
        self._known: dict[str, tuple[float, float]] = {}
        self._missed: Counter[str] = Counter()

    def add(self, element: Element) -> None:
        """Know an element that a world edit has put there, once it is seen."""
        self._elements[element.id] = element

    def notice(self, readings: Reading) -> None:
        """Take in one set of readings."""
        x, y, heading = (float(part) for part in readings.pose)
        eye = (x + self._lidar.mount * math.cos(heading), y + self._lidar.mount * math.sin(heading))
        now = set()
        for item in readings.objects:
            if item.id not in self._elements:
                continue
            angle = heading + item.bearing
            self._known[item.id] = (
                eye[0] + item.distance * math.cos(angle),
                eye[1] + item.distance * math.sin(angle),
            )
            now.add(item.id)
            self._missed[item.id] = 0
        for name in [name for name in self._known if name not in now]:
            place = self._known[name]
            bearing = math.atan2(place[1] - eye[1], place[0] - eye[0]) - heading
            ahead = abs(wrap_angle(bearing)) < 0.9 * self._half_view
            near = math.dist((x, y), place) < CONTACT
            if near or (ahead and math.dist(eye, place) < self._course.cell):
                self._missed[name] += 1
            if self._missed[name] > (2 if near else MISSES):
                del self._known[name]

    def poses(self) -> list[ObjectPose]:
        """Where objects are believed to be, m."""
        return [ObjectPose(self._elements[name], *place) for name, place in self._known.items()]
