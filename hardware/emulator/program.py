"""The emulator: bytes in, register maps, bytes out at the time the bus would have taken, physics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..bus.protocol import (
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
    Packet,
)
from .faults import SERVO_FAULTS
from .pty_server import Cable
from .register_map import EmulatedServo

STEP = 0.002
"""Step of the physics, s."""


class Emulator(Cable):
    """Emulated servos at the other end of a `Cable`.

    ``gravity`` gives the load on each servo, N·m in its own direction, for the servos' angles.
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
        super().__init__(servos[0].servo.protocol, link, baud, log, control, seed, clock)
        self.servos, self.gravity = list(servos), gravity
        self._bus_free = 0.0
        self._past = clock()

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

    def take(self, data: bytes, now: float) -> None:
        """Take bytes off the bus at ``now`` (s)."""
        if self.line.dead:
            return
        if self.line.echo:
            self._send(now, data)
        self._buffer += data
        while (packet := self.protocol.parse(self._buffer)) is not None:
            start = max(now, self._bus_free)
            self._bus_free = start + len(packet.raw) * 10.0 / self.baud
            for servo in self.servos:
                servo.heard(now)
            self._handle(packet, now)

    @property
    def due(self) -> float:
        """When the next answer arrives, s; inf where none is on its way."""
        return self._out[0][0] if self._out else math.inf

    # Instructions

    def _addressed(self, id: int, now: float) -> list[EmulatedServo]:
        chosen = [s for s in self.servos if now >= s.ready_at and (id in (BROADCAST, s.id))]
        return chosen

    def _handle(self, packet: Packet, now: float) -> None:
        if packet.code in (SYNC_READ, BULK_READ):
            for id, address, length in self.questions(packet):
                for servo in self._addressed(id, now):
                    self._answer(servo, 0, servo.read(address, length), now)
        elif packet.code in (SYNC_WRITE, BULK_WRITE):
            if self.line.loses("lost_sync_write", now):
                return
            for id, address, block in self.writes(packet):
                for servo in self._addressed(id, now):
                    self._write(servo, address, block, now)
        else:
            for servo in self._addressed(packet.id, now):
                self._one(servo, packet, now)

    def _one(self, servo: EmulatedServo, packet: Packet, now: float) -> None:
        number, wide = self.number, self.wide
        code, data = packet.code, packet.data
        quiet = packet.id == BROADCAST
        if code == PING:
            self._answer(servo, 0, servo.read(0, 2) + servo.read(6, 1) if wide == 2 else b"", now)
        elif code == READ and not quiet:
            self._answer(servo, 0, servo.read(number(data, 0), number(data, wide)), now)
        elif code == WRITE:
            before = servo.id
            error = self._write(servo, number(data, 0), data[wide:], now)
            if not quiet and self._acknowledges(servo):
                self._answer(servo, error, b"", now, before)
        elif code == REG_WRITE:
            servo.registered = (number(data, 0), data[wide:])
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
        packet = self.protocol.status(servo.id if id is None else id, servo.error_byte(error), data)
        self._bus_free = max(self._bus_free, now) + wait + len(packet) * 10.0 / self.baud
        for delay, piece in self.line.answer(servo.id, packet, now):
            if piece:
                self._send(self._bus_free + delay, piece)

    # Faults and control

    def befall(self, name: str, id: int | None, value: float, now: float) -> bool:
        """Let a fault happen to the servos; whether it is one of theirs."""
        if name != "brown_out" and name not in SERVO_FAULTS:
            return False
        for servo in self.servos:
            if id not in (None, servo.id):
                continue
            if name == "brown_out":
                servo.power_on(now)
            else:
                SERVO_FAULTS[name](servo, value)
        return True

    def place(self, angles: Sequence[float], now: float) -> None:
        """Put the servos at ``angles`` (rad) in good health."""
        for servo, angle in zip(self.servos, angles, strict=True):
            servo.place(float(angle), now)

    def burn(self, values: dict[str, dict[str, int]]) -> None:
        """Change what EEPROM holds, by servo and register."""
        for servo in self.servos:
            servo.eeprom.update(values.get(str(servo.id), {}))

    def states(self) -> list[dict[str, Any]]:
        """The true state of each servo."""
        return [
            {
                "id": servo.id,
                "angle": servo.plant.angle,
                "velocity": servo.plant.velocity,
                "temperature": servo.plant.temperature,
                "torque": servo.plant.torque,
                "values": servo.values,
            }
            for servo in self.servos
        ]

    def clear(self) -> None:
        """End what is wrong with the line, and what acts on the servos from outside."""
        super().clear()
        self._bus_free = 0.0
        for servo in self.servos:
            servo.relieve()
