"""The processes that `nerfbot bench ros` measures, and this process's own node beside them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data

from nerfbot.bridge.ros import NODES
from nerfbot.hardware import priority
from nerfbot.hardware.ros.base_node import COMMAND_QOS
from nerfbot.hardware.ros.transport import transport

SPEED, PERIOD, DECELERATION = 0.3, 0.05, 2.0
"""How the robot is driven: m/s, s between commands, and how it stops, m/s²."""

TIMER_RATE = 100.0
"""Rate of the nerf's and the gate's timers, Hz."""

ROOM = 0.25
"""Distance to each side of the start within which it drives to and fro, m."""

LIMITS = {
    "linear.x.max_velocity": 1.5,
    "linear.x.max_acceleration": 3.0,
    "linear.x.max_deceleration": DECELERATION,
    "angular.z.max_velocity": 3.0,
    "angular.z.max_acceleration": 12.0,
    "angular.z.max_deceleration": 8.0,
}
HIGH, LOW = 20, 10
"""Real-time priorities as in a bring-up: low for the nerf and what is compared with it, high for the rest."""

TIMER_PERIOD = 0.002
"""Time that the bare timer sleeps, s."""

# A signal handler that does not return leaves a live process, and live DDS threads, with a stuck loop.
_START = (
    "import signal, sys, time, importlib;"
    "signal.signal(signal.SIGUSR1, lambda *_: time.sleep(1e6));"
    "sys.exit(importlib.import_module({module!r}).{name}())"
)


def _publisher(name: str, topic: str) -> tuple[Any, Any]:
    """A node of this process and its publisher of commands."""
    rclpy.init()
    node = rclpy.create_node(name)
    return node, node.create_publisher(TwistStamped, topic, COMMAND_QOS)


def relay() -> int:
    """A node that only passes messages on, with the nerf's quality of service and executor."""
    node, out = _publisher("relay", "relayed")
    node.create_subscription(TwistStamped, "relay", out.publish, COMMAND_QOS)
    priority.request(LOW)
    return _spin(node)


def sender(period: float = PERIOD) -> int:
    """A policy that drives to and fro about where the robot started, by its odometry."""
    node, out = _publisher("sender", "cmd_vel_policy")
    speed = SPEED

    def turn(odometry: Odometry) -> None:
        nonlocal speed
        if abs(odometry.pose.pose.position.x) > ROOM:
            speed = -SPEED if odometry.pose.pose.position.x > 0.0 else SPEED

    def send() -> None:
        message = TwistStamped()
        message.header.stamp = node.get_clock().now().to_msg()
        message.twist.linear.x = speed
        out.publish(message)

    node.create_subscription(Odometry, "odom", turn, qos_profile_sensor_data)
    node.create_timer(period, send)
    priority.request(LOW)
    return _spin(node)


def quick_sender() -> int:
    """A `sender` with a command for each period of the nerf's and the gate's timers."""
    return sender(1.0 / TIMER_RATE)


def flooder() -> int:
    """A sender at full rate; prints how many messages a second it sent."""
    node, out = _publisher("flooder", "cmd_vel_policy")
    message = TwistStamped()
    message.twist.linear.x = SPEED
    while True:
        began, count = time.monotonic(), 0
        while time.monotonic() - began < 1.0:
            message.header.stamp = node.get_clock().now().to_msg()
            out.publish(message)
            count += 1
        print(count, flush=True)


def bare_timer() -> int:
    """A loop that only sleeps; prints when (s, monotonic) and for how long (s) it was held up."""
    priority.request(HIGH)
    before = time.monotonic()
    while True:
        time.sleep(TIMER_PERIOD)
        now = time.monotonic()
        if now - before > 5.0 * TIMER_PERIOD:
            print(f"{before:.4f} {now - before - TIMER_PERIOD:.4f}", flush=True)
        before = now


def _spin(node: Any) -> int:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while True:
            executor.spin_once(timeout_sec=0.1)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        return 0


class Rig:
    """The processes under measurement, and this process's own node beside them.

    A bare timer runs beside them: delays that it sees too are the machine's, not the chain's.
    """

    def __init__(self) -> None:
        os.environ.update(transport(os.environ))
        os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randint(1, 100)))
        self.folder = Path(tempfile.mkdtemp(prefix="nerfbot-"))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str]] = {}
        rclpy.init()
        self.node = rclpy.create_node("bench")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.speed, self.speed_at = 0.0, 0.0
        self.longest_silence = 0.0
        """Longest time between two odometry messages, s: the resolution of a measured stop."""
        self.node.create_subscription(Odometry, "odom", self._take_odometry, qos_profile_sensor_data)
        self.real_time = not priority.request(HIGH)
        """Whether the system grants real-time priority; without, a busy machine affects every figure."""
        self.start_function("bare_timer")

    def _take_odometry(self, message: Odometry) -> None:
        now = time.monotonic()
        self.longest_silence = max(self.longest_silence, now - self.speed_at if self.speed_at else 0.0)
        self.speed, self.speed_at = abs(message.twist.twist.linear.x), now

    def start(self, node: str, parameters: dict[str, Any]) -> None:
        """Start the process of one of the project's nodes."""
        command = [sys.executable, "-c", _START.format(module=NODES[node], name="main"), "--ros-args"]
        for key, value in {"priority": LOW if node == "nerf" else HIGH, **parameters}.items():
            command += ["-p", f"{key}:={str(value).lower() if isinstance(value, bool) else value}"]
        self._commands[node] = command
        self.restart(node)

    def start_function(self, function: str, name: str = "") -> None:
        """Start one of this module's own nodes, under its own or another name."""
        name = name or function
        self._commands[name] = [sys.executable, "-c", _START.format(module=__name__, name=function)]
        self.restart(name)

    def restart(self, name: str) -> None:
        """Start a process again as before."""
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115 (the process has it)
        self.running[name] = subprocess.Popen(
            self._commands[name], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        if self.real_time:  # a child inherits it; each requests its own
            os.sched_setscheduler(self.running[name].pid, os.SCHED_OTHER, os.sched_param(0))

    def restart_all(self) -> None:
        """Kill everything but the bare timer and start it again in the same order."""
        names = [name for name in self._commands if name != "bare_timer"]
        for name in names:
            self.kill(name)
        for name in names:
            self.restart(name)

    def output(self, name: str) -> str:
        """What a process has printed so far."""
        return (self.folder / f"{name}.log").read_text()

    def held_up(self, since: float, until: float) -> float:
        """The longest time (s) that the bare timer was held up between two times (s, monotonic)."""
        lines = [line.split() for line in self.output("bare_timer").splitlines()]
        delays = [(float(line[0]), float(line[1])) for line in lines if len(line) == 2]
        return max((length for at, length in delays if at < until and at + length > since), default=0.0)

    def spin(self, seconds: float) -> None:
        """Listen for a while."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0.0:
            self.executor.spin_once(timeout_sec=left)

    def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Listen until something holds; false after so many seconds."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def kill(self, name: str) -> None:
        """Kill a process, even one that hangs."""
        process = self.running[name]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *exception: object) -> None:
        for name in self.running:
            self.kill(name)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)
