"""Situations on the way: walls, the start, blocks, gates, interference, ramps and steps."""

from __future__ import annotations

from collections.abc import Hashable

from nerfbot.course.elements import GRAVITY
from tests.fidelity.draws import (
    CHANCE_MARGIN,
    MARGIN,
    Random,
    able,
    between,
    level,
    off,
)
from tests.fidelity.lanes import CELL, Lane
from tests.fidelity.trial import Facts, Order, Trial


def spot(facts: Facts) -> Hashable:
    """Where the robot ended."""
    return facts.cell


def wall(random: Random) -> Trial:
    lane = Lane(random, 7)
    at, cells = int(random.integers(2, 6)), int(random.integers(1, 6))
    lane.wall(at)
    return Trial(lane.text(), (Order("drive", lane.heading, cells),), spot, note=f"wall {at}, {cells} cells")


def start(random: Random) -> Trial:
    lane = Lane(random, 5, wide=True)
    lane.variation = {"start_offset": 0.08, "start_heading": 0.3}
    lane.start_turn = int(random.integers(4))
    cells, seed = int(random.integers(1, 5)), int(random.integers(1000))

    def outcome(facts: Facts) -> Hashable:
        return next(iter(facts.arrivals)), facts.cell

    script = (Order("drive", lane.heading, cells),)
    return Trial(lane.text(), script, outcome, seed=seed, note=f"turned by {lane.start_turn}, {cells} cells")


def block(random: Random) -> Trial:
    lift = level(random, "strength")
    lane = Lane(random, 9)
    at, friction = int(random.integers(2, 5)), between(random, 0.3, 0.6)
    ratio = off(random, 0.4, 1.8)
    lane.put(at, kind="block", mass=round(ratio * able(lift).push / friction / GRAVITY, 3), friction=friction)
    behind = random.random() < 0.2
    if behind:
        lane.wall(at + 1)
    cells = at + int(random.integers(0, 3))

    def outcome(facts: Facts) -> Hashable:
        return facts.cell, tuple(cell for cell, name in facts.bodies.items() if name == "block")

    note = f"{lift}, needs {ratio:.2f} of the push, block {at}, {cells} cells, wall behind {behind}"
    return Trial(lane.text(), (Order("drive", lane.heading, cells),), outcome, lift=lift, note=note)


def gate(random: Random) -> Trial:
    """A gate that opens and shuts while the robot is on its way: in which opening does it pass, if in any?"""
    lift = level(random, "speed")
    lane = Lane(random, 10, wide=False)
    at = int(random.integers(4, 8))
    arrival = at * CELL / able(lift).speed
    while True:
        shuts, long = off(random, 0.4, 2.0) * arrival, between(random, 1.2, 3.0)
        period = long + between(random, 1.5, 4.0)
        if all(abs((shuts + k * period) / arrival - 1.0) > MARGIN for k in (-2, -1, 1)):
            break
    opens = shuts - long
    lane.put(at, kind="gate", period=round(period, 3), open=round(long, 3), phase=round(-opens % period, 3))
    next_one = random.random() < 0.5
    seconds = shuts + (period - long + 3.0 if next_one else 1.0)

    def outcome(facts: Facts) -> Hashable:
        entered = facts.arrivals.get(lane.cell(at))
        return None if entered is None else (entered - opens) // period

    note = f"{lift}, gate {at}, nominal {arrival:.2f} s, open {opens:.2f}-{shuts:.2f} of {period:.2f}"
    script = (Order("drive", lane.heading, at + 2, seconds=seconds, patience=60.0),)
    return Trial(lane.text(), script, outcome, lift=lift, note=f"{note}, within {seconds:.1f} s")


def interference(random: Random) -> Trial:
    """Crossing a zone in which commands are lost, within a time, in most of five tries."""
    lift = {**level(random, "reliability"), **level(random, "speed")}
    lane = Lane(random, 8, wide=False)
    at, deep = 2, int(random.integers(2, 4))
    loss, burst = between(random, 0.2, 0.75), between(random, 0.5, 1.0)
    for along in range(at, at + deep):
        lane.put(along, kind="interference", loss=round(loss, 3), burst=round(burst, 3))
    lost = loss * (1.0 - lift.get("reliability", 0.0))
    seconds = deep * CELL / able(lift).speed / (1.0 - lost)
    ratio = off(random, 0.3, 3.0, CHANCE_MARGIN)

    def outcome(facts: Facts) -> Hashable:
        out = facts.arrivals.get(lane.cell(at + deep))
        return out is not None and out - facts.arrivals[lane.cell(at)] < ratio * seconds

    note = f"{lift}, loss {loss:.2f}, burst {burst:.2f} s, {deep} cells, {ratio:.2f} of {seconds:.1f} s"
    script = (Order("drive", lane.heading, at + deep, seconds=ratio * seconds + 8.0, patience=60.0),)
    return Trial(lane.text(), script, outcome, lift=lift, note=note, repeats=5)


def ramp(random: Random) -> Trial:
    """Up a ramp onto a platform, with a lift of strength."""
    lift = level(random, "strength")
    push = able(lift).push
    lane = Lane(random, 8)
    at = int(random.integers(2, 4))
    for _ in range(200):
        height = between(random, 0.04, 0.18)
        need = able(lift).slope_force(height, CELL)
        if abs(need / push - 1.0) > MARGIN:
            break
    height = round(height, 4)
    lane.across(at, kind="ramp", height=height, direction="up")
    for along in range(at + 1, 9):
        lane.across(along, kind="step", height=height)

    def outcome(facts: Facts) -> Hashable:
        return facts.cell == lane.cell(at + 2)

    note = f"{lift}, ramp {height} m, needs {need:.1f} N of {push:.1f}"
    return Trial(lane.text(), (Order("drive", lane.heading, at + 2),), outcome, lift=lift, note=note)


def step(random: Random) -> Trial:
    """Over a kerb, with a lift of strength."""
    lift = level(random, "strength")
    push = able(lift).push
    lane = Lane(random, 7)
    at = int(random.integers(2, 4))
    for _ in range(200):
        height = between(random, 0.002, 0.03)
        need = able(lift).step_force(height)
        if abs(need / push - 1.0) > MARGIN:
            break
    height = round(height, 4)
    for along in range(at, at + int(random.integers(1, 3))):
        lane.across(along, kind="step", height=height)

    def outcome(facts: Facts) -> Hashable:
        return facts.cell == lane.cell(at + 3)

    note = f"{lift}, kerb {height} m, needs {need:.1f} N of {push:.1f}"
    return Trial(lane.text(), (Order("drive", lane.heading, at + 3),), outcome, lift=lift, note=note)
