"""A course file after parsing: what always stands, what is drawn, and how `draw` makes a `Course` of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Annotated

from pydantic import Field, field_validator

from nerfbot.course.course import Cell, Course, Pose, Waypoint
from nerfbot.course.drawing import Drawn, put, stream
from nerfbot.course.elements import Block, CourseModel, Element, Gate, Start
from nerfbot.course.scatter import ATTEMPTS, REQUIRED, Scatter, bits, scatter_walls
from nerfbot.course.task import Task
from nerfbot.declared import NonNegative
from nerfbot.errors import InvalidCourse

Interval = Annotated[tuple[float, float], Field(strict=False)]


class Variation(CourseModel):
    """How episodes of one course differ: each quantity is drawn uniformly, from its own stream of the seed.

    `start_offset` (m): the start moves by up to this much east or west, and north or south.
    `start_heading` (rad): the heading turns by up to this much either way.
    `gate_phase` (s): replaces every gate's phase; one draw for the gates that share a legend character.
    `block_mass`, `block_friction`: factors, one draw a block.
    """

    start_offset: NonNegative = 0.0
    start_heading: NonNegative = 0.0
    gate_phase: Interval | None = None
    block_mass: Interval = (1.0, 1.0)
    block_friction: Interval = (1.0, 1.0)

    @field_validator("gate_phase", "block_mass", "block_friction")
    @classmethod
    def _ordered(cls, interval: tuple[float, float] | None) -> tuple[float, float] | None:
        if interval is not None and not (0 <= interval[0] <= interval[1] < math.inf):
            raise ValueError("must be [low, high] with 0 <= low <= high")
        return interval

    @field_validator("block_mass", "block_friction")
    @classmethod
    def _positive(cls, interval: tuple[float, float]) -> tuple[float, float]:
        if interval[0] <= 0:
            raise ValueError("a factor must be greater than 0")
        return interval


@dataclass(frozen=True)
class CoursePlan:
    """Everything one course file says, checked. `fixed` are the elements in their cells, in reading order.

    `groups` gives each gate's cell the legend character it was written with.
    """

    name: str
    title: str
    description: str
    cell: float
    rows: int
    columns: int
    fixed: tuple[Element, ...]
    drawn: tuple[Drawn, ...]
    groups: dict[Cell, str]
    variation: Variation
    task: Task
    needs: tuple[str, ...]
    route: tuple[Waypoint, ...]
    placebo_cells: tuple[Cell, ...]
    scatter: tuple[Scatter, ...] = ()

    def draw(self, seed: int | None = None, training: bool = False) -> Course:
        """One course: the nominal one without a seed, else drawn, the same for the same seed.

        In the nominal course no wall is scattered. Raises `InvalidCourse` for a seed that is not a whole
        number from 0, and where no scattering of the walls leaves the course in one piece.
        """
        if seed is not None and (isinstance(seed, bool) or int(seed) != seed or seed < 0):
            raise InvalidCourse(f"seed of course {self.name!r} must be a whole number from 0, got {seed!r}")
        elements = list(self.fixed) if seed is None else [self._vary(item, seed) for item in self.fixed]
        taken: set[Cell] = set()
        for index, drawn in enumerate(self.drawn):
            elements += drawn.place(index, seed, training, elements, taken)
        start = next(item for item in elements if isinstance(item, Start))
        bare: Collection[Cell] = self.placebo_cells
        if self.scatter and seed is not None:
            walls, reached = self._scatter(seed, elements, taken, start)
            elements += walls
            bare = [cell for cell in bare if bits([cell], self.columns) & reached]
        elements.sort(key=attrgetter("row", "column"))
        return Course(
            name=self.name,
            title=self.title,
            description=self.description,
            cell=self.cell,
            rows=self.rows,
            columns=self.columns,
            elements=_numbered(elements),
            start=self._start_pose(start, seed),
            task=self.task,
            needs=self.needs,
            route=self.route,
            placebo=_placebo([cell for cell in bare if cell not in taken], seed),
            seed=seed,
        )

    @property
    def is_family(self) -> bool:
        """Whether levels differ in their walls, start or looks, so that the nominal one says little."""
        drawn = (item for entry in self.drawn for item in (entry.test, entry.training))
        several = any(len(item.elements) > 1 or isinstance(item.appearances[0][0], Start) for item in drawn)
        return bool(self.scatter) or several

    def _vary(self, item: Element, seed: int) -> Element:
        variation = self.variation
        if isinstance(item, Gate) and variation.gate_phase is not None:
            phase = stream(seed, f"gate-{self.groups[item.position]}").uniform(*variation.gate_phase)
            return item.model_copy(update={"phase": float(phase)})
        if isinstance(item, Block):
            random = stream(seed, f"block-{item.row}-{item.column}")
            mass = item.mass * float(random.uniform(*variation.block_mass))
            friction = item.friction * float(random.uniform(*variation.block_friction))
            return item.model_copy(update={"mass": mass, "friction": friction})
        return item

    @cached_property
    def _floor(self) -> int:
        """The cells that the map does not wall, as bits."""
        walls = bits((item.position for item in self.fixed if item.kind == "wall"), self.columns)
        return (1 << self.rows * self.columns) - 1 & ~walls

    def _scatter(
        self, seed: int, elements: list[Element], taken: set[Cell], start: Start
    ) -> tuple[list[Element], int]:
        """The scattered walls in their cells, and the cells (bits) that are reached from the start."""
        required = bits((item.position for item in elements if item.kind in REQUIRED), self.columns)
        held, first = bits(taken, self.columns), bits([start.position], self.columns)
        scattered = scatter_walls(self.scatter, seed, self.columns, self._floor, held, first, required)
        if scattered is None:
            raise InvalidCourse(
                f"course {self.name!r}, seed {seed}: in {ATTEMPTS} attempts no scattering of the walls left "
                f"every {', '.join(REQUIRED[:-2])} and marker in reach of the start"
            )
        walls, reached = scattered
        return [put(item, cell) for item, cell in walls], reached

    def _start_pose(self, start: Start, seed: int | None) -> Pose:
        offset, turn = self.variation.start_offset, self.variation.start_heading
        x, y = (start.column + 0.5) * self.cell, (self.rows - start.row - 0.5) * self.cell
        if seed is None or not (offset or turn):
            return Pose(x, y, start.heading)
        random = stream(seed, "start")
        east, north = random.uniform(-offset, offset, size=2)
        return Pose(x + float(east), y + float(north), start.heading + float(random.uniform(-turn, turn)))


def _placebo(free: list[Cell], seed: int | None) -> Cell | None:
    if not free:
        return None
    return free[0] if seed is None else free[int(stream(seed, "placebo").integers(len(free)))]


def _numbered(elements: list[Element]) -> tuple[Element, ...]:
    """Give each element its id: its kind and its number in reading order."""
    counts: Counter[str] = Counter()
    numbered = []
    for item in elements:
        counts[item.kind] += 1
        numbered.append(put(item, item.position, f"{item.kind}-{counts[item.kind]}"))
    return tuple(numbered)
