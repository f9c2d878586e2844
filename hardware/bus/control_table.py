"""Servos as data: control tables from the makers' manuals, loaded from `servos/*.yaml`, and register values.

It knows what the numbers mean in SI units; `feetech.py` and `dynamixel.py` know how they travel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from nerfbot.declared import Declared, Number, Positive, suggestion, validate
from nerfbot.files import is_yaml_path, read_yaml

from ..errors import InvalidServo

SERVOS = Path(__file__).parents[1] / "servos"


class Register(Declared):
    """One entry of a control table.

    ``scale`` is SI units a count (1 for a plain number). ``sign`` is the bit that means minus: the top bit of
    a Dynamixel's two's complement (``twos``), a separate bit on a Feetech. ``zero: unlimited`` marks
    registers in which 0 switches the limit off.
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
    scale: Number = 1.0
    unit: str = ""
    zero: Literal["", "unlimited"] = ""
    twos: bool = False

    @property
    def end(self) -> int:
        """First address behind the register."""
        return self.address + self.size

    @property
    def max_value(self) -> int:
        """Largest value that may be written, counts."""
        return (1 << 8 * self.size) - 1 if self.high is None else self.high

    def encode(self, value: int) -> bytes:
        """Little-endian bytes of ``value``; raises `InvalidServo` where the register cannot hold it."""
        if not self.low <= value <= self.max_value:
            raise InvalidServo(f"{self.name} = {value}: the register holds {self.low} to {self.max_value}")
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
        """The largest count that is not above ``value`` (SI): a limit is rounded down. It may be 0."""
        # A hair above, so that a value computed from counts gives the same counts again.
        return math.floor(value / self.scale * (1.0 + 1e-9))


class MotorSpec(Declared):
    """A motor's datasheet: stall torque (N·m) and current (A), no-load speed (rad/s) at ``voltage`` (V)."""

    stall_torque: Positive
    no_load_velocity: Positive
    voltage: Positive
    stall_current: Positive


class LimitRegisters(Declared):
    """The registers that carry a limit: one in RAM for nerf and lifts, one in EEPROM for the envelope."""

    ram: str
    eeprom: str | None = None


class Assumption(Declared):
    """What a register must hold so that the table's units are true: ``low`` to ``high`` in the bits ``mask``.

    ``means`` says in words what it is about; it goes into the message of a refusal.
    """

    means: str
    low: int
    high: int
    mask: int = 0xFFFFFFFF

    def problem(self, name: str, value: int) -> str:
        """Why register ``name`` with ``value`` breaks the assumption; "" where it does not."""
        if self.low <= value & self.mask <= self.high:
            return ""
        bits = "" if self.mask == 0xFFFFFFFF else f" in the bits {self.mask:#x}"
        span = f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"
        return f"{name} = {value}: the units of its table assume {span}{bits} ({self.means})"


class ServoModel(Declared):
    """One model of servo: registers by name; blocks ``feedback`` and ``goal``, by first and last register.

    ``watch`` is a second block that the driver reads in every cycle; its registers lie far from the first.
    ``assumes``: registers that change what others mean, or tell variants apart. ``bauds``: bit/s by value of
    the register ``baud_rate``.
    """

    model: str
    protocol: Literal["feetech", "dynamixel"]
    number: int
    source: str
    resolution: int
    motor: MotorSpec
    feedback: tuple[str, str]
    goal: tuple[str, str]
    watch: tuple[str, str] | None = None
    limits: dict[Literal["effort", "velocity", "acceleration"], LimitRegisters]
    status: dict[int, str]
    registers: dict[str, Register]
    watchdog: str | None = None
    operating_mode: int = 0
    assumes: dict[str, Assumption] = Field(default_factory=dict)
    bauds: dict[int, int] = Field(default_factory=dict)
    _layouts: dict[tuple[int, int], tuple[Register, ...]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> ServoModel:
        names = [*self.feedback, *self.goal, *(self.watch or ()), self.watchdog, *self.assumes]
        names += [name for item in self.limits.values() for name in (item.ram, item.eeprom)]
        for name in names:
            if name and name not in self.registers:
                raise ValueError(f"there is no register {name!r}{suggestion(name, list(self.registers))}")
        used: dict[int, str] = {}
        for register in self.registers.values():
            for address in range(register.address, register.end):
                if address in used:
                    raise ValueError(f"{register.name} overlaps {used[address]} at address {address}")
                used[address] = register.name
        return self

    @property
    def radians_per_count(self) -> float:
        """Radians a count of position."""
        return 2.0 * math.pi / self.resolution

    def register(self, name: str) -> Register:
        """The register called ``name``; raises `InvalidServo` that suggests the nearest name."""
        if name not in self.registers:
            close = suggestion(name, list(self.registers))
            raise InvalidServo(f"{self.model}: there is no register {name!r}{close}")
        return self.registers[name]

    def broken_assumption(self, values: Mapping[str, int]) -> str:
        """The first assumption of the units that register ``values`` break, in words; "" where none."""
        problems = (
            assumption.problem(name, values[name])
            for name, assumption in self.assumes.items()
            if name in values
        )
        return next(filter(None, problems), "")

    def block(self, first: str, last: str) -> tuple[int, int]:
        """Address and length in bytes from register ``first`` to register ``last``."""
        start = self.register(first).address
        return start, self.register(last).end - start

    def registers_in(self, address: int, length: int) -> list[Register]:
        """The registers that lie wholly within a block, by address."""
        return list(self._layout(address, length))

    def decode_block(self, address: int, data: bytes) -> dict[str, int]:
        """Values by register name of a block that was read from ``address``."""
        layout = self._layout(address, len(data))
        return {r.name: r.decode(data[r.address - address : r.end - address]) for r in layout}

    def _layout(self, address: int, length: int) -> tuple[Register, ...]:
        """The registers of a block, cached: the driver decodes one for every servo in every cycle."""
        if (address, length) not in self._layouts:
            inside = [
                r for r in self.registers.values() if address <= r.address and r.end <= address + length
            ]
            self._layouts[address, length] = tuple(sorted(inside, key=lambda register: register.address))
        return self._layouts[address, length]

    def fault_names(self, status: int) -> list[str]:
        """The names of the bits that are set in a hardware status byte."""
        return [name for bit, name in self.status.items() if status >> bit & 1]


def servo_models() -> list[str]:
    """Names of the models that ship with nerfbot, sorted."""
    return sorted(path.stem for path in SERVOS.glob("*.yaml") if path.stem != "x-series")


def models_numbered(number: int) -> list[ServoModel]:
    """The models that report ``number``: several where variants share one."""
    return [servo for servo in map(load_servo, servo_models()) if servo.number == number]


@functools.lru_cache(maxsize=32)
def load_servo(model: str) -> ServoModel:
    """The control table of ``model``, one that ships with nerfbot or a YAML file of the user's.

    Raises `InvalidServo` for a model that is not known and a file that is no control table.
    """
    data = _merged(_table_path(model))
    try:
        twos = data["protocol"] == "dynamixel"
        data["registers"] = {
            name: {"name": name, "twos": twos, **row}
            for name, row in data["registers"].items()
            if row is not None
        }
    except (KeyError, TypeError, AttributeError):
        raise InvalidServo(f"{model}: a servo is a mapping with base, or protocol and registers") from None
    return validate(ServoModel, data, model, InvalidServo)


def _table_path(model: str) -> Path:
    if is_yaml_path(model):
        return Path(model)
    if model not in servo_models():
        raise InvalidServo(
            f"model = {model!r}: unknown servo{suggestion(model, servo_models())}"
            f" (known: {', '.join(servo_models())}, or a YAML file)"
        )
    return SERVOS / f"{model}.yaml"


def _merged(path: Path) -> dict[str, Any]:
    data = read_yaml(path, InvalidServo)
    if not isinstance(data, dict):
        raise InvalidServo(f"{path}: a servo is a mapping such as `base: sts3215`")
    base = data.pop("base", None)
    if base is None:
        return dict(data)
    if base not in ("x-series", *servo_models()):
        raise InvalidServo(f"{path}: base = {base!r}: unknown servo{suggestion(base, servo_models())}")
    merged = _merged(SERVOS / f"{base}.yaml")
    for key, value in data.items():
        if key == "registers" and isinstance(value, dict):
            for name, row in value.items():
                merged[key][name] = None if row is None else {**(merged[key].get(name) or {}), **row}
        elif isinstance(value, dict) and key in merged:
            merged[key] = {**merged[key], **value}
        else:
            merged[key] = value
    return merged
