"""The game behind `nerfbot play`: what each key does. It knows neither terminal nor screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nerfbot.course.elements import STEPS
from nerfbot.grid.action_menu import MOVES
from nerfbot.grid.codes import COLOURS, SHAPES
from nerfbot.grid.env import GridEnv
from nerfbot.grid.filming.captions import CaptionedEnv, Moment
from nerfbot.powers import EDITS

DIRECTIONS = {
    **{"up": "north", "w": "north", "k": "north"},
    **{"down": "south", "s": "south", "j": "south"},
    **{"left": "west", "a": "west", "h": "west"},
    **{"right": "east", "d": "east", "l": "east"},
}
"""Keys that move the agent, or the cursor while the player selects a destination."""

LETTERS = dict(zip(EDITS, "mtxpu", strict=True))
"""The key of each power, beside its number among those granted."""

CONTENT_KINDS = ("wall", "floor", *SHAPES, "key", "chest")
"""What a cell can be rewritten into, apart from the colour."""

HELP = {
    "drive": "arrows/wasd/hjkl move  space stay  1-5 power  v view  r restart  n next  q quit",
    "content": "up down: what   left right: colour   enter: choose the cell   esc: back",
    "cell": "arrows: move the cursor   enter: do it   esc: back",
    "over": "r restart   n next episode   v view   q quit",
}


@dataclass
class Cursor:
    """The cell that the player is selecting as destination, and the edit for which."""

    row: int
    column: int
    edit: str
    kind: int
    colour: int


class Game:
    """One player in one environment.

    `mode` is "drive", "content" (selecting a cell's new content), "cell" (selecting a destination) or "over".
    `moment` is the state to draw, `note` a remark on the latest key, `view` whether the whole map is shown.
    """

    def __init__(self, env: GridEnv, seed: int) -> None:
        self.env, self.captioned = env, CaptionedEnv(env)
        self.seed, self.view = seed, False
        menu = env.worlds.menu
        self.edits = menu.edits
        self._contents = menu.contents if "rewrite-cell" in menu.edits else {}
        self._places: dict[tuple[str, int, int], list[int]] = {}
        for action, row in enumerate(menu.table):
            if row.edit >= 0:
                self._places.setdefault((EDITS[row.edit], row.kind, row.colour), []).append(action)
        self.kind, self.colour = CONTENT_KINDS.index("coin"), COLOURS.index("yellow")
        self._begin(seed)

    def _begin(self, seed: int) -> None:
        self.seed, self.mode, self.note = seed, "drive", ""
        self.cursor: Cursor | None = None
        self.moment: Moment = self.captioned.reset(seed)

    @property
    def help(self) -> str:
        """The keys of the present mode."""
        return HELP[self.mode]

    @property
    def powers(self) -> tuple[str, ...]:
        """The world edits granted now, in the order of their numbers."""
        return tuple(edit for edit in self.edits if edit in self.moment.granted)

    @property
    def content(self) -> str:
        """The selected content for a cell, by the menu's name."""
        kind = CONTENT_KINDS[self.kind]
        return kind if kind in ("wall", "floor") else f"{COLOURS[self.colour]} {kind}"

    def press(self, key: str) -> bool:
        """Handle a key; returns False where the player quits."""
        if key in ("q", "interrupt") and (self.mode in ("drive", "over") or key == "interrupt"):
            return False
        self.note = ""
        if key == "v":
            self.view = not self.view
        elif self.mode in ("drive", "over") and key in ("r", "n"):
            self._begin(self.seed + (key == "n"))
        elif key == "escape":
            self.mode, self.cursor = "over" if self.moment.done else "drive", None
        elif self.mode == "drive":
            self._drive(key)
        elif self.mode == "content":
            self._select_content(key)
        elif self.mode == "cell":
            self._select_cell(key)
        return True

    def _drive(self, key: str) -> None:
        if key in DIRECTIONS:
            self._step(MOVES.index(DIRECTIONS[key]))
        elif key in ("space", "."):
            self._step(0)
        elif (len(key) == 1 and key.isdecimal()) or key in LETTERS.values():
            self._pick(key)

    def _pick(self, key: str) -> None:
        """Begin to use the power of this number or letter."""
        if key.isdecimal():
            number = int(key)
            if not 1 <= number <= len(self.powers):
                self.note = f"no power {key}: granted: {', '.join(self.powers) or 'none'}"
                return
            edit = self.powers[number - 1]
        else:
            edit = next(name for name, letter in LETTERS.items() if letter == key)
            if edit not in self.powers:
                self.note = f"{edit} is not granted now"
                return
        if edit == "rewrite-cell":
            self.mode = "content"
            self._move_content(1, 0)
        else:
            self._place(edit, 0, 0)

    def _place(self, edit: str, kind: int, colour: int) -> None:
        """Choose a destination, or do it at once where there is none to choose."""
        actions = self._places[edit, kind, colour]
        if len(actions) == 1:
            self._step(actions[0])
            return
        row, column = divmod(int(self.env.worlds.cell[0]), self.moment.cells.shape[1])
        self.mode, self.cursor = "cell", Cursor(row, column, edit, kind, colour)

    def _select_content(self, key: str) -> None:
        direction = DIRECTIONS.get(key)
        if direction in ("north", "south"):
            self._move_content(1 if direction == "south" else -1, 0, move=True)
        elif direction is not None:
            self._move_content(0, 1 if direction == "east" else -1, move=True)
        elif key in ("enter", "space"):
            self._place("rewrite-cell", *self._contents[self.content])

    def _move_content(self, down: int, right: int, move: bool = False) -> None:
        """Select the nearest content in this direction that the menu has."""
        if move:
            self.kind, self.colour = (
                (self.kind + down) % len(CONTENT_KINDS),
                (self.colour + right) % len(COLOURS),
            )
        for kind, colour in self._contents_from_here(down, right):
            self.kind, self.colour = kind, colour
            if self.content in self._contents:
                return

    def _contents_from_here(self, down: int, right: int) -> Iterator[tuple[int, int]]:
        for shift in range(len(CONTENT_KINDS) if down else len(COLOURS)):
            yield (
                (self.kind + shift * down) % len(CONTENT_KINDS),
                (self.colour + shift * right) % len(COLOURS),
            )
        for kind in range(len(CONTENT_KINDS)):
            for colour in range(len(COLOURS)):
                yield kind, colour

    def _select_cell(self, key: str) -> None:
        cursor = self.cursor
        if cursor is None:
            return
        if key in DIRECTIONS:
            down, right = STEPS[DIRECTIONS[key]]
            rows, columns = self.moment.cells.shape[:2]
            cursor.row = int(np.clip(cursor.row + down, 1, rows - 2))
            cursor.column = int(np.clip(cursor.column + right, 1, columns - 2))
        elif key in ("enter", "space"):
            action = self._under(cursor)
            if action is not None:
                self._step(action)

    def _under(self, cursor: Cursor) -> int | None:
        """The action whose destination contains the cursor, or None."""
        for action in self._places[cursor.edit, cursor.kind, cursor.colour]:
            row = self.env.worlds.menu.table[action]
            inside = row.rows[0] <= cursor.row <= row.rows[1]
            if inside and row.columns[0] <= cursor.column <= row.columns[1]:
                return action
        return None

    def target(self) -> tuple[int, int, int, int] | None:
        """The destination under the cursor: first and last row, first and last column, inclusive."""
        cursor = self.cursor
        action = None if cursor is None else self._under(cursor)
        if action is None:
            return None
        row = self.env.worlds.menu.table[action]
        return *row.rows, *row.columns

    def _step(self, action: int) -> None:
        self.moment = self.captioned.step(action)
        self.cursor = None
        self.mode = "over" if self.moment.done else "drive"
