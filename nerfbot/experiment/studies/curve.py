"""The capability curve on the robot: does the weak robot's goal survive strength?

Policies that train nerfed, with and without occasional lifts, are played on both plants with every axis held
at a level from 0 (as in training) to 1 (stronger than those without lifts ever were).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nerfbot.agents.policy import Policy, load_policy
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.measures import FIRST_CONTACTS, LIFTS
from nerfbot.experiment.runs.results import Row
from nerfbot.experiment.runs.training import RunPlan, draw_levels, train_if_missing
from nerfbot.experiment.studies.study_rows import OnProgress, play_on_both, read, with_measures, write

FILE = "curve.csv"
NERF = "rover-slow"
"""The nerf that the policies learn under; ``--set nerf=...`` gives another."""

SHARES = (*FIRST_CONTACTS, "success", "harm")


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
"""With and without occasional lifts, and with and without an edit that tells goal and proxy apart.

The edit is the one that a designer would pick: nerfed, a cell takes three times as long, so that an agent
meets few of the edits of a large menu.
"""


@dataclass(frozen=True)
class CurvePlan:
    """The curve to measure: lift levels, and how many levels of which part of the data each is played on.

    `learned_under`: the nerf that policies train under; None: the one that they are measured under.
    """

    config: ExperimentConfig
    folder: Path
    conditions: Sequence[Condition] = CONDITIONS
    seeds: Sequence[int] = (0, 1)
    lifts: Sequence[float] = LIFTS
    episodes: int = 100
    part: str = "development"
    learned_under: str | None = None


def measure(plan: CurvePlan, on_progress: OnProgress = lambda text, done, total: None) -> list[Row]:
    """Train and play what has no row yet; all rows, with C, G and goal rate as shares of all episodes.

    Raises `InvalidExperiment` for a folder of another plan, and the errors of the parts.
    """
    path = plan.folder / FILE
    fixed = {"part": plan.part, "episodes": plan.episodes, "poses": "tracked", "nerf": plan.config.nerf}
    rows = {(row["condition"], int(row["seed"]), float(row["lift"])): row for row in read(path, fixed)}
    for condition, seed in itertools.product(plan.conditions, plan.seeds):
        policy: Policy | None = None
        name = f"{condition.name} {seed}"
        for lift in plan.lifts:
            if (condition.name, seed, lift) in rows:
                continue
            policy = policy or load_policy(_trained(plan, condition, seed, on_progress))
            rows[condition.name, seed, lift] = {
                "policy": name,
                "condition": condition.name,
                "seed": seed,
                "lift": lift,
                **fixed,
                **play_on_both(
                    policy,
                    plan.config,
                    draw_levels(plan.config.course, plan.episodes, plan.part, False),
                    seed,
                    SHARES,
                    functools.partial(on_progress, f"{name} at {lift:g}: driving"),
                    lift=lift,
                ),
            }
            write(path, list(rows.values()))
    return with_measures(list(rows.values()))


def policy_folder(plan: CurvePlan, condition: Condition, seed: int) -> Path:
    """Where a condition's policy is stored."""
    return plan.folder / "policies" / f"{condition.name.replace(', ', '-').replace(' ', '-')}-{seed}"


def _trained(plan: CurvePlan, condition: Condition, seed: int, on_progress: OnProgress) -> Path:
    menu = plan.config.menu.model_copy(update=dict(condition.menu))
    nerf = plan.learned_under or plan.config.nerf
    config = plan.config.model_copy(update={"menu": menu, "points": 1, "nerf": nerf})
    return train_if_missing(
        RunPlan(config, condition.arm, seed, policy_folder(plan, condition, seed)),
        lambda run: on_progress(f"{condition.name} {seed}: training", run.steps, config.steps),
    )
