"""What each kind of cell is in a terminal: one table of symbols and styles, and the maps drawn with it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike
from rich.color import ColorSystem
from rich.style import Style

from nerfbot.course.elements import Element
from nerfbot.errors import InvalidCommand
from nerfbot.grid import codes
from nerfbot.grid.rendering.canvas import Ink
from nerfbot.grid.rendering.palette import GATE_INK, MINT, PALETTE, RED, VIOLET, WALL_INK
from nerfbot.limits import AXES

Symbol = tuple[str, str]
"""A character one column wide, and the style it is drawn in (empty: the colour of the cell)."""


def _hex(ink: Ink) -> str:
    return "#" + "".join(f"{round(part):02x}" for part in ink)


KINDS: dict[int, Symbol] = {
    codes.UNSEEN: ("▒", "#49536a"),
    codes.FLOOR: (" ", ""),
    codes.WALL: ("█", _hex(WALL_INK)),
    codes.BLOCK: ("■", ""),
    codes.GATE: ("╫", _hex(GATE_INK)),
    codes.FRAGILE: ("▽", ""),
    codes.KEY: ("⚷", ""),
    codes.CHEST: ("▣", ""),
    codes.CORNER_MARK: ("◰", ""),
    codes.FINISH_PAD: ("▚", ""),
    **{codes.RAMP + codes.DIRECTIONS.index(way): (arrow, "#5f87c7") for way, arrow in zip(
        ("east", "north", "west", "south"), "→↑←↓", strict=True)},
    codes.STEP: ("=", "#5f87c7"),
    **{codes.OBJECT + codes.SHAPES.index(shape): (character, "") for shape, character in {
        "coin": "●", "gem": "◆", "line": "━", "ball": "◉", "cube": "◧", "cone": "▲", "ring": "○", "star": "★",
        "cross": "✚", "heart": "♥", "clover": "♣", "arrow": "➤", "nut": "⬡", "drop": "♦", "bell": "♠",
        "crown": "♛",
    }.items()},
}  # fmt: skip
"""Every kind of cell."""

OPEN_GATE: Symbol = ("╎", _hex(GATE_INK))
UNDER: Symbol = ("◰", _hex(PALETTE["green"]))
"""A marker under a body."""

ROBOT: Symbol = ("@", "bold #ffffff on #2457d6")
LIFTED: Symbol = ("@", "bold #181e28 on #ffd633")
"""The agent while something is lifted."""

ZONES: dict[int, Symbol] = {
    codes.NO_GO: ("×", _hex(RED)),
    codes.INTERFERENCE: ("≈", _hex(VIOLET)),
    codes.FOG: ("░", "#9fb2c6"),
    codes.LIFT_ZONE: ("·", _hex(MINT)),
}
"""Zones by their bit; where several lie over a cell, the first are drawn first."""

_FILLING = "█▒░≈×·▚╫╎━="
"""Characters that fill both columns of a cell."""


def symbol_of(item: Element) -> Symbol:
    """The character of an element and its style, with its own colour."""
    if item.kind == "start":
        return ROBOT
    if item.kind in codes.ZONE_BITS:
        return ZONES[codes.ZONE_BITS[item.kind]]
    character, style = KINDS[codes.kind_of(item)]
    colour = getattr(item, "colour", None)
    return character, style or ("" if colour is None else _hex(PALETTE[colour]))


def _parts(kind: int, colour: int, state: int, lifted: bool) -> Iterator[Symbol]:
    """What lies in a cell, from the top down."""
    if state & codes.AGENT:
        yield LIFTED if lifted else ROBOT
    if kind != codes.FLOOR:
        character, style = KINDS.get(kind, ("?", ""))
        if kind == codes.GATE and state & codes.OPEN:
            character, style = OPEN_GATE
        known = 1 <= colour <= len(codes.COLOURS)
        yield character, style or (_hex(PALETTE[codes.COLOURS[colour - 1]]) if known else "")
    if state & codes.MARKED:
        yield UNDER
    for bit, symbol in ZONES.items():
        if state & bit:
            yield symbol


@functools.lru_cache(65536)
def _cell(kind: int, colour: int, state: int, lifted: bool) -> tuple[Symbol, Symbol]:
    """A cell, two columns wide so that it looks square: the two topmost things in it."""
    parts = list(_parts(kind, colour, state, lifted))[:2] or [KINDS[codes.FLOOR]]
    first, second = parts[0], parts[-1]
    if len(parts) == 1 and first[0] not in _FILLING:
        second = KINDS[codes.FLOOR]
    return first, second


@functools.lru_cache(1024)
def _painter(style: str) -> Style:
    return Style.parse(style)


def _line(row: Iterable[tuple[int, int, int]], lifted: bool, colour: bool) -> str:
    parts = [symbol for cell in row for symbol in _cell(*cell, lifted)]
    if not colour:
        return "".join(character for character, _ in parts)
    runs = (
        (style, "".join(c for c, _ in run)) for style, run in itertools.groupby(parts, lambda part: part[1])
    )
    return "".join(
        _painter(style).render(run, color_system=ColorSystem.EIGHT_BIT) if style else run
        for style, run in runs
    )


def ansi(cells: ArrayLike, lift: Sequence[float] | None = None, colour: bool = True) -> str:
    """One world as text: a line a row, two columns a cell, in 256 colours.

    Args:
        cells: observation bytes, uint8 (rows, columns, 3).
        lift: levels of the four axes; adds a last line that names those above 0.
        colour: False leaves out every escape code.

    Raises `InvalidCommand` for another shape or type.

    """
    given = np.asarray(cells)
    if given.ndim != 3 or given.shape[-1] != 3 or given.dtype != np.uint8:
        raise InvalidCommand(f"cells: must be uint8 (rows, columns, 3), got {given.dtype} {given.shape}")
    levels = (
        {} if lift is None else {axis: level for axis, level in zip(AXES, lift, strict=True) if level > 0}
    )
    lifted = bool(levels)
    lines = [_line(row, lifted, colour) for row in given.tolist()]
    if lift is not None:
        named = ", ".join(f"{axis} {level:.2f}" for axis, level in levels.items())
        lines.append(f"lift: {named or 'none'}")
    return "\n".join(lines)
