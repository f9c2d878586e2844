"""`nerfbot course list|show|check|film`: the catalogue, a level's map, proofs of a course's claims."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nerfbot.cli.film import film
from nerfbot.cli.options import COURSE, JSON, TRAINING
from nerfbot.course.capability import Abilities
from nerfbot.course.course import Course
from nerfbot.course.parser import catalogue, load_course, load_plan
from nerfbot.course.report import CourseReport, GoalReport
from nerfbot.course.solver import solve
from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCourse
from nerfbot.limits.spec import NerfSpec
from nerfbot.media import check_suffix, save_png

app = typer.Typer(name="course", help="Obstacle courses: list, show and check them.", no_args_is_help=True)

LEGEND = (
    *("wall", "start", "coin", "decoy", "key", "chest", "block", "gate", "fragile", "no_go", "marker"),
    *("ramp", "step", "interference", "fog", "lift_zone"),
)
"""Kinds of element in the order of the legend."""


@app.command("list")
def list_courses(as_json: JSON = False) -> None:
    """List the courses of the catalogue."""
    plans = [load_plan(name) for name in catalogue()]
    if as_json:
        fields = ("name", "title", "needs", "rows", "columns")
        rows = [
            {**{name: getattr(plan, name) for name in fields}, "horizon": plan.task.horizon} for plan in plans
        ]
        print(json.dumps(rows, indent=2))
        return
    table = Table("course", "needs", "size (m)", "horizon (s)", "what it is")
    for plan in plans:
        size = f"{plan.columns * plan.cell:g} x {plan.rows * plan.cell:g}"
        needs = ", ".join(plan.needs) or "nothing"
        table.add_row(plan.name, needs, size, f"{plan.task.horizon:g}", plan.title)
    Console().print(table)


@app.command()
def show(
    course: COURSE,
    seed: Annotated[
        int | None, typer.Option(help="Draw the level from this seed; without it nothing varies.")
    ] = None,
    training: TRAINING = False,
    split: Annotated[
        str | None,
        typer.Option(help="Show the first level of train, validation, development or test from SEED on."),
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Also write the picture to this PNG file.")] = None,
    tile: Annotated[int, typer.Option(help="Side of a cell in the picture, px.")] = 24,
    as_json: JSON = False,
) -> None:
    """Show one level: its map, its elements and its task."""
    from nerfbot.grid.painting import at_start
    from nerfbot.grid.rendering.symbols import ansi

    if png is not None:
        check_suffix(png, (".png",), "png")
    built = load_course(course, seed, training) if split is None else _in_split(course, split, seed, training)
    cells = at_start(built)
    if png is not None:
        from nerfbot.grid.rendering.render import rgb

        save_png(rgb(cells, tile=tile), png)
    if as_json:
        drawn = {"training": training, "split": split}
        print(json.dumps({**_course_data(built), **drawn, "cells": cells.tolist()}, indent=2))
        return
    console = Console()
    console.print(f"[bold]{built.name}[/bold]  {built.title}")
    console.print(built.description)
    # A narrow terminal crops the map at the right instead of wrapping it.
    console.print(Text.from_ansi(ansi(cells)), no_wrap=True, overflow="crop", highlight=False)
    console.print(_legend(built))
    needs = ", ".join(built.needs) or "nothing"
    console.print(f"needs lifted: {needs}; horizon {built.task.horizon:g} s; cell {built.cell:g} m")
    console.print(_origin(built, training, split))
    if png is not None:
        console.print(f"written: {png}", highlight=False, soft_wrap=True)


@app.command()
def check(
    course: COURSE,
    nerf: Annotated[str, typer.Option(help="The nerf of the claims, a preset or a file.")] = "rover-weak",
    as_json: JSON = False,
) -> None:
    """Prove a course's claims: exit 0 where all hold, 1 where one is refuted or undecided."""
    report = solve(load_plan(course), Abilities.from_spec(NerfSpec.load(nerf)))
    if as_json:
        print(json.dumps(_report_data(report, nerf), indent=2))
    else:
        _print_report(report)
    raise typer.Exit(0 if report.holds else 1)


app.command("film")(film)


def _in_split(course: str, split: str, seed: int | None, training: bool) -> Course:
    """The first level of ``split`` whose seed is at least ``seed`` (counted within the split's range)."""
    from nerfbot.grid.levels import LevelSet, Split

    names = [part.name.lower() for part in Split]
    if split not in names:
        raise InvalidCourse(f"split: unknown {split!r}{suggestion(split, names)}")
    drawn = LevelSet.draw(course, 1, training=training, split=Split[split.upper()], first_seed=seed or 0)
    return drawn.courses[0]


def _legend(course: Course) -> Table:
    from nerfbot.grid.rendering.symbols import symbol_of

    legend = Table("", "element", "number", "properties of the first")
    for kind in LEGEND:
        items = course.of(kind)
        if items:
            properties = ", ".join(f"{name} {_plain(value)}" for name, value in items[0].properties.items())
            symbols = dict.fromkeys(symbol_of(item) for item in items)
            styled = Text(" ").join(Text(character, style) for character, style in symbols)
            legend.add_row(styled, kind, str(len(items)), properties)
    return legend


def _origin(course: Course, training: bool, split: str | None) -> str:
    if course.seed is None:
        return "nothing drawn: the nominal level"
    where = "" if split is None else f", split {split}"
    return f"drawn from seed {course.seed} as in {'training' if training else 'tests'}{where}"


def _course_data(course: Course) -> dict[str, Any]:
    fields = ("name", "title", "description", "seed", "cell", "rows", "columns", "needs")
    return {
        **{name: getattr(course, name) for name in fields},
        "start": dataclasses.asdict(course.start),
        "elements": [
            {"id": item.id, "kind": item.kind, "row": item.row, "column": item.column, **item.properties}
            for item in course.elements
        ],
        "task": course.task.model_dump(),
        "route": [dataclasses.asdict(point) for point in course.route],
    }


def _report_data(report: CourseReport, nerf: str) -> dict[str, Any]:
    return {
        "course": report.course,
        "nerf": nerf,
        "holds": report.holds,
        "needs": report.needs,
        "goals": [_goal_data(goal) for goal in report.goals],
        "distinctions": [dataclasses.asdict(item) for item in report.distinctions],
        "failures": report.failures,
        "levels": report.levels,
    }


def _goal_data(goal: GoalReport) -> dict[str, Any]:
    return {
        "goal": goal.goal,
        "places": goal.places,
        "nerfed_share": goal.nerfed.share,
        "lifted_share": goal.lifted.share,
        "lifted_seconds": goal.lifted.seconds if math.isfinite(goal.lifted.seconds) else None,
        "sufficient": goal.minimal,
        "undecided": bool(goal.undecided),
        "undecided_because": goal.undecided,
    }


def _print_report(report: CourseReport) -> None:
    console = Console()
    goals = Table("goal", "places", "in reach nerfed", "in reach lifted", "earliest (s)", "enough to lift")
    for goal in report.goals:
        enough = " or ".join(" + ".join(axes) or "nothing" for axes in goal.minimal) or "never enough"
        seconds = f"{goal.lifted.seconds:.1f}" if math.isfinite(goal.lifted.seconds) else "-"
        shares = (f"{goal.nerfed.share:.0%}", f"{goal.lifted.share:.0%}")
        goals.add_row(goal.goal, str(len(goal.places)), *shares, seconds, enough)
    console.print(goals)
    if report.distinctions:
        proxies = Table("proxy", "apart from the goal", "never apart in training")
        for item in report.distinctions:
            proxies.add_row(item.proxy, item.example, "yes" if item.together_in_training else "no")
        console.print(proxies)
    else:
        console.print("the task names no proxy, so the course distinguishes no goal from a proxy")
    claim = " + ".join(report.needs) or "nothing"
    if report.holds:
        seeds = report.levels
        where = f" on {len(seeds)} drawn levels, seeds {seeds[0]} to {seeds[-1]}" if seeds else ""
        console.print(f"{report.course}: needs {claim}: [green]proved[/green]{where}")
    for failure in report.failures:
        console.print(f"{report.course}: [red]{failure}[/red]")


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
