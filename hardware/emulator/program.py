"""The emulator's loop: bytes in, register maps, bytes out at the time the bus would have taken, physics.

The oracle log is append-only JSON lines, each an array that starts with a monotonic time (s) and a letter:
``w`` a register write [id, address, hex, error, counts, velocity rad/s, torque_enable], ``f`` a fault
[name, servo, value], ``r`` a reset, ``b`` a reboot [id], ``x`` an unreadable baud rate.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import math
import os
import random
import select
import socket
import termios
import time
import tty
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..bus import WIRES
from ..frames import (
    ACTION,
    BROADCAST,
    BULK_READ,
    BULK_WRITE,
    PING,
    READ,
    REBOOT,
    REG_WRITE,
    SYNC_READ,
    SYNC_WRITE,
    WRITE,
    Frame,
)
from .faults import SERVO_FAULTS, Line, LineFault, describe
from .memory import EmulatedServo

STEP = 0.002
"""Step of the physics, s."""

IDLE = 0.01
"""The physics are never further behind than this, s."""

SPEEDS = {getattr(termios, f"B{rate}"): rate for rate in (9600, 57600, 115200, 500000, 1000000, 2000000)}


class Emulator:
    """Servos on a pseudo terminal linked at ``link``, told of faults over the socket ``control``.

    Without a ``link`` there is no terminal: see `lockstep`. ``clock`` is a steady one, s. ``gravity`` gives
    the load on each servo, N·m in its own direction, for the servos' angles.
    """

    def __init__(
        self,
        servos: Sequence[EmulatedServo],
        link: Path | None,
        baud: int = 1_000_000,
        log: Path | None = None,
        control: Path | None = None,
        seed: int = 0,
        gravity: Callable[[Sequence[EmulatedServo]], Mapping[int, float]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.servos, self.link, self.baud, self.gravity = list(servos), link, baud, gravity
        self.clock = clock
        self.wire = WIRES[servos[0].servo.protocol]
        self.line = Line(random.Random(seed))
        self.delay = 0.0
        self._log = None if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lines: list[str] = []
        self._out: list[tuple[float, int, bytes]] = []
        self._order = 0
        self._buffer = bytearray()
        self._bus_free = 0.0
        self._past = clock()
        self._script: list[tuple[float, dict[str, Any]]] = []
        self._control: socket.socket | None = None
        if control is not None:
            self._control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._control.bind(str(control))
        self._master = self._slave = -1
        self.plug()

    # The cable

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
        handles: list[Any] = [] if self._master < 0 else [self._master]
        if self._control is not None:
            handles.append(self._control)
        ready = select.select(handles, [], [], max(0.0, due - now))[0]
        now = self.clock()
        self.advance(now)
        for handle in ready:
            if handle is self._control:
                self._obey()
            else:
                self._receive(now)
        while self._script and self._script[0][0] <= now:
            self.do(heapq.heappop(self._script)[1])
        self._transmit(self.clock())
        self._flush()

    def advance(self, now: float) -> None:
        """Let the servos move until ``now`` (s)."""
        behind = now - self._past
        if behind > 0.5:  # stopped by a signal: the world went on, but not in steps that anyone could see
            self._past = now - 0.5
        while self._past + STEP <= now:
            self._past += STEP
            loads = self.gravity(self.servos) if self.gravity else {}
            for servo in self.servos:
                servo.step(loads.get(servo.id, 0.0), self._past, STEP)

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

    def take(self, data: bytes, now: float) -> None:
        """Take bytes off the bus at ``now`` (s)."""
        if self.line.dead:
            return
        if self.line.echo:
            self._send(now, data)
        self._buffer += data
        while (frame := self.wire.take(self._buffer)) is not None:
            start = max(now, self._bus_free)
            self._bus_free = start + len(frame.raw) * 10.0 / self.baud
            for servo in self.servos:
                servo.heard(now)
            self._handle(frame, now)

    def _transmit(self, now: float) -> None:
        data = self.answers(now)
        if data and self._master >= 0:
            with contextlib.suppress(OSError):  # nobody reads: the bytes are gone, as on a wire
                os.write(self._master, data)

    def answers(self, now: float) -> bytes:
        """What has arrived of the servos' answers by ``now`` (s), and not been taken yet."""
        data = b""
        while self._out and self._out[0][0] <= now:
            data += heapq.heappop(self._out)[2]
        return data

    @property
    def due(self) -> float:
        """When the next answer arrives, s; inf where none is on its way."""
        return self._out[0][0] if self._out else math.inf

    def _send(self, at: float, data: bytes) -> None:
        self._order += 1
        heapq.heappush(self._out, (at, self._order, data))

    # Instructions

    def _addressed(self, id: int, now: float) -> list[EmulatedServo]:
        chosen = [s for s in self.servos if now >= s.ready_at and (id in (BROADCAST, s.id))]
        return chosen

    def _handle(self, frame: Frame, now: float) -> None:
        code, data = frame.code, frame.data
        wide = 2 if self.wire.name == "dynamixel" else 1
        number = lambda at: int.from_bytes(data[at : at + wide], "little")  # noqa: E731
        if code == SYNC_READ:
            for id in data[2 * wide :]:
                for servo in self._addressed(id, now):
                    self._answer(servo, 0, servo.read(number(0), number(wide)), now)
        elif code == BULK_READ:
            for at in range(0, len(data), 5):
                for servo in self._addressed(data[at], now):
                    self._answer(servo, 0, servo.read(number(at + 1), number(at + 3)), now)
        elif code == SYNC_WRITE:
            if self.line.loses("lost_sync_write", now):
                return
            length = number(wide)
            for at in range(2 * wide, len(data), length + 1):
                for servo in self._addressed(data[at], now):
                    self._write(servo, number(0), data[at + 1 : at + 1 + length], now)
        elif code == BULK_WRITE:
            if self.line.loses("lost_sync_write", now):
                return
            at = 0
            while at < len(data):
                length = number(at + 3)
                for servo in self._addressed(data[at], now):
                    self._write(servo, number(at + 1), data[at + 5 : at + 5 + length], now)
                at += 5 + length
        else:
            for servo in self._addressed(frame.id, now):
                self._one(servo, frame, now)

    def _one(self, servo: EmulatedServo, frame: Frame, now: float) -> None:
        wide = 2 if self.wire.name == "dynamixel" else 1
        code, data = frame.code, frame.data
        quiet = frame.id == BROADCAST
        number = lambda at: int.from_bytes(data[at : at + wide], "little")  # noqa: E731
        if code == PING:
            self._answer(servo, 0, servo.read(0, 2) + servo.read(6, 1) if wide == 2 else b"", now)
        elif code == READ and not quiet:
            self._answer(servo, 0, servo.read(number(0), number(wide)), now)
        elif code == WRITE:
            before = servo.id
            error = self._write(servo, number(0), data[wide:], now)
            if not quiet and self._acknowledges(servo):
                self._answer(servo, error, b"", now, before)
        elif code == REG_WRITE:
            servo.registered = (number(0), data[wide:])
            if not quiet and self._acknowledges(servo):
                self._answer(servo, 0, b"", now)
        elif code == ACTION:
            if servo.registered is not None:
                self._write(servo, *servo.registered, now)
                servo.registered = None
            if not quiet:
                self._answer(servo, 0, b"", now)
        elif code == REBOOT:
            self._note(now, "b", servo.id)
            self._answer(servo, 0, b"", now)
            servo.power_on(now)

    def _acknowledges(self, servo: EmulatedServo) -> bool:
        return servo.values["response_status_level"] >= (1 if servo.feetech else 2)

    def _write(self, servo: EmulatedServo, address: int, data: bytes, now: float) -> int:
        error = servo.write(address, data)
        speed = round(servo.plant.velocity, 4)
        on = servo.values["torque_enable"]
        self._note(now, "w", servo.id, address, data.hex(), error, servo.counts, speed, on)
        return error

    def _answer(
        self, servo: EmulatedServo, error: int, data: bytes, now: float, id: int | None = None
    ) -> None:
        wait = servo.values["return_delay_time"] * 2e-6
        frame = self.wire.status(servo.id if id is None else id, servo.error_byte(error), data)
        self._bus_free = max(self._bus_free, now) + wait + len(frame) * 10.0 / self.baud
        for delay, piece in self.line.answer(servo.id, frame, now):
            if piece:
                self._send(self._bus_free + delay, piece)

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
            self._fault(command, now)
        elif action == "clear":
            self._clear()
        elif action == "reset":
            self._clear()
            self.plug()
            for servo, angle in zip(self.servos, command["angles"], strict=True):
                servo.place(float(angle), now)
            self._note(now, "r")
        elif action == "eeprom":
            for servo in self.servos:
                servo.eeprom.update(command["values"].get(str(servo.id), {}))
        elif action != "state":
            return {"error": f"do = {action!r}: must be fault, clear, reset, eeprom or state"}
        self._flush()
        return {"t": now, "servos": [self._state(servo) for servo in self.servos]}

    def _state(self, servo: EmulatedServo) -> dict[str, Any]:
        return {
            "id": servo.id,
            "angle": servo.plant.angle,
            "velocity": servo.plant.velocity,
            "temperature": servo.plant.temperature,
            "torque": servo.plant.torque,
            "values": servo.values,
        }

    def _clear(self) -> None:
        self.line.faults.clear()
        self.line.echo = self.line.dead = False
        self._out.clear()
        self._buffer.clear()
        self._bus_free = 0.0
        for servo in self.servos:
            servo.relieve()

    def _fault(self, command: dict[str, Any], now: float) -> None:
        name, id, seconds, count, value = describe(command)
        self._note(now, "f", name, id, value)
        if name == "unplug":
            self.unplug()
        elif name == "replug":
            self.plug()
        elif name == "echo":
            self.line.echo = True
        elif name == "dead":
            self.line.dead = True
        elif name == "brown_out":
            for servo in self.servos:
                if id in (None, servo.id):
                    servo.power_on(now)
        elif name in SERVO_FAULTS:
            for servo in self.servos:
                if id in (None, servo.id):
                    SERVO_FAULTS[name](servo, value)
        else:
            self.line.faults.append(LineFault(name, id, now + seconds, count, value))

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
