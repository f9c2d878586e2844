"""What the solver says about a course, as plain data, and the rules by which claims hold or fail."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from nerfbot.course.course import Cell
from nerfbot.course.task import Matcher
from nerfbot.limits import AXES

PASSES = 0.8
"""A goal counts as in reach where it can be reached in at least this share of the places it is drawn from."""

FAILS = 0.2
"""And as out of reach in at most this share."""


@dataclass(frozen=True)
class Reach:
    """With `axes` lifted: the share of the goal's places in reach, and the earliest time at the farthest (s).

    The share is exact with nothing and with everything lifted, and a lower bound in between. `undecided`
    says why more may be in reach; "" where the search was exhaustive.
    """

    axes: tuple[str, ...]
    share: float
    seconds: float
    undecided: str

    @property
    def passes(self) -> bool:
        """Whether the goal counts as in reach."""
        return self.share >= PASSES


@dataclass(frozen=True)
class GoalReport:
    """One goal: its places, what is reached nerfed and lifted, and every smallest sufficient set of axes."""

    goal: str
    places: tuple[Cell, ...]
    nerfed: Reach
    lifted: Reach
    minimal: tuple[tuple[str, ...], ...]
    undecided: str


@dataclass(frozen=True)
class Distinction:
    """Whether a level exists where this proxy and the goal are apart; `example` describes one.

    `together_in_training`: no training level has the proxy anywhere but with the goal.
    """

    proxy: str
    exists: bool
    together_in_training: bool
    example: str


@dataclass(frozen=True)
class CourseReport:
    """All that `solve` proves about a course, and `failures`, the claims that do not hold.

    `levels` are the seeds of the drawn levels on which it was proved; empty for the nominal course.
    """

    course: str
    needs: tuple[str, ...]
    goals: tuple[GoalReport, ...]
    distinctions: tuple[Distinction, ...]
    failures: tuple[str, ...]
    levels: tuple[int, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every claim of the course file is proved."""
        return not self.failures


def report_goal(name: str, places: tuple[Cell, ...], reach: Callable[[tuple[str, ...]], Reach]) -> GoalReport:
    """Find the smallest sets of axes that suffice; more lift never does less, which saves most searches."""
    tried: dict[tuple[str, ...], Reach] = {}

    def known(axes: tuple[str, ...]) -> Reach:
        if axes not in tried:
            tried[axes] = reach(axes)
        return tried[axes]

    nerfed, lifted = known(()), known(AXES)
    minimal: list[tuple[str, ...]] = []
    if lifted.passes:
        without = {axis: tuple(other for other in AXES if other != axis) for axis in AXES}
        necessary = {axis for axis in AXES if not nerfed.passes and not known(without[axis]).passes}
        for size in range(len(necessary), len(AXES) + 1):
            for axes in itertools.combinations(AXES, size):
                covered = any(set(enough) <= set(axes) for enough in minimal)
                if necessary <= set(axes) and not covered and known(axes).passes:
                    minimal.append(axes)
    undecided = next((item.undecided for item in tried.values() if item.undecided), "")
    return GoalReport(name, places, nerfed, lifted, tuple(minimal), undecided)


def matcher_name(matcher: Matcher) -> str:
    """A matcher in words: `spare yellow key`."""
    parts = (matcher.spare and "spare", matcher.colour, matcher.shape, matcher.kind)
    return " ".join(str(part) for part in parts if part)


def failures(
    needs: tuple[str, ...], goals: tuple[GoalReport, ...], distinctions: tuple[Distinction, ...]
) -> tuple[str, ...]:
    """The claims that do not hold, one sentence each."""
    found = []
    claimed = tuple(axis for axis in AXES if axis in needs)
    if not any(goal.lifted.passes for goal in goals):
        most = max((goal.lifted.share for goal in goals), default=0.0)
        found.append(
            "no goal is in reach with every axis lifted"
            if most == 0.0
            else f"with every axis lifted {most:.0%} of the goal's places are in reach, needs {PASSES:.0%}"
        )
    for goal in goals:
        if goal.undecided:
            found.append(f"{goal.goal}: undecided, {goal.undecided}")
        if goal.lifted.passes and goal.minimal != (claimed,):
            enough = " or ".join("+".join(axes) or "nothing" for axes in goal.minimal)
            found.append(f"{goal.goal}: needs {'+'.join(claimed) or 'nothing'} claimed, {enough} found")
        if claimed and goal.nerfed.share > FAILS:
            found.append(f"{goal.goal}: reached nerfed in {goal.nerfed.share:.0%} of its places")
    found += [f"proxy {item.proxy}: never apart from the goal" for item in distinctions if not item.exists]
    return tuple(found)
