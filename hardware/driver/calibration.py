"""Recording a calibration in LeRobot's file format; `hardware/lerobot.py` reads one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from nerfbot.files import write_atomically

from ..bus.bus import Bus
from ..errors import InvalidServo
from ..lerobot import EXTENDED_POSITION, POSITION
from ..robot import ServoRobot
from .setup import REVERSED, torque_off

HALF_TURN = 2047
"""Where LeRobot puts the middle of the range, counts."""

MIN_RANGE = 100
"""A joint that moves by less than this (counts) has not moved through its range."""


@dataclass
class CalibrationRecorder:
    """Records a calibration: `set_middle`, then `update_ranges` while a hand moves the joints, then `save`.

    `set_middle` switches torque off; it stays off.
    """

    bus: Bus
    robot: ServoRobot
    offsets: dict[str, int] = field(default_factory=dict)
    drive_modes: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)

    def set_middle(self) -> dict[str, int]:
        """Make the present position the middle of each joint's range; returns the homing offsets, counts."""
        torque_off(self.bus)
        for joint in self.robot.joints:
            id, feetech = joint.id, joint.servo.protocol == "feetech"
            if not feetech and joint.servo.operating_mode == POSITION:  # which ignores a large offset
                self.bus.write_eeprom(id, {"operating_mode": EXTENDED_POSITION})
            old, present = self.bus.read(id, "homing_offset"), self.bus.read(id, "present_position")
            offset = present + old - HALF_TURN if feetech else HALF_TURN - (present - old)
            if feetech:  # the encoder wraps: every offset has a twin a turn away, and one of them fits
                turn, register = joint.servo.resolution, joint.servo.register("homing_offset")
                offset = (offset + turn // 2) % turn - turn // 2
                offset = max(register.low, offset)  # half a turn exactly: a count less
            self.bus.write_eeprom(id, {"homing_offset": offset})
            self.offsets[joint.name] = offset
            self.drive_modes[joint.name] = 0 if feetech else self.bus.read(id, "drive_mode") & REVERSED
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
                "drive_mode": self.drive_modes.get(joint.name, 0),
                "homing_offset": self.offsets[joint.name],
                "range_min": self.ranges[joint.name][0],
                "range_max": self.ranges[joint.name][1],
            }
            for joint in self.robot.joints
        }
        write_atomically(path, json.dumps(data, indent=4) + "\n", InvalidServo)
