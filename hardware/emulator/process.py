"""Start the emulator, or a tap on a real bus, as a process; talk to its control socket; read its log."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import BusError

START = 20.0
"""How long the emulator may take to start, s."""


class RunningBus:
    """A program at the other end of a cable: ``port`` is what a driver opens, ``log`` the oracle's file.

    A context manager. Raises `BusError` with the program's own line where it does not start.
    """

    def __init__(self, module: str, folder: Path | None, seed: int, options: Sequence[str]) -> None:
        self._made = None if folder else tempfile.TemporaryDirectory(prefix="nerfbot-bus-")
        self.folder = Path(self._made.name) if self._made else Path(str(folder))
        self.port, self.log = self.folder / "port", self.folder / "oracle.jsonl"
        control = self.folder / "control"
        command = [sys.executable, "-m", module, "--link", str(self.port), "--log", str(self.log)]
        command += ["--control", str(control), "--seed", str(seed), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            _, problem = self.process.communicate()
            raise BusError((problem.strip().splitlines() or [f"{module} did not start"])[-1])
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.folder / f"asker-{os.getpid()}"))
        self._socket.settimeout(5.0)
        self._socket.connect(str(control))
        self._read = 0

    def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Carry out a control command; returns the emulator's answer."""
        self._socket.send(json.dumps({"do": action, **arguments}).encode())
        answer: dict[str, Any] = json.loads(self._socket.recv(1 << 18))
        if "error" in answer:
            raise BusError(f"bus: {answer['error']}")
        return answer

    def fault(self, name: str, **arguments: Any) -> float:
        """Let a fault happen; returns its time, s of the monotonic clock that both share."""
        return float(self.do("fault", name=name, **arguments)["t"])

    def state(self) -> dict[int, dict[str, Any]]:
        """The servos' true state by ID."""
        return {servo["id"]: servo for servo in self.do("state")["servos"]}

    def entries(self) -> list[list[Any]]:
        """The log's lines since the last call."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def close(self) -> None:
        """End the emulator."""
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
        if self._made is not None:
            self._made.cleanup()

    def __enter__(self) -> RunningBus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EmulatedBus(RunningBus):
    """A running emulator: ``robot`` is a robot's name or file; ``servos`` ("MODEL:ID") stand in its place
    where given.
    """

    def __init__(
        self,
        robot: str = "so101",
        servos: Sequence[str] = (),
        folder: Path | None = None,
        seed: int = 0,
        options: Sequence[str] = (),
    ) -> None:
        chosen = [part for servo in servos for part in ("--servo", servo)] or ["--robot", robot]
        super().__init__("nerfbot.hardware.emulator", folder, seed, [*options, *chosen])


class TappedBus(RunningBus):
    """A tap on the real port ``device`` with the servos of ``robot``, a robot's name or file."""

    def __init__(
        self, device: str, robot: str, folder: Path | None = None, seed: int = 0, options: Sequence[str] = ()
    ) -> None:
        chosen = ["--device", device, "--robot", robot]
        super().__init__("nerfbot.hardware.hil.tap", folder, seed, [*options, *chosen])


def settle(check: Any, seconds: float = 2.0, every: float = 0.005) -> bool:
    """Wait until ``check()`` is true, at most ``seconds``; whether it became so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(every)
    return bool(check())
