"""Calibration in LeRobot's file format.

`{joint: {"id", "drive_mode", "homing_offset", "range_min", "range_max"}}` in counts (LeRobot,
`lerobot.motors.motors_bus.MotorCalibration`). In both programs 0 rad is the middle of a joint's range.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfbot.declared import validate
from nerfbot.files import write_atomically
from nerfbot.limits import Envelope

from ..bus.bus import Bus
from ..errors import InvalidServo
from ..robot import JointConfig, ServoRobot
from .setup import torque_off

FIELDS = ("id", "drive_mode", "homing_offset", "range_min", "range_max")
HALF_TURN = 2047
"""Where LeRobot puts the middle of the range, counts."""

MIN_RANGE = 100
"""A joint that moves by less than this (counts) has not moved through its range."""


def calibrated(robot: ServoRobot, path: Path) -> ServoRobot:
    """``robot`` with the calibration in ``path``: homes, directions, offsets, and ranges.

    A calibration narrows the envelope and never widens it. Raises `InvalidServo`, one line, for a file of
    another robot or one that is not a calibration.
    """
    entries = _load(robot, path)
    joints, channels = [], dict(robot.envelope.channels)
    for joint in robot.joints:
        entry = entries[joint.name]
        home = round((entry["range_min"] + entry["range_max"]) / 2)
        changed = joint.model_copy(
            update={
                "home": home,
                "direction": -1 if entry["drive_mode"] else 1,
                "homing_offset": entry["homing_offset"],
            }
        )
        joints.append(changed)
        limits = robot.envelope.channel(joint.channel())
        ends = sorted((changed.radians(entry["range_min"]), changed.radians(entry["range_max"])))
        low, high = max(ends[0], limits.min_position or 0.0), min(ends[1], limits.max_position or 0.0)
        channels[joint.name] = limits.model_copy(update={"min_position": low, "max_position": high})
    data = robot.model_dump() | {
        "joints": [joint.model_dump() for joint in joints],
        "envelope": Envelope(channels=channels).model_dump(),
    }
    return validate(ServoRobot, data, str(path), InvalidServo)


def _load(robot: ServoRobot, path: Path) -> dict[str, dict[str, int]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise InvalidServo(f"{path}: cannot be read: {reason}") from None
    except ValueError:
        raise InvalidServo(f"{path}: is not JSON") from None
    if not isinstance(data, dict) or sorted(data) != sorted(robot.names):
        names = ", ".join(data) if isinstance(data, dict) else type(data).__name__
        raise InvalidServo(f"{path}: is not of {robot.name}: it has {names}, not {', '.join(robot.names)}")
    for joint in robot.joints:
        _check(path, joint, data[joint.name])
    return data


def _check(path: Path, joint: JointConfig, entry: Any) -> None:
    place = f"{path}: {joint.name}"
    if not isinstance(entry, dict) or sorted(entry) != sorted(FIELDS):
        raise InvalidServo(f"{place}: must have {', '.join(FIELDS)}")
    for name in FIELDS:
        if not isinstance(entry[name], int) or isinstance(entry[name], bool):
            raise InvalidServo(f"{place}.{name} = {entry[name]!r}: must be a whole number")
    if entry["id"] != joint.id:
        raise InvalidServo(f"{place}.id = {entry['id']}: the robot's is {joint.id}")
    if not 0 <= entry["range_min"] < entry["range_max"] < joint.servo.resolution:
        low, high = entry["range_min"], entry["range_max"]
        raise InvalidServo(f"{place}: range_min {low} must be below range_max {high}, both within a turn")
    joint.servo.register("homing_offset").encode(entry["homing_offset"])


@dataclass
class CalibrationRecorder:
    """Records a calibration: `set_middle`, then `update_ranges` while a hand moves the joints, then `save`.

    `set_middle` switches torque off; it stays off.
    """

    bus: Bus
    robot: ServoRobot
    offsets: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)

    def set_middle(self) -> dict[str, int]:
        """Make the present position the middle of each joint's range; returns the homing offsets, counts."""
        torque_off(self.bus)
        for joint in self.robot.joints:
            old = self.bus.read(joint.id, "homing_offset")
            present = self.bus.read(joint.id, "present_position")
            feetech = joint.servo.protocol == "feetech"
            actual = present + old if feetech else present - old
            offset = actual - HALF_TURN if feetech else HALF_TURN - actual
            self.bus.write_eeprom(joint.id, {"homing_offset": offset})
            self.offsets[joint.name] = offset
        return self.offsets

    def update_ranges(self) -> dict[str, tuple[int, int]]:
        """Read every joint once and widen its range."""
        for joint in self.robot.joints:
            present = self.bus.read(joint.id, "present_position")
            low, high = self.ranges.get(joint.name, (present, present))
            self.ranges[joint.name] = (min(low, present), max(high, present))
        return self.ranges

    def save(self, path: Path) -> None:
        """Write the file; raises `InvalidServo` for a joint that has not moved, or where it cannot write."""
        for name, (low, high) in self.ranges.items():
            if high - low < MIN_RANGE:
                raise InvalidServo(f"{name}: moved by {high - low} counts only: move it through its range")
        data = {
            joint.name: {
                "id": joint.id,
                "drive_mode": 0,
                "homing_offset": self.offsets[joint.name],
                "range_min": self.ranges[joint.name][0],
                "range_max": self.ranges[joint.name][1],
            }
            for joint in self.robot.joints
        }
        write_atomically(path, json.dumps(data, indent=4) + "\n", InvalidServo)
