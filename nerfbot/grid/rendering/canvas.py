"""Drawing one tile in pure NumPy: shapes as signed distances, filled with edges one pixel soft.

Distances are in half tiles and negative inside, so that the same shapes serve every tile size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ink = tuple[float, float, float]
Field = NDArray[np.float64]
Point = tuple[float, float]

DARK: Ink = (24, 30, 40)


def mixed(ink: Ink, other: Ink, share: float) -> Ink:
    """`share` of the way from one ink to the other."""
    a, b, c = (x + (y - x) * share for x, y in zip(ink, other, strict=True))
    return a, b, c


class Canvas:
    """One tile of `size` px. Shapes are given in units of half a tile: x to the right and y down, -1 to 1."""

    def __init__(self, size: int, ink: Ink) -> None:
        self.size = size
        self.pixels = np.empty((size, size, 3))
        self.pixels[:] = ink
        at = (np.arange(size) + 0.5) * 2 / size - 1
        self.x, self.y = np.meshgrid(at, at)

    def fill(self, distance: Field, ink: Ink, alpha: float | Field = 1.0, grow: float = 0.0) -> None:
        """Paint where `distance` (in half tiles) is below `grow`, with edges one pixel soft."""
        cover = np.clip(0.5 - (distance - grow) * self.size / 2, 0.0, 1.0) * alpha
        self.pixels += (np.array(ink) - self.pixels) * cover[..., None]

    def solid(self, distance: Field, ink: Ink, rim: float = 0.09) -> None:
        """A body: dark rim, its colour, and light from the north-west."""
        self.fill(distance, mixed(ink, DARK, 0.78), grow=rim)
        self.fill(distance, ink)
        light = np.clip((-self.x - self.y) * 0.55, -1.0, 1.0)
        self.fill(distance, (255, 255, 255), np.maximum(light, 0.0) * 0.30)
        self.fill(distance, DARK, np.maximum(-light, 0.0) * 0.28)

    def circle(self, radius: float, x: float = 0.0, y: float = 0.0) -> Field:
        """Distance to a disc."""
        distance: Field = np.hypot(self.x - x, self.y - y) - radius
        return distance

    def box(self, half_x: float, half_y: float, x: float = 0.0, y: float = 0.0, round_: float = 0.0) -> Field:
        """Distance to a rectangle, its corners rounded."""
        across = np.abs(self.x - x) - half_x + round_
        down = np.abs(self.y - y) - half_y + round_
        outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
        distance: Field = outside + np.minimum(np.maximum(across, down), 0) - round_
        return distance

    def segment(self, start: Point, end: Point, half: float) -> Field:
        """Distance to a stroke with round ends."""
        (ax, ay), (bx, by) = start, end
        dx, dy = bx - ax, by - ay
        along = ((self.x - ax) * dx + (self.y - ay) * dy) / max(dx * dx + dy * dy, 1e-9)
        share = np.clip(along, 0.0, 1.0)
        distance: Field = np.hypot(self.x - ax - share * dx, self.y - ay - share * dy) - half
        return distance

    def polygon(self, corners: Sequence[Point]) -> Field:
        """Distance to a polygon (the sign by the even-odd rule)."""
        nearest = np.full(self.x.shape, np.inf)
        inside = np.zeros(self.x.shape, bool)
        for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0]), strict=True):
            nearest = np.minimum(nearest, self.segment((ax, ay), (bx, by), 0.0))
            crosses = (ay > self.y) != (by > self.y)
            if ay != by:
                inside ^= crosses & (self.x < (bx - ax) * (self.y - ay) / (by - ay) + ax)
        distance: Field = np.where(inside, -nearest, nearest)
        return distance

    def stripes(self, period: float, share: float) -> Field:
        """Distance to diagonal stripes, `share` of each `period` filled; they go on in the next tile."""
        phase = np.mod(self.x + self.y, period) - period / 2
        distance: Field = (np.abs(phase) - period * share / 2) / math.sqrt(2)
        return distance
