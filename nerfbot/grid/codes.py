"""What the three bytes of a grid cell mean: kind, colour and state, in MiniGrid's manner.

The same bytes are the world's state, the observation and what the renderers draw.
"""

from __future__ import annotations

from typing import get_args

from nerfbot.course.elements import Colour, Direction, Element, Shape

COLOURS: tuple[str, ...] = get_args(Colour)
SHAPES: tuple[str, ...] = get_args(Shape)
DIRECTIONS: tuple[str, ...] = get_args(Direction)

UNSEEN, FLOOR, WALL, BLOCK, GATE, FRAGILE, KEY, CHEST = range(8)
CORNER_MARK, FINISH_PAD = 8, 9
RAMP = 10
"""The first of four kinds, one for each direction in the order of `DIRECTIONS`."""
STEP = 14
OBJECT = 16
"""The first of the kinds of coins and decoys, one for each shape in the order of `SHAPES`."""

KIND_NAMES: dict[int, str] = {
    UNSEEN: "unseen",
    FLOOR: "floor",
    WALL: "wall",
    BLOCK: "block",
    GATE: "gate",
    FRAGILE: "fragile",
    KEY: "key",
    CHEST: "chest",
    CORNER_MARK: "corner mark",
    FINISH_PAD: "finish pad",
    **{RAMP + index: f"ramp {name}" for index, name in enumerate(DIRECTIONS)},
    STEP: "step",
    **{OBJECT + index: name for index, name in enumerate(SHAPES)},
}
"""The name of every value of a cell's first byte."""

KINDS = 32
"""One more than the largest kind that fits; tables over kinds have this many rows."""
COLOUR_CODES = 16
"""The same for colours: 0 is none, 1 is the first of `COLOURS`."""

FOG, INTERFERENCE, NO_GO, LIFT_ZONE, OPEN, MARKED, AGENT = (1 << bit for bit in range(7))
"""Bits of a cell's third byte: zones over it, an open gate, a marker under a body, the agent."""

STATES = 128

ZONE_BITS = {"fog": FOG, "interference": INTERFERENCE, "no_go": NO_GO, "lift_zone": LIFT_ZONE}
ANY_ZONE = FOG | INTERFERENCE | NO_GO | LIFT_ZONE

BODY_KINDS = {"wall": WALL, "block": BLOCK, "gate": GATE, "fragile": FRAGILE, "key": KEY, "chest": CHEST}
MARKER_KINDS = {"corner": CORNER_MARK, "finish_pad": FINISH_PAD}


def kind_of(item: Element) -> int:
    """The first byte of a cell with this body or ground on top."""
    if item.kind in BODY_KINDS:
        return BODY_KINDS[item.kind]
    if item.kind == "marker":
        return MARKER_KINDS[str(item.properties["shape"])]
    if item.kind == "ramp":
        return RAMP + DIRECTIONS.index(str(item.properties["direction"]))
    if item.kind == "step":
        return STEP
    return OBJECT + SHAPES.index(str(item.properties["shape"]))


def colour_of(item: Element) -> int:
    """The second byte: 0 for what has no colour."""
    colour = getattr(item, "colour", None)
    return 0 if colour is None else 1 + COLOURS.index(colour)
