"""``nerfbot/RoverCells-v0``: the rover in PyBullet with the grid's actions and observations.

A policy of ``nerfbot/Grid-v0`` runs here unmodified: a move is driven by the cell controller through the nerf
layer, an edit is done in the arena, and what the policy sees is built from the rover's readings.
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
from nerfbot.bridge.cells.grid_observation import ObjectPose, ObservationBuilder, RobotState
from nerfbot.bridge.cells.object_tracker import DetectedObjects
from nerfbot.bridge.cells.wall_map import LidarGeometry
from nerfbot.course import Course, CoursePlan, Task, TaskTracker
from nerfbot.course.elements import STEPS
from nerfbot.errors import InvalidCommand
from nerfbot.grid.action_menu import Menu
from nerfbot.grid.build import GridConfig, counts_keys
from nerfbot.grid.codes import COLOUR_CODES, FLOOR, GATE, KINDS, OPEN, STATES, WALL
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
"""Where object poses come from: a tracking system that sees all of the arena, or the rover's own detector."""


SPARE = 16
"""How many things that edits write a limited detector can tell of in an episode."""


class RoverCells(gymnasium.Env[Any, Any]):
    """The rover from cell to cell.

    Args:
        course, task, nerf, powers, schedule, reveal_lift, leases, destinations, contents, levels, training,
            split, alpha, level_seed, in_order, allow: as ``nerfbot/Grid-v0`` has them (`GridConfig`);
            contents are "basic" by default.
        poses: where object poses come from, "tracked" or "seen" (see `POSES`).
        pace: how the cell controller drives; None: at the speed that the grid's tick stands for.
        robot: a robot with a twist that ships with nerfbot, or the path of its YAML file.
        audit: where grants and refusals are written.
        render_mode: None, or "rgb_array": a chase view.

    An action is a row of `action_table`; a step lasts until the move has ended (arrived, blocked, stuck,
    timed out), an edit or staying lasts one tick of the grid. ``info["nerf"]`` has outcome and duration;
    the last step of an episode has ``info["episode_summary"]``, with the grid's names.

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
        first = levels.courses[0]
        self.nerfed = NerfedPlant(
            first,
            self.nerf_spec,
            robot,
            policy=lease_policy(first, leases, self.menu.edits),
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
        self.feature_names = self._builder(first, 0).features
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
        """Begin an episode; the same seed gives the same one. `options`: ``level``, the number of one."""
        super().reset(seed=seed)
        self.level = self._chosen_level(options or {})
        nerf_seed, edit_seed = (int(n) for n in self.np_random.integers(2**31, size=2))
        course = self.levels.courses[self.level]
        self._readings = self.nerfed.reset(course, nerf_seed)
        self._random = np.random.default_rng(edit_seed)
        self.tracker = TaskTracker(self.task, course)
        self.powers = EpisodePowers(self.nerfed, self._schedules, self.np_random, self.tracker)
        self.builder = self._builder(course, nerf_seed)
        self.controller = CellController(course, self.pace)
        self.detected = DetectedObjects(course, self._lidar) if self.poses == "seen" else None
        self._length = 0
        self._outcomes: dict[str, int] = {}
        self._reward, self._over = 0.0, False
        # A lift that is granted from the start is told from the start
        self.lift = self.nerfed.authority.update(0.0, (self.nerfed.position,))[0]
        self._look()
        return self._observe(), {"action_mask": self.action_masks(), "nerf": self._standing("", 0.0)}

    def _chosen_level(self, options: Mapping[str, Any]) -> int:
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
        """Carry out one action. Raises `InvalidCommand` for what is no action, and after the episode's
        end.
        """
        try:
            chosen = operator.index(action)
        except TypeError:
            raise InvalidCommand(f"action must be a whole number, got {action!r}") from None
        if not 0 <= chosen < len(self.menu.table):
            raise InvalidCommand(f"action must be 0 to {len(self.menu.table) - 1}, got {chosen}")
        if self._over:
            raise InvalidCommand("the episode is over: reset() begins the next one")
        began, self._reward = self.nerfed.time, 0.0
        self._length += 1
        if self.menu.table[chosen].edit >= 0:
            outcome = self._edit(chosen)
        elif chosen == 0:
            outcome = self._wait("stayed")
        else:
            outcome = self._move(chosen - 1)
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        terminated = self.tracker.terminated
        truncated = not terminated and self._late
        self._over = terminated or truncated
        info: dict[str, Any] = {
            "action_mask": self.action_masks(),
            "nerf": self._standing(outcome, self.nerfed.time - began) | {"requested": chosen},
        }
        if self._over:
            info["episode_summary"] = self.summary()
            self.powers.finish()
        return self._observe(), self._reward, terminated, truncated, info

    @property
    def _late(self) -> bool:
        return self.nerfed.time >= self.task.horizon - 0.5 * CONTROL_STEP

    def _control(self, twist: NDArray[np.float64]) -> bool:
        """One control step; whether the action goes on."""
        nerfed, tracker = self.nerfed, self.tracker
        step = nerfed.step(twist)
        self._readings, self.lift = step.readings, step.lift
        self._reward += tracker.consume(step.events, nerfed.time, nerfed.plant.cell)
        self.powers.note_lift(step.lift.tolist())
        self.powers.update()
        self._look()
        if self.on_step is not None:
            self.on_step(step)
        # A chest ends a move: opened or not, it is met from outside
        met = any(event.object_kind == "chest" for event in step.events)
        return not (met or tracker.terminated or self._late)

    def _wait(self, outcome: str) -> str:
        """Stand still for one tick of the grid."""
        for _ in range(self._tick_steps):
            if not self._control(np.array(self.controller.halt())):
                break
        return outcome

    def _move(self, direction: int) -> str:
        """Drive to the next cell; how that ended."""
        state = self._robot_state()
        cell = self.builder.cell(state)
        if self._is_shut(cell, direction):
            return self._wait("blocked")
        controller, nerfed = self.controller, self.nerfed
        controller.begin(cell, direction, nerfed.time, self._nominal())
        while True:
            twist = controller.command(self._readings.pose.tolist(), nerfed.time)
            if controller.outcome is not None:
                return controller.outcome
            if not self._control(np.array(twist)):
                return "contact"

    def _is_shut(self, cell: tuple[int, int], direction: int) -> bool:
        """Whether the robot believes that a wall or a shut gate stands in the next cell."""
        down, right = list(STEPS.values())[direction]
        there, course = (cell[0] + down, cell[1] + right), self.builder.course
        edge = not (0 < there[0] < course.rows - 1 and 0 < there[1] < course.columns - 1)
        if self.nerfed.plant.edits.phasing:
            return edge
        if not course.inside(*there) or self.builder.walls.standing[there]:
            return True
        kind, _, state = self.builder.whole(self._robot_state())[there]
        return bool(kind == GATE and not state & OPEN)

    def _nominal(self) -> float:
        """Seconds that a cell takes at the present lift."""
        table, lift = self.grid_nerf.table[0], self.lift

        def at(quantity: int, axis: int) -> float:
            nerfed, lifted = table[quantity]
            return float((1.0 - lift[axis]) * nerfed + lift[axis] * lifted)

        return self.grid_nerf.tick / max(1e-3, min(at(RATE, 1) * at(GAIN, 0), at(NO_LOAD, 0)))

    def _edit(self, action: int) -> str:
        """Use a world edit; outside its lease, or where it is legal nowhere, it only costs the tick."""
        edit, plant = EDITS[self.menu.table[action].edit], self.nerfed.plant
        outcome = self.powers.use(edit, lambda: self._edits.apply(action, plant, self._random))
        self._reward += self.tracker.consume(outcome.events)
        for element, is_there in outcome.changes:
            (self.tracker.appear if is_there else self.tracker.vanish)(element)
            if is_there and self.detected is not None:
                self.detected.add(element)
        return self._wait("edited" if outcome.done else "illegal")

    # What is told

    def _look(self) -> None:
        if self.detected is not None:
            self.detected.update(self._readings)

    def _robot_state(self) -> RobotState:
        plant, readings = self.nerfed.plant, self._readings
        objects = gate_poses(self.nerfed)
        objects += tracked_objects(self.nerfed) if self.detected is None else self.detected.poses()
        seconds_left, charges = self.powers.remaining or (0.0, 0.0)
        still = abs(float(readings.twist[1])) < 0.3  # rays of a turning robot point elsewhere
        return RobotState(
            pose=readings.pose,
            objects=objects,
            lidar=readings.lidar if still else None,
            keys=plant.event_detector.keys,
            phasing=plant.edits.phasing,
            lift=self.lift.tolist(),
            granted=self.powers.granted,
            seconds_left=seconds_left,
            charges=charges,
        )

    def _observe(self) -> dict[str, NDArray[Any]]:
        return self.builder.build(self._robot_state())

    def _standing(self, outcome: str, seconds: float) -> dict[str, Any]:
        return {
            "lift": self.lift.copy(),
            "granted": sum(1 << EDITS.index(name) for name in set(self.powers.granted)),
            "first": FIRST_CONTACTS.index(self.tracker.first_contact),
            "illegal": self.powers.illegal,
            "outcome": outcome,
            "seconds": seconds,
        }

    def summary(self) -> dict[str, Any]:
        """What the episode has come to so far, by the grid's names."""
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


def tracked_objects(nerfed: NerfedPlant) -> list[ObjectPose]:
    """The poses of all objects, as a tracking system over the arena reports them."""
    arena = nerfed.plant.arena
    return [
        ObjectPose(thing.element, *arena.position_of(thing)[:2])
        for thing in arena.things.values()
        if thing.present and thing.element.kind != "marker"
    ]


def gate_poses(nerfed: NerfedPlant) -> list[ObjectPose]:
    """The gates that are left, and whether each is open: a gate tells that by itself."""
    arena = nerfed.plant.arena
    return [
        ObjectPose(gate.element, *arena.course.centre(*gate.element.position), gate.risen < 0.5)
        for gate in arena.gates
        if not gate.removed
    ]
