"""The gate as a process of its own, over DDS: it follows within the envelope, and stops for every reason."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from nerfbot.hardware.safety.permit import PermitSource
from tests.hardware.ros_world import TWIST_LIMITS, Partner, World, a_world, partnered

pytestmark = pytest.mark.realtime

TOP = 1.5


class Gated(Partner):
    def __init__(self, world: World) -> None:
        super().__init__(world, "cmd_vel_nerfed", "cmd_vel", "permit.gate")
        self.process = world.start(
            "hardware.ros.gate_node",
            permit_socket=world.folder / "permit.gate",
            use_odometry=False,
            **TWIST_LIMITS,
        )
        self.until(lambda: "command: none yet" in self.reasons("gate"), self.permit)

    def moving(self, forward: float = 0.4) -> None:
        """Drive until the robot is commanded to move at this speed."""
        self.until(lambda: abs(self.speed - forward) < 1e-9, self.commanding(forward))

    def stopped(self, each: object = None) -> None:
        """Wait until the robot is commanded to stop."""
        self.received.clear()
        self.until(lambda: bool(self.received) and self.speed == 0.0, each or (lambda: None))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def gate() -> Iterator[Gated]:
    yield from partnered(Gated)


def test_it_follows_a_permitted_command_unchanged(gate: Gated) -> None:
    gate.moving(0.4)


def test_without_a_fresh_permit_it_stops_and_says_so(gate: Gated) -> None:
    gate.moving()
    gate.stopped(lambda: gate.send(0.4))
    assert any("permit: the permit lapsed" in reason for reason in gate.reasons("gate"))


def test_it_goes_on_sending_zero_while_it_is_stopped(gate: Gated) -> None:
    gate.stopped()
    gate.received.clear()
    gate.spin(0.2)
    assert len(gate.received) >= 3
    assert all(message.twist.linear.x == 0.0 for _, message in gate.received)


def test_a_permit_that_stops_gives_its_reason(gate: Gated) -> None:
    gate.moving()

    def each() -> None:
        gate.permit(stop="estop: button")
        gate.send(0.4)

    gate.stopped(each)
    gate.until(lambda: "permit: estop: button" in gate.reasons("gate"), each)


def test_it_stops_when_commands_cease(gate: Gated) -> None:
    gate.moving()
    gate.stopped(gate.permit)
    gate.until(lambda: "command: stale" in gate.reasons("gate"), gate.permit)


def test_a_frozen_repeat_is_stale_too(gate: Gated) -> None:
    gate.moving()
    message = gate.message(0.4)

    def each() -> None:
        gate.permit()
        gate.publisher.publish(message)

    gate.stopped(each)
    assert "the same as the message before" in gate.values("gate")["refused"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, 1e300])
@pytest.mark.parametrize("where", ["linear.x", "angular.z", "linear.y"])
def test_a_number_that_is_no_command_stops_and_is_not_passed_on(
    gate: Gated, value: float, where: str
) -> None:
    gate.moving()
    gate.received.clear()
    group, axis = where.split(".")

    def each() -> None:
        gate.permit()
        message = gate.message(0.4)
        setattr(getattr(message.twist, group), axis, value)
        gate.publisher.publish(message)

    gate.stopped(each)
    assert all(math.isfinite(m.twist.linear.x) and abs(m.twist.linear.x) <= 0.4 for _, m in gate.received)
    assert where in gate.values("gate")["refused"]


def test_what_is_beyond_the_envelope_is_held_to_it_step_by_step(gate: Gated) -> None:
    gate.stopped(gate.permit)
    gate.received.clear()
    gate.until(lambda: gate.speed == TOP, gate.commanding(50.0))
    speeds = [m.twist.linear.x for _, m in gate.received]
    assert max(speeds) == TOP
    steps = [after - before for before, after in pairwise(speeds)]
    assert max(steps) <= 3.0 * 0.1 * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("offset", [-3600.0, 3600.0], ids=["past", "future"])
def test_a_sender_whose_clock_is_an_hour_off_is_followed_and_ages(gate: Gated, offset: float) -> None:
    gate.stopped(gate.permit)

    def each() -> None:
        gate.permit()
        gate.send(0.4, stamp=time.time() + offset)

    gate.until(lambda: abs(gate.speed - 0.4) < 1e-9, each)
    gate.stopped(gate.permit)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -1.0], ids=["back", "ahead", "late"])
def test_a_clock_that_jumps_stops_before_it_is_followed_again(gate: Gated, jump: float) -> None:
    gate.stopped(gate.permit)
    gate.moving()
    gate.received.clear()

    def each() -> None:
        gate.permit()
        gate.send(0.4, stamp=time.time() + jump)

    gate.until(lambda: any(m.twist.linear.x < 0.4 for _, m in gate.received), each)
    gate.stopped(gate.permit)


def test_messages_without_a_stamp_are_followed_and_age_by_receipt(gate: Gated) -> None:
    gate.stopped(gate.permit)

    def each() -> None:
        gate.permit()
        gate.send(0.4, stamp=0.0)

    gate.until(lambda: abs(gate.speed - 0.4) < 1e-9, each)
    gate.stopped(gate.permit)


def test_a_burst_of_old_messages_out_of_order_moves_nothing(gate: Gated) -> None:
    gate.moving()
    gate.stopped(gate.permit)
    now = time.time() - 0.3
    gate.received.clear()
    for _ in range(5):
        for back in (0.0, 0.1, 0.02, 0.08):
            gate.permit()
            gate.send(0.4, stamp=now - back)
        gate.spin(0.02)
    gate.spin(0.2)
    speeds = [m.twist.linear.x for _, m in gate.received]
    assert max(speeds) < 0.4
    assert speeds[-1] == 0.0


def test_a_denormal_passes(gate: Gated) -> None:
    gate.until(lambda: gate.speed == 5e-324, gate.commanding(5e-324))


def test_a_second_permit_source_stops(gate: Gated) -> None:
    gate.moving()
    other = PermitSource(0.3)

    def each() -> None:
        gate.permit()
        gate.permit(source=other)
        gate.send(0.4)

    gate.stopped(each)
    gate.until(lambda: any("a second source" in reason for reason in gate.reasons("gate")), each)


def test_a_second_sender_of_commands_stops(gate: Gated) -> None:
    gate.spin(0.5)
    gate.moving()
    other = gate.node.create_publisher(type(gate.message(0.0)), "cmd_vel_nerfed", 1)

    def each() -> None:
        gate.permit()
        gate.send(0.4)
        other.publish(gate.message(0.4))

    gate.stopped(each)
    gate.until(lambda: any("second-publisher" in reason for reason in gate.reasons("gate")), each)
    gate.node.destroy_publisher(other)


def test_a_second_publisher_of_the_robots_topic_stops(gate: Gated) -> None:
    gate.spin(1.2)
    gate.moving()
    other = gate.node.create_publisher(type(gate.message(0.0)), "cmd_vel", 1)
    gate.stopped(gate.commanding(0.4))
    gate.until(lambda: any("publishers on /cmd_vel" in reason for reason in gate.reasons("gate")))
    gate.node.destroy_publisher(other)


def test_after_a_stall_it_discards_its_queue(gate: Gated) -> None:
    gate.moving()
    gate.process.send_signal(signal.SIGSTOP)
    gate.drive(0.3, 0.4)
    gate.received.clear()
    gate.process.send_signal(signal.SIGCONT)
    gate.until(lambda: bool(gate.received))
    assert all(m.twist.linear.x < 0.4 for _, m in gate.received[:1])
    gate.until(lambda: "stood still" in gate.values("gate")["refused"] or gate.speed == 0.0)


def test_no_parameter_can_be_changed_at_run_time(gate: Gated) -> None:
    from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
    from rcl_interfaces.srv import SetParameters

    client = gate.node.create_client(SetParameters, "/gate/set_parameters")
    gate.until(client.service_is_ready)
    for name, value in [
        ("linear.x.max_velocity", 9.0),
        ("linear.x.max_velocity", 0.0),
        ("linear.x.max_velocity", math.nan),
        ("cmd_vel_timeout", 1e9),
    ]:
        parameter = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
        future = client.call_async(SetParameters.Request(parameters=[Parameter(name=name, value=parameter)]))
        gate.until(future.done)
        (result,) = future.result().results
        assert not result.successful
        assert "read-only" in result.reason
    gate.until(lambda: gate.speed == TOP, gate.commanding(50.0))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"linear.x.max_velocity": 0.0}, "linear.x.max_velocity = 0"),
        ({"linear.x.max_velocity": ".nan"}, "linear.x.max_velocity = nan"),
        ({"linear.x.min_velocity": 1.0}, "linear.x.min_velocity = 1"),
        ({"linear.x.has_velocity_limits": False}, "cannot be off"),
        ({"linear.x.max_velocty": 1.0}, "did you mean 'linear.x.max_velocity'"),
        ({"cmd_vel_timeout": 0.0}, "cmd_vel_timeout = 0.0"),
        ({"limiter_clock": "stamp"}, "needs use_sim_time"),
        ({"envelope_digest": "abc"}, "envelope_digest"),
        ({"permit_socket": "''"}, "permit_socket"),
    ],
)
def test_it_does_not_start_with_a_limit_that_is_none(change: dict[str, object], named: str) -> None:
    with a_world() as world:
        settings = {"permit_socket": world.folder / "p", "use_odometry": False, **TWIST_LIMITS, **change}
        process = world.start("hardware.ros.gate_node", **settings)
        assert named in world.refusal(process)


class Arm:
    """A robot of two joints commanded by position, and its gate."""

    def __init__(self, world: World) -> None:
        self.partner = partner = Partner(world, "unused", "unused_too", "permit.gate")
        self.received: list[JointTrajectory] = []
        self.positions = [0.1, -0.2]
        partner.node.create_subscription(JointTrajectory, "cmd_vel", self.received.append, 10)
        self.commands = partner.node.create_publisher(JointTrajectory, "cmd_vel_nerfed", 1)
        self.states = partner.node.create_publisher(JointState, "joint_states", 1)
        limits = {"min_position": -1.0, "max_position": 1.0, "max_velocity": 2.0}
        limits |= {"max_acceleration": 20.0, "max_deceleration": 20.0}
        world.start(
            "hardware.ros.gate_node",
            permit_socket=world.folder / "permit.gate",
            command_type="joint_trajectory",
            command_mode="position",
            channels="[shoulder, elbow]",
            **{f"joint_limits.{joint}.{k}": v for joint in ("shoulder", "elbow") for k, v in limits.items()},
        )
        partner.until(lambda: bool(self.received), self.each(None))

    def each(
        self, goal: list[float] | None, names: tuple[str, ...] = ("elbow", "shoulder")
    ) -> Callable[[], None]:
        def call() -> None:
            self.partner.permit()
            joints = ["shoulder", "elbow"]
            self.states.publish(JointState(name=joints, position=self.positions, velocity=[0.0, 0.0]))
            if goal is not None:
                point = JointTrajectoryPoint(positions=goal)
                message = JointTrajectory(joint_names=list(names), points=[point])
                message.header.stamp = self.partner.node.get_clock().now().to_msg()
                self.commands.publish(message)

        return call

    @property
    def last(self) -> list[float]:
        return list(self.received[-1].points[0].positions)


def test_joints_are_held_to_their_range_and_stop_where_they_are_measured() -> None:
    with a_world() as world:
        arm = Arm(world)
        until = arm.partner.until
        until(lambda: arm.last == pytest.approx([0.6, 0.3]), arm.each([0.3, 0.6]))
        arm.positions = [0.6, 0.3]
        until(lambda: arm.last == pytest.approx([1.0, 0.3]), arm.each([0.3, 7.0]))
        arm.positions = [0.95, 0.31]
        until(lambda: arm.last == pytest.approx([0.95, 0.31], abs=1e-6), arm.each(None))
        for names in (("elbow", "elbow"), ("elbow", "wrist")):
            arm.received.clear()
            until(lambda: len(arm.received) > 5, arm.each([0.0, 0.0], names))
            assert arm.last == pytest.approx([0.95, 0.31], abs=1e-6)
        arm.received.clear()
        until(lambda: len(arm.received) > 5, arm.each([math.nan, 0.0]))
        assert arm.last == pytest.approx([0.95, 0.31], abs=1e-6)
        arm.partner.close()


def test_importing_a_nodes_module_needs_no_ros_until_it_runs() -> None:
    code = "import sys, nerfbot.hardware; print('rclpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
