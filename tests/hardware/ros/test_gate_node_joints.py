"""A gate of joints: effort limits, who else publishes, and its life as a lifecycle node."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from tests.hardware.ros_world import Partner, World, partnered

pytestmark = pytest.mark.realtime

JOINTS = ("shoulder", "elbow")
LIMITS = {
    "max_velocity": 2.0,
    "max_acceleration": 20.0,
    "max_deceleration": 20.0,
    "max_effort": 5.0,
    "holding_effort": 1.5,
}


class Geared(Partner):
    """A robot of two joints commanded by velocity, as an array; behind a gate."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "unused", "unused_too", "permit.gate")
        self.received: list[list[float]] = []
        self.effort_limits: list[list[float]] = []
        one = QoSProfile(depth=1)
        self.node.create_subscription(
            Float64MultiArray, "cmd_vel", lambda m: self.received.append(list(m.data)), 10
        )
        self.node.create_subscription(
            Float64MultiArray, "effort_limit", lambda m: self.effort_limits.append(list(m.data)), 10
        )
        self.commands = self.node.create_publisher(Float64MultiArray, "cmd_vel_nerfed", one)
        self.effort_limit = self.node.create_publisher(Float64MultiArray, "effort_limit_nerfed", one)
        world.start(
            "hardware.ros.gate_node",
            permit_socket=world.folder / "permit.gate",
            command_type="float64_multi_array",
            command_mode="velocity",
            channels=f"[{', '.join(JOINTS)}]",
            **{f"joint_limits.{joint}.{name}": value for joint in JOINTS for name, value in LIMITS.items()},
        )
        self.until(lambda: bool(self.received), self.permit)

    def commanding_array(self, *values: float) -> Callable[[], None]:
        def each() -> None:
            self.permit()
            self.commands.publish(Float64MultiArray(data=values))

        return each

    def moving(self) -> None:
        self.until(lambda: self.received[-1] == [0.5, -0.25], self.commanding_array(0.5, -0.25))


@pytest.fixture(scope="module")
def gate() -> Iterator[Geared]:
    yield from partnered(Geared)


def test_an_array_of_joint_velocities_is_held_to_the_envelope(gate: Geared) -> None:
    gate.moving()
    gate.until(lambda: gate.received[-1] == [2.0, -2.0], gate.commanding_array(9.0, -3.0))


@pytest.mark.parametrize(
    ("state", "report"),
    [
        (
            {"position": [0.0, 0.0], "velocity": [math.nan, 0.0]},
            "position; velocity[shoulder] = nan: not used",
        ),
        ({"position": [math.nan, 0.0]}, "nothing; position[shoulder] = nan: not used"),
        ({}, "nothing"),
        ({"position": [0.0]}, "nothing; position: must have 2 numbers or none, got 1"),
    ],
)
def test_a_measurement_that_is_none_does_not_hold_the_robot_and_is_reported(
    gate: Geared, state: dict[str, list[float]], report: str
) -> None:
    states = gate.node.create_publisher(JointState, "joint_states", 10)
    command = gate.commanding_array(0.5, -0.25)

    def each() -> None:
        states.publish(JointState(name=list(JOINTS), **state))
        command()

    gate.until(lambda: gate.values("gate").get("measured") == report, each)
    gate.moving()
    gate.received.clear()
    gate.until(lambda: len(gate.received) > 5, each)
    assert all(values == [0.5, -0.25] for values in gate.received)
    gate.node.destroy_publisher(states)


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.5, 0.5), ()])
def test_an_array_of_another_length_stops(gate: Geared, values: tuple[float, ...]) -> None:
    gate.moving()
    gate.received.clear()
    gate.until(lambda: [0.0, 0.0] in gate.received, gate.commanding_array(*values))


@pytest.mark.parametrize(
    ("requested", "expected"),
    [((0.0, 0.0), [1.5, 1.5]), ((9.0, 3.0), [5.0, 3.0]), ((float("inf"), 2.0), [5.0, 2.0])],
)
def test_effort_limits_hold_the_load_and_end_at_the_envelope(
    gate: Geared, requested: tuple[float, ...], expected: list[float]
) -> None:
    gate.effort_limits.clear()
    gate.until(
        lambda: expected in gate.effort_limits,
        lambda: gate.effort_limit.publish(Float64MultiArray(data=requested)),
    )
    assert all(1.5 <= limit <= 5.0 for limits in gate.effort_limits for limit in limits)


@pytest.mark.parametrize("requested", [(float("nan"), 1.0), (-1.0, 2.0), (2.0,)])
def test_malformed_effort_limits_are_not_passed_on(gate: Geared, requested: tuple[float, ...]) -> None:
    gate.until(lambda: gate.effort_limit.get_subscription_count() > 0)
    gate.spin(0.1)
    gate.effort_limits.clear()
    for _ in range(5):
        gate.effort_limit.publish(Float64MultiArray(data=requested))
        gate.spin(0.02)
    assert gate.effort_limits == []


def test_a_second_publisher_of_effort_limits_stops(gate: Geared) -> None:
    gate.moving()
    other = gate.node.create_publisher(Float64MultiArray, "effort_limit", 1)
    gate.until(lambda: gate.received[-1] == [0.0, 0.0], gate.commanding_array(0.5, -0.25))
    gate.until(lambda: any("publishers on /effort_limit" in reason for reason in gate.reasons("gate")))
    gate.node.destroy_publisher(other)
    gate.moving()


def test_deactivated_it_sends_the_stop_and_cleanup_is_refused(gate: Geared) -> None:
    client = gate.node.create_client(ChangeState, "/gate/change_state")
    gate.until(client.service_is_ready)

    def change(number: int, each: Callable[[], None]) -> bool:
        future = client.call_async(ChangeState.Request(transition=Transition(id=number)))
        gate.until(future.done, each)
        return bool(future.result().success)

    gate.moving()
    assert change(Transition.TRANSITION_DEACTIVATE, gate.commanding_array(0.5, -0.25))
    gate.until(lambda: gate.received[-1] == [0.0, 0.0], gate.commanding_array(0.5, -0.25))
    assert not change(Transition.TRANSITION_CLEANUP, gate.commanding_array(0.5, -0.25))
    gate.received.clear()
    gate.until(lambda: len(gate.received) > 5, gate.commanding_array(0.5, -0.25))
    assert all(values == [0.0, 0.0] for values in gate.received)
    assert change(Transition.TRANSITION_ACTIVATE, gate.commanding_array(0.5, -0.25))
    gate.moving()
