"""A course file after parsing: what always stands, what is drawn, and how `draw` makes a `Course` of it."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from nerfbot.course.course import Cell, Course, Pose, Waypoint
from nerfbot.course.elements import Block, Element, Gate, NonNegative, Start
from nerfbot.course.task import Task
from nerfbot.errors import InvalidCourse

Interval = Annotated[tuple[float, float], Field(strict=False)]


class Variation(BaseModel):
    """How episodes of one course differ: each quantity is drawn uniformly, from its own stream of the seed.

    `start_offset` (m): the start moves by up to this much east or west, and north or south.
    `start_heading` (rad): the heading turns by up to this much either way.
    `gate_phase` (s): replaces every gate's phase; one draw for the gates that share a legend character.
    `block_mass`, `block_friction`: factors, one draw a block.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

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
class Drawn:
    """An element of which `count` are put on cells drawn from `cells`; in training from `training_cells`."""

    element: Element
    cells: tuple[Cell, ...]
    count: int
    training_cells: tuple[Cell, ...]
    training_count: int


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

    def draw(self, seed: int | None = None, training: bool = False) -> Course:
        """One course: the nominal one without a seed, else drawn, the same for the same seed.

        Raises `InvalidCourse` for a seed that is not a whole number from 0.
        """
        if seed is not None and (isinstance(seed, bool) or int(seed) != seed or seed < 0):
            raise InvalidCourse(f"seed of course {self.name!r} must be a whole number from 0, got {seed!r}")
        elements = [self._vary(item, seed) for item in self.fixed]
        taken: set[Cell] = set()
        for index, drawn in enumerate(self.drawn):
            random = None if seed is None else _stream(seed, f"drawn-{index}")
            elements += _place(drawn, taken, random, training)
        elements.sort(key=lambda item: item.position)
        start = next(item for item in elements if isinstance(item, Start))
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
            placebo=self._placebo(seed, taken),
            seed=seed,
        )

    def _vary(self, item: Element, seed: int | None) -> Element:
        variation = self.variation
        if seed is None:
            return item
        if isinstance(item, Gate) and variation.gate_phase is not None:
            phase = _stream(seed, f"gate-{self.groups[item.position]}").uniform(*variation.gate_phase)
            return item.model_copy(update={"phase": float(phase)})
        if isinstance(item, Block):
            random = _stream(seed, f"block-{item.row}-{item.column}")
            mass = item.mass * float(random.uniform(*variation.block_mass))
            friction = item.friction * float(random.uniform(*variation.block_friction))
            return item.model_copy(update={"mass": mass, "friction": friction})
        return item

    def _start_pose(self, start: Start, seed: int | None) -> Pose:
        offset, turn = self.variation.start_offset, self.variation.start_heading
        x, y = (start.column + 0.5) * self.cell, (self.rows - start.row - 0.5) * self.cell
        if seed is None:
            return Pose(x, y, start.heading)
        random = _stream(seed, "start")
        east, north = random.uniform(-offset, offset, size=2)
        return Pose(x + float(east), y + float(north), start.heading + float(random.uniform(-turn, turn)))

    def _placebo(self, seed: int | None, taken: set[Cell]) -> Cell | None:
        free = [cell for cell in self.placebo_cells if cell not in taken]
        if not free:
            return None
        return free[0] if seed is None else free[int(_stream(seed, "placebo").integers(len(free)))]


def _place(
    drawn: Drawn, taken: set[Cell], random: np.random.Generator | None, training: bool
) -> list[Element]:
    """Put a drawn element on free cells (the first ones without a generator) and mark them taken."""
    cells = drawn.training_cells if training else drawn.cells
    count = drawn.training_count if training else drawn.count
    free = [cell for cell in cells if cell not in taken]
    chosen = range(count) if random is None else random.permutation(len(free))[:count]
    places = [free[int(index)] for index in chosen]
    taken.update(places)
    return [drawn.element.model_copy(update={"row": row, "column": column}) for row, column in places]


def _numbered(elements: list[Element]) -> tuple[Element, ...]:
    """Give each element its id: its kind and its number in reading order."""
    counts: Counter[str] = Counter()
    numbered = []
    for item in elements:
        counts[item.kind] += 1
        numbered.append(item.model_copy(update={"id": f"{item.kind}-{counts[item.kind]}"}))
    return tuple(numbered)


def _stream(seed: int, purpose: str) -> np.random.Generator:
    """An independent generator a purpose, so that drawing one thing more reshuffles no other."""
    return np.random.default_rng([int(seed), zlib.crc32(purpose.encode())])
