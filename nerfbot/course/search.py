"""Earliest arrival on a course for a body of given capability: the search beneath the solver.

The body is a point that moves between cell centres in eight directions, at its full speed and without time
to turn or to accelerate, so what the search cannot do the body cannot do; what it can do, the plants' tests
have to confirm. Fragile objects and no-go zones are gone round, never through.
"""

from __future__ import annotations

import copy
import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from nerfbot.course.capability import Capability
from nerfbot.course.course import Cell, Course
from nerfbot.course.elements import STEPS, Block, Chest, Fog, Gate, Interference, Key, Ramp, Step

MAX_STATES = 150_000
"""A search that opens more states than this gives up, and says so (`Outcome.undecided`)."""

BARRED = ("wall", "fragile", "no_go", "decoy", "chest")
OPPOSITE = {"east": "west", "west": "east", "north": "south", "south": "north"}
DIAGONALS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True)
class State:
    """Where the body is, where the blocks are, which key colours it holds, which goal places it has seen."""

    cell: Cell
    blocks: tuple[Cell, ...]
    keys: frozenset[str] = frozenset()
    seen: int = 0


Look = Callable[[float, State], State]
"""Given a time (s) and a state, the state with what is seen from there."""

Hope = Callable[[float, State], bool]
"""Whether going on from a state at a time (s) can still serve."""


@dataclass
class Outcome:
    """What a search found: the earliest time (s) at each wanted cell, and the most places seen in time."""

    arrival: dict[Cell, float] = field(default_factory=dict)
    seen: int = 0
    undecided: bool = False


class Search:
    """The moves of one body on one course. `free` are cells whose barred object is ignored (the goal's)."""

    def __init__(self, course: Course, able: Capability, free: frozenset[Cell]) -> None:
        self.course, self.able, self.free = course, able, free
        self.deadline = course.task.horizon
        self.walls = {item.position for item in course.of("wall")}
        self.barred = {item.position for kind in BARRED for item in course.of(kind)} - (free - self.walls)
        self.locks: dict[Cell, str] = {}
        self.gates = {item.position: item for item in course.elements if isinstance(item, Gate)}
        self.ground = {item.position: item for item in course.elements if isinstance(item, Ramp | Step)}
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
            kept = 1.0 - self.able.loss
            for item in self.course.at(*cell):
                if isinstance(item, Interference):
                    kept *= 1.0 - item.share_lost(self.able.reliability)
            speed = self.able.speed * kept
            self._pace[cell] = 1.0 / speed if speed > 0.0 else math.inf
        return self._pace[cell]

    def run(self, wanted: frozenset[Cell], key: str | None = None) -> Outcome:
        """The earliest arrival at each wanted cell, holding a key of colour `key` where one is given."""
        outcome = Outcome()
        keyed = copy.copy(self)
        if key is not None:
            # A chest that may be reached stands in the way of whoever holds no key to it.
            keyed.locks = {
                item.position: item.colour for item in self.course.elements if isinstance(item, Chest)
            }
        for now, state in keyed._in_order(outcome, self.start()):
            if state.cell in wanted and (key is None or key in state.keys):
                outcome.arrival.setdefault(state.cell, now)
                if len(outcome.arrival) == len(wanted):
                    break
        return outcome

    def explore(self, places: tuple[Cell, ...], enough: int, at_least: int = 0) -> Outcome:
        """How many of `places` a body can have looked at early enough to reach them, on its best way.

        The goal is in one of them and is seen only when in sight; it is enough to see it while there is time
        to drive there (through gates as if open). A block light enough to push stands in nobody's way here;
        `run` answers for where it can be pushed. Stops once `enough` are found, and drops every way on which
        `at_least` can no longer be, so that a smaller answer means no more than that.
        """
        outcome = Outcome()
        relaxed = copy.copy(self)
        relaxed.barred = self.barred | {item.position for item in self.blocks if item.push > self.able.push}
        relaxed.blocks = []
        remaining = [relaxed._remaining(place) for place in places]
        views = _Views(self.course, self.able, places)

        def look(now: float, state: State) -> State:
            seen = state.seen
            for index in views.at(state.cell):
                if now + remaining[index].get(state.cell, math.inf) <= self.deadline:
                    seen |= 1 << index
            return State(state.cell, state.blocks, state.keys, seen)

        def hopeful(now: float, state: State) -> bool:
            left = (
                1 << index
                for index, times in enumerate(remaining)
                if now + times.get(state.cell, math.inf) <= self.deadline
            )
            return (state.seen | sum(left)).bit_count() >= at_least

        for _, state in relaxed._in_order(outcome, relaxed.start(), look, hopeful if at_least else None):
            outcome.seen = max(outcome.seen, state.seen.bit_count())
            if outcome.seen >= enough:
                break
        return outcome

    def _in_order(
        self, outcome: Outcome, first: State, look: Look | None = None, hopeful: Hope | None = None
    ) -> Iterator[tuple[float, State]]:
        """Every state in the order of its earliest time (Dijkstra), up to the horizon."""
        count = 0
        first = look(0.0, first) if look else first
        queue: list[tuple[float, int, State]] = [(0.0, 0, first)]
        best = {first: 0.0}
        visited: dict[State, list[int]] = {}
        while queue:
            now, _, state = heapq.heappop(queue)
            # Who was here earlier and had seen no less can do all that this state can.
            earlier = visited.setdefault(replace(state, seen=0), [])
            if any(state.seen | seen == seen for seen in earlier):
                continue
            earlier.append(state.seen)
            yield now, state
            for then, following in self._moves(now, state):
                if then > self.deadline:
                    continue
                reached = look(then, following) if look else following
                if hopeful and not hopeful(then, reached):
                    continue
                if then < best.get(reached, math.inf):
                    best[reached] = then
                    count += 1
                    heapq.heappush(queue, (then, count, reached))
            if len(best) > MAX_STATES:
                outcome.undecided = True
                return

    def _moves(self, now: float, state: State) -> Iterator[tuple[float, State]]:
        row, column = state.cell
        for direction, (down, right) in STEPS.items():
            target = (row + down, column + right)
            if target in self.barred or not self.course.inside(*target) or self._locked(target, state):
                continue
            if target in self.gates:
                yield from self._through_gates(now, state, direction)
            elif target in state.blocks:
                yield from self._push(now, state, target, direction)
            elif self._climbs(state.cell, target, direction):
                yield now + self._duration(state.cell, target), self._into(state, target)
        for down, right in DIAGONALS:
            corner = ((row + down, column), (row, column + right), (row + down, column + right))
            if all(self._is_open_floor(cell, state) for cell in corner) and state.cell not in self.ground:
                yield now + self._duration(state.cell, corner[2]), self._into(state, corner[2])

    def _locked(self, cell: Cell, state: State) -> bool:
        return cell in self.locks and self.locks[cell] not in state.keys

    def _is_open_floor(self, cell: Cell, state: State) -> bool:
        return (
            self.course.inside(*cell)
            and cell not in self.barred
            and cell not in self.gates
            and cell not in self.ground
            and cell not in state.blocks
            and not self._locked(cell, state)
        )

    def _into(self, state: State, cell: Cell) -> State:
        keys = state.keys | {self.keys[cell]} if cell in self.keys else state.keys
        return State(cell, state.blocks, keys, state.seen)

    def _duration(self, here: Cell, there: Cell) -> float:
        distance = math.dist(here, there) * self.course.cell
        return distance * (self.pace(here) + self.pace(there)) / 2.0

    def _push(self, now: float, state: State, target: Cell, direction: str) -> Iterator[tuple[float, State]]:
        """Push the block on `target` one cell on, where it may go and the body is strong enough."""
        index = state.blocks.index(target)
        down, right = STEPS[direction]
        beyond = (target[0] + down, target[1] + right)
        standing = self.bodies - {block.position for block in self.blocks}
        blocked = (
            beyond in standing or beyond in state.blocks or beyond in self.ground or beyond in self.gates
        )
        if blocked or not self.course.inside(*beyond) or self.blocks[index].push > self.able.push:
            return
        blocks = (*state.blocks[:index], beyond, *state.blocks[index + 1 :])
        pushed = State(state.cell, blocks, state.keys, state.seen)
        yield now + self._duration(state.cell, target), self._into(pushed, target)

    def _through_gates(self, now: float, state: State, direction: str) -> Iterator[tuple[float, State]]:
        """Cross a straight run of gates: wait before it until the whole body can pass while each is open."""
        down, right = STEPS[direction]
        chain = []
        cell = (state.cell[0] + down, state.cell[1] + right)
        while cell in self.gates:
            chain.append(self.gates[cell])
            cell = (cell[0] + down, cell[1] + right)
        if (
            not self.course.inside(*cell)
            or cell in self.barred
            or cell in state.blocks
            or cell in self.ground
        ):
            return
        side, half = self.course.cell, self.able.body.length / 2.0
        pace = max(self.pace(gate.position) for gate in chain)
        leave = now
        while leave <= self.deadline:
            wait = 0.0
            for index, gate in enumerate(chain):
                enter = leave + max(0.0, side * (index + 0.5) - half) * pace
                clear = leave + (side * (index + 1.5) + half) * pace
                if clear > gate.open_until(enter):
                    wait = max(wait, gate.next_opening(enter) - enter)
            if wait == 0.0:
                yield leave + side * (len(chain) + 1) * pace, self._into(state, cell)
                return
            leave += wait

    def _climbs(self, here: Cell, there: Cell, direction: str) -> bool:
        """Whether the body has the force for the slopes and edges between two neighbouring cells."""
        if here not in self.ground and there not in self.ground:
            return True
        rise = self._edge(there, OPPOSITE[direction]) - self._edge(here, direction)
        if rise < -self.able.body.wheel_radius or self.able.step_force(rise) > self.able.push:
            return False
        for cell in (here, there):
            ramp = self.ground.get(cell)
            rising = ramp.height if isinstance(ramp, Ramp) and ramp.direction == direction else 0.0
            if self.able.slope_force(rising, self.course.cell) > self.able.push:
                return False
        return True

    def _edge(self, cell: Cell, side: str) -> float:
        """Height of the ground in m at one edge of a cell; a ramp's flank counts as its high end."""
        ground = self.ground.get(cell)
        if ground is None:
            return 0.0
        if isinstance(ground, Step):
            return ground.height
        return ground.base + (0.0 if side == OPPOSITE[ground.direction] else ground.height)

    def _remaining(self, place: Cell) -> dict[Cell, float]:
        """Shortest driving time in s from every cell to `place`, blocks ignored and gates open."""
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


class _Views:
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
