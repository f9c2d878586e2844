"""One run on a robot in PyBullet itself: trained, measured and written to its folder; its row.

On ``nerfbot/Rover-v0`` and its like the policy commands the robot's own channels. On
``nerfbot/RoverCells-v0`` it has the grid's observation and moves, so that a grid policy can learn on there.
Lifts come and go by the schedule, and world edits are the policy's own to use while granted.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.agents.learner import Learner
from nerfbot.agents.policy import Policy, load_policy
from nerfbot.bridge.cells.cells_env import RoverCells
from nerfbot.bridge.compatibility import check_fit, check_rover_fit, layout_of, robot_of, rover_layout_of
from nerfbot.experiment.protocol.arms import load_arm, menu_of, steps_of
from nerfbot.experiment.protocol.config import RobotTrainingConfig, InvalidExperiment
from nerfbot.experiment.protocol.environments import CELLS
from nerfbot.experiment.protocol.measures import Contacts
from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover, one_thread
from nerfbot.experiment.runs.processes import in_processes, make
from nerfbot.experiment.runs.training import RunPlan, Tally, Tell, learn, levels, naming, share
from nerfbot.powers import EDITS
from nerfbot.sim.physics.client import CONTROL_STEP

ARMS = ("plain", "powers", "random-policy")
"""What a robot can be learned on directly by: explorers, bonuses and curricula are the grid's."""

UNSEEN = 1_000_000
"""Added to a run's seed for the episodes that it is measured in: training never begins there."""


class Episodes(Tally):
    """Counts over the training episodes that ended, as `numbers_of` tells of them."""

    def add(self, info: dict[str, Any]) -> None:
        """Take in the episodes that ended in a step."""
        ended = np.asarray(info["_final_info"])
        told = info["final_info"]["episode_summary"]
        counts: Counter[str] = Counter({"episodes": int(ended.sum())})
        for name in ("success", "illegal_edits", *EDITS):
            counts[name] = int(told[name][ended].sum())
        counts["successes"] = counts.pop("success")
        self.whole += counts
        self.latest += counts


def config_of(plan: RunPlan) -> RobotTrainingConfig:
    """The plan's configuration. Raises `InvalidExperiment` for an arm that is the grid's alone."""
    assert isinstance(plan.config, RobotTrainingConfig)
    if plan.arm not in ARMS:
        raise InvalidExperiment(f"arm: {plan.arm!r}: a robot itself is learned on by {', '.join(ARMS)}")
    return plan.config


def keywords_of(
    config: RobotTrainingConfig, arm: str, training: bool = True, granted: bool = True, seed: int = 0
) -> dict[str, Any]:
    """Keywords of the environment that an arm learns on.

    Courses are drawn as for `training` or for tests; powers are `granted` by the schedule, or never.
    """
    menu = menu_of(config, load_arm(arm))
    keywords: dict[str, Any] = {
        "course": config.course,
        "task": config.task,
        "nerf": config.nerf,
        "powers": menu.powers,
        "schedule": menu.schedule if granted and menu.powers else "never",
        "training": training,
    }
    if config.environment == CELLS:
        keywords["levels"], keywords["split"] = config.levels.train, "train"
        keywords["level_seed"], keywords["destinations"] = seed, menu.destinations
        keywords["contents"] = "basic" if menu.contents == "all" else menu.contents
    return {**keywords, **config.options}


def batch_of(config: RobotTrainingConfig, env: VectorEnv[Any, Any, Any]) -> TensorVectorEnv:
    """The environment as its policy sees it."""
    only = config.parts or None
    if only is None and config.environment == CELLS and not config.network.vector:
        only = ("grid",)
    return TensorVectorEnv(env, only=only)


@contextlib.contextmanager
def worlds(config: RobotTrainingConfig, keywords: Mapping[str, Any]) -> Iterator[TensorVectorEnv]:
    """The environments in their processes, which end on leaving. Raises the errors of the environment."""
    with unknown_options():
        env = in_processes(config.environment, config.processes, config.crew, config.hold, **keywords)
    try:
        yield batch_of(config, env)
    finally:
        env.close(terminate=True)


@contextlib.contextmanager
def unknown_options() -> Iterator[None]:
    """Turn a keyword that an environment does not have into one line."""
    try:
        yield
    except TypeError as problem:
        raise InvalidExperiment(f"options: {str(problem).partition(' was raised')[0]}") from None


def run(plan: RunPlan, tell: Tell = lambda told: None) -> dict[str, Any]:
    """Train, measure and save; the run's row. Goes on from a checkpoint where its folder holds one.

    Like `nerfbot.experiment.runs.training.run`, whose row has these columns among others: shares by first contact,
    sampled, ``greedy_``, and ``train_`` on training-like episodes.
    """
    began = time.perf_counter()
    config, tally = config_of(plan), Episodes()
    keywords = keywords_of(config, plan.arm, seed=plan.seed)
    layout, start = layout_on(config, keywords), None
    if plan.start is not None:
        with naming(plan.start):
            start = load_policy(plan.start)
            layout_on(config, keywords, start)
    with one_thread(), worlds(config, keywords) as batch:
        steps = max(1, steps_of(config, load_arm(plan.arm)))
        learner = Learner(batch, config.network, config.ppo, steps, seed=plan.seed, on_episodes=tally.add)
        if start is not None:
            with naming(plan.start):
                learner.load_weights(start)
        return learn(plan, learner, tally, layout, _point, _row, tell, began)


def layout_on(
    config: RobotTrainingConfig, keywords: Mapping[str, Any], policy: Policy | None = None
) -> dict[str, Any]:
    """What a policy that learns here says of it, from one environment in this process.

    Raises `UnfitPolicy` where the given `policy` does not fit there, and the errors of the environment.
    """
    with unknown_options():
        env: Any = make(config.environment, **keywords).unwrapped
    with contextlib.closing(env):
        if isinstance(env, RoverCells):
            if policy is not None:
                check_fit(policy, env.observation_space, env, f"course {config.course!r}", robot_of(env))
            return layout_of(env, robot_of(env))
        period = config.hold * CONTROL_STEP
        if policy is not None:
            check_rover_fit(policy, env, period)
        return rover_layout_of(env, period)


def _point(plan: RunPlan, learner: Learner, tally: Tally, told: dict[str, float]) -> dict[str, Any]:
    """A point of the learning curve: losses, and the training episodes since the last one."""
    latest = tally.look()
    return {
        "learning": {name: float(value) for name, value in told.items() if name != "steps"},
        "training": {
            "episodes": latest["episodes"],
            "success": share(latest, "successes", "episodes"),
            "edits": {edit: latest[edit] for edit in EDITS},
            "illegal_edits": latest["illegal_edits"],
        },
    }


def _row(plan: RunPlan, learner: Learner, tally: Tally) -> dict[str, Any]:
    """Everything measured at the end."""
    config = config_of(plan)
    return {
        "task": config.name,
        "arm": plan.arm,
        "seed": plan.seed,
        "steps": learner.steps,
        "episodes": config.episodes,
        **columns_of(learner.policy(), config, plan.arm, plan.seed),
        "train_episodes": tally.whole["episodes"],
        **{f"edits_{edit}": tally.whole[edit] for edit in EDITS},
        "illegal_edits": tally.whole["illegal_edits"],
    }


def columns_of(policy: Policy, config: RobotTrainingConfig, arm: str, seed: int = 0) -> dict[str, float]:
    """What is measured of a policy, as columns: sampled, ``greedy_``, and ``train_`` as training draws.

    Shares of `config.episodes` episodes by what they meet first, powers withdrawn. Raises the errors of the
    environment.
    """
    found: dict[str, Contacts] = {}
    for training, ways in ((False, {"": True, "greedy_": False}), (True, {"train_": True})):
        if config.environment == CELLS:
            played = levels(
                config.course, config.episodes, "validation" if training else "development", training
            )
            for prefix, sample in ways.items():
                found[prefix] = evaluate_on_rover(policy, config, played, sample, seed).contacts
            continue
        with worlds(config, keywords_of(config, arm, training, granted=False)) as batch:
            for prefix, sample in ways.items():
                found[prefix] = play(policy, batch, config.episodes, sample, seed)
    return {name: share for prefix, some in found.items() for name, share in some.columns(prefix).items()}


def play(policy: Policy, batch: TensorVectorEnv, episodes: int, sample: bool = True, seed: int = 0) -> Contacts:
    """What episodes of a policy meet first: as many of each world, so that short ones count no more often."""
    left = np.full(batch.count, -(-episodes // batch.count))
    told: dict[str, list[float]] = {"first": [], "success": [], "harmed": []}
    batch.reset(seed + UNSEEN)
    policy.reset()
    policy.generator.manual_seed(seed)
    while left.any():
        parts = {name: part.numpy() for name, part in batch.observation.items()}
        seen = parts.get("", parts)  # a flat vector has no parts
        mask = None if batch.mask is None else batch.mask.numpy()
        batch.step(policy.act(seen, mask, sample))
        ended = (batch.terminated | batch.truncated).numpy()
        policy.reset(ended)
        for row in np.flatnonzero(ended & (left > 0)):
            for name, values in told.items():
                values.append(float(batch.info["final_info"]["episode_summary"][name][row]))
            left[row] -= 1
    first, success = np.array(told["first"], np.int64), np.array(told["success"]) > 0
    return Contacts.of(first, success, harm=float(np.mean(told["harmed"])))
