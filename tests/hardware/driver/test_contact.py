"""Contact at the effort limit, and a jam: what the driver goes on with, and what it latches; in lockstep."""

from __future__ import annotations

import math

import pytest

from nerfbot.hardware.driver.guards import CONTACT_TIME, PRESSING_MARGIN
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec
from tests.hardware.lockstep import LockstepArm, lame

ROBOTS = ("so101", "koch")
LIFTED = (1.0, 1.0, 0.0, 0.0)
PAN, GRIPPER = 0, 5
AHEAD = 0.5


def make(name, joint, levels=(0.0,) * 4):
    """A running arm, an obstacle 0.2 rad below its joint number ``joint``, and a goal behind that."""
    robot = ServoRobot.load(name)
    arm = LockstepArm(robot, NerfSpec.load(f"{name}-weak"), {"gripper": 1.0})
    arm.levels = levels
    for _ in range(120):
        if arm.state.get("phase") != "run":
            arm.actuate(arm.state["position"])
        arm.read()
    assert arm.state["phase"] == "run", arm.state
    servo, radians = arm.emulator.servos[joint], arm.state["position"][joint]
    sign = robot.joints[joint].direction
    block = servo.motor.angle - sign * 0.2
    servo.motor.stops = (block, math.inf) if sign > 0 else (-math.inf, block)
    return arm, servo, [*arm.state["position"][:joint], radians - AHEAD, *arm.state["position"][joint + 1 :]]


def press(arm, goal, seconds):
    """Command ``goal`` for so long, or until the arm latches; how long it took (s), and what is latched."""
    began = arm.port.now
    arm.actuate(goal)
    while arm.port.now - began < seconds and not arm.state["latched"]:
        arm.read()
    return arm.port.now - began, arm.state["latched"]


@pytest.mark.parametrize("levels", [(0.0,) * 4, LIFTED], ids=["nerfed", "lifted"])
@pytest.mark.parametrize("name", ROBOTS)
def test_a_gripper_holds_an_object(name, levels):
    arm, servo, goal = make(name, GRIPPER, levels)
    _, latched = press(arm, goal, 6.0)
    assert latched == ""
    assert arm.state["phase"] == "run"
    assert arm.driver.joints[GRIPPER].pressing_for > 4.0
    before = servo.motor.angle
    press(arm, [*goal[:GRIPPER], 1.0], 1.5)
    assert abs(servo.motor.angle - before) > 0.15, "and it opens again"


@pytest.mark.parametrize("name", ROBOTS)
def test_a_gripper_that_gets_hot_or_does_not_push_is_latched(name):
    arm, servo, goal = make(name, GRIPPER)
    press(arm, goal, 1.5)
    servo.motor.temperature = servo.values["temperature_limit"] - PRESSING_MARGIN + 2.0
    assert "gripper: presses" in press(arm, goal, 0.5)[1]
    arm, servo, goal = make(name, GRIPPER)
    lame(servo)
    took, latched = press(arm, goal, 2.0)
    assert "does not push" in latched
    assert took < 1.0


@pytest.mark.parametrize("name", ROBOTS)
def test_an_arm_joint_may_press_for_a_moment_and_not_for_long(name):
    arm, _, goal = make(name, PAN)
    took, latched = press(arm, goal, 4.0)
    assert "shoulder_pan: presses" in latched
    assert CONTACT_TIME < took < CONTACT_TIME + 0.8
    arm, servo, goal = make(name, PAN)
    assert press(arm, goal, CONTACT_TIME)[1] == ""
    servo.motor.stops = (-math.inf, math.inf)
    assert press(arm, goal, 2.0)[1] == ""
    assert arm.state["position"][PAN] == pytest.approx(goal[PAN], abs=0.05)


@pytest.mark.parametrize("name", ROBOTS)
def test_a_jam_with_more_than_a_sustained_effort_is_latched_at_once(name):
    arm, _, goal = make(name, PAN, LIFTED)
    took, latched = press(arm, goal, 3.0)
    assert "shoulder_pan: stuck" in latched
    assert "more than" in latched
    assert took < CONTACT_TIME
