"""Ways over a course's floor plan: how far every point is from what must not be touched, and shortest paths.

It knows the plan (walls, gates, fragile objects, no-go zones) and the obstacles it is told of; where goals
lie it is never told.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course

from ..physics.arena_builder import FRAGILE_RADIUS
from ..physics.geometry import Cell, bounds, merge

Floats = NDArray[np.float64]
Point = tuple[float, float]
Node = tuple[int, int]

NODES = 5
"""Nodes a cell's side; an odd number puts one in the middle of a corridor of one cell."""

MARGIN = 0.19
"""Least distance in m of the robot's middle from a wall: half its width, and a little."""

COMFORT = 0.38
"""Distance in m from which on a wall costs nothing; turning on the spot takes 0.27 m."""

_PRICE = 4.0
_AROUND = [(dr, dc, math.hypot(dr, dc)) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if (dr, dc) != (0, 0)]


class Obstacle(NamedTuple):
    """An upright rectangle in m, and how much farther (nearer, below 0) than from a wall to stay from it."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float
    extra: float = 0.0

    @classmethod
    def around(cls, x: float, y: float, half: float, extra: float = 0.0) -> Obstacle:
        """A square of half the side ``half`` m about a point."""
        return cls(x - half, x + half, y - half, y + half, extra)


class FloorMap:
    """The floor plan of a course as a grid of nodes with their distance from what stands on the plan."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self.pitch = course.cell / NODES
        rows, columns = course.rows * NODES, course.columns * NODES
        self._x = (np.arange(columns) + 0.5) * self.pitch
        self._y = (np.arange(rows) + 0.5) * self.pitch
        self.walls = {item.position for item in course.of("wall")}
        fixed = [Obstacle(*bounds(patch, course.cell, course.rows)) for patch in merge(self.walls)]
        for item in course.of("no_go"):  # only the robot's middle has to stay out, by 8 cm
            fixed.append(self.cell_box(item.position, 0.08 - MARGIN))
        for item in course.of("fragile"):
            fixed.append(Obstacle.around(*course.centre(*item.position), FRAGILE_RADIUS, 0.1))
        self._fixed = self._distance(fixed, np.full((rows, columns), np.inf))

    def cell_box(self, cell: Cell, extra: float = 0.0) -> Obstacle:
        """The whole of a cell as an obstacle."""
        return Obstacle.around(*self.course.centre(*cell), self.course.cell / 2, extra)

    def _distance(self, obstacles: Iterable[Obstacle], before: Floats) -> Floats:
        for item in obstacles:
            dx = np.maximum(0.0, np.maximum(item.x_min - self._x, self._x - item.x_max))
            dy = np.maximum(0.0, np.maximum(item.y_min - self._y, self._y - item.y_max))
            before = np.minimum(before, np.hypot(dx[None, :], dy[:, None]) - item.extra)
        return before

    def clearance(self, obstacles: Iterable[Obstacle] = ()) -> Floats:
        """Distance in m of every node (rows, columns; row 0 at y = 0) from the plan and ``obstacles``."""
        return self._distance(obstacles, self._fixed)

    def node(self, x: float, y: float) -> Node:
        """The node nearest to a point in m."""
        row = min(max(int(y / self.pitch), 0), len(self._y) - 1)
        return row, min(max(int(x / self.pitch), 0), len(self._x) - 1)

    def point(self, node: Node) -> Point:
        """Where a node is, m."""
        return float(self._x[node[1]]), float(self._y[node[0]])

    def at(self, clearance: Floats, x: float, y: float) -> float:
        """The clearance at a point, m."""
        return float(clearance[self.node(x, y)])

    def line_clearance(self, clearance: Floats, start: Point, end: Point) -> float:
        """The least clearance on a straight line, m."""
        count = max(2, int(math.dist(start, end) / self.pitch * 2))
        rows = (np.linspace(start[1], end[1], count) / self.pitch).astype(int)
        columns = (np.linspace(start[0], end[0], count) / self.pitch).astype(int)
        inside = clearance[rows.clip(0, len(self._y) - 1), columns.clip(0, len(self._x) - 1)]
        return float(inside.min())

    def path(
        self, clearance: Floats, start: Point, ends: Sequence[Point], reach: float = 0.0
    ) -> list[Point] | None:
        """The cheapest way in m from ``start`` to within ``reach`` m of one of ``ends``; None if none is.

        Dijkstra's algorithm over eight neighbours; a step costs its length, and more beside obstacles. The
        robot may leave a place that is nearer to something than it should be.
        """
        targets = {self.node(*end) for end in ends}
        spread = int(reach / self.pitch)
        if spread:
            targets = {
                (row + dr, column + dc)
                for row, column in targets
                for dr in range(-spread, spread + 1)
                for dc in range(-spread, spread + 1)
                if dr * dr + dc * dc <= spread * spread
            }
        open_nodes = clearance >= MARGIN
        first = self.node(*start)
        r, c = np.ogrid[: clearance.shape[0], : clearance.shape[1]]
        near = (r - first[0]) ** 2 + (c - first[1]) ** 2 <= (0.4 / self.pitch) ** 2
        open_nodes |= near & (clearance > 0.1)
        open_nodes[first] = True
        price = (1.0 + _PRICE * np.clip((COMFORT - clearance) / COMFORT, 0.0, 1.0)).tolist()
        usable = open_nodes.tolist()
        rows, columns = clearance.shape
        best = {first: 0.0}
        came: dict[Node, Node] = {}
        queue = [(0.0, first)]
        while queue:
            cost, node = heapq.heappop(queue)
            if cost > best[node]:
                continue
            if node in targets:
                return self._unwind(came, node)
            for dr, dc, length in _AROUND:
                row, column = node[0] + dr, node[1] + dc
                if not (0 <= row < rows and 0 <= column < columns and usable[row][column]):
                    continue
                after = cost + length * price[row][column]
                if after < best.get((row, column), math.inf):
                    best[row, column] = after
                    came[row, column] = node
                    heapq.heappush(queue, (after, (row, column)))
        return None

    def _unwind(self, came: dict[Node, Node], node: Node) -> list[Point]:
        way = [self.point(node)]
        while node in came:
            node = came[node]
            way.append(self.point(node))
        return way[::-1]

    def sees(self, start: Point, end: Point) -> bool:
        """Whether no wall of the plan stands between two points."""
        count = max(2, int(math.dist(start, end) / self.pitch))
        return not any(
            self.course.cell_of(
                start[0] + (end[0] - start[0]) * k / count, start[1] + (end[1] - start[1]) * k / count
            )
            in self.walls
            for k in range(1, count)
        )
