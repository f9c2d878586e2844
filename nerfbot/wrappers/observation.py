"""The sensor limits on the observations of an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from nerfbot.declared import suggestion
from nerfbot.errors import InvalidSpec
from nerfbot.limits.geometry import Geometry, ImageGeometry
from nerfbot.limits.sensor import SensorLimiter
from nerfbot.limits.spec import NerfSpec
from nerfbot.wrappers.clock import EpisodeSeeds, Mask, Resets, period_of
from nerfbot.wrappers.plain import (
    GeometrySource,
    SpecSource,
    build_geometry,
    load_spec,
    plain_geometry,
    plain_spec,
)
from nerfbot.wrappers.powers import LiftLevels, LiftReader

SENSOR = "observation"
"""The sensor's name where the whole observation is one Box."""


class _Layer:
    """A sensor limiter for each part of the observation that the specification limits."""

    def __init__(
        self,
        space: gymnasium.Space,
        count: int,
        spec: NerfSpec,
        geometry: Mapping[str, Mapping[str, Any]],
        allow: Sequence[str],
    ) -> None:
        self._whole = not isinstance(space, spaces.Dict)
        parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {SENSOR: space}
        self._boxes = {name: part for name, part in parts.items() if isinstance(part, spaces.Box)}
        geometries = {name: build_geometry(name, source) for name, source in geometry.items()}
        for name in geometries:
            if name not in self._boxes:
                known = suggestion(name, sorted(self._boxes)) or " (it has none)"
                raise InvalidSpec(f"geometry[{name}]: the observation has no such part{known}")
        # The channels are another wrapper's business; a sensor that is not there is an error here.
        spec.model_copy(update={"channels": {}}).check_names([], sorted(self._boxes))
        self.sensors = {
            name: SensorLimiter(
                spec,
                name,
                box.shape,
                count=count,
                geometry=geometries.get(name, _usual(box)),
                dtype=box.dtype,
                allow=allow,
            )
            for name, box in self._boxes.items()
            if any(spec.sensor(name).limits())
        }

    def reset(self, mask: Mask | None, seeds: NDArray[np.uint64] | None) -> None:
        """Begin an episode for every sensor."""
        for sensor in self.sensors.values():
            sensor.reset(mask, seeds)

    def limit(self, observation: Any, now: float, lift: LiftLevels, only: Mask | None = None) -> Any:
        """What arrives of a batch of observations; a part saturates at the bounds of its space.

        ``only``: the environments whose observation is a new one; the others get their last one again.
        """
        if self._whole:
            return self._read(SENSOR, observation, now, lift, only) if self.sensors else observation
        return {
            **observation,
            **{name: self._read(name, observation[name], now, lift, only) for name in self.sensors},
        }

    def _read(self, name: str, reading: Any, now: float, lift: LiftLevels, only: Mask | None) -> NDArray:
        box = self._boxes[name]
        arrived = self.sensors[name].apply(reading, now, lift, only)
        return np.clip(arrived, box.low, box.high).astype(box.dtype)


def _usual(box: spaces.Box) -> Geometry | None:
    """An image where the numbers look like one, else a plain vector."""
    return ImageGeometry() if box.dtype == np.uint8 and len(box.shape) == 3 else None


class NerfObservation(LiftReader, gymnasium.Wrapper, RecordConstructorArgs):
    """Limits what is seen of an environment. Vector version: `NerfObservationVector`.

    ``spec`` as in `NerfAction`: its sensors are named ``observation`` where the observation is a Box, and
    by their keys where it is a Dict of them. ``geometry`` says by sensor what its numbers are, as a
    mapping: ``{"kind": "rays", "field_of_view": rad, "max_range": m}``, or ``{"kind": "image"}`` (what a
    uint8 Box of three dimensions is by default). Readings saturate at the bounds of their space.

    Raises `InvalidSpec` for a sensor that is not there or a limit that it cannot carry.

    >>> import gymnasium
    >>> env = NerfObservation(
    ...     gymnasium.make("Pendulum-v1"), {"name": "late", "sensors": {"observation": {"latency": 0.1}}}
    ... )
    >>> obs, _ = env.reset(seed=0)
    >>> bool((env.step([2.0])[0] == obs).all())
    True
    """

    def __init__(
        self,
        env: gymnasium.Env,
        spec: SpecSource,
        *,
        geometry: Mapping[str, GeometrySource] | None = None,
        period: float | None = None,
        allow: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        shapes = plain_geometry(geometry)
        RecordConstructorArgs.__init__(
            self, spec=plain_spec(spec), geometry=shapes, period=period, allow=list(allow), seed=seed
        )
        gymnasium.Wrapper.__init__(self, env)
        self._find_powers(env, 1)
        self._period = period_of(env, period)
        self._layer = _Layer(env.observation_space, 1, load_spec(spec), shapes, allow)
        self._seeds, self._steps = EpisodeSeeds(seed, 1), 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and the sensors."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._steps = 0
        self._seeds.start(self._layer.reset, None, seed)
        return self._limited(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and return what arrives of its observation."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        return self._limited(obs), reward, terminated, truncated, info

    def _limited(self, obs: Any) -> Any:
        limited = self._layer.limit(_batch([obs]), self._steps * self._period, self._levels())
        return _row(limited, 0)


class NerfObservationVector(LiftReader, VectorWrapper):
    """`NerfObservation` for a vector environment: one limiter a sensor for all.

    In the autoreset mode SAME_STEP the ``final_obs`` are limited too, as the ended episode's.
    """

    def __init__(
        self,
        env: VectorEnv,
        spec: SpecSource,
        *,
        geometry: Mapping[str, GeometrySource] | None = None,
        period: float | None = None,
        allow: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        super().__init__(env)
        self._find_powers(env, env.num_envs)
        self._period = period_of(env, period)
        space, shapes = env.single_observation_space, plain_geometry(geometry)
        self._layer = _Layer(space, env.num_envs, load_spec(spec), shapes, allow)
        self._seeds, self._resets, self._steps = EpisodeSeeds(seed, env.num_envs), Resets(env), 0

    @property
    def now(self) -> float:
        """Time since the last reset of all environments, s."""
        return self._steps * self._period

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of ``options["reset_mask"]``, and their sensors."""
        mask = self._resets.reset_mask(options)
        obs, info = self.env.reset(seed=seed, options=options)
        if mask is None:
            self._steps = 0
        self._seeds.start(self._layer.reset, mask, seed)
        return self._layer.limit(obs, self.now, self._levels(), mask), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments and return what arrives of their observations."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        self._steps += 1
        begun = self._resets.after(terminated, truncated)
        if begun.any():
            if self._resets.same_step and "final_obs" in info:
                info = {**info, "final_obs": self._final(obs, info["final_obs"])}
            self._seeds.start(self._layer.reset, begun, None)
        return self._layer.limit(obs, self.now, self._levels()), reward, terminated, truncated, info

    def _final(self, obs: Any, final: NDArray[np.object_]) -> NDArray[np.object_]:
        """What arrives of the final observations: a copy of the sensors reads them, as if nothing ended."""
        rows = [_row(obs, index) if last is None else last for index, last in enumerate(final)]
        limited = deepcopy(self._layer).limit(_batch(rows), self.now, self._final_levels())
        arrived = np.empty(len(final), object)
        for index, last in enumerate(final):
            arrived[index] = None if last is None else _row(limited, index)
        return arrived


def _row(batch: Any, index: int) -> Any:
    if isinstance(batch, dict):
        return {name: _row(part, index) for name, part in batch.items()}
    return batch[index]


def _batch(rows: list[Any]) -> Any:
    if isinstance(rows[0], dict):
        return {name: _batch([row[name] for row in rows]) for name in rows[0]}
    return np.stack(rows) if isinstance(rows[0], np.ndarray) else rows
