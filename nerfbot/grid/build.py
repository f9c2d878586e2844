"""From the keywords that users know (course, task, nerf, powers, schedule) to a grid plant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course, CoursePlan, Task, load_plan
from nerfbot.declared import suggestion, validate
from nerfbot.errors import InvalidCommand, InvalidCourse, InvalidSpec, LeaseError, NerfbotError
from nerfbot.grid.action_menu import Contents, Destinations, Menu
from nerfbot.grid.codes import COLOUR_CODES, KEY, MARKED, WALL
from nerfbot.grid.grid_nerf import GridNerf
from nerfbot.grid.kernels.state import GOAL
from nerfbot.grid.lease_windows import LeaseWindows, schedules_of
from nerfbot.grid.levels import SEEDS, LevelSet, Split
from nerfbot.grid.scoring import ScoreTables, Term, coin_shapes, tables_of, terms_of
from nerfbot.grid.worlds import GridOptions, GridWorlds
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import Schedule

MOST_LEVELS = 1_000_000
"""The most levels that can be drawn ahead: at about 1 ms each, more would be a mistake."""

LONGEST_LEASE = 30.0
"""How long a lease may last in lift zones, s, as in the policy of a robot's lift zones."""


@dataclass(frozen=True)
class GridConfig:
    """The description of a grid environment; its fields are the keywords of ``nerfbot/Grid-v0``.

    Args:
        course: a catalogue name, the path of a course file, a `Course`, a plan, or a `LevelSet`.
        task: what is rewarded: a `Task`, a mapping of all of a task's fields, or one without ``goal`` that
            changes fields of the course's own task, as ``{"terminate_on_proxy": True}``.
        nerf: the name of a preset, the path of a specification, a mapping, or a `NerfSpec`.
        powers: axes that are lifted and world edits that may be used while granted.
        schedule: when: a name, a mapping, a `Schedule`, or several.
        reveal_lift: whether observation and mask show what is granted.
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
    contents: Contents = "all"
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
        """Check types and ranges; the parts below check names."""
        for name, (is_valid, expected, error) in _FIELDS.items():
            value = getattr(self, name)
            if not is_valid(value):
                raise error(f"{name}: must be {expected}, got {value!r}")

    def build(self, count: int, seed: int = 0, auto_reset: bool = True) -> GridWorlds:
        """The plant with `count` worlds, reset once. Raises the errors of its parts, one line each."""
        levels = self.draw_levels()
        task = self.task_of(levels)
        tables = tables_of([*terms_of(task), *self.rewards], coin_shapes(levels))
        _check_reachable(levels, tables)
        nerf = GridNerf.of(self.spec(), levels.cell, allow=self.allow, seed=self.level_seed)
        menu = Menu(self.powers, levels.rows, levels.columns, self.destinations, self.contents)
        schedules = schedules_of(self.schedule, menu.axes, menu.edits)
        windows = LeaseWindows(schedules, task.horizon, self.level_seed)
        options = GridOptions(
            horizon=max(1, round(task.horizon / nerf.tick)),
            end_on_goal=task.terminate_on_goal,
            end_on_proxy=task.terminate_on_proxy,
            leases=self.leases,
            max_lease=LONGEST_LEASE if self.leases == "lift-zones" else float("inf"),
            reveal=self.reveal_lift,
            keys=counts_keys(levels, menu),
            in_order=self.in_order,
            auto_reset=auto_reset,
        )
        worlds = GridWorlds(levels, nerf, tables, menu, windows, options, count, seed, self.device)
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
            split=None if self.split is None else Split[self.split.upper()],
            alpha=self.alpha,
            first_seed=self.level_seed,
        )

    def task_of(self, levels: LevelSet) -> Task:
        """What is rewarded on these levels. Raises `InvalidCourse` for an invalid task."""
        own = levels.courses[0].task
        if self.task is None or isinstance(self.task, Task):
            return self.task or own
        if not isinstance(self.task, Mapping):
            raise InvalidCourse(f"task: must be a task or a mapping of its fields, got {self.task!r}")
        given = dict(self.task)
        data = given if "goal" in given else {**own.model_dump(), **given}
        return validate(Task, data, "", InvalidCourse, where="task")

    def spec(self) -> NerfSpec:
        """The nerf. Raises `InvalidSpec` for an invalid one."""
        return NerfSpec.parse(self.nerf) if isinstance(self.nerf, Mapping) else NerfSpec.load(self.nerf)


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most


def _is_list(value: Any, kind: type | UnionType = str) -> bool:
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    return listed and all(isinstance(item, kind) for item in value)


_SPLITS = tuple(split.name.lower() for split in Split)
_FLAG = (lambda value: isinstance(value, bool), "true or false", InvalidCommand)
_FIELDS: dict[str, tuple[Callable[[Any], bool], str, type[NerfbotError]]] = {
    "course": (
        lambda value: isinstance(value, str | PathLike | Course | CoursePlan | LevelSet),
        "a name, a path, a course, a plan or a level set",
        InvalidCourse,
    ),
    "nerf": (
        lambda value: isinstance(value, str | PathLike | Mapping | NerfSpec),
        "a name, a path, a mapping or a NerfSpec",
        InvalidSpec,
    ),
    "powers": (lambda value: isinstance(value, str) or _is_list(value), "a list of names", LeaseError),
    "schedule": (
        lambda value: (
            isinstance(value, str | PathLike | Mapping | Schedule)
            or _is_list(value, str | PathLike | Mapping | Schedule)
        ),
        "a name, a path, a mapping, a schedule or a list of these",
        LeaseError,
    ),
    "reveal_lift": _FLAG,
    "leases": (lambda value: value in ("anywhere", "lift-zones"), "anywhere or lift-zones", InvalidCommand),
    "contents": (
        lambda value: isinstance(value, str | Mapping) or (_is_list(value) and len(value) > 0),
        "basic, all, a list of names, or a mapping of colours and shapes",
        LeaseError,
    ),
    "levels": (
        lambda value: _is_whole(value, 1, MOST_LEVELS),
        f"a whole number from 1 to {MOST_LEVELS}",
        InvalidCourse,
    ),
    "training": _FLAG,
    "split": (lambda value: value is None or value in _SPLITS, f"one of {', '.join(_SPLITS)}", InvalidCourse),
    "alpha": (
        lambda value: isinstance(value, Real) and 0.0 <= float(value) <= 1.0,
        "a number from 0 to 1",
        InvalidCourse,
    ),
    "level_seed": (
        lambda value: _is_whole(value, 0, SEEDS - 1),
        f"a whole number from 0 to {SEEDS - 1}",
        InvalidCourse,
    ),
    "in_order": _FLAG,
    "rewards": (
        lambda value: _is_list(value, object) and all(hasattr(item, "write") for item in value),
        "a list of terms, as nerfbot.grid.scoring has them",
        InvalidCourse,
    ),
    "allow": (
        lambda value: value is None or _is_list(value),
        "a list of names, or None",
        InvalidSpec,
    ),
    "device": (lambda value: isinstance(value, str), "cpu or cuda", InvalidCommand),
}
"""For each keyword: whether a value is valid, what would be, and the error for any other."""


def config_of(keywords: Mapping[str, Any]) -> GridConfig:
    """The configuration of an environment's keywords; raises `InvalidCommand` for an unknown one."""
    known = [item.name for item in fields(GridConfig)]
    for name in keywords:
        if name not in known:
            raise InvalidCommand(f"nerfbot/Grid-v0: unknown keyword {name!r}{suggestion(name, known)}")
    return GridConfig(**keywords)


def counts_keys(levels: LevelSet, menu: Menu) -> bool:
    """Whether observations count keys: some level has one, or the menu can write one."""
    cells = levels.cells[:, : 3 * levels.rows * levels.columns : 3]
    return bool((cells == KEY).any()) or any(row.kind == KEY for row in menu.table)


def reach_of_walls(levels: LevelSet) -> NDArray[np.bool_]:
    """Which cells can be reached from the start around walls, bool (levels, cells)."""
    shape = (len(levels), levels.rows, levels.columns)
    kinds = levels.cells[:, : 3 * levels.rows * levels.columns : 3].reshape(shape)
    return reach_from(levels.start, kinds != WALL)


def reach_from(start: NDArray[Any], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which cells can be reached from `start`, cells (N,), over `free` ones, (N, rows, columns): (N, cells).

    The start itself counts, free or not.
    """
    count = len(free)
    reach = np.zeros(free.shape, np.bool_)
    reach.reshape(count, -1)[np.arange(count), start] = True
    while True:
        grown = reach.copy()
        grown[:, 1:] |= reach[:, :-1]
        grown[:, :-1] |= reach[:, 1:]
        grown[:, :, 1:] |= reach[:, :, :-1]
        grown[:, :, :-1] |= reach[:, :, 1:]
        grown &= free | reach
        if (grown == reach).all():
            return reach.reshape(count, -1)
        reach = grown


def _check_reachable(levels: LevelSet, tables: ScoreTables) -> None:
    """Raise `InvalidCourse` for the first level where walls leave no goal in reach."""
    size = 3 * levels.rows * levels.columns
    roles = (tables.touch_role | tables.use_role).reshape(-1)
    seen, ground = (array[:, :size].reshape(len(levels), -1, 3) for array in (levels.cells, levels.ground))

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
