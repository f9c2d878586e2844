"""Where a lease holds: shapes on the floor as data, in metres, x east and y north.

A shape answers for one point (`holds`, plain floats, for the control loop of one robot) and for arrays
(`contains`); both give the same answer. A point that is NaN or infinite is in no shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PrivateAttr, model_validator

from nerfbot.powers.model import Number, Positive, PowerModel

Index = Annotated[int, Field(strict=True, ge=0)]


class Rectangle(PowerModel):
    """An axis-parallel rectangle, edges included: x and y are [least, greatest] in m."""

    kind: Literal["rectangle"] = "rectangle"
    x: tuple[Number, Number]
    y: tuple[Number, Number]

    @model_validator(mode="after")
    def _ordered(self) -> Rectangle:
        for name, (least, greatest) in (("x", self.x), ("y", self.y)):
            if not least < greatest:
                raise ValueError(f"{name} = [{least}, {greatest}]: the first must be below the second")
        return self

    def holds(self, x: float, y: float) -> bool:
        """Whether the point (x, y), in m, is inside."""
        return self.x[0] <= x <= self.x[1] and self.y[0] <= y <= self.y[1]

    def contains(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Which points (x, y), arrays of one shape in m, are inside; bool of that shape."""
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        return (self.x[0] <= x) & (x <= self.x[1]) & (self.y[0] <= y) & (y <= self.y[1])


class Circle(PowerModel):
    """A disc, rim included: centre (x, y) and radius in m."""

    kind: Literal["circle"] = "circle"
    x: Number
    y: Number
    radius: Positive

    def holds(self, x: float, y: float) -> bool:
        """Whether the point (x, y), in m, is inside."""
        dx, dy = x - self.x, y - self.y
        return dx * dx + dy * dy <= self.radius * self.radius

    def contains(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Which points (x, y), arrays of one shape in m, are inside; bool of that shape."""
        dx = np.asarray(x, dtype=np.float64) - self.x
        dy = np.asarray(y, dtype=np.float64) - self.y
        return dx * dx + dy * dy <= self.radius * self.radius


class Cells(PowerModel):
    """A union of the cells of a map, given as (row, column).

    `cell` is the side of a cell in m and `rows` the map's number of rows. As in a course, row 0 is the
    northernmost, and the centre of a cell lies at x = (column + 0.5) cell, y = (rows - row - 0.5) cell.
    A cell owns its west and south edges, not its east and north ones.
    """

    kind: Literal["cells"] = "cells"
    cell: Positive
    rows: Annotated[int, Field(strict=True, ge=1)]
    cells: Annotated[tuple[tuple[Index, Index], ...], Field(min_length=1)]
    _squares: frozenset[tuple[int, int]] = PrivateAttr()
    _mask: NDArray[np.bool_] = PrivateAttr()

    @model_validator(mode="after")
    def _inside_the_map(self) -> Cells:
        for row, column in self.cells:
            if row >= self.rows:
                raise ValueError(f"cells has [{row}, {column}], but the map has only {self.rows} rows")
        return self

    def model_post_init(self, context: Any, /) -> None:
        """Index the cells by (column from the west, line from the south)."""
        self._squares = frozenset((column, self.rows - 1 - row) for row, column in self.cells)
        self._mask = np.zeros((1 + max(column for column, _ in self._squares), self.rows), dtype=np.bool_)
        for square in self._squares:
            self._mask[square] = True

    def __hash__(self) -> int:
        """Hash by the declared fields only (the index derived from them is an array)."""
        return hash((self.cell, self.rows, self.cells))

    def __eq__(self, other: object) -> bool:
        """Equal when cell, rows and cells are equal."""
        if not isinstance(other, Cells):
            return NotImplemented
        return (self.cell, self.rows, self.cells) == (other.cell, other.rows, other.cells)

    def holds(self, x: float, y: float) -> bool:
        """Whether the point (x, y), in m, is in one of the cells."""
        column, line = x / self.cell, y / self.cell
        if not (math.isfinite(column) and math.isfinite(line)):
            return False
        return (math.floor(column), math.floor(line)) in self._squares

    def contains(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Which points (x, y), arrays of one shape in m, are in one of the cells; bool of that shape."""
        column = np.floor(np.asarray(x, dtype=np.float64) / self.cell)
        line = np.floor(np.asarray(y, dtype=np.float64) / self.cell)
        width, height = self._mask.shape
        # Compared as floats, so that NaN, infinity and far points are out before anything is an index.
        near = (column >= 0) & (column < width) & (line >= 0) & (line < height)
        column, line = np.where(near, column, 0), np.where(near, line, 0)
        return near & self._mask[column.astype(np.intp), line.astype(np.intp)]


Region = Annotated[Rectangle | Circle | Cells, Field(discriminator="kind")]
"""Any of the shapes; in YAML, `kind` says which."""


@dataclass(frozen=True)
class Place:
    """Where a lease holds: inside `region`, and inside one of `zones`; None where that side is free."""

    region: Region | None
    zones: tuple[Region, ...] | None

    def holds(self, x: float, y: float) -> bool:
        """Whether the point (x, y), in m, is in the place."""
        if self.region is not None and not self.region.holds(x, y):
            return False
        return self.zones is None or any(zone.holds(x, y) for zone in self.zones)

    def contains(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the points (x, y), shape (count,) in m, are in the place; bool, shape (count,)."""
        inside = np.ones(x.shape, dtype=np.bool_)
        if self.region is not None:
            inside &= self.region.contains(x, y)
        if self.zones is not None:
            inside &= np.any([zone.contains(x, y) for zone in self.zones], axis=0)
        return inside
