"""The nerf as a process: limits on arrival, impaired sensors, stops, parity with the bare limiter."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Twist
from rclpy.context import Context
from sensor_msgs.msg import Image, LaserScan

from nerfbot.hardware.ros.parameters import channels_of, envelope_of
from nerfbot.limits import ActuatorLimiter, NerfSpec
from tests.hardware.ros_world import TWIST_LIMITS, Partner, World, a_world, partnered

pytestmark = pytest.mark.realtime

SPEC = """
name: slow-and-blind
channels:
  linear.x: {velocity: {nerfed: 0.4, lifted: 1.2}, acceleration: 1.0, deceleration: 2.0}
  angular.z: {velocity: {nerfed: 1.0, lifted: 2.0}}
sensors:
  lidar: {range: {nerfed: 2.0, lifted: 8.0}, latency: 0.3}
  camera: {resolution: {nerfed: 0.5, lifted: 1.0}}
"""


class Nerfed(Partner):
    def __init__(self, world: World) -> None:
        super().__init__(world, "cmd_vel_policy", "cmd_vel_nerfed", "permit.nerf")
        (world.folder / "spec.yaml").write_text(SPEC)
        self.scans: list[tuple[float, LaserScan]] = []
        self.images: list[Image] = []
        self.node.create_subscription(
            LaserScan, "scan_nerfed", lambda m: self.scans.append((self.now, m)), 10
        )
        self.node.create_subscription(Image, "image_nerfed", self.images.append, 10)
        self.scan = self.node.create_publisher(LaserScan, "scan", 10)
        self.image = self.node.create_publisher(Image, "image", 10)
        self.process = world.start(
            "hardware.ros.nerf_node",
            permit_socket=world.folder / "permit.nerf",
            nerf=world.folder / "spec.yaml",
            sensors="[lidar, camera]",
            use_odometry=False,
            **TWIST_LIMITS,
        )
        self.until(lambda: "command: none yet" in self.reasons("nerf"), self.permit)

    @property
    def now(self) -> float:
        return self.node.get_clock().now().nanoseconds * 1e-9


@pytest.fixture(scope="module")
def nerf() -> Iterator[Nerfed]:
    yield from partnered(Nerfed)


def test_a_command_is_limited_to_the_nerf_and_lifted_with_the_permit(nerf: Nerfed) -> None:
    nerf.until(lambda: nerf.speed == pytest.approx(0.4), nerf.commanding(1.4))

    def lifted() -> None:
        nerf.permit((0.0, 1.0, 0.0, 0.0))
        nerf.send(1.4)

    nerf.until(lambda: nerf.speed == pytest.approx(1.2), lifted)
    nerf.until(lambda: nerf.speed == pytest.approx(0.4), nerf.commanding(1.4))


def test_without_a_permit_it_stops_and_is_nerfed(nerf: Nerfed) -> None:
    nerf.until(lambda: nerf.speed == pytest.approx(0.4), nerf.commanding(1.4))
    nerf.until(lambda: nerf.speed == 0.0, lambda: nerf.send(1.4))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e308])
def test_a_number_that_is_no_command_stops(nerf: Nerfed, value: float) -> None:
    nerf.until(lambda: nerf.speed == pytest.approx(0.4), nerf.commanding(0.5))
    nerf.received.clear()
    nerf.until(lambda: bool(nerf.received) and nerf.speed == 0.0, nerf.commanding(value))
    assert all(math.isfinite(m.twist.linear.x) for _, m in nerf.received)


def test_a_hung_policy_stops(nerf: Nerfed) -> None:
    nerf.until(lambda: nerf.speed == pytest.approx(0.4), nerf.commanding(0.5))
    nerf.until(lambda: nerf.speed == 0.0, nerf.permit)
    nerf.until(lambda: "command: stale" in nerf.reasons("nerf"), nerf.permit)


def test_a_publisher_of_another_quality_of_service_is_reported(nerf: Nerfed) -> None:
    from rclpy.qos import QoSProfile, QoSReliabilityPolicy

    best_effort = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
    other = nerf.node.create_publisher(type(nerf.message(0.0)), "cmd_vel_policy", best_effort)
    nerf.until(lambda: int(nerf.values("nerf").get("incompatible_qos", 0)) > 0, nerf.permit)
    nerf.node.destroy_publisher(other)


@contextlib.contextmanager
def another_participant(world: World) -> Iterator[Any]:
    """A node in a context of its own: one participant cannot use a topic with two types."""
    context = Context()
    rclpy.init(context=context, domain_id=world.domain)
    node = rclpy.create_node("other", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_command_of_another_type_is_named_with_its_remedy(nerf: Nerfed) -> None:
    with another_participant(nerf.world) as other:
        other.create_publisher(Twist, "cmd_vel_policy", 10)
        nerf.until(lambda: "published as geometry_msgs/msg/Twist," in nerf.reasons("nerf")[-1], nerf.permit)
        assert "geometry_msgs/msg/TwistStamped here (command_type: twist)" in nerf.reasons("nerf")[-1]
    nerf.until(lambda: "published as" not in nerf.reasons("nerf")[-1], nerf.permit)


def test_a_robot_that_expects_another_type_is_named(nerf: Nerfed) -> None:
    with another_participant(nerf.world) as other:
        other.create_subscription(Twist, "cmd_vel_nerfed", lambda _: None, 10)
        named = "/cmd_vel_nerfed is expected as geometry_msgs/msg/Twist"
        nerf.until(lambda: named in nerf.reasons("nerf")[-1], nerf.permit)


def test_a_scan_loses_its_range_and_comes_late_with_its_stamp(nerf: Nerfed) -> None:
    message = LaserScan(angle_min=-1.0, angle_max=1.0, angle_increment=0.5, range_max=8.0)
    message.ranges = [1.0, 3.0, math.inf, math.nan, 1.5]

    def each() -> None:
        nerf.permit()
        message.header.stamp = nerf.node.get_clock().now().to_msg()
        nerf.scan.publish(message)

    nerf.until(lambda: len(nerf.scans) >= 3, each)
    received, scan = nerf.scans[-1]
    assert list(scan.ranges) == pytest.approx([1.0, math.inf, math.inf, math.nan, 1.5], nan_ok=True)
    stamp = scan.header.stamp.sec + 1e-9 * scan.header.stamp.nanosec
    assert received - stamp >= 0.3


def test_a_delayed_sample_is_released_without_another_one_behind_it(nerf: Nerfed) -> None:
    nerf.spin(0.5)
    nerf.scans.clear()
    message = LaserScan(angle_min=-1.0, angle_max=1.0, angle_increment=0.5, range_max=8.0, ranges=[1.0] * 5)
    nerf.scan.publish(message)
    nerf.until(lambda: len(nerf.scans) == 1)


def test_an_image_loses_resolution(nerf: Nerfed) -> None:
    pixels = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    message = Image(height=4, width=4, step=12, encoding="rgb8", data=pixels.tobytes())
    nerf.until(lambda: bool(nerf.images), lambda: nerf.image.publish(message))
    impaired = np.frombuffer(bytes(nerf.images[-1].data), np.uint8).reshape(4, 4, 3)
    assert (impaired[:, 0::2] == impaired[:, 1::2]).all()
    assert not (impaired == pixels).all()


def test_a_broken_image_is_not_passed_on_and_is_reported(nerf: Nerfed) -> None:
    nerf.images.clear()
    message = Image(height=4, width=4, step=12, encoding="bayer_rggb8", data=b"")
    nerf.until(
        lambda: "encoding" in nerf.values("nerf").get("sensor.camera", ""),
        lambda: nerf.image.publish(message),
    )
    assert not nerf.images


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"nerf": "rover-weak", "sensors": "[lidar]"}, "linear.x].effort"),
        ({"nerf": "rover-week"}, "did you mean 'rover-weak'"),
        ({"nerf": "rover-slow", "linear.x.max_velocity": 0.5}, "above the envelope's max_velocity"),
        ({"nerf": "rover-blind", "sensors": "[imu]"}, "does not pass through here"),
        ({"nerf": "rover-slow", "sensors": "[radar]"}, "'radar' has no message"),
    ],
)
def test_it_does_not_start_with_what_it_cannot_enforce(parameters: dict[str, object], named: str) -> None:
    with a_world() as world:
        settings = {"permit_socket": world.folder / "p", "use_odometry": False, **TWIST_LIMITS, **parameters}
        process = world.start("hardware.ros.nerf_node", **settings)
        assert named in world.refusal(process)


def test_one_trace_gives_the_bare_limiters_commands_bit_for_bit() -> None:
    values = {
        "command_type": "twist_stamped",
        "command_mode": "velocity",
        "channels": ["linear.x", "angular.z"],
        "use_odometry": False,
        **TWIST_LIMITS,
    }
    channels = channels_of(values)
    bare = ActuatorLimiter(
        NerfSpec.load("rover-unreliable"),
        channels,
        seed=5,
        envelope=envelope_of(values, channels),
        period=0.05,
    )
    bare.reset(seeds=[5])
    trace = np.random.default_rng(1).uniform([-1.5, -3.0], [1.5, 3.0], (150, 2))
    with a_world() as world:
        partner = Partner(world, "cmd_vel_policy", "cmd_vel_nerfed", "permit.nerf")
        world.start(
            "hardware.ros.nerf_node",
            permit_socket=world.folder / "permit.nerf",
            nerf="rover-unreliable",
            seed=5,
            use_odometry=False,
            use_sim_time=True,
            limiter_clock="stamp",
            cmd_vel_timeout=2.0,
            **TWIST_LIMITS,
        )
        partner.until(lambda: "command: none yet" in partner.reasons("nerf"), partner.permit)
        partner.until(lambda: partner.publisher.get_subscription_count() == 1, partner.permit)
        for step, (forward, turn) in enumerate(trace.tolist()):
            stamp = 2.0 + 0.05 * step
            message = partner.message(forward, turn, stamp)
            now = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
            expected = bare.apply(np.array([[forward, turn]]), None, now, np.zeros((1, 4))).value[0]
            partner.received.clear()
            partner.permit()
            partner.publisher.publish(message)
            partner.until(
                lambda stamp=message.header.stamp: any(m.header.stamp == stamp for _, m in partner.received),
                partner.permit,
            )
            (twist,) = [m.twist for _, m in partner.received if m.header.stamp == message.header.stamp]
            assert [twist.linear.x, twist.angular.z] == expected.tolist()
        partner.close()


def test_a_signal_ends_it_with_a_stop_as_its_last_message() -> None:
    with a_world() as world:
        nerf = Nerfed(world)
        nerf.until(lambda: nerf.speed == pytest.approx(0.4), nerf.commanding(0.5))
        nerf.process.send_signal(signal.SIGTERM)
        nerf.until(lambda: nerf.process.poll() is not None, nerf.commanding(0.5))
        nerf.spin(0.2)
        assert nerf.process.returncode == 0
        assert nerf.speed == 0.0
        nerf.close()
