"""`nerfbot bench ros`: what the nerf node adds to a bare relay; how soon the robot rests after each fault.

Latency and loss are measured beside a relay of the same executor and quality of service, in alternating
blocks of one run. The stop is measured on the simulated robot's odometry, from the fault to rest.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import rclpy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, qos_profile_sensor_data

from nerfbot.bench.figures import Against, Figure
from nerfbot.hardware.datagram import Mailbox
from nerfbot.hardware.node import COMMAND_QOS
from nerfbot.hardware.permit import PermitSource

TRIALS = 50
SPEED, PERIOD, PERMIT, DECELERATION = 0.3, 0.05, 0.2, 2.0
BOUND_MS = 1e3 * (2 * PERIOD + PERMIT + SPEED / DECELERATION)
"""Two control periods, the permit's time, and the controlled stop itself, ms."""

PROCESSES = {"policy": "sender", "nerf": "nerf", "supervisor": "supervisor", "gate": "gate"}
"""What is hit, and what it is called here."""

FAULTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "hang": signal.SIGUSR1}
LIMITS = {
    "linear.x.max_velocity": 1.5,
    "linear.x.max_acceleration": 3.0,
    "linear.x.max_deceleration": DECELERATION,
    "angular.z.max_velocity": 3.0,
    "angular.z.max_acceleration": 12.0,
    "angular.z.max_deceleration": 8.0,
}
# A signal handler that does not return leaves a live process, and live DDS threads, with a stuck loop.
_START = (
    "import signal, sys, time, importlib;"
    "signal.signal(signal.SIGUSR1, lambda *_: time.sleep(1e6));"
    "sys.exit(importlib.import_module({module!r}).main())"
)


def relay() -> int:
    """A node that only passes on what it hears, with the nerf's quality of service and executor."""
    rclpy.init()
    node = rclpy.create_node("relay")
    out = node.create_publisher(TwistStamped, "relayed", COMMAND_QOS)
    node.create_subscription(TwistStamped, "relay", out.publish, COMMAND_QOS)
    return _spin(node)


def sender() -> int:
    """A policy that drives to and fro."""
    rclpy.init()
    node = rclpy.create_node("sender")
    out = node.create_publisher(TwistStamped, "cmd_vel_policy", COMMAND_QOS)
    began = time.monotonic()

    def send() -> None:
        message = TwistStamped()
        message.header.stamp = node.get_clock().now().to_msg()
        forth = int((time.monotonic() - began) / 1.6) % 2
        message.twist.linear.x = SPEED if forth else -SPEED
        out.publish(message)

    node.create_timer(PERIOD, send)
    return _spin(node)


def _spin(node: Any) -> int:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while True:
            executor.spin_once(timeout_sec=0.1)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        return 0


class Bench:
    """The processes under measurement, and this process's own node beside them."""

    def __init__(self) -> None:
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
        os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randint(1, 100)))
        self.folder = Path(tempfile.mkdtemp(prefix="nerfbot-"))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._words: dict[str, list[str]] = {}
        rclpy.init()
        self.node = rclpy.create_node("bench")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.speed, self.speed_at = 0.0, 0.0
        self.longest_silence = 0.0
        """Longest time between two odometry messages, s: no stop can be seen sooner than the next one."""
        self.node.create_subscription(Odometry, "odom", self._take_odometry, qos_profile_sensor_data)

    def _take_odometry(self, message: Odometry) -> None:
        now = time.monotonic()
        self.longest_silence = max(self.longest_silence, now - self.speed_at if self.speed_at else 0.0)
        self.speed, self.speed_at = abs(message.twist.twist.linear.x), now

    def start(self, name: str, module: str, parameters: dict[str, Any]) -> None:
        """Start a node's process under a name."""
        words = [sys.executable, "-c", _START.format(module=module), "--ros-args"]
        for key, value in parameters.items():
            words += ["-p", f"{key}:={str(value).lower() if isinstance(value, bool) else value}"]
        self._words[name] = words
        self.again(name)

    def function(self, name: str) -> None:
        """Start one of this module's own nodes."""
        self._words[name] = [
            sys.executable,
            "-c",
            _START.format(module="nerfbot.bench.ros").replace("main", name),
        ]
        self.again(name)

    def again(self, name: str) -> None:
        """Start a process once more as it was."""
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115 (the process has it)
        self.running[name] = subprocess.Popen(
            self._words[name], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def spin(self, seconds: float) -> None:
        """Listen for a while."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0.0:
            self.executor.spin_once(timeout_sec=left)

    def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Listen until something holds; false when it does not come."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def close(self) -> None:
        """End everything."""
        for process in self.running.values():
            for number in (signal.SIGCONT, signal.SIGKILL):
                if process.poll() is None:
                    os.killpg(process.pid, number)
            process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


def latency(
    bench: Bench, report: Callable[[str], None], blocks: int = 4, seconds: float = 5.0
) -> list[Figure]:
    """Time from sending to hearing, through the nerf and the relay, at 100 and 200 Hz, and what is lost."""
    permits = bench.folder / "permit.bench"
    fast = {"use_odometry": False, "control_period": 0.005}
    bench.start(
        "nerf",
        "nerfbot.hardware.nerf",
        {"permit_socket": permits, "nerf": "rover-slow", **fast, **LIMITS},
    )
    bench.function("relay")
    box, source = Mailbox(bench.folder / "bench"), PermitSource(1.0)
    ways = {"nerf": ("cmd_vel_policy", "cmd_vel_nerfed"), "relay": ("relay", "relayed")}
    sent: dict[str, dict[tuple[int, int], float]] = {way: {} for way in ways}
    took: dict[str, list[float]] = {way: [] for way in ways}
    outs = {}

    def hearer(way: str) -> Callable[[Any], None]:
        def hear(message: TwistStamped) -> None:
            began = sent[way].pop((round(message.twist.angular.z * 1e6), 0), None)
            if began is not None:
                took[way].append(time.monotonic() - began)

        return hear

    for way, (there, back) in ways.items():
        outs[way] = bench.node.create_publisher(TwistStamped, there, COMMAND_QOS)
        bench.node.create_subscription(TwistStamped, back, hearer(way), QoSProfile(depth=100))

    number = 0

    def block(way: str, rate: float, length: float) -> None:
        nonlocal number
        end, due = time.monotonic() + length, time.monotonic()
        while due < end:
            number = number % 400000 + 1
            message = TwistStamped()
            message.header.stamp = bench.node.get_clock().now().to_msg()
            # The number travels in a turn so small that no limit touches it
            message.twist.angular.z = number * 1e-6
            if number % 20 == 1:
                box.send(source.next().encode(), permits)
            sent[way][(number, 0)] = time.monotonic()
            outs[way].publish(message)
            due += 1.0 / rate
            bench.spin(max(due - time.monotonic(), 0.0))

    bench.until(lambda: all(out.get_subscription_count() for out in outs.values()))
    figures = []
    for rate in (100.0, 200.0):
        for way in ways:
            block(way, rate, 1.0)
            took[way].clear()
        for turn in range(blocks):
            for way in ways:
                report(f"latency at {rate:.0f} Hz, block {turn + 1} of {blocks}, {way}")
                block(way, rate, seconds)
        tail = "" if rate == 200.0 else "_100hz"
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            ours, bare = _quantile(took["nerf"], share), _quantile(took["relay"], share)
            figures.append(
                Figure(
                    f"added_{name}_ratio{tail}",
                    ours / bare,
                    "",
                    "lower",
                    Against("bare relay, ms", 1e3 * bare),
                )
            )
    report("a minute at 200 Hz")
    for way in ways:
        sent[way].clear()
        took[way].clear()
    block("nerf", 200.0, 60.0)
    bench.spin(0.5)
    lost = float(len(sent["nerf"]))
    figures.append(Figure("lost_messages", lost, "messages", "lower"))
    box.close()
    return figures


def stops(bench: Bench, report: Callable[[str], None], trials: int) -> Iterator[Figure]:
    """How long after each fault of each process the simulated robot rests; the longest of the trials."""
    sockets = {name: bench.folder / name for name in ("permit.gate", "permit.nerf", "supervisor")}
    common = {"supervisor_socket": sockets["supervisor"]}
    chain = {**common, "use_odometry": False, **LIMITS}
    bench.start(
        "plant", "nerfbot.bridge.plant", {"course": "corner", "publish_clock": False, "cmd_vel_timeout": 0.2}
    )
    bench.start(
        "supervisor",
        "nerfbot.hardware.supervisor",
        {
            **common,
            "permit_sockets": f"[{sockets['permit.gate']}, {sockets['permit.nerf']}]",
            "state_folder": bench.folder / "state",
            "permit_valid": PERMIT,
        },
    )
    bench.start("gate", "nerfbot.hardware.gate", {**chain, "permit_socket": sockets["permit.gate"]})
    bench.start(
        "nerf", "nerfbot.hardware.nerf", {**chain, "permit_socket": sockets["permit.nerf"], "nerf": "none"}
    )
    bench.function("sender")
    for title, name in PROCESSES.items():
        for fault, number in FAULTS.items():
            took: list[float] = []
            bench.longest_silence = 0.0
            for trial in range(trials):
                report(f"{title}, {fault}, trial {trial + 1} of {trials}")
                if not bench.until(lambda: bench.speed > 0.95 * SPEED):
                    raise RuntimeError(f"bench ros: the robot did not drive before {title}, {fault}")
                bench.spin(random.uniform(0.0, 0.1))
                began = time.monotonic()
                os.kill(bench.running[name].pid, number)
                rested = bench.until(lambda began=began: bench.speed_at > began and bench.speed < 0.02, 5.0)  # type: ignore[misc]
                took.append(bench.speed_at - began if rested else float("inf"))
                _restore(bench, name, fault)
            against = Against("bound, ms", BOUND_MS)
            yield Figure(f"stop_max_ms.{title}.{fault}", 1e3 * max(took), "ms", "lower", against)
            # A robot that is itself held up by a busy machine is seen to rest no sooner than that
            silence = Against("odometry's period, ms", 1e3 * PERIOD)
            name_of = f"odometry_silence_max_ms.{title}.{fault}"
            yield Figure(name_of, 1e3 * bench.longest_silence, "ms", "lower", silence)
    yield from flood(bench, report)


def flooder() -> int:
    """A sender at full rate; prints how many messages a second it sent."""
    rclpy.init()
    node = rclpy.create_node("flooder")
    out = node.create_publisher(TwistStamped, "cmd_vel_policy", COMMAND_QOS)
    message = TwistStamped()
    message.twist.linear.x = SPEED
    while True:
        began, count = time.monotonic(), 0
        while time.monotonic() - began < 1.0:
            message.header.stamp = node.get_clock().now().to_msg()
            out.publish(message)
            count += 1
        print(count, flush=True)


def flood(bench: Bench, report: Callable[[str], None], seconds: float = 5.0) -> Iterator[Figure]:
    """Two senders at full rate on the command topic: their rate, and the longest silence of the gate."""
    report("a flood on the command topic")
    bench.until(lambda: bench.speed > 0.95 * SPEED)
    heard: list[float] = []
    listener = bench.node.create_subscription(
        TwistStamped, "cmd_vel", lambda message: heard.append(time.monotonic()), QoSProfile(depth=100)
    )
    for name in ("flooder", "flooder2"):
        bench.function(name)
    bench.spin(3.0)
    heard.clear()
    bench.spin(seconds)
    rate = 0
    for name in ("flooder", "flooder2"):
        os.killpg(bench.running[name].pid, signal.SIGKILL)
        counts = (bench.folder / f"{name}.log").read_text().split()
        rate += int(counts[-1]) if counts else 0
    bench.node.destroy_subscription(listener)
    longest = max((after - before for before, after in pairwise(heard)), default=float("inf"))
    yield Figure("flood_messages_per_s", float(rate), "messages/s", "higher")
    against = Against("two periods, ms", 2e3 * PERIOD)
    yield Figure("flood_longest_silence_ms", 1e3 * longest, "ms", "lower", against)


flooder2 = flooder


def _restore(bench: Bench, name: str, fault: str) -> None:
    process = bench.running[name]
    if fault == "stop":
        os.kill(process.pid, signal.SIGCONT)
        return
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    bench.again(name)


def _quantile(values: Sequence[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[min(int(1000 * share), 999) - 1]


def figures(report: Callable[[str], None], trials: int = TRIALS) -> list[Figure]:
    """Every figure of this benchmark; `trials` of each fault."""
    bench = Bench()
    try:
        found = latency(bench, report)
    finally:
        bench.close()
    bench = Bench()
    try:
        return found + list(stops(bench, report, trials))
    finally:
        bench.close()
