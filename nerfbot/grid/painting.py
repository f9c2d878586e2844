"""A course as the bytes of its cells. Needs no Warp, so that a course can be shown without a plant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course
from nerfbot.course.elements import Element
from nerfbot.grid.codes import AGENT, FLOOR, MARKED, WALL, ZONE_BITS, colour_of, kind_of


def paint(course: Course) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The cells of a course and the same without bodies, both uint8 (rows, columns, 3), without the agent."""
    ground = np.zeros((course.rows, course.columns, 3), np.uint8)
    ground[:, :, 0] = FLOOR
    bodies: list[Element] = []
    for item in course.elements:
        if item.layer == "body":
            bodies.append(item)
        elif item.layer == "ground":
            ground[item.row, item.column, :2] = kind_of(item), colour_of(item)
        elif item.layer == "zone":
            ground[item.row, item.column, 2] |= ZONE_BITS[item.kind]
    cells = ground.copy()
    markers = {item.position for item in course.elements if item.kind == "marker"}
    for item in bodies:
        # Most bodies are walls, so they take a shortcut.
        code = (WALL, 0) if item.kind == "wall" else (kind_of(item), colour_of(item))
        cells[item.row, item.column, :2] = code
        if item.position in markers:
            cells[item.row, item.column, 2] |= MARKED
    return cells, ground


def at_start(course: Course) -> NDArray[np.uint8]:
    """The cells of a course with the agent where it begins, uint8 (rows, columns, 3)."""
    cells, _ = paint(course)
    cells[(*course.start_cell, 2)] |= AGENT
    return cells
