"""Rows of the grid's power menu as world edits of the simulated rover.

A row names an edit, its content and the rectangle of its destinations; the destination is drawn uniformly
among the legal cells, as on the grid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nerfbot.course.elements import Chest, Coin, Decoy, Element, Key, Wall
from nerfbot.grid.action_menu import Menu, Row
from nerfbot.grid.codes import CHEST, COLOURS, FLOOR, KEY, OBJECT, SHAPES, WALL
from nerfbot.powers import EDITS
from nerfbot.sim.errors import InvalidEdit
from nerfbot.sim.physics.arena_state import Thing
from nerfbot.sim.plant.plant import Plant
from nerfbot.sim.plant.world_edits import Change, EditOutcome

Act = Callable[[int, int], tuple[Change, ...]]


def element_of(kind: int, colour: int, coins: frozenset[str]) -> Element | None:
    """The arena's element for a row's ``kind`` and ``colour`` (codes of the grid); None is bare floor.

    ``coins`` holds the shapes of coins in these levels; an object of any other shape is a decoy.
    """
    if kind in (WALL, FLOOR):
        return Wall() if kind == WALL else None
    name = COLOURS[colour - 1]
    if kind in (KEY, CHEST):
        return Key(colour=name) if kind == KEY else Chest(colour=name)  # type: ignore[arg-type]  # of the table
    shape = SHAPES[kind - OBJECT]
    make = Coin if shape in coins else Decoy
    return make(colour=name, shape=shape)  # type: ignore[arg-type]


class RoverEdits:
    """Carries out rows of a menu on a plant; ``coins`` holds the shapes of coins in these levels."""

    def __init__(self, menu: Menu, coins: frozenset[str] = frozenset({"coin"})) -> None:
        self.menu, self._coins = menu, coins
        self._edits: dict[str, Callable[[Plant, Row, np.random.Generator], EditOutcome]] = {
            "move-coin": self._move_coin,
            "teleport": self._teleport,
            "rewrite-cell": self._rewrite,
            "phase": self._phase,
            "unlock": self._unlock,
        }

    def apply(self, action: int, plant: Plant, random: np.random.Generator) -> EditOutcome:
        """Carry out row ``action`` if it is legal anywhere, at a cell drawn from ``random``."""
        row = self.menu.table[action]
        return self._edits[EDITS[row.edit]](plant, row, random)

    def _somewhere(self, row: Row, random: np.random.Generator, act: Act) -> EditOutcome:
        """Try the cells of a row's rectangle in random order until ``act`` is legal in one."""
        cells = [
            (r, c)
            for r in range(row.rows[0], row.rows[1] + 1)
            for c in range(row.columns[0], row.columns[1] + 1)
        ]
        for index in random.permutation(len(cells)).tolist():
            try:
                changes = act(*cells[index])
            except InvalidEdit:
                continue
            return EditOutcome(True, changes=changes)
        return EditOutcome(False)

    def _move_coin(self, plant: Plant, row: Row, random: np.random.Generator) -> EditOutcome:
        coins = _present(plant, "coin")
        if not coins:
            return EditOutcome(False)
        coin = min(coins, key=lambda thing: plant.course.cell_of(*thing.position[:2]))
        here = plant.course.cell_of(*coin.position[:2])

        def move(r: int, c: int) -> tuple[Change, ...]:
            if (r, c) in (here, plant.cell):
                raise InvalidEdit(f"move_coin: cell ({r}, {c}) is taken")
            plant.edits.move_coin(r, c, coin.element.id)
            return ()

        return self._somewhere(row, random, move)

    def _teleport(self, plant: Plant, row: Row, random: np.random.Generator) -> EditOutcome:
        def move(r: int, c: int) -> tuple[Change, ...]:
            if (r, c) == plant.cell:
                raise InvalidEdit(f"teleport: cell ({r}, {c}) is the robot's own")
            plant.edits.teleport(r, c)
            return ()

        return self._somewhere(row, random, move)

    def _rewrite(self, plant: Plant, row: Row, random: np.random.Generator) -> EditOutcome:
        written = element_of(row.kind, row.colour, self._coins)

        def write(r: int, c: int) -> tuple[Change, ...]:
            if (r, c) == plant.cell:
                raise InvalidEdit(f"set_cell: cell ({r}, {c}) is the robot's own")
            return plant.edits.set_cell(r, c, written)

        return self._somewhere(row, random, write)

    def _phase(self, plant: Plant, row: Row, random: np.random.Generator) -> EditOutcome:
        if plant.edits.phasing:
            return EditOutcome(False)
        plant.edits.phase(True)
        return EditOutcome(True)

    def _unlock(self, plant: Plant, row: Row, random: np.random.Generator) -> EditOutcome:
        closed = _present(plant, "chest")
        if not closed:
            return EditOutcome(False)
        chest = closed[int(random.integers(len(closed)))]
        return EditOutcome(True, (plant.edits.unlock(chest.element.id, plant.time),))


def _present(plant: Plant, kind: str) -> list[Thing]:
    return [item for item in plant.arena.things.values() if item.element.kind == kind and item.present]
