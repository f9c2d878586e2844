"""The legend and the map of a course file: what stands in every cell, by the rules of sharing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nerfbot.course.course import Cell
from nerfbot.course.document import Document, Place
from nerfbot.course.elements import ELEMENTS, Element
from nerfbot.declared import DataPath, shown, suggestion

FLOOR = "floor"
"""In the legend, the name of bare floor; the character `.` means it without being declared."""


def read_element(
    document: Document, value: Any, path: DataPath, extra: tuple[str, ...] = ()
) -> Element | None:
    """One element as the legend writes it: a kind's name, or a mapping with `kind` and its properties."""
    properties = {"kind": value} if isinstance(value, str) else value
    if not isinstance(properties, dict):
        raise document.error(path, f"must name an element, or be a mapping with its kind, got {shown(value)}")
    if "kind" not in properties:
        raise document.error((*path, "kind"), "is required")
    kind = properties["kind"]
    if kind == FLOOR:
        document.check_keys(path, properties, ["kind", *extra])
        return None
    if not isinstance(kind, str) or kind not in ELEMENTS:
        where = path if isinstance(value, str) else (*path, "kind")
        raise document.error(where, f"unknown element {kind!r}{suggestion(str(kind), [*ELEMENTS, FLOOR])}")
    model = ELEMENTS[kind]
    fields = [name for name, field in model.model_fields.items() if not field.exclude]
    document.check_keys(path, properties, ["kind", *fields, *extra])
    given = {key: item for key, item in properties.items() if key not in ("kind", *extra)}
    return document.validate(model, given, path)


def read_legend(document: Document) -> dict[str, tuple[Element, ...]]:
    """What stands in a cell of each character."""
    raw = document.data["legend"]
    if not isinstance(raw, dict):
        raise document.error(("legend",), f"must be a mapping of character to element, got {shown(raw)}")
    legend: dict[str, tuple[Element, ...]] = {".": ()}
    for character, value in raw.items():
        path: DataPath = ("legend", character)
        if len(character) != 1 or character.isspace():
            message = f"a legend key is one visible character, got {character!r}"
            raise document.error_at(document.key_place(path), message)
        entries = value if isinstance(value, list) else [value]
        paths = [(*path, i) for i in range(len(entries))] if isinstance(value, list) else [path]
        found = [read_element(document, entry, at) for entry, at in zip(entries, paths, strict=True)]
        legend[character] = tuple(item for item in found if item is not None)
        check_sharing(document, legend[character], document.place(path), f"legend.{character}")
    return legend


def check_sharing(document: Document, items: tuple[Element, ...], place: Place, where: str) -> None:
    """One body, one ground and one zone of each kind may share a cell; a start shares with no body."""
    kinds: dict[str, str] = {}
    for item in items:
        slot = item.kind if item.layer == "zone" else "body" if item.layer == "start" else item.layer
        if slot in kinds:
            raise document.error_at(place, f"{where}: {kinds[slot]} and {item.kind} cannot share a cell")
        kinds[slot] = item.kind
    if "wall" in kinds.values() and len(items) > 1:
        raise document.error_at(place, f"{where}: nothing shares a cell with a wall")


@dataclass(frozen=True)
class Grid:
    """The map: the elements that it fixes, the character of each cell, and where the map was written."""

    rows: int
    columns: int
    elements: tuple[Element, ...]
    characters: dict[Cell, str]
    legend: dict[str, tuple[Element, ...]]

    def cells(self, characters: str) -> tuple[Cell, ...]:
        """The cells written with any of these characters, in reading order."""
        return tuple(cell for cell, character in self.characters.items() if character in characters)

    def free_cells(self, characters: str) -> tuple[Cell, ...]:
        """Those of them that hold neither a body nor the start."""
        held = {item.position for item in self.elements if item.layer in ("body", "start")}
        return tuple(cell for cell in self.cells(characters) if cell not in held)


def read_grid(document: Document, legend: dict[str, tuple[Element, ...]]) -> Grid:
    """Read the map; it must be a rectangle of known characters, walled all round, with one start at most."""
    lines = document.literal_lines(("map",))
    columns = len(lines[0][0])
    elements: list[Element] = []
    characters: dict[Cell, str] = {}
    starts = 0
    for row, (line, (line_number, first)) in enumerate(lines):
        for column, character in enumerate(line):
            place = (line_number, first + column)
            if character not in legend:
                known = " ".join(legend)
                raise document.error_at(
                    place, f"map: unknown legend character {character!r} (known: {known})"
                )
            characters[row, column] = character
            for item in legend[character]:
                starts += item.kind == "start"
                if starts > 1:
                    raise document.error_at(place, "map: a second start; a course has exactly one")
                elements.append(item.model_copy(update={"row": row, "column": column}))
        if len(line) != columns:
            end = (line_number, first + min(len(line), columns))
            message = f"map: ragged line of {len(line)} characters where the first has {columns}"
            raise document.error_at(end, message)
    grid = Grid(len(lines), columns, tuple(elements), characters, legend)
    for (row, column), place in _edge(lines):
        if not any(item.kind == "wall" for item in legend[characters[row, column]]):
            raise document.error_at(place, f"map: the edge must be wall, got {characters[row, column]!r}")
    return grid


def _edge(lines: list[tuple[str, Place]]) -> Iterator[tuple[Cell, Place]]:
    """The cells on the rim of the map with their places in the file."""
    for row, (line, (line_number, first)) in enumerate(lines):
        for column in range(len(line)):
            if row in (0, len(lines) - 1) or column in (0, len(line) - 1):
                yield (row, column), (line_number, first + column)
