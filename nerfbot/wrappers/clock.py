"""Time and episodes of an environment: its control period, its horizon, where episodes begin, their seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand

DEFAULT_PERIOD = 0.05
"""s, of an environment with neither ``dt`` nor ``render_fps``."""

DEFAULT_HORIZON = 60.0
"""s, of an environment without a time limit."""

AnyEnv = gymnasium.Env | VectorEnv
Seeds = int | Sequence[int | None] | None
Mask = NDArray[np.bool_]


def period_of(env: AnyEnv, period: float | None = None) -> float:
    """Seconds of one step: ``period``, else the environment's ``dt``, else 1 / ``render_fps``, else 0.05.

    What is not given is multiplied by the frames that wrappers around the environment skip (Gymnasium's
    `MaxAndSkipObservation`, `AtariPreprocessing` and others that state `_skip`, `skip` or `frame_skip`).

    Raises `InvalidCommand` for a ``period`` that is not above 0, and where it is missing for an
    `AsyncVectorEnv`, whose environments live in other processes.
    """
    if period is None:
        if isinstance(env.unwrapped, AsyncVectorEnv):
            raise InvalidCommand("period: must be given (s) for an AsyncVectorEnv, which hides its dt")
        stated = getattr(_one_of(env), "dt", None)
        rate = env.metadata.get("render_fps")
        fallback = 1.0 / rate if rate else DEFAULT_PERIOD
        period = float(stated) if isinstance(stated, (int, float)) and stated > 0.0 else fallback
        period *= _skipped_frames(env)
    if not (math.isfinite(period) and period > 0.0):
        raise InvalidCommand(f"period must be above 0 s, got {period!r}")
    return float(period)


def _skipped_frames(env: AnyEnv) -> int:
    """How many steps of the bare environment one step of its wrappers makes."""
    frames, layer = 1, getattr(env.unwrapped, "envs", [env])[0]
    while isinstance(layer, gymnasium.Wrapper):
        stated = (vars(layer).get(name) for name in ("_skip", "skip", "frame_skip"))
        frames *= next((n for n in stated if isinstance(n, int) and n > 1), 1)
        layer = layer.env
    return frames


def horizon_of(env: AnyEnv, period: float, horizon: float | None = None) -> float:
    """Seconds of an episode: ``horizon``, else the environment's time limit, else 60."""
    if horizon is None:
        spec = env.spec or getattr(next(iter(getattr(env.unwrapped, "envs", ())), None), "spec", None)
        steps = None if spec is None else spec.max_episode_steps
        horizon = DEFAULT_HORIZON if steps is None else steps * period
    if not (math.isfinite(horizon) and horizon > 0.0):
        raise InvalidCommand(f"horizon must be above 0 s, got {horizon!r}")
    return float(horizon)


def _one_of(env: AnyEnv) -> Any:
    """The bare environment, or the first one of a vector of them."""
    envs = getattr(env.unwrapped, "envs", None)
    return envs[0].unwrapped if envs else env.unwrapped


class Resets:
    """Follows which environments of a vector begin an episode, under each of Gymnasium's autoreset modes."""

    def __init__(self, env: VectorEnv) -> None:
        self.mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._done = np.zeros(env.num_envs, bool)

    @property
    def same_step(self) -> bool:
        """Whether the observation of an ended episode is replaced by the next one's first."""
        return self.mode is AutoresetMode.SAME_STEP

    def after(self, terminated: Mask, truncated: Mask) -> Mask:
        """The environments (num_envs,) whose observation from this step is an episode's first."""
        done = np.logical_or(terminated, truncated)
        if self.same_step:
            return done
        begun, self._done = self._done, done
        return begun if self.mode is AutoresetMode.NEXT_STEP else np.zeros_like(done)

    def reset_mask(self, options: dict[str, Any] | None) -> Mask | None:
        """The environments that a reset with ``options`` concerns, None for all; notes them as begun."""
        mask = None if options is None else options.get("reset_mask")
        self._done = self._done & ~mask if mask is not None else np.zeros_like(self._done)
        return None if mask is None else np.array(mask, bool)


class EpisodeSeeds:
    """Which seeds episodes start from: those given to ``reset``, else the next of each one's sequence.

    The first episode without a seed of its own takes the constructor's, which is drawn where it is None.
    """

    def __init__(self, seed: int | None, count: int) -> None:
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise InvalidCommand(f"seed must be an integer of at least 0, got {seed!r}")
        self._count = count
        self._seed, self._fresh = int(seed), np.ones(count, bool)

    def start(
        self, reset: Callable[[Mask | None, NDArray[np.uint64] | None], None], mask: Mask | None, seed: Seeds
    ) -> None:
        """Call ``reset(mask, seeds)`` for the environments in ``mask`` (None: all) with their seeds.

        ``seed`` as Gymnasium's: an int means seed, seed + 1, ...; a list has one each, None for none.
        """
        concerned = np.ones(self._count, bool) if mask is None else mask
        fresh = self._fresh & concerned
        if seed is None and not fresh.any():
            return reset(mask, None)
        given = self._listed(seed)
        for robot in np.flatnonzero(fresh):
            given[robot] = self._seed + int(robot) if given[robot] is None else given[robot]
        self._fresh &= ~concerned
        known = concerned & np.array([item is not None for item in given])
        if (concerned & ~known).any():
            reset(mask, None)
        if known.any():
            whole = mask is None and known.all()
            reset(None if whole else known, np.array([given[i] for i in np.flatnonzero(known)], np.uint64))

    def _listed(self, seed: Seeds) -> list[int | None]:
        if seed is None:
            return [None] * self._count
        if isinstance(seed, (int, np.integer)):
            return [int(seed) + robot for robot in range(self._count)]
        if len(seed) != self._count:
            raise InvalidCommand(f"seed: must be one number or {self._count} of them, got {len(seed)}")
        return list(seed)
