"""One end of a cable: a pseudo terminal that a driver opens, an append-only log, a control socket, faults.

What is at the other end, emulated servos or real ones, is the subclass's. The log is JSON lines, each an
array that starts with a monotonic time (s) and a letter: ``w`` a register write [id, address, hex, error,
counts, velocity rad/s, torque_enable], ``f`` a fault [name, servo, value], ``r`` a reset, ``b`` a reboot
[id], ``x`` an unreadable baud rate.
"""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import priority
from ..bus.bus import PROTOCOLS
from ..bus.protocol import BULK_READ, BULK_WRITE, READ, SYNC_READ, SYNC_WRITE, WRITE, Packet
from .faults import Line, LineFault, describe

IDLE = 0.01
"""Nothing waits longer than this for its turn, s."""

SPEEDS = {getattr(termios, f"B{rate}"): rate for rate in (9600, 57600, 115200, 500000, 1000000, 2000000)}


class Cable:
    """A pseudo terminal linked at ``link``, told of faults over the socket ``control``.

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
        self.wide = 2 if protocol == "dynamixel" else 1
        """Bytes of an address or a length in an instruction."""
        self.line = Line(random.Random(seed))
        self._log = None if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lines: list[str] = []
        self._out: list[tuple[float, int, bytes]] = []
        self._order = 0
        self._buffer = bytearray()
        self._script: list[tuple[float, dict[str, Any]]] = []
        self._control: socket.socket | None = None
        if control is not None:
            self._control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._control.bind(str(control))
        self._master = self._slave = -1
        self.plug()

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
        """Pull the cable: whoever has it open gets an error, and the port is gone."""
        if self._master < 0 or self.link is None:
            return
        self.link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self._out.clear()
        self._buffer.clear()

    # The loop

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Serve until ``stop()``; it is asked about every `IDLE` s."""
        while not stop():
            self.serve()

    def serve(self) -> None:
        """Wait for the next event and handle it."""
        now = self.clock()
        due = min([now + IDLE, *(item[0] for item in self._out[:1]), *(item[0] for item in self._script[:1])])
        handles: list[Any] = [*([] if self._master < 0 else [self._master]), *self.others()]
        if self._control is not None:
            handles.append(self._control)
        ready = select.select(handles, [], [], max(0.0, due - now))[0]
        now = self.clock()
        self.advance(now)
        for handle in ready:
            if handle is self._control:
                self._obey()
            elif handle == self._master:
                self._receive(now)
            else:
                self.hear(now)
        while self._script and self._script[0][0] <= now:
            self.do(heapq.heappop(self._script)[1])
        self._transmit(self.clock())
        self._flush()

    def advance(self, now: float) -> None:
        """Let the world go on until ``now`` (s)."""

    def others(self) -> list[int]:
        """Further descriptors to wait for; `hear` is called when one of them has something."""
        return []

    def hear(self, now: float) -> None:
        """Something has come from the `others`."""

    def take(self, data: bytes, now: float) -> None:
        """Take bytes off the bus at ``now`` (s)."""
        raise NotImplementedError

    def _receive(self, now: float) -> None:
        try:
            data = os.read(self._master, 4096)
        except OSError:
            return
        rate = SPEEDS.get(termios.tcgetattr(self._master)[5])
        if rate != self.baud:
            self._note(now, "x", rate)
            self._send(now + 0.001, self.line.rng.randbytes(4))  # what a wrong baud rate looks like
            return
        self.take(data, now)

    def _transmit(self, now: float) -> None:
        data = self.answers(now)
        if data and self._master >= 0:
            with contextlib.suppress(OSError):  # nobody reads: the bytes are gone, as on a wire
                os.write(self._master, data)

    def answers(self, now: float) -> bytes:
        """What has arrived of the answers by ``now`` (s), and not been taken yet."""
        data = b""
        while self._out and self._out[0][0] <= now:
            data += heapq.heappop(self._out)[2]
        return data

    def _send(self, at: float, data: bytes) -> None:
        self._order += 1
        heapq.heappush(self._out, (at, self._order, data))

    # What instructions say

    def number(self, data: bytes, at: int) -> int:
        """An address or a length in an instruction's parameters."""
        return int.from_bytes(data[at : at + self.wide], "little")

    def writes(self, packet: Packet) -> Iterator[tuple[int, int, bytes]]:
        """Servo (or `BROADCAST`), address and bytes of everything that a packet writes at once."""
        number, wide, data = self.number, self.wide, packet.data
        if packet.code == WRITE:
            yield packet.id, number(data, 0), data[wide:]
        elif packet.code == SYNC_WRITE:
            length = number(data, wide)
            for at in range(2 * wide, len(data), length + 1):
                yield data[at], number(data, 0), data[at + 1 : at + 1 + length]
        elif packet.code == BULK_WRITE:
            at = 0
            while at < len(data):
                length = number(data, at + 3)
                yield data[at], number(data, at + 1), data[at + 5 : at + 5 + length]
                at += 5 + length

    def questions(self, packet: Packet) -> Iterator[tuple[int, int, int]]:
        """Servo, address and length of every block that a packet asks for."""
        number, wide, data = self.number, self.wide, packet.data
        if packet.code == READ:
            yield packet.id, number(data, 0), number(data, wide)
        elif packet.code == SYNC_READ:
            yield from ((id, number(data, 0), number(data, wide)) for id in data[2 * wide :])
        elif packet.code == BULK_READ:
            for at in range(0, len(data), 5):
                yield data[at], number(data, at + 1), number(data, at + 3)

    # Faults and control

    def script(self, faults: Sequence[dict[str, Any]]) -> None:
        """Faults to come: each a command with ``at``, seconds from now."""
        now = self.clock()
        for index, command in enumerate(faults):
            heapq.heappush(
                self._script, (now + float(command["at"]) + index * 1e-9, {"do": "fault", **command})
            )

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command of the control socket; returns the answer."""
        now = self.clock()
        action = str(command.get("do"))
        if action == "fault":
            name, id, seconds, count, value = describe(command)
            self._note(now, "f", name, id, value)
            if not self._cut(name) and not self.befall(name, id, value, now):
                self.line.faults.append(LineFault(name, id, now + seconds, count, value))
        elif action in ("clear", "reset"):
            self.clear()
            if action == "reset":
                self.plug()
                self.place(command["angles"], now)
                self._note(now, "r")
        elif action == "eeprom":
            self.burn(command["values"])
        elif action != "state":
            return {"error": f"do = {action!r}: must be fault, clear, reset, eeprom or state"}
        self._flush()
        return {"t": now, "servos": self.states()}

    def _cut(self, name: str) -> bool:
        """Whether a fault is one of the cable itself, which has happened then."""
        if name == "unplug":
            self.unplug()
        elif name == "replug":
            self.plug()
        elif name == "echo":
            self.line.echo = True
        elif name == "dead":
            self.line.dead = True
        else:
            return False
        return True

    def befall(self, name: str, id: int | None, value: float, now: float) -> bool:
        """Let a fault happen to the servos; whether it is one of theirs."""
        return False

    def place(self, angles: Sequence[float], now: float) -> None:
        """Put the servos at ``angles`` (rad) in good health, where that can be done."""

    def burn(self, values: dict[str, dict[str, int]]) -> None:
        """Change what EEPROM holds, by servo and register, where that can be done."""

    def states(self) -> list[dict[str, Any]]:
        """The true state of each servo."""
        raise NotImplementedError

    def clear(self) -> None:
        """End what is wrong with the line; what was on it is lost."""
        self.line.faults.clear()
        self.line.echo = self.line.dead = False
        self._out.clear()
        self._buffer.clear()

    def _obey(self) -> None:
        assert self._control is not None
        data, sender = self._control.recvfrom(65536)
        try:
            answer = self.do(json.loads(data))
        except (KeyError, TypeError, ValueError) as problem:
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        if sender:
            with contextlib.suppress(OSError):  # who asked has gone
                self._control.sendto(json.dumps(answer).encode(), sender)

    def _note(self, now: float, *what: Any) -> None:
        if self._log is not None:
            self._lines.append(json.dumps([round(now, 6), *what], separators=(",", ":")))

    def _flush(self) -> None:
        if self._lines and self._log is not None:
            os.write(self._log, ("\n".join(self._lines) + "\n").encode())
            self._lines.clear()

    def close(self) -> None:
        """Pull the cable and close log and socket."""
        self.unplug()
        self._flush()
        if self._log is not None:
            os.close(self._log)
            self._log = None
        if self._control is not None:
            Path(self._control.getsockname()).unlink(missing_ok=True)
            self._control.close()


def serve(cable: Cable, level: int = 0) -> None:
    """Serve as a program, at a real-time priority ``level``, until SIGTERM or SIGINT; then close the cable.

    Says on standard output when the port can be opened.
    """
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: ended.append(signum))
    priority.request(level)
    print(f"port {cable.link}", flush=True)
    try:
        cable.run(lambda: bool(ended))
    finally:
        cable.close()
