"""Levels as data: a level set is drawn ahead, once, and a reset only picks one of its rows.

Splits never mix: which split a layout belongs to is decided by its hash, so that no layout can be in two of
them whatever seeds were drawn, and the seeds come from ranges that do not touch either.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course, CoursePlan, Pose, load_plan
from nerfbot.course.capability import ROVER, Body, Capability
from nerfbot.course.elements import (
    GRAVITY,
    STEPS,
    Block,
    Element,
    Fog,
    Fragile,
    Gate,
    Interference,
    LiftZone,
)
from nerfbot.course.passage import Relief
from nerfbot.errors import InvalidCourse
from nerfbot.grid.codes import kind_of
from nerfbot.grid.kernels.state import CHUNK_BYTES
from nerfbot.grid.painting import paint
from nerfbot.limits import AXES

SEEDS = 2**28
"""Seeds in the range of a split."""

TRIES_PER_LEVEL = 200
"""Drawn levels per level wanted, before a split is given up as too small."""

FRAGILE_FRICTION = 0.4
"""Of a fragile object on the floor, as the simulated ones have it."""

MOST_THINGS = 64
"""Blocks, gates and fragile objects that a level may hold."""

TABLE_ROWS = 256

Entry = TypeVar("Entry")


class Split(enum.Enum):
    """The parts of a course family's levels: (the number of its seed range, its share of sixteenths)."""

    TRAIN = (0, range(0, 10))
    VALIDATION = (1, range(10, 12))
    DEVELOPMENT = (2, range(12, 13))
    TEST = (3, range(13, 16))

    @property
    def first_seed(self) -> int:
        """Where its range of seeds begins."""
        return int(self.value[0]) * SEEDS

    def holds(self, course: Course) -> bool:
        """Whether a layout belongs to this split."""
        return int(layout_hash(course)[:8], 16) % 16 in self.value[1]


def layout_hash(course: Course) -> str:
    """`Course.content_hash` but for the heading at the start: on the grid, a turned layout is the same."""
    return dataclasses.replace(course, start=Pose(0.0, 0.0, 0.0)).content_hash()


@dataclass(frozen=True)
class LevelSet:
    """Levels of one size, ready for the kernels.

    Row bytes `R` are the 3 bytes a cell, rounded up to 64. `cells` and `bare` are (levels, R) uint8, `zone`
    (levels, C) and `climb` (levels, C, 4) uint8 rows of the tables, `thing_*` (levels, T).
    """

    courses: tuple[Course, ...]
    rows: int
    columns: int
    cell: float
    cells: NDArray[np.uint8]
    bare: NDArray[np.uint8]
    start: NDArray[np.int32]
    placebo: NDArray[np.int32]
    zone: NDArray[np.uint8]
    zones: tuple[tuple[float, float, float, int], ...]
    climb: NDArray[np.uint8]
    forces: tuple[float, ...]
    thing_cell: NDArray[np.int32]
    thing_kind: NDArray[np.uint8]
    thing_values: NDArray[np.float64]
    hashes: frozenset[str] = field(repr=False)

    def __len__(self) -> int:
        """How many levels there are."""
        return len(self.courses)

    @property
    def row_bytes(self) -> int:
        """Bytes of a level's row of cells."""
        return int(self.cells.shape[1])

    @property
    def things(self) -> int:
        """Things with properties that a level may hold."""
        return int(self.thing_cell.shape[1])

    @classmethod
    def of(cls, courses: Sequence[Course], body: Body = ROVER) -> LevelSet:
        """The set of these courses, all of one size. Raises `InvalidCourse` for what the grid cannot hold."""
        if not courses:
            raise InvalidCourse("levels: there must be at least one")
        first = courses[0]
        for course in courses:
            if (course.rows, course.columns, course.cell) != (first.rows, first.columns, first.cell):
                raise InvalidCourse(
                    f"levels: course {course.name!r} is {course.rows} x {course.columns} cells of"
                    f" {course.cell:g} m, the first is {first.rows} x {first.columns} of {first.cell:g} m"
                )
        return _Builder(first, body).build(courses)

    @classmethod
    def draw(
        cls,
        course: str | Path | CoursePlan,
        count: int,
        training: bool = True,
        split: Split | None = None,
        alpha: float = 0.0,
        first_seed: int = 0,
        accept: Callable[[Course], bool] | None = None,
        body: Body = ROVER,
        tell: Callable[[int], None] | None = None,
    ) -> LevelSet:
        """Draw `count` levels of a course family, each with a way to a goal (see `has_a_way`).

        Args:
            course: a catalogue name, the path of a course file, or a plan.
            count: how many.
            training: from the training distribution; else from the one of tests.
            split: only layouts of this split, from its seeds; None takes any.
            alpha: the share of distinguishing levels (of the tests' distribution) mixed into training ones.
            first_seed: where in the range of seeds to begin.
            accept: a further condition, for example that the goal is in reach.
            body: of the robot that ramps and steps ask force of.
            tell: called with the number of levels drawn so far.

        Raises `InvalidCourse` where too few levels exist, or for numbers that cannot be.

        """
        if count < 1:
            raise InvalidCourse(f"levels: count must be at least 1, got {count}")
        if not 0.0 <= alpha <= 1.0:
            raise InvalidCourse(f"levels: alpha must be from 0 to 1, got {alpha}")
        if split is not None and not 0 <= first_seed < SEEDS:
            raise InvalidCourse(f"levels: first_seed must be from 0 to {SEEDS - 1}, got {first_seed}")
        plan = course if isinstance(course, CoursePlan) else load_plan(course)
        seed = first_seed + (0 if split is None else split.first_seed)
        last = math.inf if split is None else split.first_seed + SEEDS
        drawn: list[Course] = []
        refused = 0
        while len(drawn) < count:
            if seed >= last:
                raise InvalidCourse(
                    f"levels of {plan.name!r}: {len(drawn)} of {count} found between first_seed {first_seed}"
                    " and the end of the split's seeds"
                )
            distinguishing = _is_chosen(seed, alpha)
            level = plan.draw(seed, training=training and not distinguishing)
            seed += 1
            held = split is None or split.holds(level)
            if held and has_a_way(level) and (accept is None or accept(level)):
                drawn.append(level)
                refused = 0
                if tell is not None:
                    tell(len(drawn))
                continue
            refused += 1
            if refused >= TRIES_PER_LEVEL:
                where = "" if split is None else f" of the split {split.name.lower()}"
                raise InvalidCourse(
                    f"levels of {plan.name!r}: {len(drawn)} of {count}{where} found; {refused} draws in a row"
                    " were of another split or not solvable"
                )
        return cls.of(drawn, body)

    def with_spare(self, count: int) -> LevelSet:
        """These levels and `count` more, copies of the first ones, to be written over."""
        rows = np.arange(len(self) + count) % len(self)
        copied = {name: getattr(self, name)[rows] for name in _BY_LEVEL}
        courses = tuple(self.courses[row] for row in rows.tolist())
        return dataclasses.replace(self, courses=courses, **copied)

    def shared_with(self, other: LevelSet) -> frozenset[str]:
        """Hashes of the layouts that both sets hold."""
        return self.hashes & other.hashes


_BY_LEVEL = ("cells", "bare", "start", "placebo", "zone", "climb", "thing_cell", "thing_kind", "thing_values")
"""The arrays of a level set that have a row a level."""


def has_a_way(course: Course) -> bool:
    """Whether no wall and no closed chest shuts off every goal: a chest's key must not lie behind chests.

    Everything that a lift may overcome (blocks, gates, ramps, fog) counts as open.
    """
    shut = {item.position for kind in ("wall", "chest") for item in course.of(kind)}
    reached, edge = {course.start_cell}, [course.start_cell]
    while edge:
        fresh = {near for cell in edge for near in _around(cell)} - reached - shut
        edge = [cell for cell in fresh if course.inside(*cell)]
        reached.update(edge)
    keys = {item.properties["colour"] for item in course.of("key") if item.position in reached}
    for item in course.elements:
        if not course.task.goal.covers(item):
            continue
        if item.kind == "chest":
            if item.properties["colour"] in keys and not reached.isdisjoint(_around(item.position)):
                return True
        elif item.position in reached:
            return True
    return False


def _is_chosen(seed: int, alpha: float) -> bool:
    """Whether the level of a seed is one of a share `alpha`; the same levels stay chosen as it grows."""
    if alpha <= 0.0:
        return False
    return float(np.random.default_rng([seed, 0xA1FA]).random()) < alpha


class _Builder:
    """Fills the arrays of a level set, and the tables that its levels share."""

    def __init__(self, first: Course, body: Body) -> None:
        self.first = first
        self.columns = first.columns
        self.count = first.rows * first.columns
        self.row_bytes = -(-3 * self.count // CHUNK_BYTES) * CHUNK_BYTES
        self.able = Capability(push=math.inf, speed=1.0, sight=math.inf, body=body)
        self.zones: dict[tuple[float, float, float, int], int] = {(math.inf, 0.0, 1.0, 0): 0}
        self.forces: dict[float, int] = {0.0: 0}

    def build(self, courses: Sequence[Course]) -> LevelSet:
        number = len(courses)
        things = [tuple(_things(course)) for course in courses]
        most = max(map(len, things))
        if most > MOST_THINGS:
            raise InvalidCourse(
                f"course {self.first.name!r}: {most} blocks, gates and fragile objects;"
                f" the grid holds {MOST_THINGS}"
            )
        cells = np.zeros((number, self.row_bytes), np.uint8)
        bare = np.zeros((number, self.row_bytes), np.uint8)
        zone = np.zeros((number, self.count), np.uint8)
        climb = np.zeros((number, self.count, 4), np.uint8)
        thing_cell = np.full((number, most), -1, np.int32)
        thing_kind = np.zeros((number, most), np.uint8)
        thing_values = np.zeros((number, most, 3))
        start = np.empty(number, np.int32)
        placebo = np.full(number, -1, np.int32)
        for index, course in enumerate(courses):
            self._paint(course, cells[index], bare[index], zone[index])
            self._slopes(course, climb[index])
            start[index] = self._number(course.start_cell)
            if course.placebo is not None:
                placebo[index] = self._number(course.placebo)
            for slot, (item, values) in enumerate(things[index]):
                thing_cell[index, slot] = self._number(item.position)
                thing_kind[index, slot] = kind_of(item)
                thing_values[index, slot] = values
        return LevelSet(
            courses=tuple(courses),
            rows=self.first.rows,
            columns=self.columns,
            cell=self.first.cell,
            cells=cells,
            bare=bare,
            start=start,
            placebo=placebo,
            zone=zone,
            zones=tuple(self.zones),
            climb=climb,
            forces=tuple(self.forces),
            thing_cell=thing_cell,
            thing_kind=thing_kind,
            thing_values=thing_values,
            hashes=frozenset(map(layout_hash, courses)),
        )

    def _number(self, cell: tuple[int, int]) -> int:
        return cell[0] * self.columns + cell[1]

    def _paint(
        self, course: Course, cells: NDArray[np.uint8], bare: NDArray[np.uint8], zone: NDArray[np.uint8]
    ) -> None:
        """Write the ground and zones into `bare`, and the bodies over them into `cells`."""
        for flat, painted in zip((cells, bare), paint(course), strict=True):
            flat[: 3 * self.count] = painted.reshape(-1)
        for cell in {item.position for item in course.elements if item.layer == "zone"}:
            zone[self._number(cell)] = self._zone(course, cell)

    def _zone(self, course: Course, cell: tuple[int, int]) -> int:
        """Row of the zone table for what lies over a cell."""
        visibility, loss, burst, axes = math.inf, 0.0, 1.0, 0
        for item in course.at(*cell):
            if isinstance(item, Fog):
                visibility = item.visibility
            elif isinstance(item, Interference):
                loss, burst = item.loss, item.burst
            elif isinstance(item, LiftZone):
                axes = sum(1 << AXES.index(axis) for axis in set(item.axes))
        return self._row(self.zones, (visibility, loss, burst, axes), "kinds of zones")

    def _row(self, table: dict[Entry, int], entry: Entry, what: str) -> int:
        if entry not in table and len(table) == TABLE_ROWS:
            raise InvalidCourse(
                f"levels of {self.first.name!r}: more than {TABLE_ROWS} {what}; the grid holds no more"
            )
        return table.setdefault(entry, len(table))

    def _slopes(self, course: Course, climb: NDArray[np.uint8]) -> None:
        """Force that each way out of each cell asks of the drive, as rows of the table of forces."""
        relief = Relief(course, self.able)
        for cell in {near for at in relief.ground for near in (at, *_around(at))}:
            if not course.inside(*cell):
                continue
            for index, direction in enumerate(STEPS):
                force = relief.force(cell, direction)
                climb[self._number(cell), index] = self._row(self.forces, force, "different slopes")


def _around(cell: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for down, right in STEPS.values():
        yield cell[0] + down, cell[1] + right


def _things(course: Course) -> Iterable[tuple[Element, tuple[float, float, float]]]:
    """The bodies whose properties matter, with the three values that the kernels read."""
    for item in course.elements:
        if isinstance(item, Block):
            yield item, (item.push, 0.0, 0.0)
        elif isinstance(item, Gate):
            yield item, (item.period, item.open, item.phase)
        elif isinstance(item, Fragile):
            yield item, (item.impulse, item.mass, item.mass * FRAGILE_FRICTION * GRAVITY)
