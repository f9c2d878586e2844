"""Runs a bring-up plan without the ROS 2 launch system: starts in order, prefixes output, stops in reverse.

Each node leads a process group of its own, so that nothing it started outlives it. In reverse order, senders
of commands stop first, then the gate, and the plant last.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from nerfbot.hardware.ros.program import END_SIGNALS, EndRequest, Interrupted, blocked
from nerfbot.hardware.ros.transport import transport
from nerfbot.hardware.safety.requests import SupervisorClient
from nerfbot.hardware.safety.warm_up import warm_up

from .bringup_plan import BringupPlan, NodePlan

GRACE = 10.0
"""Seconds that a node has to end after SIGINT before it is killed: first it brakes the robot."""

READY_WITHIN = 30.0
"""Seconds within which the supervisor's socket must be there."""


class Runner:
    """The processes of one plan.

    Args:
        plan: the nodes.
        on_output: called with the name of a node and a line of its output; prints by default.

    """

    def __init__(self, plan: BringupPlan, on_output: Callable[[str, str], None] | None = None) -> None:
        self.plan = plan
        self._on_output = on_output or (lambda name, line: print(f"[{name}] {line}", flush=True))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        """The running nodes, by name."""
        self._restarts_left = {node.name: node.restarts for node in plan.nodes}
        self._partial: dict[str, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self.failure = ""
        """Which essential node ended by itself, and how; "" for none."""
        self._code = 0

    def start(self) -> None:
        """Start every node, in order; the policy once the supervisor is ready."""
        self.plan.prepare()
        for node in self.plan.nodes:
            if node.name == "policy":
                self._wait_for_supervisor()
            self._start_node(node)

    def _wait_for_supervisor(self) -> None:
        until = time.monotonic() + READY_WITHIN
        while not self.plan.supervisor.exists() and time.monotonic() < until and not self.failure:
            self.poll(0.05)

    def _start_node(self, node: NodePlan) -> None:
        arguments = self.plan.arguments(node, self.plan.write(node))
        environment = {
            **transport(os.environ),
            "ROS_LOG_DIR": str(self.plan.run_folder / "log"),
            **os.environ,
            "PYTHONUNBUFFERED": "1",
        }
        with blocked():  # a process that is started is also stopped
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            self.processes[node.name] = process
            self._selector.register(process.stdout, selectors.EVENT_READ, node.name)

    def poll(self, seconds: float) -> bool:
        """Pass on output for this long and handle nodes that ended; false when everything has to end."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            for key, _ in self._selector.select(max(left, 0.0)):
                self._forward(key.data, key.fileobj)
            self._handle_ended()
            if self.failure:
                return False
            if left <= 0.0:
                return True

    def _forward(self, name: str, stream: Any) -> None:
        data = stream.read() or b""
        if not data:
            self._selector.unregister(stream)
        *lines, rest = (self._partial.get(name, b"") + data).split(b"\n")
        self._partial[name] = rest
        for line in lines:
            self._on_output(name, line.decode(errors="replace"))

    def _handle_ended(self) -> None:
        for node in self.plan.nodes:
            process = self.processes.get(node.name)
            if process is None or process.poll() is None:
                continue
            self._drain(node.name)
            code = process.returncode
            if self._restarts_left[node.name] > 0 and code != 2:  # 2: it refused its parameters
                self._restarts_left[node.name] -= 1
                self._report(node.name, f"ended with {code}; starting it again")
                del self.processes[node.name]
                self._start_node(node)
            elif node.essential:
                self.failure, self._code = f"{node.name} ended with {code}", 2 if code == 2 else 1
                return
            else:
                self._report(node.name, f"ended with {code}")
                del self.processes[node.name]

    def _report(self, name: str, text: str) -> None:
        """Print what became of a node, and tell the supervisor: for its audit log and `nerfbot watch`."""
        self._on_output(name, text)
        with SupervisorClient(self.plan.supervisor) as client:
            client.send("fault", source=name, name="process", detail=text)

    def _drain(self, name: str) -> None:
        stream = self.processes[name].stdout
        if stream in self._selector.get_map():
            self._forward(name, stream)

    def run(self) -> int:
        """Run until a signal ends it, or an essential node does; the exit code, 2 where it did not start."""
        before = {number: signal.getsignal(number) for number in END_SIGNALS}
        request = EndRequest()
        try:
            warm_up(lambda line: self._on_output("bringup", line))
            self.start()
            request.starting = False
            while not request.received and self.poll(0.2):
                pass
        except Interrupted as signal_name:
            self.failure, self._code = f"{signal_name} before it started", 2
        finally:
            request.starting = False
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.failure:
            self._on_output("bringup", self.failure)
        return self._code

    def stop(self) -> None:
        """End every process, in the reverse of their start."""
        for node in reversed(self.plan.nodes):
            process = self.processes.get(node.name)
            if process is None:
                continue
            _signal_group(process, signal.SIGCONT)
            _signal_group(process, signal.SIGINT)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self._on_output(node.name, "does not end; killing it")
            _signal_group(process, signal.SIGKILL)
            process.wait()
            self._drain(node.name)
        self.processes.clear()
        self.plan.clear()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
