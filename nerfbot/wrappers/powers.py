"""`Powers`: lifts a wrapped environment's nerf in a schedule's windows, with leases from its own authority.

It is the innermost wrapper; the wrappers outside it read the lift levels from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from nerfbot.errors import InvalidSpec, LeaseError
from nerfbot.limits import AXES
from nerfbot.powers import LeaseAuthority, LeasePolicy, Schedule, Window
from nerfbot.wrappers.clock import AnyEnv, EpisodeSeeds, Mask, Resets, horizon_of, period_of
from nerfbot.wrappers.plain import AxesSource, ScheduleSource, build_schedule, plain_axes, plain_schedule

LiftLevels = NDArray[np.float64]

_HAIR = 1e-9  # s, and share of a duration: more than rounding, less than any step
_STREAM = int.from_bytes(b"powers", "big")
_NEEDS = {"staircase": "success", "damage-bounded": "harm"}
"""What an adaptive schedule needs to know of each episode."""


class LeasePlan:
    """The windows of ``count`` environments, planned from their seeds and leased as they open.

    An episode longer than ``horizon`` (s) is planned in stretches of that length. The wrapper sets ``now``
    (s); each environment's windows count from its own episode's start.
    """

    def __init__(self, schedule: Schedule, count: int, horizon: float) -> None:
        self.schedule, self.count, self.horizon, self.now = schedule, count, horizon, 0.0
        self.authority = LeaseAuthority(count, LeasePolicy(allow_outside=True, max_duration=None))
        self.highest = np.zeros((count, len(AXES)))
        self._seeds, self._episodes = [0] * count, [0] * count
        self._random = [np.random.default_rng(0)] * count
        self._windows: list[deque[tuple[float, Window]]] = [deque() for _ in range(count)]
        self._origin, self._until, self._due = np.zeros(count), np.zeros(count), np.zeros(count)
        self._next = 0.0  # the earliest of what is due

    def reset(self, mask: Mask | None, seeds: NDArray[np.uint64] | None) -> None:
        """Begin an episode now for the environments in ``mask`` (None: all), from ``seeds`` or the next."""
        if mask is None:
            self.authority.reset(now=self.now)
            robots = np.arange(self.count)
        else:
            self.authority.reset(mask)
            robots = np.flatnonzero(mask)
        for index, robot in enumerate(robots):
            self._episodes[robot] += 1
            if seeds is not None:
                self._seeds[robot], self._episodes[robot] = int(seeds[index]), 0
            words = [_STREAM, self._seeds[robot], self._episodes[robot]]
            self._random[robot] = np.random.default_rng(words)
            self._windows[robot].clear()
        self.highest[robots] = 0.0
        self._origin[robots] = self._until[robots] = self._due[robots] = self._next = self.now

    def levels(self) -> LiftLevels:
        """The lift levels now, (count, 4), after every window that is due has been leased."""
        if self._next <= self.now + _HAIR:
            for robot in np.flatnonzero(self._due <= self.now + _HAIR):
                self._open(int(robot))
            self._next = float(self._due.min())
        return self.authority.update(self.now)

    def levels_for_action(self) -> LiftLevels:
        """The lift levels now, noted as those of an action."""
        levels = self.levels()
        np.maximum(self.highest, levels, out=self.highest)
        return levels

    def leases(self) -> list[list[dict[str, Any]]]:
        """The leases in force in each environment; ``start`` and ``end`` in s since its episode began."""
        held: list[list[dict[str, Any]]] = [[] for _ in range(self.count)]
        for active in self.authority.active():
            origin = float(self._origin[active.robot])
            held[active.robot].append(
                {
                    "powers": (*active.lease.axes, *active.lease.edits),
                    "start": active.start - origin,
                    "end": active.end - origin,
                    "charges": active.charges,
                }
            )
        return held

    def report(self, robot: int, outcome: Mapping[str, Any], success: str, harm: str) -> None:
        """Report ``outcome[success]`` and ``outcome[harm]`` of an episode to an adaptive schedule.

        Raises `LeaseError` where the entry that it needs is missing: taking a missing harm for none
        would lift the nerf.
        """
        need = _NEEDS.get(self.schedule.kind)
        if need is None:
            return
        key = {"success": success, "harm": harm}[need]
        if outcome.get(key) is None:
            raise LeaseError(
                f"schedule {self.schedule.kind}: needs info[{key!r}] at the end of an episode,"
                " and the environment gives none"
            )
        levels = [float(level) for level in self.highest[robot]]
        self.schedule.report(bool(outcome.get(success)), float(outcome.get(harm) or 0.0), levels)

    def _open(self, robot: int) -> None:
        windows = self._windows[robot]
        while self._due[robot] <= self.now + _HAIR:
            if windows:
                _, window = windows.popleft()
                lease = self.schedule.leases(window)
                # A hair shorter, so that rounding never adds a step.
                lease = lease.model_copy(update={"duration": lease.duration * (1.0 - _HAIR)})
                self.authority.request(lease, self.now, robot=robot)
            else:
                begin = float(self._until[robot])
                planned = self.schedule.plan(self._random[robot], self.horizon)
                windows.extend((begin + window.start, window) for window in planned)
                self._until[robot] = begin + self.horizon
            self._due[robot] = windows[0][0] if windows else self._until[robot]


class LiftReader:
    """Base of wrappers that follow the lift levels of a `Powers` further in; without one they stay nerfed."""

    _powers: Powers | PowersVector | None
    _count: int

    def _find_powers(self, env: AnyEnv, count: int) -> None:
        self._powers = next(
            (layer for layer in _layers(env) if isinstance(layer, (Powers, PowersVector))), None
        )
        self._count = count

    def _levels(self) -> LiftLevels:
        return np.zeros((self._count, len(AXES))) if self._powers is None else self._powers.levels()

    def _final_levels(self) -> LiftLevels:
        return self._powers.final_levels if isinstance(self._powers, PowersVector) else self._levels()


def with_nerf_info(info: Mapping[str, Any], **entries: Any) -> dict[str, Any]:
    """A copy of ``info`` whose ``info["nerf"]`` has the ``entries`` too."""
    return {**info, "nerf": {**info.get("nerf", {}), **entries}}


class _Leased:
    """What `Powers` and `PowersVector` share: their plan, and what others read of it."""

    _plan: LeasePlan

    @property
    def now(self) -> float:
        """Time in s since the episode began; of a vector, since the last reset of all environments."""
        return self._plan.now

    @property
    def authority(self) -> LeaseAuthority:
        """The authority that grants the leases, by the environment's number; others may request some too."""
        return self._plan.authority

    @property
    def schedule(self) -> Schedule:
        """The schedule, with what it has learned."""
        return self._plan.schedule

    def levels(self) -> LiftLevels:
        """The lift levels now, (num_envs, 4), 0 to 1 in the order of `AXES`."""
        return self._plan.levels()


class Powers(_Leased, gymnasium.Wrapper, RecordConstructorArgs):
    """Lifts the nerf by a schedule. Vector version: `PowersVector`.

    ``schedule`` is a name, a YAML file or a mapping; ``axes`` (names, or levels by axis) replaces what it
    lifts. ``horizon`` (s) is the episode that it plans for: by default the environment's time limit.
    ``success`` and ``harm`` name the entries of the last ``info`` of an episode that adaptive schedules
    learn from. `authority` grants further leases by hand, at the time `now`.

    Adds ``lift`` (4,) and ``leases`` to ``info["nerf"]``: those under which the step was made. Raises
    `LeaseError` for a schedule that cannot be, `InvalidSpec` around wrappers that it should be inside of.

    >>> import gymnasium
    >>> env = Powers(gymnasium.make("Pendulum-v1"), "always", axes=["strength"])
    >>> _ = env.reset(seed=0)
    >>> env.levels().tolist()
    [[1.0, 0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        env: gymnasium.Env,
        schedule: ScheduleSource = "occasional",
        *,
        axes: AxesSource | None = None,
        period: float | None = None,
        horizon: float | None = None,
        seed: int | None = None,
        success: str = "is_success",
        harm: str = "harm",
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            schedule=plain_schedule(schedule),
            axes=plain_axes(axes),
            period=period,
            horizon=horizon,
            seed=seed,
            success=success,
            harm=harm,
        )
        gymnasium.Wrapper.__init__(self, env)
        _require_inside(env)
        self._period = period_of(env, period)
        self._plan = LeasePlan(build_schedule(schedule, axes), 1, horizon_of(env, self._period, horizon))
        self._seeds, self._steps = EpisodeSeeds(seed, 1), 0
        self._keys = {"success": success, "harm": harm}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, end all leases and plan anew."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._steps, self._plan.now = 0, 0.0
        self._seeds.start(self._plan.reset, None, seed)
        lift = self.levels()
        return obs, with_nerf_info(info, lift=lift[0], leases=self._plan.leases()[0])

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment; the lift in ``info`` is that of the action, not of the next one."""
        lift, leases = self._plan.levels_for_action(), self._plan.leases()
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        self._plan.now = self._steps * self._period
        if terminated or truncated:
            self._plan.report(0, info, **self._keys)
        info = with_nerf_info(info, lift=lift[0], leases=leases[0])
        return obs, reward, terminated, truncated, info


class PowersVector(_Leased, VectorWrapper):
    """`Powers` for a vector environment: one plan each, one schedule that learns from all.

    ``info["nerf"]`` has ``lift`` (num_envs, 4) and ``leases`` (num_envs,), a list each. `final_levels` are
    those that finished episodes ended with.
    """

    def __init__(
        self,
        env: VectorEnv,
        schedule: ScheduleSource = "occasional",
        *,
        axes: AxesSource | None = None,
        period: float | None = None,
        horizon: float | None = None,
        seed: int | None = None,
        success: str = "is_success",
        harm: str = "harm",
    ) -> None:
        super().__init__(env)
        _require_inside(env)
        self._period = period_of(env, period)
        horizon = horizon_of(env, self._period, horizon)
        self._plan = LeasePlan(build_schedule(schedule, axes), env.num_envs, horizon)
        self._seeds, self._resets, self._steps = EpisodeSeeds(seed, env.num_envs), Resets(env), 0
        self._keys = {"success": success, "harm": harm}
        self.final_levels: LiftLevels = np.zeros((env.num_envs, len(AXES)))

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of ``options["reset_mask"]``."""
        mask = self._resets.reset_mask(options)
        obs, info = self.env.reset(seed=seed, options=options)
        if mask is None:
            self._steps, self._plan.now = 0, 0.0
        self._seeds.start(self._plan.reset, mask, seed)
        lift = self.levels()
        return obs, with_nerf_info(info, lift=lift, leases=_objects(self._plan.leases()))

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments; those whose episode ended get a new plan as their mode says."""
        lift, leases = self._plan.levels_for_action(), self._plan.leases()
        obs, reward, terminated, truncated, info = self.env.step(actions)
        self._steps += 1
        self._plan.now = self._steps * self._period
        self.final_levels = self.levels()
        for index in np.flatnonzero(np.logical_or(terminated, truncated)):
            outcome = info.get("final_info", {}) if self._resets.same_step else info
            self._plan.report(int(index), _row(outcome, int(index)), **self._keys)
        begun = self._resets.after(terminated, truncated)
        if begun.any():
            self._seeds.start(self._plan.reset, begun, None)
        info = with_nerf_info(info, lift=lift, leases=_objects(leases))
        return obs, reward, terminated, truncated, info


def _layers(env: Any) -> list[Any]:
    layers = [env]
    while isinstance(layers[-1], (gymnasium.Wrapper, VectorWrapper)):
        layers.append(layers[-1].env)
    return layers


def _require_inside(env: AnyEnv) -> None:
    for layer in _layers(env):
        if isinstance(layer, LiftReader):
            name = type(layer).__name__
            raise InvalidSpec(f"Powers: must be inside {name}, which reads the lift levels from it")


def _row(info: Mapping[str, Any], index: int) -> dict[str, Any]:
    """One environment's part of a vector's ``info``; what it does not report is left out."""
    return {
        key: value[index]
        for key, value in info.items()
        if isinstance(value, np.ndarray) and info.get(f"_{key}", np.ones(index + 1, bool))[index]
    }


def _objects(items: list[Any]) -> NDArray[np.object_]:
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        array[index] = item
    return array
