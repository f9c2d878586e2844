"""World edits as discrete actions: the table of a power menu, and what choosing one of its rows does.

Destinations are drawn, so that an agent chooses the power and the environment the place.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nerfbot.course.elements import Wall
from nerfbot.errors import LeaseError
from nerfbot.powers import EDITS

from ..errors import InvalidEdit
from .plant import Plant
from .world_edits import EditOutcome

_TRIES = 20


def _free_cell(plant: Plant, random: np.random.Generator) -> tuple[int, int]:
    course = plant.course
    return int(random.integers(1, course.rows - 1)), int(random.integers(1, course.columns - 1))


def _drawn(act: Callable[[Plant, int, int], object]) -> Callable[[Plant, np.random.Generator], EditOutcome]:
    """Try drawn cells until the edit is legal in one."""

    def edit(plant: Plant, random: np.random.Generator) -> EditOutcome:
        for _ in range(_TRIES):
            row, column = _free_cell(plant, random)
            try:
                act(plant, row, column)
            except InvalidEdit:
                continue
            return EditOutcome(True)
        return EditOutcome(False)

    return edit


def _rewrite(plant: Plant, row: int, column: int) -> None:
    is_wall = plant.arena.wall_at((row, column)) is not None
    plant.edits.set_cell(row, column, None if is_wall else Wall(row=row, column=column))


def _unlock(plant: Plant, random: np.random.Generator) -> EditOutcome:
    closed = [
        name for name, thing in plant.arena.things.items() if thing.element.kind == "chest" and thing.present
    ]
    if not closed:
        return EditOutcome(False)
    event = plant.edits.unlock(closed[int(random.integers(len(closed)))], plant.time)
    return EditOutcome(True, (event,))


def _phase(plant: Plant, random: np.random.Generator) -> EditOutcome:
    plant.edits.phase(True)
    return EditOutcome(True)


_APPLY: dict[str, Callable[[Plant, np.random.Generator], EditOutcome]] = {
    "move-coin": _drawn(lambda plant, row, column: plant.edits.move_coin(row, column)),
    "teleport": _drawn(lambda plant, row, column: plant.edits.teleport(row, column)),
    "rewrite-cell": _drawn(_rewrite),
    "phase": _phase,
    "unlock": _unlock,
}


class EditMenu:
    """The discrete actions of the edits in ``edits``: 0 does nothing, k is ``action_table[k]``.

    Raises `LeaseError` for a name that is no world edit.
    """

    def __init__(self, edits: tuple[str, ...]) -> None:
        for name in edits:
            if name not in EDITS:
                raise LeaseError(f"powers: {name!r} is no world edit (known: {', '.join(EDITS)})")
        self.action_table = ("none", *edits)

    def mask(self, granted: tuple[str, ...]) -> np.ndarray:
        """Which actions are available while ``granted`` edits are; bool (actions,), the first always."""
        return np.array([True] + [name in granted for name in self.action_table[1:]])

    def apply(self, action: int, plant: Plant, random: np.random.Generator) -> EditOutcome:
        """Do the edit in row ``action`` of the table, where that is legal anywhere."""
        return _APPLY[self.action_table[action]](plant, random)
