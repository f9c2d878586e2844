"""What the grid counts and rewards, as tables over kinds and colours that small terms fill in.

A term knows one thing (a task's goal, its proxies, a cost of time or of harm) and writes it into the tables;
the kernels read the tables and know no task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nerfbot.course.elements import ELEMENTS
from nerfbot.course.task import Matcher, Task
from nerfbot.errors import InvalidCourse
from nerfbot.grid.codes import (
    BLOCK,
    CHEST,
    COLOUR_CODES,
    COLOURS,
    CORNER_MARK,
    FINISH_PAD,
    FRAGILE,
    KEY,
    KINDS,
    OBJECT,
    SHAPES,
    STATES,
    ZONE_BITS,
)
from nerfbot.grid.kernels.state import GOAL, PROXY, SPARE, VANISHES
from nerfbot.grid.levels import LevelSet

_SOLID = {"block": BLOCK, "fragile": FRAGILE, "key": KEY, "chest": CHEST}
_MARKERS = {"corner": CORNER_MARK, "finish_pad": FINISH_PAD}


@dataclass
class ScoreTables:
    """What contacts mean: roles and rewards by (kind, colour), for touching and for using, and costs.

    `coins` are the shapes that coins have in these levels; every other shape is a decoy's. Using is taking a
    key, opening a chest, entering a marker.
    """

    coins: frozenset[str]
    touch_role: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((KINDS, COLOUR_CODES), np.uint8))
    use_role: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((KINDS, COLOUR_CODES), np.uint8))
    zone_role: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(STATES, np.uint8))
    touch_value: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((KINDS, COLOUR_CODES), np.float32)
    )
    use_value: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((KINDS, COLOUR_CODES), np.float32)
    )
    tick: float = 0.0
    no_go: float = 0.0
    impulse: float = 0.0
    lasting_goals: bool = False

    def __post_init__(self) -> None:
        """Coins and keys are gone once touched."""
        for shape in self.coins:
            self.touch_role[OBJECT + SHAPES.index(shape)] |= VANISHES
        self.touch_role[KEY] |= VANISHES

    def places(self, matcher: Matcher, field_name: str) -> Iterator[tuple[str, int, int]]:
        """Every (table, kind, colour) that a matcher covers. Raises `InvalidCourse` where it covers none."""
        if matcher.id is not None:
            raise InvalidCourse(
                f"{field_name}.id: {matcher.id!r}: the grid tells things apart by kind, colour and shape only"
            )
        known = {"colour": COLOURS, "shape": (*SHAPES, *_MARKERS)}
        for name, names in known.items():
            value = getattr(matcher, name)
            if value not in (None, *names):
                raise InvalidCourse(f"{field_name}.{name}: unknown {value!r} (known: {', '.join(names)})")
        table = "touch" if matcher.event_kind == "touch" else "use"
        kinds = list(self._kinds(matcher))
        if not kinds:
            raise InvalidCourse(f"{field_name}: {_shown(matcher)}: the grid reports no such contact")
        colours = range(COLOUR_CODES) if matcher.colour is None else [1 + COLOURS.index(matcher.colour)]
        for kind in kinds:
            for colour in colours:
                yield table, kind, colour

    def _kinds(self, matcher: Matcher) -> Iterator[int]:
        if matcher.kind in ("coin", "decoy") and matcher.event_kind == "touch":
            for index, shape in enumerate(SHAPES):
                if (shape in self.coins) == (matcher.kind == "coin") and matcher.shape in (None, shape):
                    yield OBJECT + index
        elif matcher.kind == "marker" and matcher.event_kind == "enter":
            yield from (kind for shape, kind in _MARKERS.items() if matcher.shape in (None, shape))
        elif matcher.kind in _SOLID and matcher.event_kind in ("touch", "take", "open"):
            yield _SOLID[matcher.kind]

    def add_role(self, matcher: Matcher, role: int, field_name: str) -> None:
        """Give every contact that a matcher covers a role."""
        zone = ELEMENTS[matcher.kind].layer == "zone"
        if zone and role == GOAL:
            raise InvalidCourse(f"{field_name}: {matcher.kind!r}: a zone cannot be the goal on the grid")
        if zone:
            bit = ZONE_BITS[matcher.kind]
            self.zone_role[[state for state in range(STATES) if state & bit]] |= role
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
    """One thing that is counted or rewarded."""

    def write(self, tables: ScoreTables) -> None:
        """Write it into the tables."""


@dataclass(frozen=True)
class Goal:
    """What is to be reached, and the reward for reaching it."""

    matcher: Matcher
    reward: float = 1.0

    def write(self, tables: ScoreTables) -> None:
        """Mark it as the goal."""
        tables.add_role(self.matcher, GOAL, "task.goal")
        tables.add_value(self.matcher, self.reward, "task.goal")


@dataclass(frozen=True)
class Proxy:
    """What merely goes with reward: counted as a first contact, never rewarded by itself."""

    matcher: Matcher
    index: int = 0

    def write(self, tables: ScoreTables) -> None:
        """Mark it as a proxy; a spare key only where no closed chest waits for it."""
        role = SPARE if self.matcher.spare else PROXY
        tables.add_role(self.matcher, role, f"task.proxies[{self.index}]")


@dataclass(frozen=True)
class Contact:
    """A reward or a cost for a kind of contact, whatever the task says of it (for shaping and ablations)."""

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
    """The shapes of coins. Raises `InvalidCourse` where a decoy has one too: nobody could tell them apart."""
    coins, decoys = {"coin"}, set()
    for course in levels.courses:
        coins |= {str(item.properties["shape"]) for item in course.of("coin")}
        decoys |= {str(item.properties["shape"]) for item in course.of("decoy")}
    if coins & decoys:
        shared = ", ".join(sorted(coins & decoys))
        raise InvalidCourse(
            f"course {levels.courses[0].name!r}: coins and decoys share the shape {shared};"
            " the grid tells them apart by shape"
        )
    return frozenset(coins)


def tables_of(terms: Sequence[Term] | Iterable[Term], coins: frozenset[str]) -> ScoreTables:
    """The tables that these terms write."""
    tables = ScoreTables(coins)
    for term in terms:
        term.write(tables)
    return tables


def _shown(matcher: Matcher) -> str:
    return f"{matcher.event_kind} {matcher.kind}" + (f" of shape {matcher.shape}" if matcher.shape else "")
