"""Walls at random cells, drawn again until whatever the task is about can be reached from the start.

Sets of cells are whole numbers here, one bit a cell, so that a flood over a map takes a few microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nerfbot.course.course import Cell
from nerfbot.course.drawing import stream
from nerfbot.course.elements import Element

ATTEMPTS = 1000
"""So many layouts are tried before a seed is given up."""

REQUIRED = ("coin", "decoy", "key", "chest", "marker", "start")
"""The kinds that have to be in reach of the start."""


@dataclass(frozen=True)
class Scatter:
    """`count` of the `cells` hold `element`, a wall, in every level."""

    element: Element
    cells: tuple[Cell, ...]
    count: int


def bits(cells: Iterable[Cell], columns: int) -> int:
    """The cells as a set of bits: bit row x columns + column."""
    placed = 0
    for row, column in cells:
        placed |= 1 << (row * columns + column)
    return placed


def flood(start: int, floor: int, columns: int) -> int:
    """The cells reached from `start` by moves to the four neighbours on `floor`; all are sets of bits.

    The rim of a map is walled, so that no move wraps from one row into the next.
    """
    reached, edge = start, start
    while edge:
        edge = (edge << 1 | edge >> 1 | edge << columns | edge >> columns) & floor & ~reached
        reached |= edge
    return reached


def scatter_walls(
    scatter: tuple[Scatter, ...], seed: int, columns: int, floor: int, taken: int, start: int, required: int
) -> tuple[list[tuple[Element, Cell]], int] | None:
    """What is put where so that all of `required` is reached from `start`, and the cells that are reached.

    `floor` is where the map has no wall, `taken` what no wall may cover; sets of bits. Each entry has its own
    stream, and takes the first cells of a random order that nothing holds, so that one more object on the
    map moves one wall at most in an attempt. None where no attempt leaves everything in reach.
    """
    randoms = [stream(seed, f"scatter-{index}") for index in range(len(scatter))]
    for _ in range(ATTEMPTS):
        walls = 0
        placed: list[tuple[Element, Cell]] = []
        for entry, random in zip(scatter, randoms, strict=True):
            left = entry.count
            for index in random.permutation(len(entry.cells)).tolist():
                if not left:
                    break
                row, column = entry.cells[index]
                bit = 1 << (row * columns + column)
                if not bit & (taken | walls):
                    walls |= bit
                    placed.append((entry.element, (row, column)))
                    left -= 1
        reached = flood(start, floor & ~walls, columns)
        if not required & ~reached:
            return placed, reached
    return None
