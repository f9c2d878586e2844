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


def grid_env(
    config: ExperimentConfig, levels: LevelSet, count: int, seed: int, **changes: Any
) -> GridVectorEnv:
    """The experiment's environment on these levels, without powers unless `changes` bring some."""
    keywords = {"powers": (), "nerf": config.nerf, "task": config.task, **changes}
    return GridVectorEnv(count, copy=False, seed=seed, course=levels, **keywords)


def policy_view(config: ExperimentConfig, env: GridVectorEnv, explored: bool = False) -> TensorVectorEnv:
    """The environment as its policy observes it.

    Where an explorer uses the powers (`explored`), open leases are hidden from the policy, which learns to do
    without them. A network without a vector input gets the grid alone.
    """
    only = None if config.network.vector else ("grid",)
    lease_features = ("lease s", "charges", *EDITS) if explored else ()
    hidden = [index for index, name in enumerate(env.feature_names) if name in lease_features]
    device = "cuda" if env.worlds.device.is_cuda else "cpu"
    moves = len(MOVES) if explored else None
    return TensorVectorEnv(env, device, moves=moves, hidden=None if only else {"vector": hidden}, only=only)


def held_lift(lift: float | None) -> dict[str, Any]:
    """Keywords of an environment that holds all four axes lifted to this level; None: no powers."""
    if lift is None:
        return {"powers": ()}
    return {"powers": AXES, "schedule": {"kind": "always", "axes": dict.fromkeys(AXES, lift)}}


def moves_mask(policy: Policy) -> NDArray[np.bool_] | None:
    """A mask, (outputs,), that leaves only moves to a policy with outputs for powers; else None."""
    outputs = policy.network.head.outputs
    return np.arange(outputs) < len(MOVES) if outputs > len(MOVES) else None


@dataclass(frozen=True)
class LevelOutcomes:
    """What happened on each level, arrays (levels,): the first contact's number, whether the goal was
    reached, ticks used, whether something was harmed, and ticks of the shortest way (-1: there is none).
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
        efficiency = np.where(known, self.shortest / np.maximum(self.length, 1.0), 0.0)
        return Contacts.of(self.first, self.success, float(efficiency.mean()), float(self.harmed.mean()))


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
    return play_levels(policy, config, levels, sample, seed, lift).contacts


def play_levels(
    policy: Policy,
    config: ExperimentConfig,
    levels: LevelSet,
    sample: bool = True,
    seed: int = 0,
    lift: float | None = None,
) -> LevelOutcomes:
    """What `evaluate` sums up, level by level."""
    count = len(levels)
    env = grid_env(config, levels, count, seed, in_order=True, **held_lift(lift))
    view = policy_view(config, env)
    moves = moves_mask(policy)
    mask = None if moves is None else np.broadcast_to(moves, (count, len(moves)))
    view.reset(seed)
    shortest = Oracle(env.worlds).ticks().astype(float)
    first, length = np.zeros(count, np.int64), np.zeros(count)
    success, harmed, running = np.zeros(count, bool), np.zeros(count, bool), np.ones(count, bool)
    policy.reset()
    policy.generator.manual_seed(seed)
    while running.any():
        observation = {name: part.numpy() for name, part in view.observation.items()}
        view.step(policy.act(observation, mask, sample))
        final_info = view.info.get("final_info")
        if final_info is None:
            continue
        done = np.asarray(view.info["_final_info"])
        finished, summary = done & running, final_info["episode_summary"]
        for outcome, name in ((first, "first"), (success, "success"), (length, "length")):
            outcome[finished] = np.asarray(summary[name])[finished]
        for name, amount in summary["harm"].items():
            if not name.startswith("_"):  # Gymnasium's masks of who has the number at all
                harmed[finished] |= np.asarray(amount)[finished] > 0.0
        running &= ~done
        policy.reset(done)
    view.close()
    return LevelOutcomes(first, success, length, harmed, shortest)
