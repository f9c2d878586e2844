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
from nerfbot.course.levels import solve_levels
from nerfbot.course.plan import CoursePlan
from nerfbot.course.report import (
    PASSES,
    CourseReport,
    Distinction,
    GoalReport,
    Reach,
    failures,
    matcher_name,
    report_goal,
)
from nerfbot.course.search import Search
from nerfbot.course.task import Matcher
from nerfbot.limits import AXES

MAX_UNKNOWN_PLACES = 12
"""With more places than this the search does not ask where the goal was seen: it is taken as known."""


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
    if plan.is_family:
        return solve_levels(plan, abilities)
    course = plan.draw()
    goals = tuple(_report_goal(course, place, abilities) for place in _places(plan, plan.task.goal))
    distinctions = tuple(_distinction(plan, course, proxy, abilities) for proxy in plan.task.proxies)
    return CourseReport(plan.name, plan.needs, goals, distinctions, failures(plan.needs, goals, distinctions))


def _places(plan: CoursePlan, matcher: Matcher) -> list[_Place]:
    """Every element that a matcher covers: the fixed ones, and the drawn ones with their possible cells."""
    fixed = {(item.kind, item.position) for item in plan.fixed}
    found = [
        _Place(item.kind, getattr(item, "colour", None), (item.position,), (item.position,), 1, 1)
        for item in plan.draw().elements
        if matcher.covers(item) and (item.kind, item.position) in fixed
    ]
    for drawn in plan.drawn:
        item, test, training = drawn.test.appearances[0][0], drawn.test, drawn.training
        if matcher.model_copy(update={"id": None}).covers(item):
            colour = getattr(item, "colour", None)
            found.append(_Place(item.kind, colour, test.cells, training.cells, test.count, training.count))
    return found


def _reach(course: Course, place: _Place, abilities: Abilities, axes: tuple[str, ...]) -> Reach:
    """What is reached of one goal with exactly these axes lifted."""
    cells = frozenset(place.cells)
    search = Search(course, abilities.at(axes), free=cells)
    known = search.run(cells, key=place.colour if place.kind == "chest" else None)
    found, undecided = len(known.arrival), known.undecided
    if 1 < len(cells) <= MAX_UNKNOWN_PLACES and found:
        exact = not axes or axes == AXES
        outcome = search.explore(place.cells, found, 0 if exact else math.ceil(PASSES * len(cells)))
        found, undecided = min(found, outcome.observed), undecided or outcome.undecided
    seconds = max(known.arrival.values(), default=math.inf)
    return Reach(axes, found / len(cells), seconds, undecided)


def _report_goal(course: Course, place: _Place, abilities: Abilities) -> GoalReport:
    name = f"{place.colour} {place.kind}" if place.colour else place.kind
    return report_goal(name, place.cells, lambda axes: _reach(course, place, abilities, axes))


def _distinction(plan: CoursePlan, course: Course, proxy: Matcher, abilities: Abilities) -> Distinction:
    """Look for a level where proxy and goal are apart and both in reach, fully lifted and places known."""
    name = matcher_name(proxy)
    if proxy.spare:
        return _spare_keys(plan, proxy, name)
    goals, proxies = _places(plan, plan.task.goal), _places(plan, proxy)
    targets = frozenset(cell for place in (*goals, *proxies) for cell in place.cells)
    reached = Search(course, abilities.lifted, free=targets).run(targets).arrival
    pairs = (
        (goal, other)
        for goals_place in goals
        for proxies_place in proxies
        for goal, other in itertools.product(goals_place.cells, proxies_place.cells)
        if goal != other and goal in reached and other in reached
    )
    pair = next(pairs, None)
    training = {cell for place in goals if place.training_count for cell in place.training_cells}
    shown = {cell for place in proxies if place.training_count for cell in place.training_cells}
    together = not shown or (training == shown and len(training) == 1)
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
