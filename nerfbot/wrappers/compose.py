"""`wrap`: all the wrappers around one environment, in the order that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import gymnasium
from gymnasium.vector import VectorEnv

from nerfbot.errors import InvalidSpec
from nerfbot.wrappers.action import NerfAction, NerfActionVector
from nerfbot.wrappers.clock import AnyEnv, period_of
from nerfbot.wrappers.observation import NerfObservation, NerfObservationVector
from nerfbot.wrappers.plain import (
    AxesSource,
    ChannelSource,
    GeometrySource,
    ScheduleSource,
    SpecSource,
    load_spec,
)
from nerfbot.wrappers.powers import Powers, PowersVector
from nerfbot.wrappers.reveal import RevealLift, RevealLiftVector

EnvT = TypeVar("EnvT", bound=AnyEnv)

_SINGLE: tuple[Any, ...] = (Powers, NerfAction, NerfObservation, RevealLift)
_VECTOR: tuple[Any, ...] = (PowersVector, NerfActionVector, NerfObservationVector, RevealLiftVector)


def wrap(
    env: EnvT,
    spec: SpecSource,
    schedule: ScheduleSource = "occasional",
    *,
    seed: int | None = None,
    axes: AxesSource | None = None,
    reveal_lift: bool = True,
    flatten: bool = False,
    channels: Sequence[ChannelSource] | None = None,
    mode: str = "effort",
    geometry: Mapping[str, GeometrySource] | None = None,
    period: float | None = None,
    horizon: float | None = None,
    noop: Any = None,
    allow: Sequence[str] = (),
) -> EnvT:
    """Nerf any Gymnasium environment, single or vector, and lift the nerf by a schedule.

    `Powers`, `NerfAction`, `NerfObservation` (where ``spec`` limits a sensor) and `RevealLift` (unless
    ``reveal_lift`` is false), from the inside out; each says what its arguments mean and what
    ``info["nerf"]`` holds. The randomness of all follows ``env.reset(seed=...)``; ``seed`` is that of
    the first episode where none is given there.

    Raises `InvalidSpec` for a specification that does not fit the environment or cannot be enforced on
    it, and `LeaseError` for a schedule that cannot be.

    >>> import gymnasium
    >>> half = {"name": "half", "channels": {"*": {"gain": 0.5}}}
    >>> env = wrap(gymnasium.make("Pendulum-v1"), half, schedule="never")
    >>> _ = env.reset(seed=0)
    >>> env.step([2.0])[-1]["nerf"]["executed"].tolist()
    [1.0]
    """
    if not isinstance(env, (gymnasium.Env, VectorEnv)):
        raise InvalidSpec(f"env: must be a Gymnasium environment, single or vector, got {type(env).__name__}")
    powers, action, observation, reveal = _VECTOR if isinstance(env, VectorEnv) else _SINGLE
    period = period_of(env, period)
    wrapped: Any = powers(env, schedule, axes=axes, period=period, horizon=horizon, seed=seed)
    wrapped = action(
        wrapped, spec, channels=channels, mode=mode, period=period, noop=noop, allow=allow, seed=seed
    )
    if load_spec(spec).sensors:
        wrapped = observation(wrapped, spec, geometry=geometry, period=period, allow=allow, seed=seed)
    return reveal(wrapped, flatten=flatten) if reveal_lift else wrapped
