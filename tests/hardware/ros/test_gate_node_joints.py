"""The gate beside its commands: caps on effort, who else publishes, and its life as a lifecycle node."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import QoSProfile
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
    """A robot of two joints commanded by velocity, as an array; the gate at its last link."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "unused", "unused_too", "permit.gate")
        self.told: list[list[float]] = []
        self.capped: list[list[float]] = []
        one = QoSProfile(depth=1)
        self.node.create_subscription(
            Float64MultiArray, "cmd_vel", lambda m: self.told.append(list(m.data)), 10
        )
        self.node.create_subscription(
            Float64MultiArray, "effort_limit", lambda m: self.capped.append(list(m.data)), 10
        )
        self.commands = self.node.create_publisher(Float64MultiArray, "cmd_vel_nerfed", one)
        self.caps = self.node.create_publisher(Float64MultiArray, "effort_limit_nerfed", one)
        world.start(
            "hardware.ros.gate_node",
            permit_socket=world.folder / "permit.gate",
            command_type="float64_multi_array",
            command_mode="velocity",
            channels=f"[{', '.join(JOINTS)}]",
            **{f"joint_limits.{joint}.{name}": value for joint in JOINTS for name, value in LIMITS.items()},
        )
        self.until(lambda: bool(self.told), self.permit)

    def asks(self, *values: float) -> Callable[[], None]:
        def each() -> None:
            self.permit()
            self.commands.publish(Float64MultiArray(data=values))

        return each

    def moving(self) -> None:
        self.until(lambda: self.told[-1] == [0.5, -0.25], self.asks(0.5, -0.25))


@pytest.fixture(scope="module")
def gate() -> Iterator[Geared]:
    yield from partnered(Geared)


def test_an_array_of_joint_velocities_is_held_to_the_envelope(gate: Geared) -> None:
    gate.moving()
    gate.until(lambda: gate.told[-1] == [2.0, -2.0], gate.asks(9.0, -3.0))


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.5, 0.5), ()])
def test_an_array_of_another_length_stops(gate: Geared, values: tuple[float, ...]) -> None:
    gate.moving()
    gate.told.clear()
    gate.until(lambda: [0.0, 0.0] in gate.told, gate.asks(*values))


@pytest.mark.parametrize(
    ("asked", "given"),
    [((0.0, 0.0), [1.5, 1.5]), ((9.0, 3.0), [5.0, 3.0]), ((float("inf"), 2.0), [5.0, 2.0])],
)
def test_nobody_takes_the_torque_that_holds_the_load_or_gives_more_than_the_envelopes(
    gate: Geared, asked: tuple[float, ...], given: list[float]
) -> None:
    gate.capped.clear()
    gate.until(lambda: given in gate.capped, lambda: gate.caps.publish(Float64MultiArray(data=asked)))
    assert all(1.5 <= cap <= 5.0 for caps in gate.capped for cap in caps)


@pytest.mark.parametrize("asked", [(float("nan"), 1.0), (-1.0, 2.0), (2.0,)])
def test_caps_that_are_none_are_not_passed_on(gate: Geared, asked: tuple[float, ...]) -> None:
    gate.until(lambda: gate.caps.get_subscription_count() > 0)
    gate.spin(0.1)
    gate.capped.clear()
    for _ in range(5):
        gate.caps.publish(Float64MultiArray(data=asked))
        gate.spin(0.02)
    assert gate.capped == []


def test_a_second_publisher_of_caps_stops(gate: Geared) -> None:
    gate.moving()
    other = gate.node.create_publisher(Float64MultiArray, "effort_limit", 1)
    gate.until(lambda: gate.told[-1] == [0.0, 0.0], gate.asks(0.5, -0.25))
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
    assert change(Transition.TRANSITION_DEACTIVATE, gate.asks(0.5, -0.25))
    gate.until(lambda: gate.told[-1] == [0.0, 0.0], gate.asks(0.5, -0.25))
    assert not change(Transition.TRANSITION_CLEANUP, gate.asks(0.5, -0.25))
    gate.told.clear()
    gate.until(lambda: len(gate.told) > 5, gate.asks(0.5, -0.25))
    assert all(told == [0.0, 0.0] for told in gate.told)
    assert change(Transition.TRANSITION_ACTIVATE, gate.asks(0.5, -0.25))
    gate.moving()
