"""Builds a grid plant from the keywords that tests vary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nerfbot.course import Course, Task
from nerfbot.course.parser import parse
from nerfbot.grid.action_menu import Menu
from nerfbot.grid.grid_nerf import GridNerf
from nerfbot.grid.lease_windows import LeaseWindows, schedules_of
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.scoring import coin_shapes, tables_of, terms_of
from nerfbot.grid.worlds import GridOptions, GridWorlds
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import Always
from nerfbot.powers.schedule import Window


class Scripted(Always):
    """Grants the same windows in every episode."""

    windows: tuple[Any, ...] = ()

    def _windows(self, rng: Any, horizon: float) -> tuple[Window, ...]:
        return self.windows


def window(
    *powers: str, start: float = 0.0, duration: float = 100.0, level: float = 1.0, **more: Any
) -> Window:
    """A window on axes, lifted to `level`, or on edits."""
    axes = {power: level for power in powers if power in AXES}
    return Window(start, duration, axes, tuple(power for power in powers if power not in AXES), **more)


def scripted(*windows: Window, region: Any = None) -> list[Scripted]:
    """The schedule that grants these windows in every episode."""
    return [Scripted(windows=windows, axes={"speed": 1.0}, region=region)]


def spec_of(command: Any = None, sensors: Any = None, **drive: Any) -> NerfSpec:
    """A specification from the limits of its drive, link and sensors."""
    given = {
        "name": "test",
        "channels": {"linear.x": drive},
        "command": command or {},
        "sensors": sensors or {},
    }
    return NerfSpec.parse(given)


def play(worlds: GridWorlds, *actions: int) -> list[tuple[int, int]]:
    """Do the same actions in all worlds; the cell of the first one's agent after each, (row, column)."""
    cells = []
    for action in actions:
        worlds.step(np.full(worlds.count, action))
        row, column = divmod(int(worlds.cell[0]), worlds.levels.columns)
        cells.append((row, column))
    return cells


def action_named(worlds: GridWorlds, name: str) -> int:
    """The number of the action of that name."""
    return worlds.menu.action_table.index(name)


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
    bank = LeaseWindows(schedules_of(schedule, menu.axes, menu.edits), task.horizon)
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
