"""Runs in an environment with LeRobot, not in ours: LeRobot's own motor bus answers questions.

`python lerobot_witness.py` reads a question as JSON on stdin: ``protocol``, ``models`` and ``calibration`` by
joint, ``unit``, ``counts`` to convert; with a ``port`` it drives the servos there to the middle of each count
list. It prints LeRobot's values of ``counts``, and what it read and reached.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from lerobot.motors import Motor, MotorCalibration, MotorNormMode
from lerobot.motors.dynamixel import DynamixelMotorsBus
from lerobot.motors.feetech import FeetechMotorsBus

BUSES = {"feetech": FeetechMotorsBus, "dynamixel": DynamixelMotorsBus}


def main() -> None:
    question = json.load(sys.stdin)
    body = MotorNormMode.DEGREES if question["unit"] == "degrees" else MotorNormMode.RANGE_M100_100
    calibration = {name: MotorCalibration(**entry) for name, entry in question["calibration"].items()}
    motors = {name: Motor(entry.id, question["models"][name], body) for name, entry in calibration.items()}
    motors["gripper"].norm_mode = MotorNormMode.RANGE_0_100
    bus = BUSES[question["protocol"]](question.get("port", "nowhere"), motors, calibration)
    answer: dict[str, Any] = {
        "values": {
            name: [bus._normalize({motors[name].id: count})[motors[name].id] for count in counts]
            for name, counts in question["counts"].items()
        }
    }
    if "port" in question:
        answer |= drive(bus, question["counts"])
    print(json.dumps(answer))


def drive(bus: Any, counts: dict[str, list[int]]) -> dict[str, Any]:
    bus.connect()
    bus.disable_torque()
    bus.write_calibration(bus.calibration)
    bus.configure_motors()
    before = bus.sync_read("Present_Position", normalize=False)
    bus.enable_torque()
    bus.sync_write(
        "Goal_Position", {name: row[len(row) // 2] for name, row in counts.items()}, normalize=False
    )
    time.sleep(2.0)
    reached, shown = bus.sync_read("Present_Position", normalize=False), bus.sync_read("Present_Position")
    bus.disconnect()
    return {"before": before, "reached": reached, "shown": shown}


main()
