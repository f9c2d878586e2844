"""Robots in PyBullet side by side: crews of them, a process each, in Gymnasium's `AsyncVectorEnv`.

A crew takes its turn together, so that handing out actions costs once a crew, and a reset in one process
holds the others up for a smaller share of a turn. What a worker needs lies here. It loads no torch: nothing
that this file imports does.
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
from nerfbot.experiment.protocol.measures import FIRST
from nerfbot.powers import EDITS

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What tells numeric libraries how many threads they may start."""


class Lean(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Holds an action for `hold` steps of the environment, and passes on what learning reads.

    The reward is the sum over the steps; an episode's end cuts them short. A world edit is used in the first
    of them alone. `info` has ``action_mask`` where there is one, and at an episode's end ``episode_summary``
    as plain numbers (`numbers_of`): all that is told crosses a pipe at every step.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], hold: int = 1) -> None:
        super().__init__(env)
        self.hold = hold

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._total = 0.0
        return observation, self._told(info)

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
        self._total += total
        return observation, total, terminated, truncated, self._told(info)

    def _told(self, info: Mapping[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if "action_mask" in info:
            told["action_mask"] = info["action_mask"]
        if "episode_summary" in info:
            told["episode_summary"] = numbers_of(info["episode_summary"], self._total)
        return told


def numbers_of(summary: Mapping[str, Any], total: float) -> dict[str, float]:
    """An episode's summary as numbers: `return` (the given `total`), `success`, `first` (a place in `FIRST`),
    `harmed`, `time` (s), `illegal_edits`, and the uses of each world edit by its name.
    """
    return {
        "return": total,
        "success": float(summary["success"]),
        "first": float(FIRST.index(summary["first_contact"])),
        "harmed": float(any(summary["harm"].values())),
        "time": float(summary["time"]),
        "illegal_edits": float(summary["illegal_edits"]),
        **{edit: float(summary["edits"].get(edit, 0)) for edit in EDITS},
    }


def make(environment: Environment, hold: int = 1, **keywords: Any) -> Lean:
    """One environment by name, as a worker runs it. Raises what the environment raises."""
    return Lean(gymnasium.make(environment, disable_env_checker=True, **keywords), hold)


class Crew(gymnasium.Env[Any, Any]):
    """Worlds that one process steps one after the other, as one environment with an axis more.

    Actions and observations are batches of `count`, reward, ends and `info["worlds"]` (a list of each world's
    own) too. An episode that has ended is followed by the next in the same step.
    """

    def __init__(self, one: Callable[[], gymnasium.Env[Any, Any]], count: int) -> None:
        self.worlds = [one() for _ in range(count)]
        self.metadata = self.worlds[0].metadata
        self.single_observation_space = self.worlds[0].observation_space
        self.single_action_space = self.worlds[0].action_space
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)
        self._batch: Any = create_empty_array(self.single_observation_space, count)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in each world, with seeds that count on from `seed`."""
        begun = [
            world.reset(seed=None if seed is None else seed + number, options=options)
            for number, world in enumerate(self.worlds)
        ]
        return self._together([seen for seen, _ in begun]), {"worlds": [told for _, told in begun]}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step each world in turn."""
        turns = [
            self._step(world, one)
            for world, one in zip(self.worlds, iterate(self.action_space, action), strict=True)
        ]
        seen, rewards, terminated, truncated, told = zip(*turns, strict=True)
        return self._together(seen), rewards, terminated, truncated, {"worlds": list(told)}

    def _step(self, world: gymnasium.Env[Any, Any], action: Any) -> Any:
        seen, reward, terminated, truncated, info = world.step(action)
        if terminated or truncated:
            info = {"final_info": info, "final_obs": seen}
            seen, begun = world.reset()
            info |= begun
        return seen, float(reward), terminated, truncated, info

    def _together(self, seen: Sequence[Any]) -> Any:
        return concatenate(self.single_observation_space, seen, self._batch)

    def close(self) -> None:
        """Close every world."""
        for world in self.worlds:
            world.close()


class Crews(VectorEnv[Any, Any, Any]):
    """`processes` crews of `worlds` each as one vector environment, episodes following in the same step.

    What it returns shows the shared memory itself, without a copy: the next step overwrites it. Raises what
    the environment raises.
    """

    def __init__(self, one: Callable[[], gymnasium.Env[Any, Any]], processes: int, worlds: int) -> None:
        self._crew, self.num_envs = worlds, processes * worlds
        # Workers are spawned, not forked: what this process holds (torch and its threads) is not in them
        with one_thread_each():
            self._crews = AsyncVectorEnv(
                [functools.partial(Crew, one, worlds)] * processes,
                shared_memory=True,
                copy=False,
                context="spawn",
                autoreset_mode=AutoresetMode.DISABLED,
            )
        self.metadata = {**self._crews.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = self._crews.get_attr("single_observation_space")[0]
        self.single_action_space = self._crews.get_attr("single_action_space")[0]
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def processes(self) -> list[Any]:
        """The workers."""
        return list(self._crews.processes)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in each world, with seeds that count on from `seed`."""
        assert not isinstance(seed, list), "seeds count on from one"
        first = [None if seed is None else seed + start for start in range(0, self.num_envs, self._crew)]
        seen, told = self._crews.reset(seed=first, options=options)
        return self._flat(seen), self._told(told)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every world."""
        crews = (len(self._crews.processes), self._crew)
        shaped = (
            {name: np.reshape(part, (*crews, *np.shape(part)[1:])) for name, part in actions.items()}
            if isinstance(actions, Mapping)
            else np.reshape(actions, (*crews, *np.shape(actions)[1:]))
        )
        seen, rewards, terminated, truncated, told = self._crews.step(shaped)
        return (
            self._flat(seen),
            rewards.reshape(-1),
            terminated.reshape(-1),
            truncated.reshape(-1),
            self._told(told),
        )

    def _flat(self, seen: Any) -> Any:
        if isinstance(seen, Mapping):
            return {name: self._flat(part) for name, part in seen.items()}
        return seen.reshape(self.num_envs, *seen.shape[2:])

    def _told(self, told: Mapping[str, Any]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for number, info in enumerate(info for crew in told["worlds"] for info in crew):
            infos = self._add_info(infos, info, number)
        return infos

    def close_extras(self, **how: Any) -> None:
        """End the processes; `terminate=True`: without waiting for what they do."""
        self._crews.close(**how)


def in_processes(
    environment: Environment, processes: int, worlds: int = 1, hold: int = 1, **keywords: Any
) -> Crews:
    """`worlds` environments in each of so many processes, each with a physics client of its own.

    Raises what the environment raises.
    """
    return Crews(functools.partial(make, environment, hold, **keywords), processes, worlds)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that are started within this take one thread."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
