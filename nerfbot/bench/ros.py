"""`nerfbot bench ros`: what the nerf node adds to a bare relay; how soon the robot rests after each fault.

Latency and loss are measured beside a relay of the same executor and quality of service, in alternating
blocks of one run. The stop is measured on the simulated robot's odometry, from the fault to rest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile

from nerfbot.bench.figures import Baseline, Figure
from nerfbot.bench.ros_rig import COMMAND_QOS, LIMITS, Rig
from nerfbot.bench.ros_stops import flood, stops
from nerfbot.hardware.datagram import Mailbox
from nerfbot.hardware.safety.permit import PermitSource

TRIALS = 50
WAYS = {"nerf": ("cmd_vel_policy", "cmd_vel_nerfed"), "relay": ("relay", "relayed")}


class Course:
    """Messages through the nerf and through the relay: when each was sent, and how long it took."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        permits = rig.folder / "permit.bench"
        rig.start(
            "nerf",
            "nerfbot.hardware.ros.nerf_node",
            {
                "permit_socket": permits,
                "nerf": "rover-slow",
                "use_odometry": False,
                "control_period": 0.005,
                **LIMITS,
            },
        )
        rig.function("relay")
        self._permits, self._box, self._source = permits, Mailbox(rig.folder / "bench"), PermitSource(1.0)
        self.sent: dict[str, dict[str, float]] = {way: {} for way in WAYS}
        self.took: dict[str, list[float]] = {way: [] for way in WAYS}
        self._number = 0
        self._outs = {}
        for way, (there, back) in WAYS.items():
            self._outs[way] = rig.node.create_publisher(TwistStamped, there, COMMAND_QOS)
            rig.node.create_subscription(TwistStamped, back, self._hearer(way), QoSProfile(depth=100))
        if not rig.until(lambda: all(out.get_subscription_count() for out in self._outs.values()), 120.0):
            raise RuntimeError("bench ros: the nerf or the relay did not start within two minutes")

    def _hearer(self, way: str) -> Callable[[TwistStamped], None]:
        def hear(message: TwistStamped) -> None:
            began = self.sent[way].pop(message.header.frame_id, None)
            if began is not None:
                self.took[way].append(time.monotonic() - began)

        return hear

    def block(self, way: str, rate: float, length: float) -> None:
        """Send along a way at `rate` (Hz) for `length` s; each message carries its number as its frame."""
        end, due = time.monotonic() + length, time.monotonic()
        while due < end:
            self._number += 1
            message = TwistStamped()
            message.header.stamp = self._rig.node.get_clock().now().to_msg()
            message.header.frame_id = str(self._number)
            if self._number % 20 == 1:
                self._box.send(self._source.next().encode(), self._permits)
            self.sent[way][message.header.frame_id] = time.monotonic()
            self._outs[way].publish(message)
            due += 1.0 / rate
            self._rig.spin(max(due - time.monotonic(), 0.0))

    def clear(self) -> None:
        """Forget what was sent and heard."""
        self._rig.spin(0.5)
        for way in WAYS:
            self.sent[way].clear()
            self.took[way].clear()

    def close(self) -> None:
        """Stop sending permits."""
        self._box.close()


def latency(
    rig: Rig, report: Callable[[str], None], blocks: int = 40, seconds: float = 0.5, minute: float = 60.0
) -> list[Figure]:
    """Time from sending to hearing, through the nerf and the relay, at 100 and 200 Hz, and what is lost.

    Blocks are short and take turns, so that what else the machine does meets both alike.
    """
    course, figures = Course(rig), []
    for rate in (100.0, 200.0):
        for way in WAYS:
            course.block(way, rate, 1.0)
        course.clear()
        for turn in range(blocks):
            report(f"latency at {rate:.0f} Hz, block {turn + 1} of {blocks}")
            for way in WAYS:
                course.block(way, rate, seconds)
        tail = "" if rate == 200.0 else "_100hz"
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            ours, bare = (_quantile(course.took[way], share) for way in WAYS)
            against = Baseline("bare relay, ms", 1e3 * bare)
            figures.append(Figure(f"added_{name}_ratio{tail}", ours / bare, "", "lower", against))
    for way in WAYS:
        course.clear()
        report(f"{minute:.0f} s at 200 Hz, {way}")
        began = time.monotonic()
        course.block(way, 200.0, minute)
        rig.spin(0.5)
        lost = Figure(f"lost_messages{'' if way == 'nerf' else '_relay'}", len(course.sent[way]), "", "lower")
        figures.append(lost)
        held_up = 1e3 * rig.held_up(began, time.monotonic())
        figures.append(Figure(f"bare_timer_held_up_max_ms.{way}", held_up, "ms", "lower"))
    course.close()
    return figures


def _quantile(values: Sequence[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[min(int(1000 * share), 999) - 1]


def figures(report: Callable[[str], None], trials: int = TRIALS) -> list[Figure]:
    """Every figure of this benchmark; `trials` of each fault."""
    found: list[Figure] = []
    rig = Rig()
    try:
        found += latency(rig, report)
    finally:
        rig.close()
    rig = Rig()
    try:
        found += stops(rig, report, trials)
        found += flood(rig, report)
    finally:
        rig.close()
    return found
