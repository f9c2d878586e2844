"""What a cell of the grid looks like: a picture for every value of its three bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nerfbot.grid import codes
from nerfbot.grid.rendering import shapes
from nerfbot.grid.rendering.canvas import DARK, Canvas, Field, Ink
from nerfbot.grid.rendering.palette import (
    AXIS_INK,
    FLOOR_INK,
    MINT,
    MIST,
    PALETTE,
    RED,
    RING,
    UNSEEN_INK,
    VIOLET,
)
from nerfbot.grid.rendering.shapes import SIDES
from nerfbot.limits import AXES

GROUND = {
    codes.RAMP,
    codes.RAMP + 1,
    codes.RAMP + 2,
    codes.RAMP + 3,
    codes.STEP,
    codes.CORNER_MARK,
    codes.FINISH_PAD,
}
"""What lies flat: zones are drawn over it, and under everything else."""


def draw_tile(kind: int, colour: int, state: int, near: int, odd: bool, size: int) -> NDArray[np.uint8]:
    """One cell, uint8 (size, size, 3). `near`: see `SOUTH`; `odd`: the second of the floor's two shades."""
    c = Canvas(size, FLOOR_INK[odd])
    ink = PALETTE[codes.COLOURS[colour - 1]] if 1 <= colour <= len(codes.COLOURS) else (228, 228, 224)
    if kind == codes.UNSEEN:
        c.pixels[:] = UNSEEN_INK[0]
        c.fill(c.stripes(1.0, 0.5), UNSEEN_INK[1])
    elif kind in GROUND or kind == codes.WALL:
        _body(c, kind, ink, state, near)
    _zones_below(c, state, near if kind != codes.WALL else 0)
    if state & codes.MARKED:
        shapes.draw_corner_mark(c, PALETTE["green"])
    if kind not in GROUND and kind not in (codes.UNSEEN, codes.WALL):
        _body(c, kind, ink, state, near)
    if state & codes.FOG:
        c.fill(c.box(1.0, 1.0), (236, 242, 248), 0.22)
    if state & codes.AGENT:
        shapes.draw_agent(c)
    return np.clip(np.rint(c.pixels), 0, 255).astype(np.uint8)


def _body(c: Canvas, kind: int, ink: Ink, state: int, near: int) -> None:
    if kind == codes.WALL:
        shapes.draw_wall(c, near)
    elif kind == codes.GATE:
        shapes.draw_gate(c, bool(state & codes.OPEN))
    elif codes.RAMP <= kind < codes.RAMP + len(codes.DIRECTIONS):
        shapes.draw_ramp(c, codes.DIRECTIONS[kind - codes.RAMP])
    elif kind == codes.STEP:
        shapes.draw_step(c)
    elif kind in shapes.COLOURED:
        shapes.COLOURED[kind](c, ink)


def _zones_below(c: Canvas, state: int, near: int) -> None:
    """The zones over a cell: tints and patterns that join from tile to tile and do not hide one another."""
    everywhere = c.box(2.0, 2.0)
    if state & codes.LIFT_ZONE:
        c.fill(everywhere, (120, 224, 170), 0.28)
    if state & codes.FOG:
        c.fill(everywhere, MIST, 0.8)
        for x, y, radius in ((-0.5, -0.4, 0.36), (0.02, -0.5, 0.44), (0.5, 0.46, 0.38), (0.0, 0.56, 0.3)):
            c.fill(c.circle(radius, x, y), (243, 247, 251), 0.75)
    if state & codes.INTERFERENCE:
        c.fill(everywhere, (206, 178, 245), 0.55)
        for y in (-0.5, 0.5):
            wave = np.abs(c.y - y - 0.2 * np.sin(c.x * 2 * math.pi)) * 0.7 - 0.05
            c.fill(wave, VIOLET, 0.8)
    if state & codes.NO_GO:
        c.fill(everywhere, (244, 150, 140), 0.5)
        c.fill(c.stripes(1.0, 0.36), RED, 0.75)
    if state & codes.LIFT_ZONE:
        for bit, (x, y) in SIDES.items():
            if near & bit:
                edge = c.box(1.0 if x == 0 else 0.09, 1.0 if y == 0 else 0.09, x * 0.91, y * 0.91)
                c.fill(edge, MINT)


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
