"""Command messages are read whole or refused whole, and written as they are read."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Twist, TwistStamped
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.ros.command_messages import COMMAND_TYPES, stamp_of
from nerfbot.limits import Channel

BASE = (Channel("linear.x", "velocity", "m/s"), Channel("angular.z", "velocity", "rad/s"))
ARM = (Channel("shoulder", "position", "rad"), Channel("elbow", "position", "rad"))
CHANNELS = {"twist": BASE, "twist_stamped": BASE, "float64_multi_array": ARM, "joint_trajectory": ARM}


@pytest.mark.parametrize("name", COMMAND_TYPES)
def test_what_is_written_is_read(name: str) -> None:
    kind = COMMAND_TYPES[name]
    message = kind.message_class()()
    kind.write(message, [0.25, -0.5], CHANNELS[name])
    assert kind.read(message, CHANNELS[name]) == [0.25, -0.5]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
@pytest.mark.parametrize("name", COMMAND_TYPES)
def test_a_number_that_is_no_command_is_named(name: str, value: float) -> None:
    kind = COMMAND_TYPES[name]
    message = kind.message_class()()
    kind.write(message, [0.25, value], CHANNELS[name])
    with pytest.raises(InvalidCommand, match=CHANNELS[name][1].name.replace(".", r"\.")):
        kind.read(message, CHANNELS[name])


def test_a_part_of_a_twist_that_the_robot_lacks_must_be_zero() -> None:
    message = Twist()
    message.linear.y = 0.1
    with pytest.raises(InvalidCommand, match=r"linear\.y = 0\.1: the robot has no such channel"):
        COMMAND_TYPES["twist"].read(message, BASE)
    message.linear.y = math.nan
    with pytest.raises(InvalidCommand, match=r"linear\.y = nan"):
        COMMAND_TYPES["twist"].read(message, BASE)


@pytest.mark.parametrize("data", [[], [0.1], [0.1, 0.2, 0.3]])
def test_an_array_of_another_length_is_refused(data: list[float]) -> None:
    with pytest.raises(InvalidCommand, match="must have 2 numbers"):
        COMMAND_TYPES["float64_multi_array"].read(Float64MultiArray(data=data), ARM)


def trajectory(names: list[str], *points: list[float]) -> Any:
    return JointTrajectory(
        joint_names=names, points=[JointTrajectoryPoint(positions=numbers) for numbers in points]
    )


def a_point(**fields: Any) -> Any:
    return JointTrajectory(joint_names=["shoulder", "elbow"], points=[JointTrajectoryPoint(**fields)])


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (trajectory([], [0.1, 0.2]), "joint_names"),
        (trajectory(["shoulder", "shoulder"], [0.1, 0.2]), "given twice"),
        (trajectory(["shoulder", "wrist"], [0.1, 0.2]), "joint_names"),
        (trajectory(["shoulder"], [0.1]), "joint_names"),
        (trajectory(["shoulder", "elbow"]), "points: must be one"),
        (trajectory(["shoulder", "elbow"], [0.1, 0.2], [0.1, 0.2]), "points: must be one"),
        (trajectory(["shoulder", "elbow"], []), "positions: must have 2"),
        (
            a_point(positions=[0.1, 0.2], velocities=[0.1]),
            r"velocities: must have 2 numbers, got 1",
        ),
        (a_point(positions=[0.1, 0.2], velocities=[0.1, math.nan]), r"velocities\[elbow\] = nan"),
        (a_point(positions=[0.1, 0.2], accelerations=[math.inf, 0.0]), r"accelerations\[shoulder\] = inf"),
        (a_point(positions=[0.1, 0.2], effort=[0.0, 1e9]), r"effort\[elbow\] = 1e\+09"),
        (a_point(velocities=[0.1, 0.2]), "positions: must have 2 numbers, got 0"),
        (a_point(positions=[0.1, 0.2], time_from_start=Duration(sec=-1)), "time_from_start = -1"),
        (trajectory(["shoulder", "elbow"], [0.1]), "positions: must have 2"),
    ],
)
def test_a_trajectory_that_is_not_one_whole_point_is_refused(message: Any, named: str) -> None:
    with pytest.raises(InvalidCommand, match=named):
        COMMAND_TYPES["joint_trajectory"].read(message, ARM)


def test_joints_are_found_by_name_in_any_order() -> None:
    message = trajectory(["elbow", "shoulder"], [0.1, 0.2])
    assert COMMAND_TYPES["joint_trajectory"].read(message, ARM) == [0.2, 0.1]


def test_a_point_is_due_after_a_period_as_joint_trajectory_controller_requires() -> None:
    message = JointTrajectory()
    COMMAND_TYPES["joint_trajectory"].write(message, [0.1, 0.2], ARM, 0.02)
    assert message.points[0].time_from_start == Duration(nanosec=20_000_000)
    COMMAND_TYPES["joint_trajectory"].write(message, [0.1, 0.2], ARM)
    assert message.points[0].time_from_start == Duration(nanosec=50_000_000)


def test_the_stamp_is_in_seconds_and_0_without_a_header() -> None:
    message = TwistStamped()
    message.header.stamp.sec, message.header.stamp.nanosec = 3, 500_000_000
    assert stamp_of(message) == 3.5
    assert stamp_of(Twist()) == 0.0
