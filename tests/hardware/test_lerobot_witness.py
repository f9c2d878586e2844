"""LeRobot's own code as a witness: its conversion of published calibrations, and its bus on the emulator.

It needs LeRobot in an environment of its own (`make lerobot`), because its dependencies are not ours.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from nerfbot.hardware.lerobot import calibrated, lerobot_scales
from nerfbot.hardware.robot import ServoRobot
from tests.hardware.test_lerobot import COUNT, FILES, FOLDER, NEW, entries

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("NERFBOT_LEROBOT", ROOT / "build" / "lerobot" / "bin" / "python"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="LeRobot is not installed: `make lerobot` does it"),
]


def ask(name, unit="degrees", **more):
    """What LeRobot says about the calibration ``name``: see `lerobot_witness`."""
    robot, data = ServoRobot.load(FILES[name]), entries(name)
    question = {
        "protocol": robot.protocol,
        "models": {joint.name: joint.model for joint in robot.joints},
        "calibration": data,
        "unit": unit,
        "counts": {
            joint: [
                entry["range_min"],
                (3 * entry["range_min"] + entry["range_max"]) // 4,
                entry["range_max"],
            ]
            for joint, entry in data.items()
        },
        **more,
    }
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("lerobot_witness.py")],
        input=json.dumps(question), env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return question, json.loads(done.stdout)


@pytest.mark.parametrize("unit", ["degrees", "percent"])
@pytest.mark.parametrize("name", NEW)
def test_lerobot_converts_a_position_as_we_do(name, unit):
    question, answer = ask(name, unit)
    robot = calibrated(ServoRobot.load(FILES[name]), FOLDER / f"{name}.json")
    for joint, scale in zip(robot.joints, lerobot_scales(robot, FOLDER / f"{name}.json", unit), strict=True):
        for counts, value in zip(question["counts"][joint.name], answer["values"][joint.name], strict=True):
            assert scale.from_radians(joint.radians(counts)) == pytest.approx(value, abs=1e-9)
            assert abs(scale.to_radians(value) - joint.radians(counts)) <= COUNT


def test_lerobots_motor_bus_drives_the_emulator(emulate):
    name = "so101_follower"
    emulated = emulate("so101", options=["--calibration", str(FOLDER / f"{name}.json")])
    question, answer = ask(name, port=str(emulated.port))
    robot = calibrated(ServoRobot.load("so101"), FOLDER / f"{name}.json")
    scales = lerobot_scales(robot, FOLDER / f"{name}.json")
    for joint, scale in zip(robot.joints, scales, strict=True):
        lifts = robot.holding_effort(joint.name) > 0.0  # it sinks without torque, and sags with it
        assert lifts or abs(answer["before"][joint.name] - joint.counts(0.0)) <= 8
        off = abs(answer["reached"][joint.name] - question["counts"][joint.name][1])
        assert off < (120 if lifts else 12), joint.name
        seen = joint.radians(emulated.state()[joint.id]["values"]["present_position"])
        assert lifts or abs(scale.to_radians(answer["shown"][joint.name]) - seen) < 0.05
