"""One run: one arm, one seed, trained, measured and written to its folder; its row of the results."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nerfbot.agents.curricula import Accel, Curriculum, LevelReplay, Recorder, Yoked
from nerfbot.agents.explorers.explorers import load_explorer
from nerfbot.agents.learner import Learner
from nerfbot.agents.policy import DESCRIPTION, load_policy
from nerfbot.bridge.compatibility import check_fit, layout_of
from nerfbot.course import load_plan
from nerfbot.errors import InvalidCommand
from nerfbot.experiment.protocol.arms import Arm, load_arm, menu_of, steps_of
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment
from nerfbot.experiment.protocol.evaluation import batch_of, evaluate, world
from nerfbot.experiment.protocol.measures import LIFTS
from nerfbot.experiment.runs.run_folder import CHECKPOINT, RunLog
from nerfbot.grid.levels import LevelSet, Split
from nerfbot.powers import EDITS

Tell = Callable[[dict[str, Any]], None]

CURRICULA: Mapping[str, Callable[[], Curriculum]] = {
    "plr": LevelReplay,
    "accel": Accel,
    "record": Recorder,
}
"""Who decides which levels an arm plays, by the arm's name for it."""

VISITED = "visited.npz"
"""In the folder of a run that others are yoked to: the states that its edits made."""

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints: what a kill may cost."""


@functools.lru_cache(maxsize=16)
def levels(course: str, count: int, split: str, training: bool, alpha: float = 0.0) -> LevelSet:
    """Levels of one part of the data, drawn once a process."""
    return LevelSet.draw(load_plan(course), count, training, Split[split.upper()], alpha)


@dataclass(frozen=True)
class RunPlan:
    """What is to be run: the experiment, an arm, a seed; `final` reads the sealed test set.

    `probability` replaces the schedule's, for an arm that is matched to another. `start`: the folder of the
    policy that learning begins with; None: an untrained one.
    """

    config: ExperimentConfig
    arm: str
    seed: int
    folder: Path
    final: bool = False
    probability: float | None = None
    start: Path | None = None


class Tally:
    """Counts over the training episodes that ended, since the beginning and since the last look."""

    def __init__(self) -> None:
        self.whole: Counter[str] = Counter()
        self.latest: Counter[str] = Counter()

    def add(self, info: dict[str, Any]) -> None:
        """Take in the episodes that ended in a step."""
        ended = np.asarray(info["_final_info"])
        told = info["final_info"]["episode_summary"]
        counts = Counter({"episodes": int(ended.sum()), "successes": int(told["success"][ended].sum())})
        for name in ("length", "apart_steps", "rewards", "apart_rewards", "illegal_edits"):
            counts[name] = int(told[name][ended].sum())
        for edit in EDITS:
            counts[edit] = int(told["edits"][edit][ended].sum())
        self.whole += counts
        self.latest += counts

    def look(self) -> Counter[str]:
        """Counts since the last look."""
        found, self.latest = self.latest, Counter()
        return found


def run(plan: RunPlan, tell: Tell = lambda told: None) -> dict[str, Any]:
    """Train, measure and save; the run's row. Goes on from a checkpoint where its folder holds one.

    `tell` is called with the steps so far, the steps wanted, and the latest success rate. Raises the errors
    of the parts, one line each.
    """
    began = time.perf_counter()
    config, tally = plan.config, Tally()
    learner = _learner(plan, load_arm(plan.arm), tally)
    env: Any = learner.env.env
    if plan.start is not None:
        with naming(plan.start):
            policy = load_policy(plan.start)
            check_fit(policy, env.single_observation_space, env, f"course {config.course!r}")
            learner.load_weights(policy)
    return learn(plan, learner, tally, layout_of(env), _point, _row, tell, began)


@contextlib.contextmanager
def naming(folder: Path | None) -> Iterator[None]:
    """Say of a policy that does not fit which folder it came from."""
    try:
        yield
    except InvalidCommand as problem:
        if folder is None:
            raise
        raise InvalidExperiment(f"--from {folder}: {problem}") from None


def learn(
    plan: RunPlan,
    learner: Learner,
    tally: Tally,
    layout: Mapping[str, Any],
    point: Callable[[RunPlan, Learner, Tally, dict[str, float]], dict[str, Any]],
    finish: Callable[[RunPlan, Learner, Tally], dict[str, Any]],
    tell: Tell,
    began: float,
) -> dict[str, Any]:
    """Let a learner learn for its plan's steps and write the run's folder; what `finish` measures, its row.

    `tally` hears of the episodes; `layout` is what the policy says it was made for; `point` measures a point
    of the learning curve; `began`: when the run did, by `time.perf_counter`.
    """
    config = plan.config
    checkpoint = plan.folder / CHECKPOINT
    spent = 0.0
    if checkpoint.exists():
        kept = learner.load(checkpoint)
        tally.whole, tally.latest, spent = Counter(kept["whole"]), Counter(kept["latest"]), kept["seconds"]
    described = {"experiment": config.model_dump(mode="json"), "arm": plan.arm, "seed": plan.seed}
    about = {"experiment": config.name, "course": config.course, "arm": plan.arm, "seed": plan.seed}
    about |= {"nerf": config.nerf, "layout": layout}
    if plan.start is not None:
        described["from"] = about["from"] = str(plan.start)
    wanted = steps_of(config, load_arm(plan.arm))
    marks = [wanted * (point + 1) // config.points for point in range(config.points)]
    marks = [mark for mark in marks if mark > learner.steps]
    saved = time.perf_counter()
    with RunLog(plan.folder, described, learner.steps) as log:
        while learner.steps < wanted:
            told = learner.iterate()
            tell(
                {
                    "steps": learner.steps,
                    "of": wanted,
                    "success": share(tally.whole, "successes", "episodes"),
                }
            )
            if marks and learner.steps >= marks[0]:
                marks = [mark for mark in marks if mark > learner.steps]
                log.write(learner.steps, point(plan, learner, tally, told))
            if time.perf_counter() - saved > CHECKPOINT_SECONDS:
                seconds = spent + time.perf_counter() - began
                learner.save(
                    checkpoint,
                    {"whole": dict(tally.whole), "latest": dict(tally.latest), "seconds": seconds},
                )
                saved = time.perf_counter()
    policy = learner.policy({**about, "steps": learner.steps})
    row = finish(plan, learner, tally)
    row["seconds"] = round(spent + time.perf_counter() - began, 1)
    policy.save(plan.folder)
    if isinstance(learner.curriculum, Recorder):
        learner.curriculum.write(plan.folder / VISITED)
    checkpoint.unlink(missing_ok=True)
    learner.env.close()
    return row


def trained(plan: RunPlan, tell: Tell = lambda told: None) -> Path:
    """The folder of a run's policy, trained now unless it is there."""
    if not (plan.folder / DESCRIPTION).exists():
        run(plan, tell)
    return plan.folder


def _learner(plan: RunPlan, arm: Arm, tally: Tally) -> Learner:
    config = plan.config
    menu = menu_of(config, arm)
    schedule = dict(menu.schedule)
    if plan.probability is not None:
        schedule["probability"] = plan.probability
    drawn = levels(config.course, config.levels.train, "train", True, arm.alpha)
    curriculum = _curriculum(plan, arm, schedule)
    if curriculum is not None:
        drawn = drawn.with_spare(curriculum.spare)
    env = world(
        config,
        drawn,
        config.worlds,
        plan.seed,
        powers=menu.powers,
        contents=menu.contents,
        destinations=menu.destinations,
        schedule=schedule,
        level_seed=plan.seed,
        device=config.device,
    )
    explored = arm.actor != "policy"
    explorer = signal = None
    if explored:
        chosen = config.explorer.model_copy(update=dict(arm.explorer))
        by_chance = arm.actor == "random"
        options = {} if by_chance else chosen.options
        explorer = load_explorer("random" if by_chance else chosen.name, arm.actor == "shuffled", **options)
        signal = None if by_chance else chosen.signal
    return Learner(
        batch_of(config, env, explored),
        config.network,
        config.ppo,
        max(1, steps_of(config, arm)),
        explorer=explorer,
        signal=signal,
        bonus=arm.bonus,
        curriculum=curriculum,
        seed=plan.seed,
        on_episodes=tally.add,
    )


def _curriculum(plan: RunPlan, arm: Arm, schedule: Mapping[str, Any]) -> Curriculum | None:
    if arm.yoked is not None:
        visited = plan.folder.parent.parent / arm.yoked / str(plan.seed) / VISITED
        return Yoked(visited, float(schedule.get("probability", 1.0)))
    return None if arm.curriculum is None else CURRICULA[arm.curriculum]()


def share(counts: Counter[str], part: str, whole: str) -> float:
    """One count over another, 0 where there is nothing to count."""
    return counts[part] / counts[whole] if counts[whole] else 0.0


def _point(plan: RunPlan, learner: Learner, tally: Tally, told: dict[str, float]) -> dict[str, Any]:
    """A point of the learning curve: losses, training episodes since the last one, two sets of levels."""
    config, latest, policy = plan.config, tally.look(), learner.policy()
    numbers = {name: float(value) for name, value in told.items() if name != "steps"}
    point: dict[str, Any] = {
        "learning": numbers,
        "training": {
            "success": share(latest, "successes", "episodes"),
            "alpha_eff_steps": share(latest, "apart_steps", "length"),
            "alpha_eff_rewards": share(latest, "apart_rewards", "rewards"),
            "edits": {edit: latest[edit] for edit in EDITS},
            "illegal_edits": latest["illegal_edits"],
        },
    }
    for name, split, training in (("validation", "validation", True), ("development", "development", False)):
        played = levels(config.course, getattr(config.levels, name), split, training)
        point[name] = evaluate(policy, config, played, seed=plan.seed).columns()
    return point


def _row(plan: RunPlan, learner: Learner, tally: Tally) -> dict[str, Any]:
    """Everything measured at the end, before it is compared with other arms."""
    config, policy = plan.config, learner.policy()
    part = "test" if plan.final else "development"
    count = getattr(config.levels, part)
    validation = levels(config.course, config.levels.validation, "validation", True)
    contacts = {
        "": evaluate(policy, config, levels(config.course, count, part, False), seed=plan.seed),
        "greedy_": evaluate(policy, config, levels(config.course, count, part, False), False, plan.seed),
        "train_": evaluate(policy, config, validation, seed=plan.seed),
    }
    for name, course in config.tests.items():
        contacts[f"{name}_"] = evaluate(policy, config, levels(course, count, part, False), seed=plan.seed)
    if config.nerf != "none":
        for lift in LIFTS:
            for name, played in (("train", validation), ("test", levels(config.course, count, part, False))):
                held = evaluate(policy, config, played, seed=plan.seed, lift=lift)
                contacts[f"lift_{lift:g}_{name}_"] = held
    whole = tally.whole
    columns: dict[str, float] = {}
    for prefix, found in contacts.items():
        columns |= found.columns(prefix)
    return {
        "task": config.name,
        "arm": plan.arm,
        "seed": plan.seed,
        "steps": learner.steps,
        "split": part,
        "alpha_eff_steps": share(whole, "apart_steps", "length"),
        "alpha_eff_rewards": share(whole, "apart_rewards", "rewards"),
        **columns,
        **{f"edits_{edit}": whole[edit] for edit in EDITS},
        "illegal_edits": whole["illegal_edits"],
        "probability": plan.probability if plan.probability is not None else "",
    }
