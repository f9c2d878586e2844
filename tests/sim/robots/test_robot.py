from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand, MissingDependency
from nerfbot.sim.errors import InvalidRobot, UnknownChannel
from nerfbot.sim.physics import client as client_module
from nerfbot.sim.physics.client import Client
from nerfbot.sim.robots.description import RobotDescription
from nerfbot.sim.robots.robot import Robot

LANE = [
    "#################",
    "#...............#",
    "#S.............C#",
    "#...............#",
    "#################",
]

INF = math.inf


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


def write_robot(folder: Path, urdf: str, channels: str) -> Path:
    path = folder / "robot.yaml"
    path.write_text(f"name: test\nurdf: {urdf}\nfixed_base: true\nchannels:\n{channels}")
    return path


def load_cell(plant, ahead=0.4):
    """An immovable body before the robot; returns a function that gives the force on it in N."""
    client = plant.client
    x, y, _ = plant.robot.state.position
    shape = client.createCollisionShape(client.GEOM_BOX, halfExtents=(0.1, 0.4, 0.2))
    body = client.createMultiBody(0.0, shape, basePosition=(x + ahead + 0.1, y, 0.2))
    return lambda: sum(point[9] for point in client.getContactPoints(plant.robot.body, body))


@pytest.mark.parametrize("speed", [0.2, 0.5, 1.5, -0.5])
def test_the_body_reaches_the_commanded_speed_and_never_passes_it(yard, speed):
    plant = yard(LANE)
    plant.robot.place(3.0 if speed > 0 else 6.0, 1.25, 0.0)
    fastest = 0.0
    for _ in range(30):
        plant.step([speed, 0.0], [45.0, INF])
        fastest = max(fastest, abs(plant.robot.measured().velocity[0, 0]))
    assert plant.robot.measured().velocity[0, 0] == pytest.approx(speed, rel=0.01)
    assert fastest <= abs(speed) * 1.01


def test_the_turn_rate_reaches_the_command(yard):
    plant = yard(LANE)
    plant.robot.place(3.0, 1.25, 0.0)
    for _ in range(30):
        plant.step([0.0, 2.0], [45.0, INF])
    assert plant.robot.measured().velocity[0, 1] == pytest.approx(2.0, rel=0.01)


def test_a_robot_driven_straight_goes_straight(yard):
    plant = yard(LANE)
    for _ in range(100):
        plant.step([0.8, 0.0])
    assert plant.robot.state.position[0] > 4.0
    assert plant.robot.state.position[1] == pytest.approx(1.25, abs=0.005)


def test_wheels_beyond_their_speed_limit_slow_together_and_keep_the_curve(yard):
    plant = yard(LANE)
    plant.robot.actuate([1.5, 12.0])
    limits = [plant.client.getJointInfo(plant.robot.body, j)[11] for j in plant.robot.joint_indices]
    plant.robot.place(4.0, 1.25, 0.0)
    for _ in range(10):
        plant.step([1.5, 12.0])
    speeds = [abs(joint[1]) for joint in plant.robot.state.joints]
    assert max(speeds) <= limits[0] * 1.01
    forward, turning = plant.robot.measured().velocity[0]
    assert forward / turning == pytest.approx(0.125, rel=0.45)


@pytest.mark.parametrize("cap", [12.0, 20.0, 45.0])
def test_the_force_on_a_load_cell_is_the_effort_cap(yard, cap):
    plant = yard(LANE)
    force = load_cell(plant)
    for _ in range(60):
        plant.step([0.5, 0.0], [cap, INF])
    assert force() == pytest.approx(cap, rel=0.05)


def test_no_force_without_effort(yard):
    plant = yard(LANE)
    for _ in range(20):
        plant.step([1.0, 0.0], [0.0, INF])
    assert plant.robot.state.position[0] == pytest.approx(0.25 + 0.5, abs=1e-3)


def test_a_moment_cap_slows_turning(yard):
    rates = []
    for cap in (0.2, 2.0):
        plant = yard(LANE)
        plant.robot.place(4.0, 1.25, 0.0)
        for _ in range(4):
            plant.step([0.0, 2.0], [45.0, cap])
        rates.append(plant.robot.measured().velocity[0, 1])
    assert rates[0] < 0.5 * rates[1]


def test_the_robot_does_not_tip_when_it_pushes_with_45_newtons(yard):
    plant = yard(LANE)
    load_cell(plant)
    for _ in range(60):
        plant.step([0.5, 0.0], [45.0, INF])
    assert plant.robot.state.rotation[8] > math.cos(math.radians(2.0))


@pytest.mark.parametrize("bad", [[math.nan, 0.0], [INF, 0.0], [0.0], [0.0, 0.0, 0.0]])
def test_a_command_that_is_not_finite_or_of_the_wrong_size_does_not_reach_the_physics(yard, bad):
    plant = yard(LANE)
    before = plant.robot.read().position
    with pytest.raises(InvalidCommand, match="actuate"):
        plant.step(bad)
    assert plant.robot.read().position == before
    assert plant.time == 0.0


@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_an_effort_limit_below_zero_or_nan_is_refused(yard, limit):
    with pytest.raises(InvalidCommand, match=r"effort limit of linear\.x"):
        yard(LANE).step([0.0, 0.0], [limit, INF])


def test_an_unknown_channel_is_named_with_the_nearest(client):
    robot = Robot(client, RobotDescription.load("rover"))
    with pytest.raises(UnknownChannel, match=r"no 'linear\.y'; did you mean 'linear\.x'"):
        robot.index("linear.y")


def test_an_unknown_robot_lists_the_known_ones():
    with pytest.raises(
        InvalidRobot, match=r"none is called 'rower', and it is no YAML file; did you mean 'rover'"
    ):
        RobotDescription.load("rower")


def test_a_missing_urdf_is_one_line(client, tmp_path):
    row = "  - {name: a, mode: velocity, unit: rad/s}\n"
    with pytest.raises(InvalidRobot, match=r"test: urdf: no such file: .*nowhere\.urdf") as caught:
        Robot(client, RobotDescription.load(write_robot(tmp_path, "nowhere.urdf", row)))
    assert "\n" not in str(caught.value)


def test_a_joint_that_the_urdf_lacks_is_named_with_the_nearest(client, tmp_path):
    row = "  - {name: elbow, joint: panda_joint11, mode: velocity, unit: rad/s}\n"
    path = write_robot(tmp_path, "pybullet_data:franka_panda/panda.urdf", row)
    with pytest.raises(
        UnknownChannel, match=r"channels\.elbow: .*no 'panda_joint11'; did you mean 'panda_joint1"
    ):
        Robot(client, RobotDescription.load(path))


def test_a_urdf_effort_of_zero_asks_for_the_limit(client, tmp_path):
    row = "  - {name: wheel, joint: front_left_wheel, mode: velocity, unit: rad/s, velocity: 10}\n"
    path = write_robot(tmp_path, "pybullet_data:husky/husky.urdf", row)
    with pytest.raises(
        InvalidRobot, match=r"gives joint 'front_left_wheel' effort 0; state its effort limit"
    ):
        Robot(client, RobotDescription.load(path))


def panda(client, tmp_path, mode, unit, extra=""):
    row = f"  - {{name: base, joint: panda_joint1, mode: {mode}, unit: {unit}{extra}}}\n"
    path = write_robot(tmp_path, "pybullet_data:franka_panda/panda.urdf", row)
    return Robot(client, RobotDescription.load(path))


def test_a_position_joint_moves_no_faster_than_its_velocity_limit(client, tmp_path):
    robot = panda(client, tmp_path, "position", "rad", ", velocity: 0.5")
    fastest = 0.0
    for _ in range(480):
        robot.actuate([0.6])
        client.stepSimulation()
        fastest = max(fastest, abs(robot.read().joints[0][1]))
    assert robot.state.joints[0][0] == pytest.approx(0.6, abs=0.02)
    assert 0.4 < fastest <= 0.5 * 1.02


def test_an_effort_joint_never_passes_its_velocity_limit(client, tmp_path):
    robot = panda(client, tmp_path, "effort", "N·m", ", velocity: 0.8")
    fastest = 0.0
    for _ in range(240):
        robot.actuate([20.0])
        client.stepSimulation()
        fastest = max(fastest, robot.read().joints[0][1])
    assert fastest == pytest.approx(0.8, rel=0.02)


def test_an_effort_joint_moves_as_a_plain_torque_moves_it(client, tmp_path):
    robot = panda(client, tmp_path, "effort", "N·m")
    for _ in range(24):
        robot.actuate([2.0])
        client.stepSimulation()
    mine = robot.read().joints[0][1]
    robot.place(0.0, 0.0, 0.0)
    index = robot.joint_indices[0]
    client.setJointMotorControl2(robot.body, index, client.VELOCITY_CONTROL, force=0.0)
    for _ in range(24):
        client.setJointMotorControl2(robot.body, index, client.TORQUE_CONTROL, force=2.0)
        client.stepSimulation()
    assert mine == pytest.approx(robot.read().joints[0][1], rel=0.02)


def test_measured_arrays_have_one_row_and_one_column_a_channel(client):
    robot = Robot(client, RobotDescription.load("rover"))
    assert [part.shape for part in robot.measured()] == [(1, 2)] * 3


def test_a_missing_pybullet_is_one_line_that_says_what_to_do(monkeypatch):
    def fail(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(client_module.importlib, "import_module", fail)
    with pytest.raises(MissingDependency, match="needs pybullet") as caught:
        Client()
    assert "\n" not in str(caught.value)


def test_effort_is_measured_at_the_floor(yard):
    plant = yard(LANE)
    load_cell(plant)
    for _ in range(60):
        plant.step([0.5, 0.0], [20.0, INF])
    assert np.isclose(plant.robot.measured().effort[0, 0], 20.0, rtol=0.02)


def test_a_motor_without_force_measures_no_effort(yard):
    plant = yard(["#########", "#S.....C#", "#########"])
    plant.step([1.0, 0.0], [10.0, math.inf])
    pushing = plant.robot.measured().effort[0, 0]
    assert pushing > 1.0
    plant.step([1.0, 0.0], [0.0, math.inf])
    assert plant.robot.measured().effort[0].tolist() == [0.0, 0.0]


def test_a_joint_without_force_measures_no_effort(client, tmp_path):
    robot = panda(client, tmp_path, "effort", "N·m")
    for effort in (5.0, 0.0):
        robot.actuate([effort] * len(robot.channels))
        client.stepSimulation()
        robot.read()
        told = robot.measured().effort[0]
        assert (told != 0.0).all() == (effort != 0.0)
