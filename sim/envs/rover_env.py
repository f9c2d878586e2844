"""``nerfbot/Rover-v0``: a nerfed robot on a course as a Gymnasium environment."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nerfbot.course import Course, Event, Task, TaskTracker, load_course, load_plan
from nerfbot.course.elements import Colour
from nerfbot.errors import InvalidCommand, LeaseError
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import EDITS, ActiveLease, Agenda, LeasePolicy, Schedule, load_schedule

from ..physics.client import CONTROL_STEP
from ..plant.edit_menu import EditMenu
from ..plant.nerfed_plant import NerfedPlant, Step, lift_zone_policy
from ..plant.render import Renderer
from ..plant.sensors import DETECTED, Detection, Readings
from ..robots.description import RobotDescription

OBJECT_SLOTS = 6
"""How many detected objects an observation holds, the nearest first."""

COLOURS: tuple[str, ...] = get_args(Colour)
_KIND = {kind: 3 + index for index, kind in enumerate(DETECTED)}
_COLOUR = {colour: 3 + len(DETECTED) + index for index, colour in enumerate(COLOURS)}
OBJECT_FEATURES = 3 + len(DETECTED) + len(COLOURS)
"""Distance (m), cosine and sine of the bearing, then kind and colour one-hot; a row of zeros: nothing."""

_LEASE = 2
"""Numbers that tell of leases: seconds until the last one ends, and the charges left (-1: not counted)."""

_distance = operator.attrgetter("distance")


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
        first = course if isinstance(course, Course) else load_course(course, training=training)
        given = task if isinstance(task, Task) or task is None else Task.model_validate(task)
        self.task = first.task if given is None else given
        lifted, edits = _split(powers)
        self._schedules = _schedules(schedule, lifted, edits)
        policy = LeasePolicy(allow_outside=True, edits=edits, max_duration=None)
        if leases == "lift-zones":
            policy = lift_zone_policy(first).model_copy(update={"edits": edits})
        self.nerfed = NerfedPlant(
            first,
            nerf,
            robot,
            policy=policy,
            allow=tuple(allow),
            camera=camera,
            gui=render_mode == "human",
            pictures=render_mode is not None,
        )
        self.menu = EditMenu(edits)
        self._edits, self._reveal, self._flat = edits, reveal_lift, observation == "flat"
        self._renderer: Renderer | None = None
        self.observation_space = self._observation_space(camera)
        self.action_space = self._action_space()
        self._tracker = TaskTracker(self.task, first)

    # Spaces

    def _observation_space(self, camera: bool) -> spaces.Space[Any]:
        description = self.nerfed.plant.description
        lidar, pixels = description.sensors.lidar, description.sensors.camera
        joints = len(self.nerfed.plant.robot.joint_indices)

        def unbounded(*shape: int) -> spaces.Box:
            return spaces.Box(-np.inf, np.inf, shape, np.float32)

        parts: dict[str, spaces.Box] = {
            "lidar": spaces.Box(0.0, lidar.range, (lidar.rays,), np.float32),
            "pose": unbounded(3),
            "twist": unbounded(2),
            "imu": unbounded(6),
            "joints": unbounded(2, joints),
            "objects": unbounded(OBJECT_SLOTS, OBJECT_FEATURES),
        }
        if self._reveal:
            parts["lift"] = spaces.Box(0.0, 1.0, (len(AXES),), np.float32)
            parts["lease"] = spaces.Box(-1.0, np.inf, (_LEASE,), np.float32)
        sizes = [math.prod(space.shape) for space in parts.values()]
        ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
        self._parts_of = [
            (name, slice(end - size, end), space.shape if len(space.shape) > 1 else None)
            for (name, space), size, end in zip(parts.items(), sizes, ends, strict=True)
        ]
        """Name, place in the flat observation and shape (None: one axis) of each part of the observation."""
        self._objects_at = next(place.start for name, place, _ in self._parts_of if name == "objects")
        self._blank = np.zeros(ends[-1], np.float32)
        if self._flat:
            return unbounded(ends[-1])
        if camera:
            shape = (pixels.height, pixels.width, 3)
            parts["camera"] = spaces.Box(0, 255, shape, np.uint8)
        return spaces.Dict(parts)  # type: ignore[arg-type]

    def _action_space(self) -> spaces.Space[Any]:
        bounds = [self.nerfed.limiter.envelope.channel(channel) for channel in self.nerfed.channels]
        ranges = [
            limits.range(channel.mode) for limits, channel in zip(bounds, self.nerfed.channels, strict=True)
        ]
        low = np.array([bound for bound, _ in ranges], np.float32)
        high = np.array([bound for _, bound in ranges], np.float32)
        twist = spaces.Box(low, high, dtype=np.float32)
        if not self._edits:
            return twist
        return spaces.Dict({"twist": twist, "power": spaces.Discrete(len(self.menu.action_table))})

    @property
    def action_table(self) -> tuple[str, ...]:
        """What each value of the discrete part of the action does; 0 is nothing."""
        return self.menu.action_table

    def action_masks(self) -> NDArray[np.bool_]:
        """Which values of the discrete part are available now, bool (len(action_table),)."""
        return self.menu.mask(tuple(name for lease in self._active_now for name in lease.lease.edits))

    # The episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the same seed gives the same course, nerf, windows and noise."""
        super().reset(seed=seed)
        course_seed, nerf_seed, self._edit_seed = (int(n) for n in self.np_random.integers(2**31, size=3))
        course = None if self._plan is None else self._plan.draw(course_seed, self._training)
        readings = self.nerfed.reset(course, nerf_seed)
        self._edit_random = np.random.default_rng(self._edit_seed)
        self._tracker = TaskTracker(self.task, self.nerfed.plant.course)
        self._agenda = Agenda(self._schedules, self.np_random, self.task.horizon)
        self._highest = [0.0] * len(AXES)
        self._used: dict[str, int] = {}
        self._illegal = 0
        self._active_now: tuple[ActiveLease, ...] = ()
        self._open_windows()
        info: dict[str, Any] = {"nerf": self._told(None)}
        if self._edits:
            info["action_mask"] = self.action_masks()
        return self._observe(readings), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive for 0.05 s. Raises `InvalidCommand` for a wrong shape or NaN; nothing has moved then."""
        twist, power = (action, 0) if not self._edits else self._parts(action)
        nerfed, tracker = self.nerfed, self._tracker
        plant = nerfed.plant
        step = nerfed.step(twist)
        now = plant.time
        events = step.events
        if power:
            events += self._use(power)
        self._open_windows()
        if self._edits and not any("phase" in lease.lease.edits for lease in self._active_now):
            plant.edits.phase(False)
        lift = step.lift.tolist()
        if any(lift):
            self._highest = list(map(max, self._highest, lift))
        reward = tracker.consume(events, now, plant.cell)
        terminated = tracker.ended
        truncated = not terminated and now >= self.task.horizon - 0.5 * CONTROL_STEP
        info: dict[str, Any] = {"nerf": self._told(step), "events": events}
        if self._edits:
            info["action_mask"] = self.action_masks()
        if terminated or truncated:
            info["episode_summary"] = self._summary()
            for schedule in self._schedules:
                harm = float(sum(tracker.harm.values()))
                schedule.report(tracker.reached_goal, harm, self._highest)
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

    # Powers

    def _open_windows(self) -> None:
        """Ask for the leases whose time has come, and note which are in force."""
        authority, now = self.nerfed.authority, self.nerfed.time
        for lease in self._agenda.due(now):
            self.nerfed.request(lease)
        self._active_now = authority.active(0)

    def _parts(self, action: Any) -> tuple[Any, int]:
        try:
            twist, power = action["twist"], int(action["power"])
        except (TypeError, KeyError, IndexError, ValueError):
            raise InvalidCommand(f"action must be a dict of twist and power, got {action!r}") from None
        if not 0 <= power < len(self.menu.action_table):
            raise InvalidCommand(f"power must be 0 to {len(self.menu.action_table) - 1}, got {power}")
        return twist, power

    def _use(self, power: int) -> tuple[Event, ...]:
        """Use a world edit; what it brought about. Outside its lease, or where it is not legal, nothing
        happens but a count.
        """
        name = self.menu.action_table[power]
        lease = next((item for item in self._active_now if name in item.lease.edits), None)
        done: bool = False
        events: tuple[Event, ...] = ()
        if lease is not None:
            done, events = self.menu.apply(power, self.nerfed.plant, self._edit_random)
        if lease is None or not done:
            self._illegal += 1
            return ()
        self.nerfed.authority.use_charge(lease.lease_id, self.nerfed.time)
        self._used[name] = self._used.get(name, 0) + 1
        for coin, cell in self.nerfed.plant.coin_cells():
            self._tracker.relocate(coin, *cell)
        return events

    # What is told

    def _told(self, step: Step | None) -> dict[str, Any]:
        leases = [
            {
                "powers": (*item.lease.axes, *item.lease.edits),
                "start": item.start,
                "end": item.end,
                "charges": item.charges,
            }
            for item in self._active_now
        ]
        told: dict[str, Any] = {"lift": self.nerfed.lift, "leases": leases}
        if step is not None:
            told["requested"] = step.requested
            told["executed"], told["effort_limit"], told["reasons"] = step.limited
            told["lost"] = step.lost
        return told

    def _summary(self) -> dict[str, Any]:
        tracker = self._tracker
        return {
            "success": tracker.reached_goal,
            "first_contact": tracker.first_contact,
            "harm": dict(tracker.harm),
            "time": self.nerfed.time,
            "highest_lift": dict(zip(AXES, self._highest, strict=True)),
            "edits": dict(self._used),
            "illegal_edits": self._illegal,
        }

    def _observe(self, readings: Readings) -> Any:
        """The observation, every part of it a view of one new float32 vector."""
        told = self._blank.copy()
        told[: self._objects_at] = readings.numbers
        if readings.objects:
            tell_objects(readings.objects, told, self._objects_at)
        if self._reveal:
            told[-_LEASE - len(AXES) : -_LEASE] = self.nerfed.lift
            if self._active_now:
                told[-_LEASE:] = self._lease_left()
        if self._flat:
            return told
        parts: dict[str, NDArray[Any]] = {
            name: told[place] if shape is None else told[place].reshape(shape)
            for name, place, shape in self._parts_of
        }
        if self.nerfed.image is not None:
            parts["camera"] = self.nerfed.image
        return parts

    def _lease_left(self) -> tuple[float, float]:
        last = self._active_now[-1]
        left = max(item.end for item in self._active_now) - self.nerfed.time
        return left, -1.0 if last.charges is None else last.charges


def tell_objects(objects: Sequence[Detection], told: NDArray[np.float32], start: int = 0) -> None:
    """Write the nearest objects into a flat observation that is 0 from ``start`` on: a row of
    `OBJECT_FEATURES` each.
    """
    for item in sorted(objects, key=_distance)[:OBJECT_SLOTS]:
        told[start] = item.distance
        told[start + 1], told[start + 2] = math.cos(item.bearing), math.sin(item.bearing)
        told[start + _KIND[item.kind]] = 1.0
        if item.colour in _COLOUR:
            told[start + _COLOUR[item.colour]] = 1.0
        start += OBJECT_FEATURES


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise InvalidCommand(f"{name}: must be one of {', '.join(map(repr, known))}, got {value!r}")


def _split(powers: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if isinstance(powers, str):
        raise LeaseError(f"powers: must be a list of names, got the text {powers!r}")
    for name in powers:
        if name not in AXES and name not in EDITS:
            raise LeaseError(f"powers: unknown power {name!r} (known: {', '.join(AXES + EDITS)})")
    return tuple(a for a in AXES if a in powers), tuple(e for e in EDITS if e in powers)


def _schedules(
    source: str | Mapping[str, Any] | Schedule, lifted: tuple[str, ...], edits: tuple[str, ...]
) -> list[Schedule]:
    """One schedule for the lifts and one for the edits; a `Schedule` object is taken as it is."""
    if isinstance(source, Schedule):
        return [source]
    chosen: list[Schedule] = []
    base = load_schedule(source)
    if base.edits or (isinstance(source, Mapping) and "axes" in source):
        return [base]
    if lifted:
        chosen.append(base.model_copy(update={"axes": {axis: 1.0 for axis in lifted}}))
    if edits:
        chosen.append(base.model_copy(update={"axes": {}, "edits": edits}))
    return chosen
