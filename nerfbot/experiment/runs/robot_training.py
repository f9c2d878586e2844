"""One run on a robot in PyBullet itself: trained, measured and written to its folder; its row.

On ``nerfbot/Rover-v0`` and its like the policy commands the robot's own channels. On
``nerfbot/RoverCells-v0`` it has the grid's observation and moves, so that a grid policy can go on training
there. Lifts come and go by the schedule; world edits are the policy's own to use while granted.
"""

from __future__ import annotations

import contextlib
import time
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
from nerfbot.experiment.runs.processes import RobotVectorEnv, make
from nerfbot.experiment.runs.training import (
    EpisodeCounts,
    OnProgress,
    RunPlan,
    columns_of,
    draw_levels,
    edit_columns,
    learn,
    start_in_errors,
    training_point,
)
from nerfbot.sim.physics.client import CONTROL_STEP

ARMS = ("plain", "powers", "random-policy")
"""Arms that can train on a robot itself: explorers, bonuses and curricula need the grid."""

TEST_SEEDS = 1_000_000
"""Added to a run's seed for the episodes that it is measured in: training never begins there."""


def config_of(plan: RunPlan) -> RobotTrainingConfig:
    """The plan's configuration. Raises `InvalidExperiment` for an arm that only the grid has."""
    assert isinstance(plan.config, RobotTrainingConfig)
    if plan.arm not in ARMS:
        raise InvalidExperiment(f"arm: {plan.arm!r}: training on a robot itself has only {', '.join(ARMS)}")
    return plan.config


def env_keywords(
    config: RobotTrainingConfig, arm: str, training: bool = True, granted: bool = True, seed: int = 0
) -> dict[str, Any]:
    """Keywords of the environment that an arm trains in.

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


def policy_view(config: RobotTrainingConfig, env: VectorEnv[Any, Any, Any]) -> TensorVectorEnv:
    """The environment as its policy observes it."""
    only = config.parts or None
    if only is None and config.environment == CELLS and not config.network.vector:
        only = ("grid",)
    return TensorVectorEnv(env, only=only)


@contextlib.contextmanager
def robots(config: RobotTrainingConfig, keywords: Mapping[str, Any]) -> Iterator[TensorVectorEnv]:
    """The environments in their processes, which end on leaving. Raises the errors of the environment."""
    with option_errors():
        env = RobotVectorEnv(config.environment, config.processes, config.crew, config.hold, **keywords)
    try:
        yield policy_view(config, env)
    finally:
        env.close(terminate=True)


@contextlib.contextmanager
def option_errors() -> Iterator[None]:
    """Turn a keyword that an environment does not have into one line."""
    try:
        yield
    except TypeError as problem:
        raise InvalidExperiment(f"options: {str(problem).partition(' was raised')[0]}") from None


def run(plan: RunPlan, on_progress: OnProgress = lambda progress: None) -> dict[str, Any]:
    """Train, measure and save; the run's row. Continues from a checkpoint where its folder holds one.

    The row has, as that of `nerfbot.experiment.runs.training.run`, shares by first contact: sampled,
    ``greedy_``, and ``train_`` on training-like episodes.
    """
    began = time.perf_counter()
    config, counts = config_of(plan), EpisodeCounts()
    keywords = env_keywords(config, plan.arm, seed=plan.seed)
    layout = layout_on(config, keywords)
    start = None
    if plan.start is not None:
        with start_in_errors(plan.start):
            start = load_policy(plan.start)
            layout_on(config, keywords, start)
    with one_thread(), robots(config, keywords) as env:
        steps = max(1, steps_of(config, load_arm(plan.arm)))
        learner = Learner(env, config.network, config.ppo, steps, seed=plan.seed, on_episodes=counts.add)
        if start is not None and plan.start is not None:
            with start_in_errors(plan.start):
                learner.load_weights(start)
        return learn(plan, learner, counts, layout, _point, _row, on_progress, began)


def layout_on(
    config: RobotTrainingConfig, keywords: Mapping[str, Any], policy: Policy | None = None
) -> dict[str, Any]:
    """What a policy trained here records of its environment, read from one in this process.

    Raises `UnfitPolicy` where the given `policy` does not fit there, and the errors of the environment.
    """
    with option_errors():
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


def _point(
    plan: RunPlan, learner: Learner, counts: EpisodeCounts, metrics: dict[str, float]
) -> dict[str, Any]:
    latest = counts.take_latest()
    return training_point(latest, metrics, episodes=latest["episodes"])


def _row(plan: RunPlan, learner: Learner, counts: EpisodeCounts) -> dict[str, Any]:
    """Everything measured at the end."""
    config = config_of(plan)
    return {
        "task": config.name,
        "arm": plan.arm,
        "seed": plan.seed,
        "steps": learner.steps,
        "episodes": config.episodes,
        **measure(learner.policy(), config, plan.arm, plan.seed),
        "train_episodes": counts.total["episodes"],
        **edit_columns(counts),
    }


def measure(policy: Policy, config: RobotTrainingConfig, arm: str, seed: int = 0) -> dict[str, float]:
    """Columns of a policy: shares by first contact, sampled, ``greedy_``, and ``train_`` as training draws.

    Over `config.episodes` episodes each, powers withdrawn. Raises the errors of the environment.
    """
    contacts: dict[str, Contacts] = {}
    for training, ways in ((False, {"": True, "greedy_": False}), (True, {"train_": True})):
        if config.environment == CELLS:
            split = "validation" if training else "development"
            level_set = draw_levels(config.course, config.episodes, split, training)
            for prefix, sample in ways.items():
                contacts[prefix] = evaluate_on_rover(policy, config, level_set, sample, seed).contacts
            continue
        with robots(config, env_keywords(config, arm, training, granted=False)) as env:
            for prefix, sample in ways.items():
                contacts[prefix] = evaluate_on_robots(policy, env, config.episodes, sample, seed)
    return columns_of(contacts)


def evaluate_on_robots(
    policy: Policy, env: TensorVectorEnv, episodes: int, sample: bool = True, seed: int = 0
) -> Contacts:
    """What episodes meet first: as many on each robot, so that short ones count no more often."""
    left = np.full(env.count, -(-episodes // env.count))
    outcomes: dict[str, list[float]] = {"first": [], "success": [], "harmed": []}
    env.reset(seed + TEST_SEEDS)
    policy.reset()
    policy.generator.manual_seed(seed)
    while left.any():
        parts = {name: part.numpy() for name, part in env.observation.items()}
        mask = None if env.mask is None else env.mask.numpy()
        env.step(policy.act(parts.get("", parts), mask, sample))  # a flat vector has no parts
        done = (env.terminated | env.truncated).numpy()
        policy.reset(done)
        for row in np.flatnonzero(done & (left > 0)):
            for name, values in outcomes.items():
                values.append(float(env.info["final_info"]["episode_summary"][name][row]))
            left[row] -= 1
    first, success = np.array(outcomes["first"], np.int64), np.array(outcomes["success"]) > 0
    return Contacts.of(first, success, harm=float(np.mean(outcomes["harmed"])))
