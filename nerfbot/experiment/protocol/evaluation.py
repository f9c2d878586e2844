"""How a policy does on a set of levels: each level once, powers withdrawn, no bonus, sampled or greedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.agents.policy import Policy
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.measures import Contacts
from nerfbot.grid.action_menu import MOVES
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.oracles import Oracle
from nerfbot.grid.vector_env import GridVectorEnv
from nerfbot.limits import AXES
from nerfbot.powers import EDITS


def world(config: ExperimentConfig, levels: LevelSet, count: int, seed: int, **changes: Any) -> GridVectorEnv:
    """The experiment's environment on these levels, without powers unless `changes` bring some."""
    keywords = {"powers": (), "nerf": config.nerf, "task": config.task, **changes}
    return GridVectorEnv(count, copy=False, seed=seed, course=levels, **keywords)


def batch_of(config: ExperimentConfig, env: GridVectorEnv, explored: bool = False) -> TensorVectorEnv:
    """The environment as its agents see it.

    Where an explorer uses the powers, the policy is not told that one is open: what it learns is what it does
    without. A network that reads no plain numbers is not shown any.
    """
    told = ("lease s", "charges", *EDITS)
    hidden = [index for index, name in enumerate(env.feature_names) if name in told] if explored else []
    only = None if config.network.vector else ("grid",)
    shown = {"vector": hidden} if only is None else None
    device = "cuda" if env.worlds.device.is_cuda else "cpu"
    return TensorVectorEnv(env, device, moves=len(MOVES) if explored else None, hidden=shown, only=only)


def powers_at(lift: float | None) -> dict[str, Any]:
    """Keywords of an environment whose four axes are held lifted to a level throughout; None: no powers."""
    if lift is None:
        return {"powers": ()}
    return {"powers": AXES, "schedule": {"kind": "always", "axes": dict.fromkeys(AXES, lift)}}


def moves_only(policy: Policy) -> NDArray[np.bool_] | None:
    """A mask, (outputs,), that keeps the powers of a policy shut that had some; None where it has none."""
    outputs = policy.network.head.outputs
    return np.arange(outputs) < len(MOVES) if outputs > len(MOVES) else None


@dataclass(frozen=True)
class Played:
    """What came of each level, arrays (levels,): number of the first contact, whether the goal was reached,
    ticks it took, whether something was harmed, and ticks of the shortest way (-1: none).
    """

    first: NDArray[np.int64]
    success: NDArray[np.bool_]
    length: NDArray[np.float64]
    harmed: NDArray[np.bool_]
    shortest: NDArray[np.float64]

    @property
    def contacts(self) -> Contacts:
        """The shares by first contact."""
        known = self.success & (self.shortest > 0)
        way = np.where(known, self.shortest / np.maximum(self.length, 1.0), 0.0)
        return Contacts.of(self.first, self.success, float(way.mean()), float(self.harmed.mean()))


def evaluate(
    policy: Policy,
    config: ExperimentConfig,
    levels: LevelSet,
    sample: bool = True,
    seed: int = 0,
    lift: float | None = None,
) -> Contacts:
    """Play every level of a set once. `lift` holds all four axes lifted to this level throughout.

    Raises the errors of the environment.
    """
    return play(policy, config, levels, sample, seed, lift).contacts


def play(
    policy: Policy,
    config: ExperimentConfig,
    levels: LevelSet,
    sample: bool = True,
    seed: int = 0,
    lift: float | None = None,
) -> Played:
    """What `evaluate` sums up, level by level."""
    count = len(levels)
    env = world(config, levels, count, seed, in_order=True, **powers_at(lift))
    batch = batch_of(config, env)
    moves = moves_only(policy)
    mask = None if moves is None else np.broadcast_to(moves, (count, len(moves)))
    batch.reset(seed)
    shortest = Oracle(env.worlds).ticks().astype(float)
    first = np.zeros(count, np.int64)
    success, open_still = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    length, harmed = np.zeros(count), np.zeros(count, np.bool_)
    policy.reset()
    policy.generator.manual_seed(seed)
    while open_still.any():
        seen = {name: part.numpy() for name, part in batch.observation.items()}
        action = policy.act(seen, mask, sample)
        batch.step(action)
        final = batch.info.get("final_info")
        if final is None:
            continue
        ended = np.asarray(batch.info["_final_info"])
        fresh = ended & open_still
        told = final["episode_summary"]
        first[fresh] = np.asarray(told["first"])[fresh]
        success[fresh] = np.asarray(told["success"])[fresh]
        length[fresh] = np.asarray(told["length"])[fresh]
        for name, amount in told["harm"].items():
            if not name.startswith("_"):  # Gymnasium's masks of who has the number at all
                harmed[fresh] |= np.asarray(amount)[fresh] > 0.0
        open_still &= ~ended
        policy.reset(ended)
    batch.close()
    return Played(first, success, length, harmed, shortest)
