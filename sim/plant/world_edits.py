"""World edits: what only a simulator can grant. Each is checked first, takes effect at once and is undone by
a reset.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from nerfbot.course.elements import Chest, Coin, Decoy, Element, Key, Wall
from nerfbot.course.events import Event

from ..errors import InvalidEdit
from ..physics.arena_builder import OBJECT_HEIGHT, ArenaBuilder
from ..physics.arena_state import PARKED, UPRIGHT, Thing
from ..physics.collision import GHOST, WALLS
from ..physics.geometry import Cell, Patch, bounds, footprint_overlaps, merge
from ..robots.robot import Robot
from .events import EventDetector
from .sensors import Sensors

WRITABLE = (Wall, Coin, Decoy, Key, Chest)
"""What a cell can be rewritten into, besides bare floor."""

Change = tuple[Element, bool]
"""An element that an edit took away (False) or put there (True)."""


class EditOutcome(NamedTuple):
    """Whether an edit was ``done``, the course's ``events`` that it brought about, and what came and went."""

    done: bool
    events: tuple[Event, ...] = ()
    changes: tuple[Change, ...] = ()


class WorldEdits:
    """The edits of one plant.

    Every method raises `InvalidEdit` for a place outside the course or one that is taken.
    """

    def __init__(self, robot: Robot, builder: ArenaBuilder, events: EventDetector, sensors: Sensors) -> None:
        self.robot, self.builder, self.events, self.sensors = robot, builder, events, sensors
        self.arena = builder.arena
        self.phasing = False
        """Whether walls let the robot through."""
        self.needs_rebuild = False
        """Whether only a rebuilding of the arena undoes what was done: a cell rewritten, or phasing, which
        changes the robot's collision mask, after which a restored state no longer replays bit for bit.
        """
        self._written = 0
        self._added_walls: set[int] = set()
        self._emptied: set[Cell] = set()
        self._is_ending = self._has_edge = False

    def restart(self) -> None:
        """Undo everything that needs no rebuilding."""
        self._emptied = set()
        if self.phasing:
            self._set_phasing(False)

    def _check(self, edit: str, row: int, column: int) -> Cell:
        course = self.arena.course
        for name, value, end in (("row", row, course.rows), ("column", column, course.columns)):
            if isinstance(value, bool) or int(value) != value or not 0 <= value < end:
                raise InvalidEdit(f"{edit}: {name} must be a whole number from 0 to {end - 1}, got {value!r}")
        return int(row), int(column)

    def _occupant(self, cell: Cell) -> str | None:
        """What stands in a cell (the robot aside), or None."""
        course, arena = self.arena.course, self.arena
        if arena.wall_at(cell) is not None or (cell in arena.buried and cell not in self._emptied):
            return "wall"
        for gate in arena.gates:
            if gate.element.position == cell and not gate.removed:
                return gate.element.id
        for name, thing in arena.things.items():
            if not thing.present or thing.element.kind == "marker":
                continue
            if course.cell_of(*arena.position_of(thing)[:2]) == cell:
                return name
        return None

    def _robot_in(self, cell: Cell) -> bool:
        state = self.robot.state
        course = self.arena.course
        box = bounds(Patch(*cell, *cell), course.cell, course.rows)
        return footprint_overlaps(
            self.robot.footprint, state.position[:2], math.cos(state.heading), math.sin(state.heading), box
        )

    def _need_free(self, edit: str, cell: Cell) -> None:
        occupant = self._occupant(cell)
        if occupant is not None:
            raise InvalidEdit(f"{edit}: cell ({cell[0]}, {cell[1]}) is taken by {occupant}")

    def move_coin(self, row: int, column: int, coin: str | None = None) -> str:
        """Put a coin (by default the first that is left) into a free cell; returns its id."""
        cell = self._check("move_coin", row, column)
        left = self._present("coin")
        if not left or (coin is not None and coin not in left):
            names = ", ".join(left) or "none"
            raise InvalidEdit(f"move_coin: no coin {coin or ''!r} is left (left: {names})")
        name = coin or next(iter(left))
        course = self.arena.course
        if course.cell_of(*left[name].position[:2]) != cell:
            self._need_free("move_coin", cell)
            x, y = course.centre(*cell)
            self.arena.move(left[name], (x, y, OBJECT_HEIGHT + course.elevation(x, y)))
        return name

    def teleport(self, row: int, column: int) -> None:
        """Put the robot at rest into a free cell, with the heading that it has."""
        cell = self._check("teleport", row, column)
        self._need_free("teleport", cell)
        x, y = self.arena.course.centre(*cell)
        self.robot.place(x, y, self.robot.state.heading, self.arena.course.elevation(x, y))

    def set_cell(self, row: int, column: int, element: Element | None) -> tuple[Change, ...]:
        """Clear a cell of what stands in it (None), or write ``element`` in its place: a wall, coin, decoy,
        key or chest; returns what went and came. A coin stays, and so does the map's edge.
        """
        cell = self._check("set_cell", row, column)
        course, where = self.arena.course, f"cell ({row}, {column})"
        if element is not None and not isinstance(element, WRITABLE):
            known = ", ".join(item.kind for item in WRITABLE)
            raise InvalidEdit(f"set_cell: {element.kind} cannot be written (None or one of: {known})")
        if row in (0, course.rows - 1) or column in (0, course.columns - 1):
            raise InvalidEdit(f"set_cell: {where} is on the course's edge, which stays shut")
        occupant = self._occupant(cell)
        there = self._element(occupant)
        if there is not None and there.kind == "coin":
            raise InvalidEdit(f"set_cell: {where} is taken by {occupant}")
        if element is None and occupant is None:
            raise InvalidEdit(f"set_cell: {where} is clear already")
        if element is not None and self._robot_in(cell):
            raise InvalidEdit(f"set_cell: {where} is taken by the robot")
        if element is not None and there is not None and _traits(there) == _traits(element):
            raise InvalidEdit(f"set_cell: {where} holds {' '.join(_traits(element)).strip()} already")
        changes: list[Change] = []
        if occupant is not None:
            self._clear(cell)
            if there is not None and occupant != "wall":
                changes.append((there, False))
        if isinstance(element, Wall):
            self._add_wall(Patch(*cell, *cell))
            self._emptied.discard(cell)
        elif element is not None:
            changes.append((self._write(cell, element), True))
        return tuple(changes)

    def _element(self, occupant: str | None) -> Element | None:
        """The element that `_occupant` names."""
        if occupant == "wall":
            return Wall()
        thing = None if occupant is None else self.arena.things.get(occupant)
        if thing is not None:
            return thing.element
        return next((gate.element for gate in self.arena.gates if gate.element.id == occupant), None)

    def _write(self, cell: Cell, element: Element) -> Element:
        """Put a thing that the course does not have into a free cell, with an id of its own."""
        self.needs_rebuild = True
        self._written += 1
        place = {"id": f"written-{self._written}", "row": cell[0], "column": cell[1]}
        item = element.model_copy(update=place)
        thing = self.builder.add(item)
        self.events.add(thing)
        self.sensors.add(thing)
        return item

    def _clear(self, cell: Cell) -> None:
        arena = self.arena
        body = arena.wall_at(cell)
        if body is not None:
            self.needs_rebuild = True
            patch = arena.walls.pop(body)
            if body in self._added_walls:
                self._added_walls.remove(body)
                arena.names.pop(body)
                arena.client.removeBody(body)
            else:
                arena.client.resetBasePositionAndOrientation(body, PARKED, UPRIGHT)
            for rest in merge(set(patch.cells()) - {cell}):
                self._add_wall(rest)
        self._emptied.add(cell)
        around = {(cell[0] + dr, cell[1] + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)}
        for hidden in sorted((around & arena.buried) - self._emptied):
            if arena.wall_at(hidden) is None:
                self._add_wall(Patch(*hidden, *hidden))
        for gate in arena.gates:
            gate.removed = gate.removed or gate.element.position == cell
        for thing in arena.things.values():
            place = arena.course.cell_of(*arena.position_of(thing)[:2])
            if thing.present and thing.element.kind != "marker" and place == cell:
                arena.remove(thing)

    def _add_wall(self, patch: Patch) -> None:
        self.needs_rebuild = True
        self._added_walls.add(self.builder.add_wall(patch))

    def _present(self, kind: str) -> dict[str, Thing]:
        """The things of a kind that are still in play, by id."""
        things = self.arena.things.items()
        return {name: thing for name, thing in things if thing.element.kind == kind and thing.present}

    def unlock(self, chest: str, now: float) -> Event:
        """Open a chest without a key; returns the event."""
        closed = self._present("chest")
        if chest not in closed:
            raise InvalidEdit(f"unlock: no closed chest {chest!r} (closed: {', '.join(closed) or 'none'})")
        return self.events.open(closed[chest], now)

    def phase(self, on: bool) -> None:
        """Let the robot through gates and walls (the course's edge aside), or end that; while it stands in
        a wall, the end waits until it is clear.
        """
        if on:
            self._is_ending = False
            if not self.phasing:
                self._set_phasing(True)
        elif self.phasing:
            self._is_ending = True
            self.settle()

    def settle(self) -> None:
        """End phasing once requested and the robot is clear of every wall; called each control step."""
        if self._is_ending and not any(
            self._robot_in(cell) for patch in self.arena.walls.values() for cell in patch.cells()
        ):
            self._set_phasing(False)

    def _set_phasing(self, on: bool) -> None:
        self.phasing, self._is_ending = on, False
        if not self._has_edge:
            self.builder.add_edge()
        self._has_edge = self.needs_rebuild = True
        group, mask = (GHOST, ~WALLS) if on else (1, -1)
        for link in self.robot.solid_links:
            self.arena.client.setCollisionFilterGroupMask(self.robot.body, link, group, mask)


def _traits(item: Element) -> tuple[str, ...]:
    """What distinguishes an element from another in the same cell."""
    return item.kind, *(str(item.properties.get(name, "")) for name in ("colour", "shape"))
