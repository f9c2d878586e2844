"""Proxy fidelity: a family of grid policies played on the grid and on the rover, on the same levels.

If the grid is a good proxy, the policies' goal fidelity G on the rover ranks and measures like that on the
grid. A row of the results is one policy; a run that was cut off continues row by row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerfbot.agents.policy import load_policy
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.runs.results import Row
from nerfbot.experiment.runs.training import RunPlan, draw_levels, train_if_missing
from nerfbot.experiment.studies.study_rows import PLANTS, OnProgress, play_on_both, read, with_measures, write

FILE = "fidelity.csv"
BASE = "coin-in-corner"
"""The experiment whose task, network and arms the family comes from."""

SHARES = ("goal", "proxy", "placebo", "none")


class Member(NamedTuple):
    """One policy: the arm that it is trained by, its seed, and for how many steps."""

    arm: str
    seed: int
    steps: int

    @property
    def name(self) -> str:
        """Of its row and folder."""
        return f"{self.arm}-{self.seed}-{self.steps}"


FAMILY = (
    Member("randomised-100", 0, 200_000),
    Member("powers-explore", 0, 200_000),
    Member("powers-explore", 1, 200_000),
    Member("powers-explore", 0, 60_000),
    Member("bonus-only", 0, 400_000),
    Member("bonus-only", 1, 200_000),
    Member("plain", 0, 200_000),
    Member("plain", 1, 200_000),
    Member("plain", 0, 60_000),
    Member("powers", 0, 200_000),
    Member("random-powers", 0, 200_000),
    Member("random-powers", 1, 200_000),
    Member("randomised-1", 0, 60_000),
    Member("randomised-1", 0, 100_000),
    Member("random-powers-oracle", 0, 40_000),
    Member("shuffled-explorer", 0, 100_000),
)
"""Arms, seeds and numbers of steps whose G spreads; the first is the ceiling of C and goal rate."""

QUICK = tuple(
    member._replace(steps=min(member.steps, 100_000))
    for index, member in enumerate(FAMILY)
    if index not in (3, 5, 8, 12)
)
"""A smaller family for a quick look, with half the steps."""


@dataclass(frozen=True)
class FidelityPlan:
    """The fidelity to measure: which policies, on how many levels of which part of the data."""

    config: ExperimentConfig
    folder: Path
    family: Sequence[Member] = FAMILY
    episodes: int = 200
    part: str = "development"
    poses: str = "tracked"


def measure(plan: FidelityPlan, on_progress: OnProgress = lambda text, done, total: None) -> list[Row]:
    """Train and play what has no row yet; all rows, with C, G and goal rate by `randomised-100`.

    Raises `InvalidExperiment` for a folder of another plan, and the errors of the parts.
    """
    path = plan.folder / FILE
    fixed = {"part": plan.part, "episodes": plan.episodes, "poses": plan.poses}
    rows = {row["policy"]: row for row in read(path, fixed)}
    levels = draw_levels(plan.config.course, plan.episodes, plan.part, False)
    for member in plan.family:
        if member.name in rows:
            continue
        columns = play_on_both(
            load_policy(_trained(plan, member, on_progress)),
            plan.config,
            levels,
            member.seed,
            SHARES,
            functools.partial(on_progress, f"{member.name}: driving"),
            poses=plan.poses,
            to_first_contact=True,
        )
        rows[member.name] = {"policy": member.name, **member._asdict(), **fixed, **columns}
        write(path, list(rows.values()))
    return with_measures(list(rows.values()))


def _trained(plan: FidelityPlan, member: Member, on_progress: OnProgress) -> Path:
    config = plan.config.model_copy(update={"steps": member.steps, "points": 1})
    return train_if_missing(
        RunPlan(config, member.arm, member.seed, plan.folder / "policies" / member.name),
        lambda run: on_progress(f"{member.name}: training", run.steps, member.steps),
    )


class Agreement(NamedTuple):
    """How well the grid stands for the rover.

    `policies` with G defined on both plants (of `measured`), Spearman's rank correlation of G over them, the
    mean absolute differences of G and of C, and the least and greatest G on the grid. `noise` is the mean
    absolute difference of G that two measurements of the same policy on so many levels would show by chance.
    """

    policies: int
    measured: int
    spearman: float
    mean_difference_g: float
    mean_difference_c: float
    least: float
    greatest: float
    noise: float


def agreement(rows: Sequence[Row]) -> Agreement:
    """The figures of rows with measures; NaN where fewer than two policies have a G."""
    both = [row for row in rows if math.isfinite(row["grid_G"]) and math.isfinite(row["rover_G"])]
    grid, rover = (np.array([row[f"{plant}_G"] for row in both]) for plant in PLANTS)
    across = [abs(row["grid_C"] - row["rover_C"]) for row in rows]
    if len(both) < 2:
        return Agreement(len(both), len(rows), *([math.nan] * 6))
    counts = [float(row["episodes"]) * (float(row["grid_goal"]) + float(row["grid_proxy"])) for row in both]
    spread = [math.sqrt(2 * g * (1 - g) / max(1.0, n)) for g, n in zip(grid, counts, strict=True)]
    return Agreement(
        len(both),
        len(rows),
        spearman(grid, rover),
        float(np.abs(grid - rover).mean()),
        float(np.mean(across)),
        float(grid.min()),
        float(grid.max()),
        float(np.mean(spread)) * math.sqrt(2 / math.pi),
    )


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation; ties share the mean of their ranks. NaN where one does not vary."""
    ranks = [_ranks(np.asarray(values, float)) for values in (first, second)]
    if any(np.ptp(values) == 0 for values in ranks):
        return math.nan
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[place]
