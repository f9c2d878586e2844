"""One arm twice: the same commands under the same nerf move it alike in PyBullet and on the emulated bus.

Both on their own simulated time, so that a busy machine changes nothing. Tolerances are those of the project:
1 degree RMS and 3 degrees at most, by joint; a limit that is 20 % off in one of the two is found. The trace
moves the pitch joints one after the other: the emulator knows gravity, but not how one joint's acceleration
pushes another.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pybullet")

from nerfbot.hardware.emulator.motor import DAMPING, FRICTION, GAIN_PER_COUNT
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec
from nerfbot.sim.robots.arm import CYCLE, SimulatedArm
from nerfbot.sim.robots.description import RobotDescription
from tests.hardware.lockstep import LockstepArm

ROBOT = ServoRobot.load("so101")
SETTLE = 60
"""Cycles at 0 rad before the trace: what gravity does until torque is on has to be made up for."""

RMS, MOST = 1.0, 3.0  # degrees

COUNT = ROBOT.joints[0].servo.registers["torque_limit"].scale  # N·m; what a register cannot hold is no test
EFFORTS = {
    "shoulder_pan": 105,
    "shoulder_lift": 560,
    "elbow_flex": 350,
    "wrist_flex": 140,
    "wrist_roll": 105,
    "gripper": 180,
}

SPECS = {
    "velocity": {"*": {"velocity": 0.8}},
    "acceleration": {"*": {"acceleration": 2.5}},
    "effort": {
        name: {"effort": counts * COUNT, "velocity": 2.0 if name == "shoulder_lift" else 1.0}
        for name, counts in EFFORTS.items()
    },
}
"""By the limit that binds in it."""


def spec(limit, factor=1.0):
    """The specification in which ``limit`` binds, that limit times ``factor`` on every joint."""
    channels = {
        name: {field: value * (factor if field == limit else 1.0) for field, value in fields.items()}
        for name, fields in SPECS[limit].items()
    }
    return NerfSpec.parse({"name": limit, "channels": channels})


def trace():
    """Positions (cycles, joints) in rad."""
    t = np.arange(400) * CYCLE
    free = np.where(t < 2.4, 1.2, 0.2)
    lift = np.where(t < 1.1, 0.5, 0.0)
    elbow, wrist = np.where(t > 2.0, -0.7, 0.0), np.where(t > 2.6, -0.9, 0.0)
    return np.stack([free, lift, elbow, wrist, free, free], axis=1)


def driven(arm):
    """Where the joints of ``arm`` were in each cycle of the trace, (cycles, joints) in degrees."""
    for _ in range(SETTLE):
        arm.actuate([0.0] * 6)
        arm.read()
    positions = []
    for row in trace():
        arm.actuate(row)
        positions.append(arm.read()["position"])
    return np.degrees(positions)


def simulated(nerf):
    with SimulatedArm("so101", nerf) as arm:
        return driven(arm)


def emulated(nerf):
    arm = LockstepArm(ROBOT, nerf)
    positions = driven(arm)
    assert arm.state["phase"] == "run"
    return positions


def differ(one, other):
    """RMS and largest difference by joint, degrees; a bus reads a cycle's beginning, the other its end."""
    off = one[:-1] - other[1:]
    return np.sqrt(np.mean(off**2, axis=0)), np.abs(off).max(axis=0)


@pytest.mark.parametrize("limit", SPECS)
def test_both_arms_move_alike_and_a_limit_that_is_a_fifth_off_is_found(limit):
    on_the_bus = emulated(spec(limit))
    rms, most = differ(simulated(spec(limit)), on_the_bus)
    assert (rms <= RMS).all(), rms
    assert (most <= MOST).all(), most
    for factor in (0.8, 1.2):
        rms, most = differ(simulated(spec(limit, factor)), on_the_bus)
        assert ((rms > RMS) | (most > MOST)).all(), (factor, rms, most)


def test_both_arms_move_alike_under_the_nerf_that_ships():
    nerf = NerfSpec.load("so101-weak")
    rms, most = differ(simulated(nerf), emulated(nerf))
    assert (rms <= RMS).all(), rms
    assert (most <= MOST).all(), most


def test_both_have_the_same_servo():
    """The loop of the emulated firmware in SI units is what the simulated arm's file states."""
    model, motor = RobotDescription.load("so101").channels[0].servo, ROBOT.joints[0].servo.motor
    assert model is not None
    assert (model.stall_torque, model.no_load_velocity) == (motor.stall_torque, motor.no_load_velocity)
    per_radian = GAIN_PER_COUNT * ROBOT.eeprom["position_p"] / ROBOT.joints[0].servo.radians_per_count
    assert model.stiffness == pytest.approx(per_radian * motor.stall_torque, rel=0.005)
    assert model.damping == pytest.approx(DAMPING * motor.stall_torque, rel=0.005)
    assert model.friction == pytest.approx(FRICTION * motor.stall_torque, rel=0.01)
