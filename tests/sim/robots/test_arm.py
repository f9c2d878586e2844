"""The simulated SO-101-like arm: the same as on the servo bus, with limits that hold in its joints."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pybullet")

from nerfbot.errors import InvalidCommand, NerfbotError
from nerfbot.hardware.driver.servo_arm import ServoArm
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec
from nerfbot.sim.errors import InvalidRobot, UnknownChannel
from nerfbot.sim.plant.plant import Plant
from nerfbot.sim.robots.arm import CYCLE, SUBSTEPS, SimulatedArm
from nerfbot.sim.robots.description import RobotDescription
from tests.hardware.poses import poses

LEVEL = {"shoulder_lift": 1.5707963, "elbow_flex": -1.5707963}
"""The arm stretched out level."""


@pytest.fixture
def arm() -> Iterator[SimulatedArm]:
    with SimulatedArm("so101", "so101-weak") as made:
        yield made


def drive(arm: SimulatedArm, goal: list[float], cycles: int) -> np.ndarray:
    """Position, velocity and effort of every cycle, shape (cycles, 3, 6)."""
    found = []
    for _ in range(cycles):
        arm.actuate(goal)
        state = arm.read()
        found.append([state[name] for name in ("position", "velocity", "effort")])
    return np.array(found)


def test_has_the_methods_of_the_arm_on_a_bus_with_their_parameters() -> None:
    for name in ("actuate", "read", "measured", "channel", "hold", "close"):
        there, here = (inspect.signature(getattr(arm, name)) for arm in (ServoArm, SimulatedArm))
        assert list(here.parameters.values()) == list(there.parameters.values()), name


def test_is_the_arm_that_hangs_on_the_bus(arm: SimulatedArm) -> None:
    robot = ServoRobot.load("so101")
    assert [(c.name, c.mode, c.unit) for c in arm.channels] == [
        (c.name, c.mode, c.unit) for c in robot.channels()
    ]
    for channel in arm.channels:
        here, there = arm.limiter.envelope.channel(channel), robot.limits(channel.name)
        assert (here.holding_effort or 0.0) == pytest.approx(there.holding_effort, abs=0.002)
        assert here.model_copy(update={"holding_effort": there.holding_effort}) == there


def test_gravity_asks_for_the_same_torque_as_on_the_bus(arm: SimulatedArm) -> None:
    robot, body, zero = ServoRobot.load("so101"), arm.robot.body, [0.0] * 6
    for pose in poses(robot, 3):
        at = [pose.get(name, 0.0) for name in robot.names]
        needed = arm.client.calculateInverseDynamics(body, at, zero, zero)
        load = robot.gravity_torques(pose)
        for name, torque in zip(robot.names, needed, strict=True):
            assert -torque == pytest.approx(load.get(name, 0.0), abs=0.006)


def test_inertias_are_those_of_the_bus_with_the_arm_stretched(arm: SimulatedArm) -> None:
    stretched = [LEVEL.get(channel.name, 0.0) for channel in arm.channels]
    mass = np.array(arm.client.calculateMassMatrix(arm.robot.body, stretched))
    stated = [joint.inertia for joint in ServoRobot.load("so101").joints]
    assert np.diag(mass) == pytest.approx(stated, rel=0.15)


@pytest.mark.parametrize("joint", range(6))
def test_a_joint_moves_no_faster_and_drives_no_harder_than_the_nerf_allows(
    arm: SimulatedArm, joint: int
) -> None:
    seen = []
    step, index = arm.client.stepSimulation, arm.robot.joint_indices[joint]

    def watched() -> None:
        step()
        seen.append((arm.client.getJointState(arm.robot.body, index)[1], arm.robot.servos.load(index)))

    arm.client.stepSimulation = watched
    for goal in (0.7, 0.0):
        drive(arm, [goal if i == joint else 0.0 for i in range(6)], 100)
    speeds, drives = abs(np.array(seen)).T
    assert len(seen) == 200 * SUBSTEPS
    assert 0.97 < np.max(speeds) <= 1.0 * 1.06  # the loop overshoots its set point a little
    assert 0.3 < np.max(drives) <= (0.9 if joint in (0, 1) else 0.55) + 1e-9


def test_all_joints_together_drive_no_harder_than_the_nerf_allows(arm: SimulatedArm) -> None:
    drives = abs(drive(arm, [1.2, 1.4, -1.5, 1.0, 1.5, 1.2], 200)[:, 2]).max(axis=0)
    assert (drives <= np.array([0.9, 0.9, 0.55, 0.55, 0.55, 0.55]) + 1e-9).all()
    assert drives[2] == pytest.approx(0.55)


def test_a_lift_on_speed_lets_joints_move_as_fast_as_the_envelope(arm: SimulatedArm) -> None:
    arm.levels = (0.0, 1.0, 0.0, 0.0)
    # what the cap on effort leaves over back-EMF and friction: (0.9 - 0.038) / (1.912 / 5.445)
    assert drive(arm, [1.8, 0.0, 0.0, 0.0, 0.0, 0.0], 70)[:, 1, 0].max() == pytest.approx(2.45, rel=0.03)
    arm.levels = (1.0, 1.0, 0.0, 0.0)
    arm.place({})
    assert drive(arm, [1.8, 0.0, 0.0, 0.0, 0.0, 0.0], 60)[:, 1, 0].max() == pytest.approx(3.0, rel=0.1)


def test_a_loaded_joint_sags_by_its_torque_over_the_servos_stiffness(arm: SimulatedArm) -> None:
    arm.place(LEVEL)
    at = arm.state["position"]
    after = drive(arm, at, 400)[-1]
    servo = arm.description.channels[1].servo
    assert servo is not None
    sag = after[0, 1] - at[1]
    assert sag == pytest.approx(0.85 / servo.stiffness, abs=servo.friction / servo.stiffness + 2e-4)
    assert abs(after[1]).max() < 1e-3


def test_latency_acts_in_front_of_the_shaping() -> None:
    base = NerfSpec.load("so101-weak").model_dump(exclude_none=True)
    late = NerfSpec.parse({**base, "command": {"latency": 0.1}})
    with SimulatedArm("so101", late) as arm:
        moved = abs(drive(arm, [0.5, 0.0, 0.0, 0.0, 0.0, 0.0], 30)[:, 1, 0]) > 1e-3
    assert np.argmax(moved) * CYCLE == pytest.approx(0.1, abs=0.011)


def test_the_same_commands_give_the_same_motion_after_a_new_placing(arm: SimulatedArm) -> None:
    runs = []
    for _ in range(2):
        arm.place({"elbow_flex": 0.3})
        runs.append(drive(arm, [0.4, 0.3, 0.2, 0.1, 0.0, 0.5], 40))
    assert (runs[0] == runs[1]).all()


@pytest.mark.parametrize(
    ("value", "limit", "said"),
    [
        ([0.0] * 5, None, "has 6 channels, got 5 values"),
        ([0.0] * 5 + [float("nan")], None, "gripper must be finite, got nan"),
        ([0.0] * 6, [-1.0] * 6, "effort limit of shoulder_pan must be at least 0, got -1"),
    ],
)
def test_refuses_a_command_that_is_none(
    arm: SimulatedArm, value: list[float], limit: list[float] | None, said: str
) -> None:
    with pytest.raises(InvalidCommand, match=said):
        arm.actuate(value, limit)
    assert arm.read()["position"] == pytest.approx([0.0] * 6, abs=0.02)


def test_says_what_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidRobot, match="rover: fixed_base: an arm needs true, got false"):
        SimulatedArm("rover", "none")
    description = RobotDescription.load("so101")
    with pytest.raises(InvalidRobot, match="so101: envelope: an arm needs one"):
        SimulatedArm(description.model_copy(update={"envelope": None}))
    weak = NerfSpec.parse({"name": "limp", "channels": {"shoulder_lift": {"effort": 0.5}}})
    with pytest.raises(NerfbotError, match=r"0\.5 is below the envelope's holding_effort 0\.85"):
        SimulatedArm(description, weak)
    row = {**description.channels[0].model_dump(exclude_none=True), "mode": "velocity", "unit": "rad/s"}
    with pytest.raises(
        InvalidRobot, match=r"shoulder_pan\.servo: a course's physics steps of 4\.2 ms are too"
    ):
        Plant("corner", description)
    (tmp_path / "arm.yaml").write_text(f"name: arm\nurdf: {description.urdf_path()}\nchannels: [{row}]\n")
    with pytest.raises(InvalidRobot, match="needs mode position, unit rad, got velocity, rad/s"):
        RobotDescription.load(tmp_path / "arm.yaml")


def test_names_a_joint_that_it_does_not_have(arm: SimulatedArm) -> None:
    with pytest.raises(UnknownChannel, match="no channel 'elbow'; did you mean 'elbow_flex'"):
        arm.place({"elbow": 0.1})
