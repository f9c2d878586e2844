"""Trials that both plants play: a script of orders, and the facts by which their outcomes are compared."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from nerfbot.course import Course
from nerfbot.limits import NerfSpec

Cell = tuple[int, int]

STILL = 2.5
"""s without moving after which a drive is given up as blocked."""


@dataclass(frozen=True)
class Order:
    """One line of a script.

    `drive` goes `cells` in direction `heading`, for `seconds` at most, giving up after `patience` s of
    standing still; `wait` stands until the time `seconds`; `look` notes what is observed; `ask` asks for the
    script's lift, once, at the time `seconds`; an edit's name does that edit at `cell` (`write`: what a
    rewritten cell becomes).
    """

    action: str
    heading: str = "east"
    cells: int = 0
    seconds: float = 60.0
    patience: float = STILL
    cell: Cell | None = None
    write: str = "floor"


@dataclass
class Facts:
    """What happened during a script, as both plants can say it.

    `bodies` are what stands where at the end (walls aside), `arrivals` the time in s at which each cell was
    first entered, `legal` whether each edit was done, `granted` whether the lift was granted.
    """

    course: Course
    cell: Cell = (0, 0)
    bodies: dict[Cell, str] = field(default_factory=dict)
    arrivals: dict[Cell, float] = field(default_factory=dict)
    reward: float = 0.0
    first_contact: str = "none"
    keys: int = 0
    impacts: int = 0
    no_go: float = 0.0
    observed: frozenset[Cell] = frozenset()
    granted: bool | None = None
    lifted: bool = False
    legal: list[bool] = field(default_factory=list)


@dataclass(frozen=True)
class Trial:
    """One situation drawn at random: course, nerf, lift, script, and the question whose answer is compared.

    `edits` are granted throughout; so is `lift`, unless the script asks for it in a lift zone. What is left
    to chance is played `repeats` times, from as many seeds, and the commonest answer counts. `note` tells
    what was drawn, for the message of a disagreement.
    """

    text: str
    script: tuple[Order, ...]
    outcome: Callable[[Facts], Hashable]
    nerf: NerfSpec | str = "rover-weak"
    lift: Mapping[str, float] = field(default_factory=dict)
    edits: tuple[str, ...] = ()
    note: str = ""
    seed: int = 0
    repeats: int = 1

    @property
    def asks(self) -> Order | None:
        """The order that asks for the lift, if there is one."""
        return next((order for order in self.script if order.action == "ask"), None)
