"""From the text of a course file to a checked `CoursePlan`, or to one error with file, line and column.

docs/courses.md describes the format. Nothing is returned unless the whole file holds.
"""

from __future__ import annotations

import pathlib
from typing import Annotated, get_args

from pydantic import Field

from nerfbot.course.course import Action, Course, Waypoint
from nerfbot.course.document import Document
from nerfbot.course.drawing import Drawn
from nerfbot.course.elements import Axis, CourseModel
from nerfbot.course.layout import Grid, read_grid, read_legend
from nerfbot.course.placements import read_drawn, read_scatter
from nerfbot.course.plan import CoursePlan, Variation
from nerfbot.course.scatter import Scatter
from nerfbot.course.task import Matcher, Task
from nerfbot.declared import DataPath, shown, suggestion
from nerfbot.errors import InvalidCourse
from nerfbot.files import read_text

CATALOGUE = pathlib.Path(__file__).parent / "catalogue"

HEAD = ("name", "title", "description", "cell", "needs")
KEYS = (*HEAD, "legend", "drawn", "scatter", "map", "variation", "task", "route")
REQUIRED = ("name", "legend", "map", "task")


class Head(CourseModel):
    """The plain fields of a course file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str = ""
    description: str = ""
    cell: Annotated[float, Field(gt=0, le=10)] = 0.5
    needs: Annotated[tuple[Axis, ...], Field(strict=False)] = ()


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
    return parse(read_text(path, InvalidCourse), source)


def load_course(course: str | pathlib.Path, seed: int | None = None, training: bool = False) -> Course:
    """The course of that catalogue name or YAML path, drawn from `seed`.

    Without a seed nothing varies. With `training` the drawn elements come from the training cells.
    Raises `InvalidCourse` for an unknown name, a file that cannot be used or a negative seed.
    """
    return load_plan(course).draw(seed=seed, training=training)


def parse(text: str, source: str = "course") -> CoursePlan:
    """The plan that a course file's text describes; `source` names the file in errors.

    Raises `InvalidCourse`, one line that begins `source:line:column:`.
    """
    document = Document(text, source)
    document.check_keys((), document.data, KEYS)
    for key in REQUIRED:
        if key not in document.data:
            raise document.error((key,), "is required")
    head_data = {key: document.data[key] for key in HEAD if key in document.data}
    head = document.validate(Head, head_data, ())
    grid = read_grid(document, read_legend(document))
    task = _task(document, grid)
    drawn = read_drawn(document, grid)
    scatter = read_scatter(document, grid, drawn)
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
        route=_route(document, grid, scatter),
        placebo_cells=grid.free_cells(task.placebo) if task.placebo else (),
        scatter=scatter,
    )


def _task(document: Document, grid: Grid) -> Task:
    task = document.validate(Task, document.data["task"], ("task",))
    if task.placebo and not grid.free_cells(task.placebo):
        raise document.error(("task", "placebo"), f"the map has no free cell {task.placebo!r}")
    return task


def _check_goal(document: Document, task: Task, grid: Grid, drawn: tuple[Drawn, ...]) -> None:
    """Every matcher must cover an element of the course."""
    present = list(grid.elements)
    for entry in drawn:
        present += [*entry.test.elements, *entry.training.elements]
    named: list[tuple[Matcher, DataPath]] = [(task.goal, ("task", "goal"))]
    named += [(proxy, ("task", "proxies", index)) for index, proxy in enumerate(task.proxies)]
    for matcher, path in named:
        if matcher.id is None and not any(matcher.covers(item) for item in present):
            raise document.error(path, "no element of the course matches")


def _route(document: Document, grid: Grid, scatter: tuple[Scatter, ...]) -> tuple[Waypoint, ...]:
    """The waypoints: each `[row, column]` or `[row, column, action]`."""
    raw = document.data.get("route", [])
    if not isinstance(raw, list):
        raise document.error(("route",), f"must be a list of waypoints, got {shown(raw)}")
    route = []
    for index, value in enumerate(raw):
        path: DataPath = ("route", index)
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
        if any((row, column) in entry.cells for entry in scatter):
            raise document.error(path, f"a wall may be scattered onto the cell [{row}, {column}]")
        route.append(Waypoint(row, column, action))
    return tuple(route)
