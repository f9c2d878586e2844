"""The actions of an agent on the grid: the moves, and one row for each edit, content and destination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import LeaseError
from nerfbot.grid.codes import CHEST, COLOURS, FLOOR, KEY, OBJECT, SHAPES, WALL
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

MOVES = ("stay", "east", "north", "west", "south")

Destinations = Literal["drawn", "region", "cell"]

Contents = str | Sequence[str] | Mapping[str, str | Sequence[str]]

REGION = 3
"""Side of the squares in which an agent can choose a destination, cells."""

BASIC_CONTENTS = ("wall", "floor")
CONTENT_SHAPES = (*SHAPES, "key", "chest")
ALL_CONTENTS = (*BASIC_CONTENTS, *(f"{colour} {shape}" for shape in CONTENT_SHAPES for colour in COLOURS))
"""Everything that a cell can be rewritten into."""


@dataclass(frozen=True)
class Row:
    """One action: its name, the edit (-1 for a move), what it writes, and where (inclusive rectangle)."""

    name: str
    edit: int
    kind: int
    colour: int
    rows: tuple[int, int]
    columns: tuple[int, int]


class Menu:
    """The table of actions that a list of powers gives, on a map of `rows` by `columns` cells.

    Args:
        powers: axes (lifted by leases, no actions of their own) and world edits.
        rows: of the map.
        columns: of the map.
        destinations: "drawn" (the world draws the cell), "region" (the agent picks a square of 3 x 3 cells)
            or "cell" (it picks the cell).
        contents: what ``rewrite-cell`` may write: names such as ``wall``, ``floor``, ``red coin`` or
            ``yellow line``; "basic" is wall and floor, "all" is everything. Or a mapping of ``colours`` and
            ``shapes`` (``key`` and ``chest`` count among these; "all" is every one): each in each.

    Raises `LeaseError` for an unknown power, content or kind of destination.

    """

    def __init__(
        self,
        powers: Sequence[str],
        rows: int,
        columns: int,
        destinations: Destinations = "drawn",
        contents: Contents = "all",
    ) -> None:
        if isinstance(powers, str):
            raise LeaseError(f"powers: must be a list of names, got the text {powers!r}")
        for name in powers:
            if name not in (*AXES, *EDITS):
                raise LeaseError(f"powers: unknown power {name!r} (known: {', '.join((*AXES, *EDITS))})")
        if destinations not in get_args(Destinations):
            known = ", ".join(get_args(Destinations))
            raise LeaseError(f"destinations: must be one of {known}, got {destinations!r}")
        self.axes = tuple(axis for axis in AXES if axis in powers)
        self.edits = tuple(edit for edit in EDITS if edit in powers)
        self.rows, self.columns = rows, columns
        self.contents = _contents(contents)
        everywhere = ((1, rows - 2), (1, columns - 2))
        table = [Row(name, -1, 0, 0, *everywhere) for name in MOVES]
        for edit in self.edits:
            table += self._rows_of(edit, destinations)
        self.table = tuple(table)

    @property
    def action_table(self) -> tuple[str, ...]:
        """What each action does, in words."""
        return tuple(row.name for row in self.table)

    def column(self, name: str) -> NDArray[np.int32]:
        """One column of the table, int32 (actions): edit, kind, colour, low_row, high_row, ..."""
        picked = {
            "low_row": lambda row: row.rows[0],
            "high_row": lambda row: row.rows[1],
            "low_column": lambda row: row.columns[0],
            "high_column": lambda row: row.columns[1],
        }.get(name, lambda row: getattr(row, name))
        return np.array([picked(row) for row in self.table], np.int32)

    def _rows_of(self, edit: str, destinations: Destinations) -> Iterator[Row]:
        index = EDITS.index(edit)
        everywhere = ("", (1, self.rows - 2), (1, self.columns - 2))
        drawn = destinations == "drawn" or edit in ("phase", "unlock")
        places = [everywhere] if drawn else list(self._places(destinations))
        contents = self.contents if edit == "rewrite-cell" else {"": (0, 0)}
        for content, (kind, colour) in contents.items():
            for place, rows, columns in places:
                name = " ".join(part for part in (edit, content, place) if part)
                yield Row(name, index, kind, colour, rows, columns)

    def _places(self, destinations: Destinations) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
        side = 1 if destinations == "cell" else REGION
        for row in range(1, self.rows - 1, side):
            for column in range(1, self.columns - 1, side):
                last = (min(row + side, self.rows - 1) - 1, min(column + side, self.columns - 1) - 1)
                name = f"at {row},{column}" if side == 1 else f"in {row}-{last[0]},{column}-{last[1]}"
                yield name, (row, last[0]), (column, last[1])


def _contents(contents: Contents) -> dict[str, tuple[int, int]]:
    """Kind and colour of each content, by name."""
    if isinstance(contents, Mapping):
        for key in contents:
            if key not in ("colours", "shapes"):
                raise LeaseError(f"contents: unknown field {key!r} (known: colours, shapes)")
        colours, shapes = (
            every if (given := contents.get(key, "all")) == "all" else given
            for key, every in (("colours", COLOURS), ("shapes", CONTENT_SHAPES))
        )
        contents = [f"{colour} {shape}" for shape in shapes for colour in colours]
    groups = {"basic": BASIC_CONTENTS, "all": ALL_CONTENTS}
    names = groups.get(contents, (contents,)) if isinstance(contents, str) else contents
    return {name: _content(name) for name in names}


def _content(name: str) -> tuple[int, int]:
    fixed = {"wall": (WALL, 0), "floor": (FLOOR, 0)}
    if name in fixed:
        return fixed[name]
    colour, _, what = name.partition(" ")
    if colour in COLOURS and what in CONTENT_SHAPES:
        kind = {"key": KEY, "chest": CHEST}.get(what)
        return OBJECT + SHAPES.index(what) if kind is None else kind, 1 + COLOURS.index(colour)
    raise LeaseError(
        f"contents: {name!r} is neither wall, floor nor a colour and a shape"
        f" (colours: {', '.join(COLOURS)}; shapes: {', '.join(CONTENT_SHAPES)})"
    )
