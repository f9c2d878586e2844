"""A robot on a servo bus as data: its joints, IDs, models, envelope and what gravity asks of its motors."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from nerfbot.declared import suggestion, validate
from nerfbot.files import read_yaml
from nerfbot.limits import Channel, ChannelEnvelope, Envelope
from nerfbot.limits.value import Model

from .bus.control_table import Servo, load_servo
from .errors import InvalidServo

ROBOTS = Path(__file__).parent / "robots"
GRAVITY = 9.80665
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Joint(Model):
    """One joint: ``home`` is the count at 0 rad, ``direction`` the sign of a count in radians;
    ``homing_offset`` belongs into the servo's EEPROM where it is given (a calibration's).

    ``inertia`` (kg·m², about the axis, arm stretched) serves the emulator alone.
    """

    name: str
    id: Annotated[int, Field(ge=0, le=252)]
    model: str
    home: Annotated[int, Field(ge=0, le=4095)] = 2048
    direction: Literal[-1, 1] = 1
    homing_offset: int | None = None
    inertia: Positive = 0.01

    @property
    def servo(self) -> Servo:
        """The joint's control table."""
        return load_servo(self.model)

    def counts(self, position: float) -> int:
        """The count nearest to ``position`` (rad)."""
        return self.home + self.direction * round(position / self.servo.radians)

    def radians(self, counts: int) -> float:
        """The position (rad) of a count."""
        return self.direction * (counts - self.home) * self.servo.radians

    def channel(self) -> Channel:
        """The same as the limits layer knows it."""
        measures = frozenset({"position", "velocity", "effort"})
        return Channel(self.name, "position", "rad", effort_limit=True, measures=measures)


class Link(Model):
    """What a pitch joint carries: a link of ``length`` and ``mass`` with its ``centre`` of mass (m, kg, m).

    ``upright``: angle at 0 rad from the vertical (for the first) or from the link before, rad.
    """

    joint: str
    upright: float
    length: Positive
    mass: NonNegative
    centre: NonNegative


class ServoRobot(Model):
    """A robot on one servo bus; see `robots/so101.yaml`.

    ``rate`` in Hz, ``watchdog_s`` for servos that have one; ``lift_ramp_s``: the time in which a lift rises;
    ``hold_s`` and ``release_s``: how long a stopped robot is held without a permit, and in what time it is
    then let down.
    """

    name: str
    protocol: Literal["feetech", "dynamixel"]
    baud: Annotated[int, Field(gt=0)]
    rate: Annotated[float, Field(gt=0, le=500)] = 100.0
    joints: Annotated[tuple[Joint, ...], Field(min_length=1)]
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
            values = Counter(getattr(joint, field) for joint in self.joints)
            twice = [value for value, count in values.items() if count > 1]
            if twice:
                raise ValueError(f"joints: {field} {twice[0]!r} is given twice")
        for joint in self.joints:
            if joint.servo.protocol != self.protocol:
                raise ValueError(
                    f"joints[{joint.name}].model: {joint.model} speaks {joint.servo.protocol},"
                    f" the bus {self.protocol}"
                )
        names = [joint.name for joint in self.joints]
        for link in self.gravity:
            if link.joint not in names:
                raise ValueError(f"gravity: there is no joint {link.joint!r}{suggestion(link.joint, names)}")
        for joint in self.joints:
            self._check_range(joint, self.envelope.channel(joint.channel()))
        return self

    def _check_range(self, joint: Joint, limits: ChannelEnvelope) -> None:
        place, stall = f"envelope.{joint.name}", joint.servo.motor.stall_torque
        if limits.max_effort is None:
            raise ValueError(f"{place}.max_effort: is required on a servo bus")
        if limits.max_effort > stall:
            raise ValueError(
                f"{place}.max_effort: {limits.max_effort:g} is above the servo's stall {stall:g}"
            )
        for field in ("min_position", "max_position"):
            counts = joint.counts(getattr(limits, field))
            if not 0 < counts < joint.servo.resolution - 1:
                value = getattr(limits, field)
                raise ValueError(f"{place}.{field}: {value:g} is count {counts}, outside a turn of the servo")
        needed = self.holding(joint.name)
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
        path = ROBOTS / f"{source}.yaml"
        if not path.is_file():
            path = Path(source)
            if path.suffix not in (".yaml", ".yml"):
                known = robots()
                near = suggestion(str(source), known)
                raise InvalidServo(
                    f"robot: no robot on a servo bus is called {str(source)!r}{near}"
                    f" (known: {', '.join(known)}; or name a YAML file)"
                )
        data = read_yaml(path, InvalidServo)
        if not isinstance(data, dict):
            raise InvalidServo(f"{path}: a robot is a mapping such as `name: ...`")
        return validate(cls, data, str(path), InvalidServo)

    @property
    def period(self) -> float:
        """Length of a bus cycle, s."""
        return 1.0 / self.rate

    @property
    def names(self) -> list[str]:
        """Joint names in the order of commands."""
        return [joint.name for joint in self.joints]

    @property
    def servos(self) -> dict[int, Servo]:
        """Control tables by ID."""
        return {joint.id: joint.servo for joint in self.joints}

    def channels(self) -> tuple[Channel, ...]:
        """The joints as the limits layer knows them."""
        return tuple(joint.channel() for joint in self.joints)

    def limits(self, name: str) -> ChannelEnvelope:
        """The envelope of a joint, with the effort that holds it against gravity filled in."""
        joint = next(joint for joint in self.joints if joint.name == name)
        found = self.envelope.channel(joint.channel())
        holding = max(found.holding_effort or 0.0, self.holding(name))
        return found.model_copy(update={"holding_effort": holding})

    def hard_limits(self) -> Envelope:
        """The envelope of all joints by their exact names, holding efforts filled in."""
        return Envelope(channels={name: self.limits(name) for name in self.names})

    def load_torque(self, positions: dict[str, float]) -> dict[str, float]:
        """Torque of gravity about each pitch joint, N·m, at ``positions`` (rad) in its positive direction."""
        angle = x = 0.0
        at: list[float] = []
        centres: list[float] = []
        for link in self.gravity:
            angle += link.upright + positions.get(link.joint, 0.0)
            at.append(x)
            centres.append(x + link.centre * math.sin(angle))
            x += link.length * math.sin(angle)
        return {
            link.joint: GRAVITY
            * sum(
                other.mass * (centre - at[first])
                for other, centre in zip(self.gravity[first:], centres[first:], strict=True)
            )
            for first, link in enumerate(self.gravity)
        }

    def holding(self, name: str) -> float:
        """The largest torque of gravity about joint ``name`` in any pose, N·m; 0 for one that lifts nothing.

        An upper bound: everything beyond the joint stretched out level, whatever the ranges allow.
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


def poses(robot: ServoRobot, steps: int = 5) -> list[dict[str, float]]:
    """A grid of poses over the ranges of the joints that gravity acts on, rad."""
    spans = []
    for link in robot.gravity:
        limits = robot.limits(link.joint)
        low, high = limits.min_position or 0.0, limits.max_position or 0.0
        spans.append([low + (high - low) * k / (steps - 1) for k in range(steps)])
    names = [link.joint for link in robot.gravity]
    return [dict(zip(names, pose, strict=True)) for pose in product(*spans)]
