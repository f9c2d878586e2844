"""Situations of world edits: the ones that both plants know."""

from __future__ import annotations

from collections.abc import Hashable

from tests.fidelity.draws import (
    COLOURS,
    Random,
    pick,
)
from tests.fidelity.lanes import Lane
from tests.fidelity.trial import Facts, Order, Trial


def unlock(random: Random) -> Trial:
    """The power to open a chest without a key, on a chest or where none is."""
    lane = Lane(random, 7, wide=False)
    at = int(random.integers(2, 5))
    is_there = random.random() < 0.7
    colour = pick(random, *COLOURS)
    lane.put(at if is_there else -1, kind="chest" if is_there else "coin", colour=colour)
    lane.task(goal={"kind": "chest" if is_there else "coin"})
    cells = int(random.integers(1, 6))

    def outcome(facts: Facts) -> Hashable:
        return facts.cell, facts.reward, tuple(facts.legal), tuple(sorted(facts.bodies.items()))

    script = (Order("unlock", cell=lane.cell(at)), Order("drive", lane.heading, cells))
    return Trial(
        lane.text(), script, outcome, edits=("unlock",), note=f"chest {is_there} at {at}, {cells} cells"
    )


def move_coin(random: Random) -> Trial:
    """The coin, which lies aside, is put on the way, aside again, into a wall or onto a block."""
    lane = Lane(random, 8, wide=True)
    lane.put(-1, 1, kind="coin")
    lane.wall(6)
    lane.put(5, 1, kind="block", mass=20.0, friction=0.6)
    along, across = pick(random, (1, 0), (2, 0), (3, 0), (3, 1), (2, -1), (6, 0), (5, 1))
    cells = int(random.integers(1, 5))

    def outcome(facts: Facts) -> Hashable:
        return tuple(facts.legal), facts.reward, tuple(sorted(facts.bodies.items()))

    script = (Order("move-coin", cell=lane.cell(along, across)), Order("drive", lane.heading, cells))
    note = f"to {along}, {across}; {cells} cells"
    return Trial(lane.text(), script, outcome, edits=("move-coin",), note=note)


def teleport(random: Random) -> Trial:
    """Over a wall, beside an object, into a wall, onto a chest or onto a coin; then on along the lane."""
    lane = Lane(random, 9, wide=True)
    lane.wall(3)
    lane.put(6, 1, kind="chest")
    lane.put(7, kind="coin")
    lane.put(-1, kind="coin")
    along, across = int(random.integers(1, 8)), int(random.integers(-1, 2))
    cells = int(random.integers(0, 4))

    def outcome(facts: Facts) -> Hashable:
        return tuple(facts.legal), facts.cell, facts.reward

    script = (Order("teleport", cell=lane.cell(along, across)), Order("drive", lane.heading, cells))
    note = f"to {along}, {across}; {cells} cells"
    return Trial(lane.text(), script, outcome, edits=("teleport",), note=note)


def rewrite_cell(random: Random) -> Trial:
    """A wall or a thing taken away or put up, in the way or beside it, or where nothing would change.

    What is written is met: goals are rewarded, keys taken, chests opened or not.
    """
    lane = Lane(random, 8, wide=False)
    walled, at = int(random.integers(2, 5)), int(random.integers(2, 5))
    if random.random() < 0.8:
        standing = pick(random, "wall", "wall", "chest", "coin", "key")
        if standing == "wall":
            lane.wall(walled)
        else:
            lane.put(walled, kind=standing, colour="red")
    write = pick(random, "wall", "floor", "red coin", "blue gem", "red key", "red chest")
    across = pick(random, 0, 0, 0, 1)
    cells = int(random.integers(1, 7))

    def outcome(facts: Facts) -> Hashable:
        bodies = tuple(sorted(facts.bodies.items()))
        return tuple(facts.legal), facts.cell, facts.reward, facts.keys, bodies

    script = (
        Order("rewrite-cell", cell=lane.cell(at, across), write=write),
        Order("drive", lane.heading, cells),
    )
    note = f"{write} at {at}, {across}; wall at {walled}; {cells} cells"
    return Trial(lane.text(), script, outcome, edits=("rewrite-cell",), note=note)


def phase(random: Random) -> Trial:
    """Through walls or shut gates, one cell or two, up to them, or on to the edge, with the power or not."""
    lane = Lane(random, 9)
    at, deep = int(random.integers(2, 4)), int(random.integers(1, 3))
    gated = random.random() < 0.3
    for along in range(at, at + deep):
        if gated:
            lane.across(along, kind="gate", period=600.0, open=1.0, phase=300.0)
        else:
            lane.wall(along)
    cells = pick(random, at - 1, at + deep, at + deep + 1, at + deep + 2, 16)  # 16: to the edge
    using = random.random() < 0.7

    def outcome(facts: Facts) -> Hashable:
        return tuple(facts.legal), facts.cell

    drive = Order("drive", lane.heading, cells)
    script = (Order("phase"), drive) if using else (drive,)
    note = f"{'gates' if gated else 'walls'} {at}-{at + deep - 1}, {cells} cells, used {using}"
    return Trial(lane.text(), script, outcome, edits=("phase",), note=note)
