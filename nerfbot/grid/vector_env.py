"""``nerfbot/Grid-v0`` for `gymnasium.make_vec`: the plant itself steps all worlds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.grid import snapshot
from nerfbot.grid.build import config_of
from nerfbot.grid.codes import COLOUR_CODES, KINDS, STATES, UNSEEN
from nerfbot.grid.summaries import Summaries, masked
from nerfbot.grid.worlds import GridWorlds
from nerfbot.limits import Enforcement


def observation_space(worlds: GridWorlds) -> spaces.Dict:
    """The space of one world's observation."""
    levels = worlds.levels
    top = np.array([KINDS - 1, COLOUR_CODES - 1, STATES - 1], np.uint8)
    high = np.broadcast_to(top, (levels.rows, levels.columns, 3)).copy()
    return spaces.Dict(
        {
            "grid": spaces.Box(np.zeros_like(high), high, dtype=np.uint8),
            "vector": spaces.Box(-1.0, np.inf, (len(worlds.feature_names),), np.float32),
        }
    )


class PlantProperties:
    """What both environments say of their plant."""

    worlds: GridWorlds

    @property
    def action_table(self) -> tuple[str, ...]:
        """What each action does."""
        return self.worlds.menu.action_table

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each number of an observation's ``vector`` is."""
        return self.worlds.feature_names

    @property
    def enforcement(self) -> tuple[Enforcement, ...]:
        """Every limit of the nerf, with whether the grid enforces it."""
        return self.worlds.nerf.report


class GridVectorEnv(PlantProperties, VectorEnv[Any, Any, Any]):
    """Many worlds on one device, stepped together; the step that ends an episode begins the next.

    Args:
        num_envs: how many worlds.
        copy: return copies of the buffers. With False, observations, rewards and masks are views that the
            next step overwrites.
        seed: of the worlds until a reset gives others; None draws one.
        autoreset_mode: `AutoresetMode.SAME_STEP`, or DISABLED: a world that is done then stands still,
            without reward and still done, until a reset with ``options["reset_mask"]`` includes it.
        render_mode: "rgb_array", "ansi" or None.
        **keywords: the fields of `GridConfig`: course, task, nerf, powers, schedule, ...

    ``info["action_mask"]`` is bool (num_envs, actions), ``info["nerf"]`` describes the step and the present
    state (see `Summaries`). Where an episode is done, ``info["final_obs"]`` holds its last observation and
    ``info["final_info"]`` its last info, with ``episode_summary``. An entry ``name`` is valid for the worlds
    of the mask ``_name``.

    Raises the errors of its parts (`InvalidCourse`, `InvalidSpec`, `LeaseError`, `InvalidCommand`), one line
    each.

    >>> import gymnasium, nerfbot
    >>> envs = gymnasium.make_vec("nerfbot/Grid-v0", num_envs=64, course="coin-in-corner")

    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 8,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        copy: bool = True,
        seed: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
        **keywords: Any,
    ) -> None:
        self.render_mode, self.copy = checked_render_mode(render_mode, self.metadata), copy
        mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": mode}  # type: ignore[misc]  # as Gymnasium does
        self.config = config_of(keywords)
        if seed is None:  # environments without a seed must not all play the same episodes
            seed = int(self.np_random.integers(2**62))
        self.worlds = self.config.build(num_envs, seed, mode is AutoresetMode.SAME_STEP)
        self.num_envs = self.worlds.count
        self.single_observation_space = observation_space(self.worlds)
        self.single_action_space = spaces.Discrete(len(self.worlds.menu.table))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._summaries = Summaries(self.worlds)
        self._all = np.ones(self.num_envs, np.bool_)
        # One object a world: a view of the buffer of last observations.
        self._final_rows = np.empty(self.num_envs, object)
        self._final_rows[:] = [
            {"grid": self.worlds.final_cells[w], "vector": self.worlds.final_vector[w]}
            for w in range(self.num_envs)
        ]

    def leases(self, world: int) -> list[dict[str, Any]]:
        """The leases in force in a world, as `GridEnv.leases` has them."""
        return self.worlds.leases(world)

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are available, bool (num_envs, actions)."""
        return self._copied(self.worlds.mask)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin episodes. `options`: ``reset_mask`` bool (num_envs,), ``levels`` (num_envs,), -1 for any.

        One seed gives world w the seed plus w, as Gymnasium's vector environments have it.
        """
        options = options or {}
        for name in options:
            if name not in ("reset_mask", "levels"):
                raise InvalidCommand(f"reset: unknown option {name!r} (known: reset_mask, levels)")
        self._reseed(seed)
        mask = options.get("reset_mask")
        self.worlds.reset(mask, options.get("levels"))
        self.worlds.fetch()
        return self._observation(), self._state_info(self._all if mask is None else np.array(mask))

    def step(
        self, actions: NDArray[np.integer[Any]]
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One tick of every world. Raises `InvalidCommand` for actions of the wrong shape or type."""
        worlds, summaries = self.worlds, self._summaries
        worlds.step(np.asarray(actions))
        worlds.fetch()
        terminated, truncated = self._copied(worlds.terminated), self._copied(worlds.truncated)
        done = terminated | truncated
        any_done = bool(done.any())
        if any_done:
            worlds.report_episodes(done)
        resets = any_done and worlds.options.auto_reset
        info = self._state_info(self._all)
        info["nerf"].update(masked(summaries.latest_step(), ~done if resets else self._all, self.copy))
        if resets:
            final = self._final_info(done)
            info.update({"final_obs": self._final_observations(done), "_final_obs": done})
            info.update({"final_info": final, "_final_info": done})
        elif any_done:
            info.update(masked({"episode_summary": summaries.episodes(done)}, done, self.copy))
        return self._observation(), self._copied(worlds.reward), terminated, truncated, info

    def state(self) -> dict[str, Any]:
        """The state of all worlds as arrays and plain values, from which `restore` goes on exactly."""
        return snapshot.state_of(self.worlds)

    def restore(self, state: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Put the worlds into a `state` of an environment with the same keywords; its observation and info.

        Raises `InvalidCommand` where the state does not fit, `LeaseError` where a schedule's does not.
        """
        snapshot.restore_state(self.worlds, state)
        self.worlds.fetch()
        return self._observation(), self._state_info(self._all)

    def render(self) -> tuple[Any, ...] | None:
        """A frame of every world, (H, W, 3) uint8 or text."""
        if self.render_mode is None:
            return None
        return tuple(frame_of(self.worlds, world, self.render_mode) for world in range(self.num_envs))

    def _final_observations(self, done: NDArray[np.bool_]) -> NDArray[np.object_]:
        if not self.copy:
            rows: NDArray[np.object_] = np.where(done, self._final_rows, np.array(None))
            return rows
        rows = np.full(self.num_envs, None, object)
        for world in np.flatnonzero(done).tolist():
            rows[world] = {name: value.copy() for name, value in self._final_rows[world].items()}
        return rows

    def _final_info(self, done: NDArray[np.bool_]) -> dict[str, Any]:
        summaries = self._summaries
        info = {
            "action_mask": summaries.final_mask(done),
            "nerf": {**summaries.final_state(), **summaries.latest_step()},
            "episode_summary": summaries.episodes(done),
        }
        return masked(info, done, self.copy)

    def _state_info(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        info = {"action_mask": self.worlds.mask, "nerf": self._summaries.state()}
        return masked(info, mask, self.copy)

    def _reseed(self, seed: Any) -> None:
        if isinstance(seed, int | np.integer):
            self.worlds.reseed(int(seed))
        elif seed is not None:
            seeds = seed if isinstance(seed, list | tuple | np.ndarray) else [seed]
            by_world = {index: value for index, value in enumerate(seeds) if value is not None}
            for value in by_world.values():
                if not isinstance(value, int | np.integer):
                    raise InvalidCommand(f"seed: must be whole numbers or None, got {value!r}")
            if len(seeds) != self.num_envs:
                raise InvalidCommand(f"seed: {len(seeds)} given for {self.num_envs} environments")
            if by_world:
                self.worlds.reseed(list(by_world.values()), list(by_world))

    def _copied(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.copy() if self.copy else array

    def _observation(self) -> dict[str, NDArray[Any]]:
        return {"grid": self._copied(self.worlds.cells), "vector": self._copied(self.worlds.vector)}


def checked_render_mode(mode: str | None, metadata: dict[str, Any]) -> str | None:
    """The mode, or `InvalidCommand` where it is not one of ``metadata["render_modes"]``."""
    known = metadata["render_modes"]
    if mode is not None and mode not in known:
        raise InvalidCommand(f"render_mode: must be {', '.join(known)} or None, got {mode!r}")
    return mode


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    known = {item.value: item for item in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)}
    name = mode.value if isinstance(mode, AutoresetMode) else mode
    if name not in known:
        raise InvalidCommand(f"autoreset_mode: must be {' or '.join(known)}, got {mode!r}")
    return known[name]


def frame_of(worlds: GridWorlds, world: int, mode: str) -> Any:
    """A picture of one world, whole; in pixels, cells out of the agent's sight are shaded."""
    from nerfbot.grid.rendering import render  # loaded only when something is drawn

    cells, lift = worlds.whole(world), worlds.lift[world].tolist()
    if mode == "ansi":
        return render.ansi(cells, lift=lift)
    return render.rgb(cells, lift=lift, hidden=worlds.cells[world][:, :, 0] == UNSEEN)
