"""Start the emulator, or a tap on a real bus, as a process; talk to its control socket; read its log."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import BusError

START_TIMEOUT = 20.0
"""How long a program may take to start, s."""


class BusProcess:
    """A program behind a pseudo terminal: a driver opens ``port``; ``log`` is the file of register writes.

    A context manager. Raises `BusError` with the program's own line where it does not start, or where it
    takes longer than `START_TIMEOUT`.
    """

    def __init__(self, module: str, folder: Path | None, seed: int, options: Sequence[str]) -> None:
        self._own_folder = None if folder else tempfile.TemporaryDirectory(prefix="nerfbot-bus-")
        self.folder = folder or Path(str(self._own_folder and self._own_folder.name))
        self.port, self.log = self.folder / "port", self.folder / "oracle.jsonl"
        control = self.folder / "control"
        command = [sys.executable, "-m", module, "--link", str(self.port), "--log", str(self.log)]
        command += ["--control", str(control), "--seed", str(seed), *options]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            self._wait_for_start(module)
        except BusError:
            self.close()
            raise
        self._socket.bind(str(self.folder / f"asker-{os.getpid()}"))
        self._socket.settimeout(5.0)
        self._socket.connect(str(control))
        self._log_position = 0

    def _wait_for_start(self, module: str) -> None:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], START_TIMEOUT)[0]:
            raise BusError(f"{module}: did not start within {START_TIMEOUT:g} s")
        if not self.process.stdout.readline():
            _, errors = self.process.communicate()
            raise BusError((errors.strip().splitlines() or [f"{module} did not start"])[-1])

    def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Send a control command; returns the program's answer. Raises `BusError` where it refuses."""
        self._socket.send(json.dumps({"do": action, **arguments}).encode())
        answer: dict[str, Any] = json.loads(self._socket.recv(1 << 18))
        if "error" in answer:
            raise BusError(f"bus: {answer['error']}")
        return answer

    def fault(self, name: str, **arguments: Any) -> float:
        """Inject a fault; returns its time, s of the monotonic clock that both processes share."""
        return float(self.do("fault", name=name, **arguments)["t"])

    def state(self) -> dict[int, dict[str, Any]]:
        """The servos' true state by ID."""
        return {servo["id"]: servo for servo in self.do("state")["servos"]}

    def read_log(self) -> list[list[Any]]:
        """The log's lines since the last call."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(self._log_position)
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._log_position += len(complete)
        return [json.loads(line) for line in complete.splitlines()]

    def close(self) -> None:
        """End the program."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self._socket.close()
        if self._own_folder is not None:
            self._own_folder.cleanup()

    def __enter__(self) -> BusProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class EmulatedBus(BusProcess):
    """A running emulator of ``robot`` (name or file), or of ``servos`` ("MODEL:ID") where given.

    It ends with the process that started it.
    """

    def __init__(
        self,
        robot: str = "so101",
        servos: Sequence[str] = (),
        folder: Path | None = None,
        seed: int = 0,
        options: Sequence[str] = (),
    ) -> None:
        selected = [part for servo in servos for part in ("--servo", servo)] or ["--robot", robot]
        parent = ["--parent", str(os.getpid())]
        super().__init__("nerfbot.hardware.emulator", folder, seed, [*options, *parent, *selected])


class TappedBus(BusProcess):
    """A tap on the real port ``device`` with the servos of ``robot``, a robot's name or file."""

    def __init__(
        self, device: str, robot: str, folder: Path | None = None, seed: int = 0, options: Sequence[str] = ()
    ) -> None:
        selected = ["--device", device, "--robot", robot]
        super().__init__("nerfbot.hardware.hil.tap", folder, seed, [*options, *selected])


def wait_until(check: Callable[[], Any], timeout: float = 2.0, every: float = 0.005) -> bool:
    """Wait until ``check()`` is true, at most ``timeout`` s; whether it became true."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(every)
    return bool(check())
