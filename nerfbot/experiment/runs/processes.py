"""Robots in PyBullet side by side: several in each of a few processes, as one vector environment.

A process steps its robots in turn: actions are handed out once a process, and one robot's reset delays the
others less. Workers load this module; nothing that it imports loads torch.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from nerfbot.experiment.protocol.environments import Environment
from nerfbot.experiment.protocol.measures import FIRST_CONTACTS
from nerfbot.powers import EDITS

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables that cap the threads of numeric libraries."""


class ActionRepeat(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Repeats an action for `hold` steps of the environment and reduces `info` to what learning reads.

    The reward is the sum over the steps; an episode's end cuts them short; a world edit is used in the first
    step alone. `info` has ``action_mask`` where there is one and, at an episode's end, ``episode_summary``
    (see `episode_numbers`): all of it crosses a pipe at every step.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], hold: int = 1) -> None:
        super().__init__(env)
        self.hold = hold

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._return = 0.0
        return observation, self._reduced(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Carry out an action."""
        total = 0.0
        for _ in range(self.hold):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
            if isinstance(action, Mapping):
                action = {**action, "power": 0}
        self._return += total
        return observation, total, terminated, truncated, self._reduced(info)

    def _reduced(self, info: Mapping[str, Any]) -> dict[str, Any]:
        reduced = {name: info[name] for name in ("action_mask",) if name in info}
        if "episode_summary" in info:
            reduced["episode_summary"] = episode_numbers(info["episode_summary"], self._return)
        return reduced


def episode_numbers(summary: Mapping[str, Any], total: float) -> dict[str, float]:
    """An episode's summary as numbers: `return` (the given `total`), `success`, `first` (a place in
    `FIRST_CONTACTS`), `harmed`, `time` (s), `illegal_edits`, and the uses of each world edit by its name.
    """
    return {
        "return": total,
        "success": float(summary["success"]),
        "first": float(FIRST_CONTACTS.index(summary["first_contact"])),
        "harmed": float(any(summary["harm"].values())),
        "time": float(summary["time"]),
        "illegal_edits": float(summary["illegal_edits"]),
        **{edit: float(summary["edits"].get(edit, 0)) for edit in EDITS},
    }


def make(environment: Environment, hold: int = 1, **keywords: Any) -> ActionRepeat:
    """One environment by name, as a worker runs it. Raises what the environment raises."""
    return ActionRepeat(gymnasium.make(environment, disable_env_checker=True, **keywords), hold)


class RobotGroup(gymnasium.Env[Any, Any]):
    """`count` robots that one process steps in turn, as one environment whose every part is a batch.

    `info["robots"]` lists each robot's own. A finished episode is followed by the next in the same step.
    """

    def __init__(self, make_one: Callable[[], gymnasium.Env[Any, Any]], count: int) -> None:
        self.robots = [make_one() for _ in range(count)]
        self.metadata = self.robots[0].metadata
        self.single_observation_space = self.robots[0].observation_space
        self.single_action_space = self.robots[0].action_space
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)
        self._buffer: Any = create_empty_array(self.single_observation_space, count)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode everywhere, with seeds that count up from `seed`."""
        observations, infos = zip(
            *(
                robot.reset(seed=None if seed is None else seed + number, options=options)
                for number, robot in enumerate(self.robots)
            ),
            strict=True,
        )
        return self._concatenated(observations), {"robots": list(infos)}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step each robot in turn."""
        actions = iterate(self.action_space, action)
        steps = [self._step(robot, one) for robot, one in zip(self.robots, actions, strict=True)]
        observations, rewards, terminated, truncated, infos = zip(*steps, strict=True)
        return self._concatenated(observations), rewards, terminated, truncated, {"robots": list(infos)}

    def _step(self, robot: gymnasium.Env[Any, Any], action: Any) -> Any:
        observation, reward, terminated, truncated, info = robot.step(action)
        if terminated or truncated:
            final = {"final_info": info, "final_obs": observation}
            observation, info = robot.reset()
            info = final | info
        return observation, float(reward), terminated, truncated, info

    def _concatenated(self, observations: Sequence[Any]) -> Any:
        return concatenate(self.single_observation_space, observations, self._buffer)

    def close(self) -> None:
        """Close every robot."""
        for robot in self.robots:
            robot.close()


class RobotVectorEnv(VectorEnv[Any, Any, Any]):
    """`count` environments in each of `processes` processes, reset in the same step.

    Every environment has a physics client of its own and is made as `make` does. Observations are views of
    shared memory: the next step overwrites them. Raises what the environment raises.
    """

    def __init__(
        self, environment: Environment, processes: int, count: int = 1, hold: int = 1, **keywords: Any
    ) -> None:
        self._shape, self.num_envs = (processes, count), processes * count
        make_one = functools.partial(make, environment, hold, **keywords)
        # Workers are spawned, not forked: torch and its threads stay out of them
        with one_thread_each():
            self._groups = AsyncVectorEnv(
                [functools.partial(RobotGroup, make_one, count)] * processes,
                shared_memory=True,
                copy=False,
                context="spawn",
                autoreset_mode=AutoresetMode.DISABLED,
            )
        self.metadata = {**self._groups.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = self._groups.get_attr("single_observation_space")[0]
        self.single_action_space = self._groups.get_attr("single_action_space")[0]
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def processes(self) -> list[Any]:
        """The workers."""
        return list(self._groups.processes)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode everywhere, with seeds that count up from `seed`."""
        assert not isinstance(seed, list), "seeds count up from one number"
        starts = range(0, self.num_envs, self._shape[1])
        seeds = [None if seed is None else seed + start for start in starts]
        observation, info = self._groups.reset(seed=seeds, options=options)
        return self._flat(observation), self._joined(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every robot."""
        grouped = (
            {name: self._grouped(part) for name, part in actions.items()}
            if isinstance(actions, Mapping)
            else self._grouped(actions)
        )
        *arrays, info = self._groups.step(grouped)
        observation, reward, terminated, truncated = map(self._flat, arrays)
        return observation, reward, terminated, truncated, self._joined(info)

    def _grouped(self, part: Any) -> Any:
        return np.reshape(part, (*self._shape, *np.shape(part)[1:]))

    def _flat(self, part: Any) -> Any:
        if isinstance(part, Mapping):
            return {name: self._flat(inner) for name, inner in part.items()}
        return part.reshape(self.num_envs, *part.shape[2:])

    def _joined(self, info: Mapping[str, Any]) -> dict[str, Any]:
        joined: dict[str, Any] = {}
        for number, own in enumerate(own for group in info["robots"] for own in group):
            joined = self._add_info(joined, own, number)
        return joined

    def close_extras(self, **how: Any) -> None:
        """End the processes; `terminate=True`: without waiting for what they do."""
        self._groups.close(**how)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that are started within this take one thread."""
    before = {name: os.environ[name] for name in THREADS if name in os.environ}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name in THREADS:
            del os.environ[name]
        os.environ.update(before)
