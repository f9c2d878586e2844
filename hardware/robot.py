"""A robot on a servo bus as data: joints, IDs, servo models, envelope, and the torque that gravity needs."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from nerfbot.declared import Declared, NonNegative, Number, Positive, PositiveInt, suggestion, validate
from nerfbot.files import is_yaml_path, read_yaml, shipped
from nerfbot.limits import Channel, ChannelEnvelope, Envelope

from .bus.control_table import ServoModel, load_servo
from .errors import InvalidServo

ROBOTS = Path(__file__).parent / "robots"
GRAVITY = 9.80665
FIRMWARE_OFFSET = 1024
"""A Dynamixel in Position Control Mode ignores a larger homing offset (ROBOTIS e-manual, address 20)."""


class JointConfig(Declared):
    """One joint: ``home`` is the count at 0 rad, ``direction`` the sign of a count in radians.

    ``zero``: where a calibration puts 0 rad, in the middle of the range or at a gripper's closed end.
    ``homing_offset`` goes into the servo's EEPROM where a calibration gives one, as ``eeprom`` does. Only the
    emulator uses ``inertia`` (kg·m², about the axis, arm stretched) and ``stops``, the mechanical end stops
    in rad (None: it turns freely).
    """

    name: str
    id: Annotated[int, Field(ge=0, le=252)]
    model: str
    home: Annotated[Number, Field(ge=0, le=4095)] = 2048
    direction: Literal[-1, 1] = 1
    zero: Literal["middle", "closed"] = "middle"
    homing_offset: int | None = None
    eeprom: dict[str, int] = Field(default_factory=dict)
    inertia: Positive = 0.01
    stops: tuple[Number, Number] | None = None

    @property
    def is_gripper(self) -> bool:
        """Whether the joint grips: 0 rad is its closed end."""
        return self.zero == "closed"

    @property
    def servo(self) -> ServoModel:
        """The joint's control table."""
        return load_servo(self.model)

    def counts(self, position: float) -> int:
        """The count nearest to ``position`` (rad)."""
        return round(self.home + self.direction * position / self.servo.radians_per_count)

    def radians(self, counts: float) -> float:
        """The position (rad) of a count."""
        return self.direction * (counts - self.home) * self.servo.radians_per_count

    def ignored_offset(self, offset: int) -> str:
        """Why the servo would ignore a homing ``offset`` (counts); "" where it does not."""
        mode = self.eeprom.get("operating_mode", self.servo.operating_mode)
        if self.servo.protocol != "dynamixel" or mode != 3 or abs(offset) <= FIRMWARE_OFFSET:
            return ""
        return (
            f"homing_offset = {offset}: is ignored beyond {FIRMWARE_OFFSET} in operating_mode 3"
            " (eeprom: {operating_mode: 4} obeys it)"
        )

    def channel(self) -> Channel:
        """The joint as a channel of the limits."""
        measures = frozenset({"position", "velocity", "effort"})
        return Channel(self.name, "position", "rad", effort_limit=True, measures=measures)


class Link(Declared):
    """The link that a pitch joint carries: ``length`` (m), ``mass`` (kg), ``centre`` of mass (m from joint).

    ``upright``: its angle at 0 rad, from the vertical for the first link, else from the link before, rad.
    """

    joint: str
    upright: Number
    length: Positive
    mass: NonNegative
    centre: NonNegative


class ServoRobot(Declared):
    """A robot on one servo bus; see `robots/so101.yaml`.

    ``rate`` of the bus cycle in Hz; ``watchdog_s`` for servos that have a watchdog; ``lift_ramp_s``: time in
    which a lift rises. Without a permit the driver holds a stopped robot for ``hold_s``, then lets it down
    within ``release_s``.
    """

    name: str
    protocol: Literal["feetech", "dynamixel"]
    baud: PositiveInt
    rate: Annotated[Positive, Field(le=500)] = 100.0
    joints: Annotated[tuple[JointConfig, ...], Field(min_length=1)]
    gravity: tuple[Link, ...] = ()
    eeprom: dict[str, int] = Field(default_factory=dict)
    watchdog_s: Positive | None = None
    lift_ramp_s: Positive = 0.5
    hold_s: NonNegative = 30.0
    release_s: Positive = 3.0
    envelope: Envelope

    @model_validator(mode="after")
    def _check(self) -> ServoRobot:
        for field in ("name", "id"):
            value, count = Counter(getattr(joint, field) for joint in self.joints).most_common(1)[0]
            if count > 1:
                raise ValueError(f"joints: {field} {value!r} is given twice")
        for joint in self.joints:
            if joint.servo.protocol != self.protocol:
                raise ValueError(
                    f"joints[{joint.name}].model: {joint.model} speaks {joint.servo.protocol},"
                    f" the bus {self.protocol}"
                )
        for link in self.gravity:
            if link.joint not in self.names:
                near = suggestion(link.joint, self.names)
                raise ValueError(f"gravity: there is no joint {link.joint!r}{near}")
        for joint in self.joints:
            broken = joint.servo.broken_assumption({**self.eeprom, **joint.eeprom})
            if broken:
                raise ValueError(f"joints[{joint.name}] ({joint.model}).eeprom: {broken}")
            if ignored := joint.ignored_offset(joint.homing_offset or 0):
                raise ValueError(f"joints[{joint.name}]: {ignored}")
            self._check_range(joint, self.envelope.channel(joint.channel()))
        return self

    def _check_range(self, joint: JointConfig, limits: ChannelEnvelope) -> None:
        place, stall = f"envelope.{joint.name}", joint.servo.motor.stall_torque
        if limits.max_effort is None:
            raise ValueError(f"{place}.max_effort: is required on a servo bus")
        if limits.max_effort > stall:
            raise ValueError(
                f"{place}.max_effort: {limits.max_effort:g} is above the servo's stall {stall:g}"
            )
        for field in ("min_position", "max_position"):
            value = getattr(limits, field)
            counts = joint.counts(value)
            if not 0 < counts < joint.servo.resolution - 1:
                raise ValueError(f"{place}.{field}: {value:g} is count {counts}, outside a turn of the servo")
        needed = self.holding_effort(joint.name)
        stated = limits.holding_effort
        if stated is not None and stated < needed:
            raise ValueError(
                f"{place}.holding_effort: {stated:g} is below the {needed:.3g} N·m that gravity asks for"
            )
        if max(stated or 0.0, needed) > limits.max_effort:
            raise ValueError(
                f"{place}.max_effort: {limits.max_effort:g} does not hold the {needed:.3g} N·m of gravity"
            )

    @classmethod
    def load(cls, source: str | Path) -> ServoRobot:
        """Read the robot that ships as ``source``, or a YAML file; raises `InvalidServo`, one line."""
        path = shipped(ROBOTS, source, "robot on a servo bus", InvalidServo)
        data = read_yaml(path, InvalidServo)
        if not isinstance(data, dict):
            raise InvalidServo(f"{path}: a robot is a mapping such as `name: ...`")
        for row in data["joints"] if isinstance(data.get("joints"), list) else []:
            if isinstance(row, dict) and isinstance(row.get("model"), str) and is_yaml_path(row["model"]):
                row["model"] = str(path.parent.absolute() / row["model"])  # beside the robot's file
        return validate(cls, data, str(path), InvalidServo)

    @property
    def period(self) -> float:
        """Length of a bus cycle, s."""
        return 1.0 / self.rate

    @property
    def names(self) -> list[str]:
        """Joint names, in the order of commands."""
        return [joint.name for joint in self.joints]

    @property
    def servos(self) -> dict[int, ServoModel]:
        """Control tables by ID."""
        return {joint.id: joint.servo for joint in self.joints}

    def channels(self) -> tuple[Channel, ...]:
        """The joints as channels of the limits."""
        return tuple(joint.channel() for joint in self.joints)

    def limits(self, name: str) -> ChannelEnvelope:
        """The envelope of a joint, with the effort that holds it against gravity filled in."""
        joint = next(joint for joint in self.joints if joint.name == name)
        limits = self.envelope.channel(joint.channel())
        holding = max(limits.holding_effort or 0.0, self.holding_effort(name))
        return limits.model_copy(update={"holding_effort": holding})

    def hard_limits(self) -> Envelope:
        """The envelope of all joints by their exact names, holding efforts filled in."""
        return Envelope(channels={name: self.limits(name) for name in self.names})

    def gravity_torques(self, positions: dict[str, float]) -> dict[str, float]:
        """Torque of gravity about each pitch joint at ``positions`` (rad), N·m, in the joint's direction."""
        angle = x = 0.0
        joints_x: list[float] = []
        centres: list[float] = []
        for link in self.gravity:
            angle += link.upright + positions.get(link.joint, 0.0)
            joints_x.append(x)
            centres.append(x + link.centre * math.sin(angle))
            x += link.length * math.sin(angle)
        return {
            link.joint: GRAVITY
            * sum(
                other.mass * (centre - joints_x[index])
                for other, centre in zip(self.gravity[index:], centres[index:], strict=True)
            )
            for index, link in enumerate(self.gravity)
        }

    def holding_effort(self, name: str) -> float:
        """The largest torque of gravity about joint ``name`` in any pose, N·m; 0 for one that lifts nothing.

        An upper bound: everything beyond the joint is stretched out level, whatever the ranges allow.
        """
        order = [link.joint for link in self.gravity]
        if name not in order:
            return 0.0
        reach = total = 0.0
        for link in self.gravity[order.index(name) :]:
            total += link.mass * (reach + link.centre)
            reach += link.length
        return GRAVITY * total


def robots() -> list[str]:
    """Names of the robots that ship with nerfbot, sorted."""
    return sorted(path.stem for path in ROBOTS.glob("*.yaml"))
