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
from ..robot import ServoRobot
from .program import Emulator
from .pty_server import serve
from .register_map import EmulatedServo

END_STOP = 0.05
"""How far beyond the envelope's range the mechanical end stops of the emulated joints are, rad."""


def build(robot: ServoRobot, link: Path | None, **options: Any) -> Emulator:
    """An emulator of ``robot`` with its gravity; ``options`` are those of `Emulator`."""
    servos = [EmulatedServo(joint.servo, joint.id, joint.inertia) for joint in robot.joints]
    joints = {joint.name: (joint, servo) for joint, servo in zip(robot.joints, servos, strict=True)}
    for joint, servo in joints.values():
        home, limits = joint.home * joint.servo.radians_per_count, robot.limits(joint.name)
        ends = sorted(
            home + joint.direction * (end or 0.0) for end in (limits.min_position, limits.max_position)
        )
        servo.motor.stops = (ends[0] - END_STOP, ends[1] + END_STOP)
        servo.place(home, 0.0)

    def gravity(_: Sequence[EmulatedServo]) -> dict[int, float]:
        angles = {
            name: joint.direction * (servo.motor.angle - joint.home * joint.servo.radians_per_count)
            for name, (joint, servo) in joints.items()
        }
        torques = robot.gravity_torques(angles)
        return {joints[n][0].id: joints[n][0].direction * torque for n, torque in torques.items()}

    return Emulator(servos, link, robot.baud, gravity=gravity if robot.gravity else None, **options)


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal; returns 0, or 2 for bad input (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m nerfbot.hardware.emulator", description=__doc__)
    parser.add_argument("--robot", default="so101", help="a robot's name or YAML file")
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
            emulator = build(ServoRobot.load(options.robot), options.link, **common)
        if options.faults is not None:
            emulator.schedule(read_yaml(options.faults, InvalidServo) or [])
    except NerfbotError as problem:
        print(f"emulator: {problem}", file=sys.stderr)
        return 2
    serve(emulator, options.priority, options.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
