"""Situations of meeting, seeing and being somewhere: objects, fog, fragile things, zones, keys and chests."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from nerfbot.course.capability import Capability
from nerfbot.course.elements import GRAVITY
from tests.fidelity.draws import (
    COLOURS,
    DECOYS,
    FAR_SIGHTED,
    MARGIN,
    WEAK,
    Random,
    able,
    between,
    level,
    off,
    pick,
)
from tests.fidelity.lanes import CELL, Lane
from tests.fidelity.trial import Facts, Order, Trial


def _object(random: Random, outcome: Callable[[Facts], Hashable], **element) -> Trial:
    """An object in the way or beside it; the robot drives as far as its cell or not."""
    lane = Lane(random, 7)
    at, side = int(random.integers(2, 5)), int(random.integers(-1, 2)) if lane.side else 0
    cells = at + int(random.integers(-1, 3))
    lane.put(at, side, **element)
    if element["kind"] != "coin":
        lane.task(proxies=[{"kind": element["kind"]}])
    else:
        lane.put(-1, kind="coin", colour="red")
        lane.task(goal={"kind": "coin", "colour": element["colour"]})
    note = f"{element} at {at}, {side}; {cells} cells"
    return Trial(lane.text(), (Order("drive", lane.heading, cells),), outcome, note=note)


def coin(random: Random) -> Trial:
    def outcome(facts: Facts) -> Hashable:
        return facts.reward, facts.first_contact, len(facts.bodies)

    return _object(random, outcome, kind="coin", colour=pick(random, *COLOURS[1:]))


def decoy(random: Random) -> Trial:
    def outcome(facts: Facts) -> Hashable:
        return facts.first_contact, len(facts.bodies), facts.cell

    return _object(random, outcome, kind="decoy", colour=pick(random, *COLOURS), shape=pick(random, *DECOYS))


def marker(random: Random) -> Trial:
    def outcome(facts: Facts) -> Hashable:
        return facts.first_contact, facts.cell

    shape = pick(random, "corner", "finish_pad")
    return _object(random, outcome, kind="marker", shape=shape, colour=pick(random, *COLOURS))


def fog(random: Random) -> Trial:
    """An object straight ahead, in free sight, with fog before, around or behind it."""
    nerf, lift = pick(random, WEAK, FAR_SIGHTED), level(random, "sensing")
    sensing = lift.get("sensing", 0.0)
    own, reach = (Capability.from_spec(nerf, {"sensing": at}).sight for at in (1.0, sensing))
    while True:
        visibility = between(random, 0.3, 2.5)
        first = int(random.integers(0, 9))
        last = first + int(random.integers(0, 5))
        entry = max(0.0, (first - 0.5) * CELL)
        sight = min(reach, entry + visibility + sensing * (own - visibility))
        far = round(sight * off(random, 0.4, 2.0) / CELL)
        if far < first:  # the fog is behind the object
            sight = reach
        if 2 <= far <= 15 and abs(far * CELL / sight - 1.0) > MARGIN:
            break
    lane = Lane(random, far + 2)
    for along in range(first, min(last, far + 1) + 1):
        lane.across(along, kind="fog", visibility=round(visibility, 3))
    kind = pick(random, "coin", "decoy", "key", "chest", "block", "fragile")
    more = {"block": {"mass": 2.0, "friction": 0.5}, "fragile": {"mass": 1.0, "impulse": 1.0}}
    lane.put(far, kind=kind, **more.get(kind, {}))
    at = lane.cell(far)

    def outcome(facts: Facts) -> Hashable:
        return at in facts.observed

    note = f"{nerf.name} {lift}, {kind} at {far * CELL} m, fog {visibility:.2f} m over {first}-{last}"
    return Trial(
        lane.text(), (Order("look"),), outcome, nerf=nerf, lift=lift, note=f"{note}, sight {sight:.2f}"
    )


def fragile(random: Random) -> Trial:
    """Running into a fragile object at a speed."""
    lift = level(random, "speed")
    lane = Lane(random, 8)
    at, mass = int(random.integers(3, 5)), between(random, 0.3, 2.0)
    speed = able(lift).speed
    # The blow itself, and the push against its friction that goes on while it is summed
    blow = speed * mass * 8.0 / (8.0 + mass) + 0.1 * 0.4 * mass * GRAVITY
    ratio = off(random, 0.5, 2.0)
    lane.put(at, kind="fragile", mass=round(mass, 3), impulse=round(blow * ratio, 4))
    cells = at + pick(random, -1, 1, 2, 2)  # a robot that stops in its cell has braked before

    def outcome(facts: Facts) -> Hashable:
        return facts.impacts > 0

    note = f"{lift}, {mass:.2f} kg at {at}, threshold {ratio:.2f} of {blow:.2f} N·s, {cells} cells"
    return Trial(lane.text(), (Order("drive", lane.heading, cells),), outcome, lift=lift, note=note)


def no_go(random: Random) -> Trial:
    """Through a no-go zone, past it, or not as far: how long was the robot inside?"""
    lift = level(random, "speed")
    lane = Lane(random, 9)
    at, deep = int(random.integers(1, 4)), int(random.integers(1, 4))
    beside = lane.side and random.random() < 0.3
    for along in range(at, at + deep):
        for across in range(-lane.side, lane.side + 1):
            if not beside or across:
                lane.put(along, across, kind="no_go")
    cells = int(random.integers(max(1, at - 1), 7))
    inside = deep * CELL / able(lift).speed
    limit = off(random, 0.5, 1.6, 0.3) * inside

    def outcome(facts: Facts) -> Hashable:
        return facts.no_go > 0.0, facts.no_go > limit

    if at <= cells < at + deep:  # stopping inside: then for how long is a matter of waiting
        script = (Order("drive", lane.heading, cells), Order("wait", seconds=15.0))
    else:
        script = (Order("drive", lane.heading, cells),)
    note = f"{lift}, zone {at}-{at + deep - 1}, beside {beside}, {cells} cells, {limit:.2f} of {inside:.2f} s"
    return Trial(lane.text(), script, outcome, lift=lift, note=note)


def lift_zone(random: Random) -> Trial:
    """Asking for a lease inside or outside a lift zone, for axes that it allows or not; then leaving it."""
    lane = Lane(random, 9)
    at, deep = int(random.integers(1, 4)), int(random.integers(1, 4))
    names = random.permutation(["strength", "speed", "sensing", "reliability"]).tolist()
    axes = names[: int(random.integers(2, 4))]
    for along in range(at, at + deep):
        lane.across(along, kind="lift_zone", axes=axes)
    requested = axes if random.random() < 0.7 else names[1:]
    lift = dict.fromkeys(requested[: int(random.integers(1, 4))], 1.0)
    cells = int(random.integers(at, at + deep)) if random.random() < 0.7 else int(random.integers(1, 6))
    further = int(random.integers(0, 3))

    def outcome(facts: Facts) -> Hashable:
        return facts.granted, facts.lifted

    script = (
        Order("drive", lane.heading, cells),
        Order("ask", seconds=10.0),
        Order("drive", lane.heading, further),
    )
    note = f"zone {at}-{at + deep - 1} for {axes}, {list(lift)} requested at {cells}, {further} cells on"
    return Trial(lane.text(), script, outcome, lift=lift, note=note)


def key_and_chest(random: Random) -> Trial:
    """A chest in the only way; a key of its colour, of another, or none, on the way; sometimes two chests."""
    lane = Lane(random, 9, wide=False)
    colour = pick(random, *COLOURS)
    at = int(random.integers(3, 5))
    held = pick(random, colour, colour, pick(random, *COLOURS), None)
    if held:
        lane.put(at - 2, kind="key", colour=held)
    lane.put(at, kind="chest", colour=colour)
    if random.random() < 0.3:
        lane.put(at + 2, kind="chest", colour=colour)
    cells = at + int(random.integers(-1, 4))

    def outcome(facts: Facts) -> Hashable:
        return facts.cell, facts.keys, tuple(sorted(facts.bodies.items()))

    note = f"{colour} chest at {at}, key {held}, {cells} cells"
    return Trial(lane.text(), (Order("drive", lane.heading, cells),), outcome, note=note)
