"""From the keywords that users know (course, task, nerf, powers, schedule) to a grid plant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from nerfbot.course import Course, CoursePlan, Task, load_plan
from nerfbot.errors import InvalidCommand, InvalidCourse
from nerfbot.grid.codes import COLOUR_CODES, KEY, MARKED, WALL
from nerfbot.grid.levels import LevelSet, Split
from nerfbot.grid.mapping import GridNerf
from nerfbot.grid.menu import Destinations, Menu
from nerfbot.grid.scoring import ScoreTables, Term, coin_shapes, tables_of, terms_of
from nerfbot.grid.state import GOAL
from nerfbot.grid.windows import WindowBank, schedules_of
from nerfbot.grid.worlds import GridOptions, GridWorlds
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import Schedule
from nerfbot.powers.model import suggest

LONGEST_LEASE = 30.0
"""s that a lease may last in lift zones, as the policy of a robot's lift zones has it."""


@dataclass(frozen=True)
class GridConfig:
    """What describes a grid environment; the fields are the keywords of ``nerfbot/Grid-v0``.

    Args:
        course: a catalogue name, the path of a course file, a `Course`, a plan, or a `LevelSet`.
        task: what is rewarded: a `Task`, a mapping of all of a task's fields, or one without ``goal`` that
            changes fields of the course's own task, as ``{"terminate_on_proxy": True}``.
        nerf: the name of a preset, the path of a specification, a mapping, or a `NerfSpec`.
        powers: axes that are lifted and world edits that may be used while granted.
        schedule: when: a name, a mapping, a `Schedule`, or several.
        reveal_lift: whether observation and mask tell what is granted.
        leases: "anywhere", or "lift-zones" as on a robot.
        destinations: "drawn", "region" or "cell" (see `Menu`).
        contents: what ``rewrite-cell`` may write (see `Menu`).
        levels: how many levels are drawn ahead.
        training: draw them from the training distribution.
        split: only layouts of this split ("train", "validation", "development", "test").
        alpha: share of distinguishing levels among training ones.
        level_seed: where the seeds of the levels begin; windows and nerfs are drawn ahead from it, too.
        in_order: play the levels one after another in place of drawing one.
        rewards: further terms beside the task's own.
        allow: limits that may be left unenforced, by name; None allows what is finer than a cell and a tick.
        device: "cpu" or "cuda".

    """

    course: str | Path | Course | CoursePlan | LevelSet = "coin-in-corner"
    task: Task | Mapping[str, Any] | None = None
    nerf: str | Path | Mapping[str, Any] | NerfSpec = "none"
    powers: Sequence[str] = AXES
    schedule: str | Mapping[str, Any] | Schedule | Sequence[Schedule] = "never"
    reveal_lift: bool = True
    leases: str = "anywhere"
    destinations: Destinations = "drawn"
    contents: str | Sequence[str] = "all"
    levels: int = 256
    training: bool = True
    split: str | None = None
    alpha: float = 0.0
    level_seed: int = 0
    in_order: bool = False
    rewards: Sequence[Term] = ()
    allow: Sequence[str] | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what no part below could name as well."""
        for name in ("reveal_lift", "training", "in_order"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidCommand(f"{name}: must be true or false, got {getattr(self, name)!r}")
        for name, least in (("levels", 1), ("level_seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise InvalidCourse(f"{name}: must be a whole number from {least}, got {value!r}")
        if not isinstance(self.alpha, Real) or not 0.0 <= self.alpha <= 1.0:
            raise InvalidCourse(f"alpha: must be a number from 0 to 1, got {self.alpha!r}")
        if self.leases not in ("anywhere", "lift-zones"):
            raise InvalidCommand(f"leases: must be one of anywhere, lift-zones, got {self.leases!r}")

    def build(self, count: int, seed: int = 0, auto_reset: bool = True) -> GridWorlds:
        """The plant with `count` worlds, reset once. Raises the errors of its parts, one line each."""
        levels = self.draw_levels()
        task = self._task(levels)
        tables = tables_of([*terms_of(task), *self.rewards], coin_shapes(levels))
        _check_reachable(levels, tables)
        nerf = GridNerf.of(self._spec(), levels.cell, allow=self.allow, seed=self.level_seed)
        menu = Menu(self.powers, levels.rows, levels.columns, self.destinations, self.contents)
        bank = WindowBank(schedules_of(self.schedule, menu.axes, menu.edits), task.horizon, self.level_seed)
        keys = bool((levels.cells[:, : 3 * levels.rows * levels.columns : 3] == KEY).any())
        options = GridOptions(
            horizon=max(1, round(task.horizon / nerf.tick)),
            end_on_goal=task.terminate_on_goal,
            end_on_proxy=task.terminate_on_proxy,
            leases=self.leases,
            max_lease=LONGEST_LEASE if self.leases == "lift-zones" else float("inf"),
            reveal=self.reveal_lift,
            keys=keys or any(row.kind == KEY for row in menu.table),
            in_order=self.in_order,
            auto_reset=auto_reset,
        )
        worlds = GridWorlds(levels, nerf, tables, menu, bank, options, count, seed, self.device)
        worlds.reset()
        return worlds

    def draw_levels(self) -> LevelSet:
        """The level set that `course` and its neighbours describe."""
        if isinstance(self.course, LevelSet):
            return self.course
        if isinstance(self.course, Course):
            return LevelSet.of([self.course])
        return LevelSet.draw(
            self.course if isinstance(self.course, CoursePlan) else load_plan(self.course),
            self.levels,
            training=self.training,
            split=_split(self.split),
            alpha=self.alpha,
            first_seed=self.level_seed,
        )

    def _task(self, levels: LevelSet) -> Task:
        own = levels.courses[0].task
        if self.task is None or isinstance(self.task, Task):
            return self.task or own
        if not isinstance(self.task, Mapping):
            raise InvalidCourse(f"task: must be a task or a mapping of its fields, got {self.task!r}")
        given = dict(self.task)
        try:
            return Task.model_validate(given if "goal" in given else {**own.model_dump(), **given})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(("task", *map(str, first["loc"])))
            known = f" (known: {', '.join(Task.model_fields)})" if first["type"] == "extra_forbidden" else ""
            raise InvalidCourse(f"{place}: {first['msg']}, got {first['input']!r}{known}") from None

    def _spec(self) -> NerfSpec:
        return NerfSpec.parse(self.nerf) if isinstance(self.nerf, Mapping) else NerfSpec.load(self.nerf)


def config_of(keywords: Mapping[str, Any]) -> GridConfig:
    """The configuration of an environment's keywords; raises `InvalidCommand` for an unknown one."""
    known = [item.name for item in fields(GridConfig)]
    for name in keywords:
        if name not in known:
            raise InvalidCommand(f"nerfbot/Grid-v0: unknown keyword {name!r}; {suggest(name, known)}")
    return GridConfig(**keywords)


def _split(name: str | None) -> Split | None:
    if name is None:
        return None
    try:
        return Split[name.upper()]
    except KeyError:
        known = ", ".join(split.name.lower() for split in Split)
        raise InvalidCourse(f"split: must be one of {known}, got {name!r}") from None


def reach_of_walls(levels: LevelSet) -> NDArray[np.bool_]:
    """Which cells walls leave in reach of the start, (levels, cells): moves in four directions."""
    shape = (len(levels), levels.rows, levels.columns)
    kinds = levels.cells[:, : 3 * levels.rows * levels.columns : 3].reshape(shape)
    free = kinds != WALL
    reach = np.zeros(shape, np.bool_)
    reach.reshape(len(levels), -1)[np.arange(len(levels)), levels.start] = True
    while True:
        grown = reach.copy()
        grown[:, 1:] |= reach[:, :-1]
        grown[:, :-1] |= reach[:, 1:]
        grown[:, :, 1:] |= reach[:, :, :-1]
        grown[:, :, :-1] |= reach[:, :, 1:]
        grown &= free
        if (grown == reach).all():
            return reach.reshape(len(levels), -1)
        reach = grown


def _check_reachable(levels: LevelSet, tables: ScoreTables) -> None:
    """Raise `InvalidCourse` for the first level without a goal that walls leave in reach."""
    size = 3 * levels.rows * levels.columns
    roles = (tables.touch_role | tables.use_role).reshape(-1)
    seen, ground = (array[:, :size].reshape(len(levels), -1, 3) for array in (levels.cells, levels.bare))

    def goals(cells: NDArray[np.uint8]) -> NDArray[np.bool_]:
        codes = cells[:, :, 0].astype(int) * COLOUR_CODES + cells[:, :, 1]
        return (roles[codes] & GOAL) != 0

    marked = (seen[:, :, 2] & MARKED) != 0
    goal = goals(seen) | (goals(ground) & marked)
    solvable = (goal & reach_of_walls(levels)).any(axis=1)
    if not solvable.all():
        index = int(np.flatnonzero(~solvable)[0])
        course = levels.courses[index]
        drawn = "" if course.seed is None else f" drawn from seed {course.seed}"
        why = "walls shut every goal off" if goal[index].any() else "it has none of the task's goals"
        raise InvalidCourse(f"course {course.name!r}{drawn}: no goal can be reached: {why}")
