"""The simulated robot as a process: it follows commands, has a time-out of its own, publishes its sensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, JointState, LaserScan
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from visualization_msgs.msg import MarkerArray

from tests.hardware.ros_world import Partner, World, a_world, partnered

pytestmark = pytest.mark.realtime

SENSORS = {
    "odom": Odometry,
    "scan": LaserScan,
    "imu": Imu,
    "joint_states": JointState,
    "objects": MarkerArray,
    "image": Image,
    "/clock": Clock,
}


class Robot(Partner):
    def __init__(self, world: World) -> None:
        super().__init__(world, "cmd_vel", "nothing")
        self.sensors: dict[str, list] = {name: [] for name in SENSORS}
        for name, kind in SENSORS.items():
            self.node.create_subscription(kind, name, self.sensors[name].append, 10)
        self.effort_limit = self.node.create_publisher(Float64MultiArray, "effort_limit", 1)
        self.process = world.start("bridge.ros.plant_node", course="corner", camera_every=5)
        self.until(lambda: all(self.sensors.values()))

    @property
    def forward(self) -> float:
        return self.sensors["odom"][-1].twist.twist.linear.x


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    yield from partnered(Robot)


def test_every_sensor_publishes_with_frames_units_and_simulated_stamps(robot: Robot) -> None:
    robot.sensors["/clock"].clear()  # every try takes its own
    robot.until(lambda: len(robot.sensors["/clock"]) >= 5)
    scan, odom, imu = (robot.sensors[name][-1] for name in ("scan", "odom", "imu"))
    assert len(scan.ranges) == 32
    assert scan.angle_max - scan.angle_min == pytest.approx(31 * scan.angle_increment, rel=1e-5)
    assert all(math.isinf(r) or 0.0 < r <= scan.range_max for r in scan.ranges)
    assert (odom.header.frame_id, odom.child_frame_id) == ("odom", "base_link")
    assert imu.linear_acceleration.z == pytest.approx(9.81, abs=0.5)
    assert robot.sensors["joint_states"][-1].name == ["left_wheel_joint", "right_wheel_joint"]
    image = robot.sensors["image"][-1]
    assert len(image.data) == image.height * image.width * 3
    clocks = [message.clock.sec + 1e-9 * message.clock.nanosec for message in robot.sensors["/clock"]]
    steps = {round(after - before, 6) for before, after in pairwise(clocks)}
    assert steps == {0.05}


def test_it_follows_commands_and_stops_by_itself_when_commands_cease(robot: Robot) -> None:
    robot.until(lambda: robot.forward == pytest.approx(0.3, abs=0.03), lambda: robot.send(0.3))
    robot.until(lambda: abs(robot.forward) < 0.01)
    assert robot.process.poll() is None


def test_a_command_that_is_none_moves_nothing(robot: Robot) -> None:
    robot.until(lambda: abs(robot.forward) < 0.01)
    for value in (math.nan, math.inf, 1e308):
        for _ in range(5):
            robot.send(value)
            robot.spin(0.05)
    assert abs(robot.forward) < 0.01
    assert "must be" in robot.world.output(robot.process)


def test_an_effort_limit_takes_effect(robot: Robot) -> None:
    robot.until(lambda: abs(robot.forward) < 0.01)
    robot.until(lambda: robot.effort_limit.get_subscription_count() > 0)
    robot.effort_limit.publish(Float64MultiArray(data=[0.0, 0.0]))
    for _ in range(20):
        robot.send(-0.3)
        robot.spin(0.05)
    assert abs(robot.forward) < 0.05
    robot.effort_limit.publish(Float64MultiArray(data=[math.inf, math.inf]))
    robot.until(lambda: robot.forward < -0.25, lambda: robot.send(-0.3))


def test_an_arm_follows_joint_trajectories_and_holds_where_it_is_when_commands_cease() -> None:
    with a_world() as world:
        partner = Partner(world, "nothing", "nothing_either")
        joints: list[JointState] = []
        partner.node.create_subscription(JointState, "joint_states", joints.append, 10)
        out = partner.node.create_publisher(JointTrajectory, "cmd_vel", 1)
        world.start("bridge.ros.plant_node", robot="panda", course="corner", command_type="joint_trajectory")
        partner.until(lambda: bool(joints))
        names, begin = list(joints[0].name), np.array(joints[0].position)

        def turn(angle: float) -> None:
            point = JointTrajectoryPoint(positions=(begin + np.array([angle, *[0.0] * 6])).tolist())
            message = JointTrajectory(joint_names=names, points=[point])
            message.header.stamp = partner.message(0.0).header.stamp
            out.publish(message)

        partner.until(lambda: joints[-1].position[0] - begin[0] > 0.3, lambda: turn(0.8))
        partner.until(lambda: max(map(abs, joints[-1].velocity)) < 0.02)
        held = joints[-1].position[0]
        partner.spin(0.5)
        assert joints[-1].position[0] == pytest.approx(held, abs=0.01)
        assert 0.3 < held - begin[0] < 0.85
        partner.close()


def test_in_lockstep_each_step_waits_for_its_command() -> None:
    with a_world() as world:
        partner = Partner(world, "cmd_vel", "nothing")
        stamps: list = []
        partner.node.create_subscription(Odometry, "odom", lambda m: stamps.append(m.header.stamp), 10)
        world.start("bridge.ros.plant_node", course="corner", real_time_factor=0.0, lockstep_wait=3.0)
        partner.until(lambda: len(stamps) == 1)
        partner.spin(0.5)
        assert len(stamps) == 1
        for number in range(2, 12):
            message = TwistStamped()
            message.header.stamp, message.twist.linear.x = stamps[-1], 0.2
            partner.publisher.publish(message)
            partner.until(lambda number=number: len(stamps) == number)
        partner.close()


def test_a_plant_without_a_clock_cannot_run_faster() -> None:
    with a_world() as world:
        process = world.start(
            "bridge.ros.plant_node", course="corner", publish_clock=False, real_time_factor=2.0
        )
        assert "real_time_factor = 2.0" in world.refusal(process)
