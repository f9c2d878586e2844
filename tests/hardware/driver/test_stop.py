"""How an arm comes to rest: driver and emulator in lockstep, cycle by cycle."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec
from tests.hardware.lockstep import LockstepArm

PAN, LIFT, ROLL = 0, 1, 4
LEVEL = [0.0, 1.4, -1.4, 0.0, 0.0, 0.0]  # stretched out: gravity pulls most
FAST = (1.0, 1.0, 0.0, 0.0)


@pytest.fixture
def arm():
    """A lifted arm at rest at 0 rad."""
    arm = LockstepArm(ServoRobot.load("so101"), NerfSpec.load("so101-weak"))
    arm.levels = FAST
    go(arm, [0.0] * 6, 120)
    assert arm.state["phase"] == "run"
    return arm


def go(arm, goal, cycles):
    """Command ``goal`` (rad) for so many cycles; the true angles, (cycles, joints) in rad."""
    angles = []
    for _ in range(cycles):
        arm.actuate(goal)
        arm.read()
        angles.append([servo.motor.angle - np.pi for servo in arm.emulator.servos])
    return np.array(angles)


def estop(arm):
    """From now on every permit is an emergency stop."""
    arm.stop = "estop: test"


def test_a_stop_at_full_speed_does_not_pull_the_arm_back(arm):
    """The goal follows what is measured while the arm slows down, instead of calling it back."""
    go(arm, [1.8, 0.0, 0.0, 0.0, 1.8, 0.0], 45)
    assert abs(arm.state["velocity"][PAN]) > 2.0
    estop(arm)
    path = go(arm, [1.8, 0.0, 0.0, 0.0, 1.8, 0.0], 100)
    assert arm.state["phase"] == "hold"
    for joint in (PAN, ROLL):
        assert path[:, joint].max() - path[-1, joint] < 0.04
        assert path[-1, joint] < 1.6


def test_a_stop_does_not_let_a_loaded_arm_sink(arm):
    go(arm, LEVEL, 200)
    before = go(arm, LEVEL, 1)[-1, LIFT]
    estop(arm)
    path = go(arm, LEVEL, 150)
    assert arm.state["phase"] == "hold"
    assert abs(path[:, LIFT] - before).max() < 0.03


def test_a_servo_whose_torque_is_off_gets_no_goal_that_would_switch_it_on(arm):
    servo = arm.emulator.servos[ROLL]
    servo.values["torque_enable"] = 0  # and a goal would bring it back, as on a Feetech
    go(arm, [0.5] * 6, 20)
    assert servo.values["torque_enable"] == 0
    assert "torque-dropped" in arm.state["latched"]
