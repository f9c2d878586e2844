"""What a cell of the grid looks like: the palette, and a picture for every value of its three bytes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nerfbot.grid.codes import (
    AGENT,
    BLOCK,
    CHEST,
    COLOURS,
    CORNER_MARK,
    DIRECTIONS,
    FINISH_PAD,
    FOG,
    FRAGILE,
    GATE,
    INTERFERENCE,
    KEY,
    LIFT_ZONE,
    MARKED,
    NO_GO,
    OBJECT,
    OPEN,
    RAMP,
    SHAPES,
    STEP,
    UNSEEN,
    WALL,
)
from nerfbot.grid.rendering.canvas import DARK, Canvas, Field, Ink, Point, mixed
from nerfbot.limits import AXES

PALETTE: dict[str, Ink] = {
    "red": (219, 41, 41),
    "green": (51, 173, 77),
    "blue": (41, 97, 224),
    "purple": (143, 66, 199),
    "yellow": (255, 204, 20),
    "grey": (140, 145, 153),
    "orange": (245, 133, 26),
    "cyan": (38, 194, 219),
    "white": (245, 245, 240),
    "brown": (148, 97, 56),
    "pink": (245, 128, 184),
    "black": (46, 48, 56),
    "lime": (166, 224, 51),
    "navy": (31, 51, 128),
    "olive": (128, 133, 41),
}
"""The colours of a course, the same as on the robots' plant."""

AXIS_INK: dict[str, Ink] = dict(
    zip(AXES, ((228, 87, 46), (224, 161, 0), (42, 157, 143), (123, 108, 246)), strict=True)
)
"""A colour for each axis, as in the demo's charts."""

FLOOR_INK: tuple[Ink, Ink] = ((226, 226, 218), (214, 214, 206))
WALL_INK, COPING, WALL_FACE = (117, 133, 153), (150, 166, 187), (84, 96, 114)
GATE_INK, GATE_BAND = (237, 92, 51), (247, 240, 224)
UNSEEN_INK: tuple[Ink, Ink] = ((30, 37, 48), (38, 46, 58))
ROBOT_INK, EYES, RING = (32, 39, 51), (120, 226, 255), (255, 214, 51)
RED, VIOLET, MINT, MIST = (214, 48, 49), (126, 74, 214), (13, 148, 98), (196, 211, 226)

SOUTH, NORTH, WEST, EAST = 1, 2, 4, 8
"""Bits of `near`: on which sides of a wall there is none, or where a lift zone ends."""

_SIDES = {SOUTH: (0, 1), NORTH: (0, -1), WEST: (-1, 0), EAST: (1, 0)}
_TURN = {"east": 0.0, "north": -math.pi / 2, "west": math.pi, "south": math.pi / 2}


# Bodies


def _coin(c: Canvas, ink: Ink) -> None:
    c.solid(c.circle(0.56), ink)
    c.fill(np.abs(c.circle(0.40)) - 0.045, mixed(ink, DARK, 0.45))
    c.fill(c.box(0.06, 0.2, round_=0.04), mixed(ink, DARK, 0.45))


def _gem(c: Canvas, ink: Ink) -> None:
    c.solid(c.polygon([(-0.36, -0.5), (0.36, -0.5), (0.62, -0.14), (0.0, 0.6), (-0.62, -0.14)]), ink)
    facet = mixed(ink, DARK, 0.42)
    for a, b in (
        ((-0.6, -0.14), (0.6, -0.14)),
        ((-0.22, -0.14), (0.0, 0.56)),
        ((0.22, -0.14), (0.0, 0.56)),
        ((-0.22, -0.14), (0.0, -0.48)),
        ((0.22, -0.14), (0.0, -0.48)),
    ):
        c.fill(c.segment(a, b, 0.022), facet)


def _line(c: Canvas, ink: Ink) -> None:
    c.solid(c.segment((-0.56, 0.0), (0.56, 0.0), 0.15), ink)


def _ball(c: Canvas, ink: Ink) -> None:
    c.solid(c.circle(0.54), ink)
    c.fill(c.circle(0.42, 0.12, 0.12) * -1, (255, 255, 255), np.where(c.circle(0.5) < 0, 0.25, 0.0))
    c.fill(c.circle(0.13, -0.2, -0.22), (255, 255, 255), 0.9)


def _cube(c: Canvas, ink: Ink) -> None:
    top = [(0.0, -0.64), (0.56, -0.34), (0.0, -0.04), (-0.56, -0.34)]
    left = [(-0.56, -0.34), (0.0, -0.04), (0.0, 0.62), (-0.56, 0.32)]
    right = [(0.56, -0.34), (0.0, -0.04), (0.0, 0.62), (0.56, 0.32)]
    whole = [(0.0, -0.64), (0.56, -0.34), (0.56, 0.32), (0.0, 0.62), (-0.56, 0.32), (-0.56, -0.34)]
    c.fill(c.polygon(whole), mixed(ink, DARK, 0.78), grow=0.09)
    c.fill(c.polygon(right), mixed(ink, DARK, 0.42))
    c.fill(c.polygon(left), ink)
    c.fill(c.polygon(top), mixed(ink, (255, 255, 255), 0.42))


def _cone(c: Canvas, ink: Ink) -> None:
    c.solid(c.polygon([(0.0, -0.64), (0.5, 0.44), (0.34, 0.56), (-0.34, 0.56), (-0.5, 0.44)]), ink)
    inside = c.polygon([(0.0, -0.64), (0.5, 0.44), (-0.5, 0.44)]) < -0.02
    band = np.abs(c.y - 0.12 * np.cos(c.x * 3) - 0.06) - 0.05
    c.fill(band, mixed(ink, DARK, 0.4), np.where(inside, 1.0, 0.0))


def _ring(c: Canvas, ink: Ink) -> None:
    c.solid(np.abs(c.circle(0.44)) - 0.14, ink)


def _star(c: Canvas, ink: Ink) -> None:
    radii = (0.7, 0.3)
    c.solid(
        c.polygon(
            [
                (radii[k % 2] * math.sin(math.pi * k / 5), 0.05 - radii[k % 2] * math.cos(math.pi * k / 5))
                for k in range(10)
            ]
        ),
        ink,
    )


def _cross(c: Canvas, ink: Ink) -> None:
    c.solid(np.minimum(c.box(0.58, 0.2, round_=0.05), c.box(0.2, 0.58, round_=0.05)), ink)


def _heart(c: Canvas, ink: Ink) -> None:
    lobes = np.minimum(c.circle(0.3, -0.27, -0.2), c.circle(0.3, 0.27, -0.2))
    point = c.polygon([(-0.55, -0.1), (-0.27, -0.3), (0.27, -0.3), (0.55, -0.1), (0.0, 0.6)])
    c.solid(np.minimum(lobes, point), ink)


def _clover(c: Canvas, ink: Ink) -> None:
    leaves = [c.circle(0.26, x, y) for x, y in ((0.0, -0.32), (-0.3, 0.04), (0.3, 0.04))]
    stem = c.polygon([(-0.06, -0.1), (0.06, -0.1), (0.16, 0.58), (-0.16, 0.58)])
    c.solid(np.minimum.reduce([*leaves, c.circle(0.16, 0.0, -0.06), stem]), ink)


def _arrow(c: Canvas, ink: Ink) -> None:
    corners = [(-0.6, -0.18), (0.0, -0.18), (0.0, -0.5), (0.64, 0.0), (0.0, 0.5), (0.0, 0.18), (-0.6, 0.18)]
    c.solid(c.polygon(corners), ink)


def _nut(c: Canvas, ink: Ink) -> None:
    outline = [(0.6 * math.cos(math.pi * k / 3), 0.6 * math.sin(math.pi * k / 3)) for k in range(6)]
    c.solid(np.maximum(c.polygon(outline), -c.circle(0.24)), ink)


def _drop(c: Canvas, ink: Ink) -> None:
    tip = c.polygon([(0.0, -0.66), (0.36, 0.04), (-0.36, 0.04)])
    c.solid(np.minimum(c.circle(0.4, 0.0, 0.18), tip), ink)
    c.fill(c.circle(0.09, -0.14, 0.2), (255, 255, 255), 0.8)


def _bell(c: Canvas, ink: Ink) -> None:
    body = c.polygon(
        [(-0.26, -0.36), (0.26, -0.36), (0.36, 0.14), (0.56, 0.38), (-0.56, 0.38), (-0.36, 0.14)]
    )
    c.solid(np.minimum.reduce([c.circle(0.27, 0.0, -0.34), body, c.circle(0.14, 0.0, 0.46)]), ink)


def _crown(c: Canvas, ink: Ink) -> None:
    peaks = [
        (-0.58, -0.34),
        (-0.28, 0.0),
        (0.0, -0.5),
        (0.28, 0.0),
        (0.58, -0.34),
        (0.46, 0.44),
        (-0.46, 0.44),
    ]
    c.solid(c.polygon(peaks), ink)
    c.fill(c.box(0.4, 0.05, 0.0, 0.26), mixed(ink, DARK, 0.4))


def _key(c: Canvas, ink: Ink) -> None:
    bow = np.abs(c.circle(0.2, -0.3, 0.0)) - 0.1
    shaft = c.box(0.36, 0.075, 0.3, 0.0)
    teeth = np.minimum(c.box(0.06, 0.15, 0.56, 0.14), c.box(0.06, 0.12, 0.32, 0.12))
    c.solid(np.minimum(np.minimum(bow, shaft), teeth), ink)


def _chest(c: Canvas, ink: Ink) -> None:
    c.solid(c.box(0.64, 0.48, 0.0, 0.05, round_=0.16), ink)
    band = mixed(ink, DARK, 0.62)
    c.fill(c.box(0.64, 0.05, 0.0, -0.08), band)
    c.fill(c.box(0.07, 0.48, -0.44, 0.05), band, 0.55)
    c.fill(c.box(0.07, 0.48, 0.44, 0.05), band, 0.55)
    c.fill(c.box(0.17, 0.19, 0.0, 0.0, round_=0.07), DARK)
    c.fill(np.minimum(c.circle(0.07, 0.0, -0.04), c.box(0.03, 0.08, 0.0, 0.05)), (250, 240, 210))


def _block(c: Canvas, ink: Ink) -> None:
    c.solid(c.box(0.78, 0.78, round_=0.08), ink, rim=0.07)
    plank = mixed(ink, DARK, 0.5)
    c.fill(np.abs(c.box(0.62, 0.62)) - 0.035, plank)
    for a, b in (((-0.6, -0.6), (0.6, 0.6)), ((-0.6, 0.6), (0.6, -0.6))):
        c.fill(c.segment(a, b, 0.1), plank)
        c.fill(c.segment(a, b, 0.06), mixed(ink, (255, 255, 255), 0.16))


def _fragile(c: Canvas, ink: Ink) -> None:
    half = [(0.16, -0.66), (0.3, -0.62), (0.17, -0.42), (0.44, -0.08), (0.44, 0.2), (0.28, 0.62)]
    c.solid(c.polygon([*half, *((-x, y) for x, y in reversed(half))]), ink)
    crack = [(0.14, -0.3), (-0.06, -0.06), (0.14, 0.1), (-0.04, 0.4)]
    for a, b in itertools.pairwise(crack):
        c.fill(c.segment(a, b, 0.04), DARK)


def _gate(c: Canvas, open_: bool) -> None:
    for side in (-1, 1):
        c.fill(c.box(0.13, 1.0, side * 0.87), DARK, grow=0.05)
        c.fill(c.box(0.13, 1.0, side * 0.87), GATE_INK)
        for y in (-0.75, -0.25, 0.25, 0.75):
            c.fill(c.box(0.13, 0.12, side * 0.87, y), GATE_BAND)
    if open_:
        for side in (-1, 1):  # two leaves pushed aside
            c.fill(c.box(0.06, 0.8, side * 0.6, round_=0.04), mixed(GATE_INK, DARK, 0.35))
        return
    for y in (-0.62, 0.0, 0.62):
        c.fill(c.box(0.76, 0.14, 0.0, y), DARK, grow=0.06)
        c.fill(c.box(0.76, 0.14, 0.0, y), GATE_INK)
        c.fill(np.maximum(c.box(0.76, 0.14, 0.0, y), c.stripes(0.5, 0.45)), GATE_BAND)


def _wall(c: Canvas, near: int) -> None:
    c.pixels[:] = WALL_INK
    # Faint courses of stone, the same in every tile so that they join.
    for y in (-0.34, 0.33, 0.99):
        c.fill(c.box(2.0, 0.03, 0.0, y), WALL_FACE, 0.35)
    for x, y in ((-0.5, -0.66), (0.5, -0.66), (0.0, 0.0), (-0.5, 0.66), (0.5, 0.66)):
        c.fill(c.box(0.03, 0.33, x, y), WALL_FACE, 0.35)
    for bit, (x, y) in _SIDES.items():
        if near & bit and bit != SOUTH:
            c.fill(c.box(1.0 if x == 0 else 0.1, 1.0 if y == 0 else 0.1, x, y), COPING)
    if near & SOUTH:
        c.fill(c.box(1.0, 0.17, 0.0, 1.0), WALL_FACE)
        c.fill(c.box(1.0, 0.06, 0.0, 0.78), COPING)


def _ramp(c: Canvas, direction: str) -> None:
    turn = _TURN[direction]
    uphill = c.x * math.cos(turn) + c.y * math.sin(turn)
    low, high = (150, 178, 205), (236, 243, 250)
    share = ((uphill + 1) / 2)[..., None]
    c.pixels[:] = np.array(low) * (1 - share) + np.array(high) * share
    c.fill(np.abs(c.box(1.0, 1.0)) - 0.05, (92, 120, 150))
    cos, sin = math.cos(turn), math.sin(turn)

    def turned(x: float, y: float) -> Point:
        return x * cos - y * sin, x * sin + y * cos

    for shift in (-0.36, 0.12):
        for y in (-0.42, 0.42):
            a, b = turned(shift - 0.16, y), turned(shift + 0.28, 0.0)
            c.fill(c.segment(a, b, 0.1), (38, 84, 130))


def _step(c: Canvas) -> None:
    c.pixels[:] = (176, 198, 220)
    c.fill(c.box(0.84, 0.84, round_=0.05), (206, 222, 238))
    c.fill(np.abs(c.box(0.84, 0.84, round_=0.05)) - 0.035, (104, 130, 158))
    c.fill(np.abs(c.box(0.98, 0.98)) - 0.03, (104, 130, 158))


def _corner_mark(c: Canvas, ink: Ink) -> None:
    c.fill(c.box(0.86, 0.86, round_=0.1), ink, 0.28)
    for side in (-1, 1):
        c.fill(c.segment((side * 0.74, -0.74), (side * 0.74, -0.26), 0.1), ink)
        c.fill(c.segment((side * 0.74, 0.74), (side * 0.74, 0.26), 0.1), ink)
        c.fill(c.segment((-0.74, side * 0.74), (-0.26, side * 0.74), 0.1), ink)
        c.fill(c.segment((0.74, side * 0.74), (0.26, side * 0.74), 0.1), ink)


def _finish_pad(c: Canvas, ink: Ink) -> None:
    c.fill(c.box(0.9, 0.9, round_=0.08), (250, 250, 246))
    checks = np.mod(np.floor((c.x + 0.9) / 0.45) + np.floor((c.y + 0.9) / 0.45), 2) == 0
    c.fill(c.box(0.9, 0.9, round_=0.08), ink, np.where(checks, 1.0, 0.0))
    c.fill(np.abs(c.box(0.9, 0.9, round_=0.08)) - 0.04, mixed(ink, DARK, 0.4))


_OBJECTS: dict[str, Callable[[Canvas, Ink], None]] = {
    "coin": _coin,
    "gem": _gem,
    "line": _line,
    "ball": _ball,
    "cube": _cube,
    "cone": _cone,
    "ring": _ring,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "clover": _clover,
    "arrow": _arrow,
    "nut": _nut,
    "drop": _drop,
    "bell": _bell,
    "crown": _crown,
}
_COLOURED: dict[int, Callable[[Canvas, Ink], None]] = {
    BLOCK: _block,
    FRAGILE: _fragile,
    KEY: _key,
    CHEST: _chest,
    CORNER_MARK: _corner_mark,
    FINISH_PAD: _finish_pad,
    **{OBJECT + index: _OBJECTS[shape] for index, shape in enumerate(SHAPES)},
}
GROUND = {RAMP, RAMP + 1, RAMP + 2, RAMP + 3, STEP, CORNER_MARK, FINISH_PAD}
"""What lies flat: zones are drawn over it, and under everything else."""


def draw_tile(kind: int, colour: int, state: int, near: int, odd: bool, size: int) -> NDArray[np.uint8]:
    """One cell, uint8 (size, size, 3). `near`: see `SOUTH`; `odd`: the second of the floor's two shades."""
    c = Canvas(size, FLOOR_INK[odd])
    ink = PALETTE[COLOURS[colour - 1]] if 1 <= colour <= len(COLOURS) else (228, 228, 224)
    if kind == UNSEEN:
        c.pixels[:] = UNSEEN_INK[0]
        c.fill(c.stripes(1.0, 0.5), UNSEEN_INK[1])
    elif kind in GROUND or kind == WALL:
        _body(c, kind, ink, state, near)
    _zones_below(c, state, near if kind != WALL else 0)
    if state & MARKED:
        _corner_mark(c, PALETTE["green"])
    if kind not in GROUND and kind not in (UNSEEN, WALL):
        _body(c, kind, ink, state, near)
    if state & FOG:
        c.fill(c.box(1.0, 1.0), (236, 242, 248), 0.22)
    if state & AGENT:
        _agent(c)
    return np.clip(np.rint(c.pixels), 0, 255).astype(np.uint8)


def _body(c: Canvas, kind: int, ink: Ink, state: int, near: int) -> None:
    if kind == WALL:
        _wall(c, near)
    elif kind == GATE:
        _gate(c, bool(state & OPEN))
    elif RAMP <= kind < RAMP + len(DIRECTIONS):
        _ramp(c, DIRECTIONS[kind - RAMP])
    elif kind == STEP:
        _step(c)
    elif kind in _COLOURED:
        _COLOURED[kind](c, ink)


def _zones_below(c: Canvas, state: int, near: int) -> None:
    """The zones over a cell: tints and patterns that join from tile to tile and do not hide one another."""
    everywhere = c.box(2.0, 2.0)
    if state & LIFT_ZONE:
        c.fill(everywhere, (120, 224, 170), 0.28)
    if state & FOG:
        c.fill(everywhere, MIST, 0.8)
        for x, y, radius in ((-0.5, -0.4, 0.36), (0.02, -0.5, 0.44), (0.5, 0.46, 0.38), (0.0, 0.56, 0.3)):
            c.fill(c.circle(radius, x, y), (243, 247, 251), 0.75)
    if state & INTERFERENCE:
        c.fill(everywhere, (206, 178, 245), 0.55)
        for y in (-0.5, 0.5):
            wave = np.abs(c.y - y - 0.2 * np.sin(c.x * 2 * math.pi)) * 0.7 - 0.05
            c.fill(wave, VIOLET, 0.8)
    if state & NO_GO:
        c.fill(everywhere, (244, 150, 140), 0.5)
        c.fill(c.stripes(1.0, 0.36), RED, 0.75)
    if state & LIFT_ZONE:
        for bit, (x, y) in _SIDES.items():
            if near & bit:
                edge = c.box(1.0 if x == 0 else 0.09, 1.0 if y == 0 else 0.09, x * 0.91, y * 0.91)
                c.fill(edge, MINT)


def _agent(c: Canvas) -> None:
    for side in (-1, 1):
        c.fill(c.box(0.1, 0.3, side * 0.66, -0.1, round_=0.08), DARK)
    c.fill(c.box(0.54, 0.5, 0.0, -0.1, round_=0.26), (255, 255, 255), grow=0.09)
    c.fill(c.box(0.54, 0.5, 0.0, -0.1, round_=0.26), ROBOT_INK)
    c.fill(c.box(0.42, 0.22, 0.0, -0.2, round_=0.18), (72, 84, 104))
    for side in (-1, 1):
        c.fill(c.circle(0.13, side * 0.21, -0.2), EYES)


def lift_badge(lift: Sequence[float], size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is laid over the agent's tile while something is lifted: colours (size, size, 3) and cover
    (size, size). A ring, and four bars as high as strength, speed, sensing and reliability are lifted.
    """
    layers: list[tuple[Field, Ink]] = []
    c = Canvas(size, DARK)
    ring = np.abs(c.circle(0.86)) - 0.1
    layers += [(ring - 0.07, DARK), (ring, RING)]
    layers.append((c.box(0.94, 0.3, 0.0, 0.7, round_=0.08), DARK))
    for index, (axis, level) in enumerate(zip(AXES, lift, strict=True)):
        x = -0.66 + 0.44 * index
        layers.append((c.box(0.17, 0.22, x, 0.7), (66, 76, 92)))
        if level > 0:
            half = 0.22 * min(1.0, max(level, 0.15))
            layers.append((c.box(0.17, half, x, 0.92 - half), AXIS_INK[axis]))
    cover = np.zeros(c.x.shape)
    for distance, ink in layers:
        part = np.clip(0.5 - distance * size / 2, 0.0, 1.0)
        c.pixels += (np.array(ink) - c.pixels) * part[..., None]
        cover = np.maximum(cover, part)
    return c.pixels, cover
