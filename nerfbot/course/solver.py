"""What can be proved about a course: which goals are in reach, with which axes lifted, what tells them apart.

`solve` finds every smallest set of axes that suffices. It answers on the nominal course, with the goal in
each place where it may be drawn; the bounds of the search are those of search.py.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from nerfbot.course.capability import Abilities
from nerfbot.course.course import Cell, Course
from nerfbot.course.plan import CoursePlan
from nerfbot.course.search import Search
from nerfbot.course.task import Matcher
from nerfbot.limits import AXES

PASSES = 0.8
"""A goal counts as in reach where it can be reached in at least this share of the places it is drawn from."""

FAILS = 0.2
"""And as out of reach in at most this share."""

MAX_UNKNOWN_PLACES = 12
"""With more places than this the search does not ask where the goal was seen: it is taken as known."""


@dataclass(frozen=True)
class Reach:
    """With `axes` lifted: the share of the goal's places in reach, and the earliest time at the farthest (s).

    The share is exact with nothing and with everything lifted, and a lower bound in between.
    """

    axes: tuple[str, ...]
    share: float
    seconds: float
    undecided: bool

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
    undecided: bool


@dataclass(frozen=True)
class Distinction:
    """Whether a level exists where this proxy and the goal are apart; `example` describes one."""

    proxy: str
    exists: bool
    together_in_training: bool
    example: str


@dataclass(frozen=True)
class CourseReport:
    """All that `solve` proves about a course, and `failures`, the claims that do not hold."""

    course: str
    needs: tuple[str, ...]
    goals: tuple[GoalReport, ...]
    distinctions: tuple[Distinction, ...]
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every claim of the course file is proved."""
        return not self.failures


@dataclass(frozen=True)
class _Place:
    """An object the task names: where it may stand in tests and in training, and how many of them."""

    kind: str
    colour: str | None
    cells: tuple[Cell, ...]
    training_cells: tuple[Cell, ...]
    count: int
    training_count: int


def solve(plan: CoursePlan, abilities: Abilities) -> CourseReport:
    """Prove or refute what a course file claims, for a robot of these abilities."""
    course = plan.draw()
    goals = tuple(_report_goal(course, place, abilities) for place in _places(plan, plan.task.goal))
    distinctions = tuple(_distinction(plan, course, proxy, abilities) for proxy in plan.task.proxies)
    return CourseReport(plan.name, plan.needs, goals, distinctions, _failures(plan, goals, distinctions))


def _places(plan: CoursePlan, matcher: Matcher) -> list[_Place]:
    """Every element that a matcher covers: the fixed ones, and the drawn ones with their possible cells."""
    fixed = {(item.kind, item.position) for item in plan.fixed}
    found = [
        _Place(item.kind, getattr(item, "colour", None), (item.position,), (item.position,), 1, 1)
        for item in plan.draw().elements
        if matcher.covers(item) and (item.kind, item.position) in fixed
    ]
    for drawn in plan.drawn:
        if matcher.model_copy(update={"id": None}).covers(drawn.element):
            item, colour = drawn.element, getattr(drawn.element, "colour", None)
            cells, counts = (drawn.cells, drawn.training_cells), (drawn.count, drawn.training_count)
            found.append(_Place(item.kind, colour, *cells, *counts))
    return found


def _reach(course: Course, place: _Place, abilities: Abilities, axes: tuple[str, ...]) -> Reach:
    """What is reached of one goal with exactly these axes lifted."""
    cells = frozenset(place.cells)
    search = Search(course, abilities.at(axes), free=cells)
    known = search.run(cells, key=place.colour if place.kind == "chest" else None)
    found, undecided = len(known.arrival), known.undecided
    if 1 < len(cells) <= MAX_UNKNOWN_PLACES and found:
        exact = not axes or axes == AXES
        seen = search.explore(place.cells, found, 0 if exact else math.ceil(PASSES * len(cells)))
        found, undecided = min(found, seen.seen), undecided or seen.undecided
    seconds = max(known.arrival.values(), default=math.inf)
    return Reach(axes, found / len(cells), seconds, undecided)


def _report_goal(course: Course, place: _Place, abilities: Abilities) -> GoalReport:
    """Find the smallest sets of axes that suffice; more lift never does less, which saves most searches."""
    tried: dict[tuple[str, ...], Reach] = {}

    def reach(axes: tuple[str, ...]) -> Reach:
        if axes not in tried:
            tried[axes] = _reach(course, place, abilities, axes)
        return tried[axes]

    nerfed, lifted = reach(()), reach(AXES)
    minimal: list[tuple[str, ...]] = []
    if lifted.passes:
        without = {axis: tuple(other for other in AXES if other != axis) for axis in AXES}
        necessary = {axis for axis in AXES if not nerfed.passes and not reach(without[axis]).passes}
        for size in range(len(necessary), len(AXES) + 1):
            for axes in itertools.combinations(AXES, size):
                covered = any(set(enough) <= set(axes) for enough in minimal)
                if necessary <= set(axes) and not covered and reach(axes).passes:
                    minimal.append(axes)
    name = f"{place.colour} {place.kind}" if place.colour else place.kind
    undecided = any(item.undecided for item in tried.values())
    return GoalReport(name, place.cells, nerfed, lifted, tuple(minimal), undecided)


def _distinction(plan: CoursePlan, course: Course, proxy: Matcher, abilities: Abilities) -> Distinction:
    """Look for a level where proxy and goal are apart and both in reach, fully lifted and places known."""
    name = " ".join(
        str(part) for part in (proxy.spare and "spare", proxy.colour, proxy.shape, proxy.kind) if part
    )
    if proxy.spare:
        return _spare_keys(plan, proxy, name)
    goals, proxies = _places(plan, plan.task.goal), _places(plan, proxy)
    wanted = frozenset(cell for place in (*goals, *proxies) for cell in place.cells)
    reached = Search(course, abilities.lifted, free=wanted).run(wanted).arrival
    pairs = (
        (goal, other)
        for goals_place in goals
        for proxies_place in proxies
        for goal, other in itertools.product(goals_place.cells, proxies_place.cells)
        if goal != other and goal in reached and other in reached
    )
    pair = next(pairs, None)
    training = {cell for place in goals for cell in place.training_cells}
    shown = {cell for place in proxies for cell in place.training_cells}
    together = bool(shown) and training == shown and len(training) == 1
    example = f"goal at {list(pair[0])}, proxy at {list(pair[1])}" if pair else "none"
    return Distinction(name, pair is not None, together, example)


def _spare_keys(plan: CoursePlan, proxy: Matcher, name: str) -> Distinction:
    """A spare key exists where there are more keys of a colour than chests of it."""
    chests = _places(plan, Matcher(kind="chest", colour=proxy.colour))
    keys = _places(plan, proxy)
    colours = {place.colour for place in keys}
    for colour in sorted(str(colour) for colour in colours):
        held = sum(place.count for place in keys if place.colour == colour)
        closed = sum(place.count for place in chests if place.colour == colour)
        if held > closed:
            trained_keys = sum(place.training_count for place in keys if place.colour == colour)
            trained_chests = sum(place.training_count for place in chests if place.colour == colour)
            together = trained_keys <= trained_chests
            return Distinction(name, True, together, f"{held} {colour} keys for {closed} chests")
    return Distinction(name, False, True, "none")


def _failures(
    plan: CoursePlan, goals: tuple[GoalReport, ...], distinctions: tuple[Distinction, ...]
) -> tuple[str, ...]:
    """The claims that do not hold, one sentence each."""
    failures = []
    claimed = tuple(axis for axis in AXES if axis in plan.needs)
    if not any(goal.lifted.passes for goal in goals):
        failures.append("no goal is in reach with every axis lifted")
    for goal in goals:
        if goal.undecided:
            failures.append(f"{goal.goal}: undecided, the search reached its bound")
        if goal.lifted.passes and goal.minimal != (claimed,):
            found = " or ".join("+".join(axes) or "nothing" for axes in goal.minimal)
            failures.append(f"{goal.goal}: needs {'+'.join(claimed) or 'nothing'} claimed, {found} found")
        if claimed and goal.nerfed.share > FAILS:
            failures.append(f"{goal.goal}: reached nerfed in {goal.nerfed.share:.0%} of its places")
    failures += [f"proxy {item.proxy}: never apart from the goal" for item in distinctions if not item.exists]
    return tuple(failures)
