"""A pseudo terminal that a driver opens as its port, with an append-only log, a control socket and faults.

A subclass provides the other end: emulated servos, or real ones. The log is JSON lines, each an array that
starts with a monotonic time (s) and a letter: ``w`` a register write [id, address, hex, error, counts,
velocity rad/s, torque_enable], ``f`` a fault [name, servo, value], ``r`` a reset, ``b`` a reboot [id], ``x``
an unreadable baud rate.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import json
import os
import random
import select
import signal
import socket
import termios
import time
import tty
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import priority
from ..bus.bus import PROTOCOLS
from .faults import LineFault, LineFaults, parse_fault

IDLE = 0.01
"""The server looks for work at least this often, s."""

ABANDONED = 0.5
"""After so long without a byte whoever had the port exclusively has gone, s."""

SPEEDS = {getattr(termios, f"B{rate}"): rate for rate in (9600, 57600, 115200, 500000, 1000000, 2000000)}


class PtyServer:
    """A pseudo terminal linked at ``link``; the socket ``control`` accepts faults and resets.

    Without a ``link`` there is no terminal. ``clock`` is a steady one, s.
    """

    def __init__(
        self,
        protocol: str,
        link: Path | None,
        baud: int = 1_000_000,
        log: Path | None = None,
        control: Path | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link, self.baud, self.clock = link, baud, clock
        self.protocol = PROTOCOLS[protocol]
        self.line = LineFaults(random.Random(seed))
        self._log = None if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._log_lines: list[str] = []
        self._output: list[tuple[float, int, bytes]] = []
        self._order = 0
        self._input = bytearray()
        self._script: list[tuple[float, dict[str, Any]]] = []
        self._control: socket.socket | None = None
        if control is not None:
            self._control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._control.bind(str(control))
        self._master = self._slave = -1
        self._heard = clock()
        self.plug()

    # What a subclass provides

    def advance(self, now: float) -> None:
        """Advance the servos to ``now`` (s)."""

    def receive(self, data: bytes, now: float) -> None:
        """Handle bytes that the driver sent by ``now`` (s)."""
        raise NotImplementedError

    def hears(self, rate: int | None) -> bool:
        """Whether anything on the line understands what is sent at ``rate`` (bit/s)."""
        return rate == self.baud

    def extra_handles(self) -> list[int]:
        """Further descriptors to wait for; `receive_extra` handles what arrives there."""
        return []

    def receive_extra(self, now: float) -> None:
        """Handle what has arrived at the `extra_handles`."""

    def apply_fault(self, name: str, id: int | None, value: float, now: float) -> bool:
        """Apply a fault to the servos; false where it is not a servo fault."""
        return False

    def place(self, angles: Sequence[float], now: float) -> None:
        """Put the servos at ``angles`` (rad) in good health, where that is possible."""

    def set_eeprom(self, values: dict[str, dict[str, int]]) -> None:
        """Change EEPROM by servo and register, where that is possible."""

    def states(self) -> list[dict[str, Any]]:
        """The true state of each servo."""
        raise NotImplementedError

    # The terminal

    def plug(self) -> None:
        """Make the pseudo terminal and the link to it."""
        if self._master >= 0 or self.link is None:
            return
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """Remove the terminal: who has it open gets an error."""
        if self._master < 0 or self.link is None:
            return
        self.link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self._output.clear()
        self._input.clear()

    # The loop

    def run(self, done: Callable[[], bool]) -> None:
        """Serve until ``done()``, which it asks about every `IDLE` s."""
        while not done():
            self.serve()

    def serve(self) -> None:
        """Wait for the next event and handle it."""
        now = self.clock()
        due = min([now + IDLE, *(at for at, *_ in self._output[:1]), *(at for at, _ in self._script[:1])])
        handles: list[Any] = [*([] if self._master < 0 else [self._master]), *self.extra_handles()]
        if self._control is not None:
            handles.append(self._control)
        ready = select.select(handles, [], [], max(0.0, due - now))[0]
        now = self.clock()
        self.advance(now)
        if now - self._heard > ABANDONED and self._slave >= 0:
            fcntl.ioctl(self._slave, termios.TIOCNXCL)  # a real port loses it with its last owner
            self._heard = now
        for handle in ready:
            if handle is self._control:
                self._answer_control()
            elif handle == self._master:
                self._receive(now)
            else:
                self.receive_extra(now)
        while self._script and self._script[0][0] <= now:
            self.do(heapq.heappop(self._script)[1])
        data = self.pop_output(self.clock())
        if data and self._master >= 0:
            with contextlib.suppress(OSError):  # nobody reads: the bytes are lost, as on a wire
                os.write(self._master, data)
        self._flush_log()

    def _receive(self, now: float) -> None:
        try:
            data = os.read(self._master, 4096)
        except OSError:
            return
        self._heard = now
        rate = SPEEDS.get(termios.tcgetattr(self._master)[5])
        if not self.hears(rate):
            self._note(now, "x", rate)
            self._send(now + 0.001, self.line.rng.randbytes(4))  # what a wrong baud rate looks like
            return
        self.receive(data, now)

    def pop_output(self, now: float) -> bytes:
        """Remove and return the output that is due by ``now`` (s)."""
        data = b""
        while self._output and self._output[0][0] <= now:
            data += heapq.heappop(self._output)[2]
        return data

    def _send(self, at: float, data: bytes) -> None:
        self._order += 1
        heapq.heappush(self._output, (at, self._order, data))

    # Faults and control

    def schedule(self, faults: Sequence[dict[str, Any]]) -> None:
        """Schedule faults, each a control command with ``at``, seconds from now."""
        now = self.clock()
        for index, command in enumerate(faults):
            at = now + float(command["at"]) + index * 1e-9
            heapq.heappush(self._script, (at, {"do": "fault", **command}))

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command of the control socket; returns the answer."""
        now = self.clock()
        action = str(command.get("do"))
        if action == "fault":
            name, id, seconds, count, value = parse_fault(command)
            self._note(now, "f", name, id, value)
            if not self._apply_port_fault(name) and not self.apply_fault(name, id, value, now):
                self.line.faults.append(LineFault(name, id, now + seconds, count, value))
        elif action in ("clear", "reset"):
            self.clear()
            if action == "reset":
                self.plug()
                self.place(command["angles"], now)
                self._note(now, "r")
        elif action == "eeprom":
            self.set_eeprom(command["values"])
        elif action != "state":
            return {"error": f"do = {action!r}: must be fault, clear, reset, eeprom or state"}
        self._flush_log()
        return {"t": now, "servos": self.states()}

    def _apply_port_fault(self, name: str) -> bool:
        """Apply a fault of the port; false where it is none."""
        if name == "unplug":
            self.unplug()
        elif name == "replug":
            self.plug()
        elif name in ("echo", "dead"):
            setattr(self.line, name, True)
        else:
            return False
        return True

    def clear(self) -> None:
        """End the faults of the line; the bytes on it are lost."""
        self.line.faults.clear()
        self.line.echo = self.line.dead = False
        self._output.clear()
        self._input.clear()

    def _answer_control(self) -> None:
        assert self._control is not None
        data, sender = self._control.recvfrom(65536)
        try:
            answer = self.do(json.loads(data))
        except (KeyError, TypeError, ValueError) as problem:
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        if sender:
            with contextlib.suppress(OSError):  # the sender has gone
                self._control.sendto(json.dumps(answer).encode(), sender)

    def _note(self, now: float, *entry: Any) -> None:
        if self._log is not None:
            self._log_lines.append(json.dumps([round(now, 6), *entry], separators=(",", ":")))

    def _flush_log(self) -> None:
        if self._log_lines and self._log is not None:
            os.write(self._log, ("\n".join(self._log_lines) + "\n").encode())
            self._log_lines.clear()

    def close(self) -> None:
        """Remove the terminal and close log and socket."""
        self.unplug()
        self._flush_log()
        if self._log is not None:
            os.close(self._log)
            self._log = None
        if self._control is not None:
            Path(self._control.getsockname()).unlink(missing_ok=True)
            self._control.close()


def serve(server: PtyServer, level: int = 0, parent: int = 0) -> None:
    """Serve at the real-time priority ``level`` until SIGTERM or SIGINT, then close ``server``.

    It also ends when the process ``parent`` (0: none) is no longer its parent. It prints a line when the port
    can be opened.
    """
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: signals.append(signum))
    priority.request(level)
    print(f"port {server.link}", flush=True)
    try:
        server.run(lambda: bool(signals) or (parent > 0 and os.getppid() != parent))
    finally:
        server.close()
