"""Placements: how elements get their cells and appearances from a seed, and the random streams."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nerfbot.course.course import Cell
from nerfbot.course.elements import Element


def stream(seed: int, purpose: str) -> np.random.Generator:
    """An independent generator a purpose, so that drawing one thing more reshuffles no other."""
    return np.random.default_rng([int(seed), zlib.crc32(purpose.encode())])


@functools.lru_cache(maxsize=2**15)
def put(item: Element, cell: Cell, element_id: str = "") -> Element:
    """The element in that cell under that id.

    Elements are immutable, so that levels share them: a family of levels is some thousand different objects.
    """
    return item.model_copy(update={"row": cell[0], "column": cell[1], "id": element_id})


@dataclass(frozen=True)
class Placement:
    """`count` elements on cells drawn from `cells`, each drawn from `appearances` ([colour][shape])."""

    cells: tuple[Cell, ...]
    count: int
    appearances: tuple[tuple[Element, ...], ...]

    @property
    def elements(self) -> tuple[Element, ...]:
        """Everything that may be placed; empty where the count is 0."""
        return tuple(item for shapes in self.appearances for item in shapes) if self.count else ()

    def draw_appearances(self, seed: int | None, name: str) -> list[Element]:
        """What is placed, in the order of placing; without a seed the first appearance each."""
        colours = _choices(len(self.appearances), self.count, seed, f"{name}-colour")
        shapes = _choices(len(self.appearances[0]), self.count, seed, f"{name}-shape")
        return [self.appearances[colour][shape] for colour, shape in zip(colours, shapes, strict=True)]


@dataclass(frozen=True)
class Drawn:
    """An entry of `drawn`: where its element is put in tests, and in training.

    With `beside` it goes next to the first element of that kind, or to the nearest free cell; chance settles
    ties.
    """

    test: Placement
    training: Placement
    beside: str | None = None

    def placement(self, training: bool) -> Placement:
        """The placement for training levels or for tests."""
        return self.training if training else self.test

    def place(
        self, index: int, seed: int | None, training: bool, standing: Iterable[Element], taken: set[Cell]
    ) -> list[Element]:
        """Put the elements on free cells (the first ones without a seed) and mark these taken.

        `index` is the entry's place in the file and names its streams; `standing` is what to stand beside.
        """
        placement = self.placement(training)
        if not placement.count:
            return []
        order = [cell for cell in placement.cells if cell not in taken]
        if seed is not None:
            order = [order[i] for i in stream(seed, f"drawn-{index}").permutation(len(order)).tolist()]
        if self.beside is not None:
            row, column = next(item.position for item in standing if item.kind == self.beside)
            order.sort(key=lambda cell: abs(cell[0] - row) + abs(cell[1] - column))
        selected = order[: placement.count]
        taken.update(selected)
        appearances = placement.draw_appearances(seed, f"drawn-{index}")
        return [put(item, cell) for item, cell in zip(appearances, selected, strict=True)]


def _choices(number: int, count: int, seed: int | None, purpose: str) -> list[int]:
    """`count` indices below `number`; no stream is opened where there is nothing to choose."""
    if number == 1 or seed is None:
        return [0] * count
    selected: list[int] = stream(seed, purpose).integers(number, size=count).tolist()
    return selected
