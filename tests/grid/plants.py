"""Builds a grid plant from the keywords that tests vary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nerfbot.course import Course, Task
from nerfbot.course.parser import parse
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.mapping import GridNerf
from nerfbot.grid.menu import Menu
from nerfbot.grid.scoring import coin_shapes, tables_of, terms_of
from nerfbot.grid.windows import WindowBank, schedules_of
from nerfbot.grid.worlds import GridOptions, GridWorlds
from nerfbot.limits import NerfSpec
from nerfbot.powers import Always
from nerfbot.powers.schedule import Window


class Scripted(Always):
    """Grants the same windows in every episode."""

    windows: tuple[Any, ...] = ()

    def _windows(self, rng: Any, horizon: float) -> tuple[Window, ...]:
        return self.windows


def course_of(
    rows: Sequence[str], legend: dict[str, Any] | None = None, task: str = "", **fields: Any
) -> Course:
    """A course of one-metre cells from map rows; `S` starts, `C` is a coin, `#` a wall."""
    import yaml

    data = {
        "name": "test",
        "cell": 1.0,
        "legend": {"#": "wall", "S": {"kind": "start"}, "C": {"kind": "coin"}, **(legend or {})},
        "task": {"goal": {"kind": "coin"}, "horizon": 50.0, **yaml.safe_load(task or "{}")},
        **fields,
    }
    text = yaml.safe_dump(data, sort_keys=False) + "map: |\n" + "".join(f"  {row}\n" for row in rows)
    return parse(text).draw()


def grid(
    courses: Course | Sequence[Course] | str,
    nerf: str | NerfSpec = "none",
    powers: Sequence[str] = (),
    schedule: Any = "never",
    count: int = 1,
    seed: int = 0,
    destinations: Any = "drawn",
    contents: Any = "all",
    levels: int = 16,
    terms: Sequence[Any] = (),
    threads: int | None = None,
    task: Task | None = None,
    **options: Any,
) -> GridWorlds:
    """A plant, reset once."""
    if isinstance(courses, str):
        drawn = LevelSet.draw(courses, levels)
    else:
        drawn = LevelSet.of([courses] if isinstance(courses, Course) else courses)
    task = drawn.courses[0].task if task is None else task
    limits = GridNerf.of(NerfSpec.load(nerf), drawn.cell)
    menu = Menu(powers, drawn.rows, drawn.columns, destinations, contents)
    bank = WindowBank(schedules_of(schedule, menu.axes, menu.edits), task.horizon)
    settings = {
        "horizon": max(1, round(task.horizon / limits.tick)),
        "end_on_goal": task.terminate_on_goal,
        "end_on_proxy": task.terminate_on_proxy,
        **options,
    }
    worlds = GridWorlds(
        drawn,
        limits,
        tables_of([*terms_of(task), *terms], coin_shapes(drawn)),
        menu,
        bank,
        GridOptions(**settings),
        count=count,
        seed=seed,
        threads=threads,
    )
    worlds.reset()
    return worlds
