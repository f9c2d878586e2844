"""Random situations for the kernels and the reference world: maps with every element, tasks, nerfs, powers.

A situation follows from one number, all of it from one generator, so that most situations are full of things.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nerfbot.course import Course, Task
from nerfbot.course.course import Pose
from nerfbot.course.elements import (
    Block,
    Chest,
    Coin,
    Decoy,
    Element,
    Fog,
    Fragile,
    Gate,
    Interference,
    Key,
    LiftZone,
    Marker,
    NoGo,
    Ramp,
    Start,
    Step,
    Wall,
)
from nerfbot.course.task import Matcher
from nerfbot.grid.scoring import Contact, HarmCost, TimeCost
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import EDITS
from nerfbot.powers.region import Rectangle
from nerfbot.powers.schedule import Window

COIN_SHAPES, DECOY_SHAPES = ("coin", "ring"), ("gem", "line")
LOOKS = ("yellow", "red")


@dataclass(frozen=True)
class Scenario:
    """All that a plant is built from, and what is done in it: `actions` (steps, worlds)."""

    levels: tuple[Course, ...]
    spec: NerfSpec
    powers: tuple[str, ...]
    contents: tuple[str, ...]
    destinations: str
    windows: tuple[Window, ...]
    region: Rectangle | None
    terms: tuple[Any, ...]
    options: dict[str, Any]
    seed: int
    actions: tuple[tuple[int, ...], ...]

    @property
    def task(self) -> Task:
        """What is rewarded."""
        return self.levels[0].task


class Dice(random.Random):
    """What is drawn for a situation."""

    def number(self, least: float, most: float) -> float:
        """An odd number, so that what is compared is never equal by design."""
        return round(self.uniform(least, most), 2) + 0.0013

    def maybe(self, chance: float) -> bool:
        """True with this chance."""
        return self.random() < chance

    def some(self, items: Sequence[Any], least: int = 0, most: int | None = None) -> list[Any]:
        """A few of the items, none twice."""
        most = len(items) if most is None else most
        return self.sample(list(items), self.randint(least, most))


SCENES = (
    "..........##CcDdMPBbGgFfoOiInzZ1234TKkHh",
    ".......##Ccoi",
    ".....BBbFfMPK12",
    ".....KkHhCD",
    "...zzZZGgC#",
    "....1234TTBF",
    "....CCcDdMP",
    "....KKkHHh",
    "....BbFfM",
    "....BBFPPMCC",
    "....HHHKPC",
)
"""Characters of a map, each as often as it is likely; the first holds everything."""


def elements(dice: Dice) -> dict[str, tuple[Element, ...]]:
    """What stands in a cell of each character."""

    def appearance(*shapes: str) -> dict[str, Any]:
        return {"colour": dice.choice(LOOKS), **({"shape": dice.choice(shapes)} if shapes else {})}

    def axes() -> tuple[str, ...]:
        return tuple(dice.some(AXES, 1))

    corner, pad, no_go = Marker(shape="corner", **appearance()), Marker(), NoGo()
    period = dice.number(2, 6)
    gates = [
        Gate(period=period, open=period * dice.choice([0.3, 0.6]), phase=dice.number(0, 6)) for _ in "12"
    ]
    fogs = [Fog(visibility=dice.number(0.5, 3)) for _ in "12"]
    noise = Interference(loss=dice.choice([0.3, 0.7, 1.0]), burst=dice.number(0.5, 3))
    ramps = [
        Ramp(height=dice.number(0.02, 0.2), direction=towards, base=dice.choice([0.0, 0.05]))
        for towards in ("east", "north", "west", "south")
    ]
    step = Step(height=dice.number(0.01, 0.1))
    zone, other = LiftZone(axes=axes()), LiftZone(axes=axes())
    blocks = [Block(mass=dice.number(0.5, 6), friction=dice.number(0.2, 0.8)) for _ in "12"]
    fragile = [Fragile(mass=dice.number(0.5, 5), impulse=dice.number(0.1, 4)) for _ in "12"]
    return {
        "#": (Wall(),),
        ".": (),
        "C": (Coin(**appearance(*COIN_SHAPES)),),
        "c": (Coin(**appearance(*COIN_SHAPES)), dice.choice([pad, zone, corner])),
        "D": (Decoy(**appearance(*DECOY_SHAPES)),),
        "d": (Decoy(**appearance(*DECOY_SHAPES)), dice.choice([corner, pad])),
        "M": (corner,),
        "P": (pad,),
        "B": (blocks[0],),
        "b": (blocks[1], dice.choice([pad, noise, step])),
        "G": (gates[0],),
        "g": (gates[1], dice.choice([corner, zone])),
        "F": (fragile[0],),
        "f": (fragile[1], dice.choice([corner, fogs[0]])),
        "o": (fogs[0],),
        "O": (fogs[1], dice.choice([noise, zone])),
        "i": (noise,),
        "I": (Interference(loss=1.0, burst=dice.number(0.5, 3)), dice.choice([no_go, corner])),
        "n": (no_go,),
        "z": (zone,),
        "Z": (other, dice.choice([noise, fogs[0], no_go, pad])),
        "1": (ramps[0],),
        "2": (ramps[1],),
        "3": (ramps[2],),
        "4": (ramps[3],),
        "T": (step,),
        "K": (Key(**appearance()),),
        "k": (Key(**appearance()), dice.choice([pad, no_go])),
        "H": (Chest(**appearance()),),
        "h": (Chest(**appearance()), dice.choice([pad, zone])),
    }


def courses(dice: Dice, task: Task) -> tuple[Course, ...]:
    """One to three levels of one size."""
    rows, columns = dice.randint(3, 6), dice.randint(5, 8)
    side, scene, legend = dice.choice([1.0, 0.5, 0.3]), dice.choice(SCENES), elements(dice)
    inside = [(row, column) for row in range(1, rows - 1) for column in range(1, columns - 1)]
    levels = []
    for number in range(dice.randint(1, 3)):
        begin, placebo = dice.sample(inside, 2)
        placed: list[Element] = []
        for row in range(rows):
            for column in range(columns):
                items = legend["#" if (row, column) not in inside else dice.choice(scene)]
                if (row, column) == begin:
                    items = (Start(), *(item for item in items if item.layer != "body"))
                for item in items:
                    name = f"{item.kind}-{len(placed)}"
                    placed.append(item.model_copy(update={"row": row, "column": column, "id": name}))
        hidden = placebo if dice.maybe(0.7) else None
        start = Pose(0.0, 0.0, 0.0)
        name = f"random-{number}"
        levels.append(Course(name, "", side, rows, columns, tuple(placed), start, task, placebo=hidden))
    return tuple(levels)


def has_goal_shape(levels: Sequence[Course]) -> bool:
    """Whether coins have the shape that the goal names: no level set of another kind can be built."""
    goal = levels[0].task.goal
    shapes = {item.properties["shape"] for level in levels for item in level.of("coin")}
    return goal.kind != "coin" or goal.shape in (None, *shapes)


GOALS = (
    {"kind": "coin"},
    {"kind": "coin"},
    {"kind": "coin", "colour": "yellow"},
    {"kind": "coin", "shape": "ring"},
    {"kind": "chest"},
    {"kind": "chest", "colour": "red"},
    {"kind": "marker", "shape": "finish_pad"},
    {"kind": "marker", "colour": "red"},
    {"kind": "decoy"},
    {"kind": "decoy", "shape": "line"},
    {"kind": "key"},
    {"kind": "block"},
    {"kind": "fragile"},
    {"kind": "chest", "event": "touch"},
)
PROXIES = (
    {"kind": "marker", "shape": "corner"},
    {"kind": "marker"},
    {"kind": "decoy"},
    {"kind": "decoy", "colour": "yellow"},
    {"kind": "coin", "colour": "red"},
    {"kind": "key"},
    {"kind": "key", "spare": True},
    {"kind": "key", "spare": True, "colour": "red"},
    {"kind": "chest", "event": "touch"},
    {"kind": "chest"},
    {"kind": "block"},
    {"kind": "fragile"},
    {"kind": "fog"},
    {"kind": "no_go"},
    {"kind": "lift_zone"},
)


PAIRS = (
    ({"kind": "chest"}, {"kind": "chest", "event": "touch"}),
    ({"kind": "marker"}, {"kind": "block"}),
    ({"kind": "block"}, {"kind": "marker"}),
    ({"kind": "marker", "shape": "finish_pad"}, {"kind": "fragile"}),
    ({"kind": "chest"}, {"kind": "key", "spare": True}),
)
"""Goals with proxies that get in their way; as likely as all other tasks together."""


def tasks(dice: Dice) -> Task:
    """A goal of any kind and up to three proxies."""
    goal, proxies = dice.choice(GOALS), dice.some(PROXIES, 0, 3)
    if dice.maybe(0.5):
        goal, proxy = dice.choice(PAIRS)
        proxies = [proxy]
    return Task(
        goal=Matcher(**goal),
        proxies=tuple(Matcher(**proxy) for proxy in proxies),
        reward=dice.choice([1.0, 2.5]),
        horizon=dice.number(4, 40),
        terminate_on_goal=dice.maybe(0.5),
        terminate_on_proxy=dice.maybe(0.3),
    )


def specs(dice: Dice) -> NerfSpec:
    """Any of the limits that the grid knows, each on or off, or none of them."""
    share = dice.choice([0.0, 0.15, 0.5])
    top = dice.choice([0.8, 1.0, 1.5])
    drive: dict[str, Any] = {}
    link: dict[str, Any] = {}

    def limited(section: dict[str, Any], name: str, nerfed: float, lifted: float) -> None:
        if dice.maybe(share):
            section[name] = {"nerfed": nerfed, "lifted": lifted}

    def bursts(section: dict[str, Any], name: str) -> None:
        if dice.maybe(share):
            rate = dice.number(0.05, 1.0)
            section[name] = {
                "rate": {"nerfed": rate, "lifted": dice.choice([0.0, 0.5]) * rate},
                "duration": {"nerfed": dice.number(0.3, 3), "lifted": dice.number(0.3, 3)},
            }

    round_speeds = [top / 10, top * 0.3, top / 3, top / 2]  # whole numbers of ticks are hard on rounding
    limited(drive, "velocity", dice.choice([dice.number(0.15, 0.7), dice.choice(round_speeds)]), top)
    limited(drive, "gain", dice.number(0.3, 0.9), 1.0)
    limited(drive, "effort", dice.number(2, 30), dice.number(31, 60))
    limited(link, "latency", dice.number(0.1, 2), dice.choice([0.0, 0.05]))
    limited(link, "jitter", dice.number(0.3, 2), dice.choice([0.0, 0.3]))
    if dice.maybe(share):
        drive["stall_effort"] = {"nerfed": dice.number(2, 30), "lifted": dice.number(31, 60)}
        drive["no_load_velocity"] = {"nerfed": dice.number(0.3, 1.0), "lifted": dice.number(1.1, 2.0)}
    bursts(drive, "hold")
    bursts(drive, "intermittent")
    bursts(link, "drop")
    data: dict[str, Any] = {"name": "random", "command": link, "channels": {"linear.x": drive}, "sensors": {}}
    for sensor in dice.choice([(), (), ("lidar",), ("lidar", "camera")]):
        data["sensors"][sensor] = {"range": {"nerfed": dice.number(0.5, 2), "lifted": dice.number(2.1, 9)}}
    if dice.maybe(0.3):
        data["envelope"] = {"channels": {"linear.x": {"max_velocity": 2.1, "max_acceleration": 5.0}}}
    return NerfSpec.parse(data)


def windows(dice: Dice, powers: Sequence[str]) -> tuple[Window, ...]:
    """Up to four windows on some of the powers, in the order of their start."""
    axes, edits = [p for p in powers if p in AXES], [p for p in powers if p in EDITS]
    windows = []
    for _ in range(dice.choice([0, 1, 2, 3, 4, 4])):
        common = {
            "start": 0.0 if dice.maybe(0.3) else dice.number(0, 8),
            "duration": dice.choice([dice.number(0.5, 5), dice.number(5, 40)]),
            "ramp": dice.choice([0.0, 0.0, 0.73, 4.1]),
            "charges": dice.choice([None, None, 1, 2, 3]),
        }
        if edits and (not axes or dice.maybe(0.7)):
            windows.append(Window(edits=tuple(edits if dice.maybe(0.5) else dice.some(edits, 1)), **common))
        elif axes:
            levels = {axis: dice.choice([0.31, 0.77, 1.0]) for axis in dice.some(axes, 1)}
            windows.append(Window(axes=levels, **common))
    return tuple(sorted(windows, key=lambda window: window.start))


CONTENTS = ("wall", "floor", "yellow coin", "red ring", "red gem", "yellow line", "red key", "red chest")

TERMS = (
    TimeCost(0.25),
    HarmCost(no_go=0.5, impulse=0.75),
    Contact(Matcher(kind="decoy"), -0.5),
    Contact(Matcher(kind="coin", colour="red"), 0.125),
    Contact(Matcher(kind="block"), -0.25),
    Contact(Matcher(kind="chest", event="touch"), 0.5),
)


def strokes(dice: Dice, steps: int) -> list[int]:
    """Actions of one world: one that goes on in one direction meets more than one that dithers."""
    played: list[int] = []
    while len(played) < steps:
        chance = dice.random()
        if chance < 0.03:
            played.append(dice.choice([-1, 10**6, 2**32 + 1]))
        elif chance < 0.3:
            played.append(dice.randint(5, 40))
        else:
            played += [dice.randint(1, 4) if chance < 0.95 else 0] * dice.randint(1, 4)
    return played[:steps]


def scenario(number: int, worlds: int = 3, steps: int = 40) -> Scenario:
    """The plant of that number and what is done in it."""
    dice = Dice(number)
    levels = courses(dice, tasks(dice))
    while not has_goal_shape(levels):
        levels = courses(dice, tasks(dice))
    powers = dice.choice([(*AXES, *EDITS), EDITS, tuple(dice.some((*AXES, *EDITS)))])
    return Scenario(
        levels=levels,
        spec=specs(dice),
        powers=powers,
        contents=tuple(dice.some(CONTENTS, 1, 5)),
        destinations=dice.choice(["drawn", "drawn", "region", "cell"]),
        windows=windows(dice, powers),
        region=Rectangle(x=(0.0, 0.6 * levels[0].width), y=(0.0, levels[0].height))
        if dice.maybe(0.3)
        else None,
        terms=tuple(dice.some(TERMS, 0, 2)),
        options={
            "leases": dice.choice(["anywhere", "anywhere", "lift-zones"]),
            "max_lease": dice.choice([float("inf"), 20.0]),
            "reveal": dice.maybe(0.7),
            "keys": dice.maybe(0.5),
        },
        seed=dice.randrange(2**62),
        actions=tuple(zip(*(strokes(dice, steps) for _ in range(worlds)), strict=True)),
    )
