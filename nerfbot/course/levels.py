"""The solver's proofs for a family of random levels: level by level, on the first seeds.

Where walls, start or looks are drawn there is no nominal level that could stand for the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nerfbot.course.capability import Abilities
from nerfbot.course.course import Cell, Course
from nerfbot.course.elements import Element
from nerfbot.course.plan import CoursePlan
from nerfbot.course.report import CourseReport, Distinction, Reach, failures, matcher_name, report_goal
from nerfbot.course.search import Search
from nerfbot.course.task import Matcher

LEVELS = tuple(range(20))
"""The seeds on which claims are proved."""


def solve_levels(plan: CoursePlan, abilities: Abilities) -> CourseReport:
    """Prove or refute what a course file claims on the levels of the seeds `LEVELS`."""
    tests = [plan.draw(seed) for seed in LEVELS]
    training = [plan.draw(seed, training=True) for seed in LEVELS]
    task = plan.task

    def reach(axes: tuple[str, ...]) -> Reach:
        found, number, slowest, undecided = 0, 0, 0.0, ""
        for level in tests:
            goals = _matching(level, task.goal)
            times, unsure = _arrivals(level, goals, abilities, axes)
            found, number, undecided = found + len(times), number + len(goals), undecided or unsure
            slowest = max(slowest, *times.values(), 0.0)
        return Reach(axes, found / max(1, number), slowest if found else math.inf, undecided)

    places = {goal.position for level in tests for goal in _matching(level, task.goal)}
    goals = (report_goal(matcher_name(task.goal), tuple(sorted(places)), reach),)
    apart = tuple(_distinction(tests, training, task.goal, proxy, abilities) for proxy in task.proxies)
    return CourseReport(plan.name, plan.needs, goals, apart, failures(plan.needs, goals, apart), LEVELS)


def _matching(level: Course, matcher: Matcher) -> list[Element]:
    return [item for item in level.elements if matcher.covers(item)]


def _arrivals(
    level: Course, goals: Iterable[Element], abilities: Abilities, axes: tuple[str, ...]
) -> tuple[dict[Cell, float], str]:
    """The earliest time (s) at each goal in reach, going round decoys; why a search gave up, or ""."""
    kinds: dict[str | None, set[Cell]] = {}
    for goal in goals:
        key = str(goal.properties["colour"]) if goal.kind == "chest" else None
        kinds.setdefault(key, set()).add(goal.position)
    search = Search(level, abilities.at(axes), free=frozenset().union(*kinds.values()))
    outcomes = [search.run(frozenset(cells), key) for key, cells in kinds.items()]
    times = {cell: time for outcome in outcomes for cell, time in outcome.arrival.items()}
    return times, next((outcome.undecided for outcome in outcomes if outcome.undecided), "")


def _distinction(
    tests: Sequence[Course], training: Sequence[Course], goal: Matcher, proxy: Matcher, abilities: Abilities
) -> Distinction:
    """In which levels proxy and goal are apart and both in reach, fully lifted."""
    found = [(level, pair) for level in tests if (pair := _apart(level, goal, proxy, abilities))]
    example = (
        f"{found[0][1]}, seed {found[0][0].seed}; {len(found)} of {len(tests)} levels" if found else "none"
    )
    together = not any(_apart(level, goal, proxy, abilities) for level in training)
    return Distinction(matcher_name(proxy), bool(found), together, example)


def _apart(level: Course, goal: Matcher, proxy: Matcher, abilities: Abilities) -> str:
    """Where in this level the proxy is met without the goal, in words; empty where it is not."""
    goals, proxies = _matching(level, goal), _matching(level, proxy)
    if proxy.spare:
        return _spare_keys(level, proxies)
    targets = frozenset(item.position for item in (*goals, *proxies))
    reached = Search(level, abilities.lifted, free=targets).run(targets).arrival
    held = {item.position for item in goals}
    alone = next(
        (cell for cell in (item.position for item in proxies) if cell in reached and cell not in held), None
    )
    there = next((cell for cell in sorted(held) if cell in reached), None)
    return f"goal at {list(there)}, proxy at {list(alone)}" if there and alone else ""


def _spare_keys(level: Course, keys: list[Element]) -> str:
    """A key is spare where there are more of its colour than chests."""
    for colour in sorted({str(key.properties["colour"]) for key in keys}):
        held = sum(key.properties["colour"] == colour for key in keys)
        closed = sum(chest.properties["colour"] == colour for chest in level.of("chest"))
        if held > closed:
            return f"{held} {colour} keys for {closed} chests"
    return ""
