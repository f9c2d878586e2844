"""Which cells hold a wall: the floor plan, corrected by what the lidar says against it.

A simulator's world edits, or a person who moves a partition, make a plan wrong; rays tell.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course

Cell = tuple[int, int]

STEP = 0.04
"""m between two points of a ray that are looked up."""

SURE = 3
"""Rays that must agree, in one reading or in several, before the plan is taken to be wrong."""

INSIDE = 0.1
"""Share of a cell's side by which a point must lie within it to count for it: rays graze edges."""


class LidarModel(NamedTuple):
    """Directions of the rays in rad from straight ahead (rays,), how far ahead of the base the sensor sits
    (m), and beyond which distance (m) it tells nothing.
    """

    angles: NDArray[np.float64]
    mount: float
    reach: float


class WallMap:
    """The walls of a course as they are believed to stand.

    Args:
        course: whose cells.
        plan: bool (rows, columns), walls of the floor plan.
        lidar: None where no rays are read.

    """

    def __init__(self, course: Course, plan: NDArray[np.bool_], lidar: LidarModel | None) -> None:
        self.course, self.lidar = course, lidar
        self.standing = plan.copy()
        """Where walls are believed to stand, bool (rows, columns)."""
        self._votes = np.zeros(plan.shape, np.int64)
        """Rays that spoke against what is believed of a cell, less those that spoke for it."""
        blocked = [item.position for kind in ("gate", "ramp", "step") for item in course.of(kind)]
        self._fixed = np.zeros(plan.shape, np.bool_)
        for cell in blocked:  # ground that rises into the rays, or a gate: no evidence of a wall
            self._fixed[cell] = True
        self._fixed[[0, -1], :] = self._fixed[:, [0, -1]] = True

    def set(self, cell: Cell, wall: bool) -> None:
        """Be told that a cell holds a wall, or that it does not."""
        self.standing[cell], self._votes[cell] = wall, 0

    def notice(
        self, pose: NDArray[np.float64], ranges: NDArray[np.float64], standing: Collection[Cell] = ()
    ) -> None:
        """Take in one reading: ``pose`` (3,) x m, y m, heading rad; ``ranges`` (rays,) m.

        Rays that saw nothing say nothing: they may be lost. Cells with objects (``standing``) are left alone.
        """
        if self.lidar is None:
            return
        told = np.isfinite(ranges) & (ranges < self.lidar.reach - 1e-6) & (ranges > STEP)
        if not told.any():
            return
        x, y, heading = (float(part) for part in pose)
        eye = np.array([x + self.lidar.mount * np.cos(heading), y + self.lidar.mount * np.sin(heading)])
        angles, distances = self.lidar.angles[told] + heading, ranges[told]
        ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        rows, columns, inside = self._cells(
            eye + ways * (distances + INSIDE * self.course.cell * 1.5)[:, None]
        )
        against = np.zeros_like(self._votes)
        hit = inside & ~self.standing[rows, columns]
        np.add.at(against, (rows[hit], columns[hit]), 1)
        support = inside & self.standing[rows, columns]
        np.add.at(against, (rows[support], columns[support]), -1)
        self._passed(eye, ways, distances, against)
        against[self._fixed] = 0
        for cell in standing:
            against[cell] = 0
        here = self.course.cell_of(x, y)
        if self.course.inside(*here):
            against[here] = 0
        self._votes = np.maximum(self._votes + against, 0)
        wrong = self._votes >= SURE
        self.standing ^= wrong
        self._votes[wrong] = 0

    def _passed(
        self,
        eye: NDArray[np.float64],
        ways: NDArray[np.float64],
        distances: NDArray[np.float64],
        against: NDArray[np.int64],
    ) -> None:
        """Count, for every cell, the rays that went through its middle: against a wall, for a floor."""
        margin = 0.5 * self.course.cell
        along = np.arange(0.0, float(distances.max()), STEP)
        points = eye + ways[:, None, :] * along[None, :, None]
        reached = along[None, :] < (distances - margin)[:, None]
        rows, columns, inside = self._cells(points.reshape(-1, 2), 0.25)
        inside &= reached.reshape(-1)
        rays = np.repeat(np.arange(len(ways)), len(along))
        flat = rows * self.standing.shape[1] + columns
        crossed = np.unique(rays[inside] * self.standing.size + flat[inside]) % self.standing.size
        counts = np.bincount(crossed, minlength=self.standing.size).reshape(self.standing.shape)
        against += np.where(self.standing, counts, -counts)

    def _cells(
        self, points: NDArray[np.float64], inset: float = INSIDE
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        """Rows and columns of points (n, 2) m, and which lie well inside a cell of the course."""
        side, shape = self.course.cell, self.standing.shape
        across, up = points[:, 0] / side, points[:, 1] / side
        columns = np.floor(across).astype(np.intp)
        rows = shape[0] - 1 - np.floor(up).astype(np.intp)
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        for part in (across, up):
            left = part - np.floor(part)
            inside &= (left > inset) & (left < 1.0 - inset)
        return rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1), inside
