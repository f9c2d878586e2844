"""Every element of a course, and the world edits that both plants have, as situations drawn at random.

A situation makes a `Trial` from a seeded generator: a short lane, a script, and a question with a discrete
answer. `play` draws one placement of it and plays it on both plants: one course text, one nerf, one lift.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tests.fidelity import situations_contacts as contacts
from tests.fidelity import situations_edits as edits
from tests.fidelity import situations_ways as ways
from tests.fidelity.draws import Random
from tests.fidelity.grid_player import GridPlayer
from tests.fidelity.rover_player import RoverPlayer
from tests.fidelity.trial import Trial

SITUATIONS: dict[str, Callable[[Random], Trial]] = {
    "wall": ways.wall,
    "start": ways.start,
    "coin": contacts.coin,
    "decoy": contacts.decoy,
    "marker": contacts.marker,
    "block": ways.block,
    "gate": ways.gate,
    "fog": contacts.fog,
    "interference": ways.interference,
    "ramp": ways.ramp,
    "step": ways.step,
    "fragile": contacts.fragile,
    "no-go zone": contacts.no_go,
    "lift zone": contacts.lift_zone,
    "key and chest": contacts.key_and_chest,
    "unlock": edits.unlock,
    "move-coin": edits.move_coin,
    "teleport": edits.teleport,
    "rewrite-cell": edits.rewrite_cell,
    "phase": edits.phase,
}


class Result(NamedTuple):
    """A trial that was played: what was drawn, and its outcome on each plant."""

    note: str
    grid: Hashable
    rover: Hashable


def outcomes(trial: Trial) -> tuple[Hashable, Hashable]:
    """What a trial comes to on the grid and on the rover."""
    outcomes = []
    for player in (GridPlayer, RoverPlayer):
        seeds = range(trial.seed, trial.seed + trial.repeats)
        answers = Counter(trial.outcome(player(replace(trial, seed=seed)).play()) for seed in seeds)
        outcomes.append(answers.most_common(1)[0][0])
    return outcomes[0], outcomes[1]


def play(name: str, number: int) -> Result:
    """Draw the `number`th placement of a situation and play it on both plants."""
    random = np.random.default_rng([zlib.crc32(name.encode()), number])
    trial = SITUATIONS[name](random)
    return Result(trial.note, *outcomes(trial))
