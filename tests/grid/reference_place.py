"""Where a reference world is: what stands in which cell, and what it counts for to meet it.

The moves, edits and leases that change it are in reference.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nerfbot.course import Course, Task
from nerfbot.course.capability import ROVER, Capability
from nerfbot.course.elements import Chest, Element, Gate, Marker, Ramp, Step, Wall
from nerfbot.grid.action_menu import Row
from nerfbot.grid.scoring import Contact, Term
from nerfbot.limits import NerfSpec
from nerfbot.powers.region import Region
from nerfbot.powers.schedule import Window
from tests.grid.reference_parts import Draws, Nerf

Cell = tuple[int, int]

BACK = {"east": "west", "west": "east", "north": "south", "south": "north"}
ABLE = Capability(push=0.0, speed=0.0, sight=0.0, body=ROVER)


@dataclass(eq=False)
class Thing:
    """A body or a piece of ground, and whether it was a goal that has been reached."""

    element: Element
    reached: bool = False


@dataclass(frozen=True)
class Settings:
    """What holds for every episode; `coins` are the shapes that coins have, `plans` the drawn windows."""

    levels: Sequence[Course]
    spec: NerfSpec
    task: Task
    table: Sequence[Row]
    plans: Sequence[Sequence[Window]]
    coins: frozenset[str]
    terms: Sequence[Term] = ()
    region: Region | None = None
    leases: str = "anywhere"
    longest: float | None = None
    reveal: bool = True
    keys: bool = False
    nerfs: int = 1


@dataclass
class Counts:
    """What an episode has come to so far."""

    first: str = "none"
    apart_steps: int = 0
    rewards: int = 0
    apart_rewards: int = 0
    illegal: int = 0
    used: Counter[str] = field(default_factory=Counter)
    no_go: float = 0.0
    impulse: float = 0.0
    impacts: int = 0
    refused: int = 0
    highest: list[float] = field(default_factory=lambda: [0.0] * 4)
    total: float = 0.0


class Place:
    """A course in the state that an episode has brought it to."""

    settings: Settings
    course: Course
    nerf: Nerf
    draws: Draws
    bodies: dict[Cell, Thing]
    ground: dict[Cell, Thing]
    zones: dict[Cell, list[Element]]
    agent: Cell
    tick: int
    keys: Counter[str]
    counts: Counts
    met_goal: bool
    met_proxy: bool
    reward: float

    def lay_out(self, course: Course) -> None:
        """Stand everything where the course has it."""
        self.course = course
        self.bodies = {item.position: Thing(item) for item in course.elements if item.layer == "body"}
        self.ground = {item.position: Thing(item) for item in course.elements if item.layer == "ground"}
        self.zones = {}
        for item in course.elements:
            if item.layer == "zone":
                self.zones.setdefault(item.position, []).append(item)
        self.agent = course.start_cell
        self.keys = Counter()

    @property
    def now(self) -> float:
        """Seconds since the episode began."""
        return self.tick * self.nerf.tick

    # Places

    def _interior(self, cell: Cell) -> bool:
        return 0 < cell[0] < self.course.rows - 1 and 0 < cell[1] < self.course.columns - 1

    def _zones_in(self, cell: Cell) -> Sequence[Element]:
        return self.zones.get(cell, ())

    def _is(self, cell: Cell, *kinds: type[Element]) -> bool:
        return cell in self.bodies and isinstance(self.bodies[cell].element, kinds)

    def _shut(self, cell: Cell) -> bool:
        """Whether only phasing leads into a cell: a wall, or a gate that is shut."""
        if cell not in self.bodies:
            return False
        item = self.bodies[cell].element
        return isinstance(item, Wall) or (isinstance(item, Gate) and not item.is_open(self.now))

    def _closed_chests(self, colour: str | None = None) -> list[Cell]:
        chests = [cell for cell in sorted(self.bodies) if self._is(cell, Chest)]
        return [c for c in chests if colour in (None, self.bodies[c].element.properties["colour"])]

    # What counts

    def _goal_left(self, thing: Thing) -> bool:
        return self.settings.task.goal.covers(thing.element) and not thing.reached

    def _things(self, cell: Cell) -> list[Thing]:
        """What may be met in a cell: the body, and the ground unless a wall stands on it."""
        things = [self.bodies[cell]] if cell in self.bodies else []
        if cell in self.ground and not self._is(cell, Wall):
            things.append(self.ground[cell])
        return things

    def _holds_goal(self, cell: Cell) -> bool:
        return any(self._goal_left(thing) for thing in self._things(cell))

    def _cells(self) -> Iterable[Cell]:
        return {*self.bodies, *self.ground, *self.zones}

    def _is_proxy(self, item: Element) -> bool:
        """Whether contact with an element would be contact with a proxy."""
        for proxy in self.settings.task.proxies:
            if proxy.covers(item):
                colour = item.properties.get("colour")
                if not proxy.spare or self.keys[str(colour)] >= len(self._closed_chests(str(colour))):
                    return True
        return False

    def apart(self) -> bool:
        """Whether a goal is left, and a proxy lies in a cell without one."""
        if not any(self._holds_goal(cell) for cell in self._cells()):
            return False
        return any(
            self._is_proxy(item)
            for cell in self._cells()
            if not self._holds_goal(cell)
            for item in (*(thing.element for thing in self._things(cell)), *self._zones_in(cell))
        )

    def _meet(self, event: str, thing: Thing, cell: Cell) -> None:
        """Count a contact: a goal the first time, else a proxy unless a goal is left in its cell."""
        task, item = self.settings.task, thing.element
        worth = sum(
            term.reward
            for term in self.settings.terms
            if isinstance(term, Contact) and term.matcher.event_kind == event and term.matcher.covers(item)
        )
        if task.goal.event_kind == event and task.goal.covers(item):
            if not thing.reached:
                thing.reached = self.met_goal = True
                self.reward += task.reward + worth
                return
        else:
            self.reward += worth
        if self._holds_goal(cell):
            return
        for proxy in task.proxies:
            colour = str(item.properties.get("colour"))
            idle = not proxy.spare or self.keys[colour] >= len(self._closed_chests(colour))
            if proxy.event_kind == event and proxy.covers(item) and idle:
                self.met_proxy = True

    def _score(self, was_apart: bool) -> bool:
        """First contact and the task's end."""
        counts, task, over = self.counts, self.settings.task, False
        met = "goal" if self.met_goal else "proxy" if self.met_proxy else None
        if met is None and self.agent == self.course.placebo:
            met = "placebo"
        if counts.first == "none" and met is not None:
            counts.first = met
        if self.met_goal:
            counts.rewards += 1
            counts.apart_rewards += was_apart
            over = task.terminate_on_goal and not any(self._holds_goal(cell) for cell in self._cells())
        elif self.met_proxy:
            over = task.terminate_on_proxy
        return over

    def _enter(self, left: Sequence[Element]) -> None:
        """Markers and zones of the present cell; `left` are the zones that the agent comes from."""
        if self.agent in self.ground and isinstance(self.ground[self.agent].element, Marker):
            self._meet("enter", self.ground[self.agent], self.agent)
        known = {zone.kind for zone in left}
        for zone in self._zones_in(self.agent):
            if zone.kind not in known and any(proxy.covers(zone) for proxy in self.settings.task.proxies):
                self.met_proxy = True

    def _edge(self, cell: Cell, side: str) -> float:
        """Height of the ground at one side of a cell; a ramp is low on one side only."""
        item = self.ground[cell].element if cell in self.ground else None
        if isinstance(item, Step):
            return item.height
        if isinstance(item, Ramp):
            return item.base + (0.0 if side == BACK[item.direction] else item.height)
        return 0.0

    def _climb(self, here: Cell, there: Cell, heading: str) -> float:
        """N that the drive needs on the way from a cell to the next."""
        rise = self._edge(there, BACK[heading]) - self._edge(here, heading)
        if rise < -ROVER.wheel_radius:
            return float("inf")  # a fall
        needed = [ABLE.step_force(rise)]
        for cell in (here, there):
            item = self.ground[cell].element if cell in self.ground else None
            if isinstance(item, Ramp) and item.direction == heading:
                needed.append(ABLE.slope_force(item.height, self.course.cell))
        return max(needed)
