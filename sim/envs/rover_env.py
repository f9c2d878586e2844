"""``nerfbot/Rover-v0``: a nerfed robot on a course as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nerfbot.course import Course, Event, Task, TaskTracker, load_course, load_plan
from nerfbot.errors import InvalidCommand, LeaseError
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import EDITS, Schedule, load_schedule

from ..physics.client import CONTROL_STEP
from ..plant.edit_menu import EditMenu
from ..plant.episode_powers import EpisodePowers, lease_policy
from ..plant.nerfed_plant import NerfedPlant, Step
from ..plant.render import Renderer
from ..plant.sensors import Readings
from ..robots.description import RobotDescription
from .rover_observation import RoverObservation


class RoverEnv(gymnasium.Env[Any, Any]):
    """Drive a nerfed robot through a course.

    Args:
        course: the name of a course in the catalogue, the path of a course file, or a `Course`.
        task: what is rewarded, in place of the course's own task.
        nerf: the name of a preset, the path of a specification, or a `NerfSpec`.
        powers: what the schedule lifts or grants: axes and world edits. Edits add a second, discrete part to
            the action; axes are lifted by themselves while granted.
        schedule: when: a name ("never", "always", "occasional", ...), a mapping, a path, or a `Schedule`.
        reveal_lift: whether the observation holds lift levels, time left and charges.
        leases: "anywhere" (training in simulation) or "lift-zones" (as on a robot).
        observation: "dict", or "flat": the same numbers in one float32 vector (without the camera).
        camera: add the camera's image to a dict observation.
        vary: draw the course anew at every reset (else every episode runs the nominal course).
        training: draw as the course's training distribution says.
        render_mode: "rgb_array" (a chase view), "human" (PyBullet's window), or None.

    The action is a twist: forward velocity (m/s) and yaw rate (rad/s) within the envelope; with edits in
    ``powers`` a dict of ``twist`` and ``power``. One step is 0.05 s. ``info["nerf"]`` carries the requested
    and executed command, lift levels, active leases and the reasons of each intervention; the last step of an
    episode has ``info["episode_summary"]`` too.

    Raises `InvalidSpec`, `InvalidCourse`, `InvalidRobot`, `LeaseError` or `MissingDependency`.

    >>> import gymnasium, nerfbot
    >>> env = gymnasium.make("nerfbot/Rover-v0", course="corner", nerf="rover-weak", schedule="occasional")
    >>> observation, info = env.reset(seed=0)

    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "human"],
        "render_fps": round(1.0 / CONTROL_STEP),
    }

    def __init__(
        self,
        course: str | Path | Course = "corner",
        task: Task | Mapping[str, Any] | None = None,
        nerf: str | Path | NerfSpec = "rover-weak",
        powers: Sequence[str] = AXES,
        schedule: str | Mapping[str, Any] | Schedule = "never",
        reveal_lift: bool = True,
        leases: str = "anywhere",
        observation: str = "dict",
        camera: bool = False,
        vary: bool = True,
        training: bool = True,
        robot: str | Path | RobotDescription = "rover",
        allow: Sequence[str] = (),
        render_mode: str | None = None,
    ) -> None:
        _one_of("leases", leases, ("anywhere", "lift-zones"))
        _one_of("observation", observation, ("dict", "flat"))
        _one_of("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        if camera and observation == "flat":
            raise InvalidCommand("camera: True needs observation 'dict', got 'flat'")
        self.render_mode = render_mode
        self._plan = None if isinstance(course, Course) or not vary else load_plan(course)
        self._training = training
        nominal = course if isinstance(course, Course) else load_course(course, training=training)
        own_task = task if isinstance(task, Task) or task is None else Task.model_validate(task)
        self.task = nominal.task if own_task is None else own_task
        axes, edits = _axes_and_edits(powers)
        self._schedules = _schedules(schedule, axes, edits)
        self.nerfed = NerfedPlant(
            nominal,
            nerf,
            robot,
            policy=lease_policy(nominal, leases, edits),
            allow=tuple(allow),
            camera=camera,
            gui=render_mode == "human",
            pictures=render_mode is not None,
        )
        self.menu = EditMenu(edits)
        self._has_edits, self._flat = bool(edits), observation == "flat"
        self._renderer: Renderer | None = None
        lidar, joints = self.nerfed.plant.description.sensors.lidar, self.nerfed.plant.robot.joint_indices
        self._layout = RoverObservation(lidar.rays, len(joints), lidar.range, reveal_lift)
        self.observation_space = self._observation_space()
        self.action_space = self._action_space()

    # Spaces

    def _observation_space(self) -> spaces.Space[Any]:
        space = self._layout.space(self._flat)
        if self.nerfed.has_camera:
            camera = self.nerfed.plant.description.sensors.camera
            image = spaces.Box(0, 255, (camera.height, camera.width, 3), np.uint8)
            return spaces.Dict({**space.spaces, "camera": image})  # type: ignore[union-attr]  # never flat
        return space

    def _action_space(self) -> spaces.Space[Any]:
        envelope = self.nerfed.limiter.envelope
        ranges = [envelope.channel(channel).range(channel.mode) for channel in self.nerfed.channels]
        low, high = np.array(ranges, np.float32).T
        twist = spaces.Box(low, high, dtype=np.float32)
        if not self._has_edits:
            return twist
        return spaces.Dict({"twist": twist, "power": spaces.Discrete(len(self.action_table))})

    @property
    def action_table(self) -> tuple[str, ...]:
        """What each value of the discrete part of the action does; 0 is nothing."""
        return self.menu.action_table

    def action_masks(self) -> NDArray[np.bool_]:
        """Which values of the discrete part are available now, bool (len(action_table),)."""
        return self.menu.mask(self._powers.granted)

    # The episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the same seed gives the same course, nerf, windows and noise."""
        super().reset(seed=seed)
        course_seed, nerf_seed, edit_seed = (int(n) for n in self.np_random.integers(2**31, size=3))
        course = None if self._plan is None else self._plan.draw(course_seed, self._training)
        readings = self.nerfed.reset(course, nerf_seed)
        self._edit_rng = np.random.default_rng(edit_seed)
        self._tracker = TaskTracker(self.task, self.nerfed.plant.course)
        self._powers = EpisodePowers(self.nerfed, self._schedules, self.np_random, self._tracker)
        return self._observe(readings), self._info(None)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive for 0.05 s. Raises `InvalidCommand` for a wrong shape or NaN; nothing has moved then."""
        command, edit = self._parts(action) if self._has_edits else (action, 0)
        powers, tracker, plant = self._powers, self._tracker, self.nerfed.plant
        step = self.nerfed.step(command)
        events = step.events
        if edit:
            events += self._use(edit)
        powers.update()
        powers.note_lift(step.lift.tolist())
        reward = tracker.consume(events, plant.time, plant.cell)
        terminated = tracker.terminated
        truncated = not terminated and plant.time >= self.task.horizon - 0.5 * CONTROL_STEP
        info = self._info(step)
        info["events"] = events
        if terminated or truncated:
            info["episode_summary"] = {
                "success": tracker.reached_goal,
                "first_contact": tracker.first_contact,
                "harm": dict(tracker.harm),
                "time": plant.time,
                **powers.summary(),
            }
            powers.finish()
        return self._observe(step.readings), float(reward), terminated, truncated, info

    def render(self) -> Any:
        """Return a frame (360, 640, 3) uint8 of a chase view in "rgb_array" mode."""
        if self.render_mode != "rgb_array":
            return None
        if self._renderer is None or self._renderer.plant is not self.nerfed.plant:
            self._renderer = Renderer(self.nerfed.plant)
        return self._renderer.chase()

    def close(self) -> None:
        """Disconnect from the physics."""
        self.nerfed.close()

    # Parts of a step

    def _parts(self, action: Any) -> tuple[Any, int]:
        """The command and the number of the edit in an action."""
        try:
            command, edit = action["twist"], int(action["power"])
        except (TypeError, KeyError, IndexError, ValueError):
            raise InvalidCommand(f"action must be a dict of twist and power, got {action!r}") from None
        if not 0 <= edit < len(self.action_table):
            raise InvalidCommand(f"power must be 0 to {len(self.action_table) - 1}, got {edit}")
        return command, edit

    def _use(self, edit: int) -> tuple[Event, ...]:
        """Use a world edit; the events that it brought about."""
        plant, rng = self.nerfed.plant, self._edit_rng
        return self._powers.use(self.action_table[edit], lambda: self.menu.apply(edit, plant, rng)).events

    def _info(self, step: Step | None) -> dict[str, Any]:
        leases = [
            {
                "powers": (*item.lease.axes, *item.lease.edits),
                "start": item.start,
                "end": item.end,
                "charges": item.charges,
            }
            for item in self._powers.active
        ]
        nerf: dict[str, Any] = {"lift": self.nerfed.lift, "leases": leases}
        if step is not None:
            nerf["requested"] = step.requested
            nerf["executed"], nerf["effort_limit"], nerf["reasons"] = step.limited
            nerf["lost"] = step.lost
        info: dict[str, Any] = {"nerf": nerf}
        if self._has_edits:
            info["action_mask"] = self.action_masks()
        return info

    def _observe(self, readings: Readings) -> Any:
        vector = self._layout.vector(readings, self.nerfed.lift, self._powers.remaining)
        if self._flat:
            return vector
        parts: dict[str, NDArray[Any]] = self._layout.views(vector)
        if self.nerfed.image is not None:
            parts["camera"] = self.nerfed.image
        return parts


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise InvalidCommand(f"{name}: must be one of {', '.join(map(repr, known))}, got {value!r}")


def _axes_and_edits(powers: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if isinstance(powers, str):
        raise LeaseError(f"powers: must be a list of names, got the text {powers!r}")
    for name in powers:
        if name not in AXES and name not in EDITS:
            raise LeaseError(f"powers: unknown power {name!r} (known: {', '.join(AXES + EDITS)})")
    return tuple(a for a in AXES if a in powers), tuple(e for e in EDITS if e in powers)


def _schedules(
    source: str | Mapping[str, Any] | Schedule, axes: tuple[str, ...], edits: tuple[str, ...]
) -> list[Schedule]:
    """One schedule for the lifts and one for the edits; a `Schedule` object is taken as it is."""
    if isinstance(source, Schedule):
        return [source]
    base = load_schedule(source)
    if base.edits or (isinstance(source, Mapping) and "axes" in source):
        return [base]
    schedules: list[Schedule] = []
    if axes:
        schedules.append(base.model_copy(update={"axes": dict.fromkeys(axes, 1.0)}))
    if edits:
        schedules.append(base.model_copy(update={"axes": {}, "edits": edits}))
    return schedules
