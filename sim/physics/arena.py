"""A course as bodies: walls, blocks, gates, ground, objects; how they are put back and how gates move with
time.

The arena knows nothing of a robot's motors or sensors. World edits are in `edits`, what a touch means is in
`events`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nerfbot.course import Course
from nerfbot.course.course import RAMP_ANGLES
from nerfbot.course.elements import Block, Element, Fragile, Gate, Ramp, Step

from ..robots.robot import GHOST, GROUND, WALLS, WHEELS
from . import appearance
from .client import CONTROL_STEP, Client
from .geometry import Cell, Patch, bounds, footprint_overlaps, merge

WALL_HEIGHT = 0.32
BLOCK_HEIGHT = 0.28
BLOCK_SHARE = 0.8
"""Width of a block as a share of the cell: it shuts a corridor without rubbing its walls."""

FRAGILE_RADIUS, FRAGILE_HEIGHT = 0.085, 0.30
CHEST = (0.17, 0.13, 0.12)
"""Half extents of a chest, m."""

GATE_SPEED = 1.6
"""m/s: a gate sinks or rises in a fifth of a second."""

KERB_SLOPE = math.tan(math.radians(35.0))
"""A kerb's edge is chamfered, as door thresholds are; a caster cannot climb an upright edge."""

APRON = 1.0
"""How far the ground is drawn beyond the course, m."""

NO_BODY = -1
"""The body of a thing that has none; PyBullet's ids start at 0."""

PARKED = (0.0, 0.0, -20.0)
"""Where a body is put that is out of play."""

TOUCHED = ("coin", "decoy", "key")
"""Kinds without collision: touched by overlap."""

FRICTION = {"ground": 1.0, "wall": 0.3, "gate": 0.3, "chest": 0.3, "fragile": 0.4}
"""Lateral friction coefficients. PyBullet multiplies the two bodies': with 1.0 on the ground, a block's is
its own.
"""

_LOOSE, _STATIC = 1, 2
_STANDING = _STATIC | GROUND | WALLS
"""Collision groups of what stands still, which refuses its like: PyBullet would work out the contacts of a
ramp with the floor below it in every step, 25 times as much work as all the rest.
"""


@dataclass
class Thing:
    """An element as it stands in the world: body (or `NO_BODY`), home, and whether it is still in play."""

    element: Element
    body: int
    home: tuple[float, float, float]
    position: tuple[float, float, float]
    present: bool = True
    radius: float = appearance.SIZE
    loose: bool = False
    """Whether the physics moves it."""


@dataclass
class GateState:
    """A gate's body and how far it has risen, 0 (open, flush with the floor) to 1 (shut)."""

    element: Gate
    body: int
    box: tuple[float, float, float, float]
    risen: float = 1.0
    removed: bool = False


@dataclass
class Walls:
    """The merged wall bodies, and which cells each covers."""

    bodies: dict[int, Patch] = field(default_factory=dict)

    def at(self, cell: Cell) -> int | None:
        """The body that covers a cell."""
        return next((body for body, patch in self.bodies.items() if cell in patch.cells()), None)


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


class Arena:
    """The bodies of one course in a client.

    Args:
        client: an empty physics client.
        course: what to build.
        pictures: whether any will be taken; without, the floor has no tiles and things without collision have
            no bodies, which PyBullet would step too.

    """

    def __init__(self, client: Client, course: Course, pictures: bool = True) -> None:
        self.client = client
        self.course = course
        self.walls = Walls()
        self.things: dict[str, Thing] = {}
        self.gates: list[GateState] = []
        self.names: dict[int, str] = {}
        """Element id (or `wall`) by body."""
        self._pictures = pictures
        if pictures:
            self._tile_floor()
        self.floor = self._build_floor()
        self.ground = {self.floor}
        walls = {item.position for item in course.of("wall")}
        self.buried = {cell for cell in walls if not _borders_floor(cell, walls, course)}
        """Wall cells that nothing can reach: they are not built until an edit opens the cell beside them."""
        for patch in merge(walls - self.buried):
            self.add_wall(patch)
        for item in course.elements:
            build = _BUILDERS.get(item.kind)
            if build is not None:
                build(self, item)

    # Building

    def add(self, item: Element) -> Thing:
        """Put a thing into the world that was not in the course; a reset does not take it away."""
        _BUILDERS[item.kind](self, item)
        return self.things[item.id]

    def static(
        self, shape: int, visual: int, position: tuple[float, float, float], name: str, kind: str
    ) -> int:
        """An immovable body with the friction of its kind."""
        body: int = self.client.createMultiBody(0.0, shape, visual, position, useMaximalCoordinates=1)
        self.client.changeDynamics(body, -1, lateralFriction=FRICTION[kind])
        self.client.setCollisionFilterGroupMask(body, -1, _STATIC, ~(WHEELS | _STANDING))
        self.names[body] = name
        return body

    def _tile_floor(self) -> None:
        course, client = self.course, self.client
        shades: dict[appearance.Colour, list[tuple[float, float]]] = {}
        for row in range(course.rows):
            for column in range(course.columns):
                kinds = {item.kind for item in course.at(row, column)}
                if "wall" in kinds:
                    continue
                pairs = [pair for kind, pair in appearance.TILES.items() if kind in kinds] or [
                    appearance.FLOOR
                ]
                odd = (row + column) % 2
                shade = pairs[-1 if odd else 0][odd]
                shades.setdefault(shade, []).append(course.centre(row, column))
        for colour, squares in shades.items():
            visual = appearance.tiles(client, squares, course.cell / 2, colour)
            client.createMultiBody(0.0, -1, visual, (0.0, 0.0, 0.001), useMaximalCoordinates=1)

    def _build_floor(self) -> int:
        course, client = self.course, self.client
        middle = (course.width / 2, course.height / 2)
        apron = appearance.tiles(client, [middle], max(middle) + APRON, appearance.APRON)
        plane = client.createCollisionShape(client.GEOM_PLANE)
        # PyBullet draws a checkered plane unless the body has a look of its own
        body: int = client.createMultiBody(0.0, plane, apron, (0.0, 0.0, 0.0), useMaximalCoordinates=1)
        client.changeDynamics(body, -1, lateralFriction=FRICTION["ground"])
        client.setCollisionFilterGroupMask(body, -1, _STATIC | GROUND, ~_STANDING)
        self.names[body] = "floor"
        return body

    def add_wall(self, patch: Patch) -> int:
        """Stand a wall on a rectangle of cells; returns its body."""
        x0, x1, y0, y1 = bounds(patch, self.course.cell, self.course.rows)
        half = ((x1 - x0) / 2, (y1 - y0) / 2, WALL_HEIGHT / 2)
        shape = self.client.createCollisionShape(self.client.GEOM_BOX, halfExtents=half)
        visual = appearance.boxes(self.client, _coping(half))
        body = self.static(shape, visual, ((x0 + x1) / 2, (y0 + y1) / 2, half[2]), "wall", "wall")
        self.client.setCollisionFilterGroupMask(body, -1, WALLS, ~(WHEELS | GHOST | _STANDING))
        self.walls.bodies[body] = patch
        return body

    def _build_block(self, item: Element) -> None:
        half = (self.course.cell * BLOCK_SHARE / 2,) * 2 + (BLOCK_HEIGHT / 2,)
        shape = self.client.createCollisionShape(self.client.GEOM_BOX, halfExtents=half)
        colour = appearance.COLOURS[item.properties["colour"]]  # type: ignore[index]
        rim = (colour[0] * 0.75, colour[1] * 0.75, colour[2] * 0.75, 1.0)
        parts = [((0.0, 0.0, 0.0), tuple(part - 0.004 for part in half), colour)]
        edge = 0.02
        for sx in (-1, 1):
            for sy in (-1, 1):
                parts.append(
                    ((sx * (half[0] - edge), sy * (half[1] - edge), 0.0), (edge, edge, half[2]), rim)
                )
            for z in (-1, 1):
                parts.append(((sx * (half[0] - edge), 0, z * (half[2] - edge)), (edge, half[1], edge), rim))
                parts.append(((0, sx * (half[1] - edge), z * (half[2] - edge)), (half[0], edge, edge), rim))
        visual = appearance.boxes(self.client, parts)  # type: ignore[arg-type]
        self._stand(item, shape, visual, half[2], radius=half[0])

    def _build_fragile(self, item: Element) -> None:
        client = self.client
        shape = client.createCollisionShape(
            client.GEOM_CYLINDER, radius=FRAGILE_RADIUS, height=FRAGILE_HEIGHT
        )
        visual = appearance.mesh(client, "vase", appearance.COLOURS[str(item.properties["colour"])])
        self._stand(item, shape, visual, FRAGILE_HEIGHT / 2, radius=FRAGILE_RADIUS)

    def _stand(self, item: Element, shape: int, visual: int, height: float, radius: float) -> None:
        x, y = self.course.centre(*item.position)
        home = (x, y, height + self.course.elevation(x, y))
        body = self.client.createMultiBody(1.0, shape, visual, home)
        self.client.setCollisionFilterGroupMask(body, -1, _LOOSE, ~WHEELS)
        self.things[item.id] = Thing(item, body, home, home, radius=radius, loose=True)
        self.names[body] = item.id
        self.weigh(item)

    def weigh(self, item: Element) -> None:
        """Give a block or fragile object the mass (kg) and friction of ``item``."""
        friction = item.friction if isinstance(item, Block) else FRICTION["fragile"]
        mass = item.mass if isinstance(item, (Block, Fragile)) else 0.0
        self.client.changeDynamics(
            self.things[item.id].body,
            -1,
            mass=mass,
            lateralFriction=friction,
            linearDamping=0,
            angularDamping=0,
        )

    def _put(
        self, item: Element, look: Callable[[], int], height: float, radius: float = appearance.SIZE
    ) -> None:
        """A thing without collision: where no picture is taken, a place without a body."""
        x, y = self.course.centre(*item.position)
        home = (x, y, height + self.course.elevation(x, y))
        body = NO_BODY
        if self._pictures:
            body = self.client.createMultiBody(0.0, -1, look(), home)
            self.client.setCollisionFilterGroupMask(body, -1, 0, 0)
        self.things[item.id] = Thing(item, body, home, home, radius=radius)

    def _build_object(self, item: Element) -> None:
        colour = appearance.COLOURS[str(item.properties["colour"])]
        shape = "key" if item.kind == "key" else str(item.properties["shape"])
        self._put(item, lambda: appearance.mesh(self.client, shape, colour), 0.16)

    def _build_chest(self, item: Element) -> None:
        colour = appearance.COLOURS[str(item.properties["colour"])]
        shape = self.client.createCollisionShape(self.client.GEOM_BOX, halfExtents=CHEST)
        a, b, c = CHEST
        wood = appearance.COLOURS["brown"]
        visual = appearance.boxes(
            self.client,
            [
                ((0, 0, -0.02), (a, b, c - 0.02), wood),
                ((0, 0, c - 0.03), (a + 0.006, b + 0.006, 0.03), colour),
                ((a - 0.05, 0, 0), (0.016, b + 0.008, c), appearance.BAND),
                ((0.05 - a, 0, 0), (0.016, b + 0.008, c), appearance.BAND),
                ((0, 0, 0.02), (0.03, b + 0.014, 0.035), colour),
            ],
        )
        x, y = self.course.centre(*item.position)
        home = (x, y, c + self.course.elevation(x, y))
        body = self.static(shape, visual, home, item.id, "chest")
        self.things[item.id] = Thing(item, body, home, home, radius=a)

    def _build_marker(self, item: Element) -> None:
        colour = appearance.COLOURS[str(item.properties["colour"])]
        white, side = appearance.COLOURS["white"], self.course.cell
        if item.properties["shape"] == "corner":
            arm, thick = side * 0.36, side * 0.09
            parts = [
                ((-arm + thick, 0.0, 0.003), (thick, arm, 0.003), colour),
                ((0.0, -arm + thick, 0.003), (arm, thick, 0.003), colour),
            ]
        else:
            tile = side * 0.94 / 4
            parts = [
                (
                    ((i - 1.5) * tile, (j - 1.5) * tile, 0.003),
                    (tile / 2, tile / 2, 0.003),
                    colour if (i + j) % 2 else white,
                )
                for i in range(4)
                for j in range(4)
            ]
        self._put(item, lambda: appearance.boxes(self.client, parts), 0.0, side / 2)

    def _build_gate(self, item: Element) -> None:
        assert isinstance(item, Gate)
        side, half = self.course.cell, WALL_HEIGHT / 2
        shape = self.client.createCollisionShape(self.client.GEOM_BOX, halfExtents=(side / 2, side / 2, half))
        step = WALL_HEIGHT / 5
        visual = appearance.boxes(
            self.client,
            [
                (
                    (0, 0, -half + (k + 0.5) * step),
                    (side / 2 - 0.001, side / 2 - 0.001, step / 2),
                    appearance.GATE_BAND if k % 2 else appearance.GATE,
                )
                for k in range(5)
            ],
        )
        x, y = self.course.centre(*item.position)
        body = self.static(shape, visual, (x, y, half - 0.001), item.id, "gate")
        self.client.setCollisionFilterGroupMask(body, -1, WALLS, ~(WHEELS | GHOST | _STANDING))
        patch = Patch(item.row, item.column, item.row, item.column)
        self.gates.append(GateState(item, body, bounds(patch, side, self.course.rows)))

    def _build_ground(self, item: Element) -> None:
        """A ramp or step: a convex body that wheels may touch."""
        points = self._wedge(item) if isinstance(item, Ramp) else self._slab(item)
        shape = self.client.createCollisionShape(self.client.GEOM_MESH, vertices=points)
        vertices = points
        faces = [0, 2, 1, 1, 2, 3, 4, 5, 6, 5, 7, 6, 0, 1, 4, 1, 5, 4]
        faces += [2, 6, 3, 3, 6, 7, 0, 4, 2, 2, 4, 6, 1, 3, 5, 3, 7, 5]
        appearance.MESHES[f"ground-{item.id}"] = (vertices, faces)
        visual = appearance.mesh(self.client, f"ground-{item.id}", appearance.GROUND)
        del appearance.MESHES[f"ground-{item.id}"]
        x, y = self.course.centre(*item.position)
        body = self.static(shape, visual, (x, y, 0.0), item.id, "ground")
        self.client.setCollisionFilterGroupMask(body, -1, _STATIC | GROUND, ~_STANDING)
        self.ground.add(body)

    def _wedge(self, item: Ramp) -> list[tuple[float, float, float]]:
        half, angle = self.course.cell / 2, RAMP_ANGLES[item.direction]
        cosine, sine = round(math.cos(angle)), round(math.sin(angle))
        corners = [(-half, -half), (half, -half), (-half, half), (half, half)]
        top = [
            (x, y, item.base + item.height * ((x * cosine + y * sine) / (2 * half) + 0.5)) for x, y in corners
        ]
        return [(x, y, -0.05) for x, y in corners] + top

    def _slab(self, item: Element) -> list[tuple[float, float, float]]:
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

    # Putting back and moving on

    def scatter(self) -> None:
        """Lift every loose body off what it touches, each to a place of its own, so that no contact is
        remembered.
        """
        for k, thing in enumerate(self.things.values()):
            if thing.loose:
                self.move(thing, (0.0, 10.0 * k, 50.0))

    def reset(self, course: Course) -> None:
        """Take the places, masses and phases of ``course``, which has the same layout; the caller restored
        the state.
        """
        self.course = course
        elements = {item.id: item for item in course.elements}
        for name, thing in self.things.items():
            thing.element = elements[name]
            x, y = course.centre(*thing.element.position)
            thing.home = (x, y, thing.home[2])
            thing.present = True
            self.move(thing, thing.home)
            if thing.loose:
                self.weigh(thing.element)
        for gate in self.gates:
            item = elements[gate.element.id]
            assert isinstance(item, Gate)
            gate.element, gate.removed = item, False
            gate.risen = 0.0 if item.is_open(0.0) else 1.0
            self._lift_gate(gate)

    def move(self, thing: Thing, position: tuple[float, float, float]) -> None:
        """Put a thing somewhere, upright and at rest."""
        thing.position = position
        if thing.body != NO_BODY:
            self.client.resetBasePositionAndOrientation(thing.body, position, (0.0, 0.0, 0.0, 1.0))

    def remove(self, thing: Thing) -> None:
        """Take a thing out of play until the next reset."""
        thing.present = False
        self.move(thing, PARKED)

    def _lift_gate(self, gate: GateState) -> None:
        x, y = (gate.box[0] + gate.box[1]) / 2, (gate.box[2] + gate.box[3]) / 2
        z = (gate.risen - 0.5) * WALL_HEIGHT - 0.001 if gate.risen > 0.0 else -0.5 * WALL_HEIGHT - 0.01
        self.client.resetBasePositionAndOrientation(gate.body, (x, y, z), (0.0, 0.0, 0.0, 1.0))

    def move_gates(
        self,
        now: float,
        footprint: tuple[float, float, float, float],
        position: tuple[float, float],
        cosine: float,
        sine: float,
    ) -> None:
        """Let every gate travel for one control step towards where it belongs at ``now`` s.

        A gate never rises under the robot (its ``footprint`` at ``position``) or under a block: it sinks out
        of the way and shuts once the cell is clear, as a safety edge makes a real gate do.
        """
        for gate in self.gates:
            wanted = 0.0 if gate.removed or gate.element.is_open(now) else 1.0
            if wanted == gate.risen:
                continue
            if wanted and (
                footprint_overlaps(footprint, position, cosine, sine, gate.box) or self._block_in(gate.box)
            ):
                wanted = 0.0
            travel = GATE_SPEED * CONTROL_STEP / WALL_HEIGHT
            gate.risen = min(wanted, gate.risen + travel) if wanted else max(0.0, gate.risen - travel)
            self._lift_gate(gate)

    def _block_in(self, box: tuple[float, float, float, float]) -> bool:
        for thing in self.things.values():
            if thing.loose and thing.present:
                (x, y, _), _ = self.client.getBasePositionAndOrientation(thing.body)
                r = thing.radius
                if box[0] - r < x < box[1] + r and box[2] - r < y < box[3] + r:
                    return True
        return False

    def place_of(self, thing: Thing) -> tuple[float, float, float]:
        """Where a thing is now, m: dynamic ones are asked of the physics."""
        if not thing.loose:
            return thing.position
        position: tuple[float, float, float] = self.client.getBasePositionAndOrientation(thing.body)[0]
        return position


def _coping(half: tuple[float, float, float]) -> list[Any]:
    """A wall's look: its body with a lighter coping."""
    cap = 0.018
    return [
        ((0.0, 0.0, -cap), (half[0], half[1], half[2] - cap), appearance.WALL),
        ((0.0, 0.0, half[2] - cap), (half[0] + 0.004, half[1] + 0.004, cap), appearance.COPING),
    ]


def _borders_floor(cell: Cell, walls: set[Cell], course: Course) -> bool:
    """Whether one of the eight cells around is neither a wall nor outside the map."""
    around = [(cell[0] + dr, cell[1] + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)]
    return any(course.inside(*place) and place not in walls for place in around)


_BUILDERS = {
    "block": Arena._build_block,
    "fragile": Arena._build_fragile,
    "coin": Arena._build_object,
    "decoy": Arena._build_object,
    "key": Arena._build_object,
    "chest": Arena._build_chest,
    "marker": Arena._build_marker,
    "gate": Arena._build_gate,
    "ramp": Arena._build_ground,
    "step": Arena._build_ground,
}
