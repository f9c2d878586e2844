"""Levels as arrays: cells, zones, slopes, and the properties of blocks, gates and fragile objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course
from nerfbot.course.capability import Body, Capability
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

FRAGILE_FRICTION = 0.4
"""Between a fragile object and the floor, as on the simulated plant."""

MOST_THINGS = 64
"""Blocks, gates and fragile objects that a level may hold."""

TABLE_ROWS = 256

Entry = TypeVar("Entry")
Cell = tuple[int, int]


def build_arrays(courses: Sequence[Course], body: Body) -> dict[str, Any]:
    """The array fields of a `LevelSet`, and the tables of zones and forces that its levels share.

    Raises `InvalidCourse` where a level or the set has more than the grid can hold.
    """
    return _Builder(courses[0], body).build(courses)


class _Builder:
    """Fills the arrays."""

    def __init__(self, first: Course, body: Body) -> None:
        self.first = first
        self.columns = first.columns
        self.count = first.rows * first.columns
        self.row_bytes = -(-3 * self.count // CHUNK_BYTES) * CHUNK_BYTES
        self.able = Capability(push=math.inf, speed=1.0, sight=math.inf, body=body)
        self.zones: dict[tuple[float, float, float, int], int] = {(math.inf, 0.0, 1.0, 0): 0}
        self.forces: dict[float, int] = {0.0: 0}

    def build(self, courses: Sequence[Course]) -> dict[str, Any]:
        number = len(courses)
        things = [tuple(_things(course)) for course in courses]
        most = max(map(len, things))
        if most > MOST_THINGS:
            raise InvalidCourse(
                f"course {self.first.name!r}: {most} blocks, gates and fragile objects;"
                f" the grid holds {MOST_THINGS}"
            )
        cells = np.zeros((number, self.row_bytes), np.uint8)
        ground = np.zeros((number, self.row_bytes), np.uint8)
        zone = np.zeros((number, self.count), np.uint8)
        climb = np.zeros((number, self.count, 4), np.uint8)
        thing_cell = np.full((number, most), -1, np.int32)
        thing_kind = np.zeros((number, most), np.uint8)
        thing_values = np.zeros((number, most, 3))
        start = np.empty(number, np.int32)
        placebo = np.full(number, -1, np.int32)
        for index, course in enumerate(courses):
            self._paint(course, cells[index], ground[index], zone[index])
            self._slopes(course, climb[index])
            start[index] = self._number(course.start_cell)
            if course.placebo is not None:
                placebo[index] = self._number(course.placebo)
            for slot, (item, values) in enumerate(things[index]):
                thing_cell[index, slot] = self._number(item.position)
                thing_kind[index, slot] = kind_of(item)
                thing_values[index, slot] = values
        return {
            "cells": cells,
            "ground": ground,
            "start": start,
            "placebo": placebo,
            "zone": zone,
            "zones": tuple(self.zones),
            "climb": climb,
            "forces": tuple(self.forces),
            "thing_cell": thing_cell,
            "thing_kind": thing_kind,
            "thing_values": thing_values,
        }

    def _number(self, cell: Cell) -> int:
        return cell[0] * self.columns + cell[1]

    def _paint(
        self, course: Course, cells: NDArray[np.uint8], ground: NDArray[np.uint8], zone: NDArray[np.uint8]
    ) -> None:
        """Write the ground and zones into `ground`, and the bodies over them into `cells`."""
        for flat, painted in zip((cells, ground), paint(course), strict=True):
            flat[: 3 * self.count] = painted.reshape(-1)
        for cell in {item.position for item in course.elements if item.layer == "zone"}:
            zone[self._number(cell)] = self._zone(course, cell)

    def _zone(self, course: Course, cell: Cell) -> int:
        """Row of the zone table for the zones over a cell."""
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
        """Write the force that each move out of each cell needs, as rows of the table of forces."""
        relief = Relief(course, self.able)
        for cell in {near for at in relief.ground for near in (at, *cells_around(at))}:
            if not course.inside(*cell):
                continue
            for index, direction in enumerate(STEPS):
                force = relief.force(cell, direction)
                climb[self._number(cell), index] = self._row(self.forces, force, "different slopes")


def cells_around(cell: Cell) -> Iterator[Cell]:
    """The four neighbours of a cell."""
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
