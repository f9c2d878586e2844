"""The faults of the emulator: tables of small functions, for the control socket and for fault scripts.

A line fault changes answers on their way out, for a number of answers or a time; a servo fault changes the
servo.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..bus.bus import PROTOCOLS
from .register_map import EmulatedServo


@dataclass
class LineFault:
    """Changes answers: from ``servo`` (None: all) until ``until`` (s), at most ``count`` of them."""

    name: str
    servo: int | None
    until: float
    count: int
    value: float

    def hits(self, id: int, now: float) -> bool:
        """Whether the fault changes this answer; counts it."""
        if self.count <= 0 or now >= self.until or (self.servo is not None and id != self.servo):
            return False
        self.count -= 1
        return True


Pieces = list[tuple[float, bytes]]
"""An answer as it arrives: delay (s) beyond its time on the bus, and bytes, by piece."""


@dataclass
class LineFaults:
    """The line faults in force; ``rng`` is seeded, so that a script replays."""

    rng: random.Random
    faults: list[LineFault] = field(default_factory=list)
    echo: bool = False
    dead: bool = False

    def change(self, id: int, packet: bytes, now: float) -> Pieces:
        """What arrives of the answer ``packet`` of servo ``id``."""
        pieces: Pieces = [(0.0, packet)]
        self.faults = [fault for fault in self.faults if fault.count > 0 and now < fault.until]
        for fault in self.faults:
            if fault.name in ANSWER_FAULTS and fault.hits(id, now):
                pieces = [
                    piece
                    for delay, data in pieces
                    for piece in ANSWER_FAULTS[fault.name](data, delay, fault.value, self.rng)
                ]
        return pieces

    def loses(self, name: str, now: float) -> bool:
        """Whether the fault ``name`` loses an incoming packet."""
        return any(fault.name == name and fault.hits(fault.servo or 0, now) for fault in self.faults)


def _flip(data: bytes, delay: float, value: float, rng: random.Random) -> Pieces:
    bad = bytearray(data)
    for _ in range(max(1, int(value))):
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
    return [(delay, bytes(bad))]


def _renumber(data: bytes, delay: float, value: float, rng: random.Random) -> Pieces:
    """Another ID, ``value`` or a random one where that is 0, with a good checksum."""
    protocol = PROTOCOLS["dynamixel" if data[2] == 0xFD else "feetech"]
    packet = protocol.parse(bytearray(data))
    if packet is None:
        return [(delay, data)]
    other = int(value) or (packet.id + 1 + rng.randrange(200)) % 253
    return [(delay, protocol.status(other, packet.code, packet.data))]


ANSWER_FAULTS: dict[str, Callable[[bytes, float, float, random.Random], Pieces]] = {
    "silence": lambda data, delay, value, rng: [],
    "corruption": _flip,
    "bad_checksum": lambda data, delay, value, rng: [(delay, data[:-1] + bytes((data[-1] ^ 0x5A,)))],
    "partial": lambda data, delay, value, rng: [(delay, data[: rng.randrange(1, len(data))])],
    "wrong_id": _renumber,
    "late": lambda data, delay, value, rng: [(delay + value, data)],
    "noise": lambda data, delay, value, rng: [(delay, rng.randbytes(1 + rng.randrange(8)) + data)],
    "duplicate_id": lambda data, delay, value, rng: [(delay, data), (delay, data)],
}
"""Line faults by name: from an answer's bytes, delay and value to what arrives."""


def _jump(servo: EmulatedServo, value: float) -> None:
    servo.encoder_offset += int(value)


def _set(field: str) -> Callable[[EmulatedServo, float], None]:
    def change(servo: EmulatedServo, value: float) -> None:
        setattr(servo.motor, field, value)

    return change


def _overheat(servo: EmulatedServo, value: float) -> None:
    servo.motor.temperature = servo.values["temperature_limit"] + 15.0


def _forget_limits(servo: EmulatedServo, value: float) -> None:
    """A brown-out that loses RAM but not the torque: the worst of both."""
    for name in (limit.ram for limit in servo.model.limits.values()):
        servo.values[name] = servo.model.registers[name].initial


def _change_eeprom(servo: EmulatedServo, value: float) -> None:
    servo.values["max_position_limit"] = servo.eeprom["max_position_limit"] = int(value) or 4095


def _torque_off(servo: EmulatedServo, value: float) -> None:
    """Torque goes off, and a goal does not bring it back."""
    servo.values["torque_enable"], servo.auto_torque = 0, False


SERVO_FAULTS: dict[str, Callable[[EmulatedServo, float], None]] = {
    "stuck": lambda servo, value: setattr(servo.motor, "stuck", value != 0.0),
    "encoder_jump": _jump,
    "wrap": lambda servo, value: _jump(servo, 4096),
    "over_temperature": _overheat,
    "overload": _set("extra_load"),
    "voltage": _set("supply"),
    "limits_forgotten": _forget_limits,
    "torque_dropped": _torque_off,
    "eeprom_changed": _change_eeprom,
}
"""Servo faults by name: how each changes the servo; ``value`` in SI, or counts."""


def parse_fault(command: dict[str, Any]) -> tuple[str, int | None, float, int, float]:
    """Name, servo, seconds, count and value of a fault command, with their defaults."""
    servo = command.get("servo")
    return (
        str(command["name"]),
        None if servo is None else int(servo),
        float(command.get("seconds", 3600.0)),
        int(command.get("count", 1_000_000)),
        float(command.get("value", 0.0)),
    )
