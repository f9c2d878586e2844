"""The `drawn` and `scatter` lists of a course file: what is put on random cells, and with which looks."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field

from nerfbot.course.course import Cell
from nerfbot.course.document import Document
from nerfbot.course.drawing import Drawn, Placement
from nerfbot.course.elements import ELEMENTS, CourseModel, Element
from nerfbot.course.layout import Grid, check_sharing, read_element
from nerfbot.course.scatter import Scatter
from nerfbot.declared import DataPath, dotted, shown, suggestion

DRAWABLE = ("start", "coin", "decoy", "key", "chest", "block", "fragile")
DRAWN_FIELDS = ("colour", "shape")
"""The properties that may be drawn too."""

ANY = "any"


class Where(CourseModel):
    """Where a drawn element may stand: on the cells of these legend characters, and how many of them."""

    among: Annotated[str, Field(min_length=1)]
    count: Annotated[int, Field(ge=0)] = 1


class Share(CourseModel):
    """How many cells of these legend characters a scattered element takes: a share of them, rounded."""

    among: Annotated[str, Field(min_length=1)]
    share: Annotated[float, Field(ge=0, lt=1)]


def read_drawn(document: Document, grid: Grid) -> tuple[Drawn, ...]:
    """The elements whose cells are drawn; with them the course has exactly one start."""
    result: list[Drawn] = []
    for index, value in enumerate(_entries(document, "drawn")):
        path: DataPath = ("drawn", index)
        entry = _entry(document, grid, value, path)
        for training in (False, True):
            _check_room(document, entry, result, training, path)
        if entry.beside is not None:
            _check_beside(document, grid, entry, result, (*path, "beside"))
        result.append(entry)
    _check_starts(document, grid, result)
    _check_looks(document, grid, result)
    return tuple(result)


def read_scatter(document: Document, grid: Grid, drawn: tuple[Drawn, ...]) -> tuple[Scatter, ...]:
    """The walls that are scattered, with room left for everything that is drawn."""
    result: list[Scatter] = []
    for index, value in enumerate(_entries(document, "scatter")):
        path: DataPath = ("scatter", index)
        item = read_element(document, value, path, extra=("among", "share"))
        if item is None or item.kind != "wall":
            raise document.error(path, "only walls can be scattered")
        given = {key: value[key] for key in ("among", "share") if key in value}
        fields = document.validate(Share, given, path)
        cells = _cells_among(document, grid, item, fields.among, (*path, "among"))
        count = round(fields.share * len(cells))
        held = sum(min(earlier.count, len(set(cells) & set(earlier.cells))) for earlier in result)
        held += max(sum(_most(entry, cells, training) for entry in drawn) for training in (False, True))
        if count + held > len(cells):
            message = f"{count} walls leave no room for what else is drawn among {fields.among!r}"
            raise document.error((*path, "share"), message)
        result.append(Scatter(item, cells, count))
    return tuple(result)


def _entries(document: Document, key: str) -> list[Any]:
    raw = document.data.get(key, [])
    if not isinstance(raw, list):
        raise document.error((key,), f"must be a list of elements, got {shown(raw)}")
    return raw


def _entry(document: Document, grid: Grid, value: Any, path: DataPath) -> Drawn:
    """One entry of `drawn`: the element, its placement in tests, and the one in training."""
    item = read_element(
        document, _without_choices(value), path, extra=("among", "count", "training", "beside")
    )
    if item is None or item.kind not in DRAWABLE:
        raise document.error(path, f"only a {', '.join(DRAWABLE[:-1])} or fragile object can be drawn")
    fields = ("among", "count", *(name for name in DRAWN_FIELDS if name in type(item).model_fields))
    given = {key: value[key] for key in fields if key in value}
    test = training = _placement(document, grid, item, given, path)
    if "training" in value:
        training_path, other = (*path, "training"), value["training"]
        if not isinstance(other, dict):
            raise document.error(training_path, f"must be a mapping, got {shown(other)}")
        document.check_keys(training_path, other, fields)
        training = _placement(document, grid, item, {**given, **other}, training_path)
    beside = value.get("beside")
    if "beside" in value and not isinstance(beside, str):
        raise document.error((*path, "beside"), f"must be the kind of an element, got {shown(beside)}")
    return Drawn(test, training, beside)


def _without_choices(value: Any) -> Any:
    """The entry without looks that are drawn, so that the rest of it is an element like any other."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return value
    model = ELEMENTS.get(value["kind"])
    several = [
        name for name in DRAWN_FIELDS if value.get(name) == ANY or isinstance(value.get(name), list | dict)
    ]
    drawn = [name for name in several if model and name in model.model_fields]
    return {key: given for key, given in value.items() if key not in drawn}


def _placement(
    document: Document, grid: Grid, item: Element, given: dict[str, Any], path: DataPath
) -> Placement:
    where = document.validate(Where, {key: given[key] for key in ("among", "count") if key in given}, path)
    cells = _cells_among(document, grid, item, where.among, (*path, "among"))
    if len(cells) < where.count:
        message = f"{where.count} to be placed but only {len(cells)} free cells among {where.among!r}"
        raise document.error((*path, "among"), message)
    colours, shapes = (_choices(document, item, name, given, path) for name in DRAWN_FIELDS)
    appearances = [[item.model_copy(update={**colour, **shape}) for shape in shapes] for colour in colours]
    return Placement(cells, where.count, tuple(map(tuple, appearances)))


def _cells_among(
    document: Document, grid: Grid, item: Element, among: str, path: DataPath
) -> tuple[Cell, ...]:
    """The cells of these characters that nothing holds, each of which the element may share."""
    for character in among:
        if character not in grid.characters.values():
            raise document.error(path, f"the map has no cell {character!r}")
        held = tuple(other for other in grid.legend[character] if other.layer != "start")
        check_sharing(document, (*held, item), document.place(path), f"{dotted(path)} {character!r}")
    return grid.free_cells(among)


def _choices(
    document: Document, item: Element, name: str, given: dict[str, Any], path: DataPath
) -> list[dict[str, str]]:
    """What a look may be, as updates of the element: a value, a list of them, `any`, or `{not: [...]}`."""
    if name not in type(item).model_fields or name not in given:
        return [{}]
    allowed = get_args(type(item).model_fields[name].annotation)
    # A decoy in the coin's own shape is a choice to write out, not one among any.
    usual = [value for value in allowed if (item.kind, name, value) != ("decoy", "shape", "coin")]
    values, at = given[name], (*path, name)
    if values == ANY:
        values = usual
    elif isinstance(values, dict):
        document.check_keys(at, values, ["not"])
        barred = _known(document, name, values.get("not"), allowed, (*at, "not"))
        values = [value for value in usual if value not in barred]
    elif isinstance(values, str):
        _check_known(document, name, values, allowed, at)
        return [{name: values}]
    return [{name: value} for value in _known(document, name, values, allowed, at)]


def _known(document: Document, name: str, values: Any, allowed: tuple[str, ...], path: DataPath) -> list[str]:
    """The list as it is, if it holds known values, each once, and at least one."""
    if not isinstance(values, list) or not values:
        raise document.error(path, f"must be a {name}, a list of some, `any` or {{not: [...]}}")
    for index, value in enumerate(values):
        _check_known(document, name, value, allowed, (*path, index))
        if value in values[:index]:
            raise document.error((*path, index), f"{value!r} is given twice")
    return values


def _check_known(document: Document, name: str, value: Any, allowed: tuple[str, ...], path: DataPath) -> None:
    if value not in allowed:
        raise document.error(path, f"unknown {name} {value!r}{suggestion(str(value), allowed)}")


def _most(entry: Drawn, cells: tuple[Cell, ...], training: bool) -> int:
    """How many of these cells an entry may take."""
    placement = entry.placement(training)
    return min(placement.count, len(set(cells) & set(placement.cells)))


def _check_room(
    document: Document, entry: Drawn, earlier: list[Drawn], training: bool, path: DataPath
) -> None:
    placement = entry.placement(training)
    taken = sum(_most(other, placement.cells, training) for other in earlier)
    if len(placement.cells) - taken < placement.count:
        raise document.error(path, "an earlier drawn element may leave it no free cell")


def _check_beside(document: Document, grid: Grid, entry: Drawn, earlier: list[Drawn], path: DataPath) -> None:
    """What it stands beside must stand before it is placed, in tests and in training."""
    for training in (False, True):
        kinds = {item.kind for item in grid.elements}
        kinds |= {item.kind for other in earlier for item in other.placement(training).elements}
        if entry.placement(training).count and entry.beside not in kinds:
            when = "training" if training else "tests"
            raise document.error(path, f"no {entry.beside!r} is placed before it in {when}")


def _check_starts(document: Document, grid: Grid, drawn: list[Drawn]) -> None:
    found = any(item.kind == "start" for item in grid.elements)
    for index, entry in enumerate(drawn):
        if entry.test.appearances[0][0].kind == "start":
            path: DataPath = ("drawn", index)
            if found:
                raise document.error(path, "a second start; a course has exactly one")
            if (entry.test.count, entry.training.count) != (1, 1):
                raise document.error(path, "count: a course has exactly one start")
            found = True
    if not found:
        raise document.error(("map",), "no start, and none is drawn; a course has exactly one")


def _check_looks(document: Document, grid: Grid, drawn: list[Drawn]) -> None:
    """No coin and no decoy may look the same: no observation could tell them apart."""
    kinds: dict[tuple[object, object], str] = {}
    named: list[tuple[Element, DataPath]] = [(item, ("legend",)) for item in grid.elements]
    named += [
        (item, ("drawn", index))
        for index, entry in enumerate(drawn)
        for item in (*entry.test.elements, *entry.training.elements)
    ]
    for item, path in named:
        if item.kind in ("coin", "decoy"):
            look = (item.properties["colour"], item.properties["shape"])
            if kinds.setdefault(look, item.kind) != item.kind:
                raise document.error(path, f"a coin and a decoy may both be a {look[0]} {look[1]}")
