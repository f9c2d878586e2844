"""What a scripted driver remembers of its readings: objects, what it has taken, places already looked at."""

from __future__ import annotations

from collections import deque

import numpy as np

from nerfbot.course import Course

from ..plant.sensors import Readings
from .navigation import FloorMap, Point
from .object_tracker import ObjectTracker, TrackedObject

CONTACT = {"coin": 0.4, "key": 0.4, "chest": 0.5, "block": None}
"""Kinds worth remembering, and how near the robot takes them, m. Markers and decoys are not worth it, fragile
objects are on the plan.
"""

MIN_SIGHT = 0.4
"""How far the driver can see for certain where no ray tells better, m."""

RECENT = 40
"""Readings, two seconds, whose farthest ray says how far it can see."""

MISSES = 15


class ObjectMemory:
    """What has been seen in one episode.

    ``mount`` is how far ahead of the base the lidar sits (m), ``reach`` its range (m), ``half_view`` half its
    field of view (rad).
    """

    def __init__(self, course: Course, plan: FloorMap, mount: float, reach: float, half_view: float) -> None:
        self.course, self.plan, self.reach, self.half_view = course, plan, reach, half_view
        self._tracker = ObjectTracker(
            mount, half_view, MISSES, lambda item: item.kind in CONTACT, lambda kind: CONTACT[kind]
        )
        self.taken: set[str] = set()
        self.keys = 0
        self._farthest: deque[float] = deque([MIN_SIGHT], maxlen=RECENT)
        self.forget_places()
        self._steps = 0

    @property
    def objects(self) -> dict[str, TrackedObject]:
        """The objects that are still there, by id."""
        return self._tracker.objects

    @property
    def sight(self) -> float:
        """How far it can see now, m: as far as a ray hit something in the last two seconds."""
        return max(self._farthest)

    def update(self, readings: Readings) -> None:
        """Take one set of readings."""
        hits = readings.lidar[readings.lidar < self.reach - 1e-6]
        self._farthest.append(max(MIN_SIGHT, float(hits.max()) if len(hits) else 0.0))
        taken = self._tracker.update(readings, 0.5 * self.sight)
        self.taken -= {item.id for item in readings.objects}
        self.taken |= {item.id for item in taken}
        self.keys += sum({"key": 1, "chest": -1}.get(item.kind, 0) for item in taken)
        x, y, heading = readings.pose.tolist()
        self.unseen.discard(self.course.cell_of(x, y))
        if self._steps % 4 == 0:
            self._look_around(self._tracker.eye(readings), heading)
        self._steps += 1

    def _look_around(self, eye: Point, heading: float) -> None:
        cells = np.array(sorted(self.unseen)).reshape(-1, 2)
        xs = (cells[:, 1] + 0.5) * self.course.cell
        ys = (self.course.rows - cells[:, 0] - 0.5) * self.course.cell
        near = np.hypot(xs - eye[0], ys - eye[1]) < self.sight
        for (row, column), x, y in zip(cells[near].tolist(), xs[near], ys[near], strict=True):
            place = (float(x), float(y))
            if self._tracker.in_view(eye, heading, place) and self.plan.sees(eye, place):
                self.unseen.discard((row, column))

    def forget_places(self) -> None:
        """Count no place as looked at any more: the search begins anew."""
        course = self.course
        everywhere = {(row, column) for row in range(course.rows) for column in range(course.columns)}
        self.unseen = everywhere - self.plan.walls
