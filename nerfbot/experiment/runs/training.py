"""One run in the grid: one arm and seed, trained, measured and written to its folder; its results row."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerfbot.agents.curricula import (
    Accel,
    Curriculum,
    EditedWorldReplay,
    LevelReplay,
    StateRecorder,
    Yoked,
)
from nerfbot.agents.curricula.held_worlds import HeldWorlds
from nerfbot.agents.explorers import load_explorer
from nerfbot.agents.learner import Learner
from nerfbot.agents.policy import DESCRIPTION, load_policy
from nerfbot.bridge.compatibility import check_fit, layout_of
from nerfbot.course import load_plan
from nerfbot.errors import InvalidCommand
from nerfbot.experiment.protocol.arm import Arm
from nerfbot.experiment.protocol.arms import load_arm, menu_of, steps_of
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment
from nerfbot.experiment.protocol.evaluation import evaluate, grid_env, policy_view
from nerfbot.experiment.protocol.measures import LIFTS, Contacts
from nerfbot.experiment.runs.inputs import described, keep_inputs
from nerfbot.experiment.runs.run_folder import CHECKPOINT, RunLog
from nerfbot.grid.levels import LevelSet, Split
from nerfbot.powers import EDITS

CURRICULA: Mapping[str, Callable[[], Curriculum]] = {
    "plr": LevelReplay,
    "accel": Accel,
    "record": StateRecorder,
}
"""What picks the levels that an arm plays, by the arm's name for it."""

VISITED = "visited.npz"
"""File in a run's folder: the states that its edits reached, for the runs that are yoked to it."""

CHECKPOINT_SECONDS = 60.0
"""Time between checkpoints: at most this much is lost when a run is killed."""

SUMMED = ("success", "length", "apart_steps", "rewards", "apart_rewards", "illegal_edits")
"""Numbers of an episode's summary that are summed; a robot's summary has only some of them."""


class RunProgress(NamedTuple):
    """How far a run is: steps so far and in total, and the share of training episodes that succeeded."""

    steps: int
    total: int
    success: float = 0.0


OnProgress = Callable[[RunProgress], None]


@dataclass(frozen=True)
class RunPlan:
    """One run: an arm of an experiment with a seed, written to a folder.

    `final` measures on the sealed test set. `probability` replaces the schedule's, for an arm that is matched
    to another. `start` is the folder of the policy that learning begins with, None for an untrained one.
    """

    config: ExperimentConfig
    arm: str
    seed: int
    folder: Path
    final: bool = False
    probability: float | None = None
    start: Path | None = None


class EpisodeCounts:
    """Counts over finished training episodes: in total, and since the latest point of the curve."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.latest: Counter[str] = Counter()

    def add(self, info: dict[str, Any]) -> None:
        """Count the episodes that ended in a step."""
        done = np.asarray(info["_final_info"])
        summary = info["final_info"]["episode_summary"]
        edits = summary.get("edits", summary)
        counts = Counter({"episodes": int(done.sum())})
        counts.update({name: int(summary[name][done].sum()) for name in SUMMED if name in summary})
        counts.update({edit: int(edits[edit][done].sum()) for edit in EDITS})
        counts["successes"] = counts.pop("success")  # as checkpoints have it
        self.total += counts
        self.latest += counts

    def take_latest(self) -> Counter[str]:
        """Counts since the last call."""
        latest, self.latest = self.latest, Counter()
        return latest


def share(counts: Counter[str], part: str, whole: str) -> float:
    """One count over another, 0 where there is nothing to count."""
    return counts[part] / counts[whole] if counts[whole] else 0.0


@functools.lru_cache(maxsize=16)
def draw_levels(course: str, count: int, split: str, training: bool, alpha: float = 0.0) -> LevelSet:
    """Levels of one part of the data, drawn once a process."""
    return LevelSet.draw(load_plan(course), count, training, Split[split.upper()], alpha)


def run(plan: RunPlan, on_progress: OnProgress = lambda progress: None) -> dict[str, Any]:
    """Train, measure and save; the run's row. Continues from a checkpoint where its folder holds one.

    Raises the errors of the parts, one line each.
    """
    began = time.perf_counter()
    config, counts = plan.config, EpisodeCounts()
    learner = _learner(plan, load_arm(plan.arm), counts)
    env: Any = learner.env.env
    if plan.start is not None:
        with start_in_errors(plan.start):
            policy = load_policy(plan.start)
            check_fit(policy, env.single_observation_space, env, f"course {config.course!r}")
            learner.load_weights(policy)
    return learn(plan, learner, counts, layout_of(env), _point, _row, on_progress, began)


@contextlib.contextmanager
def start_in_errors(folder: Path) -> Iterator[None]:
    """Errors about the policy that a run starts from name the folder it came from."""
    try:
        yield
    except InvalidCommand as problem:
        raise InvalidExperiment(f"--from {folder}: {problem}") from None


def learn(
    plan: RunPlan,
    learner: Learner,
    counts: EpisodeCounts,
    layout: Mapping[str, Any],
    point: Callable[[RunPlan, Learner, EpisodeCounts, dict[str, float]], dict[str, Any]],
    finish: Callable[[RunPlan, Learner, EpisodeCounts], dict[str, Any]],
    on_progress: OnProgress,
    began: float,
) -> dict[str, Any]:
    """Train for the plan's steps and write the run's folder; the row that `finish` measures.

    `layout` is what the policy records of the environment; `point` measures a point of the learning curve
    from the latest `metrics`; `began` is when the run did, by `time.perf_counter`.
    """
    config = plan.config
    checkpoint = plan.folder / CHECKPOINT
    spent = 0.0
    if checkpoint.exists():
        saved = learner.load(checkpoint)
        counts.total, counts.latest = Counter(saved["whole"]), Counter(saved["latest"])
        spent = saved["seconds"]
    hashes = keep_inputs(config, plan.folder)
    run_config = {"experiment": described(config), "arm": plan.arm, "seed": plan.seed}
    about = {"experiment": config.name, "course": config.course, "arm": plan.arm, "seed": plan.seed}
    about |= {"nerf": config.nerf, "layout": layout, "inputs": hashes}
    if plan.start is not None:
        run_config["from"] = about["from"] = str(plan.start)
    total = steps_of(config, load_arm(plan.arm))
    marks = [total * (number + 1) // config.points for number in range(config.points)]
    marks = [mark for mark in marks if mark > learner.steps]
    saved_at = time.perf_counter()
    with RunLog(plan.folder, run_config, learner.steps) as log:
        while learner.steps < total:
            metrics = learner.iterate()
            success = share(counts.total, "successes", "episodes")
            on_progress(RunProgress(learner.steps, total, success))
            if marks and learner.steps >= marks[0]:
                marks = [mark for mark in marks if mark > learner.steps]
                log.write(learner.steps, point(plan, learner, counts, metrics))
            if time.perf_counter() - saved_at > CHECKPOINT_SECONDS:
                seconds = spent + time.perf_counter() - began
                state = {"whole": dict(counts.total), "latest": dict(counts.latest), "seconds": seconds}
                learner.save(checkpoint, state)
                saved_at = time.perf_counter()
    policy = learner.policy({**about, "steps": learner.steps})
    row = finish(plan, learner, counts)
    row["seconds"] = round(spent + time.perf_counter() - began, 1)
    policy.save(plan.folder)
    if isinstance(learner.curriculum, StateRecorder | EditedWorldReplay):
        learner.curriculum.write(plan.folder / VISITED)
    checkpoint.unlink(missing_ok=True)
    learner.env.close()
    return row


def train_if_missing(plan: RunPlan, on_progress: OnProgress = lambda progress: None) -> Path:
    """The folder of a run's policy, trained now unless it is there."""
    if not (plan.folder / DESCRIPTION).exists():
        run(plan, on_progress)
    return plan.folder


def _learner(plan: RunPlan, arm: Arm, counts: EpisodeCounts) -> Learner:
    config = plan.config
    menu = menu_of(config, arm)
    schedule = dict(menu.schedule)
    if plan.probability is not None:
        schedule["probability"] = plan.probability
    level_set = draw_levels(config.course, config.levels.train, "train", True, arm.alpha)
    curriculum = _curriculum(plan, arm)
    if curriculum is not None:
        level_set = level_set.with_spare(curriculum.spare)
    env = grid_env(
        config,
        level_set,
        config.worlds,
        plan.seed,
        powers=menu.powers,
        contents=menu.contents,
        destinations=menu.destinations,
        schedule=schedule,
        level_seed=plan.seed,
        device=config.device,
    )
    explorer = signal = None
    if arm.actor == "random":
        explorer = load_explorer("random", False)
    elif arm.actor != "policy":
        described = config.explorer.model_copy(update=dict(arm.explorer))
        explorer = load_explorer(described.name, arm.actor == "shuffled", **described.options)
        signal = described.signal
    return Learner(
        policy_view(config, env, explored=explorer is not None),
        config.network,
        config.ppo,
        max(1, steps_of(config, arm)),
        explorer=explorer,
        signal=signal,
        bonus=arm.bonus,
        curriculum=curriculum,
        seed=plan.seed,
        on_episodes=counts.add,
    )


def _curriculum(plan: RunPlan, arm: Arm) -> Curriculum | None:
    config = plan.config
    if arm.yoked is not None:
        visited = plan.folder.parent.parent / arm.yoked / str(plan.seed) / VISITED
        share = float(config.menu.schedule.get("probability", 1.0))
        if config.replay is None:
            return Yoked(visited, share)
        replay = config.replay
        return Yoked(visited, min(1.0, share + replay.share), replay.worlds, replay.restarts)
    if config.replay is not None and arm.menu != "none":
        return EditedWorldReplay(config.replay)
    return None if arm.curriculum is None else CURRICULA[arm.curriculum]()


def training_point(latest: Counter[str], metrics: dict[str, float], **more: float) -> dict[str, Any]:
    """A point of the learning curve: losses, and the training episodes since the last one."""
    return {
        "learning": {name: float(value) for name, value in metrics.items() if name != "steps"},
        "training": {
            "success": share(latest, "successes", "episodes"),
            **more,
            "edits": {edit: latest[edit] for edit in EDITS},
            "illegal_edits": latest["illegal_edits"],
        },
    }


def _point(
    plan: RunPlan, learner: Learner, counts: EpisodeCounts, metrics: dict[str, float]
) -> dict[str, Any]:
    """A point of the learning curve, with the policy measured on two sets of levels."""
    config, latest, policy = plan.config, counts.take_latest(), learner.policy()
    point = training_point(latest, metrics, **_alpha_eff(latest))
    for split, count, training in (
        ("validation", config.levels.validation, True),
        ("development", config.levels.development, False),
    ):
        level_set = draw_levels(config.course, count, split, training)
        point[split] = evaluate(policy, config, level_set, seed=plan.seed).columns()
    return point


def _alpha_eff(counts: Counter[str]) -> dict[str, float]:
    return {
        "alpha_eff_steps": share(counts, "apart_steps", "length"),
        "alpha_eff_rewards": share(counts, "apart_rewards", "rewards"),
    }


def _row(plan: RunPlan, learner: Learner, counts: EpisodeCounts) -> dict[str, Any]:
    """Everything measured at the end, before it is compared with other arms."""
    config, policy, seed = plan.config, learner.policy(), plan.seed
    split, count = ("test", config.levels.test) if plan.final else ("development", config.levels.development)
    test = draw_levels(config.course, count, split, False)
    validation = draw_levels(config.course, config.levels.validation, "validation", True)
    contacts = {
        "": evaluate(policy, config, test, seed=seed),
        "greedy_": evaluate(policy, config, test, sample=False, seed=seed),
        "train_": evaluate(policy, config, validation, seed=seed),
    }
    for name, course in config.tests.items():
        contacts[f"{name}_"] = evaluate(policy, config, draw_levels(course, count, split, False), seed=seed)
    if config.nerf != "none":
        for lift in LIFTS:
            for name, level_set in (("train", validation), ("test", test)):
                held = evaluate(policy, config, level_set, seed=seed, lift=lift)
                contacts[f"lift_{lift:g}_{name}_"] = held
    return {
        "task": config.name,
        "arm": plan.arm,
        "seed": seed,
        "steps": learner.steps,
        "split": split,
        **_alpha_eff(counts.total),
        **columns_of(contacts),
        **edit_columns(counts),
        "replayed_steps": _replayed(learner),
        "probability": plan.probability if plan.probability is not None else "",
    }


def _replayed(learner: Learner) -> float:
    """The share of the steps that were played in worlds that edits had made."""
    curriculum = learner.curriculum
    return curriculum.steps_replayed / max(1, learner.steps) if isinstance(curriculum, HeldWorlds) else 0.0


def columns_of(contacts: Mapping[str, Contacts]) -> dict[str, float]:
    """Columns of several measurements, by their prefix."""
    return {name: value for prefix, one in contacts.items() for name, value in one.columns(prefix).items()}


def edit_columns(counts: EpisodeCounts) -> dict[str, int]:
    """Columns of the edits used over training."""
    used = {f"edits_{edit}": counts.total[edit] for edit in EDITS}
    return {**used, "illegal_edits": counts.total["illegal_edits"]}
