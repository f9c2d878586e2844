"""What a robot is, as data: its URDF, the table of its channels, its envelope and its sensors.

A description is a YAML file beside (or pointing to) a URDF; `rover` is the project's own. Whether the URDF
really has the joints that the table names is checked by `nerfbot.sim.robots.robot`, which loads it.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Field, Tag, model_validator

from nerfbot.declared import Declared, NonNegative, Number, Positive, validate
from nerfbot.files import read_yaml, shipped
from nerfbot.limits import Channel, Envelope
from nerfbot.limits.channel import Mode

from ..errors import InvalidRobot

ROBOTS = Path(__file__).parent
TWIST = {"linear.x": "m/s", "angular.z": "rad/s"}
"""The channels that a drive offers, and their units."""

PACKAGED = "pybullet_data:"
"""Prefix of a URDF path that is looked up among PyBullet's own models."""

Vector = tuple[Number, Number, Number]


class DifferentialDrive(Declared):
    """A differential drive: joint names by side, wheel radius in m, distance between the sides in m."""

    left: Annotated[tuple[str, ...], Field(min_length=1)]
    right: Annotated[tuple[str, ...], Field(min_length=1)]
    wheel_radius: Positive
    track: Positive

    @property
    def driven(self) -> tuple[str, ...]:
        """The driven wheels' joints."""
        return (*self.left, *self.right)

    steering: ClassVar[tuple[str, ...]] = ()
    rolling: ClassVar[tuple[str, ...]] = ()


class AckermannDrive(Declared):
    """A car's drive: ``driven`` wheels and ``steering`` hinges, left then right; ``rolling`` wheels turn
    freely. ``wheelbase`` and ``track`` in m; ``max_steering``: of a wheel in the middle, rad.
    """

    driven: tuple[str, str]
    steering: tuple[str, str]
    rolling: tuple[str, ...] = ()
    wheel_radius: Positive
    track: Positive
    wheelbase: Positive
    max_steering: Annotated[float, Field(gt=0, lt=math.pi / 2)]

    @property
    def max_curvature(self) -> float:
        """Of the tightest curve, 1/m."""
        return math.tan(self.max_steering) / self.wheelbase


def _kind_of_drive(given: Any) -> str:
    has = given.get("steering") if isinstance(given, dict) else (getattr(given, "steering", None) or None)
    return "differential" if has is None else "ackermann"


AnyDrive = Annotated[
    Annotated[DifferentialDrive, Tag("differential")] | Annotated[AckermannDrive, Tag("ackermann")],
    Discriminator(_kind_of_drive),
]
"""A differential drive, or a car's where a steering is given."""


class ServoModel(Declared):
    """A hobby servo: ``stall_torque`` (N·m) and ``no_load_velocity`` (rad/s) of its motor; its position loop
    as ``stiffness`` (N·m/rad) and ``damping`` (N·m·s/rad); Coulomb ``friction`` of its gears (N·m).
    """

    stall_torque: Positive
    no_load_velocity: Positive
    stiffness: Positive
    damping: NonNegative = 0.0
    friction: NonNegative = 0.0


class ChannelRow(Declared):
    """One row of the channel table.

    ``joint`` is the joint's name in the URDF (default: the channel's name); a twist channel has none.
    ``effort`` (N·m or N) and ``velocity`` (rad/s or m/s) state limits that the URDF leaves at 0, or tighten
    those it gives. ``capped: false``: it has no effort limit. ``servo``: a position joint that yields under
    load as a hobby servo does.
    """

    name: str
    mode: Mode
    unit: str
    joint: str | None = None
    effort: Positive | None = None
    velocity: Positive | None = None
    capped: bool = True
    servo: ServoModel | None = None

    @property
    def joint_name(self) -> str:
        """The joint that this row drives."""
        return self.joint or self.name

    @model_validator(mode="after")
    def _check(self) -> ChannelRow:
        self.channel()
        if self.name in TWIST and (self.mode != "velocity" or self.unit != TWIST[self.name]):
            raise ValueError(
                f"{self.name} needs mode velocity, unit {TWIST[self.name]}, got {self.mode}, {self.unit}"
            )
        if self.servo is not None and (self.mode, self.unit) != ("position", "rad"):
            raise ValueError(
                f"{self.name}.servo: needs mode position, unit rad, got {self.mode}, {self.unit}"
            )
        return self

    def channel(self) -> Channel:
        """The channel of the limits layer; it measures everything that its kind can."""
        twist = self.name in TWIST
        measures = frozenset({"velocity", "effort"} if twist else {"position", "velocity", "effort"})
        return Channel(self.name, self.mode, self.unit, self.capped, measures, velocity_limit=not twist)


class LidarModel(Declared):
    """A planar scanner: ``rays`` evenly over ``field_of_view`` rad (ends included), up to ``range`` m, at
    ``position``.
    """

    rays: Annotated[int, Field(ge=1, le=4096)] = 32
    field_of_view: Annotated[float, Field(gt=0, le=2 * math.pi)] = 1.5 * math.pi
    range: Positive = 8.0
    position: Vector = (0.0, 0.0, 0.2)


class CameraModel(Declared):
    """A pinhole camera looking along +x: pixels, horizontal ``field_of_view`` in rad, ``pitch`` in rad (down
    > 0).
    """

    width: Annotated[int, Field(ge=1, le=1024)] = 64
    height: Annotated[int, Field(ge=1, le=1024)] = 64
    field_of_view: Annotated[float, Field(gt=0, lt=math.pi)] = 1.2
    position: Vector = (0.2, 0.0, 0.15)
    pitch: Number = 0.1
    range: Positive = 8.0


class SensorModels(Declared):
    """The sensors that look outward; odometry, IMU, joint states and contacts need no parameters."""

    lidar: LidarModel = LidarModel()
    camera: CameraModel = CameraModel()


class RobotDescription(Declared):
    """A robot: ``urdf`` (relative to the file, or ``pybullet_data:...``), channels, drive, envelope, sensors.

    ``friction``: lateral coefficients of links in place of the URDF's. ``ground_links`` touch only the floor,
    ramps and steps (wheels whose collision shape bulges sideways); ``spawn_height`` is the base link's height
    above the floor in m; ``rest`` gives joint positions at a reset.
    """

    name: str
    urdf: str
    drive: AnyDrive | None = None
    channels: Annotated[tuple[ChannelRow, ...], Field(min_length=1)]
    envelope: Envelope | None = None
    sensors: SensorModels = SensorModels()
    friction: dict[str, Positive] = Field(default_factory=dict)
    ground_links: tuple[str, ...] = ()
    fixed_base: bool = False
    spawn_height: NonNegative = 0.0
    rest: dict[str, Number] = Field(default_factory=dict)
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _check(self) -> RobotDescription:
        names = [row.name for row in self.channels]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"channels: {twice[0]!r} is given twice")
        joints = Counter(row.joint_name for row in self.channels if row.name not in TWIST)
        shared = [joint for joint, count in joints.items() if count > 1]
        if shared:
            raise ValueError(f"channels: two of them command the joint {shared[0]!r}")
        twist = [name for name in names if name in TWIST]
        if self.drive is None and twist:
            raise ValueError(f"channels: {twist[0]!r} needs a drive section (wheel joints, radius, track)")
        if self.drive is not None and names[:2] != list(TWIST):
            raise ValueError(
                f"channels: a drive needs {' and '.join(TWIST)} first, in this order, got {names}"
            )
        if isinstance(self.drive, AckermannDrive) and self.channels[1].capped:
            raise ValueError("channels: angular.z needs `capped: false`: steering caps no moment")
        return self

    @classmethod
    def load(cls, source: str | Path) -> RobotDescription:
        """Read ``source``: the name of a robot that ships with nerfbot, or the path of a YAML file.

        Raises `InvalidRobot`: no such robot or file, or a field that is missing, unknown or wrong.
        """
        path = shipped(ROBOTS, source, "robot", InvalidRobot)
        data = read_yaml(path, InvalidRobot)
        if not isinstance(data, dict):
            raise InvalidRobot(f"{path}: a robot description is a mapping such as `urdf: ...`")
        return validate(cls, {**data, "folder": path.parent}, str(path), InvalidRobot)

    def commanded_joints(self) -> dict[str, str]:
        """Joints that channels or the drive command, each with the field that names it."""
        joints = {row.joint_name: f"channels.{row.name}" for row in self.channels if row.name not in TWIST}
        if self.drive is not None:
            joints |= dict.fromkeys(self.drive.driven, "drive")
        if isinstance(self.drive, AckermannDrive):
            joints |= dict.fromkeys(self.drive.steering, "drive.steering")
        return joints

    def wheel_limits(self) -> dict[str, float | None]:
        """``effort`` (N·m) and ``velocity`` (rad/s) of a driven wheel by the twist channels' own limits."""
        if self.drive is None:
            return {"effort": None, "velocity": None}
        (forward, turning), radius = self.channels[:2], self.drive.wheel_radius
        effort = None if forward.effort is None else forward.effort * radius / len(self.drive.driven)
        velocity = None
        if forward.velocity is not None and turning.velocity is not None:
            velocity = (forward.velocity + turning.velocity * self.drive.track / 2.0) / radius
        return {"effort": effort, "velocity": velocity}

    def urdf_path(self) -> Path:
        """Where the URDF is.

        Raises `InvalidRobot`: it does not exist, or PyBullet's models are wanted and not installed.
        """
        if self.urdf.startswith(PACKAGED):
            try:
                root = Path(importlib.import_module("pybullet_data").getDataPath())
            except ImportError:
                raise InvalidRobot(
                    f"{self.name}: urdf: pybullet_data is not installed, got {self.urdf!r}"
                ) from None
            path = root / self.urdf.removeprefix(PACKAGED)
        else:
            path = self.folder / self.urdf
        if not path.is_file():
            raise InvalidRobot(f"{self.name}: urdf: no such file: {path}")
        return path
