"""Where objects are, from detections and odometry alone: each where it was detected last, until it is gone.

A scripted driver and the grid's observation use the same tracker. It never reads the simulator's truth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from nerfbot.angles import wrap_angle

from ..plant.sensors import Detection, Readings

CONTACT_MISSES = 2
"""Readings in a row without an object in the robot's reach, after which it counts as taken."""

Point = tuple[float, float]


class TrackedObject(NamedTuple):
    """An object where it was detected last (m)."""

    id: str
    kind: str
    colour: str
    shape: str
    x: float
    y: float


class ObjectTracker:
    """Tracks the objects of one episode.

    Args:
        mount: how far ahead of the base the lidar sits, m.
        half_view: an object within this bearing (rad) on either side ought to be detected.
        misses: readings in a row without an object that ought to be in sight, after which it is forgotten.
        tracks: whether to track a detection.
        contact: distance (m) from the robot's middle at which an object of a kind is taken; None: never.

    """

    def __init__(
        self,
        mount: float,
        half_view: float,
        misses: int,
        tracks: Callable[[Detection], bool],
        contact: Callable[[str], float | None],
    ) -> None:
        self.mount, self.half_view = mount, half_view
        self._misses, self._tracks, self._contact = misses, tracks, contact
        self.objects: dict[str, TrackedObject] = {}
        self._missed: Counter[str] = Counter()

    def eye(self, readings: Readings) -> Point:
        """Where the lidar is, m."""
        x, y, heading = readings.pose.tolist()
        return x + self.mount * math.cos(heading), y + self.mount * math.sin(heading)

    def update(self, readings: Readings, sight: float) -> list[TrackedObject]:
        """Take one set of readings; returns what was taken, as far as the robot can know.

        ``sight``: an object nearer than this (m) and in view ought to be detected.
        """
        x, y, heading = readings.pose.tolist()
        eye = self.eye(readings)
        detected = set()
        for item in readings.objects:
            if self._tracks(item):
                angle = heading + item.bearing
                place = (eye[0] + item.distance * math.cos(angle), eye[1] + item.distance * math.sin(angle))
                self.objects[item.id] = TrackedObject(item.id, item.kind, item.colour, item.shape, *place)
                self._missed[item.id] = 0
                detected.add(item.id)
        taken = []
        for known in [known for name, known in self.objects.items() if name not in detected]:
            contact = self._contact(known.kind)
            if contact is None:
                continue
            place = (known.x, known.y)
            in_reach = math.dist((x, y), place) < contact
            if not in_reach and not (math.dist(eye, place) < sight and self.in_view(eye, heading, place)):
                continue
            self._missed[known.id] += 1
            if self._missed[known.id] > (CONTACT_MISSES if in_reach else self._misses):
                del self.objects[known.id]
                if in_reach:
                    taken.append(known)
        return taken

    def in_view(self, eye: Point, heading: float, place: Point) -> bool:
        """Whether a place lies in the field of view from ``eye`` at ``heading`` rad."""
        bearing = math.atan2(place[1] - eye[1], place[0] - eye[0]) - heading
        return abs(wrap_angle(bearing)) <= self.half_view
