"""A bring-up as a user starts it: a process of its own that starts the nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nerfbot.hardware.safety.requests import SupervisorClient
from tests.hardware.ros_world import PATIENCE, fresh_domain

MAIN = "import sys; from nerfbot.cli import main; sys.exit(main())"


class BringUp:
    """Starts `nerfbot bringup`, or another `command` that takes the same arguments, and ends it."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        kind: str = "sim",
        domain: int = 0,
        command: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        domain = domain or fresh_domain()
        self.environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "OMP_NUM_THREADS": "1"}
        started = command or [sys.executable, "-c", MAIN, "bringup", kind]
        self.log = folder.with_suffix(".log")
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(
                [*started, f"run_folder:={folder}", *arguments],
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def supervisor(self) -> SupervisorClient:
        self.until(lambda: (self.folder / "supervisor.path").exists())
        path = Path((self.folder / "supervisor.path").read_text().strip())
        self.until(path.exists)
        return SupervisorClient(path)

    def audit(self) -> list[dict]:
        path = self.folder / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def events(self) -> Counter[str]:
        return Counter(event["event"] for event in self.audit())

    def until(self, holds: object, seconds: float = 2 * PATIENCE) -> None:
        end = time.monotonic() + seconds
        while not holds():  # type: ignore[operator]
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def shares_memory(self) -> bool:
        """Whether a node talks through shared memory, which would outlive it if it were killed."""
        maps = [Path(f"/proc/{number}/maps").read_text() for number in self.children()]
        assert maps
        return any("/dev/shm/fast" in text for text in maps)

    def children(self) -> list[int]:
        """The nodes that run, by the run folder in their arguments."""
        pids = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if f"{self.folder}/params".encode() in path.read_bytes():
                    pids.append(int(path.parent.name))
            except OSError:
                continue
        return pids

    def node(self, name: str) -> int:
        """The process of one node."""
        for pid in self.children():
            if f"/{name}.yaml".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError(f"{name} does not run")

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=40.0)
        except subprocess.TimeoutExpired:  # what goes on would disturb the tests that follow
            for pid in (self.process.pid, *self.children()):
                os.kill(pid, signal.SIGKILL)
            raise
