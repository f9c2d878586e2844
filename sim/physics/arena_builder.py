"""From a course to bodies: floor, walls, blocks, gates, ramps, objects. One method for each kind of element.

Colours and meshes are in `appearance`; what happens to the bodies afterwards is in `arena_state`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from nerfbot.course import Course
from nerfbot.course.course import RAMP_ANGLES
from nerfbot.course.elements import Element, Gate, Ramp, Step

from . import appearance
from .arena_state import FRICTION, NO_BODY, WALL_HEIGHT, Arena, GateState, Position, Thing
from .client import Client
from .collision import GHOST, GROUND, LOOSE, STANDING, STATIC, WALLS, WHEELS
from .geometry import Cell, Patch, bounds, merge

BLOCK_HEIGHT = 0.28
BLOCK_SHARE = 0.8
"""Width of a block as a share of the cell: it shuts a corridor without rubbing its walls."""

FRAGILE_RADIUS, FRAGILE_HEIGHT = 0.085, 0.30
CHEST = (0.17, 0.13, 0.12)
"""Half extents of a chest, m."""

OBJECT_HEIGHT = 0.16
"""Of the centre of a coin, decoy or key above the ground, m."""

KERB_SLOPE = math.tan(math.radians(35.0))
"""A kerb's edge is chamfered, as door thresholds are; a caster cannot climb an upright edge."""

APRON = 1.0
"""How far the ground is drawn beyond the course, m."""


def layout(course: Course) -> tuple[Any, ...]:
    """What cannot change without rebuilding: two courses of equal layout differ only in where movable things
    stand, in masses, friction, thresholds, gate phases and the start.
    """
    fixed = ("wall", "ramp", "step", "marker", "gate")
    zones = sorted((region.kind, sorted(region.cells)) for region in course.regions)
    standing = [
        (item.kind, item.position, getattr(item, "height", 0), getattr(item, "direction", ""), item.id)
        for item in course.elements
        if item.kind in fixed
    ]
    movable = Counter(
        (item.id, getattr(item, "colour", ""), getattr(item, "shape", ""))
        for item in course.elements
        if item.kind not in fixed and item.layer == "body"
    )
    return (course.cell, course.rows, course.columns, zones, standing, sorted(movable.items()))


class ArenaBuilder:
    """Builds ``arena`` in a client, and later adds what world edits write.

    Args:
        client: an empty physics client.
        course: what to build.
        pictures: whether any will be taken; without, the floor has no tiles and things without collision have
            no bodies, which PyBullet would step too.

    """

    def __init__(self, client: Client, course: Course, pictures: bool = True) -> None:
        self.client, self.course, self._pictures = client, course, pictures
        self.arena = Arena(client, course)
        if pictures:
            self._tile_floor()
        self._build_floor()
        walls = {item.position for item in course.of("wall")}
        self.arena.buried = {cell for cell in walls if not _borders_floor(cell, walls, course)}
        for patch in merge(walls - self.arena.buried):
            self.add_wall(patch)
        for item in course.elements:
            if item.kind in _BUILD:
                _BUILD[item.kind](self, item)

    def add(self, item: Element) -> Thing:
        """Put a thing into the world that was not in the course; a reset does not take it away."""
        _BUILD[item.kind](self, item)
        return self.arena.things[item.id]

    def add_wall(self, patch: Patch) -> int:
        """Stand a wall on a rectangle of cells; returns its body."""
        half, position = self._upright(patch)
        body = self._static(self._box(half), appearance.wall(self.client, half), position, "wall", "wall")
        self._filter(body, WALLS, ~(WHEELS | GHOST | STANDING))
        self.arena.walls[body] = patch
        return body

    def add_edge(self) -> None:
        """Stand walls on the course's edge through which a robot that passes walls cannot go."""
        bottom, right = self.course.rows - 1, self.course.columns - 1
        for patch in (
            Patch(0, 0, 0, right),
            Patch(bottom, 0, bottom, right),
            Patch(1, 0, bottom - 1, 0),
            Patch(1, right, bottom - 1, right),
        ):
            half, position = self._upright(patch)
            self._static(self._box(half), -1, position, "wall", "wall")

    # Shapes and bodies

    def _box(self, half: Position) -> int:
        shape: int = self.client.createCollisionShape(self.client.GEOM_BOX, halfExtents=half)
        return shape

    def _filter(self, body: int, group: int, mask: int) -> None:
        self.client.setCollisionFilterGroupMask(body, -1, group, mask)

    def _upright(self, patch: Patch) -> tuple[Position, Position]:
        """Half extents and centre of a wall on ``patch``, m."""
        x0, x1, y0, y1 = bounds(patch, self.course.cell, self.course.rows)
        half = ((x1 - x0) / 2, (y1 - y0) / 2, WALL_HEIGHT / 2)
        return half, ((x0 + x1) / 2, (y0 + y1) / 2, half[2])

    def _place_of(self, item: Element, height: float) -> Position:
        """A place ``height`` m above the ground in the middle of an element's cell."""
        x, y = self.course.centre(*item.position)
        return x, y, height + self.course.elevation(x, y)

    def _static(self, shape: int, visual: int, position: Position, name: str, kind: str) -> int:
        """An immovable body with the friction of its kind."""
        body: int = self.client.createMultiBody(0.0, shape, visual, position, useMaximalCoordinates=1)
        self.client.changeDynamics(body, -1, lateralFriction=FRICTION[kind])
        self._filter(body, STATIC, ~(WHEELS | STANDING))
        self.arena.names[body] = name
        return body

    def _add_thing(self, item: Element, body: int, position: Position, radius: float, loose: bool) -> Thing:
        thing = self.arena.things[item.id] = Thing(item, body, position, position[2], radius, loose)
        return thing

    # Elements

    def _tile_floor(self) -> None:
        course, client = self.course, self.client
        shades: dict[appearance.Colour, list[tuple[float, float]]] = {}
        for row in range(course.rows):
            for column in range(course.columns):
                kinds = {item.kind for item in course.at(row, column)}
                if "wall" not in kinds:
                    shade = appearance.floor_colour(kinds, (row + column) % 2)
                    shades.setdefault(shade, []).append(course.centre(row, column))
        for colour, squares in shades.items():
            visual = appearance.tiles(client, squares, course.cell / 2, colour)
            client.createMultiBody(0.0, -1, visual, (0.0, 0.0, 0.001), useMaximalCoordinates=1)

    def _build_floor(self) -> None:
        client = self.client
        middle = (self.course.width / 2, self.course.height / 2)
        # PyBullet draws a checkered plane unless the body has a visual shape of its own
        apron = appearance.tiles(client, [middle], max(middle) + APRON, appearance.APRON)
        self._add_ground(client.createCollisionShape(client.GEOM_PLANE), apron, (0.0, 0.0, 0.0), "floor")

    def _add_ground(self, shape: int, visual: int, position: Position, name: str) -> None:
        body = self._static(shape, visual, position, name, "ground")
        self._filter(body, STATIC | GROUND, ~STANDING)
        self.arena.ground.add(body)

    def _build_ground(self, item: Element) -> None:
        """A ramp or step: a convex body that wheels may touch."""
        points = self._wedge(item) if isinstance(item, Ramp) else self._slab(item)
        shape = self.client.createCollisionShape(self.client.GEOM_MESH, vertices=points)
        x, y = self.course.centre(*item.position)
        self._add_ground(shape, appearance.ground(self.client, points), (x, y, 0.0), item.id)

    def _wedge(self, item: Ramp) -> list[Position]:
        half, angle = self.course.cell / 2, RAMP_ANGLES[item.direction]
        cosine, sine = round(math.cos(angle)), round(math.sin(angle))
        corners = [(-half, -half), (half, -half), (-half, half), (half, half)]
        top = [
            (x, y, item.base + item.height * ((x * cosine + y * sine) / (2 * half) + 0.5)) for x, y in corners
        ]
        return [(x, y, -0.05) for x, y in corners] + top

    def _slab(self, item: Element) -> list[Position]:
        """A slab, chamfered at each edge beside which the ground is lower and no wall stands."""
        assert isinstance(item, Step)
        half = self.course.cell / 2
        x, y = self.course.centre(*item.position)
        inset = {}
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            beside = self.course.elevation(x + dx * (half + 0.001), y + dy * (half + 0.001))
            walled = any(other.kind == "wall" for other in self.course.at(item.row - dy, item.column + dx))
            drop = 0.0 if walled else max(0.0, item.height - beside)
            inset[dx, dy] = 0.0 if drop < 0.005 else min(item.height / KERB_SLOPE, half * 0.9)
        corners = [(-1, -1), (1, -1), (-1, 1), (1, 1)]
        bottom = [(sx * half, sy * half, 0.0) for sx, sy in corners]
        top = [(sx * (half - inset[sx, 0]), sy * (half - inset[0, sy]), item.height) for sx, sy in corners]
        return bottom + top

    def _build_block(self, item: Element) -> None:
        side = self.course.cell * BLOCK_SHARE / 2
        half = (side, side, BLOCK_HEIGHT / 2)
        visual = appearance.block(self.client, half, appearance.colour_of(item))
        self._add_loose(item, self._box(half), visual, half[2], radius=side)

    def _build_fragile(self, item: Element) -> None:
        cylinder = self.client.GEOM_CYLINDER
        shape = self.client.createCollisionShape(cylinder, radius=FRAGILE_RADIUS, height=FRAGILE_HEIGHT)
        visual = appearance.mesh(self.client, appearance.MESHES["vase"], appearance.colour_of(item))
        self._add_loose(item, shape, visual, FRAGILE_HEIGHT / 2, radius=FRAGILE_RADIUS)

    def _add_loose(self, item: Element, shape: int, visual: int, height: float, radius: float) -> None:
        position = self._place_of(item, height)
        body = self.client.createMultiBody(1.0, shape, visual, position)
        self._filter(body, LOOSE, ~WHEELS)
        self.arena.names[body] = item.id
        self.arena.set_mass(self._add_thing(item, body, position, radius, True))

    def _build_object(self, item: Element) -> None:
        shape = "key" if item.kind == "key" else str(item.properties["shape"])
        draw = partial(appearance.mesh, self.client, appearance.MESHES[shape], appearance.colour_of(item))
        self._add_intangible(item, draw, OBJECT_HEIGHT, appearance.SIZE)

    def _build_marker(self, item: Element) -> None:
        is_corner, side = item.properties["shape"] == "corner", self.course.cell
        marker = appearance.corner if is_corner else appearance.finish_pad
        draw = partial(marker, self.client, side, appearance.colour_of(item))
        self._add_intangible(item, draw, 0.0, side / 2)

    def _add_intangible(self, item: Element, draw: Callable[[], int], height: float, radius: float) -> None:
        """A thing without collision: where no picture is taken, a place without a body."""
        position, body = self._place_of(item, height), NO_BODY
        if self._pictures:
            body = self.client.createMultiBody(0.0, -1, draw(), position)
            self._filter(body, 0, 0)
        self._add_thing(item, body, position, radius, False)

    def _build_chest(self, item: Element) -> None:
        visual = appearance.chest(self.client, CHEST, appearance.colour_of(item))
        position = self._place_of(item, CHEST[2])
        body = self._static(self._box(CHEST), visual, position, item.id, "chest")
        self._add_thing(item, body, position, CHEST[0], False)

    def _build_gate(self, item: Element) -> None:
        assert isinstance(item, Gate)
        half = (self.course.cell / 2, self.course.cell / 2, WALL_HEIGHT / 2)
        position = (*self.course.centre(*item.position), half[2] - 0.001)
        body = self._static(self._box(half), appearance.gate(self.client, half), position, item.id, "gate")
        self._filter(body, WALLS, ~(WHEELS | GHOST | STANDING))
        box = bounds(Patch(*item.position, *item.position), self.course.cell, self.course.rows)
        self.arena.gates.append(GateState(item, body, box))


def _borders_floor(cell: Cell, walls: set[Cell], course: Course) -> bool:
    """Whether one of the eight cells around is neither a wall nor outside the map."""
    around = [(cell[0] + dr, cell[1] + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)]
    return any(course.inside(*place) and place not in walls for place in around)


_BUILD = {
    "block": ArenaBuilder._build_block,
    "fragile": ArenaBuilder._build_fragile,
    "coin": ArenaBuilder._build_object,
    "decoy": ArenaBuilder._build_object,
    "key": ArenaBuilder._build_object,
    "chest": ArenaBuilder._build_chest,
    "marker": ArenaBuilder._build_marker,
    "gate": ArenaBuilder._build_gate,
    "ramp": ArenaBuilder._build_ground,
    "step": ArenaBuilder._build_ground,
}
