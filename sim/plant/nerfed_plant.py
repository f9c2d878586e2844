"""A plant behind the nerf layer: commands pass the limiter, readings the sensor limiters, lifts need leases.

Environments, scripted drivers and the demo share it. It knows the course and its zones, and no reward.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course, Event, harm
from nerfbot.errors import InvalidCommand
from nerfbot.limits import (
    AXES,
    ActuatorLimiter,
    Enforcement,
    ImageGeometry,
    Limited,
    Measured,
    NerfSpec,
    RayGeometry,
    Reason,
    SensorLimiter,
)
from nerfbot.limits.actuator import joint_reasons
from nerfbot.limits.enforcement import sensor_enforcement
from nerfbot.limits.geometry import Geometry, PlainGeometry
from nerfbot.powers import AuditLog, Decision, Lease, LeaseAuthority, LeasePolicy, Zone

from ..physics.client import CONTROL_STEP, SUBSTEP, SUBSTEPS
from ..robots.description import TWIST, RobotDescription
from .plant import FORCE_LIMIT, Plant, StepResult
from .sensors import DETECTED, Detection, Readings

Floats = NDArray[np.float64]

RELIABILITY, SENSING = AXES.index("reliability"), AXES.index("sensing")

SENSORS = ("lidar", "odometry", "twist", "imu", "joints", "objects", "camera")
"""Sensors that a specification can name: distances (rays,) m; pose (3,) m and rad; forward speed and yaw rate
(2,); specific force and angular rate (6,); joint positions and velocities (2, joints); distances of detected
objects (n,) m; pixels (height, width, 3) uint8."""

_ENVELOPE = Reason.ENVELOPE.value

FIELDS = {"lidar": "lidar", "pose": "odometry", "twist": "twist", "imu": "imu", "joints": "joints"}
"""The sensor whose limits act on each array of the readings."""

OBJECTS = PlainGeometry().carries | {"range"}
"""What the object detector can carry: its limits act on an object's distance."""


class Step(NamedTuple):
    """One control step: the requested command (channels,), what the limiter made of it in arrays as long, the
    lift (4,) it was limited at, whether interference lost it, the readings after it, and the events.
    """

    requested: Floats
    limited: Limited
    lift: Floats
    lost: bool
    readings: Readings
    events: tuple[Event, ...]


def lift_zone_policy(course: Course) -> LeasePolicy:
    """The policy that grants what the course's lift zones allow, inside them."""
    zones = [
        Zone(region=region.shape, axes=tuple(axis for axis in AXES if axis in region.zone.axes))  # type: ignore[attr-defined]
        for region in course.regions
        if region.kind == "lift_zone"
    ]
    return LeasePolicy(zones=tuple(zones))


class NerfedPlant:
    """A robot on a course, nerfed.

    Args:
        course: a course, the name of one in the catalogue, or the path of a course file.
        nerf: a specification, the name of a preset, or the path of a YAML file.
        robot: a description, the name of a robot that ships with nerfbot, or the path of a YAML file.
        policy: what leases may be granted (default: inside the course's lift zones).
        audit: where grants, refusals and returns are written.
        allow: names of limits that may stay unenforced.
        camera: take a frame at each step (slow).
        pictures: whether any other pictures will be taken; without, steps are faster.
        spare: how many things that edits write a limited object detector can report in an episode.

    Raises `InvalidSpec`, `InvalidCourse`, `InvalidRobot` or `MissingDependency`; nothing is left open then.

    """

    def __init__(
        self,
        course: Course | str | Path,
        nerf: NerfSpec | str | Path = "rover-weak",
        robot: RobotDescription | str | Path = "rover",
        policy: LeasePolicy | None = None,
        audit: AuditLog | None = None,
        seed: int = 0,
        allow: tuple[str, ...] = (),
        camera: bool = False,
        gui: bool = False,
        force_limit: float = FORCE_LIMIT,
        pictures: bool = True,
        spare: int = 0,
    ) -> None:
        self.spec = NerfSpec.load(nerf)
        self.plant = Plant(course, robot, gui, force_limit, pictures=pictures or camera)
        try:
            self.channels = self.plant.robot.channels
            self.spec.check_names([channel.name for channel in self.channels], list(SENSORS))
            self.limiter = ActuatorLimiter(
                self.spec,
                self.channels,
                seed=seed,
                envelope=self.plant.description.envelope,
                period=SUBSTEP,
                allow=allow,
            )
            self._has_joints = any(channel.name not in TWIST for channel in self.channels)
            self.has_camera = camera
            self._spare = spare
            self._limiters = self._sensor_limiters(seed, allow)
            self._plain = [
                (field, self._limiters[sensor])
                for field, sensor in FIELDS.items()
                if sensor in self._limiters
            ]
            self.authority = LeaseAuthority(
                policy=lift_zone_policy(self.plant.course) if policy is None else policy, audit=audit
            )
        except BaseException:
            self.plant.close()
            raise
        self.image: NDArray[np.uint8] | None = None
        self.reset(seed=seed)

    @property
    def report(self) -> list[Enforcement]:
        """Every limit on a channel, the command's link and a sensor, with how this robot enforces it."""
        sensors = [sensor_enforcement(self.spec, name, CONTROL_STEP) for name in self._limiters]
        return self.limiter.report + [item for report in sensors for item in report]

    def _sensor_limiters(self, seed: int, allow: tuple[str, ...]) -> dict[str, SensorLimiter]:
        models, joints = self.plant.description.sensors, len(self.plant.robot.joint_indices)
        lidar, camera = models.lidar, models.camera
        objects = [item.id for item in self.plant.course.elements if item.kind in DETECTED]
        objects += [f"written-{number}" for number in range(1, self._spare + 1)]
        self.detectable = {name: number for number, name in enumerate(objects)}
        """What the detector may see, and each one's place among the distances."""
        self._undetected = np.full((1, len(objects)), math.inf)
        shapes: dict[str, tuple[tuple[int, ...], Geometry]] = {
            "lidar": ((lidar.rays,), RayGeometry(lidar.field_of_view, lidar.range)),
            "odometry": ((3,), PlainGeometry()),
            "twist": ((2,), PlainGeometry()),
            "imu": ((6,), PlainGeometry()),
            "joints": ((2, joints), PlainGeometry()),
            "objects": ((len(self.detectable),), RayGeometry(2.0 * np.pi, lidar.range, OBJECTS)),
            "camera": ((camera.height, camera.width, 3), ImageGeometry(camera.field_of_view)),
        }
        limiters = {}
        for index, (name, (shape, geometry)) in enumerate(shapes.items()):
            declared = any(True for _ in self.spec.sensor(name).limits())
            if not declared or 0 in shape or (name == "camera" and not self.has_camera):
                continue
            dtype = np.uint8 if name == "camera" else np.float64
            limiters[name] = SensorLimiter(
                self.spec, name, shape, seed=seed + index, geometry=geometry, dtype=dtype, allow=allow
            )
        return limiters

    def reset(self, course: Course | None = None, seed: int = 0) -> Readings:
        """Begin an episode and return its first readings, impaired.

        ``course`` is another draw of the same course (default: the present one). Everything random in the
        nerf follows from ``seed``. Leases end; the clock starts at 0.
        """
        ideal = self.plant.reset(course)
        self.limiter.reset(seeds=[seed])
        for limiter in self._limiters.values():
            limiter.reset(seeds=[seed])
        self._random = np.random.default_rng((seed, 0x1F))
        self._is_lost, self._lost_until = False, 0.0
        self.authority.reset(now=0.0)
        self._levels: Floats = np.zeros((1, len(AXES)))
        self.lift: Floats = self._levels[0]
        return self._impair(ideal)

    @property
    def time(self) -> float:
        """Simulated seconds since the reset."""
        return self.plant.time

    @property
    def position(self) -> tuple[float, float]:
        """Where the robot's base is, m."""
        x, y, _ = self.plant.robot.state.position
        return x, y

    def request(self, lease: Lease) -> Decision:
        """Ask for a lease here and now; a refusal has its reason and is in the audit log."""
        return self.authority.request(lease, self.time, self.position)

    def step(self, command: Floats) -> Step:
        """Drive for one control step at ``command`` (channels,), in the channels' units.

        Raises `InvalidCommand` for a wrong shape or a number that is not finite; nothing has moved then.
        """
        requested = np.array(command, np.float64)
        if requested.shape != (len(self.channels),):
            raise InvalidCommand(f"command must have shape ({len(self.channels)},), got {requested.shape}")
        if not all(map(math.isfinite, requested.tolist())):
            raise InvalidCommand(f"command must be finite, got {requested.tolist()}")
        plant, now = self.plant, self.plant.time
        lift = self._levels = self.authority.update(now, (self.position,))
        self.lift = lift[0]
        lost = self._loses_command(now)
        measured = plant.robot.motion()
        received = self._lost_command(measured) if lost else requested
        result, limited = self._move(received[None], measured, now, lift)
        if plant.client.gui:
            plant.client.follow(plant.robot.state.position, CONTROL_STEP)
        readings = self._impair(plant.observe(float(self.lift[SENSING])))
        events = result.events
        for reason in limited.reasons.tolist():
            if reason & _ENVELOPE:
                events += (harm("envelope_intervention", 1.0, plant.time),)
                break
        return Step(requested, limited, self.lift, lost, readings, events)

    def close(self) -> None:
        """Disconnect from the physics; closing twice does nothing."""
        self.plant.close()

    def _move(
        self, command: Floats, measured: Measured, now: float, lift: Floats
    ) -> tuple[StepResult, Limited]:
        """Let a control step pass, in which the limiter makes a step of its own for each physics step.

        Returns what it did, and what the limiter put out: at the end, and for all reasons of the step.
        """
        plant, limiter, robot = self.plant, self.limiter, self.plant.robot
        if not limiter.reads_motion:
            ahead = limiter.run(command, measured, now, lift, SUBSTEPS)
            self._limit_motion()
            result = plant.step(ahead.value[:, 0], ahead.effort_limit[:, 0])
            return result, Limited(ahead.value[-1, 0], ahead.effort_limit[-1, 0], ahead.reasons[0])
        steps = [limiter.apply(command, measured, now, lift)]

        def limit_again() -> None:
            robot.read()
            steps.append(limiter.advance(robot.motion(), now + len(steps) * SUBSTEP, lift))
            robot.actuate(steps[-1].value, steps[-1].effort_limit)

        self._limit_motion()
        result = plant.step(steps[0].value, steps[0].effort_limit, between=limit_again)
        reasons = joint_reasons(steps)[0]
        return result, Limited(steps[-1].value[0], steps[-1].effort_limit[0], reasons)

    def _limit_motion(self) -> None:
        """Tell the motors how joints may move; a twist is bounded in the command already."""
        if self._has_joints:
            self.plant.robot.limit_motion(self.limiter.motion_limits())

    def _lost_command(self, measured: Measured) -> Floats:
        """What replaces a lost command (channels,): positions stay where they are, others are 0."""
        stay = [channel.mode == "position" for channel in self.channels]
        return np.where(stay, measured.position[0], 0.0)  # type: ignore[index]  # a robot measures them

    def _loses_command(self, now: float) -> bool:
        """Whether the zone that the robot is in loses this command; drawn anew for every burst."""
        zone = self.plant.interference()
        if zone is None:
            self._is_lost, self._lost_until = False, 0.0
        elif now >= self._lost_until:
            loss = zone.loss * (1.0 - self.lift[RELIABILITY])
            self._is_lost = bool(self._random.random() < loss)
            self._lost_until = now + zone.burst
        return self._is_lost

    def _impair(self, ideal: Readings) -> Readings:
        """The impaired readings, in the arrays of the ``ideal`` ones."""
        now, lift, sensors = self.plant.time, self._levels, self.plant.sensors
        for field, limiter in self._plain:
            reading = getattr(ideal, field)
            reading[...] = limiter.apply(reading[None], now, lift)[0]
        if "lidar" not in self._limiters:  # whose limiter has set every ray that hit nothing to its range
            np.minimum(ideal.lidar, sensors.range, out=ideal.lidar)
        if self.has_camera:
            self.image = sensors.camera(float(self.lift[SENSING]))
            if "camera" in self._limiters:
                self.image = self._limiters["camera"].apply(self.image[None], now, lift)[0]
        if "objects" not in self._limiters:
            return ideal
        return Readings(ideal.numbers, ideal.rays, self._impair_objects(ideal.objects, now))

    def _impair_objects(self, ideal: tuple[Detection, ...], now: float) -> tuple[Detection, ...]:
        limiter = self._limiters["objects"]
        if not ideal:
            if limiter.has_memory:
                limiter.apply(self._undetected, now, self._levels)
            return ideal
        places, distances = self.detectable, self._undetected.copy()
        known = [item for item in ideal if item.id in places]
        for item in known:
            distances[0, places[item.id]] = item.distance
        impaired = limiter.apply(distances, now, self._levels)[0].tolist()
        reach, detected = self.plant.sensors.range, []
        for item in known:
            distance = impaired[places[item.id]]
            if distance < reach:
                detected.append(item if distance == item.distance else item._replace(distance=distance))
        return tuple(detected)
