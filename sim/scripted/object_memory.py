"""What a driver remembers of its readings: objects where they were seen, places already looked at, sight.

Nothing comes from the simulator's truth: positions are reckoned from the odometry and the detections.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from nerfbot.angles import wrap_angle
from nerfbot.course import Course

from ..plant.sensors import Readings
from .navigation import FloorMap, Point

TRACKED = ("coin", "key", "chest", "block")
"""Kinds worth remembering; markers and decoys are not, fragile objects are on the plan."""

LEAST_SIGHT = 0.4
"""How far the driver trusts its eyes where no ray tells better, m."""

_RECENT = 40
_TAKEN = 0.3
_MISSED = 15


class Seen(NamedTuple):
    """An object where it was seen last (m)."""

    id: str
    kind: str
    colour: str
    shape: str
    x: float
    y: float


class Memory:
    """What has been seen in one episode.

    ``mount`` is how far ahead of the base the lidar sits (m), ``reach`` its range (m), ``half_view`` half its
    field of view (rad).
    """

    def __init__(self, course: Course, plan: FloorMap, mount: float, reach: float, half_view: float) -> None:
        self.course, self.plan = course, plan
        self.mount, self.reach, self.half_view = mount, reach, half_view
        self.objects: dict[str, Seen] = {}
        self.taken: set[str] = set()
        self.keys = 0
        self._missed: dict[str, int] = {}
        self._farthest: deque[float] = deque([LEAST_SIGHT], maxlen=_RECENT)
        everywhere = {(row, column) for row in range(course.rows) for column in range(course.columns)}
        self.unseen = everywhere - plan.walls
        self._steps = 0

    @property
    def sight(self) -> float:
        """How far it can see now, m: as far as a ray told of something in the last two seconds."""
        return max(self._farthest)

    def notice(self, readings: Readings) -> None:
        """Take in one set of readings."""
        x, y, heading = (float(part) for part in readings.pose)
        eye = (x + self.mount * math.cos(heading), y + self.mount * math.sin(heading))
        told = readings.lidar[readings.lidar < self.reach - 1e-6]
        self._farthest.append(max(LEAST_SIGHT, float(told.max()) if len(told) else 0.0))
        now_seen = set()
        for item in readings.objects:
            if item.kind in TRACKED:
                angle = heading + item.bearing
                place = (eye[0] + item.distance * math.cos(angle), eye[1] + item.distance * math.sin(angle))
                self.objects[item.id] = Seen(item.id, item.kind, item.colour, item.shape, *place)
                self.taken.discard(item.id)
                now_seen.add(item.id)
        for name in [name for name in self.objects if name not in now_seen]:
            self._doubt(self.objects[name], eye, (x, y), heading)
        for name in now_seen:
            self._missed[name] = 0
        self.unseen.discard(self.course.cell_of(x, y))
        if self._steps % 4 == 0:
            self._look_around(eye, heading)
        self._steps += 1

    def _doubt(self, item: Seen, eye: Point, middle: Point, heading: float) -> None:
        """Forget what is no longer where it was: it was touched, or it ought to be in sight and is not."""
        if item.kind == "block":
            return
        distance = math.dist(eye, (item.x, item.y))
        contact = math.dist(middle, (item.x, item.y)) < _TAKEN + (0.2 if item.kind == "chest" else 0.1)
        visible = distance < 0.5 * self.sight and self._in_view(eye, heading, (item.x, item.y))
        if not (contact or visible):
            return
        self._missed[item.id] = self._missed.get(item.id, 0) + 1
        if self._missed[item.id] > (2 if contact else _MISSED):
            del self.objects[item.id]
            self._missed[item.id] = 0
            if contact:
                self.taken.add(item.id)
                self.keys += {"key": 1, "chest": -1}.get(item.kind, 0)

    def _in_view(self, eye: Point, heading: float, place: Point) -> bool:
        bearing = math.atan2(place[1] - eye[1], place[0] - eye[0]) - heading
        return abs(wrap_angle(bearing)) <= self.half_view

    def _look_around(self, eye: Point, heading: float) -> None:
        cells = np.array(sorted(self.unseen)).reshape(-1, 2)
        xs = (cells[:, 1] + 0.5) * self.course.cell
        ys = (self.course.rows - cells[:, 0] - 0.5) * self.course.cell
        near = np.hypot(xs - eye[0], ys - eye[1]) < self.sight
        for (row, column), x, y in zip(cells[near].tolist(), xs[near], ys[near], strict=True):
            place = (float(x), float(y))
            if self._in_view(eye, heading, place) and self.plan.sees(eye, place):
                self.unseen.discard((row, column))

    def forget_places(self) -> None:
        """Take no place as looked at any more: the search begins anew."""
        course = self.course
        everywhere = {(row, column) for row in range(course.rows) for column in range(course.columns)}
        self.unseen = everywhere - self.plan.walls
