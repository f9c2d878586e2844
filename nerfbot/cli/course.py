"""`nerfbot course list|show|check`: the catalogue, one course's map, and the proof of what it needs."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nerfbot.course.capability import Abilities
from nerfbot.course.course import Course
from nerfbot.course.parser import catalogue, load_plan
from nerfbot.course.report import CourseReport, GoalReport
from nerfbot.course.solver import solve
from nerfbot.limits.spec import NerfSpec

app = typer.Typer(name="course", help="Obstacle courses: list, show and check them.", no_args_is_help=True)

JSON = typer.Option(False, "--json", help="Print JSON for machines.")
COURSE = typer.Argument(help="A catalogue name or a course file.")

# Drawn in the map in this order: what hides the others comes first.
SYMBOLS = {
    "wall": ("█", "white"),
    "start": ("▶", "bold green"),
    "coin": ("●", "bold yellow"),
    "decoy": ("◆", "magenta"),
    "key": ("⚷", "yellow"),
    "chest": ("▣", "yellow"),
    "block": ("■", "red"),
    "gate": ("╫", "cyan"),
    "fragile": ("▽", "bold white"),
    "no_go": ("×", "red"),
    "marker": ("◎", "green"),
    "ramp": ("/", "blue"),
    "step": ("=", "blue"),
    "interference": ("≈", "magenta"),
    "fog": ("░", "white"),
    "lift_zone": ("·", "cyan"),
}


@app.command("list")
def list_courses(as_json: bool = JSON) -> None:
    """List the catalogue."""
    plans = [load_plan(name) for name in catalogue()]
    if as_json:
        rows = [
            {
                "name": plan.name,
                "title": plan.title,
                "needs": plan.needs,
                "rows": plan.rows,
                "columns": plan.columns,
                "horizon": plan.task.horizon,
            }
            for plan in plans
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
    course: str = COURSE,
    seed: int | None = typer.Option(None, help="Draw from this seed; without it nothing varies."),
    as_json: bool = JSON,
) -> None:
    """Show one course: its map, its elements and its task."""
    built = Course.load(course, seed=seed)
    if as_json:
        print(json.dumps(_course_data(built), indent=2))
        return
    console = Console()
    console.print(f"[bold]{built.name}[/bold]  {built.title}")
    console.print(built.description)
    console.print(_map(built))
    legend = Table("", "element", "number", "properties of the first")
    for kind, (symbol, style) in SYMBOLS.items():
        items = built.of(kind)
        if items:
            given = ", ".join(f"{name} {_plain(value)}" for name, value in items[0].properties.items())
            legend.add_row(Text(symbol, style), kind, str(len(items)), given)
    console.print(legend)
    needs = ", ".join(built.needs) or "nothing"
    console.print(f"needs lifted: {needs}; horizon {built.task.horizon:g} s; cell {built.cell:g} m")


@app.command()
def check(
    course: str = COURSE,
    nerf: str = typer.Option("rover-weak", help="The nerf, a preset or a file, that the claims are about."),
    as_json: bool = JSON,
) -> None:
    """Prove what a course needs. Exit 0 where all its claims hold, 1 where one is refuted or undecided."""
    report = solve(load_plan(course), Abilities.from_spec(NerfSpec.load(nerf)))
    if as_json:
        print(json.dumps(_report_data(report, nerf), indent=2))
    else:
        _print_report(report)
    raise typer.Exit(0 if report.holds else 1)


def _map(course: Course) -> Text:
    """The course as colours and symbols, two characters a cell so that it looks square."""
    text = Text()
    for row in range(course.rows):
        for column in range(course.columns):
            kinds = {item.kind for item in course.at(row, column)}
            symbol, style = next((SYMBOLS[kind] for kind in SYMBOLS if kind in kinds), (" ", ""))
            text.append(symbol * 2 if symbol in "█░" else f"{symbol} ", style)
        text.append("\n")
    return text


def _course_data(course: Course) -> dict[str, Any]:
    return {
        "name": course.name,
        "title": course.title,
        "description": course.description,
        "seed": course.seed,
        "cell": course.cell,
        "rows": course.rows,
        "columns": course.columns,
        "needs": course.needs,
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
        "undecided": goal.undecided,
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
        console.print("no proxy is named: nothing here tells a goal from a proxy")
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
