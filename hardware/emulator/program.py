"""The emulator: packets in, register maps, answers out at the speed of the bus, and the servos' physics."""

from __future__ import annotations

import math
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
)  # fmt: skip
from .faults import SERVO_FAULTS
from .pty_server import PtyServer
from .register_map import EmulatedServo

STEP = 0.002
"""Step of the physics, s."""


class Emulator(PtyServer):
    """Emulated servos behind a pseudo terminal.

    ``gravity`` gives the load on each servo at the servos' angles, N·m in its own direction, by ID;
    ``options`` are those of `PtyServer`.
    """

    def __init__(
        self,
        servos: Sequence[EmulatedServo],
        link: Path | None,
        baud: int = 1_000_000,
        gravity: Callable[[Sequence[EmulatedServo]], Mapping[int, float]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(servos[0].model.protocol, link, baud, **options)
        self.servos, self.gravity = list(servos), gravity
        for servo in servos:
            servo.set_baud(baud)
        self._rate = baud
        self._bus_free = 0.0
        self._simulated = self.clock()

    def advance(self, now: float) -> None:
        """Simulate the servos until ``now`` (s)."""
        if now - self._simulated > 0.5:  # a signal had stopped this process: skip what nobody could see
            self._simulated = now - 0.5
        while self._simulated + STEP <= now:
            self._simulated += STEP
            loads = self.gravity(self.servos) if self.gravity else {}
            for servo in self.servos:
                servo.step(loads.get(servo.id, 0.0), self._simulated, STEP)

    def hears(self, rate: int | None) -> bool:
        """Whether a servo listens at ``rate``; only those that do are addressed."""
        self._rate = rate or 0
        return any(servo.baud == rate for servo in self.servos)

    def receive(self, data: bytes, now: float) -> None:
        """Handle bytes that the driver sent by ``now`` (s)."""
        if self.line.dead:
            return
        if self.line.echo:
            self._send(now, data)
        self._input += data
        while (packet := self.protocol.parse(self._input)) is not None:
            start = max(now, self._bus_free)
            self._bus_free = start + len(packet.raw) * 10.0 / self.baud
            for servo in self.servos:
                servo.feed_watchdog(now)
            self._handle(packet, now)

    @property
    def next_output(self) -> float:
        """When the next answer arrives, s; inf where none is on its way."""
        return self._output[0][0] if self._output else math.inf

    # Instructions

    def _addressed(self, id: int, now: float) -> list[EmulatedServo]:
        return [
            s for s in self.servos if now >= s.ready_at and s.baud == self._rate and id in (BROADCAST, s.id)
        ]

    def _handle(self, packet: Packet, now: float) -> None:
        if packet.code in (SYNC_READ, BULK_READ):
            for id, address, length in self.protocol.requested_blocks(packet):
                for servo in self._addressed(id, now):
                    self._answer(servo, 0, servo.read(address, length), now)
        elif packet.code in (SYNC_WRITE, BULK_WRITE):
            if self.line.loses("lost_sync_write", now):
                return
            for id, address, block in self.protocol.written_blocks(packet):
                for servo in self._addressed(id, now):
                    self._write(servo, address, block, now)
        else:
            for servo in self._addressed(packet.id, now):
                self._handle_single(servo, packet, now)

    def _handle_single(self, servo: EmulatedServo, packet: Packet, now: float) -> None:
        number, width = self.protocol.number, self.protocol.width
        code, data = packet.code, packet.data
        answers = packet.id != BROADCAST
        if code == PING:
            self._answer(servo, 0, b"" if servo.feetech else servo.read(0, 2) + servo.read(6, 1), now)
        elif code == READ and answers:
            self._answer(servo, 0, servo.read(number(data, 0), number(data, width)), now)
        elif code == WRITE:
            before = servo.id
            error = self._write(servo, number(data, 0), data[width:], now)
            if answers and self._acknowledges(servo):
                self._answer(servo, error, b"", now, before)
        elif code == REG_WRITE:
            servo.registered = (number(data, 0), data[width:])
            if answers and self._acknowledges(servo):
                self._answer(servo, 0, b"", now)
        elif code == ACTION:
            if servo.registered is not None:
                self._write(servo, *servo.registered, now)
                servo.registered = None
            if answers:
                self._answer(servo, 0, b"", now)
        elif code == REBOOT:
            self._note(now, "b", servo.id)
            self._answer(servo, 0, b"", now)
            servo.power_on(now)

    def _acknowledges(self, servo: EmulatedServo) -> bool:
        return servo.values["response_status_level"] >= (1 if servo.feetech else 2)

    def _write(self, servo: EmulatedServo, address: int, data: bytes, now: float) -> int:
        error = servo.write(address, data)
        velocity, torque = round(servo.motor.velocity, 4), servo.values["torque_enable"]
        self._note(now, "w", servo.id, address, data.hex(), error, servo.counts, velocity, torque)
        return error

    def _answer(
        self, servo: EmulatedServo, error: int, data: bytes, now: float, id: int | None = None
    ) -> None:
        delay = servo.values["return_delay_time"] * 2e-6
        packet = self.protocol.status(servo.id if id is None else id, servo.error_byte(error), data)
        self._bus_free = max(self._bus_free, now) + delay + len(packet) * 10.0 / self.baud
        for late, piece in self.line.change(servo.id, packet, now):
            if piece:
                self._send(self._bus_free + late, piece)

    # Faults and control

    def apply_fault(self, name: str, id: int | None, value: float, now: float) -> bool:
        """Apply a fault to the servos; false where it is not a servo fault."""
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

    def set_eeprom(self, values: dict[str, dict[str, int]]) -> None:
        """Change EEPROM by servo and register."""
        for servo in self.servos:
            servo.eeprom.update(values.get(str(servo.id), {}))

    def states(self) -> list[dict[str, Any]]:
        """The true state of each servo."""
        names = ("angle", "velocity", "temperature", "torque")
        return [
            {
                "id": servo.id,
                **{name: getattr(servo.motor, name) for name in names},
                "values": servo.values,
            }
            for servo in self.servos
        ]

    def clear(self) -> None:
        """End the faults of the line, and what acts on the servos from outside."""
        super().clear()
        self._bus_free = 0.0
        for servo in self.servos:
            servo.relieve()
