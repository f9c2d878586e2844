"""Level sets: levels are drawn once, ahead of time, and a reset only picks one of them.

Splits never share a layout: its hash decides which split it belongs to, and each split has a range of seeds
of its own. How a level becomes arrays is in level_arrays.py.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course, CoursePlan, Pose, load_plan
from nerfbot.course.capability import ROVER, Body
from nerfbot.errors import InvalidCourse
from nerfbot.grid.level_arrays import build_arrays, cells_around

SEEDS = 2**28
"""Seeds in the range of a split."""

TRIES_PER_LEVEL = 200
"""Draws in a row without a level that fits, after which drawing fails."""


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

    Row bytes `R` are the 3 bytes a cell, rounded up to 64. `cells` and `ground` are (levels, R) uint8, `zone`
    (levels, C) and `climb` (levels, C, 4) uint8 rows of the tables, `thing_*` (levels, T).
    """

    courses: tuple[Course, ...]
    rows: int
    columns: int
    cell: float
    hashes: frozenset[str] = field(repr=False)
    cells: NDArray[np.uint8]
    ground: NDArray[np.uint8]
    start: NDArray[np.int32]
    placebo: NDArray[np.int32]
    zone: NDArray[np.uint8]
    zones: tuple[tuple[float, float, float, int], ...]
    climb: NDArray[np.uint8]
    forces: tuple[float, ...]
    thing_cell: NDArray[np.int32]
    thing_kind: NDArray[np.uint8]
    thing_values: NDArray[np.float64]

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
        hashes, arrays = frozenset(map(layout_hash, courses)), build_arrays(courses, body)
        return cls(tuple(courses), first.rows, first.columns, first.cell, hashes, **arrays)

    @classmethod
    def draw(
        cls,
        course: str | Path | CoursePlan,
        count: int,
        training: bool = True,
        split: Split | None = None,
        alpha: float = 0.0,
        first_seed: int = 0,
        body: Body = ROVER,
    ) -> LevelSet:
        """Draw `count` levels of a course family, each with a way to a goal (see `has_a_way`).

        Args:
            course: a catalogue name, the path of a course file, or a plan.
            count: how many.
            training: from the training distribution; else from the one of tests.
            split: only layouts of this split, from its seeds; None takes any.
            alpha: the share of distinguishing levels (of the tests' distribution) mixed into training ones.
            first_seed: where in the range of seeds to begin.
            body: of the robot, which decides the force that ramps and steps need.

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
        rejected = 0
        while len(drawn) < count:
            if seed >= last:
                raise InvalidCourse(
                    f"levels of {plan.name!r}: {len(drawn)} of {count} found between first_seed {first_seed}"
                    " and the end of the split's seeds"
                )
            distinguishing = _is_distinguishing(seed, alpha)
            level = plan.draw(seed, training=training and not distinguishing)
            seed += 1
            in_split = split is None or split.holds(level)
            if in_split and has_a_way(level):
                drawn.append(level)
                rejected = 0
                continue
            rejected += 1
            if rejected >= TRIES_PER_LEVEL:
                where = "" if split is None else f" of the split {split.name.lower()}"
                raise InvalidCourse(
                    f"levels of {plan.name!r}: {len(drawn)} of {count}{where} found;"
                    f" {rejected} draws in a row were of another split or not solvable"
                )
        return cls.of(drawn, body)

    def with_spare(self, count: int) -> LevelSet:
        """These levels and `count` more, copies of the first ones, to be overwritten."""
        rows = np.arange(len(self) + count) % len(self)
        copied = {name: getattr(self, name)[rows] for name in _BY_LEVEL}
        courses = tuple(self.courses[row] for row in rows.tolist())
        return dataclasses.replace(self, courses=courses, **copied)


_BY_LEVEL = (
    "cells",
    "ground",
    "start",
    "placebo",
    "zone",
    "climb",
    "thing_cell",
    "thing_kind",
    "thing_values",
)
"""The arrays of a level set that have a row a level."""


def has_a_way(course: Course) -> bool:
    """Whether some goal can be reached around walls and closed chests, with the key if it is a chest.

    Everything that a lift may overcome (blocks, gates, ramps, fog) counts as open.
    """
    shut = {item.position for kind in ("wall", "chest") for item in course.of(kind)}
    reached, edge = {course.start_cell}, [course.start_cell]
    while edge:
        fresh = {near for cell in edge for near in cells_around(cell)} - reached - shut
        edge = [cell for cell in fresh if course.inside(*cell)]
        reached.update(edge)
    keys = {item.properties["colour"] for item in course.of("key") if item.position in reached}
    for item in course.elements:
        if not course.task.goal.covers(item):
            continue
        if item.kind == "chest":
            if item.properties["colour"] in keys and not reached.isdisjoint(cells_around(item.position)):
                return True
        elif item.position in reached:
            return True
    return False


def _is_distinguishing(seed: int, alpha: float) -> bool:
    """Whether a seed's level is one of the share `alpha`; as `alpha` grows, no level leaves that share."""
    if alpha <= 0.0:
        return False
    return float(np.random.default_rng([seed, 0xA1FA]).random()) < alpha
