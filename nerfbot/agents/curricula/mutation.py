"""Mutations of levels: what ACCEL changes in a level to make another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from nerfbot.course import Course
from nerfbot.course.drawing import put
from nerfbot.course.elements import Element, Wall
from nerfbot.grid.levels import Split, has_a_way


def walled(course: Course, walls: Mapping[tuple[int, int], Element]) -> Course:
    """The course with these walls in place of its own."""
    others = tuple(item for item in course.elements if item.kind != "wall")
    return dataclasses.replace(course, elements=(*others, *walls.values()))


def mutated(course: Course, random: np.random.Generator, edits: int) -> Course | None:
    """A level with up to `edits` inner walls added or removed; None if it is no training level then."""
    walls = {item.position: item for item in course.of("wall")}
    occupied = {item.position for item in course.elements} - set(walls) | {course.start_cell, course.placebo}
    for _ in range(int(random.integers(1, edits + 1))):
        cell = (int(random.integers(1, course.rows - 1)), int(random.integers(1, course.columns - 1)))
        if cell in occupied:
            continue
        if walls.pop(cell, None) is None:
            walls[cell] = put(Wall(), cell)
    child = walled(course, walls)
    return child if Split.TRAIN.holds(child) and has_a_way(child) else None
