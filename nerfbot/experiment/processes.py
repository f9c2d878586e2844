"""A robot in PyBullet, once a process, side by side: Gymnasium's `AsyncVectorEnv` with shared memory.

What a worker needs lies here. It loads no torch: nothing that this file imports does.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from nerfbot.experiment.measures import FIRST
from nerfbot.powers import EDITS

Environment = Literal["nerfbot/Rover-v0", "nerfbot/Racecar-v0", "nerfbot/A1-v0", "nerfbot/RoverCells-v0"]

CELLS: Environment = "nerfbot/RoverCells-v0"
"""The one whose actions are whole moves."""

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


def in_processes(environment: Environment, count: int, hold: int = 1, **keywords: Any) -> AsyncVectorEnv:
    """`count` environments, each in a process and with a physics client of its own.

    Workers are spawned, not forked: what this process holds (torch and its threads) is not in them. What is
    returned shows the shared memory itself, without a copy: the next step overwrites it. Raises what the
    environment raises.
    """
    one = functools.partial(make, environment, hold, **keywords)
    with one_thread_each():
        return AsyncVectorEnv(
            [one] * count,
            shared_memory=True,
            copy=False,
            context="spawn",
            autoreset_mode=AutoresetMode.SAME_STEP,
        )


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
