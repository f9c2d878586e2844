"""Small random courses for one situation each: a lane of random direction, place and width, as course text.

A situation says what stands how far along the lane; here it becomes a course file, which both plants read.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import yaml

from nerfbot.course.elements import STEPS

Cell = tuple[int, int]
Spot = tuple[int, int]
"""A place in a lane: cells along it from the start, and cells to the left of its middle."""

HEADINGS = tuple(STEPS)
"""East, north, west, south: each a quarter turn to the left of the one before."""

CELL = 0.5
"""Side of a cell, m."""

_CHARACTERS = "abcdefghijklmnopqrstuvwxyz"


class Lane:
    """A lane that begins at the start, one cell wide or three, in one of four directions.

    Args:
        random: where the lane lies, which way it leads and how wide it is are drawn from it.
        length: cells ahead of the start.
        wide: None draws the width; True and False fix it.

    """

    def __init__(self, random: np.random.Generator, length: int, wide: bool | None = None) -> None:
        self.length = length
        self.side = int(random.integers(2)) if wide is None else int(wide)
        self._quarter = int(random.integers(4))
        self._margins = [int(n) for n in random.integers(1, 4, size=4)]
        self._floor = {(i, j) for i in range(-1, length + 1) for j in range(-self.side, self.side + 1)}
        self._things: dict[Spot, list[dict[str, Any]]] = {(0, 0): [{"kind": "start"}]}
        self._task: dict[str, Any] = {"goal": {"kind": "coin"}}
        self.start_turn = 0
        """Quarter turns to the left by which the start is turned from the lane."""
        self.variation = {"start_offset": 0.03, "start_heading": 0.1}

    @property
    def heading(self) -> str:
        """Which way the lane leads."""
        return HEADINGS[self._quarter]

    def turned(self, quarters: int) -> str:
        """The heading that many quarter turns to the left of the lane's."""
        return HEADINGS[(self._quarter + quarters) % 4]

    def put(self, along: int, across: int = 0, **element: Any) -> None:
        """Stand an element (its kind and properties) in a cell of the lane."""
        self._floor.add((along, across))
        self._things.setdefault((along, across), []).append(element)

    def wall(self, along: int) -> None:
        """Shut the lane off with walls."""
        self._floor -= {(along, j) for j in range(-self.side, self.side + 1)}

    def across(self, along: int, **element: Any) -> None:
        """Stand an element in every cell of the lane's width."""
        for j in range(-self.side, self.side + 1):
            self.put(along, j, **element)

    def task(self, **fields: Any) -> None:
        """Set fields of the task."""
        self._task.update(fields)

    def cell(self, along: int, across: int = 0) -> Cell:
        """The (row, column) of a place in the lane."""
        row, column = self._raw(along, across)
        top, left = self._corner()
        return row - top, column - left

    def _corner(self) -> Cell:
        ends = [self._raw(*spot) for spot in self._extent()]
        return min(r for r, _ in ends) - self._margins[0], min(c for _, c in ends) - self._margins[1]

    def _extent(self) -> list[Spot]:
        return [(i, j) for i in (-1, self.length) for j in (-self.side, self.side)]

    def _raw(self, along: int, across: int) -> Cell:
        (ahead_row, ahead_column), (left_row, left_column) = (STEPS[self.turned(k)] for k in (0, 1))
        return along * ahead_row + across * left_row, along * ahead_column + across * left_column

    def text(self) -> str:
        """The course file. Where no coin lies, one lies behind the start: every course has a goal."""
        kinds = {item["kind"] for items in self._things.values() for item in items}
        if "coin" not in kinds:
            self.put(-1, kind="coin")
        ends = [self.cell(*spot) for spot in self._extent()]
        rows = max(row for row, _ in ends) + 1 + self._margins[2]
        columns = max(column for _, column in ends) + 1 + self._margins[3]
        table = [["#"] * columns for _ in range(rows)]
        for spot in self._floor:
            row, column = self.cell(*spot)
            table[row][column] = "."
        legend: dict[str, Any] = {"#": "wall"}
        known: dict[str, str] = {}
        for spot, items in self._things.items():
            items = [self._turned_element(item) for item in items]
            name = known.setdefault(json.dumps(items, sort_keys=True), _CHARACTERS[len(known)])
            legend[name] = items
            row, column = self.cell(*spot)
            table[row][column] = name
        course = {
            "name": "situation",
            "cell": CELL,
            "legend": legend,
            "variation": self.variation,
            "task": {"horizon": 300, "terminate_on_goal": False, **self._task},
        }
        drawn = "".join(f"  {''.join(line)}\n" for line in table)
        return yaml.safe_dump(course, sort_keys=False) + "map: |\n" + drawn

    def _turned_element(self, item: dict[str, Any]) -> dict[str, Any]:
        """The element with its directions in the world: ``up`` and ``down`` are along the lane."""
        item = dict(item)
        if item["kind"] == "start":
            item["heading"] = round((self._quarter + self.start_turn) % 4 * float(np.pi) / 2, 4)
        if item.get("direction") in ("up", "down"):
            item["direction"] = self.turned(0 if item["direction"] == "up" else 2)
        return item
