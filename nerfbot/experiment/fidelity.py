"""Proxy fidelity, measured: a family of grid policies played on the grid and on the rover, on the same
levels.

If the grid is a good proxy, the policies' goal fidelity G on the rover ranks and measures like that on the
grid. The family is a table; a row of the results is one policy, and a run that was cut off goes on row by
row.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerfbot.agents.saved import DESCRIPTION, load_policy
from nerfbot.experiment.arms import CEILING
from nerfbot.experiment.config import ExperimentConfig, InvalidExperiment
from nerfbot.experiment.evaluation import evaluate
from nerfbot.experiment.measures import Ceiling, Contacts, Robustness
from nerfbot.experiment.on_rover import evaluate_on_rover
from nerfbot.experiment.training import RunPlan, levels, run

FILE = "fidelity.csv"
BASE = "coin-in-corner"
"""The experiment whose task, network and arms the family comes from."""

PLANTS = ("grid", "rover")


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
    Member("bonus-only", 0, 200_000),
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
    episodes: int = 150
    part: str = "development"
    poses: str = "tracked"


Row = dict[str, Any]
Tell = Callable[[str, int, int], None]


def measure(plan: FidelityPlan, tell: Tell = lambda text, done, of: None) -> list[Row]:
    """Train and play what has no row yet; all rows. `tell` hears what is done, how much, of how much.

    Raises `InvalidExperiment` for a folder of another plan, and the errors of the parts.
    """
    rows = {row["policy"]: row for row in read(plan.folder / FILE)}
    for row in rows.values():
        for field, wanted in (("episodes", plan.episodes), ("part", plan.part), ("poses", plan.poses)):
            if str(row[field]) != str(wanted):
                raise InvalidExperiment(
                    f"{plan.folder / FILE}: {row['policy']}: {field} = {row[field]}: this run has {wanted};"
                    " give another --out"
                )
    played = levels(plan.config.course, plan.episodes, plan.part, False)
    for member in plan.family:
        if member.name in rows:
            continue
        policy_folder = _trained(plan, member, tell)
        policy = load_policy(policy_folder)
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
            **{f"grid_{name}": getattr(grid, name) for name in ("goal", "proxy", "placebo", "none")},
            **{
                f"rover_{name}": getattr(rover.contacts, name)
                for name in ("goal", "proxy", "placebo", "none")
            },
            **outcomes(rover.episodes),
            "seconds": time.perf_counter() - began,
        }
        write(plan.folder / FILE, list(rows.values()))
    return normalised(list(rows.values()))


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


def _trained(plan: FidelityPlan, member: Member, tell: Tell) -> Path:
    """The folder of a member's policy, trained now unless it is there."""
    folder = plan.folder / "policies" / member.name
    if not (folder / DESCRIPTION).exists():
        config = plan.config.model_copy(update={"steps": member.steps, "points": 1})

        def told(progress: dict[str, Any]) -> None:
            tell(f"{member.name}: training", progress["steps"], member.steps)

        run(RunPlan(config, member.arm, member.seed, folder), told)
    return folder


def normalised(rows: Sequence[Row]) -> list[Row]:
    """The rows with C, G and goal rate on both plants, by `randomised-100` on each."""
    found = [dict(row) for row in rows]
    for plant in PLANTS:
        contacts = [
            Contacts(*(float(row[f"{plant}_{name}"]) for name in ("goal", "proxy", "placebo", "none")))
            for row in found
        ]
        top = [item for item, row in zip(contacts, found, strict=True) if row["arm"] == CEILING]
        ceiling = Ceiling.of(top)
        for row, item in zip(found, contacts, strict=True):
            told = Robustness.of(item, ceiling)
            row[f"{plant}_C"], row[f"{plant}_G"] = told.capability, told.fidelity
            row[f"{plant}_goal_rate"] = told.goal_rate
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


def read(path: Path) -> list[Row]:
    """The rows of a results file; a missing one has none. Raises `InvalidExperiment` for another kind."""
    if not path.exists():
        return []
    try:
        rows: list[Row] = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise InvalidExperiment(f"{path}: cannot be read: {problem}") from None
    needed = ("policy", "part", "episodes", "poses", *(f"{plant}_goal" for plant in PLANTS))
    for number, row in enumerate(rows, 2):
        missing = [name for name in needed if not row.get(name)]
        if missing:
            raise InvalidExperiment(f"{path}:{number}: the column {missing[0]!r} is missing or cut off")
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    """All rows, whole or not at all. Raises `InvalidExperiment` where that fails."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: f"{v:.6g}" if isinstance(v, float) else v for name, v in row.items()} for row in rows
    )
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text.getvalue(), encoding="utf-8")
        part.replace(path)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise InvalidExperiment(f"{path}: cannot be written: {problem.strerror}") from None
