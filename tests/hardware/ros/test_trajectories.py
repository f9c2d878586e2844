"""An arm under ros2_control behind the nerf: what its controller accepts, and whole trajectories."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from builtin_interfaces.msg import Duration
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tests.hardware.ros_world import TWIST_LIMITS, Partner, World, a_world, partnered

pytestmark = pytest.mark.realtime

JOINTS = ("shoulder", "elbow")
LIMITS = {
    "min_position": -3.0,
    "max_position": 3.0,
    "max_velocity": 2.0,
    "max_acceleration": 10.0,
    "max_deceleration": 10.0,
}
SPEC = """
name: slow-arm
channels:
  "*": {velocity: {nerfed: 0.3, lifted: 2.0}}
"""


def seconds(value: float) -> Duration:
    return Duration(sec=int(value), nanosec=round((value - int(value)) * 1e9))


def trajectory(*points: tuple[float, list[float]], names: tuple[str, ...] = JOINTS) -> JointTrajectory:
    rows = [JointTrajectoryPoint(positions=row, time_from_start=seconds(due)) for due, row in points]
    return JointTrajectory(joint_names=list(names), points=rows)


class Arm(Partner):
    """A controller that follows each message that it accepts, and broadcasts its joints."""

    def __init__(self, world: World, **more: Any) -> None:
        super().__init__(world, "unused", "unused_too", "permit.nerf")
        (world.folder / "spec.yaml").write_text(SPEC)
        self.position = [0.0, 0.0]
        self.path: list[tuple[float, float]] = []
        self.accepted = self.rejected = 0
        self.node.create_subscription(JointTrajectory, "cmd_vel_nerfed", self.follow, 100)
        self.states = self.node.create_publisher(JointState, "joint_states", 10)
        self.commands = self.node.create_publisher(JointTrajectory, "cmd_vel_policy", QoSProfile(depth=10))
        self.process = world.start(
            "hardware.ros.nerf_node",
            permit_socket=world.folder / "permit.nerf",
            nerf=world.folder / "spec.yaml",
            sensors="[joints]",
            command_type="joint_trajectory",
            command_mode="position",
            channels=f"[{', '.join(JOINTS)}]",
            **{f"joint_limits.{joint}.{name}": value for joint in JOINTS for name, value in LIMITS.items()},
            **more,
        )
        self.until(lambda: self.values("nerf").get("measured", "").startswith("position"), self.alive)

    def follow(self, message: JointTrajectory) -> None:
        """As joint_trajectory_controller: a trajectory whose end is over is rejected."""
        stamp, due = message.header.stamp, message.points[-1].time_from_start
        began = stamp.sec + 1e-9 * stamp.nanosec
        if began and began + due.sec + 1e-9 * due.nanosec < time.time():
            self.rejected += 1
            return
        self.accepted += 1
        self.position = list(message.points[-1].positions)
        self.path.append((time.monotonic(), self.position[0]))

    def alive(self) -> None:
        self.permit()
        message = JointState(name=list(JOINTS), position=self.position, velocity=[math.nan] * 2)
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.states.publish(message)

    @property
    def outcome(self) -> str:
        return self.values("nerf").get("trajectory", "")

    def until(self, holds: Callable[[], bool], each: Callable[[], None] | None = None) -> None:
        super().until(holds, each or self.alive)


@pytest.fixture(scope="module")
def arm() -> Iterator[Arm]:
    yield from partnered(Arm)


def test_single_points_are_followed_and_a_controller_accepts_them(arm: Arm) -> None:
    arm.until(lambda: arm.commands.get_subscription_count() == 1)
    arm.accepted = arm.rejected = 0

    def stream() -> None:
        arm.alive()
        message = trajectory((0.03, [0.2, 0.1]))
        message.header.stamp = arm.node.get_clock().now().to_msg()
        arm.commands.publish(message)

    arm.until(lambda: arm.position == [0.2, 0.1], stream)
    assert arm.accepted > 10
    assert arm.rejected <= arm.accepted // 10  # a busy machine delivers some of them late


def test_a_whole_trajectory_is_followed_slower_where_the_nerf_needs_it(arm: Arm) -> None:
    goal = [arm.position[0] + 0.6, arm.position[1]]
    arm.path.clear()
    began = time.monotonic()
    message = trajectory((0.5, [arm.position[0] + 0.3, arm.position[1]]), (1.0, goal))
    message.header.stamp = arm.node.get_clock().now().to_msg()
    arm.commands.publish(message)
    arm.until(lambda: arm.position == pytest.approx(goal, abs=1e-6))
    assert time.monotonic() - began > 2.0  # 0.6 rad at 0.3 rad/s at most
    arm.until(lambda: arm.outcome == "succeeded")
    arm.until(lambda: "command: succeeded" in arm.reasons("nerf"))


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (trajectory((1.0, [0.1, 0.1]), (2.0, [9.0, 0.1])), "positions[shoulder] = 9: beyond"),
        (trajectory((1.0, [0.1, 0.1]), (1.0, [0.2, 0.1])), "points[1].time_from_start = 1"),
        (trajectory((1.0, [0.1, math.nan]), (2.0, [0.1, 0.1])), "points[0].positions[elbow] = nan"),
        (trajectory((1.0, [0.1]), (2.0, [0.1]), names=("elbow",)), "joint_names: must be"),
    ],
)
def test_a_trajectory_that_cannot_be_is_refused_by_name(arm: Arm, message: Any, named: str) -> None:
    before = list(arm.position)

    def each() -> None:
        arm.alive()
        arm.commands.publish(message)

    arm.until(lambda: f"trajectory: {named}" in arm.values("nerf").get("refused", ""), each)
    assert arm.position == pytest.approx(before, abs=1e-6)


def test_a_permit_that_ends_ends_the_trajectory_for_good(arm: Arm) -> None:
    arm.until(lambda: "permit" not in arm.reasons("nerf")[-1])
    start = list(arm.position)
    arm.commands.publish(trajectory((1.0, [start[0] - 1.0, start[1]]), (2.0, [start[0] - 2.0, start[1]])))
    arm.until(lambda: arm.position[0] < start[0] - 0.1)
    super(Arm, arm).until(lambda: "stopped: permit" in arm.outcome, lambda: None)
    rest = arm.position[0]
    assert rest > start[0] - 1.0
    for _ in range(25):
        arm.alive()
        arm.spin(0.02)
    assert arm.position[0] == pytest.approx(rest, abs=0.02)


def test_a_choice_that_is_none_is_refused_at_start() -> None:
    with a_world() as world:
        process = world.start(
            "hardware.ros.nerf_node",
            permit_socket=world.folder / "p",
            nerf="rover-slow",
            use_odometry=False,
            trajectory_limits="stretch",
            **TWIST_LIMITS,
        )
        assert "trajectory_limits: must be scale or refuse, got 'stretch'" in world.refusal(process)
