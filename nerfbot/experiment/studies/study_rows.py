"""Studies that play one policy on both plants: their rows, and the measurement that the rows share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerfbot.agents.policy import Policy
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment
from nerfbot.experiment.protocol.evaluation import evaluate
from nerfbot.experiment.runs.results import Row, normalised, read_csv, write_csv
from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover
from nerfbot.grid.levels import LevelSet

PLANTS = ("grid", "rover")

NO_MOVES = ("stayed", "edited", "illegal")
"""Outcomes of an action that is no move."""

OnProgress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


def read(path: Path, expected: Mapping[str, Any]) -> list[Row]:
    """The rows of a study's file; a missing one has none.

    Raises `InvalidExperiment` for another kind of file, and for rows whose columns differ from `expected`.
    """
    columns = ("policy", "part", "episodes", "poses", *(f"{plant}_goal" for plant in PLANTS))
    rows = read_csv(path, columns, may_be_empty=False)
    for row in rows:
        for name, value in expected.items():
            if str(row[name]) != str(value):
                raise InvalidExperiment(
                    f"{path}: {row['policy']}: {name} = {row[name]}: this run has {value}; give another --out"
                )
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    """All rows, whole or not at all. Raises `InvalidExperiment` where that fails."""
    write_csv(path, list(rows[0]), rows, undefined="nan")


def with_measures(rows: Sequence[Row]) -> list[Row]:
    """The rows with C, G and goal rate on both plants, by the ceiling on each (1 where there is none)."""
    return normalised(rows, [f"{plant}_" for plant in PLANTS])


def play_on_both(
    policy: Policy,
    config: ExperimentConfig,
    levels: LevelSet,
    seed: int,
    names: Sequence[str],
    on_progress: Callable[[int, int], None],
    lift: float | None = None,
    poses: str = "tracked",
    to_first_contact: bool = False,
) -> dict[str, float]:
    """Play the same levels on the grid and on the rover; the columns of a row.

    These are the shares called `names` on each plant, mean time (s) and moves of the rover's episodes, the
    share of its moves that failed, and the wall time in seconds.
    """
    began = time.perf_counter()
    grid = evaluate(policy, config, levels, seed=seed, lift=lift)
    rover = evaluate_on_rover(
        policy,
        config,
        levels,
        seed=seed,
        lift=lift,
        poses=poses,
        to_first_contact=to_first_contact,
        on_progress=on_progress,
    )
    outcomes: Counter[str] = Counter()
    for episode in rover.episodes:
        outcomes.update(episode["outcomes"])
    moves = max(1, sum(count for outcome, count in outcomes.items() if outcome not in NO_MOVES))
    both = zip(PLANTS, (grid, rover.contacts), strict=True)
    return {
        **{f"{plant}_{name}": getattr(contacts, name) for plant, contacts in both for name in names},
        "rover_time": float(np.mean([episode["time"] for episode in rover.episodes])),
        "rover_moves": float(np.mean([episode["length"] for episode in rover.episodes])),
        "rover_failed_moves": (outcomes["stuck"] + outcomes["timed-out"]) / moves,
        "seconds": time.perf_counter() - began,
    }
