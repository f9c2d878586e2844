"""Rows of studies that play one policy on both plants: their file, what is common to their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerfbot.experiment.protocol.config import InvalidExperiment
from nerfbot.experiment.protocol.measures import Contacts
from nerfbot.experiment.runs.results import Row, read_csv, write_csv

PLANTS = ("grid", "rover")

Tell = Callable[[str, int, int], None]
"""Hears what is done, how much, of how much."""


def read(path: Path) -> list[Row]:
    """The rows of a study's file; a missing one has none. Raises `InvalidExperiment` for another kind."""
    columns = ("policy", "part", "episodes", "poses", *(f"{plant}_goal" for plant in PLANTS))
    return read_csv(path, columns, may_be_empty=False)


def write(path: Path, rows: Sequence[Row]) -> None:
    """All rows, whole or not at all. Raises `InvalidExperiment` where that fails."""
    shown = (
        {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    )
    write_csv(path, list(rows[0]), shown)


def check_same(path: Path, rows: Sequence[Row], wanted: Mapping[str, Any]) -> None:
    """Raise `InvalidExperiment` for rows that were measured otherwise than is `wanted`, by column."""
    for row in rows:
        for name, value in wanted.items():
            if str(row[name]) != str(value):
                raise InvalidExperiment(
                    f"{path}: {row['policy']}: {name} = {row[name]}: this run has {value}; give another --out"
                )


def shares(grid: Contacts, rover: Contacts, names: Sequence[str]) -> dict[str, float]:
    """The named shares on both plants as columns."""
    both = zip(PLANTS, (grid, rover), strict=True)
    return {f"{plant}_{name}": getattr(found, name) for plant, found in both for name in names}


def outcomes(episodes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean time (s) and moves of the rover's episodes, and the share of moves that failed."""
    ends: dict[str, int] = {}
    for told in episodes:
        for name, count in told["outcomes"].items():
            ends[name] = ends.get(name, 0) + count
    moves = max(1, sum(count for name, count in ends.items() if name not in ("stayed", "edited", "illegal")))
    return {
        "rover_time": float(np.mean([told["time"] for told in episodes])),
        "rover_moves": float(np.mean([told["length"] for told in episodes])),
        "rover_failed_moves": (ends.get("stuck", 0) + ends.get("timed-out", 0)) / moves,
    }
