"""Roles and rewards of contacts, as tables over kinds and colours.

Terms (a task's goal, its proxies, a cost of time or of harm) write into the tables; the kernels read the
tables and know no task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nerfbot.course.elements import ELEMENTS
from nerfbot.course.task import Matcher, Task
from nerfbot.errors import InvalidCourse
from nerfbot.grid import codes
from nerfbot.grid.kernels.state import GOAL, PROXY, SPARE, VANISHES
from nerfbot.grid.levels import LevelSet

_USABLE = ("block", "fragile", "key", "chest")


class ScoreTables:
    """Roles and rewards by (kind, colour), for touching and for using, and costs.

    Using is taking a key, opening a chest, entering a marker. `coins` are the shapes that coins have in these
    levels; every other shape is a decoy's.
    """

    def __init__(self, coins: frozenset[str]) -> None:
        self.coins = coins
        shape = (codes.KINDS, codes.COLOUR_CODES)
        self.touch_role, self.use_role = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.touch_value, self.use_value = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.zone_role = np.zeros(codes.STATES, np.uint8)
        self.tick = self.no_go = self.impulse = 0.0
        self.lasting_goals = False
        for name in coins:
            self.touch_role[codes.OBJECT + codes.SHAPES.index(name)] |= VANISHES
        self.touch_role[codes.KEY] |= VANISHES

    def places(self, matcher: Matcher, field_name: str) -> Iterator[tuple[str, int, int]]:
        """Every (table, kind, colour) that a matcher covers. Raises `InvalidCourse` where it covers none."""
        if matcher.id is not None:
            raise InvalidCourse(
                f"{field_name}.id: {matcher.id!r}: the grid tells elements apart only by kind, colour, shape"
            )
        known = {"colour": codes.COLOURS, "shape": (*codes.SHAPES, *codes.MARKER_KINDS)}
        for name, names in known.items():
            value = getattr(matcher, name)
            if value not in (None, *names):
                raise InvalidCourse(f"{field_name}.{name}: unknown {value!r} (known: {', '.join(names)})")
        table = "touch" if matcher.event_kind == "touch" else "use"
        kinds = list(self._kinds(matcher))
        if not kinds:
            raise InvalidCourse(f"{field_name}: {_shown(matcher)}: the grid reports no such contact")
        colours = list(range(codes.COLOUR_CODES))
        if matcher.colour is not None:
            colours = [1 + codes.COLOURS.index(matcher.colour)]
        for kind in kinds:
            for colour in colours:
                yield table, kind, colour

    def _kinds(self, matcher: Matcher) -> Iterator[int]:
        if matcher.kind in ("coin", "decoy") and matcher.event_kind == "touch":
            for index, shape in enumerate(codes.SHAPES):
                if (shape in self.coins) == (matcher.kind == "coin") and matcher.shape in (None, shape):
                    yield codes.OBJECT + index
        elif matcher.kind == "marker" and matcher.event_kind == "enter":
            yield from (kind for shape, kind in codes.MARKER_KINDS.items() if matcher.shape in (None, shape))
        elif matcher.kind in _USABLE and matcher.event_kind in ("touch", "take", "open"):
            yield codes.BODY_KINDS[matcher.kind]

    def add_role(self, matcher: Matcher, role: int, field_name: str) -> None:
        """Give every contact that a matcher covers a role."""
        zone = ELEMENTS[matcher.kind].layer == "zone"
        if zone and role == GOAL:
            raise InvalidCourse(f"{field_name}: {matcher.kind!r}: a zone cannot be the goal on the grid")
        if zone:
            bit = codes.ZONE_BITS[matcher.kind]
            self.zone_role[[state for state in range(codes.STATES) if state & bit]] |= role
            return
        for table, kind, colour in self.places(matcher, field_name):
            roles = self.touch_role if table == "touch" else self.use_role
            roles[kind, colour] |= role
            stays = table == "touch" and not roles[kind, colour] & VANISHES
            if role == GOAL and (stays or matcher.kind == "marker"):
                self.lasting_goals = True

    def add_value(self, matcher: Matcher, value: float, field_name: str) -> None:
        """Reward every contact that a matcher covers; a goal's only the first time."""
        for table, kind, colour in self.places(matcher, field_name):
            values = self.touch_value if table == "touch" else self.use_value
            values[kind, colour] += value


class Term(Protocol):
    """Something that is counted or rewarded."""

    def write(self, tables: ScoreTables) -> None:
        """Write it into the tables."""


@dataclass(frozen=True)
class Goal:
    """The goal, and the reward for reaching it."""

    matcher: Matcher
    reward: float = 1.0

    def write(self, tables: ScoreTables) -> None:
        """Mark it as the goal."""
        tables.add_role(self.matcher, GOAL, "task.goal")
        tables.add_value(self.matcher, self.reward, "task.goal")


@dataclass(frozen=True)
class Proxy:
    """What goes with reward in training: counted as a first contact, never rewarded."""

    matcher: Matcher
    index: int = 0

    def write(self, tables: ScoreTables) -> None:
        """Mark it as a proxy; a spare key only where no closed chest waits for it."""
        role = SPARE if self.matcher.spare else PROXY
        tables.add_role(self.matcher, role, f"task.proxies[{self.index}]")


@dataclass(frozen=True)
class Contact:
    """A reward or a cost for a kind of contact beside the task (for shaping and ablations)."""

    matcher: Matcher
    reward: float

    def write(self, tables: ScoreTables) -> None:
        """Add the reward."""
        tables.add_value(self.matcher, self.reward, "rewards.contact")


@dataclass(frozen=True)
class TimeCost:
    """A cost for every tick."""

    cost: float

    def write(self, tables: ScoreTables) -> None:
        """Add the cost."""
        tables.tick -= self.cost


@dataclass(frozen=True)
class HarmCost:
    """Costs of harm: for each second in a no-go zone, and for each N·s of a harmful blow."""

    no_go: float = 0.0
    impulse: float = 0.0

    def write(self, tables: ScoreTables) -> None:
        """Add the costs."""
        tables.no_go -= self.no_go
        tables.impulse -= self.impulse


def terms_of(task: Task) -> tuple[Term, ...]:
    """The terms that a course's task stands for."""
    proxies = (Proxy(matcher, index) for index, matcher in enumerate(task.proxies))
    return Goal(task.goal, task.reward), *proxies


def coin_shapes(levels: LevelSet) -> frozenset[str]:
    """The shapes of coins. Raises `InvalidCourse` where a decoy has one, too: both would look the same."""
    coins, decoys = {"coin"}, set()
    for course in levels.courses:
        coins |= {str(item.properties["shape"]) for item in course.of("coin")}
        decoys |= {str(item.properties["shape"]) for item in course.of("decoy")}
    if coins & decoys:
        shared = ", ".join(sorted(coins & decoys))
        raise InvalidCourse(
            f"course {levels.courses[0].name!r}: coins and decoys share the shape {shared};"
            " the grid distinguishes them by shape"
        )
    return frozenset(coins)


def tables_of(terms: Iterable[Term], coins: frozenset[str]) -> ScoreTables:
    """The tables that these terms write."""
    tables = ScoreTables(coins)
    for term in terms:
        term.write(tables)
    return tables


def _shown(matcher: Matcher) -> str:
    return f"{matcher.event_kind} {matcher.kind}" + (f" of shape {matcher.shape}" if matcher.shape else "")
