"""From a control step to the course's events: touches, zones entered and left, keys and chests, and harm.

It reads positions and contacts; all that it changes is to remove what a touch takes (a coin, a key).
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Literal

from nerfbot.course import Course
from nerfbot.course.elements import Fragile
from nerfbot.course.events import Event, contact, harm

from ..physics.arena_state import Arena, Thing
from ..physics.client import CONTROL_STEP
from ..physics.geometry import Cell, footprint_distance
from ..robots.robot import Robot

REACH = 0.02
"""A solid thing counts as touched within this distance of the robot, m."""

HIT_STEPS = 2
"""Control steps over which a hit's impulse is summed: the time that a hit may take, 0.1 s."""

TOUCHED = ("coin", "decoy", "key")
"""Kinds without collision, which the footprint touches by overlap."""


class EventDetector:
    """Turns what is touched, entered and harmed in one episode into the course's events.

    Args:
        robot: whose footprint touches.
        arena: what is touched.
        force_limit: contact force in N, mean over a control step, above which contact is harm.

    """

    def __init__(self, robot: Robot, arena: Arena, force_limit: float) -> None:
        self.robot, self.arena, self.force_limit = robot, arena, force_limit
        self.restart(arena.course)

    def restart(self, course: Course) -> None:
        """Begin an episode on ``course``."""
        self.keys: Counter[str] = Counter()
        self._touched: set[str] = set()
        self._inside: set[str] = set()
        self._over_limit = False
        self._hits: dict[str, deque[float]] = {}
        self._zones: dict[Cell, list[tuple[str, str]]] = {}
        self._regions = {region.id: region for region in course.regions}
        for region in course.regions:
            for cell in region.cells:
                self._zones.setdefault(cell, []).append((region.id, region.kind))
        self._markers = {
            thing.element.position: name
            for name, thing in self.arena.things.items()
            if thing.element.kind == "marker"
        }
        self._touchable: list[tuple[Thing, str, float | None]] = []
        for thing in self.arena.things.values():
            if thing.element.kind != "marker":
                self.add(thing)
        self._fragile = {
            name: thing.element
            for name, thing in self.arena.things.items()
            if isinstance(thing.element, Fragile)
        }

    def add(self, thing: Thing) -> None:
        """Report touches of a thing, such as one that an edit has put into the world."""
        self._touchable.append((thing, thing.element.id, _reach(thing)))

    def consume(
        self, now: float, cell: Cell, impulses: dict[str, float], fragile: dict[str, float]
    ) -> tuple[Event, ...]:
        """The events of the control step that ended at ``now`` s.

        Args:
            now: simulated time, s.
            cell: where the robot's base is.
            impulses: impulse on the robot's body in N·s, by element id (walls together as `wall`).
            fragile: impulse on each fragile object in N·s, by id; ids without contact may be missing.

        """
        events: list[Event] = []
        self._touches(now, impulses, events)
        self._places(now, cell, events)
        if impulses or fragile or self._hits or self._over_limit:
            self._harm(now, impulses, fragile, events)
        return tuple(events)

    def _touches(self, now: float, impulses: dict[str, float], events: list[Event]) -> None:
        footprint, state = self.robot.footprint, self.robot.state
        x, y, _ = state.position
        cosine, sine = math.cos(state.heading), math.sin(state.heading)
        for thing, name, reach in self._touchable:
            if not thing.present:
                continue
            if reach is None:
                touching = name in impulses
            else:
                dx, dy = thing.position[0] - x, thing.position[1] - y
                touching = (
                    dx * dx + dy * dy < 1.0 and footprint_distance(footprint, dx, dy, cosine, sine) < reach
                )
            if not touching:
                self._touched.discard(name)
            elif name not in self._touched:
                self._touched.add(name)
                self._touch(thing, now, events)
            elif thing.element.kind == "chest":
                self._try_open(thing, now, events)

    def _touch(self, thing: Thing, now: float, events: list[Event]) -> None:
        item = thing.element
        events.append(contact("touch", item, now))
        if item.kind == "coin":
            self.arena.remove(thing)
        elif item.kind == "key":
            self.keys[str(item.properties["colour"])] += 1
            events.append(contact("take", item, now))
            self.arena.remove(thing)
        elif item.kind == "chest":
            self._try_open(thing, now, events)

    def _try_open(self, thing: Thing, now: float, events: list[Event]) -> None:
        colour = str(thing.element.properties["colour"])
        if self.keys[colour] > 0:
            self.keys[colour] -= 1
            events.append(self.open(thing, now))

    def open(self, thing: Thing, now: float) -> Event:
        """Open a chest; it vanishes, as a taken coin does."""
        self._touched.discard(thing.element.id)
        self.arena.remove(thing)
        return contact("open", thing.element, now)

    def _places(self, now: float, cell: Cell, events: list[Event]) -> None:
        zones, marker = self._zones.get(cell, ()), self._markers.get(cell)
        if not (zones or marker or self._inside):
            return
        here = {name for name, _ in zones}
        if marker is not None and self.arena.things[marker].present:
            here.add(marker)
        if here != self._inside:
            events += [self._place_event("leave", name, now) for name in sorted(self._inside - here)]
            events += [self._place_event("enter", name, now) for name in sorted(here - self._inside)]
            self._inside = here
        for name, kind in zones:
            if kind == "no_go":
                events.append(harm("no_go_time", CONTROL_STEP, now, 0.0, self._regions[name].zone))

    def _place_event(self, kind: Literal["enter", "leave"], name: str, now: float) -> Event:
        region = self._regions.get(name)
        return contact(kind, region.zone if region else self.arena.things[name].element, now, name)

    def _harm(
        self, now: float, impulses: dict[str, float], fragile: dict[str, float], events: list[Event]
    ) -> None:
        for name, item in self._fragile.items():
            impulse = fragile.get(name, 0.0)
            hit = self._hits.get(name)
            if hit is None:
                if impulse > 0.0:
                    self._hits[name] = deque([impulse], maxlen=HIT_STEPS)
                continue
            before = sum(hit)
            hit.append(impulse)
            if len(hit) == HIT_STEPS and before and not math.isinf(before):
                total = max(before, sum(hit))
                if total > item.impulse:
                    events.append(harm("fragile_impulse", total, now, item.impulse, item))
                    hit.append(math.inf)  # reported: no second event until the contact ends
                    continue
            if impulse == 0.0:
                del self._hits[name]
        force = max(impulses.values(), default=0.0) / CONTROL_STEP
        if force > self.force_limit and not self._over_limit:
            events.append(harm("contact_force", force, now, self.force_limit))
        self._over_limit = force > self.force_limit


def _reach(thing: Thing) -> float | None:
    """How near the robot's footprint must come to touch a thing, m; None: the physics reports contacts."""
    if thing.element.kind == "chest":
        return thing.radius + REACH
    return thing.radius if thing.element.kind in TOUCHED else None
