"""The bodies of a course while it is used: where they are, how a reset puts them back, how gates move.

`arena_builder` creates the bodies. World edits and the meaning of a touch belong to the plant.
"""

from __future__ import annotations

from dataclasses import dataclass

from nerfbot.course import Course
from nerfbot.course.elements import Block, Element, Fragile, Gate

from .appearance import SIZE
from .client import CONTROL_STEP, Client
from .geometry import Cell, Patch, footprint_overlaps

WALL_HEIGHT = 0.32
"""Of walls and shut gates, m."""

GATE_SPEED = 1.6
"""m/s: a gate sinks or rises in a fifth of a second."""

NO_BODY = -1
"""The body of a thing that has none; PyBullet's ids start at 0."""

PARKED = (0.0, 0.0, -20.0)
"""Position of a body that is out of play."""

UPRIGHT = (0.0, 0.0, 0.0, 1.0)

FRICTION = {"ground": 1.0, "wall": 0.3, "gate": 0.3, "chest": 0.3, "fragile": 0.4}
"""Lateral friction coefficients. PyBullet multiplies the two bodies': with 1.0 on the ground, a block's is
its own.
"""

Position = tuple[float, float, float]
Box = tuple[float, float, float, float]


@dataclass
class Thing:
    """An element in the world: its body (or `NO_BODY`), where it was put (m), whether the physics moves it
    (``loose``) and whether it is still in play; ``radius`` and ``height`` of its centre in m.
    """

    element: Element
    body: int
    position: Position
    height: float
    radius: float = SIZE
    loose: bool = False
    present: bool = True


@dataclass
class GateState:
    """A gate's body and how far it has risen, 0 (open, flush with the floor) to 1 (shut)."""

    element: Gate
    body: int
    box: Box
    risen: float = 1.0
    removed: bool = False


class Arena:
    """The bodies of one course, as `ArenaBuilder` creates them."""

    def __init__(self, client: Client, course: Course) -> None:
        self.client, self.course = client, course
        self.walls: dict[int, Patch] = {}
        """The cells that each wall body covers."""
        self.buried: set[Cell] = set()
        """Wall cells that nothing can reach: they have no body until an edit opens a cell beside them."""
        self.things: dict[str, Thing] = {}
        self.gates: list[GateState] = []
        self.names: dict[int, str] = {}
        """Element id (or `wall`) by body."""
        self.ground: set[int] = set()
        """The floor, ramps and steps."""

    def wall_at(self, cell: Cell) -> int | None:
        """The wall body that covers a cell."""
        return next((body for body, patch in self.walls.items() if cell in patch.cells()), None)

    def position_of(self, thing: Thing) -> Position:
        """Where a thing is now, m: the physics is asked only about what it moves."""
        if not thing.loose:
            return thing.position
        position: Position = self.client.getBasePositionAndOrientation(thing.body)[0]
        return position

    def scatter(self) -> None:
        """Lift every loose body off what it touches, each to a place of its own, so that no contact lasts."""
        for k, thing in enumerate(self.things.values()):
            if thing.loose:
                self.move(thing, (0.0, 10.0 * k, 50.0))

    def reset(self, course: Course) -> None:
        """Take places, masses and phases from ``course``, which has the same layout; the caller has restored
        the state of the physics.
        """
        self.course = course
        elements = {item.id: item for item in course.elements}
        for name, thing in self.things.items():
            thing.element = elements[name]
            x, y = course.centre(*thing.element.position)
            thing.present = True
            self.move(thing, (x, y, thing.height))
            if thing.loose:
                self.set_mass(thing)
        for gate in self.gates:
            item = elements[gate.element.id]
            assert isinstance(item, Gate)
            gate.element, gate.removed = item, False
            gate.risen = 0.0 if item.is_open(0.0) else 1.0
            self._place_gate(gate)

    def set_mass(self, thing: Thing) -> None:
        """Give a loose body the mass (kg) and friction of its element."""
        item = thing.element
        friction = item.friction if isinstance(item, Block) else FRICTION["fragile"]
        mass = item.mass if isinstance(item, (Block, Fragile)) else 0.0
        self.client.changeDynamics(
            thing.body, -1, mass=mass, lateralFriction=friction, linearDamping=0, angularDamping=0
        )

    def move(self, thing: Thing, position: Position) -> None:
        """Put a thing somewhere, upright and at rest."""
        thing.position = position
        if thing.body != NO_BODY:
            self.client.resetBasePositionAndOrientation(thing.body, position, UPRIGHT)

    def remove(self, thing: Thing) -> None:
        """Take a thing out of play until the next reset."""
        thing.present = False
        self.move(thing, PARKED)

    def move_gates(
        self, now: float, footprint: Box, position: tuple[float, float], cosine: float, sine: float
    ) -> None:
        """Let every gate travel for one control step towards where it belongs at ``now`` s.

        A gate never rises under the robot (its ``footprint`` at ``position``) or under a block: it sinks out
        of the way and shuts once the cell is clear, as a safety edge makes a real gate do.
        """
        travel = GATE_SPEED * CONTROL_STEP / WALL_HEIGHT
        for gate in self.gates:
            target = 0.0 if gate.removed or gate.element.is_open(now) else 1.0
            if target == gate.risen:
                continue
            if target and (
                footprint_overlaps(footprint, position, cosine, sine, gate.box) or self._has_loose(gate.box)
            ):
                target = 0.0
            gate.risen = min(target, gate.risen + travel) if target else max(0.0, gate.risen - travel)
            self._place_gate(gate)

    def _place_gate(self, gate: GateState) -> None:
        x, y = (gate.box[0] + gate.box[1]) / 2, (gate.box[2] + gate.box[3]) / 2
        z = (gate.risen - 0.5) * WALL_HEIGHT - 0.001 if gate.risen > 0.0 else -0.5 * WALL_HEIGHT - 0.01
        self.client.resetBasePositionAndOrientation(gate.body, (x, y, z), UPRIGHT)

    def _has_loose(self, box: Box) -> bool:
        """Whether a loose thing stands in ``box``."""
        for thing in self.things.values():
            if thing.loose and thing.present:
                x, y, _ = self.position_of(thing)
                r = thing.radius
                if box[0] - r < x < box[1] + r and box[2] - r < y < box[3] + r:
                    return True
        return False
