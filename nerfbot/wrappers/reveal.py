"""The lift levels as part of the observation, so that a policy knows what it can do."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nerfbot.errors import InvalidSpec
from nerfbot.limits import AXES
from nerfbot.wrappers.powers import LiftReader

KEY = "lift"


def revealed_space(space: gymnasium.Space, flatten: bool) -> gymnasium.Space:
    """The observation space with the lift levels: a Dict, or the Box four longer where ``flatten``.

    Raises `InvalidSpec` for a Dict that has a key ``lift`` already, and where there is nothing to append to.
    """
    if flatten:
        if not (isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype.kind == "f"):
            raise InvalidSpec(f"flatten: needs a Box of one dimension and floats, the observation is {space}")
        low = np.concatenate([space.low, np.zeros(len(AXES))])
        high = np.concatenate([space.high, np.ones(len(AXES))])
        return spaces.Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype)
    lift = spaces.Box(0.0, 1.0, (len(AXES),), np.float32)
    if not isinstance(space, spaces.Dict):
        return spaces.Dict({"observation": space, KEY: lift})
    if KEY in space.spaces:
        raise InvalidSpec(f"reveal_lift: the observation has a key {KEY!r} already: {space}")
    return spaces.Dict({**space.spaces, KEY: lift})


def _revealed(obs: Any, lift: NDArray[np.float64], flatten: bool) -> Any:
    """Observations with their lift levels: one of each, or a batch of both."""
    if flatten:
        return np.concatenate([obs, lift.astype(obs.dtype)], axis=-1)
    parts = obs if isinstance(obs, dict) else {"observation": obs}
    return {**parts, KEY: lift.astype(np.float32)}


class RevealLift(LiftReader, gymnasium.Wrapper, RecordConstructorArgs):
    """Puts the lift levels of the next action into the observation. Vector version: `RevealLiftVector`.

    A Dict observation gets the key ``lift`` (4,), in the order of `AXES`; any other becomes
    ``{"observation", "lift"}``, or with ``flatten``, for a Box of one dimension, is four longer. Raises
    `InvalidSpec` without a `Powers` further in.

    >>> import gymnasium
    >>> from nerfbot.wrappers import Powers
    >>> env = RevealLift(Powers(gymnasium.make("Pendulum-v1"), "always"))
    >>> env.reset(seed=0)[0]["lift"].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, env: gymnasium.Env, *, flatten: bool = False) -> None:
        RecordConstructorArgs.__init__(self, flatten=flatten)
        gymnasium.Wrapper.__init__(self, env)
        self._find_powers(env, 1)
        _require(self)
        self._flatten = flatten
        self.observation_space = revealed_space(env.observation_space, flatten)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        obs, info = self.env.reset(seed=seed, options=options)
        return _revealed(obs, self._levels()[0], self._flatten), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return _revealed(obs, self._levels()[0], self._flatten), reward, terminated, truncated, info


class RevealLiftVector(LiftReader, VectorWrapper):
    """`RevealLift` for a vector environment; ``final_obs`` show the levels that their episode ended with."""

    def __init__(self, env: VectorEnv, *, flatten: bool = False) -> None:
        super().__init__(env)
        self._find_powers(env, env.num_envs)
        _require(self)
        self._flatten = flatten
        self.single_observation_space = revealed_space(env.single_observation_space, flatten)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of ``options["reset_mask"]``."""
        obs, info = self.env.reset(seed=seed, options=options)
        return _revealed(obs, self._levels(), self._flatten), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        if "final_obs" in info:
            info = {**info, "final_obs": self._final(info["final_obs"])}
        return _revealed(obs, self._levels(), self._flatten), reward, terminated, truncated, info

    def _final(self, final: NDArray[np.object_]) -> NDArray[np.object_]:
        shown = np.empty(len(final), object)
        for index, (last, lift) in enumerate(zip(final, self._final_levels(), strict=True)):
            shown[index] = None if last is None else _revealed(last, lift, self._flatten)
        return shown


def _require(wrapper: LiftReader) -> None:
    if wrapper._powers is None:
        raise InvalidSpec(f"{type(wrapper).__name__}: needs Powers further in, which has the lift levels")
