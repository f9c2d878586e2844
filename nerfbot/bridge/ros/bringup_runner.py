"""Runs a bring-up plan without the ROS 2 launch system: starts in order, prefixes output, stops in reverse.

Each node is the head of a process group of its own, so that nothing it started outlives it. The order of the
stop is that of the plan reversed: who sends commands goes first, the gate after them, and the plant last.
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

from nerfbot.hardware.ros.transport import transport

from .bringup_plan import NodePlan, Plan

GRACE = 4.0
"""Seconds that a node has to end after SIGINT before it is killed."""

READY_WITHIN = 30.0
"""Seconds within which the supervisor's socket must be there."""


class Runner:
    """The processes of one plan.

    Args:
        plan: what runs.
        say: takes each line of output, with the name of who wrote it.

    """

    def __init__(self, plan: Plan, say: Callable[[str, str], None] | None = None) -> None:
        self.plan = plan
        self._say = say or (lambda name, line: print(f"[{name}] {line}", flush=True))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._left = {node.name: node.restarts for node in plan.nodes}
        self._partial: dict[str, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self.ended_badly = ""
        """Which essential node ended by itself, and how; "" for none."""

    def start(self) -> None:
        """Start every node, in order; the policy last, when the supervisor answers."""
        self.plan.prepare()
        for node in self.plan.nodes:
            if node.name == "policy":
                self._wait_for_supervisor()
            self._start(node)

    def _wait_for_supervisor(self) -> None:
        until = time.monotonic() + READY_WITHIN
        while not self.plan.supervisor.exists() and time.monotonic() < until and not self.ended_badly:
            self.attend(0.05)

    def _start(self, node: NodePlan) -> None:
        words = self.plan.arguments(node, self.plan.write(node))
        environment = {
            **transport(os.environ),
            "ROS_LOG_DIR": str(self.plan.run_folder / "log"),
            **os.environ,
            "PYTHONUNBUFFERED": "1",
        }
        process = subprocess.Popen(
            [sys.executable, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._processes[node.name] = process
        self._selector.register(process.stdout, selectors.EVENT_READ, node.name)

    def attend(self, seconds: float) -> bool:
        """Pass on output for this long, and look who has ended; false when everything has to end."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            for key, _ in self._selector.select(max(left, 0.0)):
                self._pass_on(key.data, key.fileobj)
            self._look()
            if self.ended_badly:
                return False
            if left <= 0.0:
                return True

    def _pass_on(self, name: str, stream: Any) -> None:
        data = stream.read() or b""
        if not data:
            self._selector.unregister(stream)
        *lines, rest = (self._partial.get(name, b"") + data).split(b"\n")
        self._partial[name] = rest
        for line in lines:
            self._say(name, line.decode(errors="replace"))

    def _look(self) -> None:
        for node in self.plan.nodes:
            process = self._processes.get(node.name)
            if process is None or process.poll() is None:
                continue
            self._drain(node.name)
            code = process.returncode
            if self._left[node.name] > 0 and code != 2:  # 2: it must not start like this, so never will
                self._left[node.name] -= 1
                self._say(node.name, f"ended with {code}; starting it again")
                del self._processes[node.name]
                self._start(node)
            elif node.essential:
                self.ended_badly = f"{node.name} ended with {code}"
                return
            else:
                self._say(node.name, f"ended with {code}")
                del self._processes[node.name]

    def _drain(self, name: str) -> None:
        stream = self._processes[name].stdout
        if stream is not None and stream in [key.fileobj for key in self._selector.get_map().values()]:
            self._pass_on(name, stream)

    def run(self) -> int:
        """Run until SIGINT or SIGTERM, or until an essential node ends; the exit code."""
        ending: list[int] = []
        before = {
            number: signal.signal(number, lambda caught, frame: ending.append(caught))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self.start()
            while not ending and self.attend(0.2):
                pass
        finally:
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.ended_badly:
            self._say("bringup", self.ended_badly)
            return 1
        return 0

    def stop(self) -> None:
        """End every process, in the reverse of their start; nothing is left running."""
        for node in reversed(self.plan.nodes):
            process = self._processes.get(node.name)
            if process is None:
                continue
            _signal_group(process, signal.SIGCONT)
            _signal_group(process, signal.SIGINT)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self._say(node.name, "does not end; killing it")
            _signal_group(process, signal.SIGKILL)
            process.wait()
            self._drain(node.name)
        self._processes.clear()
        self.plan.clear()

    @property
    def pids(self) -> dict[str, int]:
        """The process of each node that runs."""
        return {name: process.pid for name, process in self._processes.items()}


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
