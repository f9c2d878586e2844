"""`nerfbot bench ros`: latency that the nerf node adds to a bare relay, and time to rest after each fault.

Latency and loss are measured beside a relay with the same executor and quality of service, in alternating
blocks of one run. A stop is measured by the simulated robot's odometry, from the fault to rest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile

from nerfbot.bench.figures import Baseline, Figure
from nerfbot.bench.ros_rig import COMMAND_QOS, LIMITS, Rig
from nerfbot.bench.ros_stops import flood, stops
from nerfbot.hardware.datagram import Mailbox
from nerfbot.hardware.safety.permit import PermitSource

TRIALS = 50
PATHS = {"nerf": ("cmd_vel_policy", "cmd_vel_nerfed"), "relay": ("relay", "relayed")}
"""Topics in and out of what is compared."""


class LatencyTest:
    """Sends numbered messages through the nerf and through the relay, and measures how long each takes."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._permits, self._box, self._source = (
            rig.folder / "permit",
            Mailbox(rig.folder / "bench"),
            PermitSource(1.0),
        )
        settings = {"permit_socket": self._permits, "nerf": "rover-slow", "use_odometry": False}
        rig.start("nerf", {**settings, "control_period": 0.005, **LIMITS})
        rig.start_function("relay")
        self.sent: dict[str, dict[str, float]] = {path: {} for path in PATHS}
        """Times (s) of messages that have not come back, by number."""
        self.durations: dict[str, list[float]] = {path: [] for path in PATHS}
        self._number = 0
        self._outs = {}
        for path, (topic_in, topic_out) in PATHS.items():
            self._outs[path] = rig.node.create_publisher(TwistStamped, topic_in, COMMAND_QOS)
            rig.node.create_subscription(
                TwistStamped, topic_out, partial(self._take, path), QoSProfile(depth=100)
            )
        if not rig.until(lambda: all(out.get_subscription_count() for out in self._outs.values()), 120.0):
            raise RuntimeError("bench ros: the nerf or the relay did not start within two minutes")

    def _take(self, path: str, message: TwistStamped) -> None:
        began = self.sent[path].pop(message.header.frame_id, None)
        if began is not None:
            self.durations[path].append(time.monotonic() - began)

    def send(self, path: str, rate: float, seconds: float) -> None:
        """Send at `rate` (Hz) for so long; each message carries its number as its frame."""
        end, due = time.monotonic() + seconds, time.monotonic()
        while due < end:
            self._number += 1
            message = TwistStamped()
            message.header.stamp = self._rig.node.get_clock().now().to_msg()
            message.header.frame_id = str(self._number)
            if self._number % 20 == 1:
                self._box.send(self._source.next().encode(), self._permits)
            self.sent[path][message.header.frame_id] = time.monotonic()
            self._outs[path].publish(message)
            due += 1.0 / rate
            self._rig.spin(max(due - time.monotonic(), 0.0))

    def clear(self) -> None:
        """Wait for stragglers, then discard all measurements."""
        self._rig.spin(0.5)
        for path in PATHS:
            self.sent[path].clear()
            self.durations[path].clear()


def latency(
    rig: Rig, report: Callable[[str], None], blocks: int = 40, seconds: float = 0.5, minute: float = 60.0
) -> list[Figure]:
    """Time from sending to receiving, through the nerf and the relay, at 100 and 200 Hz, and what is lost.

    Blocks are short and alternate, so that other load on the machine affects both alike.
    """
    test, figures = LatencyTest(rig), []
    for rate in (100.0, 200.0):
        for path in PATHS:
            test.send(path, rate, 1.0)
        test.clear()
        for block in range(blocks):
            report(f"latency at {rate:.0f} Hz, block {block + 1} of {blocks}")
            for path in PATHS:
                test.send(path, rate, seconds)
        suffix = "" if rate == 200.0 else "_100hz"
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            nerf, relay = (_quantile(test.durations[path], share) for path in PATHS)
            against = Baseline("bare relay, ms", 1e3 * relay)
            figures.append(Figure(f"added_{name}_ratio{suffix}", nerf / relay, "", "lower", against))
    for path in PATHS:
        test.clear()
        report(f"{minute:.0f} s at 200 Hz, {path}")
        began = time.monotonic()
        test.send(path, 200.0, minute)
        rig.spin(0.5)
        suffix = "" if path == "nerf" else "_relay"
        figures.append(Figure(f"lost_messages{suffix}", len(test.sent[path]), "", "lower"))
        held_up = 1e3 * rig.held_up(began, time.monotonic())
        figures.append(Figure(f"bare_timer_held_up_max_ms.{path}", held_up, "ms", "lower"))
    return figures


def _quantile(values: Sequence[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[min(int(1000 * share), 999) - 1]


def figures(report: Callable[[str], None], trials: int = TRIALS) -> list[Figure]:
    """Every figure of this benchmark; `trials` of each fault."""
    with Rig() as rig:
        figures = latency(rig, report)
    with Rig() as rig:
        return [*figures, *stops(rig, report, trials), *flood(rig, report)]
