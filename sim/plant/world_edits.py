"""World edits: what only a simulator can grant. Each is checked first, takes effect at once and is undone by
a reset.
"""

from __future__ import annotations

import math

from nerfbot.course.elements import Chest, Coin, Decoy, Element, Key, Wall
from nerfbot.course.events import Event

from ..errors import InvalidEdit
from ..physics.arena import PARKED, WALL_HEIGHT, Arena, Thing
from ..physics.geometry import Cell, Patch, bounds, footprint_overlaps, merge
from ..robots.robot import GHOST, WALLS, Robot
from .events import Watch
from .sensors import Sensors

WRITABLE = (Wall, Coin, Decoy, Key, Chest)
"""What a cell can be rewritten into, besides bare floor."""

Change = tuple[Element, bool]
"""An element that an edit took away (False) or put there (True)."""


class WorldEdits:
    """The edits of one plant.

    Every method raises `InvalidEdit` for a place outside the course or one that is taken.
    """

    def __init__(self, robot: Robot, arena: Arena, watch: Watch, sensors: Sensors) -> None:
        self.robot, self.arena, self.watch, self.sensors = robot, arena, watch, sensors
        self._written = 0
        self._added: list[int] = []
        self._hidden: list[int] = []
        self._emptied: set[Cell] = set()
        self._ghost = self._ending = self._phased = False

    @property
    def phasing(self) -> bool:
        """Whether walls let the robot through."""
        return self._ghost

    @property
    def rebuilt(self) -> bool:
        """Whether only a rebuilding of the arena undoes what was done: a cell rewritten, or phasing.

        Phasing changes the robot's collision mask, after which a restored state no longer replays bit for
        bit.
        """
        return bool(self._added or self._hidden or self._written or self._phased)

    def restart(self) -> None:
        """Undo everything but what is `rebuilt`."""
        self._emptied = set()
        if self._ghost:
            self._set_ghost(False)

    def _check(self, edit: str, row: int, column: int) -> Cell:
        course = self.arena.course
        for name, value, end in (("row", row, course.rows), ("column", column, course.columns)):
            if isinstance(value, bool) or int(value) != value or not 0 <= value < end:
                raise InvalidEdit(f"{edit}: {name} must be a whole number from 0 to {end - 1}, got {value!r}")
        return int(row), int(column)

    def _occupant(self, cell: Cell) -> str | None:
        """What stands in a cell (the robot aside), or None."""
        course, arena = self.arena.course, self.arena
        if arena.walls.at(cell) is not None or (cell in arena.buried and cell not in self._emptied):
            return "wall"
        for gate in arena.gates:
            if gate.element.position == cell and not gate.removed:
                return gate.element.id
        for name, thing in arena.things.items():
            if thing.present and thing.element.kind != "marker":
                x, y, _ = arena.place_of(thing)
                if course.cell_of(x, y) == cell:
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
        left = {n: t for n, t in self.arena.things.items() if t.element.kind == "coin" and t.present}
        if not left or (coin is not None and coin not in left):
            raise InvalidEdit(
                f"move_coin: no coin {coin or ''!r} is left (left: {', '.join(left) or 'none'})"
            )
        name = coin or next(iter(left))
        course = self.arena.course
        if course.cell_of(*left[name].position[:2]) != cell:
            self._need_free("move_coin", cell)
            x, y = course.centre(*cell)
            self.arena.move(left[name], (x, y, 0.16 + course.elevation(x, y)))
        return name

    def teleport(self, row: int, column: int) -> None:
        """Put the robot at rest into a free cell, its heading kept."""
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
        if element is not None and there is not None and _looks(there) == _looks(element):
            raise InvalidEdit(f"set_cell: {where} holds {' '.join(_looks(element)).strip()} already")
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
        self._written += 1
        place = {"id": f"written-{self._written}", "row": cell[0], "column": cell[1]}
        item = element.model_copy(update=place)
        thing = self.arena.add(item)
        self.watch.add(thing)
        self.sensors.add(thing)
        return item

    def _clear(self, cell: Cell) -> None:
        arena = self.arena
        body = arena.walls.at(cell)
        if body is not None:
            patch = arena.walls.bodies.pop(body)
            if body in self._added:
                self._added.remove(body)
                arena.names.pop(body)
                arena.client.removeBody(body)
            else:
                self._hidden.append(body)
                arena.client.resetBasePositionAndOrientation(body, PARKED, (0.0, 0.0, 0.0, 1.0))
            for rest in merge(set(patch.cells()) - {cell}):
                self._add_wall(rest)
        self._emptied.add(cell)
        around = {(cell[0] + dr, cell[1] + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)}
        for hidden in sorted((around & arena.buried) - self._emptied):
            if arena.walls.at(hidden) is None:
                self._add_wall(Patch(*hidden, *hidden))
        for gate in arena.gates:
            gate.removed = gate.removed or gate.element.position == cell
        for thing in arena.things.values():
            place = arena.course.cell_of(*arena.place_of(thing)[:2])
            if thing.present and thing.element.kind != "marker" and place == cell:
                arena.remove(thing)

    def _add_wall(self, patch: Patch) -> None:
        self._added.append(self.arena.add_wall(patch))

    def unlock(self, chest: str, now: float) -> Event:
        """Open a chest without a key; returns the event."""
        thing: Thing | None = self.arena.things.get(chest)
        if thing is None or thing.element.kind != "chest" or not thing.present:
            left = [n for n, t in self.arena.things.items() if t.element.kind == "chest" and t.present]
            raise InvalidEdit(f"unlock: no closed chest {chest!r} (closed: {', '.join(left) or 'none'})")
        return self.watch.open(thing, now)

    def phase(self, on: bool) -> None:
        """Let the robot through gates and walls (the course's edge aside), or end that; while it stands in
        a wall, the end waits until it is clear.
        """
        if on:
            self._ending = False
            if not self._ghost:
                self._set_ghost(True)
        elif self._ghost:
            self._ending = True
            self.settle()

    def settle(self) -> None:
        """End phasing once asked for and the robot is clear of every wall; called each control step."""
        if self._ending and not any(
            self._robot_in(cell) for patch in self.arena.walls.bodies.values() for cell in patch.cells()
        ):
            self._set_ghost(False)

    def _set_ghost(self, on: bool) -> None:
        self._ghost, self._ending = on, False
        if not self._phased:
            self._shut_edge()
        self._phased = True
        group, mask = (GHOST, ~WALLS) if on else (1, -1)
        for link in self.robot.solid_links:
            self.arena.client.setCollisionFilterGroupMask(self.robot.body, link, group, mask)

    def _shut_edge(self) -> None:
        """Stand walls on the course's edge that phasing does not pass, until the arena is rebuilt."""
        arena, course = self.arena, self.arena.course
        bottom, right = course.rows - 1, course.columns - 1
        for patch in (
            Patch(0, 0, 0, right),
            Patch(bottom, 0, bottom, right),
            Patch(1, 0, bottom - 1, 0),
            Patch(1, right, bottom - 1, right),
        ):
            x0, x1, y0, y1 = bounds(patch, course.cell, course.rows)
            half = ((x1 - x0) / 2, (y1 - y0) / 2, WALL_HEIGHT / 2)
            shape = arena.client.createCollisionShape(arena.client.GEOM_BOX, halfExtents=half)
            arena.static(shape, -1, ((x0 + x1) / 2, (y0 + y1) / 2, half[2]), "wall", "wall")


def _looks(item: Element) -> tuple[str, ...]:
    """What tells an element from another in the same cell."""
    return item.kind, *(str(item.properties.get(name, "")) for name in ("colour", "shape"))
