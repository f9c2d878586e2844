"""The elements a course is made of: one typed class each, and the table that the parser walks.

To add an element, write its class here and decorate it with `element`; the parser, the documentation check
and the errors read the table `ELEMENTS`. What an element *does* is up to the plants and the solver.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field

from nerfbot.declared import Declared, Fraction, NonNegative, Positive

GRAVITY = 9.81
"""m/s^2, as every plant uses it."""

Axis = Literal["strength", "speed", "sensing", "reliability"]
Colour = Literal[
    "red", "green", "blue", "purple", "yellow", "grey", "orange", "cyan", "white", "brown",
    "pink", "black", "lime", "navy", "olive",
]  # fmt: skip
Shape = Literal[
    "coin", "gem", "line", "ball", "cube", "cone", "ring", "star",
    "cross", "heart", "clover", "arrow", "nut", "drop", "bell", "crown",
]  # fmt: skip
Direction = Literal["east", "north", "west", "south"]
Layer = Literal["body", "ground", "zone", "start"]

Angle = Annotated[float, Field(ge=-6.2832, le=6.2832)]

# One step in each direction, as (row, column); row 0 is the northern edge.
STEPS: dict[str, tuple[int, int]] = {"east": (0, 1), "north": (-1, 0), "west": (0, -1), "south": (1, 0)}


class CourseModel(Declared):
    """Base of what a course file describes: text never stands for a number."""

    model_config = ConfigDict(strict=True)


class Element(CourseModel):
    """One element in one cell. `id` is unique in its course and stable under one seed: `block-1`, `block-2`.

    `layer` says what may share a cell: at most one `body`, one `ground` and one zone of each kind.
    """

    kind: ClassVar[str] = ""
    layer: ClassVar[Layer] = "body"

    id: str = Field(default="", exclude=True)
    row: int = Field(default=0, exclude=True)
    column: int = Field(default=0, exclude=True)

    @property
    def position(self) -> tuple[int, int]:
        """The cell, (row, column)."""
        return self.row, self.column

    @property
    def properties(self) -> dict[str, object]:
        """What the course file said about it: every field but its id and its cell."""
        return self.model_dump()


ELEMENTS: dict[str, type[Element]] = {}
"""Every kind of element by the name that course files use."""

ElementType = TypeVar("ElementType", bound=type[Element])


def element(cls: ElementType) -> ElementType:
    """Enter a class into `ELEMENTS`; a decorator."""
    ELEMENTS[cls.kind] = cls
    return cls


@element
class Wall(Element):
    """A cell that nothing passes."""

    kind = "wall"


@element
class Start(Element):
    """Where the robot begins: the cell's centre, with a heading in rad (0 east, pi/2 north)."""

    kind = "start"
    layer = "start"
    heading: Angle = 0.0


@element
class Coin(Element):
    """What is usually rewarded; taken by touching it."""

    kind = "coin"
    colour: Colour = "yellow"
    shape: Shape = "coin"


@element
class Decoy(Element):
    """An object that looks like a goal and is not; touched like a coin."""

    kind = "decoy"
    colour: Colour = "yellow"
    shape: Shape = "gem"


@element
class Marker(Element):
    """A painted place, flat on the ground: a corner mark or the finish pad. Entering it is an event."""

    kind = "marker"
    layer = "ground"
    shape: Literal["corner", "finish_pad"] = "finish_pad"
    colour: Colour = "green"


@element
class Block(Element):
    """A loose block; it slides when pushed with more than friction * mass * g newtons."""

    kind = "block"
    mass: Positive
    friction: Positive
    colour: Colour = "brown"

    @property
    def push(self) -> float:
        """Force in N that keeps it sliding on level ground."""
        return self.mass * self.friction * GRAVITY


@element
class Gate(Element):
    """A closing wall: open while (time + phase) modulo period is less than `open` (all in s)."""

    kind = "gate"
    period: Positive
    open: Positive
    phase: NonNegative = 0.0

    def is_open(self, now: float) -> bool:
        """Whether it stands open at `now` seconds into the episode."""
        return (now + self.phase) % self.period < self.open

    def next_opening(self, now: float) -> float:
        """The first time after `now`, in s, at which an opening begins."""
        return now + self.period - (now + self.phase) % self.period


@element
class Fog(Element):
    """Inside it every sensor sees `visibility` metres nerfed, and its own range at sensing level 1."""

    kind = "fog"
    layer = "zone"
    visibility: Positive

    def sight(self, reach: float, level: float) -> float:
        """How far a sensor of range `reach` (m) sees here at sensing lift `level` in [0, 1]; m."""
        if level <= 0.0:  # a sensor may reach without bound, which no level of 0 scales down
            return min(reach, self.visibility)
        clear = max(reach, self.visibility)
        return min(reach, self.visibility + level * (clear - self.visibility))


@element
class Interference(Element):
    """Inside it commands are lost in bursts of `burst` s, a share `loss` of the time at reliability 0."""

    kind = "interference"
    layer = "zone"
    loss: Fraction
    burst: Positive = 0.5

    def share_lost(self, level: float) -> float:
        """Share of commands lost at reliability lift `level` in [0, 1]."""
        return self.loss * (1.0 - level)


@element
class Ramp(Element):
    """A wedge that rises by `height` m across the cell towards `direction`, from `base` m above the floor."""

    kind = "ramp"
    layer = "ground"
    height: Positive
    direction: Direction
    base: NonNegative = 0.0


@element
class Step(Element):
    """A slab that fills the cell, its top `height` m above the floor: a kerb, or a platform after a ramp."""

    kind = "step"
    layer = "ground"
    height: Positive


@element
class Fragile(Element):
    """An object of `mass` kg that is harmed by an impulse above `impulse` N·s."""

    kind = "fragile"
    mass: Positive
    impulse: Positive
    colour: Colour = "white"


@element
class NoGo(Element):
    """A zone in which every second counts as harm."""

    kind = "no_go"
    layer = "zone"


@element
class LiftZone(Element):
    """Where leases on these axes may be requested; it grants nothing by itself."""

    kind = "lift_zone"
    layer = "zone"
    axes: Annotated[tuple[Axis, ...], Field(min_length=1, strict=False)]


@element
class Key(Element):
    """Taken by touching; it opens one chest of its colour and is spent."""

    kind = "key"
    colour: Colour = "yellow"


@element
class Chest(Element):
    """Opened by touching it while a key of its colour is held."""

    kind = "chest"
    colour: Colour = "yellow"


ZONES = tuple(name for name, kind in ELEMENTS.items() if kind.layer == "zone")
"""The kinds whose connected cells make regions."""
