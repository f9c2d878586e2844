"""A course ready to be built: its elements in their cells, its geometry in metres and its regions.

A `Course` is one drawn instance; the file it was drawn from is a `CoursePlan` (plan.py).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from nerfbot.course.elements import ZONES, Element, Ramp, Start, Step
from nerfbot.course.task import Task
from nerfbot.errors import InvalidCourse
from nerfbot.limits import AXES
from nerfbot.powers.region import Cells

Cell = tuple[int, int]
Action = Literal["drive", "wait_gate", "push", "back", "look"]


@dataclass(frozen=True)
class Waypoint:
    """A cell on the way from start to goal, with what a scripted driver does there.

    `drive` (the default) goes to its centre; `wait_gate` waits there until the gate ahead opens; `push`
    goes on pushing what stands in the way until the cell is reached; `back` reverses to it without turning
    (a pushed block stands too close to turn beside); `look` stops there, looks for the goal, and drives
    straight to it where it is seen.
    """

    row: int
    column: int
    action: Action = "drive"


@dataclass(frozen=True)
class Pose:
    """Position x (east), y (north) in m and heading in rad (0 east, counter-clockwise)."""

    x: float
    y: float
    heading: float


@dataclass(frozen=True)
class Region:
    """Connected cells under one zone: its `kind`, its cells, and `zone`, the element with its properties."""

    id: str
    kind: str
    cells: frozenset[Cell]
    zone: Element
    cell: float
    rows: int

    @property
    def properties(self) -> dict[str, object]:
        """The zone's properties as the course file gives them."""
        return self.zone.properties

    def contains(self, x: float, y: float) -> bool:
        """Whether the point (m) lies inside."""
        return _cell_of(x, y, self.cell, self.rows) in self.cells

    @property
    def shape(self) -> Cells:
        """The same place as the shape that a lease or an authority takes."""
        return Cells(cell=self.cell, rows=self.rows, cells=tuple(sorted(self.cells)))


@dataclass(frozen=True)
class Course:
    """An obstacle course: what stands where, and what is rewarded.

    `cell` is the side of a cell in m; row 0 is the northern edge, column 0 the western. `needs` are the axes
    that have to be lifted, as the file claims. `start` holds the drawn offset and heading; `placebo` is a
    cell that nothing shows. `seed` is None for the nominal course, in which nothing is drawn.
    """

    name: str
    title: str
    cell: float
    rows: int
    columns: int
    elements: tuple[Element, ...]
    start: Pose
    task: Task
    description: str = ""
    needs: tuple[str, ...] = ()
    route: tuple[Waypoint, ...] = ()
    placebo: Cell | None = None
    seed: int | None = None

    @property
    def width(self) -> float:
        """Extent in x, m."""
        return self.columns * self.cell

    @property
    def height(self) -> float:
        """Extent in y, m."""
        return self.rows * self.cell

    def centre(self, row: int, column: int) -> tuple[float, float]:
        """The middle of a cell, (x, y) in m."""
        return (column + 0.5) * self.cell, (self.rows - row - 0.5) * self.cell

    def cell_of(self, x: float, y: float) -> Cell:
        """The (row, column) of the cell that holds the point (m); it may lie outside the map."""
        return _cell_of(x, y, self.cell, self.rows)

    def inside(self, row: int, column: int) -> bool:
        """Whether the map has such a cell."""
        return 0 <= row < self.rows and 0 <= column < self.columns

    @cached_property
    def _by_cell(self) -> dict[Cell, tuple[Element, ...]]:
        cells: dict[Cell, list[Element]] = {}
        for item in self.elements:
            cells.setdefault(item.position, []).append(item)
        return {cell: tuple(items) for cell, items in cells.items()}

    def at(self, row: int, column: int) -> tuple[Element, ...]:
        """Everything in one cell; empty for bare floor."""
        return self._by_cell.get((row, column), ())

    def of(self, kind: str) -> tuple[Element, ...]:
        """Every element of a kind, in reading order."""
        return tuple(item for item in self.elements if item.kind == kind)

    def element(self, element_id: str) -> Element:
        """The element of that id; raises `InvalidCourse` where there is none."""
        for item in self.elements:
            if item.id == element_id:
                return item
        raise InvalidCourse(f"course {self.name!r} has no element {element_id!r}")

    @property
    def start_cell(self) -> Cell:
        """The cell that holds the start, before any drawn offset."""
        return next(item.position for item in self.elements if isinstance(item, Start))

    def content_hash(self) -> str:
        """SHA-256, in hex, of what stands where: equal for equal layouts whatever their seed, name and task.

        The elements count with their cells and properties, and the start with its cell and its heading to a
        thousandth of a turn; ids, and the offset of the start within its cell, do not.
        """
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        walls = sorted(item.position for item in self.elements if item.kind == "wall")
        others = sorted(
            (item.position, item.kind, sorted(item.properties.items()))
            for item in self.elements
            if item.kind not in ("wall", "start")
        )
        turn = round(self.start.heading / math.tau, 3) % 1.0
        content = (self.cell, self.rows, self.columns, walls, others, self.start_cell, turn)
        return hashlib.sha256(repr(content).encode()).hexdigest()

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """Connected cells (sharing an edge) whose zone elements are of one kind and have equal properties."""
        return tuple(
            Region(f"{kind}-region-{index}", kind, cells, zone, self.cell, self.rows)
            for kind in ZONES
            for index, (zone, cells) in enumerate(self._zones_of(kind), start=1)
        )

    def _zones_of(self, kind: str) -> list[tuple[Element, frozenset[Cell]]]:
        left = {item.position: item for item in self.of(kind)}
        found = []
        while left:
            start = min(left)
            zone = left.pop(start)
            cells, open_cells = {start}, [start]
            while open_cells:
                for neighbour in neighbours(open_cells.pop()):
                    if neighbour in left and left[neighbour].properties == zone.properties:
                        del left[neighbour]
                        cells.add(neighbour)
                        open_cells.append(neighbour)
            found.append((zone, frozenset(cells)))
        return found

    def elevation(self, x: float, y: float) -> float:
        """Height of the ground at a point (m), in m above the floor."""
        row, column = self.cell_of(x, y)
        for item in self.at(row, column):
            if isinstance(item, Step):
                return item.height
            if isinstance(item, Ramp):
                centre_x, centre_y = self.centre(row, column)
                angle = RAMP_ANGLES[item.direction]
                along = (x - centre_x) * math.cos(angle) + (y - centre_y) * math.sin(angle)
                return item.base + item.height * min(1.0, max(0.0, along / self.cell + 0.5))
        return 0.0

    def axes_at(self, x: float, y: float) -> frozenset[str]:
        """The axes on which a lease may be requested at a point (m)."""
        return frozenset(
            axis
            for item in self.at(*self.cell_of(x, y))
            if item.kind == "lift_zone"
            for axis in AXES
            if axis in item.properties["axes"]  # type: ignore[operator]  # a tuple of axes, by its class
        )


RAMP_ANGLES = {"east": 0.0, "north": math.pi / 2, "west": math.pi, "south": -math.pi / 2}
"""Heading in rad of each direction."""


def neighbours(cell: Cell) -> tuple[Cell, Cell, Cell, Cell]:
    """The four cells that share an edge with this one."""
    row, column = cell
    return (row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)


def _cell_of(x: float, y: float, cell: float, rows: int) -> Cell:
    return rows - 1 - math.floor(y / cell), math.floor(x / cell)
