"""Servos as data: control tables from the makers' manuals, loaded from `servos/*.yaml`, and register values.

What the numbers mean in SI units is here; how they travel is in `feetech.py` and `dynamixel.py`.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nerfbot.declared import suggestion, validate
from nerfbot.files import read_yaml
from nerfbot.limits.value import Model

from ..errors import InvalidServo

SERVOS = Path(__file__).parents[1] / "servos"
Positive = Annotated[float, Field(gt=0)]


class Register(Model):
    """One entry of a control table.

    ``scale`` is SI units a count (1 where the register is a number of its own); ``sign`` is the bit that
    means minus: the top bit of a Dynamixel's two's complement, a bit of its own on a Feetech (see
    `encode`). ``zero: unlimited`` marks registers in which 0 switches the limit off.
    """

    name: str
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    size: Literal[1, 2, 4]
    access: Literal["r", "rw"] = "rw"
    area: Literal["eeprom", "ram"]
    initial: int = 0
    low: int = 0
    high: int | None = None
    sign: int | None = None
    scale: float = 1.0
    unit: str = ""
    zero: Literal["", "unlimited"] = ""
    twos: bool = False

    @property
    def end(self) -> int:
        """First address behind the register."""
        return self.address + self.size

    def encode(self, value: int) -> bytes:
        """Little-endian bytes of ``value``; raises `InvalidServo` where the register cannot hold it."""
        most = (1 << 8 * self.size) - 1 if self.high is None else self.high
        if not self.low <= value <= most:
            raise InvalidServo(f"{self.name} = {value}: the register holds {self.low} to {most}")
        if value < 0:
            value = value + (1 << 8 * self.size) if self.twos else -value | 1 << (self.sign or 0)
        return value.to_bytes(self.size, "little")

    def decode(self, data: bytes) -> int:
        """The number that ``data`` (``size`` bytes) stands for."""
        value = int.from_bytes(data, "little")
        if self.sign is None or not value >> self.sign & 1:
            return value
        return value - (1 << 8 * self.size) if self.twos else -(value & (1 << self.sign) - 1)

    def counts_below(self, value: float) -> int:
        """Most counts that are not above ``value`` (SI): what a limit is quantised to. May be 0."""
        # A hair above, so that a value that was itself made from counts comes back as those counts.
        return math.floor(value / self.scale * (1.0 + 1e-9))


class Motor(Model):
    """From the datasheet: stall torque (N·m) and current (A), no-load speed (rad/s) at ``voltage`` (V)."""

    stall_torque: Positive
    no_load_velocity: Positive
    voltage: Positive
    stall_current: Positive


class Carrier(Model):
    """Which registers carry a limit: one in RAM for nerf and lifts, one in EEPROM for the envelope."""

    ram: str
    eeprom: str | None = None


class Servo(Model):
    """One model of servo: registers by name; ``feedback``, ``goal``: blocks, by first and last register.

    ``watch``: a second block that is read in every cycle, of what lies far from the first.
    """

    model: str
    protocol: Literal["feetech", "dynamixel"]
    number: int
    source: str
    resolution: int
    motor: Motor
    feedback: tuple[str, str]
    goal: tuple[str, str]
    watch: tuple[str, str] | None = None
    limits: dict[Literal["effort", "velocity", "acceleration"], Carrier]
    status: dict[int, str]
    registers: dict[str, Register]
    watchdog: str | None = None
    operating_mode: int = 0

    @model_validator(mode="after")
    def _check(self) -> Servo:
        named = [
            *self.feedback,
            *self.goal,
            *(self.watch or ()),
            *(item.ram for item in self.limits.values()),
        ]
        named += [item.eeprom for item in self.limits.values() if item.eeprom]
        for name in named + ([self.watchdog] if self.watchdog else []):
            if name not in self.registers:
                raise ValueError(f"there is no register {name!r}{suggestion(name, list(self.registers))}")
        taken: dict[int, str] = {}
        for register in self.registers.values():
            for address in range(register.address, register.end):
                if address in taken:
                    raise ValueError(f"{register.name} overlaps {taken[address]} at address {address}")
                taken[address] = register.name
        return self

    @property
    def radians(self) -> float:
        """Radians a count of position."""
        return 2.0 * math.pi / self.resolution

    def register(self, name: str) -> Register:
        """The register called ``name``; raises `InvalidServo` with the nearest name that there is."""
        if name not in self.registers:
            close = suggestion(name, list(self.registers))
            raise InvalidServo(f"{self.model}: there is no register {name!r}{close}")
        return self.registers[name]

    def block(self, first: str, last: str) -> tuple[int, int]:
        """Address and length in bytes from register ``first`` to register ``last``."""
        start = self.register(first).address
        return start, self.register(last).end - start

    def inside(self, address: int, length: int) -> list[Register]:
        """The registers that lie wholly within a block, by address."""
        return list(_layout(self.model, address, length))

    def split(self, address: int, data: bytes) -> dict[str, int]:
        """Decode a block that was read from ``address`` into values by register name."""
        found = _layout(self.model, address, len(data))
        return {r.name: r.decode(data[r.address - address : r.end - address]) for r in found}

    def faults(self, status: int) -> list[str]:
        """The names of the bits set in a hardware status byte."""
        return [name for bit, name in self.status.items() if status >> bit & 1]


@functools.lru_cache(maxsize=256)
def _layout(model: str, address: int, length: int) -> tuple[Register, ...]:
    """A block's registers, kept: a block is decoded for every servo in every cycle."""
    registers = load_servo(model).registers.values()
    found = [r for r in registers if address <= r.address and r.end <= address + length]
    return tuple(sorted(found, key=lambda register: register.address))


def servo_models() -> list[str]:
    """Names of the models that ship with nerfbot, sorted."""
    names = [path.stem for path in SERVOS.glob("*.yaml")]
    return sorted(name for name in names if name != "x-series")


@functools.lru_cache(maxsize=32)
def load_servo(model: str) -> Servo:
    """The control table of ``model``; raises `InvalidServo` for a model that is not known."""
    if model not in servo_models():
        raise InvalidServo(
            f"model = {model!r}: unknown servo{suggestion(model, servo_models())}"
            f" (known: {', '.join(servo_models())})"
        )
    data = _merged(SERVOS / f"{model}.yaml")
    twos = data["protocol"] == "dynamixel"
    data["registers"] = {
        name: {"name": name, "twos": twos, **row}
        for name, row in data["registers"].items()
        if row is not None
    }
    return validate(Servo, data, model, InvalidServo)


def _merged(path: Path) -> dict[str, Any]:
    data = read_yaml(path, InvalidServo)
    base = data.pop("base", None)
    if base is None:
        return dict(data)
    merged = _merged(SERVOS / f"{base}.yaml")
    for key, value in data.items():
        if key == "registers":
            for name, row in value.items():
                merged[key][name] = None if row is None else {**(merged[key].get(name) or {}), **row}
        elif isinstance(value, dict) and key in merged:
            merged[key] = {**merged[key], **value}
        else:
            merged[key] = value
    return merged
