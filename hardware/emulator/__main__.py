"""Emulated servos on a pseudo terminal: `python -m nerfbot.hardware.emulator --link /tmp/bus`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nerfbot.errors import NerfbotError
from nerfbot.files import read_yaml

from ..bus.control_table import load_servo
from ..errors import InvalidServo
from ..lerobot import calibrated
from ..robot import ServoRobot
from .program import Emulator
from .pty_server import serve
from .register_map import EmulatedServo


def build(robot: ServoRobot, link: Path | None, **options: Any) -> Emulator:
    """An emulator of ``robot`` at 0 rad, with its end stops, gravity, and a calibration's EEPROM.

    ``options`` are those of `Emulator`.
    """
    servos = [EmulatedServo(joint.servo, joint.id, joint.inertia) for joint in robot.joints]
    joints = {joint.name: (joint, servo) for joint, servo in zip(robot.joints, servos, strict=True)}
    for joint, servo in joints.values():
        servo.eeprom |= {**joint.eeprom, "homing_offset": joint.homing_offset or 0}
        servo.power_on(0.0)
        scale = joint.direction / joint.servo.radians_per_count
        low, high = joint.stops or (-math.inf, math.inf)
        ends = sorted(servo.angle_of(joint.home + scale * end) for end in (low, high))
        servo.motor.stops = (ends[0], ends[1])
        servo.place(servo.angle_of(joint.home), 0.0)

    def gravity(_: Sequence[EmulatedServo]) -> dict[int, float]:
        angles = {name: joint.radians(servo.position) for name, (joint, servo) in joints.items()}
        torques = robot.gravity_torques(angles)
        return {
            joint.id: joint.direction * servo.sign * torques[name]
            for name, (joint, servo) in joints.items()
            if name in torques
        }

    return Emulator(servos, link, robot.baud, gravity=gravity if robot.gravity else None, **options)


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal; returns 0, or 2 for bad input (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m nerfbot.hardware.emulator", description=__doc__)
    parser.add_argument("--robot", default="so101", help="a robot's name or YAML file")
    parser.add_argument("--calibration", type=Path, help="the robot's, in LeRobot's format")
    parser.add_argument("--servo", action="append", default=[], metavar="MODEL:ID", help="instead of a robot")
    parser.add_argument("--link", required=True, type=Path, help="where the port's link is made")
    parser.add_argument("--log", type=Path, help="append the oracle log here")
    parser.add_argument("--control", type=Path, help="Unix datagram socket for faults and resets")
    parser.add_argument("--faults", type=Path, help="YAML list of faults, each with `at` in seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--baud", type=int, default=1_000_000)
    parser.add_argument("--priority", type=int, default=0, help="real-time priority: servos never wait")
    parser.add_argument("--parent", type=int, default=0, help="end when this process is not the parent")
    options = parser.parse_args(arguments)
    try:
        common = {"log": options.log, "control": options.control, "seed": options.seed}
        if options.servo:
            pairs = [text.partition(":") for text in options.servo]
            servos = [EmulatedServo(load_servo(model), int(id)) for model, _, id in pairs]
            for servo in servos:
                servo.place(math.pi, 0.0)
            emulator = Emulator(servos, options.link, options.baud, **common)
        else:
            robot = ServoRobot.load(options.robot)
            if options.calibration is not None:
                robot = calibrated(robot, options.calibration)
            emulator = build(robot, options.link, **common)
        if options.faults is not None:
            emulator.schedule(read_yaml(options.faults, InvalidServo) or [])
    except NerfbotError as problem:
        print(f"emulator: {problem}", file=sys.stderr)
        return 2
    serve(emulator, options.priority, options.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
