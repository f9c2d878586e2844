"""Plane geometry of a course: cells merged into rectangles, distances to a footprint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Cell = tuple[int, int]


class Patch(NamedTuple):
    """A rectangle of cells, both ends included."""

    top: int
    left: int
    bottom: int
    right: int

    def cells(self) -> list[Cell]:
        """Every cell inside, in reading order."""
        return [(r, c) for r in range(self.top, self.bottom + 1) for c in range(self.left, self.right + 1)]


def merge(cells: Iterable[Cell]) -> list[Patch]:
    """Cover ``cells`` with disjoint rectangles, greedily the longest run first; few bodies make a fast
    simulation.
    """
    left = set(cells)
    patches = []
    while left:
        best = max((_grow(left, cell) for cell in sorted(left)), key=lambda patch: len(patch.cells()))
        patches.append(best)
        left -= set(best.cells())
    return patches


def _grow(cells: set[Cell], cell: Cell) -> Patch:
    """The larger of the two rectangles that start at ``cell`` and grow east first, or south first."""
    row, column = cell
    found = []
    for down_first in (False, True):
        bottom, right = row, column
        for down in (down_first, not down_first):
            while True:
                edge = (
                    [(bottom + 1, c) for c in range(column, right + 1)]
                    if down
                    else [(r, right + 1) for r in range(row, bottom + 1)]
                )
                if not cells.issuperset(edge):
                    break
                bottom, right = (bottom + 1, right) if down else (bottom, right + 1)
        found.append(Patch(row, column, bottom, right))
    return max(found, key=lambda patch: len(patch.cells()))


def bounds(patch: Patch, cell: float, rows: int) -> tuple[float, float, float, float]:
    """(x min, x max, y min, y max) in m of a patch of cells of side ``cell`` m on a map of ``rows`` rows."""
    return (
        patch.left * cell,
        (patch.right + 1) * cell,
        (rows - patch.bottom - 1) * cell,
        (rows - patch.top) * cell,
    )


def footprint_distance(
    footprint: tuple[float, float, float, float], dx: float, dy: float, cosine: float, sine: float
) -> float:
    """Distance in m from a turned rectangle to a point; 0 inside.

    ``footprint`` is (x min, x max, y min, y max) in body axes, (dx, dy) the point seen from the body's origin
    in world axes, ``cosine`` and ``sine`` those of the heading.
    """
    forward, leftward = dx * cosine + dy * sine, dy * cosine - dx * sine
    a = max(footprint[0] - forward, 0.0, forward - footprint[1])
    b = max(footprint[2] - leftward, 0.0, leftward - footprint[3])
    return float((a * a + b * b) ** 0.5)


def footprint_overlaps(
    footprint: tuple[float, float, float, float],
    position: tuple[float, float],
    cosine: float,
    sine: float,
    box: tuple[float, float, float, float],
) -> bool:
    """Whether a turned rectangle overlaps an upright ``box`` (x min, x max, y min, y max)."""
    middle = ((footprint[0] + footprint[1]) / 2, (footprint[2] + footprint[3]) / 2)
    half = ((footprint[1] - footprint[0]) / 2, (footprint[3] - footprint[2]) / 2)
    x = position[0] + middle[0] * cosine - middle[1] * sine - (box[0] + box[1]) / 2
    y = position[1] + middle[0] * sine + middle[1] * cosine - (box[2] + box[3]) / 2
    width, depth = (box[1] - box[0]) / 2, (box[3] - box[2]) / 2
    c, s = abs(cosine), abs(sine)
    return (
        abs(x) < width + half[0] * c + half[1] * s
        and abs(y) < depth + half[0] * s + half[1] * c
        and abs(x * cosine + y * sine) < half[0] + width * c + depth * s
        and abs(y * cosine - x * sine) < half[1] + width * s + depth * c
    )
