"""Pictures of the grid as arrays, from the three bytes of each cell.

Tiles are drawn once (`nerfbot.grid.rendering.tiles`) and then only copied; needs NumPy alone.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.grid.codes import AGENT, COLOUR_CODES, KINDS, LIFT_ZONE, STATES, UNSEEN, WALL
from nerfbot.grid.rendering.shapes import EAST, NORTH, SOUTH, WEST
from nerfbot.grid.rendering.symbols import ansi
from nerfbot.grid.rendering.tiles import draw_tile, lift_badge
from nerfbot.limits import AXES

__all__ = ["TILE", "ansi", "rgb"]

TILE = 24
"""Side of a cell in a picture, px."""

SMALLEST = 8
"""The least side of a cell in which its shapes can be recognised, px."""

BADGE_LEVELS = 20
"""Steps in which a lift level is drawn."""

SHADE = np.array([14, 18, 24], np.uint8)
"""Colour added to the halved colours of hidden cells."""

# A tile's key: kind, colour, state, which sides are open, and which of the floor's shades.
_COLOUR, _STATE, _NEAR, _ODD = KINDS, KINDS * COLOUR_CODES, KINDS * COLOUR_CODES * STATES, 1 << 20


def rgb(
    cells: ArrayLike,
    lift: ArrayLike | None = None,
    tile: int = TILE,
    hidden: ArrayLike | None = None,
) -> NDArray[np.uint8]:
    """A picture of one world, or of each of many.

    Args:
        cells: observation bytes, uint8 (rows, columns, 3), or (worlds, rows, columns, 3).
        lift: levels of the four axes, (4,) or (worlds, 4), 0 to 1; while one is above 0 the agent wears a
            ring and four bars in the order of `AXES`.
        tile: side of a cell, px, at least 8.
        hidden: cells to shade, as out of the agent's sight, bool (rows, columns) or with worlds.

    Returns uint8 (rows * tile, columns * tile, 3), or the same for each of many worlds. Raises
    `InvalidCommand` for other shapes, and for bytes that no cell can have.

    """
    if isinstance(tile, bool) or int(tile) != tile or tile < SMALLEST:
        raise InvalidCommand(f"tile: must be a whole number of pixels from {SMALLEST}, got {tile!r}")
    given = _checked(cells)
    many = given[None] if given.ndim == 3 else given
    atlas = _atlas(int(tile))
    pictures = atlas.draw(_keys(many))
    if lift is not None:
        _badge(pictures, many, _checked_lift(lift, len(many)), atlas)
    if hidden is not None:
        shaded = _checked_hidden(hidden, many.shape[:3])
        pictures[shaded] = pictures[shaded] // 2 + SHADE
    worlds, rows, columns = many.shape[:3]
    joined = pictures.swapaxes(2, 3).reshape(worlds, rows * atlas.size, columns * atlas.size, 3)
    return joined[0] if given.ndim == 3 else joined


class _Atlas:
    """The tiles of one size, drawn when they are first needed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.keys = np.empty(0, np.int64)
        self.tiles = np.empty((0, size, size, 3), np.uint8)

    def draw(self, keys: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Tiles of these keys, uint8 (*keys.shape, size, size, 3)."""
        at = self._find(keys)
        if at is None:
            known = set(self.keys.tolist())
            missing = np.array([key for key in np.unique(keys).tolist() if key not in known])
            drawn = np.stack([_tile_of(key, self.size) for key in missing.tolist()])
            merged = np.concatenate([self.keys, missing])
            order = np.argsort(merged)
            self.keys, self.tiles = merged[order], np.concatenate([self.tiles, drawn])[order]
            at = np.searchsorted(self.keys, keys)
        return self.tiles[at]

    def _find(self, keys: NDArray[np.int64]) -> NDArray[np.int64] | None:
        if not len(self.keys):
            return None
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return at if (self.keys[at] == keys).all() else None


@functools.lru_cache(8)
def _atlas(size: int) -> _Atlas:
    return _Atlas(size)


def _tile_of(key: int, size: int) -> NDArray[np.uint8]:
    key, odd = key % _ODD, key >= _ODD
    key, near = key % _NEAR, key // _NEAR
    key, state = key % _STATE, key // _STATE
    return draw_tile(key % _COLOUR, key // _COLOUR, state, near, odd, size)


def _keys(cells: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What each cell's tile depends on, int64 (worlds, rows, columns)."""
    kind, colour, state = (cells[..., part].astype(np.int64) for part in range(3))
    wall = (kind == WALL) | (kind == UNSEEN)
    lifted = (state & LIFT_ZONE) != 0
    near = np.where(kind == WALL, _open_sides(wall, outside=True), 0)
    near |= np.where(lifted & ~wall, _open_sides(lifted, outside=False), 0)
    odd = np.add.outer(np.arange(kind.shape[1]), np.arange(kind.shape[2])) % 2
    return kind + colour * _COLOUR + state * _STATE + near * _NEAR + odd * _ODD


def _open_sides(same: NDArray[np.bool_], outside: bool) -> NDArray[np.int64]:
    """On which sides of each cell the neighbour is not the same, bits."""
    padded = np.pad(same, ((0, 0), (1, 1), (1, 1)), constant_values=outside)
    rows, columns = same.shape[1:]
    bits = np.zeros(same.shape, np.int64)
    for bit, down, right in ((SOUTH, 2, 1), (NORTH, 0, 1), (WEST, 1, 0), (EAST, 1, 2)):
        bits |= np.where(padded[:, down : down + rows, right : right + columns], 0, bit)
    return bits


@functools.lru_cache(4096)
def _badge_of(steps: tuple[int, ...], size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    return lift_badge([step / BADGE_LEVELS for step in steps], size)


def _badge(
    pictures: NDArray[np.uint8], cells: NDArray[np.uint8], lift: NDArray[np.float64], atlas: _Atlas
) -> None:
    """Lay ring and bars over the agents of the worlds in which something is lifted."""
    steps = np.ceil(np.clip(lift, 0.0, 1.0) * BADGE_LEVELS - 1e-9).astype(int)
    worlds, rows, columns = np.nonzero((cells[..., 2] & AGENT) != 0)
    for world, row, column in zip(worlds.tolist(), rows.tolist(), columns.tolist(), strict=True):
        if steps[world].any():
            ink, cover = _badge_of(tuple(steps[world].tolist()), atlas.size)
            below = pictures[world, row, column]
            mixed = below + (ink - below) * cover[..., None]
            pictures[world, row, column] = np.rint(mixed).astype(np.uint8)


def _checked(cells: ArrayLike) -> NDArray[np.uint8]:
    given = np.asarray(cells)
    if given.ndim not in (3, 4) or given.shape[-1] != 3 or given.dtype != np.uint8 or 0 in given.shape:
        raise InvalidCommand(
            "cells: must be uint8 (rows, columns, 3) or (worlds, rows, columns, 3),"
            f" got {given.dtype} {given.shape}"
        )
    for part, name, limit in ((0, "kind", KINDS), (1, "colour", COLOUR_CODES), (2, "state", STATES)):
        greatest = int(given[..., part].max())
        if greatest >= limit:
            raise InvalidCommand(f"cells: a {name} is below {limit}, got {greatest}")
    return given


def _checked_lift(lift: ArrayLike, worlds: int) -> NDArray[np.float64]:
    given = np.asarray(lift, np.float64)
    levels = np.broadcast_to(given, (worlds, len(AXES))) if given.shape == (len(AXES),) else given
    if levels.shape != (worlds, len(AXES)) or not np.isfinite(levels).all():
        raise InvalidCommand(f"lift: must be {len(AXES)} levels from 0 to 1 a world, got {lift!r}")
    return levels


def _checked_hidden(hidden: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    given = np.asarray(hidden)
    if given.dtype != np.bool_ or given.shape not in (shape, shape[1:]):
        raise InvalidCommand(
            f"hidden: must be bool of the shape of the cells, got {given.dtype} {given.shape}"
        )
    return np.broadcast_to(given, shape)
