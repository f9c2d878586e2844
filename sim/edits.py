"""World edits: what only a simulator can grant. Each is checked first, takes effect at once and is undone by
a reset.
"""

from __future__ import annotations

import math

from nerfbot.course.elements import Element, Wall
from nerfbot.course.events import Event

from .arena import PARKED, WALL_HEIGHT, Arena, Thing
from .errors import InvalidEdit
from .events import Watch
from .geometry import Cell, Patch, bounds, footprint_overlaps, merge
from .robot import GHOST, WALLS, Robot


class WorldEdits:
    """The edits of one plant.

    Every method raises `InvalidEdit` for a place outside the course or one that is taken.
    """

    def __init__(self, robot: Robot, arena: Arena, watch: Watch) -> None:
        self.robot, self.arena, self.watch = robot, arena, watch
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
        """Whether only a rebuilding of the arena undoes what was done: walls added or removed, or phasing.

        Phasing changes the robot's collision mask, after which a restored state no longer replays bit for
        bit.
        """
        return bool(self._added or self._hidden or self._phased)

    def restart(self) -> None:
        """Undo everything but added and removed walls."""
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

    def set_cell(self, row: int, column: int, element: Element | None) -> None:
        """Clear a cell of what stands in it (None), or stand a wall there; the map's edge stays shut."""
        cell = self._check("set_cell", row, column)
        course = self.arena.course
        if element is None:
            if row in (0, course.rows - 1) or column in (0, course.columns - 1):
                raise InvalidEdit(
                    f"set_cell: cell ({row}, {column}) is on the course's edge, which stays shut"
                )
            if self._occupant(cell) is None:
                raise InvalidEdit(f"set_cell: cell ({row}, {column}) is clear already")
            self._clear(cell)
        elif isinstance(element, Wall):
            self._need_free("set_cell", cell)
            if self._robot_in(cell):
                raise InvalidEdit(f"set_cell: cell ({row}, {column}) is taken by the robot")
            self._add_wall(Patch(*cell, *cell))
            self._emptied.discard(cell)
        else:
            raise InvalidEdit(f"set_cell: only a wall or None can be set, got {element.kind!r}")

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
