"""Real ROS 2 for tests: one domain a test, real node processes, and a partner that speaks to them."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from nerfbot.hardware.datagram import Mailbox
from nerfbot.hardware.ros.transport import transport
from nerfbot.hardware.safety.permit import NERFED, PermitSource

# Within this machine, whatever the developer has set
os.environ.update(transport({name: value for name, value in os.environ.items() if name == "ROS_DISTRO"}))

_numbers = itertools.count()

TWIST_LIMITS = {
    "linear.x.max_velocity": 1.5,
    "linear.x.max_acceleration": 3.0,
    "linear.x.max_deceleration": 2.0,
    "angular.z.max_velocity": 3.0,
    "angular.z.max_acceleration": 12.0,
    "angular.z.max_deceleration": 8.0,
}
PATIENCE = 30.0
"""Longest wait of a test, s; a busy machine is slow."""


def fresh_domain() -> int:
    """A domain of this worker's own (1 to 100): the workers of one run do not meet."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = 100 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return 1 + worker * share + (os.getpid() + next(_numbers)) % share


class World:
    """One ROS domain: starts node processes in it, and ends all of them."""

    def __init__(self, domain: int = 0) -> None:
        self.domain = domain or fresh_domain()
        self.folder = Path(tempfile.mkdtemp(prefix="nb"))  # a socket's path must be short
        self.environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(self.domain),
            "ROS_LOG_DIR": str(self.folder / "log"),
            "OMP_NUM_THREADS": "1",
        }
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, module: str, code: str = "", **parameters: Any) -> subprocess.Popen[str]:
        """Start `python -m nerfbot.<module>`, or `code`, with these parameters."""
        program = ["-c", code] if code else ["-m", f"nerfbot.{module}"]
        arguments = [sys.executable, *program, "--ros-args"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ["-p", f"{name}:={text}"]
        process = subprocess.Popen(
            arguments,
            env=self.environment,
            stdout=open(self.folder / f"{len(self._processes)}.log", "w"),  # noqa: SIM115 (the process has it)
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def output(self, process: subprocess.Popen[str]) -> str:
        """What the process has printed so far."""
        return (self.folder / f"{self._processes.index(process)}.log").read_text()

    def refusal(self, process: subprocess.Popen[str]) -> str:
        """The last line of a process that must not start."""
        assert process.wait(timeout=2 * PATIENCE) == 2
        return self.output(process).splitlines()[-1]

    def close(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Partner:
    """The rest of the world, in this process: sends commands, permits and odometry, and listens."""

    def __init__(self, world: World, sends: str, listens_to: str, permits: str = "") -> None:
        self.world = world
        self.context = Context()
        rclpy.init(context=self.context, domain_id=world.domain)
        self.node = rclpy.create_node("partner", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.received: list[tuple[float, TwistStamped]] = []
        self.diagnostics: list[Any] = []
        self.node.create_subscription(
            TwistStamped,
            listens_to,
            lambda m: self.received.append((time.monotonic(), m)),
            QoSProfile(depth=100),
        )
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", lambda m: self.diagnostics.extend(m.status), 10
        )
        self.publisher = self.node.create_publisher(TwistStamped, sends, QoSProfile(depth=1))
        self.odometry = self.node.create_publisher(Odometry, "odom", QoSProfile(depth=1))
        self._permit_path = world.folder / permits if permits else None
        self.source = PermitSource(0.3)
        self._box = Mailbox(world.folder / f"partner{next(_numbers)}")

    def permit(
        self, levels: tuple[float, ...] = NERFED, stop: str = "", source: PermitSource | None = None
    ) -> None:
        if self._permit_path is not None:
            self._box.send((source or self.source).next(levels, stop).encode(), self._permit_path)

    def message(self, forward: float, turn: float = 0.0, stamp: float | None = None) -> TwistStamped:
        message = TwistStamped()
        message.twist.linear.x, message.twist.angular.z = forward, turn
        moment = time.time() if stamp is None else stamp
        message.header.stamp.sec = int(moment)
        message.header.stamp.nanosec = int((moment - int(moment)) * 1e9)
        return message

    def send(self, forward: float, turn: float = 0.0, stamp: float | None = None) -> None:
        self.publisher.publish(self.message(forward, turn, stamp))

    def spin(self, seconds: float) -> None:
        """Listen for a while."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0.0:
            self.executor.spin_once(timeout_sec=left)

    def drive(self, seconds: float, forward: float = 0.0, period: float = 0.02, **more: Any) -> None:
        """Send this command, and permits, for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.permit(more.get("levels", NERFED))
            self.send(forward)
            self.spin(period)

    def until(self, holds: Callable[[], bool], each: Callable[[], None] = lambda: None) -> None:
        """Call `each` until something holds; fails after `PATIENCE`."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, "it did not happen"
            each()
            self.spin(0.02)

    def commanding(self, forward: float) -> Callable[[], None]:
        """A function that sends a permit and this command."""

        def each() -> None:
            self.permit()
            self.send(forward)

        return each

    @property
    def speed(self) -> float:
        """The forward speed last received."""
        return self.received[-1][1].twist.linear.x if self.received else 0.0

    def reasons(self, node: str) -> list[str]:
        return [status.message for status in self.diagnostics if status.name.endswith(node)]

    def values(self, node: str) -> dict[str, str]:
        statuses = [status for status in self.diagnostics if status.name.endswith(node)]
        return {item.key: item.value for item in statuses[-1].values} if statuses else {}

    def close(self) -> None:
        self._box.close()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@contextlib.contextmanager
def a_world(domain: int = 0) -> Iterator[World]:
    """A world of its own, or in the `domain` of another."""
    world = World(domain)
    try:
        yield world
    finally:
        world.close()


PartnerT = TypeVar("PartnerT", bound=Partner)


def partnered(kind: Callable[[World], PartnerT]) -> Iterator[PartnerT]:
    """For a fixture: a partner in a world of its own."""
    with a_world() as world:
        partner = kind(world)
        yield partner
        partner.close()
