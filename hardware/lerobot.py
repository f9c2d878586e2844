"""LeRobot's calibrations and its units: the one place that converts them.

A calibration says, by joint, what a count means; LeRobot states positions in degrees from the middle of the
range, or in per cent of it. Nothing here imports LeRobot. Source: `lerobot.motors.motors_bus` (0.3 to 0.6),
`lerobot.common.robot_devices.motors` for files from before its calibration changed in June 2025.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nerfbot.declared import Declared, validate
from nerfbot.files import read_text
from nerfbot.limits import Envelope

from .errors import InvalidServo
from .robot import FIRMWARE_OFFSET, JointConfig, ServoRobot

Unit = Literal["degrees", "percent"]
Whole = Annotated[int, Field(strict=True)]

TURN_DEGREES = 360.0
POSITION, EXTENDED_POSITION = 3, 4
"""Operating modes of a Dynamixel. LeRobot sets the second on a Koch arm: any homing offset counts there."""

REVERSED = 1
"""Bit of a Dynamixel's Drive_Mode: the servo itself counts the other way round."""

OLD_FRAMES = {"shoulder_lift": (-1, 90.0), "elbow_flex": (1, -90.0)}
"""From an angle of an old calibration (arm stretched out level at 0) to one from the middle of the range:
sign and degrees (LeRobot, docs/source/backwardcomp.mdx)."""


class JointCalibration(Declared):
    """What LeRobot knows of a joint, counts: its ``MotorCalibration``."""

    id: Annotated[Whole, Field(ge=0, le=252)]
    drive_mode: Annotated[Whole, Field(ge=0, le=255)]
    homing_offset: Whole
    range_min: Whole
    range_max: Whole

    @model_validator(mode="after")
    def _check(self) -> JointCalibration:
        if self.range_min >= self.range_max:
            raise ValueError(f"range_min {self.range_min} must be below range_max {self.range_max}")
        return self


class OldCalibration(Declared):
    """A calibration from before June 2025: a list by field, in the order of ``motor_names``."""

    homing_offset: tuple[Whole, ...]
    drive_mode: tuple[Literal[0, 1], ...]
    start_pos: tuple[Whole, ...]
    end_pos: tuple[Whole, ...]
    calib_mode: tuple[Literal["DEGREE", "LINEAR"], ...]
    motor_names: tuple[str, ...]

    @model_validator(mode="after")
    def _check(self) -> OldCalibration:
        for name in type(self).model_fields:
            if len(getattr(self, name)) != len(self.motor_names):
                raise ValueError(f"{name}: must have {len(self.motor_names)} entries, one a motor")
        return self


def calibrated(robot: ServoRobot, path: Path) -> ServoRobot:
    """``robot`` with the calibration in ``path``: homes, directions, homing offsets, ranges, end stops.

    0 rad becomes the middle of a joint's range, for a gripper its closed end. A calibration narrows the
    envelope and never widens it. Raises `InvalidServo`, one line, for a file of another robot or one that is
    not a calibration.
    """
    data = _read(path)
    if isinstance(data, dict) and "motor_names" in data:
        joints = _joints_of_old(robot, validate(OldCalibration, data, str(path), InvalidServo), path)
    else:
        joints = [
            _calibrated_joint(joint, entry, path)
            for joint, entry in zip(robot.joints, _entries(robot, data, path), strict=True)
        ]
    channels = dict(robot.envelope.channels)
    for joint in joints:
        limits = robot.envelope.channel(joint.channel())
        turn = sorted((joint.radians(1), joint.radians(joint.servo.resolution - 2)))
        low, high = joint.stops or turn
        low = max(low, turn[0], limits.min_position or 0.0)
        high = min(high, turn[1], limits.max_position or 0.0)
        if low >= high:
            raise InvalidServo(f"{path}: {joint.name}: its range lies outside the envelope of {robot.name}")
        channels[joint.name] = limits.model_copy(update={"min_position": low, "max_position": high})
    changed = robot.model_dump() | {
        "joints": [joint.model_dump() for joint in joints],
        "envelope": Envelope(channels=channels).model_dump(),
    }
    return validate(ServoRobot, changed, str(path), InvalidServo)


@dataclass(frozen=True)
class LeRobotScale:
    """A calibrated ``joint`` (of `calibrated`) in LeRobot's unit: what its ``.pos`` of a joint means.

    ``unit``: LeRobot's `use_degrees`; a gripper is always in per cent, 0 closed. LeRobot's degree is
    360/4095 of a turn, and per cent run from -100 to 100 over the range.
    """

    joint: JointConfig
    entry: JointCalibration
    unit: Unit = "degrees"

    def from_radians(self, position: float) -> float:
        """LeRobot's value for ``position`` (rad)."""
        counts = self.joint.home + self.joint.direction * position / self.joint.servo.radians_per_count
        share = (counts - self.entry.range_min) / self._range
        if self.joint.zero == "closed":
            return 100.0 * (1.0 - share if self._reversed else share)
        if self.unit == "percent":
            return (200.0 * share - 100.0) * (-1.0 if self._reversed else 1.0)
        return (counts - self._middle) * self._degrees_per_count

    def to_radians(self, value: float) -> float:
        """The position (rad) of LeRobot's ``value``."""
        if self.joint.zero == "closed":
            share = value / 100.0
            counts = self.entry.range_min + (1.0 - share if self._reversed else share) * self._range
        elif self.unit == "percent":
            share = (-value if self._reversed else value) / 200.0 + 0.5
            counts = self.entry.range_min + share * self._range
        else:
            counts = self._middle + value / self._degrees_per_count
        return self.joint.radians(counts)

    @property
    def _range(self) -> int:
        return self.entry.range_max - self.entry.range_min

    @property
    def _middle(self) -> float:
        return (self.entry.range_min + self.entry.range_max) / 2

    @property
    def _degrees_per_count(self) -> float:
        return TURN_DEGREES / (self.joint.servo.resolution - 1)

    @property
    def _reversed(self) -> bool:
        return _is_reversed(self.joint, self.entry)


def lerobot_scales(robot: ServoRobot, path: Path, unit: Unit = "degrees") -> list[LeRobotScale]:
    """The scale of each joint of a ``robot`` that `calibrated` made from ``path``, in its order.

    Raises `InvalidServo` as `calibrated` does, and for a file from before June 2025.
    """
    data = _read(path)
    return [
        LeRobotScale(joint, entry, unit)
        for joint, entry in zip(robot.joints, _entries(robot, data, path), strict=True)
    ]


def _is_reversed(joint: JointConfig, entry: JointCalibration) -> bool:
    """Whether LeRobot inverts what the servo reports: a Dynamixel has done so itself, by its Drive_Mode."""
    return joint.servo.protocol == "feetech" and bool(entry.drive_mode)


def _calibrated_joint(joint: JointConfig, entry: JointCalibration, path: Path) -> JointConfig:
    place = f"{path}: {joint.name}"
    if entry.id != joint.id:
        raise InvalidServo(f"{place}.id = {entry.id}: the robot's is {joint.id}")
    if entry.range_min < 0 or entry.range_max >= joint.servo.resolution:
        ends = f"range_min {entry.range_min} and range_max {entry.range_max}"
        raise InvalidServo(f"{place}: {ends} must be within a turn, 0 to {joint.servo.resolution - 1}")
    joint.servo.register("homing_offset").encode(entry.homing_offset)
    direction: Literal[-1, 1] = -1 if _is_reversed(joint, entry) else 1
    closed = entry.range_max if direction < 0 else entry.range_min
    home = closed if joint.zero == "closed" else (entry.range_min + entry.range_max) / 2
    eeprom = dict(joint.eeprom)
    if joint.servo.protocol == "dynamixel":
        eeprom["drive_mode"] = entry.drive_mode & REVERSED
        if joint.servo.operating_mode == POSITION and abs(entry.homing_offset) > FIRMWARE_OFFSET:
            eeprom["operating_mode"] = EXTENDED_POSITION
    changed = joint.model_copy(
        update={
            "home": home, "direction": direction, "homing_offset": entry.homing_offset, "eeprom": eeprom,
        }
    )  # fmt: skip
    low, high = sorted((changed.radians(entry.range_min), changed.radians(entry.range_max)))
    full_turn = entry.range_max - entry.range_min >= joint.servo.resolution - 1
    return changed.model_copy(update={"stops": None if full_turn else (low, high)})


def _joints_of_old(robot: ServoRobot, old: OldCalibration, path: Path) -> list[JointConfig]:
    """The joints by an old calibration, whose counts are those of a servo without homing offset.

    Its start and end positions are poses, not ends of the range, but for a gripper's.
    """
    joints = []
    for joint in robot.joints:
        if joint.name not in old.motor_names:
            raise InvalidServo(f"{path}: is not of {robot.name}: it has no {joint.name}")
        k, turn = old.motor_names.index(joint.name), joint.servo.resolution
        start, end = old.start_pos[k], old.end_pos[k]
        stops = None
        if old.calib_mode[k] == "LINEAR":
            if start == end:
                raise InvalidServo(f"{path}: {joint.name}: start_pos = end_pos = {start}: has no range")
            direction, home = (1 if end > start else -1), float(start)
            stops = (0.0, abs(end - start) * joint.servo.radians_per_count)
        else:
            sign, degrees = OLD_FRAMES.get(joint.name, (1, 0.0))
            motor = -1 if old.drive_mode[k] else 1
            direction = motor * sign
            # degrees = sign * (motor * counts + homing_offset) * 360 / turn + degrees of the frame; 0 at home
            home = motor * (-sign * degrees * turn / TURN_DEGREES - old.homing_offset[k])
        joints.append(
            joint.model_copy(
                update={"home": home % turn, "direction": direction, "homing_offset": 0, "stops": stops}
            )
        )
    return joints


def _entries(robot: ServoRobot, data: Any, path: Path) -> list[JointCalibration]:
    """The entries of the robot's joints; other entries (a base's wheels) are left alone."""
    if not isinstance(data, dict) or not set(robot.names) <= set(data):
        names = ", ".join(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise InvalidServo(f"{path}: is not of {robot.name}: it has {names}, not {', '.join(robot.names)}")
    return [
        validate(JointCalibration, data[name], str(path), InvalidServo, where=name) for name in robot.names
    ]


def _read(path: Path) -> Any:
    text = read_text(path, InvalidServo)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidServo(f"{path}: is not JSON") from None
