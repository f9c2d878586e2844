"""The shapes of bodies, ground and the agent, drawn on one tile's canvas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from nerfbot.grid.codes import BLOCK, CHEST, CORNER_MARK, FINISH_PAD, FRAGILE, KEY, OBJECT, SHAPES
from nerfbot.grid.rendering.canvas import DARK, Canvas, Ink, Point, mixed
from nerfbot.grid.rendering.palette import COPING, EYES, GATE_BAND, GATE_INK, ROBOT_INK, WALL_FACE, WALL_INK

SOUTH, NORTH, WEST, EAST = 1, 2, 4, 8
"""Bits of `near`: on which sides of a wall there is none, or where a lift zone ends."""

SIDES = {SOUTH: (0, 1), NORTH: (0, -1), WEST: (-1, 0), EAST: (1, 0)}
_TURN = {"east": 0.0, "north": -math.pi / 2, "west": math.pi, "south": math.pi / 2}


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


def draw_gate(c: Canvas, open_: bool) -> None:
    """A gate, shut or open."""
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


def draw_wall(c: Canvas, near: int) -> None:
    """A wall; `near` are the sides without another wall (see `SOUTH`)."""
    c.pixels[:] = WALL_INK
    # Faint courses of stone, the same in every tile so that they join.
    for y in (-0.34, 0.33, 0.99):
        c.fill(c.box(2.0, 0.03, 0.0, y), WALL_FACE, 0.35)
    for x, y in ((-0.5, -0.66), (0.5, -0.66), (0.0, 0.0), (-0.5, 0.66), (0.5, 0.66)):
        c.fill(c.box(0.03, 0.33, x, y), WALL_FACE, 0.35)
    for bit, (x, y) in SIDES.items():
        if near & bit and bit != SOUTH:
            c.fill(c.box(1.0 if x == 0 else 0.1, 1.0 if y == 0 else 0.1, x, y), COPING)
    if near & SOUTH:
        c.fill(c.box(1.0, 0.17, 0.0, 1.0), WALL_FACE)
        c.fill(c.box(1.0, 0.06, 0.0, 0.78), COPING)


def draw_ramp(c: Canvas, direction: str) -> None:
    """A ramp that rises in a direction."""
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


def draw_step(c: Canvas) -> None:
    """A step."""
    c.pixels[:] = (176, 198, 220)
    c.fill(c.box(0.84, 0.84, round_=0.05), (206, 222, 238))
    c.fill(np.abs(c.box(0.84, 0.84, round_=0.05)) - 0.035, (104, 130, 158))
    c.fill(np.abs(c.box(0.98, 0.98)) - 0.03, (104, 130, 158))


def draw_corner_mark(c: Canvas, ink: Ink) -> None:
    """A corner marker."""
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


def draw_agent(c: Canvas) -> None:
    """The robot."""
    for side in (-1, 1):
        c.fill(c.box(0.1, 0.3, side * 0.66, -0.1, round_=0.08), DARK)
    c.fill(c.box(0.54, 0.5, 0.0, -0.1, round_=0.26), (255, 255, 255), grow=0.09)
    c.fill(c.box(0.54, 0.5, 0.0, -0.1, round_=0.26), ROBOT_INK)
    c.fill(c.box(0.42, 0.22, 0.0, -0.2, round_=0.18), (72, 84, 104))
    for side in (-1, 1):
        c.fill(c.circle(0.13, side * 0.21, -0.2), EYES)


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
COLOURED: dict[int, Callable[[Canvas, Ink], None]] = {
    BLOCK: _block,
    FRAGILE: _fragile,
    KEY: _key,
    CHEST: _chest,
    CORNER_MARK: draw_corner_mark,
    FINISH_PAD: _finish_pad,
    **{OBJECT + index: _OBJECTS[shape] for index, shape in enumerate(SHAPES)},
}
"""How to draw the kinds that have a colour."""
