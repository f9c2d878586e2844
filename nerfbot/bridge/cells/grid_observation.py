"""From a robot's readings to the grid's observation: odometry, lidar and object poses in, cells out.

It knows the floor plan (a course is described once, as data) and what it is told; neither a simulator nor a
robot is imported here. What the grid would not show of a place that is too far or in fog is not shown either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.bridge.cells.wall_map import LidarModel, WallMap
from nerfbot.course import Course
from nerfbot.course.elements import Element
from nerfbot.grid.codes import (
    AGENT,
    CORNER_MARK,
    FINISH_PAD,
    FOG,
    GATE,
    MARKED,
    OPEN,
    UNSEEN,
    WALL,
    colour_of,
    kind_of,
)
from nerfbot.grid.device_memory import GridOptions, feature_names
from nerfbot.grid.grid_nerf import GridNerf
from nerfbot.grid.kernels.state import SIGHT
from nerfbot.grid.painting import paint
from nerfbot.limits import AXES

Cell = tuple[int, int]

_EPSILON = 1e-9
_SENSING = AXES.index("sensing")


class ObjectPose(NamedTuple):
    """Where an object is, x and y in m; ``is_open`` of a gate that lets pass."""

    element: Element
    x: float
    y: float
    is_open: bool = False


class Senses(NamedTuple):
    """What a robot knows at one moment.

    ``pose`` (3,) x m, y m, heading rad; ``lidar`` (rays,) m or None; ``objects`` that are left; ``keys`` held
    by colour; whether it is ``phasing``; ``lift`` (4,) by axis; the edits that are ``granted``; seconds until
    the last lease ends and its charges (-1: not counted).
    """

    pose: NDArray[np.float64]
    objects: Sequence[ObjectPose]
    lidar: NDArray[np.float64] | None = None
    keys: Mapping[str, int] = {}
    phasing: bool = False
    lift: Sequence[float] = (0.0, 0.0, 0.0, 0.0)
    granted: Sequence[str] = ()
    seconds_left: float = 0.0
    charges: float = 0.0


class ObservationBuilder:
    """Builds the grid's observations of one course.

    Args:
        course: its floor plan: walls, ground, markers and zones.
        nerf: the specification on the grid, whose sight the observation has.
        lidar: of the robot; None where none corrects the plan's walls.
        reveal: whether lifts and leases are told.
        keys: whether keys are counted.
        row: of the nerf's table, where limits are drawn per episode.

    """

    def __init__(
        self,
        course: Course,
        nerf: GridNerf,
        lidar: LidarModel | None = None,
        reveal: bool = True,
        keys: bool = False,
        row: int = 0,
    ) -> None:
        self.course = course
        self.options = GridOptions(horizon=1, reveal=reveal, keys=keys)
        self.features = feature_names(self.options)
        painted, self._ground = paint(course)
        self.walls = WallMap(course, painted[:, :, 0] == WALL, lidar)
        self._sight = nerf.table[row % len(nerf.table), SIGHT:]
        self._fog = self._ground[:, :, 2] & FOG != 0
        self._visibility = np.full((course.rows, course.columns), math.inf)
        for item in course.of("fog"):
            self._visibility[item.position] = item.properties["visibility"]
        self._rows, self._columns = np.mgrid[: course.rows, : course.columns]

    def cell(self, senses: Senses) -> Cell:
        """The cell that the robot's odometry says it is in."""
        return self.course.cell_of(float(senses.pose[0]), float(senses.pose[1]))

    def build(self, senses: Senses) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
        """``grid`` uint8 (rows, columns, 3) and ``vector`` float32 (features,), as ``nerfbot/Grid-v0``'s."""
        if senses.lidar is not None:
            standing = {self.course.cell_of(item.x, item.y) for item in senses.objects}
            self.walls.notice(senses.pose, senses.lidar, standing)
        cells, here = self.whole(senses), self.cell(senses)
        self._hide(cells, here, float(senses.lift[_SENSING]))
        cells[(*here, 2)] |= AGENT
        return {"grid": cells, "vector": self._vector(senses)}

    def whole(self, senses: Senses) -> NDArray[np.uint8]:
        """The cells as they are believed to be, seen or not and without the agent, (rows, columns, 3)."""
        course, cells = self.course, self._ground.copy()
        for item in senses.objects:
            cell = course.cell_of(item.x, item.y)
            if not course.inside(*cell):
                continue
            kind, state = kind_of(item.element), self._ground[cell][2]
            if self._ground[cell][0] in (CORNER_MARK, FINISH_PAD):
                state |= MARKED
            if kind == GATE and item.is_open:
                state |= OPEN
            cells[cell] = kind, colour_of(item.element), state
        rows, columns = np.nonzero(self.walls.standing)
        cells[rows, columns, 0], cells[rows, columns, 1] = WALL, 0
        return cells

    def _vector(self, senses: Senses) -> NDArray[np.float32]:
        told = {
            "phasing": float(senses.phasing),
            "lease s": senses.seconds_left,
            "charges": senses.charges,
            **{f"{colour} keys": float(count) for colour, count in senses.keys.items()},
            **{f"lift {axis}": level for axis, level in zip(AXES, senses.lift, strict=True)},
            **dict.fromkeys(senses.granted, 1.0),
        }
        return np.array([told.get(name, 0.0) for name in self.features], np.float32)

    def _hide(self, cells: NDArray[np.uint8], here: Cell, sensing: float) -> None:
        """Blank what is out of every sensor's range, or behind too much fog."""
        nerfed, lifted = self._sight[:, 0], self._sight[:, 1]
        reach = float(((1.0 - sensing) * nerfed + sensing * lifted).max())
        down, right = self._rows - here[0], self._columns - here[1]
        distance = np.sqrt((down * down + right * right).astype(float)) * self.course.cell
        far = np.full(distance.shape, reach)
        if self._fog.any():
            for row, column in np.argwhere(distance <= reach).tolist():
                through = self._through(here, (row, column), float(distance[row, column]), sensing)
                far[row, column] = min(reach, through)
        cells[distance > far + _EPSILON] = UNSEEN

    def _through(self, here: Cell, there: Cell, distance: float, sensing: float) -> float:
        """How far is seen towards a cell; the line of sight is followed in quarters of a cell."""
        down, right = there[0] - here[0], there[1] - here[1]
        parts = 4 * max(abs(down), abs(right))
        own, sight = float(self._sight[:, 1].max()), math.inf
        for part in range(parts):
            at = here[0] + _along(down, part, parts), here[1] + _along(right, part, parts)
            if self._fog[at]:
                visibility = float(self._visibility[at])
                more = sensing * max(own - visibility, 0.0)
                sight = min(sight, distance * part / parts + visibility + more)
        return sight


def _along(cells: int, part: int, parts: int) -> int:
    """Cells gone after ``part`` of ``parts`` equal parts of a way of so many cells."""
    gone = (2 * abs(cells) * part + parts) // (2 * parts)
    return -gone if cells < 0 else gone
