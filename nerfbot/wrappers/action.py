"""The actuator limits on the actions of an environment: what is executed is not always what was requested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper

from nerfbot.limits import ActuatorLimiter
from nerfbot.wrappers.clock import EpisodeSeeds, Resets, period_of
from nerfbot.wrappers.plain import ChannelSource, SpecSource, load_spec, plain_channels, plain_spec
from nerfbot.wrappers.powers import LiftLevels, LiftReader, with_nerf_info
from nerfbot.wrappers.spaces import BoxActions, actions_of


class _Layer:
    """An actuator limiter behind the actions of ``lead`` environments: () for one, (num_envs,) for more."""

    def __init__(
        self,
        space: gymnasium.Space,
        lead: tuple[int, ...],
        spec: SpecSource,
        channels: Sequence[dict[str, Any]] | None,
        mode: str,
        period: float,
        noop: Any,
        allow: Sequence[str],
    ) -> None:
        self._lead = lead
        self._actions = actions_of(space, load_spec(spec), channels, mode, noop, period, allow)
        self.limiter = ActuatorLimiter(
            self._actions.spec,
            self._actions.channels,
            count=lead[0] if lead else 1,
            envelope=self._actions.envelope,
            period=period,
            allow=allow,
        )

    def limit(self, actions: Any, now: float, lift: LiftLevels) -> tuple[Any, dict[str, Any]]:
        """The actions to execute, and their entries of ``info["nerf"]``; raises `InvalidCommand`."""
        requested = self._actions.encode(actions, self._lead)
        limited = self.limiter.apply(requested, None, now, lift)
        shape = (*self._lead, *self._actions.shape)
        entries = {
            "now": now,
            "requested": self._actions.shown(requested, self._lead),
            "executed": self._actions.executed(limited.value, self._lead),
            "reasons": limited.reasons.reshape(shape)[()],
            "lift": lift if self._lead else lift[0],
        }
        if isinstance(self._actions, BoxActions):  # a choice has no effort
            entries["effort_limit"] = limited.effort_limit.reshape(shape)
        return self._actions.decode(limited.value, self._lead), entries


class NerfAction(LiftReader, gymnasium.Wrapper, RecordConstructorArgs):
    """Limits the actions of an environment. Vector version: `NerfActionVector`.

    ``spec`` is a preset, a YAML file or a mapping. A Box of shape (n,) has the channels ``action[0]`` to
    ``action[n-1]``, or those in ``channels`` (names, mappings of name, mode and unit, or `Channel`);
    ``mode`` (position, velocity or effort) and the unit 1 hold where none is stated. Their envelope is
    the specification's, else the Box's bounds. Of a Discrete, MultiDiscrete or MultiBinary action only
    the reliability can be limited; a lost one becomes ``noop`` (default: the space's first).
    ``period`` (s) is the time of one step (`period_of`), ``allow`` names limits that may stay unenforced.

    ``info["nerf"]`` has ``now`` (s), ``requested``, ``executed``, ``reasons`` (bits of `Reason`) and for a
    Box ``effort_limit``, each in the action's shape, and ``lift`` (4,). Raises `InvalidSpec` for what cannot
    be enforced and `InvalidCommand`, before anything is stepped, for an action of the wrong shape or value.

    >>> import gymnasium
    >>> env = NerfAction(
    ...     gymnasium.make("Pendulum-v1"), {"name": "half", "channels": {"*": {"effort": 1.0}}}
    ... )
    >>> _ = env.reset(seed=0)
    >>> env.step([2.0])[-1]["nerf"]["executed"].tolist()
    [1.0]
    """

    def __init__(
        self,
        env: gymnasium.Env,
        spec: SpecSource,
        *,
        channels: Sequence[ChannelSource] | None = None,
        mode: str = "effort",
        period: float | None = None,
        noop: Any = None,
        allow: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        named = plain_channels(channels, mode)
        RecordConstructorArgs.__init__(
            self,
            spec=plain_spec(spec),
            channels=named,
            mode=mode,
            period=period,
            noop=noop,
            allow=list(allow),
            seed=seed,
        )
        gymnasium.Wrapper.__init__(self, env)
        self._find_powers(env, 1)
        self._period = period_of(env, period)
        self._layer = _Layer(env.action_space, (), spec, named, mode, self._period, noop, allow)
        self._seeds, self._steps = EpisodeSeeds(seed, 1), 0

    @property
    def limiter(self) -> ActuatorLimiter:
        """The limiter: its ``report`` says how each limit is enforced."""
        return self._layer.limiter

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and the limits: values drawn anew, nothing under way."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._steps = 0
        self._seeds.start(self.limiter.reset, None, seed)
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment with what the limits leave of ``action``."""
        executed, entries = self._layer.limit(action, self._steps * self._period, self._levels())
        self._steps += 1
        obs, reward, terminated, truncated, info = self.env.step(executed)
        return obs, reward, terminated, truncated, with_nerf_info(info, **entries)


class NerfActionVector(LiftReader, VectorWrapper):
    """`NerfAction` for a vector environment: one limiter for all, arguments alike.

    The arrays of ``info["nerf"]`` have num_envs rows. ``info["_nerf"]`` (num_envs,) is false where the
    environment took no action because it was reset instead (autoreset mode NEXT_STEP).
    """

    def __init__(
        self,
        env: VectorEnv,
        spec: SpecSource,
        *,
        channels: Sequence[ChannelSource] | None = None,
        mode: str = "effort",
        period: float | None = None,
        noop: Any = None,
        allow: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        super().__init__(env)
        self._find_powers(env, env.num_envs)
        self._period = period_of(env, period)
        named = plain_channels(channels, mode)
        space, lead = env.single_action_space, (env.num_envs,)
        self._layer = _Layer(space, lead, spec, named, mode, self._period, noop, allow)
        self._seeds, self._resets, self._steps = EpisodeSeeds(seed, env.num_envs), Resets(env), 0

    @property
    def limiter(self) -> ActuatorLimiter:
        """The limiter of all environments."""
        return self._layer.limiter

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of ``options["reset_mask"]``, and their limits."""
        mask = self._resets.reset_mask(options)
        obs, info = self.env.reset(seed=seed, options=options)
        if mask is None:
            self._steps = 0
        self._seeds.start(self.limiter.reset, mask, seed)
        return obs, info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments with what the limits leave of ``actions``."""
        executed, entries = self._layer.limit(actions, self._steps * self._period, self._levels())
        self._steps += 1
        obs, reward, terminated, truncated, info = self.env.step(executed)
        begun = self._resets.after(terminated, truncated)
        if begun.any():
            self._seeds.start(self.limiter.reset, begun, None)
        acted = np.ones_like(begun) if self._resets.same_step else ~begun
        return obs, reward, terminated, truncated, {**with_nerf_info(info, **entries), "_nerf": acted}
