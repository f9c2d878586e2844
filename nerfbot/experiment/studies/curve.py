"""The capability curve on the robot: does the weak robot's goal survive strength?

Policies that learn nerfed, with and without occasional lifts, are played on both plants with every axis held
at a level from 0 (as nerfed as in training) to 1 (beyond what those without lifts ever had).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nerfbot.agents.policy import Policy, load_policy
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.evaluation import evaluate
from nerfbot.experiment.protocol.measures import FIRST, LIFTS, Ceiling
from nerfbot.experiment.runs.results import Row, robustness
from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover
from nerfbot.experiment.runs.training import RunPlan, levels, trained
from nerfbot.experiment.studies.study_rows import PLANTS, Tell, check_same, outcomes, read, shares, write

FILE = "curve.csv"
NERF = "rover-slow"
"""The nerf that the policies learn under; ``--set nerf=...`` gives another."""

SHARES = (*FIRST, "success", "harm")


class Condition(NamedTuple):
    """How a policy is trained: its name in tables, its arm, and changes of the experiment's menu."""

    name: str
    arm: str
    menu: Mapping[str, Any]


CONDITIONS = (
    Condition("plain, never lifted", "plain", {}),
    Condition("plain, lifted at times", "powers", {"powers": ("speed",)}),
    Condition("coin moved at times, never lifted", "powers-explore", {"powers": ("move-coin",)}),
    Condition("coin moved at times, lifted at times", "powers-explore", {"powers": ("speed", "move-coin")}),
)
"""With and without occasional lifts, and with and without edits that tell goal and proxy apart. The edit is
the one that a designer would choose: nerfed, a cell takes three times as long, and an agent meets few of the
edits of a large menu.
"""


@dataclass(frozen=True)
class CurvePlan:
    """What is to be run: the experiment (with its nerf), conditions, seeds, lift levels, and how many
    levels.
    """

    config: ExperimentConfig
    folder: Path
    conditions: Sequence[Condition] = CONDITIONS
    seeds: Sequence[int] = (0, 1)
    lifts: Sequence[float] = LIFTS
    episodes: int = 100
    part: str = "development"
    learned_under: str | None = None
    """The nerf that the policies learn under; None: the one that they are measured under."""


def measure(plan: CurvePlan, tell: Tell = lambda text, done, of: None) -> list[Row]:
    """Train and play what has no row yet; all rows, with C, G and goal rate as shares of all episodes.

    Raises `InvalidExperiment` for a folder of another plan, and the errors of the parts.
    """
    path = plan.folder / FILE
    rows = {(row["condition"], int(row["seed"]), float(row["lift"])): row for row in read(path)}
    wanted = {"episodes": plan.episodes, "part": plan.part, "nerf": plan.config.nerf}
    check_same(path, list(rows.values()), wanted)
    for condition in plan.conditions:
        for seed in plan.seeds:
            policy: Policy | None = None
            for lift in plan.lifts:
                if (condition.name, seed, lift) in rows:
                    continue
                policy = policy or load_policy(_trained(plan, condition, seed, tell))
                rows[condition.name, seed, lift] = _row(plan, condition, seed, lift, policy, tell)
                write(path, list(rows.values()))
    return [measured(row) for row in rows.values()]


def policy_folder(plan: CurvePlan, condition: Condition, seed: int) -> Path:
    """Where a condition's policy is kept."""
    return plan.folder / "policies" / f"{condition.name.replace(', ', '-').replace(' ', '-')}-{seed}"


def _trained(plan: CurvePlan, condition: Condition, seed: int, tell: Tell) -> Path:
    menu = plan.config.menu.model_copy(update=dict(condition.menu))
    nerf = plan.learned_under or plan.config.nerf
    config = plan.config.model_copy(update={"menu": menu, "points": 1, "nerf": nerf})
    return trained(
        RunPlan(config, condition.arm, seed, policy_folder(plan, condition, seed)),
        lambda told: tell(f"{condition.name} {seed}: training", told["steps"], config.steps),
    )


def _row(plan: CurvePlan, condition: Condition, seed: int, lift: float, policy: Policy, tell: Tell) -> Row:
    began = time.perf_counter()
    played = levels(plan.config.course, plan.episodes, plan.part, False)
    grid = evaluate(policy, plan.config, played, seed=seed, lift=lift)

    def driven(done: int, of: int) -> None:
        tell(f"{condition.name} {seed} at {lift:g}: driving", done, of)

    rover = evaluate_on_rover(policy, plan.config, played, seed=seed, lift=lift, tell=driven)
    return {
        "policy": f"{condition.name} {seed}",
        "condition": condition.name,
        "seed": seed,
        "lift": lift,
        "part": plan.part,
        "episodes": plan.episodes,
        "poses": "tracked",
        "nerf": plan.config.nerf,
        **shares(grid, rover.contacts, SHARES),
        **outcomes(rover.episodes),
        "seconds": time.perf_counter() - began,
    }


def measured(row: Row) -> Row:
    """A row with C, G and goal rate on both plants. C is a share of all episodes here: no ceiling."""
    told = dict(row)
    for plant in PLANTS:
        told |= robustness(row, f"{plant}_", Ceiling())
    return told
