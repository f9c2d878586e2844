"""A robot's readings as the grid's observation: odometry, lidar and object poses in, cells out.

It knows the course's floor plan and the readings, and imports neither a simulator nor a robot. Cells that
the grid would hide, because they are too far or in fog, are hidden here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.bridge.cells.wall_map import LidarGeometry, WallMap
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
    """The place of an object, x and y in m; ``is_open`` applies to gates."""

    element: Element
    x: float
    y: float
    is_open: bool = False


class RobotState(NamedTuple):
    """What a robot knows at one moment.

    ``pose`` (3,) x m, y m, heading rad; ``lidar`` (rays,) m or None; the ``objects`` that are left; ``keys``
    held by colour; whether it is ``phasing``; ``lift`` (4,) by axis; the ``granted`` edits; the seconds until
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
        course: the course, with its floor plan of walls, ground, markers and zones.
        nerf: the specification on the grid, which limits the sight.
        lidar: the robot's lidar, which corrects the plan's walls; None leaves them as planned.
        reveal: whether the vector shows lifts and leases.
        keys: whether the vector counts keys.
        row: the episode's row of the nerf's table.

    """

    def __init__(
        self,
        course: Course,
        nerf: GridNerf,
        lidar: LidarGeometry | None = None,
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

    def cell(self, robot: RobotState) -> Cell:
        """The robot's cell by its odometry."""
        return self.course.cell_of(float(robot.pose[0]), float(robot.pose[1]))

    def build(self, robot: RobotState) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
        """``grid`` uint8 (rows, columns, 3) and ``vector`` float32 (features,), as in ``nerfbot/Grid-v0``."""
        if robot.lidar is not None:
            occupied = {self.course.cell_of(item.x, item.y) for item in robot.objects}
            self.walls.update(robot.pose, robot.lidar, occupied)
        cells, here = self.whole(robot), self.cell(robot)
        self._hide(cells, here, float(robot.lift[_SENSING]))
        cells[(*here, 2)] |= AGENT
        return {"grid": cells, "vector": self._vector(robot)}

    def whole(self, robot: RobotState) -> NDArray[np.uint8]:
        """All believed cells, hidden ones included and without the agent, uint8 (rows, columns, 3)."""
        course, cells = self.course, self._ground.copy()
        for item in robot.objects:
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

    def _vector(self, robot: RobotState) -> NDArray[np.float32]:
        values = {
            "phasing": float(robot.phasing),
            "lease s": robot.seconds_left,
            "charges": robot.charges,
            **{f"{colour} keys": float(count) for colour, count in robot.keys.items()},
            **{f"lift {axis}": level for axis, level in zip(AXES, robot.lift, strict=True)},
            **dict.fromkeys(robot.granted, 1.0),
        }
        return np.array([values.get(name, 0.0) for name in self.features], np.float32)

    def _hide(self, cells: NDArray[np.uint8], here: Cell, sensing: float) -> None:
        """Blank the cells out of every sensor's range, or behind too much fog."""
        nerfed, lifted = self._sight[:, 0], self._sight[:, 1]
        reach = float(((1.0 - sensing) * nerfed + sensing * lifted).max())
        down, right = self._rows - here[0], self._columns - here[1]
        distance = np.sqrt((down * down + right * right).astype(float)) * self.course.cell
        far = np.full(distance.shape, reach)
        if self._fog.any():
            for row, column in np.argwhere(distance <= reach).tolist():
                visible = self._visible_distance(here, (row, column), float(distance[row, column]), sensing)
                far[row, column] = min(reach, visible)
        cells[distance > far + _EPSILON] = UNSEEN

    def _visible_distance(self, here: Cell, there: Cell, distance: float, sensing: float) -> float:
        """How far the robot sees towards a cell, m; the line of sight is sampled in quarters of a cell."""
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
    """Whole cells covered after ``part`` of ``parts`` equal parts of a line of ``cells`` cells."""
    covered = (2 * abs(cells) * part + parts) // (2 * parts)
    return -covered if cells < 0 else covered
