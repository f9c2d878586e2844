"""Rows of the grid's power menu as world edits of the simulated rover.

A row names an edit, what it writes and the rectangle of cells that it may be done in; the destination is
drawn uniformly among the legal cells, as on the grid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nerfbot.course.elements import Wall
from nerfbot.course.events import Event
from nerfbot.errors import LeaseError
from nerfbot.grid.codes import FLOOR, WALL
from nerfbot.grid.menu import Menu, Row
from nerfbot.powers import EDITS
from nerfbot.sim.errors import InvalidEdit
from nerfbot.sim.plant import Plant

WRITABLE = (WALL, FLOOR)
"""What a cell of the simulated arena can be rewritten into."""

Act = Callable[[int, int], object]
Outcome = tuple[bool, tuple[Event, ...]]
"""Whether an edit was done, and the course's events that it brought about."""


def check_menu(menu: Menu) -> None:
    """Raise `LeaseError` for the first row that the simulated arena cannot carry out."""
    for row in menu.table:
        if row.edit >= 0 and EDITS[row.edit] == "rewrite-cell" and row.kind not in WRITABLE:
            raise LeaseError(
                f"contents: {row.name.removeprefix('rewrite-cell ')!r} cannot be written on the rover's arena"
                " (it takes wall and floor: contents 'basic')"
            )


class RoverEdits:
    """Carries out rows of a menu on a plant, with destinations drawn from ``random``."""

    def __init__(self, menu: Menu) -> None:
        check_menu(menu)
        self.menu = menu
        self._do: dict[str, Callable[[Plant, Row, np.random.Generator], Outcome]] = {
            "move-coin": self._move_coin,
            "teleport": self._teleport,
            "rewrite-cell": self._rewrite,
            "phase": self._phase,
            "unlock": self._unlock,
        }

    def apply(self, action: int, plant: Plant, random: np.random.Generator) -> Outcome:
        """Do what row ``action`` says, where that is legal anywhere."""
        row = self.menu.table[action]
        return self._do[EDITS[row.edit]](plant, row, random)

    def _somewhere(self, row: Row, random: np.random.Generator, act: Act) -> Outcome:
        """Try the cells of a row's rectangle in random order until the edit is legal in one."""
        cells = [
            (r, c)
            for r in range(row.rows[0], row.rows[1] + 1)
            for c in range(row.columns[0], row.columns[1] + 1)
        ]
        for index in random.permutation(len(cells)).tolist():
            try:
                act(*cells[index])
            except InvalidEdit:
                continue
            return True, ()
        return False, ()

    def _move_coin(self, plant: Plant, row: Row, random: np.random.Generator) -> Outcome:
        coins = [
            thing for thing in plant.arena.things.values() if thing.element.kind == "coin" and thing.present
        ]
        if not coins:
            return False, ()
        first = min(coins, key=lambda thing: plant.course.cell_of(*thing.position[:2]))
        here = plant.course.cell_of(*first.position[:2])

        def move(r: int, c: int) -> None:
            if (r, c) in (here, plant.cell):
                raise InvalidEdit(f"move_coin: cell ({r}, {c}) is taken")
            plant.edits.move_coin(r, c, first.element.id)

        return self._somewhere(row, random, move)

    def _teleport(self, plant: Plant, row: Row, random: np.random.Generator) -> Outcome:
        def move(r: int, c: int) -> None:
            if (r, c) == plant.cell:
                raise InvalidEdit(f"teleport: cell ({r}, {c}) is the robot's own")
            plant.edits.teleport(r, c)

        return self._somewhere(row, random, move)

    def _rewrite(self, plant: Plant, row: Row, random: np.random.Generator) -> Outcome:
        def write(r: int, c: int) -> None:
            here = {
                plant.course.cell_of(*thing.position[:2])
                for thing in plant.arena.things.values()
                if thing.element.kind == "coin" and thing.present
            }
            if (r, c) in here or (r, c) == plant.cell:
                raise InvalidEdit(f"set_cell: cell ({r}, {c}) is the robot's or a coin's")
            plant.edits.set_cell(r, c, Wall(row=r, column=c) if row.kind == WALL else None)

        return self._somewhere(row, random, write)

    def _phase(self, plant: Plant, row: Row, random: np.random.Generator) -> Outcome:
        if plant.edits.phasing:
            return False, ()
        plant.edits.phase(True)
        return True, ()

    def _unlock(self, plant: Plant, row: Row, random: np.random.Generator) -> Outcome:
        closed = [
            name
            for name, thing in plant.arena.things.items()
            if thing.element.kind == "chest" and thing.present
        ]
        if not closed:
            return False, ()
        event = plant.edits.unlock(closed[int(random.integers(len(closed)))], plant.time)
        return True, (event,)
