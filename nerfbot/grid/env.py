"""``nerfbot/Grid-v0`` for `gymnasium.make`: one world, an episode at a time."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.grid.build import config_of
from nerfbot.grid.summaries import Summaries, row_of
from nerfbot.grid.vector_env import PlantProperties, checked_render_mode, frame_of, observation_space


class GridEnv(PlantProperties, gymnasium.Env[Any, Any]):
    """A nerfed agent on a course, as a gridworld.

    Args:
        render_mode: "rgb_array", "ansi" or None.
        **keywords: the fields of `GridConfig`: course, task, nerf, powers, schedule, reveal_lift, ...

    The action is a row of `action_table`. ``info["action_mask"]`` and `action_masks` show which are
    available, ``info["nerf"]`` describes the step and the present state (see `Summaries`); the last step of
    an episode has ``info["episode_summary"]`` too. An edit that is not available or not legal does nothing
    and is counted.

    Raises `InvalidCourse`, `InvalidSpec`, `LeaseError` or `InvalidCommand`, one line each.

    >>> import gymnasium, nerfbot
    >>> env = gymnasium.make("nerfbot/Grid-v0", powers=["teleport"], schedule="always")
    >>> observation, info = env.reset(seed=0)
    >>> env.unwrapped.action_table[-1]
    'teleport'

    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 8,
    }

    def __init__(self, render_mode: str | None = None, **keywords: Any) -> None:
        self.render_mode = checked_render_mode(render_mode, self.metadata)
        self.config = config_of(keywords)
        self.worlds = worlds = self.config.build(1, auto_reset=False)
        self.observation_space = observation_space(worlds)
        self._actions = len(worlds.menu.table)
        self.action_space = spaces.Discrete(self._actions)
        self._summaries = Summaries(worlds)
        self._cells, self._vector, self._mask = worlds.cells[0], worlds.vector[0], worlds.mask[0]
        self._lift, self._edit = worlds.lift[0], worlds.edit[0]
        self._seeded = self._done = False
        self._all = np.ones(1, np.bool_)

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are available now, bool (actions,), in the form of sb3-contrib's MaskablePPO."""
        return self._mask.copy()

    def leases(self) -> list[dict[str, Any]]:
        """The leases in force: ``powers``, ``start`` and ``end`` (s of the episode), ``charges``."""
        return self.worlds.leases(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin an episode; the same seed gives the same ones. `options`: ``level``, the number of one."""
        super().reset(seed=seed)
        options = options or {}
        for name in options:
            if name != "level":
                raise InvalidCommand(f"reset: unknown option {name!r} (known: level)")
        level = options.get("level", -1)
        if not isinstance(level, (int, np.integer)):
            raise InvalidCommand(f"reset: level must be a whole number, got {level!r}")
        if seed is not None or not self._seeded:
            # Environments without a seed must not all play the same episodes.
            self.worlds.reseed(int(self.np_random.integers(2**63)) if seed is None else seed)
            self._seeded = True
        self.worlds.reset(levels=np.array([level]))
        self.worlds.fetch()
        self._done = False
        return self._observation(), {"action_mask": self._mask.copy(), "nerf": self._state_info()}

    def step(
        self, action: int | np.integer[Any]
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """One tick. Raises `InvalidCommand` for anything but an action, and when the episode is over."""
        worlds = self.worlds
        try:
            requested = operator.index(action)
        except TypeError:
            raise InvalidCommand(f"action must be a whole number, got {action!r}") from None
        if not 0 <= requested < self._actions:
            raise InvalidCommand(f"action must be 0 to {self._actions - 1}, got {requested}")
        if self._done:
            raise InvalidCommand("the episode is over: reset() begins the next one")
        worlds.step_one(requested)
        worlds.fetch()
        terminated, truncated = bool(worlds.terminated[0]), bool(worlds.truncated[0])
        nerf = self._state_info()
        nerf["requested"] = requested
        nerf["executed"] = int(worlds.executed[0])
        nerf["reasons"] = int(worlds.reasons[0])
        nerf["contact"] = int(worlds.contact[0])
        nerf["edit"] = self._edit.copy()
        info = {"action_mask": self._mask.copy(), "nerf": nerf}
        if terminated or truncated:
            self._done = True
            worlds.report_episodes(self._all)
            info["episode_summary"] = row_of(self._summaries.episodes(self._all))
        return self._observation(), float(worlds.reward[0]), terminated, truncated, info

    def render(self) -> Any:
        """A picture (H, W, 3) uint8, or a text in "ansi" mode."""
        return None if self.render_mode is None else frame_of(self.worlds, 0, self.render_mode)

    def _state_info(self) -> dict[str, Any]:
        worlds = self.worlds
        return {
            "lift": self._lift.copy(),
            "granted": int(worlds.granted[0]),
            "first": int(worlds.first_contact[0]),
            "illegal": int(worlds.illegal[0]),
        }

    def _observation(self) -> dict[str, NDArray[Any]]:
        return {"grid": self._cells.copy(), "vector": self._vector.copy()}
