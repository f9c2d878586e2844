"""Earliest arrival on a course for a body of given capability: the search beneath the solver.

The body is a point that moves between cell centres in eight directions, at its full speed and without time
to turn or to accelerate, so what the search cannot do the body cannot do; what it can do, the plants' tests
have to confirm. Fragile objects and no-go zones are avoided, never crossed.
"""

from __future__ import annotations

import copy
import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from nerfbot.course.capability import Capability
from nerfbot.course.course import Cell, Course
from nerfbot.course.elements import STEPS, Block, Chest, Fog, Gate, Interference, Key
from nerfbot.course.passage import Relief, arrival_through

MAX_STATES = 60_000
"""A search that opens more states than this gives up, and says so (`Outcome.undecided`)."""

EASY = 0.1
"""Share of these states within which most targets are reached; beyond it a refutation is tried first."""

BARRED = ("wall", "fragile", "no_go", "decoy", "chest")
DIAGONALS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True)
class State:
    """Where the body is, where the blocks are, which key colours it holds, and which goal places it saw."""

    cell: Cell
    blocks: tuple[Cell, ...]
    keys: frozenset[str] = frozenset()
    observed: int = 0


Look = Callable[[float, State], State]
"""Given a time (s) and a state, the state with what is visible from there added."""

Promising = Callable[[float, State], bool]
"""Whether a state at a time (s) can still lead to what is searched for."""


@dataclass
class Outcome:
    """What a search found: the earliest time (s) at each target cell, and the most places seen in time.

    ``undecided`` says why targets that are not in ``arrival`` may be in reach all the same; "" where the
    search was exhaustive.
    """

    arrival: dict[Cell, float] = field(default_factory=dict)
    observed: int = 0
    undecided: str = ""


class Search:
    """The moves of one body on one course. `free` are cells whose barred object is ignored (the goal's)."""

    def __init__(self, course: Course, able: Capability, free: frozenset[Cell]) -> None:
        self.course, self.able, self.free = course, able, free
        self.deadline = course.task.horizon
        walls = {item.position for item in course.of("wall")}
        self.barred = {item.position for kind in BARRED for item in course.of(kind)} - (free - walls)
        self.locks: dict[Cell, str] = {}
        self.gates = {item.position: item for item in course.elements if isinstance(item, Gate)}
        self.relief = Relief(course, able)
        self.bodies = {item.position for item in course.elements if item.layer == "body"}
        self.keys = {item.position: item.colour for item in course.elements if isinstance(item, Key)}
        self.blocks = [item for item in course.elements if isinstance(item, Block)]
        self._pace: dict[Cell, float] = {}

    def start(self) -> State:
        """The state in which an episode begins."""
        return State(self.course.start_cell, tuple(block.position for block in self.blocks))

    def pace(self, cell: Cell) -> float:
        """Seconds a metre in this cell, commands lost included; infinite where none arrives."""
        if cell not in self._pace:
            arriving = 1.0 - self.able.loss
            for item in self.course.at(*cell):
                if isinstance(item, Interference):
                    arriving *= 1.0 - item.share_lost(self.able.reliability)
            speed = self.able.speed * arriving
            self._pace[cell] = 1.0 / speed if speed > 0.0 else math.inf
        return self._pace[cell]

    def run(self, targets: frozenset[Cell], key: str | None = None) -> Outcome:
        """The earliest arrival at each target cell, holding a key of colour `key` where one is given.

        With movable blocks there may be too many states to open them all. A target is out of reach where it
        is without these blocks, or with any one of them alone; it is searched for by itself, guided by the
        time that it would take without them (A*).
        """
        outcome = Outcome()
        keyed = copy.copy(self)
        if key is not None:
            # A chest that may be reached stands in the way of whoever holds no key to it.
            keyed.locks = {
                item.position: item.colour for item in self.course.elements if isinstance(item, Chest)
            }
        movable = [block for block in self.blocks if block.push <= self.able.push]
        if not movable:
            keyed._reach(targets, key, outcome)
            return outcome
        ignored = Outcome()
        keyed._without(movable)._reach(targets, key, ignored)
        outcome.undecided = ignored.undecided
        for target in sorted(ignored.arrival, key=lambda cell: ignored.arrival[cell]):
            single = keyed._reach_one(target, key, movable)
            outcome.arrival |= single.arrival
            outcome.undecided = outcome.undecided or single.undecided
        return outcome

    def _reach_one(self, target: Cell, key: str | None, movable: list[Block]) -> Outcome:
        """The earliest arrival at one target among movable blocks."""
        remaining = self._remaining(target) if key is None else None

        def attempt(blocks: list[Block], most: float) -> Outcome:
            outcome = Outcome()
            ignored = [block for block in movable if block not in blocks]
            self._without(ignored)._reach(frozenset([target]), key, outcome, remaining, int(most))
            return outcome

        outcome = attempt(movable, EASY * MAX_STATES)
        if outcome.undecided:
            for block in movable:
                alone = attempt([block], EASY * MAX_STATES)
                if not alone.arrival and not alone.undecided:
                    return alone
            outcome = attempt(movable, MAX_STATES)
        return outcome

    def _without(self, movable: list[Block]) -> Search:
        """The same search with these blocks gone: nothing is later or out of reach in it."""
        relaxed = copy.copy(self)
        relaxed.blocks = [block for block in self.blocks if block not in movable]
        return relaxed

    def _reach(
        self,
        targets: frozenset[Cell],
        key: str | None,
        outcome: Outcome,
        remaining: dict[Cell, float] | None = None,
        most: int | None = None,
    ) -> None:
        for now, state in self._in_order(outcome, self.start(), remaining=remaining, most=most):
            if state.cell in targets and (key is None or key in state.keys):
                outcome.arrival.setdefault(state.cell, now)
                if len(outcome.arrival) == len(targets):
                    return

    def explore(self, places: tuple[Cell, ...], enough: int, at_least: int = 0) -> Outcome:
        """How many of `places` a body can have looked at early enough to reach them, on its best way.

        The goal is in one of them and is seen only when in sight; it is enough to see it while there is time
        to drive there (through gates as if open). A block light enough to push is ignored here; `run` answers
        for where it can be pushed. Stops once `enough` are found, and drops every way on which `at_least` can
        no longer be reached, so that a smaller answer means no more than that.
        """
        outcome = Outcome()
        relaxed = self._without(self.blocks)
        relaxed.barred = self.barred | {item.position for item in self.blocks if item.push > self.able.push}
        remaining = [relaxed._remaining(place) for place in places]
        views = Views(self.course, self.able, places)

        def look(now: float, state: State) -> State:
            observed = state.observed
            for index in views.at(state.cell):
                if now + remaining[index].get(state.cell, math.inf) <= self.deadline:
                    observed |= 1 << index
            return State(state.cell, state.blocks, state.keys, observed)

        def promising(now: float, state: State) -> bool:
            left = (
                1 << index
                for index, times in enumerate(remaining)
                if now + times.get(state.cell, math.inf) <= self.deadline
            )
            return (state.observed | sum(left)).bit_count() >= at_least

        for _, state in relaxed._in_order(outcome, relaxed.start(), look, promising if at_least else None):
            outcome.observed = max(outcome.observed, state.observed.bit_count())
            if outcome.observed >= enough:
                break
        return outcome

    def _in_order(
        self,
        outcome: Outcome,
        start: State,
        look: Look | None = None,
        promising: Promising | None = None,
        remaining: dict[Cell, float] | None = None,
        most: int | None = None,
    ) -> Iterator[tuple[float, State]]:
        """Every state at its earliest time, up to the horizon, the soonest first (Dijkstra).

        With ``remaining``, the least time (s) from each cell to a target, the soonest at the target first
        (A*); a state that cannot be there in time is dropped.
        """
        left, most = remaining or {}, MAX_STATES if most is None else most
        absent = 0.0 if remaining is None else math.inf
        count = 0
        start = look(0.0, start) if look else start
        queue: list[tuple[float, int, float, State]] = [(left.get(start.cell, absent), 0, 0.0, start)]
        best = {start: 0.0}
        visited: dict[State, list[int]] = {}
        while queue:
            _, _, now, state = heapq.heappop(queue)
            # Whoever was here earlier and had seen no less can do all that this state can.
            earlier = visited.setdefault(replace(state, observed=0) if look else state, [])
            if any(state.observed | observed == observed for observed in earlier):
                continue
            earlier.append(state.observed)
            yield now, state
            for then, following in self._moves(now, state):
                due = then + left.get(following.cell, absent)
                if due > self.deadline:
                    continue
                reached = look(then, following) if look else following
                if promising and not promising(then, reached):
                    continue
                if then < best.get(reached, math.inf):
                    best[reached] = then
                    count -= 1  # of equals the newest first: it is nearer to a target
                    heapq.heappush(queue, (due, count if remaining else -count, then, reached))
            if len(best) > most:
                blocks = f" and {len(state.blocks)} blocks" if state.blocks else ""
                size = f"{self.course.rows} x {self.course.columns} cells{blocks}"
                outcome.undecided = f"the search gave up after {most} states on {size}"
                return

    def _moves(self, now: float, state: State) -> Iterator[tuple[float, State]]:
        row, column = state.cell
        for direction, (down, right) in STEPS.items():
            target = (row + down, column + right)
            if not self._may_enter(target, state):
                continue
            if self.relief.force(state.cell, direction) > self.able.push:
                continue
            if target in state.blocks:
                yield from self._push(now, state, target, direction)
            else:
                yield self._time_into(now, state.cell, target), self._into(state, target)
        if state.cell in self.relief.ground or state.cell in self.gates:
            return
        for down, right in DIAGONALS:
            corner = ((row + down, column), (row, column + right), (row + down, column + right))
            if all(self._is_open_floor(cell, state) for cell in corner):
                yield now + self._duration(state.cell, corner[2]), self._into(state, corner[2])

    def _may_enter(self, cell: Cell, state: State) -> bool:
        """Whether nothing that stays where it is stands in the way: walls, harm, a lock without its key."""
        locked = cell in self.locks and self.locks[cell] not in state.keys
        return not locked and cell not in self.barred and self.course.inside(*cell)

    def _is_open_floor(self, cell: Cell, state: State) -> bool:
        taken = cell in self.gates or cell in self.relief.ground or cell in state.blocks
        return not taken and self._may_enter(cell, state)

    def _into(self, state: State, cell: Cell) -> State:
        keys = state.keys | {self.keys[cell]} if cell in self.keys else state.keys
        return State(cell, state.blocks, keys, state.observed)

    def _duration(self, here: Cell, there: Cell) -> float:
        distance = math.dist(here, there) * self.course.cell
        return distance * (self.pace(here) + self.pace(there)) / 2.0

    def _time_into(self, now: float, here: Cell, there: Cell) -> float:
        """When a body that leaves ``here`` at ``now`` (s) is at the centre of the next cell, in s."""
        if there not in self.gates:
            return now + self._duration(here, there)
        pace = (self.pace(here) + self.pace(there)) / 2.0
        if math.isinf(pace):
            return math.inf
        return arrival_through(self.gates[there], now, pace, self.course.cell, self.able.body.length)

    def _push(self, now: float, state: State, target: Cell, direction: str) -> Iterator[tuple[float, State]]:
        """Push the block on `target` one cell on, where it may go and the body is strong enough."""
        index = state.blocks.index(target)
        down, right = STEPS[direction]
        beyond = (target[0] + down, target[1] + right)
        standing = self.bodies - {block.position for block in self.blocks} - set(self.keys)
        blocked = beyond in standing or beyond in state.blocks or beyond in self.relief.ground
        if beyond in self.keys:
            blocked = blocked or self.keys[beyond] not in state.keys
        if blocked or not self.course.inside(*beyond) or self.blocks[index].push > self.able.push:
            return
        blocks = (*state.blocks[:index], beyond, *state.blocks[index + 1 :])
        pushed = State(state.cell, blocks, state.keys, state.observed)
        yield now + self._duration(state.cell, target), self._into(pushed, target)

    def _remaining(self, place: Cell) -> dict[Cell, float]:
        """Least driving time in s from every cell to `place`: blocks ignored, slopes flat and gates open."""
        times = {place: 0.0}
        queue = [(0.0, place)]
        while queue:
            time, cell = heapq.heappop(queue)
            if time > times[cell]:
                continue
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    near = (cell[0] + down, cell[1] + right)
                    passable = self.course.inside(*near) and near not in self.barred
                    if down and right:
                        sides = ((near[0], cell[1]), (cell[0], near[1]))
                        passable = passable and not any(side in self.barred for side in sides)
                    then = time + self._duration(cell, near) if passable else math.inf
                    if then < times.get(near, math.inf):
                        times[near] = then
                        heapq.heappush(queue, (then, near))
        return times


class Views:
    """Which places are in sight from each cell: near enough for the sensors and the fog, no wall between."""

    def __init__(self, course: Course, able: Capability, places: tuple[Cell, ...]) -> None:
        self.course, self.able, self.places = course, able, places
        self.walls = {item.position for item in course.of("wall")}
        self.fog = {item.position: item for item in course.elements if isinstance(item, Fog)}
        self._known: dict[Cell, tuple[int, ...]] = {}

    def at(self, cell: Cell) -> tuple[int, ...]:
        """The indices of the places in sight from a cell."""
        if cell not in self._known:
            self._known[cell] = tuple(
                index for index, place in enumerate(self.places) if self._sees(cell, place)
            )
        return self._known[cell]

    def _sees(self, here: Cell, there: Cell) -> bool:
        distance = math.dist(here, there)
        if distance * self.course.cell > self.able.sight:
            return False
        samples = max(1, math.ceil(distance * 8))
        for index in range(samples + 1):
            share = index / samples
            row = round(here[0] + (there[0] - here[0]) * share)
            column = round(here[1] + (there[1] - here[1]) * share)
            if (row, column) in self.walls and 0 < index < samples:
                return False
            fog = self.fog.get((row, column))
            if fog and distance * (1.0 - share) * self.course.cell > self._through(fog):
                return False
        return True

    def _through(self, fog: Fog) -> float:
        """How far a ray still goes once it is in fog, m."""
        return fog.sight(self.able.sight, self.able.sensing)
