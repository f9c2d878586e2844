"""Limits as registers: a specification and an envelope become counts.

The envelope goes into EEPROM at set-up (`envelope_registers`); nerf and lifts only into RAM
(`RegisterPlan.counts_at`). A limit is rounded down, and never to 0 where 0 means "unlimited".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nerfbot.errors import InvalidSpec
from nerfbot.limits import AXES, ChannelEnvelope, NerfSpec, enforcement
from nerfbot.limits.fields import COMMAND_FIELDS
from nerfbot.limits.value import Value, high

from ..bus.control_table import Register
from ..errors import InvalidServo
from ..robot import JointConfig, ServoRobot

ENVELOPE_FIELD = {"effort": "max_effort", "velocity": "max_velocity", "acceleration": "max_acceleration"}
"""The envelope's bound of each limit that a register carries."""

BY_SOFTWARE = "by the nerf layer above; no register carries it"


class RegisterLimit(NamedTuple):
    """One limit on one joint: as requested, as quantised to the register, and as read back.

    ``requested`` and ``lifted`` come from the specification, ``quantised`` has the same unit (None where no
    register carries it), ``counts`` belongs in ``register``. ``held`` is the count read back, or None.
    ``problem`` says why the limit is not enforceable, ``note`` how it is enforced where not exactly.
    """

    joint: str
    field: str
    axis: str
    unit: str
    requested: Value
    lifted: Value
    register: str = ""
    counts: int | None = None
    quantised: float | None = None
    held: int | None = None
    problem: str = ""
    note: str = ""

    @property
    def status(self) -> str:
        """One of ``enforced``, ``quantised``, ``software``, ``not enforceable`` and ``not held``."""
        if self.problem:
            return "not enforceable"
        if self.counts is None:
            return "software"
        if self.held is not None and self.held != self.counts:
            return "not held"
        return "quantised" if self.quantised != self.requested else "enforced"

    def as_json(self) -> dict[str, Any]:
        """The limit and its status as JSON data."""
        data = self._asdict()
        for key in ("requested", "lifted"):
            value = data[key]
            data[key] = value if isinstance(value, (int, float)) else value.model_dump(exclude_none=True)
        return {**data, "status": self.status}


@dataclass(frozen=True)
class _RegisterRamp:
    """One limit in a register: nerfed and lifted value (SI), and the index of the axis that lifts it."""

    register: Register
    axis: int
    nerfed: float
    lifted: float

    def counts(self, levels: Sequence[float]) -> int:
        level = min(max(levels[self.axis], 0.0), 1.0)
        value = (1.0 - level) * self.nerfed + level * self.lifted
        value = min(max(value, min(self.nerfed, self.lifted)), max(self.nerfed, self.lifted))
        return self.register.counts_below(value)


class RegisterPlan:
    """Every servo's RAM limits at every lift level.

    Raises `InvalidSpec`: an entry for no joint, a limit past the envelope, an effort that does not hold the
    arm against gravity, a limit of less than one count; `InvalidServo`: more than a register can hold.
    ``allow`` names limits (``gripper.jerk``) that may go unenforced.
    """

    def __init__(self, robot: ServoRobot, spec: NerfSpec, allow: Sequence[str] = ()) -> None:
        self.robot, self.spec = robot, spec
        envelope, channels = robot.hard_limits(), robot.channels()
        spec.check_names(robot.names)
        spec.check_envelope(channels, envelope)
        self.report: list[RegisterLimit] = []
        self._ramps: dict[int, list[_RegisterRamp]] = {}
        for joint in robot.joints:
            self._add_joint(joint, envelope.channels[joint.name])
        for field, limit in spec.link().limits():
            info = COMMAND_FIELDS[field]
            lifted = limit.nerfed if limit.lifted is None else limit.lifted
            self.report.append(
                RegisterLimit("command", field, info.axis, info.unit, limit.nerfed, lifted, note=BY_SOFTWARE)
            )
        for item in self.report:
            if item.problem and f"{item.joint}.{item.field}" not in allow:
                raise InvalidSpec(
                    f"channels[{item.joint}].{item.field}: {_text(item.requested)} {item.unit} is not"
                    f" enforceable: {item.problem} (allow '{item.joint}.{item.field}' to go on without it)"
                )

    def counts_at(self, levels: Sequence[float]) -> dict[int, dict[str, int]]:
        """Counts of every RAM limit by ID and register, at ``levels`` (4,), in the order of the axes."""
        return {
            id: {ramp.register.name: ramp.counts(levels) for ramp in ramps}
            for id, ramps in self._ramps.items()
        }

    def with_held(self, held: Mapping[int, Mapping[str, int]]) -> list[RegisterLimit]:
        """The report with ``held``, the counts read back from the servos at level 0, by ID and register."""
        ids = {joint.name: joint.id for joint in self.robot.joints}
        return [
            item._replace(held=held.get(ids[item.joint], {}).get(item.register)) if item.register else item
            for item in self.report
        ]

    def _add_joint(self, joint: JointConfig, limits: ChannelEnvelope) -> None:
        servo = joint.servo
        requested = {
            item.field: item for item in enforcement(self.spec, [joint.channel()], self.robot.hard_limits())
        }
        self._ramps[joint.id] = []
        for field, registers in servo.limits.items():
            bound = float(getattr(limits, ENVELOPE_FIELD[field]))
            register = servo.register(registers.ram)
            _check_representable(joint, field, bound, register)
            item = requested.pop(field, None)
            nerfed = lifted = bound
            if item is not None:
                # A limit that is drawn for each episode: the register holds the loosest draw.
                nerfed, lifted = min(high(item.nerfed), bound), min(high(item.lifted), bound)
                self.report.append(_register_limit(joint, field, item, register, nerfed, limits))
            axis = AXES.index(item.axis if item is not None else "strength" if field == "effort" else "speed")
            self._ramps[joint.id].append(_RegisterRamp(register, axis, nerfed, lifted))
        for item in requested.values():
            self.report.append(
                RegisterLimit(
                    joint.name, item.field, item.axis, item.unit, item.nerfed, item.lifted,
                    problem=item.problem, note="" if item.problem else BY_SOFTWARE,
                )
            )  # fmt: skip


def _register_limit(
    joint: JointConfig, field: str, item: Any, register: Register, nerfed: float, limits: ChannelEnvelope
) -> RegisterLimit:
    counts = register.counts_below(nerfed)
    quantised = counts * register.scale
    problem = ""
    if counts < 1:
        problem = f"one count of {register.name} is {register.scale:.3g} {item.unit}"
    elif field == "effort" and quantised < (limits.holding_effort or 0.0):
        problem = f"{register.name} = {counts} does not hold the {limits.holding_effort:.3g} N·m of gravity"
    drawn = not isinstance(item.nerfed, (int, float))
    note = "drawn: the register holds the loosest" if drawn else ""
    return RegisterLimit(
        joint.name, field, item.axis, item.unit, item.nerfed, item.lifted,
        register.name, counts, quantised, problem=problem, note=note,
    )  # fmt: skip


def _check_representable(joint: JointConfig, field: str, bound: float, register: Register) -> None:
    if register.counts_below(bound) > register.max_value:
        raise InvalidServo(
            f"envelope.{joint.name}.{ENVELOPE_FIELD[field]}: {bound:g} is more than {register.name} holds"
            f" ({register.max_value * register.scale:.4g})"
        )
    if register.counts_below(bound) < 1:
        raise InvalidServo(
            f"envelope.{joint.name}.{ENVELOPE_FIELD[field]}: {bound:g} is less than one count of"
            f" {register.name} ({register.scale:.3g})"
        )


def envelope_registers(robot: ServoRobot) -> dict[int, dict[str, int]]:
    """The envelope as EEPROM values by ID and register: torque, velocity, position, mode, the robot's own.

    Raises `InvalidServo` for an entry of ``eeprom`` that a servo does not have or cannot hold.
    """
    result = {}
    for joint in robot.joints:
        servo, limits = joint.servo, robot.limits(joint.name)
        values = {"operating_mode": servo.operating_mode}
        for field, registers in servo.limits.items():
            if registers.eeprom is not None:
                register = servo.register(registers.eeprom)
                values[register.name] = register.counts_below(getattr(limits, ENVELOPE_FIELD[field]))
        values["min_position_limit"], values["max_position_limit"] = position_counts(joint, limits)
        if joint.homing_offset is not None:
            values["homing_offset"] = joint.homing_offset
        for name, value in {**robot.eeprom, **joint.eeprom}.items():
            register = servo.register(name)
            if register.area == "eeprom":
                values[name] = value
        for name, value in values.items():
            servo.register(name).encode(value)
        result[joint.id] = values
    return result


def position_counts(joint: JointConfig, limits: ChannelEnvelope) -> tuple[int, int]:
    """Smallest and largest count inside the envelope's range, rounded inwards."""
    radians = joint.servo.radians_per_count
    assert limits.min_position is not None
    assert limits.max_position is not None
    ends = (limits.min_position * joint.direction, limits.max_position * joint.direction)
    low = math.ceil(joint.home + min(ends) / radians - 1e-9)
    high_ = math.floor(joint.home + max(ends) / radians + 1e-9)
    return low, high_


def stop_acceleration(joint: JointConfig, limits: ChannelEnvelope) -> int:
    """Acceleration of a stop, counts: at least the stop deceleration, within the envelope."""
    register = joint.servo.register(joint.servo.limits["acceleration"].ram)
    assert limits.stop_deceleration is not None
    assert limits.max_acceleration is not None
    smallest = math.ceil(limits.stop_deceleration / register.scale - 1e-9)
    largest = register.counts_below(max(limits.max_acceleration, limits.stop_deceleration))
    return max(1, min(smallest, largest))


def _text(value: Value) -> str:
    return f"{high(value):g}"
