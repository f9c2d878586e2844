"""Proxy fidelity, measured: a family of grid policies played on the grid and on the rover, on the same
levels.

If the grid is a good proxy, the policies' goal fidelity G on the rover ranks and measures like that on the
grid. The family is a table; a row of the results is one policy, and a run that was cut off goes on row by
row.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nerfbot.agents.policy import load_policy
from nerfbot.experiment.protocol.arms import CEILING
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.evaluation import evaluate
from nerfbot.experiment.protocol.measures import Ceiling
from nerfbot.experiment.runs.results import Row, contacts_of, robustness
from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover
from nerfbot.experiment.runs.training import RunPlan, levels, trained
from nerfbot.experiment.studies.study_rows import PLANTS, Tell, check_same, outcomes, read, shares, write

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
    """What is to be run: the experiment, the family, how many levels, and which part of the data."""

    config: ExperimentConfig
    folder: Path
    family: Sequence[Member] = FAMILY
    episodes: int = 200
    part: str = "development"
    poses: str = "tracked"


def measure(plan: FidelityPlan, tell: Tell = lambda text, done, of: None) -> list[Row]:
    """Train and play what has no row yet; all rows. `tell` hears what is done, how much, of how much.

    Raises `InvalidExperiment` for a folder of another plan, and the errors of the parts.
    """
    path = plan.folder / FILE
    rows = {row["policy"]: row for row in read(path)}
    wanted = {"episodes": plan.episodes, "part": plan.part, "poses": plan.poses}
    check_same(path, list(rows.values()), wanted)
    played = levels(plan.config.course, plan.episodes, plan.part, False)
    for member in plan.family:
        if member.name in rows:
            continue
        policy = load_policy(_trained(plan, member, tell))
        began = time.perf_counter()
        grid = evaluate(policy, plan.config, played, seed=member.seed)

        def driven(done: int, of: int, name: str = member.name) -> None:
            tell(f"{name}: driving", done, of)

        rover = evaluate_on_rover(
            policy,
            plan.config,
            played,
            seed=member.seed,
            poses=plan.poses,
            to_first_contact=True,
            tell=driven,
        )
        rows[member.name] = {
            "policy": member.name,
            "arm": member.arm,
            "seed": member.seed,
            "steps": member.steps,
            "part": plan.part,
            "episodes": plan.episodes,
            "poses": plan.poses,
            **shares(grid, rover.contacts, SHARES),
            **outcomes(rover.episodes),
            "seconds": time.perf_counter() - began,
        }
        write(path, list(rows.values()))
    return normalised(list(rows.values()))


def _trained(plan: FidelityPlan, member: Member, tell: Tell) -> Path:
    """The folder of a member's policy, trained now unless it is there."""
    config = plan.config.model_copy(update={"steps": member.steps, "points": 1})
    folder = plan.folder / "policies" / member.name
    return trained(
        RunPlan(config, member.arm, member.seed, folder),
        lambda told: tell(f"{member.name}: training", told["steps"], member.steps),
    )


def normalised(rows: Sequence[Row]) -> list[Row]:
    """The rows with C, G and goal rate on both plants, by `randomised-100` on each."""
    found = [dict(row) for row in rows]
    for plant in PLANTS:
        prefix = f"{plant}_"
        ceiling = Ceiling.of(contacts_of(row, prefix) for row in found if row["arm"] == CEILING)
        for row in found:
            row |= robustness(row, prefix, ceiling)
    return found


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
    """The figures of normalised rows; NaN where fewer than two policies have a G."""
    both = [row for row in rows if math.isfinite(row["grid_G"]) and math.isfinite(row["rover_G"])]
    grid, rover = (np.array([row[f"{plant}_G"] for row in both]) for plant in PLANTS)
    across = [abs(row["grid_C"] - row["rover_C"]) for row in rows]
    if len(both) < 2:
        return Agreement(len(both), len(rows), *([math.nan] * 6))
    told = [float(row["episodes"]) * (float(row["grid_goal"]) + float(row["grid_proxy"])) for row in both]
    spread = [math.sqrt(2 * g * (1 - g) / max(1.0, n)) for g, n in zip(grid, told, strict=True)]
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
