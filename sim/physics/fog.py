"""Fog: how far a ray sees through the zones of a course that hide what is far."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course
from nerfbot.limits.compiled import compiled

from .geometry import bounds, merge

Floats = NDArray[np.float64]


@compiled
def entry_distance(
    x: float, y: float, east: float, north: float, left: float, right: float, bottom: float, top: float
) -> float:
    """Distance in m at which a ray enters an upright rectangle: 0 inside it, inf where it misses.

    The ray starts at (x, y) m in the direction (east, north), a unit vector; an edge belongs to the
    rectangle. Slab method (Kay and Kajiya 1986).
    """
    enter, leave = 0.0, math.inf
    if east != 0.0:
        near, far = (left - x) * (1.0 / east), (right - x) * (1.0 / east)
        enter, leave = max(enter, min(near, far)), min(leave, max(near, far))
    elif not left <= x <= right:
        return math.inf
    if north != 0.0:
        near, far = (bottom - y) * (1.0 / north), (top - y) * (1.0 / north)
        enter, leave = max(enter, min(near, far)), min(leave, max(near, far))
    elif not bottom <= y <= top:
        return math.inf
    return enter if enter <= leave else math.inf


@compiled
def sight(
    x: float,
    y: float,
    angles: np.ndarray,
    rectangles: np.ndarray,
    visibility: np.ndarray,
    reach: float,
    level: float,
) -> np.ndarray:
    """How far rays from (x, y) m at ``angles`` (rays,) rad see through ``rectangles`` (n, 4) of fog, m.

    A ray that enters fog after e metres sees e + visibility + level * (reach - visibility) at most;
    ``visibility`` (n,) m.
    """
    limits = np.full(len(angles), reach)
    for ray in range(len(angles)):
        east, north = math.cos(angles[ray]), math.sin(angles[ray])
        for k in range(len(rectangles)):
            left, right, bottom, top = rectangles[k]
            entry = entry_distance(x, y, east, north, left, right, bottom, top)
            seen = min(visibility[k], reach)
            limits[ray] = min(limits[ray], entry + seen + level * (reach - seen))
    return limits


@compiled
def hide(
    distances: np.ndarray,
    x: float,
    y: float,
    angles: np.ndarray,
    heading: float,
    rectangles: np.ndarray,
    visibility: np.ndarray,
    reach: float,
    level: float,
) -> None:
    """Make those of ``distances`` (rays,) m that `sight` does not reach inf; ``angles`` are seen from
    ``heading`` rad.
    """
    limits = sight(x, y, angles + heading, rectangles, visibility, reach, level)
    for ray in range(len(distances)):
        if distances[ray] > limits[ray]:
            distances[ray] = math.inf


class Fog:
    """The fog of one course; ``restart`` takes the visibilities of another draw of it."""

    def __init__(self, course: Course) -> None:
        patches = [
            (region.id, bounds(patch, course.cell, course.rows))
            for region in course.regions
            if region.kind == "fog"
            for patch in merge(region.cells)
        ]
        self._regions = [name for name, _ in patches]
        self._rectangles = [rectangle for _, rectangle in patches]
        self._edges: Floats = np.array(self._rectangles).reshape(-1, 4)
        self.restart(course)

    def restart(self, course: Course) -> None:
        """Take the visibilities of ``course``."""
        zones = {region.id: region.zone for region in course.regions}
        self._visibility: Floats = np.array(
            [float(getattr(zones[name], "visibility", np.inf)) for name in self._regions]
        )

    def near(self, x: float, y: float, reach: float) -> bool:
        """Whether any fog is within ``reach`` m of a place, roughly."""
        for left, right, bottom, top in self._rectangles:
            if left < x + reach and right > x - reach and bottom < y + reach and top > y - reach:
                return True
        return False

    def limits(self, x: float, y: float, angles: Floats, reach: float, level: float) -> Floats:
        """How far each ray from (x, y) m sees, m.

        ``angles`` (rays,) are directions in the world, rad; ``reach`` is how far a ray would see without
        fog, m; ``level`` the sensing lift in [0, 1].
        """
        return sight(x, y, angles, self._edges, self._visibility, reach, level)

    def hide(
        self,
        distances: Floats,
        x: float,
        y: float,
        angles: Floats,
        heading: float,
        reach: float,
        level: float,
    ) -> None:
        """Make those of ``distances`` (rays,) m inf that fog hides from (x, y) m; ``angles`` (rays,) rad are
        seen from ``heading`` rad, ``reach`` and ``level`` as in `limits`.
        """
        hide(distances, x, y, angles, heading, self._edges, self._visibility, reach, level)
