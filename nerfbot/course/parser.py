"""From the text of a course file to a checked `CoursePlan`, or to one error with file, line and column.

docs/courses.md describes the format. Nothing is returned unless the whole file holds.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from nerfbot.course.course import Action, Cell, Waypoint
from nerfbot.course.document import Document, Path, Place, shown, suggestion
from nerfbot.course.elements import ELEMENTS, Axis, Element
from nerfbot.course.plan import CoursePlan, Drawn, Variation
from nerfbot.course.task import Matcher, Task
from nerfbot.errors import InvalidCourse

FLOOR = "floor"
"""In the legend, the name of bare floor; the character `.` means it without being declared."""

CATALOGUE = pathlib.Path(__file__).parent / "catalogue"

HEAD = ("name", "title", "description", "cell", "needs")
KEYS = (*HEAD, "legend", "drawn", "map", "variation", "task", "route")
REQUIRED = ("name", "legend", "map", "task")


class Head(BaseModel):
    """The plain fields of a course file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str = ""
    description: str = ""
    cell: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 0.5
    needs: Annotated[tuple[Axis, ...], Field(strict=False)] = ()


class Placement(BaseModel):
    """Where a drawn element may stand: on the cells of these legend characters, and how many of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    among: Annotated[str, Field(min_length=1)]
    count: Annotated[int, Field(ge=0)] = 1


def catalogue() -> tuple[str, ...]:
    """The names of the courses that come with nerfbot, sorted."""
    return tuple(sorted(path.stem for path in CATALOGUE.glob("*.yaml")))


def load_plan(course: str | pathlib.Path) -> CoursePlan:
    """The plan of a catalogue name, or of the YAML file at a path.

    Raises `InvalidCourse` where there is no such course, or naming file, line and column where it is wrong.
    """
    names = catalogue()
    if isinstance(course, str) and course in names:
        path = CATALOGUE / f"{course}.yaml"
        source = path.name
    else:
        path = pathlib.Path(course)
        source = str(course)
        if not path.is_file():
            raise InvalidCourse(f"unknown course {str(course)!r}{suggestion(str(course), names)}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCourse(f"{source}: cannot be read: {error}") from None
    return parse(text, source)


def parse(text: str, source: str = "course") -> CoursePlan:
    """The plan that a course file's text describes; `source` names the file in errors.

    Raises `InvalidCourse`, one line that begins `source:line:column:`.
    """
    document = Document(text, source)
    document.check_keys((), document.data, KEYS)
    for key in REQUIRED:
        if key not in document.data:
            raise document.error((), f"{key} is missing")
    head_data = {key: document.data[key] for key in HEAD if key in document.data}
    head = document.validate(Head, head_data, ())
    legend = _legend(document)
    grid = _grid(document, legend)
    task = _task(document, grid)
    drawn = _drawn(document, legend, grid)
    _check_goal(document, task, grid, drawn)
    return CoursePlan(
        name=head.name,
        title=head.title or head.name,
        description=" ".join(head.description.split()),
        cell=head.cell,
        rows=grid.rows,
        columns=grid.columns,
        fixed=grid.elements,
        drawn=drawn,
        groups=grid.characters,
        variation=document.validate(Variation, document.data.get("variation", {}), ("variation",)),
        task=task,
        needs=head.needs,
        route=_route(document, grid),
        placebo_cells=grid.free_cells(task.placebo) if task.placebo else (),
    )


def _element(document: Document, value: Any, path: Path, extra: tuple[str, ...] = ()) -> Element | None:
    """One element as the legend writes it: a kind's name, or a mapping with `kind` and its properties."""
    properties = {"kind": value} if isinstance(value, str) else value
    if not isinstance(properties, dict):
        raise document.error(path, f"must name an element, or be a mapping with its kind, got {shown(value)}")
    if "kind" not in properties:
        raise document.error(path, "kind is missing")
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


def _legend(document: Document) -> dict[str, tuple[Element, ...]]:
    """What stands in a cell of each character."""
    raw = document.data["legend"]
    if not isinstance(raw, dict):
        raise document.error(("legend",), f"must be a mapping of character to element, got {shown(raw)}")
    legend: dict[str, tuple[Element, ...]] = {".": ()}
    for character, value in raw.items():
        path: Path = ("legend", character)
        if len(character) != 1 or character.isspace():
            message = f"a legend key is one visible character, got {character!r}"
            raise document.error_at(document.key_place(path), message)
        entries = value if isinstance(value, list) else [value]
        paths = [(*path, i) for i in range(len(entries))] if isinstance(value, list) else [path]
        found = [_element(document, entry, at) for entry, at in zip(entries, paths, strict=True)]
        legend[character] = tuple(item for item in found if item is not None)
        _check_sharing(document, legend[character], document.place(path), f"legend.{character}")
    return legend


def _check_sharing(document: Document, items: tuple[Element, ...], place: Place, where: str) -> None:
    """One body, one ground and one zone of each kind may share a cell; a start shares with no body."""
    seen: dict[str, str] = {}
    for item in items:
        slot = item.kind if item.layer == "zone" else "body" if item.layer == "start" else item.layer
        if slot in seen:
            raise document.error_at(place, f"{where}: {seen[slot]} and {item.kind} cannot share a cell")
        seen[slot] = item.kind
    if "wall" in seen.values() and len(items) > 1:
        raise document.error_at(place, f"{where}: nothing shares a cell with a wall")


@dataclass(frozen=True)
class Grid:
    """The map: the elements that it fixes, the character of each cell, and where the map was written."""

    rows: int
    columns: int
    elements: tuple[Element, ...]
    characters: dict[Cell, str]

    def cells(self, characters: str) -> tuple[Cell, ...]:
        """The cells written with any of these characters, in reading order."""
        return tuple(cell for cell, character in self.characters.items() if character in characters)

    def free_cells(self, characters: str) -> tuple[Cell, ...]:
        """Those of them that hold neither a body nor the start."""
        held = {item.position for item in self.elements if item.layer in ("body", "start")}
        return tuple(cell for cell in self.cells(characters) if cell not in held)


def _grid(document: Document, legend: dict[str, tuple[Element, ...]]) -> Grid:
    """Read the map; it must be a rectangle of known characters, walled all round, with exactly one start."""
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
    grid = Grid(len(lines), columns, tuple(elements), characters)
    if not starts:
        raise document.error(("map",), "no start; a course has exactly one")
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


def _cells_among(document: Document, grid: Grid, placement: Placement, path: Path) -> tuple[Cell, ...]:
    for character in placement.among:
        if character not in grid.characters.values():
            raise document.error((*path, "among"), f"the map has no cell {character!r}")
    cells = grid.free_cells(placement.among)
    if len(cells) < placement.count:
        message = f"{placement.count} to be placed but only {len(cells)} free cells among {placement.among!r}"
        raise document.error((*path, "among"), message)
    return cells


def _drawn(document: Document, legend: dict[str, tuple[Element, ...]], grid: Grid) -> tuple[Drawn, ...]:
    """The elements whose cells are drawn."""
    raw = document.data.get("drawn", [])
    if not isinstance(raw, list):
        raise document.error(("drawn",), f"must be a list of elements, got {shown(raw)}")
    result: list[Drawn] = []
    for index, value in enumerate(raw):
        path: Path = ("drawn", index)
        item = _element(document, value, path, extra=("among", "count", "training"))
        if item is None or item.layer != "body" or item.kind in ("wall", "gate"):
            raise document.error(path, "only a coin, decoy, key, chest, block or fragile object can be drawn")
        placement = document.validate(
            Placement, {key: value[key] for key in ("among", "count") if key in value}, path
        )
        training, training_path = placement, path
        if "training" in value:
            training_path = (*path, "training")
            given = value["training"]
            inherited = {**placement.model_dump(), **given} if isinstance(given, dict) else given
            training = document.validate(Placement, inherited, training_path)
        cells = _cells_among(document, grid, placement, path)
        training_cells = _cells_among(document, grid, training, training_path)
        for earlier in result:
            shared = len(set(cells) & set(earlier.cells))
            if len(cells) - min(shared, earlier.count) < placement.count:
                raise document.error(path, "an earlier drawn element may leave it no free cell")
        _check_ground(document, item, legend, grid, placement.among + training.among, path)
        result.append(Drawn(item, cells, placement.count, training_cells, training.count))
    return tuple(result)


def _check_ground(
    document: Document,
    item: Element,
    legend: dict[str, tuple[Element, ...]],
    grid: Grid,
    among: str,
    path: Path,
) -> None:
    for character in among:
        if character in grid.characters.values():
            held = tuple(other for other in legend[character] if other.layer != "start")
            _check_sharing(document, (*held, item), document.place(path), f"drawn among {character!r}")


def _task(document: Document, grid: Grid) -> Task:
    task = document.validate(Task, document.data["task"], ("task",))
    if task.placebo and not grid.free_cells(task.placebo):
        raise document.error(("task", "placebo"), f"the map has no free cell {task.placebo!r}")
    return task


def _check_goal(document: Document, task: Task, grid: Grid, drawn: tuple[Drawn, ...]) -> None:
    """Every matcher must cover an element of the course."""
    present = [*grid.elements, *(item.element for item in drawn)]
    named: list[tuple[Matcher, Path]] = [(task.goal, ("task", "goal"))]
    named += [(proxy, ("task", "proxies", index)) for index, proxy in enumerate(task.proxies)]
    for matcher, path in named:
        if matcher.id is None and not any(matcher.covers(item) for item in present):
            raise document.error(path, "no element of the course matches")


def _route(document: Document, grid: Grid) -> tuple[Waypoint, ...]:
    """The waypoints: each `[row, column]` or `[row, column, action]`."""
    raw = document.data.get("route", [])
    if not isinstance(raw, list):
        raise document.error(("route",), f"must be a list of waypoints, got {shown(raw)}")
    route = []
    for index, value in enumerate(raw):
        path: Path = ("route", index)
        if not isinstance(value, list) or len(value) not in (2, 3):
            raise document.error(
                path, f"a waypoint is [row, column] or [row, column, action], got {shown(value)}"
            )
        row, column, action = (*value, "drive")[:3]
        if action not in get_args(Action):
            known = suggestion(str(action), get_args(Action))
            raise document.error((*path, 2), f"unknown action {action!r}{known}")
        if not all(type(item) is int for item in (row, column)) or (row, column) not in grid.characters:
            raise document.error(path, f"no such cell in the map: [{row}, {column}]")
        if any(item.kind == "wall" and item.position == (row, column) for item in grid.elements):
            raise document.error(path, f"the cell [{row}, {column}] is a wall")
        route.append(Waypoint(row, column, action))
    return tuple(route)
