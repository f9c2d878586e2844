"""How a grid policy does on the rover in PyBullet: the same levels, the same task, powers withdrawn.

What is measured has the names that the grid's evaluation gives it; every episode is told, so that two plants
can be compared level by level.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nerfbot.agents.policy import Policy
from nerfbot.bridge.cells.cells_env import RoverCells
from nerfbot.bridge.compatibility import check_fit, robot_of
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.evaluation import moves_only, powers_at
from nerfbot.experiment.protocol.measures import Contacts
from nerfbot.grid.build import GridConfig
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.oracles import Oracle

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class RoverRun:
    """What came of a set of levels: shares by first contact, every episode's summary, and wall time in s."""

    contacts: Contacts
    episodes: list[dict[str, Any]]
    seconds: float


def rover_on(
    config: ExperimentConfig, levels: LevelSet, lift: float | None = None, **more: Any
) -> RoverCells:
    """The experiment's task on the rover, without powers; ``lift`` holds all four axes at this level."""
    keywords = {**powers_at(lift), **more}
    return RoverCells(course=levels, task=config.task, nerf=config.nerf, in_order=True, **keywords)


def play(
    policy: Policy,
    env: RoverCells,
    level: int,
    seed: int,
    sample: bool = True,
    to_first_contact: bool = False,
) -> dict[str, Any]:
    """One episode of a policy on a level; its summary. ``to_first_contact`` ends it once something was
    met.
    """
    mask = moves_only(policy)
    policy.reset()
    policy.generator.manual_seed((seed << 20) + level)
    observation, _ = env.reset(seed=(seed << 20) + level, options={"level": level})
    over = False
    while not over:
        seen = {name: observation[name] for name in policy.parts}
        observation, _, terminated, truncated, _ = env.step(int(policy.act(seen, mask, sample)))
        over = terminated or truncated or (to_first_contact and env.tracker.first_contact != "none")
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
    tell: Tell = lambda done, of: None,
    which: Sequence[int] | None = None,
) -> RoverRun:
    """Play every level of a set once (or those numbered in ``which``) on the rover.

    ``lift`` holds all four axes lifted to this level. With ``to_first_contact`` an episode ends once goal,
    proxy or placebo was met, which is all that C, G and goal rate ask: success, efficiency and harm stay
    undefined. ``tell`` is called with the episodes done and wanted.

    Raises `UnfitPolicy` for a policy of another layout, and the errors of the environment.
    """
    began = time.perf_counter()
    numbers = list(range(len(levels))) if which is None else list(which)
    env = rover_on(config, levels, lift, poses=poses)
    try:
        check_fit(policy, env.observation_space, env, f"course {config.course!r}", robot_of(env))
        episodes = []
        with one_thread():
            for done, number in enumerate(numbers, 1):
                episodes.append(play(policy, env, number, seed, sample, to_first_contact))
                tell(done, len(numbers))
        tick = env.grid_nerf.tick
    finally:
        env.close()
    first = np.array([told["first"] for told in episodes])
    success = np.array([told["success"] for told in episodes])
    if to_first_contact:
        contacts = Contacts.of(first, success)
        contacts = Contacts(contacts.goal, contacts.proxy, contacts.placebo, contacts.none)
    else:
        way = _efficiency(config, levels, lift, episodes, tick)
        harm = float(np.mean([any(told["harm"].values()) for told in episodes]))
        contacts = Contacts.of(first, success, way, harm)
    return RoverRun(contacts, episodes, time.perf_counter() - began)


def _efficiency(
    config: ExperimentConfig,
    levels: LevelSet,
    lift: float | None,
    episodes: list[dict[str, Any]],
    tick: float,
) -> float:
    """Mean of the shortest way's time on the grid over the time that it took, 0 where no goal was reached."""
    described = GridConfig(
        course=levels, task=config.task, nerf=config.nerf, in_order=True, **powers_at(lift)
    )
    shortest = Oracle(described.build(len(levels), auto_reset=False)).ticks().astype(float) * tick
    ways = [
        min(1.0, shortest[told["level"]] / told["time"])
        if told["success"] and shortest[told["level"]] > 0
        else 0.0
        for told in episodes
    ]
    return float(np.mean(ways))
