"""Faults that the emulator can be told to have: one table, walked by the control socket and by fault scripts.

A fault of the line changes answers on their way out, for a number of answers or a time; a fault of a servo
changes the servo. What each does is one small function.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
        """Whether this answer is changed; counts it."""
        if self.count <= 0 or now >= self.until or (self.servo is not None and id != self.servo):
            return False
        self.count -= 1
        return True


Answer = list[tuple[float, bytes]]
"""Pieces of an answer: delay (s) beyond its time on the bus, and bytes."""


@dataclass
class Line:
    """The faults of the line that are in force; ``rng`` is seeded, so that a script replays."""

    rng: random.Random
    faults: list[LineFault] = field(default_factory=list)
    echo: bool = False
    dead: bool = False

    def answer(self, id: int, packet: bytes, now: float) -> Answer:
        """What arrives of an answer ``packet`` of servo ``id``."""
        pieces: Answer = [(0.0, packet)]
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
        """Whether an incoming packet is lost to the fault ``name``."""
        return any(fault.name == name and fault.hits(fault.servo or 0, now) for fault in self.faults)


def _flip(data: bytes, delay: float, value: float, rng: random.Random) -> Answer:
    bad = bytearray(data)
    for _ in range(max(1, int(value))):
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
    return [(delay, bytes(bad))]


def _renumber(data: bytes, delay: float, value: float, rng: random.Random) -> Answer:
    """Another ID, ``value`` or drawn where that is 0, in a packet whose checksum is good again."""
    from ..bus.bus import PROTOCOLS

    protocol = PROTOCOLS["dynamixel" if data[2] == 0xFD else "feetech"]
    packet = protocol.parse(bytearray(data))
    if packet is None:
        return [(delay, data)]
    other = int(value) or (packet.id + 1 + rng.randrange(200)) % 253
    return [(delay, protocol.status(other, packet.code, packet.data))]


ANSWER_FAULTS: dict[str, Callable[[bytes, float, float, random.Random], Answer]] = {
    "silence": lambda data, delay, value, rng: [],
    "corruption": _flip,
    "bad_checksum": lambda data, delay, value, rng: [(delay, data[:-1] + bytes((data[-1] ^ 0x5A,)))],
    "partial": lambda data, delay, value, rng: [(delay, data[: rng.randrange(1, len(data))])],
    "wrong_id": _renumber,
    "late": lambda data, delay, value, rng: [(delay + value, data)],
    "noise": lambda data, delay, value, rng: [(delay, rng.randbytes(1 + rng.randrange(8)) + data)],
    "duplicate_id": lambda data, delay, value, rng: [(delay, data), (delay, data)],
}
"""Line faults by name: what becomes of an answer's bytes."""


def _jump(servo: EmulatedServo, value: float) -> None:
    servo.encoder_offset += int(value)


def _set(field: str) -> Callable[[EmulatedServo, float], None]:
    def change(servo: EmulatedServo, value: float) -> None:
        setattr(servo.plant, field, value)

    return change


def _latch(servo: EmulatedServo, value: float) -> None:
    servo.plant.temperature = servo.values["temperature_limit"] + 15.0


def _forget_limits(servo: EmulatedServo, value: float) -> None:
    """A brown-out that loses RAM but not the torque: the worst of both."""
    for name in (carrier.ram for carrier in servo.servo.limits.values()):
        servo.values[name] = servo.servo.registers[name].initial


def _eeprom(servo: EmulatedServo, value: float) -> None:
    servo.values["max_position_limit"] = servo.eeprom["max_position_limit"] = int(value) or 4095


def _torque_off(servo: EmulatedServo, value: float) -> None:
    """Torque gone, and not to be had back by a mere goal."""
    servo.values["torque_enable"], servo.auto_torque = 0, False


SERVO_FAULTS: dict[str, Callable[[EmulatedServo, float], None]] = {
    "stuck": lambda servo, value: setattr(servo.plant, "stuck", value != 0.0),
    "encoder_jump": _jump,
    "wrap": lambda servo, value: _jump(servo, 4096),
    "over_temperature": _latch,
    "overload": _set("extra_load"),
    "voltage": _set("supply"),
    "limits_forgotten": _forget_limits,
    "torque_dropped": _torque_off,
    "eeprom_changed": _eeprom,
}
"""Servo faults by name: what is done to the servo. ``value`` in SI, or counts."""


def describe(command: dict[str, Any]) -> tuple[str, int | None, float, int, float]:
    """Name, servo, seconds, count and value of a fault command, with their defaults."""
    servo = command.get("servo")
    return (
        str(command["name"]),
        None if servo is None else int(servo),
        float(command.get("seconds", 3600.0)),
        int(command.get("count", 1_000_000)),
        float(command.get("value", 0.0)),
    )
