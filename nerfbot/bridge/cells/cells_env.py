"""``nerfbot/RoverCells-v0``: the rover in PyBullet with the grid's actions and observations.

A policy of ``nerfbot/Grid-v0`` runs here unmodified: the cell controller drives its moves through the nerf
layer, its edits change the arena, and its observation is built from the rover's readings.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nerfbot.bridge.cells.cell_controller import CellController, Pace
from nerfbot.bridge.cells.grid_edits import RoverEdits
from nerfbot.bridge.cells.grid_observation import ObservationBuilder
from nerfbot.bridge.cells.object_tracker import DetectedObjects
from nerfbot.bridge.cells.perception import RoverPerception
from nerfbot.bridge.cells.wall_map import LidarGeometry
from nerfbot.course import Course, CoursePlan, Task, TaskTracker
from nerfbot.errors import InvalidCommand
from nerfbot.grid.action_menu import Menu
from nerfbot.grid.build import GridConfig, counts_keys
from nerfbot.grid.codes import COLOUR_CODES, FLOOR, KINDS, STATES, WALL
from nerfbot.grid.grid_nerf import GridNerf
from nerfbot.grid.kernels.state import FIRST_CONTACTS, GAIN, NO_LOAD, RATE
from nerfbot.grid.lease_windows import schedules_of
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.scoring import coin_shapes
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import EDITS, AuditLog, Schedule
from nerfbot.sim.physics.client import CONTROL_STEP
from nerfbot.sim.plant.episode_powers import EpisodePowers, lease_policy
from nerfbot.sim.plant.nerfed_plant import NerfedPlant, Step

POSES = ("tracked", "seen")
"""The source of object poses: a tracking system over the arena, or the rover's own detector."""

SPARE = 16
"""How many objects that edits add a limited detector can report in an episode."""


class RoverCells(gymnasium.Env[Any, Any]):
    """The rover from cell to cell.

    Args:
        course, task, nerf, powers, schedule, reveal_lift, leases, destinations, contents, levels, training,
            split, alpha, level_seed, in_order, allow: as in ``nerfbot/Grid-v0`` (`GridConfig`); contents
            are "basic" by default.
        poses: the source of object poses, "tracked" or "seen" (see `POSES`).
        pace: how the cell controller drives; None: at the speed of the grid's tick.
        robot: a robot commanded by twists that ships with nerfbot, or the path of its YAML file.
        audit: the log of grants and refusals.
        render_mode: None, or "rgb_array": a chase view.

    An action is a row of `action_table`. A move lasts until its end (arrived, blocked, stuck, timed out), an
    edit or staying lasts one tick of the grid. ``info["nerf"]`` has outcome and duration; the last step of an
    episode has ``info["episode_summary"]`` with the grid's keys.

    Raises `InvalidCourse`, `InvalidSpec`, `LeaseError`, `InvalidCommand` or `MissingDependency`.

    >>> import gymnasium, nerfbot
    >>> env = gymnasium.make("nerfbot/RoverCells-v0", course="coin-in-corner")
    >>> observation, info = env.reset(seed=0)

    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": round(1.0 / CONTROL_STEP),
    }

    def __init__(
        self,
        course: str | Path | Course | CoursePlan | LevelSet = "coin-in-corner",
        task: Task | Mapping[str, Any] | None = None,
        nerf: str | Path | Mapping[str, Any] | NerfSpec = "none",
        powers: Sequence[str] = AXES,
        schedule: str | Mapping[str, Any] | Schedule | Sequence[Schedule] = "never",
        contents: Any = "basic",
        leases: str = "anywhere",
        poses: str = "tracked",
        pace: Pace | None = None,
        robot: str = "rover",
        audit: AuditLog | None = None,
        render_mode: str | None = None,
        **keywords: Any,
    ) -> None:
        if poses not in POSES:
            raise InvalidCommand(f"poses: must be one of {', '.join(POSES)}, got {poses!r}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InvalidCommand(f"render_mode: must be rgb_array or None, got {render_mode!r}")
        self.render_mode, self.poses = render_mode, poses
        self.config = config = GridConfig(
            course=course,
            task=task,
            nerf=nerf,
            powers=powers,
            schedule=schedule,
            contents=contents,
            leases=leases,
            **keywords,
        )
        self.levels = levels = config.draw_levels()
        self.task = config.task_of(levels)
        self.nerf_spec = config.spec()
        self.grid_nerf = GridNerf.of(self.nerf_spec, levels.cell, allow=config.allow, seed=config.level_seed)
        self.menu = Menu(powers, levels.rows, levels.columns, config.destinations, contents)
        self._edits = RoverEdits(self.menu, coin_shapes(levels))
        writes = any(row.kind not in (0, WALL, FLOOR) for row in self.menu.table)
        self._schedules = schedules_of(schedule, self.menu.axes, self.menu.edits)
        self._keys = counts_keys(levels, self.menu)
        first_level = levels.courses[0]
        self.nerfed = NerfedPlant(
            first_level,
            self.nerf_spec,
            robot,
            policy=lease_policy(first_level, leases, self.menu.edits),
            audit=audit,
            allow=tuple(config.allow or ()),
            pictures=render_mode is not None,
            spare=SPARE if writes else 0,
        )
        self.pace = pace or Pace(speed=self.grid_nerf.top_speed)
        lidar = self.nerfed.plant.description.sensors.lidar
        self._lidar = LidarGeometry(self.nerfed.plant.sensors.angles, lidar.position[0], lidar.range)
        self._tick_steps = max(1, round(self.grid_nerf.tick / CONTROL_STEP))
        self.on_step: Callable[[Step], None] | None = None
        """Called after every control step, for recording."""
        self._renderer: Any = None
        self._next_level, self._over = 0, True
        top = np.array([KINDS - 1, COLOUR_CODES - 1, STATES - 1], np.uint8)
        high = np.broadcast_to(top, (levels.rows, levels.columns, 3)).copy()
        self.feature_names = self._builder(first_level, 0).features
        self.observation_space: spaces.Dict = spaces.Dict(
            {
                "grid": spaces.Box(np.zeros_like(high), high, dtype=np.uint8),
                "vector": spaces.Box(-1.0, np.inf, (len(self.feature_names),), np.float32),
            }
        )
        self.action_space = spaces.Discrete(len(self.menu.table))

    @property
    def action_table(self) -> tuple[str, ...]:
        """What each action does."""
        return self.menu.action_table

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are available now, bool (actions,)."""
        granted = self.powers.granted if self.config.reveal_lift else EDITS
        return np.array([row.edit < 0 or EDITS[row.edit] in granted for row in self.menu.table])

    def _builder(self, course: Course, row: int) -> ObservationBuilder:
        return ObservationBuilder(
            course, self.grid_nerf, self._lidar, self.config.reveal_lift, self._keys, row
        )

    # The episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Start an episode; the same seed gives the same one. ``options["level"]`` selects a level."""
        super().reset(seed=seed)
        self.level = self._select_level(options or {})
        nerf_seed, edit_seed = (int(n) for n in self.np_random.integers(2**31, size=2))
        course = self.levels.courses[self.level]
        readings = self.nerfed.reset(course, nerf_seed)
        self._random = np.random.default_rng(edit_seed)
        self.tracker = TaskTracker(self.task, course)
        self.powers = EpisodePowers(self.nerfed, self._schedules, self.np_random, self.tracker)
        self.controller = CellController(course, self.pace)
        objects = DetectedObjects(course, self._lidar) if self.poses == "seen" else None
        self.perception = RoverPerception(self.nerfed, self._builder(course, nerf_seed), self.powers, objects)
        self._length = 0
        self._outcomes: dict[str, int] = {}
        self._reward, self._over = 0.0, False
        # The first observation already shows a lift that is granted from the start
        self.perception.update(readings, self.nerfed.authority.update(0.0, (self.nerfed.position,))[0])
        return self.perception.observe(), {
            "action_mask": self.action_masks(),
            "nerf": self._nerf_info("", 0.0),
        }

    def _select_level(self, options: Mapping[str, Any]) -> int:
        for name in options:
            if name != "level":
                raise InvalidCommand(f"reset: unknown option {name!r} (known: level)")
        level = options.get("level", -1)
        if not isinstance(level, int | np.integer) or not -1 <= level < len(self.levels):
            raise InvalidCommand(f"reset: level must be -1 to {len(self.levels) - 1}, got {level!r}")
        if level >= 0:
            return int(level)
        if self.config.in_order:
            self._next_level += 1
            return (self._next_level - 1) % len(self.levels)
        return int(self.np_random.integers(len(self.levels)))

    def step(
        self, action: int | np.integer[Any]
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Carry out one action; raises `InvalidCommand` for an invalid action or after the episode's end."""
        try:
            index = operator.index(action)
        except TypeError:
            raise InvalidCommand(f"action must be a whole number, got {action!r}") from None
        if not 0 <= index < len(self.menu.table):
            raise InvalidCommand(f"action must be 0 to {len(self.menu.table) - 1}, got {index}")
        if self._over:
            raise InvalidCommand("the episode is over: reset() begins the next one")
        began, self._reward = self.nerfed.time, 0.0
        self._length += 1
        if self.menu.table[index].edit >= 0:
            outcome = self._edit(index)
        elif index == 0:
            outcome = self._wait("stayed")
        else:
            outcome = self._move(index - 1)
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        terminated = self.tracker.terminated
        truncated = not terminated and self._late
        self._over = terminated or truncated
        info: dict[str, Any] = {
            "action_mask": self.action_masks(),
            "nerf": self._nerf_info(outcome, self.nerfed.time - began) | {"requested": index},
        }
        if self._over:
            info["episode_summary"] = self.summary()
            self.powers.finish()
        return self.perception.observe(), self._reward, terminated, truncated, info

    @property
    def _late(self) -> bool:
        return self.nerfed.time >= self.task.horizon - 0.5 * CONTROL_STEP

    def _control(self, twist: NDArray[np.float64]) -> bool:
        """Do one control step; returns whether the action continues."""
        nerfed, tracker = self.nerfed, self.tracker
        step = nerfed.step(twist)
        self._reward += tracker.consume(step.events, nerfed.time, nerfed.plant.cell)
        self.powers.note_lift(step.lift.tolist())
        self.powers.update()
        self.perception.update(step.readings, step.lift)
        if self.on_step is not None:
            self.on_step(step)
        # A chest ends a move: opened or not, the rover touches it from the cell before
        touched_chest = any(event.object_kind == "chest" for event in step.events)
        return not (touched_chest or tracker.terminated or self._late)

    def _wait(self, outcome: str) -> str:
        """Stand still for one tick of the grid."""
        for _ in range(self._tick_steps):
            if not self._control(np.array(self.controller.halt())):
                break
        return outcome

    def _move(self, direction: int) -> str:
        """Drive to the next cell; returns how the move ended."""
        controller, nerfed, perception = self.controller, self.nerfed, self.perception
        cell = perception.cell
        if perception.is_blocked(cell, direction):
            return self._wait("blocked")
        controller.begin(cell, direction, nerfed.time, self._nominal())
        while True:
            twist = controller.command(perception.readings.pose.tolist(), nerfed.time)
            if controller.outcome is not None:
                return controller.outcome
            if not self._control(np.array(twist)):
                return "contact"

    def _nominal(self) -> float:
        """The time that a cell takes at the present lift, s."""
        table, lift = self.grid_nerf.table[0], self.perception.lift

        def at(quantity: int, axis: int) -> float:
            nerfed, lifted = table[quantity]
            return float((1.0 - lift[axis]) * nerfed + lift[axis] * lifted)

        return self.grid_nerf.tick / max(1e-3, min(at(RATE, 1) * at(GAIN, 0), at(NO_LOAD, 0)))

    def _edit(self, action: int) -> str:
        """Use a world edit; without its lease, or if it is legal nowhere, it only costs the tick."""
        edit, plant = EDITS[self.menu.table[action].edit], self.nerfed.plant
        outcome = self.powers.use(edit, lambda: self._edits.apply(action, plant, self._random))
        self._reward += self.tracker.consume(outcome.events)
        for element, is_there in outcome.changes:
            (self.tracker.appear if is_there else self.tracker.vanish)(element)
            if is_there:
                self.perception.add(element)
        return self._wait("edited" if outcome.done else "illegal")

    def _nerf_info(self, outcome: str, seconds: float) -> dict[str, Any]:
        return {
            "lift": self.perception.lift.copy(),
            "granted": sum(1 << EDITS.index(name) for name in set(self.powers.granted)),
            "first": FIRST_CONTACTS.index(self.tracker.first_contact),
            "illegal": self.powers.illegal,
            "outcome": outcome,
            "seconds": seconds,
        }

    def summary(self) -> dict[str, Any]:
        """The results of the episode so far, with the grid's keys."""
        tracker = self.tracker
        return {
            "success": tracker.reached_goal,
            "first_contact": tracker.first_contact,
            "first": FIRST_CONTACTS.index(tracker.first_contact),
            "return": tracker.total_reward,
            "length": self._length,
            "time": self.nerfed.time,
            "harm": {str(kind): float(amount) for kind, amount in tracker.harm.items()},
            **self.powers.summary(),
            "edits": dict.fromkeys(EDITS, 0) | self.powers.used,
            "outcomes": dict(self._outcomes),
            "level": self.level,
        }

    def render(self) -> Any:
        """A frame (360, 640, 3) uint8 of a chase view in "rgb_array" mode."""
        if self.render_mode is None:
            return None
        from nerfbot.sim.plant.render import Renderer

        if self._renderer is None or self._renderer.plant is not self.nerfed.plant:
            self._renderer = Renderer(self.nerfed.plant)
        return self._renderer.chase()

    def close(self) -> None:
        """Disconnect from the physics."""
        self.nerfed.close()
