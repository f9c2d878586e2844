"""The windows in which powers are granted, drawn ahead from the same schedules that every plant uses.

The windows of many episodes are arrays; a reset picks one of their rows, as it picks a level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nerfbot.errors import LeaseError
from nerfbot.limits import AXES
from nerfbot.powers import EDITS, Always, LeasePolicy, Never, Occasional, Schedule, load_schedule
from nerfbot.powers.adaptive import Stepped
from nerfbot.powers.region import Region
from nerfbot.powers.schedule import Window

PLANS = 2048
"""Episodes whose windows are drawn ahead, unless all episodes have the same."""

GENERATIONS = 8
"""How often adaptive schedules can draw anew while episodes with earlier windows still run."""


def schedules_of(
    source: str | Mapping[str, Any] | Schedule | Sequence[Schedule],
    axes: tuple[str, ...],
    edits: tuple[str, ...],
) -> tuple[Schedule, ...]:
    """A source as schedules: several as they are, one as a schedule for a menu's lifts and one for its edits.

    Raises `LeaseError` for an invalid schedule, and for one that grants an edit that is not on the menu.
    """
    if isinstance(source, Sequence) and not isinstance(source, str):
        schedules = tuple(load_schedule(item) for item in source)
    else:
        base = load_schedule(source)
        explicit = isinstance(source, Schedule) or (
            isinstance(source, Mapping) and ("axes" in source or "edits" in source)
        )
        schedules = (base,) if explicit else tuple(_split(base, axes, edits))
    for schedule in schedules:
        for name in schedule.edits:
            if name not in edits:
                raise LeaseError(f"schedule.edits: {name!r} is not among powers = {[*axes, *edits]}")
    return schedules


def _split(base: Schedule, axes: tuple[str, ...], edits: tuple[str, ...]) -> Iterator[Schedule]:
    """`base` for the axes of a menu and `base` for its edits, if it has any."""
    if axes:
        yield base.model_copy(update={"axes": dict.fromkeys(axes, 1.0), "edits": ()})
    if edits and isinstance(base, Stepped):
        raise LeaseError(
            f"schedule {base.kind}: adapts levels, and the edits {', '.join(edits)} have none:"
            " give a list of schedules, one of them for the edits"
        )
    if edits:
        yield base.model_copy(update={"axes": {}, "edits": edits})


class LeaseWindows:
    """The windows of many episodes: `plans` rows of `per_episode` windows, in the order of their start.

    Raises `LeaseError` where an episode has more windows than a robot may hold leases.
    """

    def __init__(self, schedules: tuple[Schedule, ...], horizon: float, seed: int = 0) -> None:
        self.schedules, self.horizon, self.seed = schedules, horizon, seed
        regions = {schedule.region for schedule in schedules}
        if len(regions) > 1:
            raise LeaseError("schedule.region: the schedules of one grid must share their region")
        self.region: Region | None = next(iter(regions), None)
        self.per_episode = 0
        self.draw()

    def draw(self) -> None:
        """Draw all windows anew, from what adaptive schedules have learned by now."""
        rng = np.random.default_rng([self.seed, 0x11F7])
        fixed = all(isinstance(schedule, Never | Always | Stepped) for schedule in self.schedules)
        episodes = [self._episode(rng) for _ in range(1 if fixed else PLANS)]
        self.plans = len(episodes)
        granting = [schedule for schedule in self.schedules if schedule.kind != "never"]
        most, limit = max(len(granting), *map(len, episodes)), LeasePolicy().max_leases
        if most > limit:
            raise LeaseError(f"schedule: an episode has {most} windows; a robot may hold {limit} leases")
        # The arrays that kernels read must not change their shape.
        self.per_episode = max(most, self.per_episode)
        shape = (self.plans, self.per_episode)
        self.start = np.full(shape, math.inf)
        self.length, self.ramp = np.ones(shape), np.zeros(shape)
        self.level = np.zeros((*shape, len(AXES)))
        self.axes, self.edits = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.charges = np.full(shape, -1, np.int32)
        for plan, windows in enumerate(episodes):
            for column, window in enumerate(windows):
                at = plan, column
                self.start[at], self.length[at], self.ramp[at] = window.start, window.duration, window.ramp
                for axis, level in window.axes.items():
                    self.level[(*at, AXES.index(axis))] = level
                    self.axes[at] |= 1 << AXES.index(axis)
                for edit in window.edits:
                    self.edits[at] |= 1 << EDITS.index(edit)
                if window.charges is not None:
                    self.charges[at] = window.charges

    @property
    def adapts(self) -> bool:
        """Whether some schedule learns from how episodes go."""
        return any(not isinstance(schedule, Never | Always | Occasional) for schedule in self.schedules)

    @property
    def generations(self) -> int:
        """How many draws the device stores."""
        return GENERATIONS if self.adapts else 1

    def report(self, success: bool, harm: float, levels: Sequence[float]) -> None:
        """Report an episode to every schedule: harm in its unit, the highest lift levels by axis."""
        for schedule in self.schedules:
            schedule.report(success, harm, levels)

    @property
    def learned(self) -> tuple[float | str, ...]:
        """What the adaptive schedules have learned; windows drawn from anything else are out of date."""
        return tuple(
            schedule.level if isinstance(schedule, Stepped) else repr(schedule.state())
            for schedule in self.schedules
        )

    def _episode(self, rng: np.random.Generator) -> list[Window]:
        windows = [window for schedule in self.schedules for window in schedule.plan(rng, self.horizon)]
        return sorted(windows, key=lambda window: window.start)
