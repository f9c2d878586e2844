"""Which cells hold a wall: the floor plan, corrected by the lidar.

A world edit in the simulator, or a person who moves a partition, makes the plan wrong; rays reveal it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course

Cell = tuple[int, int]

STEP = 0.04
"""Distance between the points at which a ray is sampled, m."""

VOTES_NEEDED = 3
"""Rays that must contradict the plan of a cell, in one reading or in several, before the cell is changed."""

INSIDE = 0.1
"""A point counts for a cell only this share of a side away from its edges, which rays graze."""


class LidarGeometry(NamedTuple):
    """A lidar: ray ``angles`` in rad from straight ahead (rays,), its ``mount`` ahead of the base in m, and
    its ``reach`` in m.
    """

    angles: NDArray[np.float64]
    mount: float
    reach: float


class WallMap:
    """The believed walls of a course.

    Args:
        course: the course.
        plan: bool (rows, columns), walls of the floor plan.
        lidar: the robot's lidar; None leaves the plan uncorrected.

    """

    def __init__(self, course: Course, plan: NDArray[np.bool_], lidar: LidarGeometry | None) -> None:
        self.course, self.lidar = course, lidar
        self.standing = plan.copy()
        """Believed walls, bool (rows, columns)."""
        self._votes = np.zeros(plan.shape, np.int64)
        """Rays that contradict the belief about a cell, less those that confirm it."""
        self._fixed = np.zeros(plan.shape, np.bool_)
        for kind in ("gate", "ramp", "step"):  # a gate or rising ground stops rays without being a wall
            for item in course.of(kind):
                self._fixed[item.position] = True
        self._fixed[[0, -1], :] = self._fixed[:, [0, -1]] = True

    def update(
        self, pose: NDArray[np.float64], ranges: NDArray[np.float64], occupied: Collection[Cell] = ()
    ) -> None:
        """Use one reading: ``pose`` (3,) x m, y m, heading rad; ``ranges`` (rays,) m.

        Rays without a return are ignored, since they may be lost. The cells in ``occupied`` hold objects and
        do not change.
        """
        if self.lidar is None:
            return
        valid = np.isfinite(ranges) & (ranges < self.lidar.reach - 1e-6) & (ranges > STEP)
        if not valid.any():
            return
        x, y, heading = (float(part) for part in pose)
        origin = np.array([x + self.lidar.mount * np.cos(heading), y + self.lidar.mount * np.sin(heading)])
        angles, distances = self.lidar.angles[valid] + heading, ranges[valid]
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        rows, columns, inside = self._cells(
            origin + directions * (distances + INSIDE * self.course.cell * 1.5)[:, None]
        )
        votes = np.zeros_like(self._votes)
        rows, columns = rows[inside], columns[inside]
        np.add.at(votes, (rows, columns), np.where(self.standing[rows, columns], -1, 1))
        self._count_crossed(origin, directions, distances, votes)
        votes[self._fixed] = 0
        for cell in occupied:
            votes[cell] = 0
        here = self.course.cell_of(x, y)
        if self.course.inside(*here):
            votes[here] = 0
        self._votes = np.maximum(self._votes + votes, 0)
        wrong = self._votes >= VOTES_NEEDED
        self.standing ^= wrong
        self._votes[wrong] = 0

    def _count_crossed(
        self,
        origin: NDArray[np.float64],
        directions: NDArray[np.float64],
        distances: NDArray[np.float64],
        votes: NDArray[np.int64],
    ) -> None:
        """Add a vote per ray that crosses a cell's middle: for changing a wall, against changing a floor."""
        margin = 0.5 * self.course.cell
        along = np.arange(0.0, float(distances.max()), STEP)
        points = origin + directions[:, None, :] * along[None, :, None]
        reached = along[None, :] < (distances - margin)[:, None]
        rows, columns, inside = self._cells(points.reshape(-1, 2), 0.25)
        inside &= reached.reshape(-1)
        rays = np.repeat(np.arange(len(directions)), len(along))
        flat = rows * self.standing.shape[1] + columns
        crossed = np.unique(rays[inside] * self.standing.size + flat[inside]) % self.standing.size
        counts = np.bincount(crossed, minlength=self.standing.size).reshape(self.standing.shape)
        votes += np.where(self.standing, counts, -counts)

    def _cells(
        self, points: NDArray[np.float64], inset: float = INSIDE
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        """Rows and columns of ``points`` (n, 2) m, and which of them lie well inside a cell of the course."""
        side, shape = self.course.cell, self.standing.shape
        across, up = points[:, 0] / side, points[:, 1] / side
        columns = np.floor(across).astype(np.intp)
        rows = shape[0] - 1 - np.floor(up).astype(np.intp)
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        for part in (across, up):
            offset = part - np.floor(part)
            inside &= (offset > inset) & (offset < 1.0 - inset)
        return rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1), inside
