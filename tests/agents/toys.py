"""Small environments that tests know by heart: a scripted one, and a corridor with powers."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.ppo import PPOConfig
from nerfbot.agents.tensor_env import TensorVectorEnv

SMALL = NetworkConfig(hidden=(16,))


class Toy(VectorEnv[Any, Any, Any]):
    """Base: `single_observation_space` and `single_action_space` given, ended worlds begin anew at once."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, count: int, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.num_envs = count
        self.single_observation_space, self.single_action_space = observation, action
        self.observation_space = batch_space(observation, count)
        self.action_space = batch_space(action, count)


class Scripted(Toy):
    """Plays what it is given, (T, N, ...), whatever is done; the actions it got are in `taken`.

    `observation` has T + 1 rows. `final` (T, N, D): what ended episodes; `mask` (T + 1, N, A); `contact`.
    """

    def __init__(
        self,
        observation: Any,
        reward: Any,
        terminated: Any = None,
        truncated: Any = None,
        final: Any = None,
        mask: Any = None,
        contact: Any = None,
        action: spaces.Space[Any] | None = None,
    ) -> None:
        self.observation = np.asarray(observation, np.float32)
        self.reward = np.asarray(reward, np.float32)
        never = np.zeros(self.reward.shape, bool)
        self.terminated = never if terminated is None else np.asarray(terminated, bool)
        self.truncated = never if truncated is None else np.asarray(truncated, bool)
        self.final, self.mask, self.contact = final, mask, contact
        box = spaces.Box(-np.inf, np.inf, self.observation.shape[2:], np.float32)
        outputs = 2 if mask is None else mask.shape[2]
        super().__init__(self.reward.shape[1], box, action or spaces.Discrete(outputs))

    def _info(self) -> dict[str, Any]:
        return {} if self.mask is None else {"action_mask": self.mask[self.now].copy()}

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.now, self.taken = 0, []
        return self.observation[0], self._info()

    def step(self, actions: Any) -> tuple[Any, ...]:
        step, self.now = self.now, self.now + 1
        self.taken.append(copy.deepcopy(actions))
        info = self._info()
        ended = self.terminated[step] | self.truncated[step]
        if ended.any():
            rows = np.full(self.num_envs, None, object)
            for world in np.flatnonzero(ended):
                rows[world] = np.asarray(self.final[step, world], np.float32)
            info["final_obs"] = rows
        if self.contact is not None:
            info["nerf"] = {"contact": self.contact[step].astype(np.int32)}
        return (
            self.observation[self.now],
            self.reward[step],
            self.terminated[step],
            self.truncated[step],
            info,
        )


class Corridor(Toy):
    """Five cells in a row, a coin in one of them; left, right, stay, and two powers: move the coin, jump.

    Powers are open at random. An episode ends on the coin (terminated) or after `horizon` steps (truncated).
    It can tell its state and be put back into it.
    """

    MOVES = 3

    def __init__(self, count: int = 8, horizon: int = 12, powers: bool = True, stateful: bool = True) -> None:
        parts = {
            "place": spaces.Box(0.0, 1.0, (5,), np.float32),
            "coin": spaces.Box(0.0, 1.0, (5,), np.float32),
        }
        self.actions = 5 if powers else 3
        super().__init__(count, spaces.Dict(parts), spaces.Discrete(self.actions))
        self.horizon, self.powers = horizon, powers
        if not stateful:
            self.state = None  # as an environment that offers nothing of the kind

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.rng = np.random.default_rng(seed)
        self.place, self.coin = np.zeros(self.num_envs, int), np.zeros(self.num_envs, int)
        self.clock, self.open = np.zeros(self.num_envs, int), np.zeros(self.num_envs, bool)
        self._begin(np.ones(self.num_envs, bool))
        return self._seen(), self._info()

    def _begin(self, rows: Any) -> None:
        self.place[rows], self.clock[rows] = 0, 0
        self.coin[rows] = self.rng.integers(3, 5, self.num_envs)[rows]
        self.open = (self.rng.random(self.num_envs) < 0.2) & self.powers

    def _seen(self) -> dict[str, Any]:
        return {
            "place": np.eye(5, dtype=np.float32)[self.place],
            "coin": np.eye(5, dtype=np.float32)[self.coin],
        }

    def _info(self) -> dict[str, Any]:
        mask = np.ones((self.num_envs, self.actions), bool)
        mask[:, self.MOVES :] = self.open[:, None]
        return {"action_mask": mask}

    def step(self, actions: Any) -> tuple[Any, ...]:
        self.place = np.clip(self.place + np.array([-1, 1, 0, 0, 0])[actions], 0, 4)
        moved = self.rng.integers(0, 5, self.num_envs)
        self.coin = np.where(actions == 3, moved, self.coin)
        self.place = np.where(actions == 4, moved, self.place)
        self.clock += 1
        terminated = self.place == self.coin
        truncated = (self.clock >= self.horizon) & ~terminated
        ended = terminated | truncated
        seen = self._seen()
        rows = np.full(self.num_envs, None, object)
        for world in np.flatnonzero(ended):
            rows[world] = {name: part[world].copy() for name, part in seen.items()}
        contact = terminated.astype(np.int32) * 7
        self._begin(ended)
        info = {**self._info(), "nerf": {"contact": contact}}
        if ended.any():
            info |= {"final_obs": rows, "_final_obs": ended}
        return self._seen(), terminated.astype(np.float32), terminated, truncated, info

    def state(self) -> dict[str, Any]:  # type: ignore[no-redef]
        names = ("place", "coin", "clock", "open")
        return {**{name: getattr(self, name).copy() for name in names}, "rng": self.rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self.rng = np.random.default_rng()
        self.rng.bit_generator.state = state["rng"]
        for name in ("place", "coin", "clock", "open"):
            setattr(self, name, state[name].copy())
        return self._seen(), self._info()


def scripted(steps: int = 6, count: int = 4, seed: int = 0, **changes: Any) -> Scripted:
    """A scripted environment of random numbers, in which nothing ends unless `changes` say so."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=(steps + 1, count, 3))
    given = {
        "reward": rng.normal(size=(steps, count)),
        "final": rng.normal(size=(steps, count, 3)),
        **changes,
    }
    return Scripted(
        changes.pop("observation", observation), **{k: v for k, v in given.items() if k != "observation"}
    )


def ppo(**changes: Any) -> PPOConfig:
    """Small numbers."""
    return PPOConfig(**{"rollout_steps": 6, "epochs": 2, "minibatches": 2, **changes})


def boxes(**sizes: int) -> dict[str, spaces.Box]:
    """Observation parts of so many numbers each."""
    return {name: spaces.Box(-np.inf, np.inf, (size,), np.float32) for name, size in sizes.items()}


def corridor(count: int = 8, **keywords: Any) -> TensorVectorEnv:
    """The corridor as a batch whose powers are somebody else's."""
    return TensorVectorEnv(Corridor(count, **keywords), moves=Corridor.MOVES)


def generator(seed: int = 0) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)
