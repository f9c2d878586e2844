"""The observation of ``nerfbot/Rover-v0``: one table of its parts, from which space, vector and views follow.

The bridge uses the same table for a policy on a real robot. Pictures and tasks are not here.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nerfbot.course.elements import Colour
from nerfbot.limits import AXES

from ..plant.sensors import DETECTED, Detection, Readings

OBJECT_SLOTS = 6
"""How many detected objects an observation holds, the nearest first."""

COLOURS: tuple[str, ...] = get_args(Colour)
_KIND = {kind: 3 + index for index, kind in enumerate(DETECTED)}
_COLOUR = {colour: 3 + len(DETECTED) + index for index, colour in enumerate(COLOURS)}
OBJECT_FEATURES = 3 + len(DETECTED) + len(COLOURS)
"""Distance (m), cosine and sine of the bearing, then kind and colour one-hot; a row of zeros: nothing."""

LEASE_NUMBERS = 2
"""Seconds until the last lease ends, and the charges left (-1: not counted)."""

LIFT_NUMBERS = len(AXES) + LEASE_NUMBERS
"""How many numbers at the end of the vector only policies get that see their lift."""

_distance = operator.attrgetter("distance")


class Part(NamedTuple):
    """A part of the observation: its shape and bounds, and its place in the vector."""

    shape: tuple[int, ...]
    low: float
    high: float
    place: slice


class RoverObservation:
    """The layout for a lidar of ``rays`` up to ``reach`` m and a robot with ``joints``; parts by name."""

    def __init__(self, rays: int, joints: int, reach: float = math.inf, reveal_lift: bool = True) -> None:
        inf = math.inf
        table: list[tuple[str, tuple[int, ...], float, float]] = [
            ("lidar", (rays,), 0.0, reach),
            ("pose", (3,), -inf, inf),
            ("twist", (2,), -inf, inf),
            ("imu", (6,), -inf, inf),
            ("joints", (2, joints), -inf, inf),
            ("objects", (OBJECT_SLOTS, OBJECT_FEATURES), -inf, inf),
        ]
        if reveal_lift:
            table += [("lift", (len(AXES),), 0.0, 1.0), ("lease", (LEASE_NUMBERS,), -1.0, inf)]
        self.parts: dict[str, Part] = {}
        self.size = 0
        for name, shape, low, high in table:
            place = slice(self.size, self.size + math.prod(shape))
            self.parts[name] = Part(shape, low, high, place)
            self.size = place.stop
        self._reveal_lift, self._objects_start = reveal_lift, self.parts["objects"].place.start
        self._blank = np.zeros(self.size, np.float32)
        self._views = [
            (name, part.place, part.shape if len(part.shape) > 1 else None)
            for name, part in self.parts.items()
        ]

    def space(self, flat: bool) -> spaces.Box | spaces.Dict:
        """The observation space, as one vector or as a dict of parts."""
        if flat:
            return spaces.Box(-np.inf, np.inf, (self.size,), np.float32)
        return spaces.Dict(
            {
                name: spaces.Box(part.low, part.high, part.shape, np.float32)
                for name, part in self.parts.items()
            }
        )

    def vector(
        self, readings: Readings, lift: NDArray[np.float64], lease: Sequence[float] | None
    ) -> NDArray[np.float32]:
        """A new vector (size,) of readings, lift (4,) and ``lease`` (seconds left, charges; None: none)."""
        vector = self._blank.copy()
        start = self._objects_start
        vector[:start] = readings.numbers
        if readings.objects:
            _write_objects(readings.objects, vector, start)
        if self._reveal_lift:
            vector[-LIFT_NUMBERS:-LEASE_NUMBERS] = lift
            if lease is not None:
                vector[-LEASE_NUMBERS:] = lease
        return vector

    def views(self, vector: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """The parts of a vector by name, as views of it."""
        return {
            name: vector[place] if shape is None else vector[place].reshape(shape)
            for name, place, shape in self._views
        }


@functools.cache
def full_observation(rays: int, joints: int) -> RoverObservation:
    """The layout with the lift, for a robot whose lidar's range does not matter."""
    return RoverObservation(rays, joints)


def _write_objects(objects: Sequence[Detection], vector: NDArray[np.float32], start: int) -> None:
    """Write the nearest objects into a vector that is 0 from ``start`` on: `OBJECT_FEATURES` each."""
    for item in sorted(objects, key=_distance)[:OBJECT_SLOTS]:
        vector[start] = item.distance
        vector[start + 1], vector[start + 2] = math.cos(item.bearing), math.sin(item.bearing)
        vector[start + _KIND[item.kind]] = 1.0
        if item.colour in _COLOUR:
            vector[start + _COLOUR[item.colour]] = 1.0
        start += OBJECT_FEATURES
