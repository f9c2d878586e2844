"""Joint commands and joint states over real DDS, a real supervisor's permits, a driver on an emulated bus."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from nerfbot.hardware.driver.child import start_driver
from nerfbot.hardware.driver.service import PERMIT_SOCKET, DriverConfig
from nerfbot.hardware.robot import ServoRobot
from nerfbot.hardware.safety.requests import SupervisorClient
from nerfbot.limits import NerfSpec
from tests.hardware.lifecycle_walk import Walker
from tests.hardware.ros_world import PATIENCE, Partner, World, a_world

pytestmark = pytest.mark.realtime

ROBOT = ServoRobot.load("so101").model_copy(update={"rate": 50.0, "release_s": 0.2})
KINDS = {"float64_multi_array": Float64MultiArray, "joint_trajectory": JointTrajectory}


class Arm(Partner):
    """Everything of a ROS robot with a servo arm, except its policy, which is this process."""

    def __init__(self, world: World, port: str, kind: str) -> None:
        super().__init__(world, "unused", "unused_too")
        self.kind = kind
        self.states: list[JointState] = []
        self.goals: list[object] = []
        message = KINDS[kind]
        self.commands = self.node.create_publisher(message, "cmd_vel_nerfed", QoSProfile(depth=1))
        self.node.create_subscription(message, "cmd_vel", self.goals.append, QoSProfile(depth=1))
        self.node.create_subscription(JointState, "joint_states", self.states.append, qos_profile_sensor_data)
        folder = world.folder
        self.supervisor = folder / "supervisor"
        self.driver = start_driver(
            DriverConfig(
                ROBOT, NerfSpec.load("so101-weak"), port, folder, margin=0.03, supervisor=self.supervisor
            )
        )
        world.start("hardware.ros.servo_node", folder=folder, robot="so101", command_type=kind)
        names = ", ".join(ROBOT.names)
        world.start(
            "hardware.ros.supervisor_node",
            permit_sockets=f"[{folder / PERMIT_SOCKET}]",
            supervisor_socket=self.supervisor,
            state_folder=folder / "state",
            command_type=kind,
            command_mode="position",
            channels=f"[{names}]",
            use_odometry=False,
        )

    def send_command(self, positions: list[float], publisher: Any = None) -> None:
        """Publish a command."""
        publisher = publisher or self.commands
        if self.kind == "float64_multi_array":
            publisher.publish(Float64MultiArray(data=positions))
            return
        order = [1, 0, 2, 3, 5, 4]  # names come in any order
        message = JointTrajectory(joint_names=[ROBOT.names[k] for k in order])
        message.points = [JointTrajectoryPoint(positions=[positions[k] for k in order])]
        moment = time.time()
        message.header.stamp.sec, rest = int(moment), moment % 1.0
        message.header.stamp.nanosec = int(rest * 1e9)
        publisher.publish(message)

    def hold(self) -> None:
        """Command the measured position."""
        if self.states:
            self.send_command(list(self.states[-1].position))

    def phase(self) -> str:
        return self.values("servo").get("phase", "")

    def reason(self) -> str:
        return self.values("servo").get("reasons", "")

    def close(self) -> None:
        self.driver.kill()
        super().close()


@pytest.fixture(params=KINDS)
def arm(request: pytest.FixtureRequest, emulate) -> Iterator[Arm]:
    with a_world() as world:
        arm = Arm(world, str(emulate().port), request.param)
        yield arm
        arm.close()


def test_commands_move_the_arm_under_the_supervisors_permit_and_its_stop_stops_it(arm: Arm) -> None:
    arm.until(lambda: arm.phase() == "run", arm.hold)
    target = [0.3, 0.0, 0.0, 0.0, 0.4, 0.2]
    arm.until(lambda: abs(arm.states[-1].position[4] - 0.4) < 0.05, lambda: arm.send_command(target))
    assert arm.states[-1].name == ROBOT.names
    assert max(abs(state.velocity[4]) for state in arm.states) < 1.35  # the driver enforces the nerf
    with SupervisorClient(arm.supervisor) as client:
        assert client.request("estop", timeout=PATIENCE, reason="test")["ok"]
        arm.until(lambda: "estop" in arm.values("servo").get("latched", ""), lambda: arm.send_command(target))
        arm.until(lambda: client.request("clear-estop", timeout=PATIENCE, reason="test")["ok"], arm.hold)
    arm.until(lambda: arm.phase() == "run", arm.hold)
    broken = [math.nan, *target[1:]]
    arm.until(lambda: "command-invalid" in arm.reason(), lambda: arm.send_command(broken))
    arm.until(lambda: arm.phase() == "run", arm.hold)
    other = arm.node.create_publisher(KINDS[arm.kind], "cmd_vel_nerfed", QoSProfile(depth=1))
    arm.until(lambda: "command-age" in arm.reason(), lambda: (arm.hold(), arm.send_command(target, other)))


@pytest.mark.slow
def test_in_every_order_of_transitions_the_arm_follows_only_while_the_node_is_active(arm: Arm) -> None:
    arm.until(lambda: arm.phase() == "run", arm.hold)

    def check(active: bool) -> None:
        arm.until(lambda: (arm.phase() == "run") == active, arm.hold)

    Walker(arm, "servo").walk(2, arm.hold, check)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"command_type": "twist"}, "command_type = 'twist': must be one of float64_multi_array"),
        ({"folder": "/nowhere"}, "folder = '/nowhere': must be the folder"),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(change: dict[str, str], named: str, tmp_path: Path) -> None:
    with a_world() as world:
        settings = {"folder": world.folder, "command_type": "joint_trajectory", **change}
        assert named in world.refusal(world.start("hardware.ros.servo_node", **settings))
