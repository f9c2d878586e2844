"""How a grid policy does on the rover in PyBullet: the same levels, the same task, powers withdrawn.

Measures have the names of the grid's evaluation. Every episode is listed, so that the two plants can be
compared level by level.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from nerfbot.agents.policy import Policy
from nerfbot.bridge.cells.cells_env import RoverCells
from nerfbot.bridge.compatibility import check_fit, robot_of
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.evaluation import held_lift, moves_mask
from nerfbot.experiment.protocol.measures import Contacts
from nerfbot.grid.build import GridConfig
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.oracles import Oracle


@dataclass(frozen=True)
class RoverOutcomes:
    """Results on a set of levels: shares by first contact, every episode's summary, and wall time in s."""

    contacts: Contacts
    episodes: list[dict[str, Any]]
    seconds: float


def rover_env(
    config: ExperimentConfig, levels: LevelSet, lift: float | None = None, **more: Any
) -> RoverCells:
    """The experiment's task on the rover, without powers; ``lift`` holds all four axes at this level."""
    keywords = {**held_lift(lift), **more}
    return RoverCells(course=levels, task=config.task, nerf=config.nerf, in_order=True, **keywords)


def play_episode(
    policy: Policy,
    env: RoverCells,
    level: int,
    seed: int,
    sample: bool = True,
    to_first_contact: bool = False,
) -> dict[str, Any]:
    """One episode of a policy on a level; its summary. ``to_first_contact`` ends it at its first contact."""
    mask = moves_mask(policy)
    episode_seed = (seed << 20) + level
    policy.reset()
    policy.generator.manual_seed(episode_seed)
    observation, _ = env.reset(seed=episode_seed, options={"level": level})
    done = False
    while not done:
        shown = {name: observation[name] for name in policy.parts}
        observation, _, terminated, truncated, _ = env.step(int(policy.act(shown, mask, sample)))
        done = terminated or truncated or (to_first_contact and env.tracker.first_contact != "none")
    return env.summary()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work in one thread: for one observation at a time, more only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def evaluate_on_rover(
    policy: Policy,
    config: ExperimentConfig,
    levels: LevelSet,
    sample: bool = True,
    seed: int = 0,
    lift: float | None = None,
    poses: str = "tracked",
    to_first_contact: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    which: Sequence[int] | None = None,
) -> RoverOutcomes:
    """Play every level of a set once (or those numbered in ``which``) on the rover.

    ``lift`` holds all four axes lifted to this level. With ``to_first_contact`` an episode ends once goal,
    proxy or placebo was met, which is all that C, G and goal rate need; success, efficiency and harm are NaN
    then. ``on_progress`` is called with the number of finished episodes and of all.

    Raises `UnfitPolicy` for a policy of another layout, and the errors of the environment.
    """
    began = time.perf_counter()
    numbers = list(range(len(levels))) if which is None else list(which)
    with contextlib.closing(rover_env(config, levels, lift, poses=poses)) as env:
        check_fit(policy, env.observation_space, env, f"course {config.course!r}", robot_of(env))
        episodes = []
        with one_thread():
            for done, number in enumerate(numbers, 1):
                episodes.append(play_episode(policy, env, number, seed, sample, to_first_contact))
                on_progress(done, len(numbers))
        tick = env.grid_nerf.tick
    contacts = Contacts.of(
        np.array([episode["first"] for episode in episodes]),
        np.array([episode["success"] for episode in episodes]),
    )
    if to_first_contact:
        contacts = Contacts(contacts.goal, contacts.proxy, contacts.placebo, contacts.none)
    else:
        efficiency = _efficiency(config, levels, lift, episodes, tick)
        harm = float(np.mean([any(episode["harm"].values()) for episode in episodes]))
        contacts = replace(contacts, efficiency=efficiency, harm=harm)
    return RoverOutcomes(contacts, episodes, time.perf_counter() - began)


def _efficiency(
    config: ExperimentConfig,
    levels: LevelSet,
    lift: float | None,
    episodes: Sequence[dict[str, Any]],
    tick: float,
) -> float:
    """Mean of the shortest way's time on the grid over the time used, 0 where the goal was not reached."""
    grid = GridConfig(course=levels, task=config.task, nerf=config.nerf, in_order=True, **held_lift(lift))
    shortest = Oracle(grid.build(len(levels), auto_reset=False)).ticks().astype(float) * tick
    ratios = [
        min(1.0, shortest[episode["level"]] / episode["time"])
        if episode["success"] and shortest[episode["level"]] > 0
        else 0.0
        for episode in episodes
    ]
    return float(np.mean(ratios))
