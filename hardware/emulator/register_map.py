"""The register map of one emulated servo and what its firmware does with it.

Where the makers say nothing, the emulated firmware is the less convenient of the plausible ones: a write to
a Feetech's goal switches its torque on, and a Feetech never complains.
"""

from __future__ import annotations

from ..bus.control_table import Register, ServoModel
from ..bus.dynamixel import ALERT
from .motor import Drive, Plant

DATA_RANGE, DATA_LIMIT, ACCESS = 4, 6, 7
GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
BOOT = 0.05
"""How long a servo is silent after it gets power, s."""

DYNAMIXEL_OVERLOAD_S = 1.0  # s at the cap, about what the e-manual's overload protection takes
_MIDDLE = 2048


class EmulatedServo:
    """One servo: memory, firmware, shaft. ``id`` is where it starts; EEPROM keeps what is written to it."""

    def __init__(self, servo: ServoModel, id: int, inertia: float = 0.01) -> None:
        self.servo = servo
        self.eeprom = {name: r.initial for name, r in servo.registers.items() if r.area == "eeprom"}
        self.eeprom["id"] = id
        self.values: dict[str, int] = {}
        self.plant = Plant(servo.motor, inertia, servo.radians_per_count)
        self.ready_at = 0.0
        self.registered: tuple[int, bytes] | None = None
        self.latched = 0
        self.encoder_offset = 0
        self.auto_torque = True
        self._overload_since: float | None = None
        self._heard = 0.0
        self._by_address = {r.address + k: r for r in servo.registers.values() for k in range(r.size)}
        self.power_on(0.0)

    @property
    def feetech(self) -> bool:
        """Whether this is a Feetech servo."""
        return self.servo.protocol == "feetech"

    @property
    def id(self) -> int:
        """The ID it answers to."""
        return self.values["id"]

    @property
    def enabled(self) -> bool:
        """Whether the motor has torque."""
        return self.values["torque_enable"] == 1

    @property
    def counts(self) -> int:
        """What the encoder reports."""
        measured = round(self.plant.angle / self.servo.radians_per_count) + self.encoder_offset
        offset = self.values["homing_offset"]
        return measured - offset if self.feetech else measured + offset

    def power_on(self, now: float) -> None:
        """Start from EEPROM, RAM at its initial values, torque off; silent for `BOOT`."""
        self.values = {name: r.initial for name, r in self.servo.registers.items()}
        self.values.update(self.eeprom)
        carrier = self.servo.limits["effort"]
        if carrier.eeprom:
            self.values[carrier.ram] = self.values[carrier.eeprom]
        self.values["goal_position"] = self.counts
        self.latched, self.registered, self._overload_since = 0, None, None
        self._heard, self.ready_at = now, now + BOOT

    def heard(self, now: float) -> None:
        """Any instruction on the bus feeds a Dynamixel's Bus_Watchdog."""
        self._heard = now

    # Memory

    def read(self, address: int, length: int) -> bytes:
        """The bytes of a block; what is not defined reads as 0."""
        self._refresh()
        data = bytearray(length)
        for register in self.servo.registers_in(address, length):
            at = register.address - address
            data[at : at + register.size] = self._bytes(register)
        for edge in (address, address + length - 1):  # a register that the block cuts
            whole = self._by_address.get(edge)
            if whole and not (address <= whole.address and whole.end <= address + length):
                held = self._bytes(whole)
                for k in range(whole.size):
                    if 0 <= whole.address + k - address < length:
                        data[whole.address + k - address] = held[k]
        return bytes(data)

    def write(self, address: int, data: bytes) -> int:
        """Write a block; returns the error number of Protocol 2.0 (a Feetech servo keeps it to itself)."""
        for register in self.servo.registers_in(address, len(data)):
            at = register.address - address
            error = self._write(register, register.decode(data[at : at + register.size]))
            if error and not self.feetech:
                return error
        covered = sum(r.size for r in self.servo.registers_in(address, len(data)))
        if self.feetech:
            return 0
        return 0 if covered == len(data) else ACCESS

    def _write(self, register: Register, value: int) -> int:
        name = register.name
        if register.access == "r":
            return ACCESS
        if self.feetech and name == "torque_enable" and value == 128:
            self.values["homing_offset"] = self.eeprom["homing_offset"] = 0
            self.values["homing_offset"] = max(-2047, min(2047, self.counts - _MIDDLE))
            self.eeprom["homing_offset"] = self.values["homing_offset"]
            return 0
        most = register.high if register.high is not None else (1 << 8 * register.size) - 1
        if not register.low <= value <= most:
            return DATA_RANGE
        if register.area == "eeprom":
            return self._write_eeprom(name, value)
        if not self.feetech:
            if self.values["bus_watchdog"] == -1 and name in GOALS:
                return DATA_RANGE
            if not self._inside_limits(name, value):
                return DATA_LIMIT
            if name == "bus_watchdog" and value < 0:
                return DATA_RANGE
            if name == "torque_enable" and value and self.latched:
                return ACCESS
        elif name == "goal_position":
            value = max(self.values["min_position_limit"], min(self.values["max_position_limit"], value))
            if self.values["torque_enable"] == 0 and not self.latched and self.auto_torque:
                self.values["torque_enable"] = 1
        if name == "torque_enable" and value and not self.values["torque_enable"]:
            self.values["goal_position"] = self.counts
        if name == "torque_enable" and not value and self.feetech:
            self.latched = 0  # what an overload leaves behind
        self.values[name] = value
        return 0

    def _write_eeprom(self, name: str, value: int) -> int:
        if not self.feetech and self.values["torque_enable"]:
            return ACCESS
        self.values[name] = value
        if not self.feetech or not self.values["lock"]:
            self.eeprom[name] = value
        return 0

    def _inside_limits(self, name: str, value: int) -> bool:
        held = self.values
        if name == "goal_position" and held["operating_mode"] == 3:
            return held["min_position_limit"] <= value <= held["max_position_limit"]
        bound = {"goal_pwm": "pwm_limit", "goal_current": "current_limit", "goal_velocity": "velocity_limit"}
        limit = bound.get(name)
        return limit is None or abs(value) <= held[limit]

    def _bytes(self, register: Register) -> bytes:
        value, bits = self.values[register.name], 8 * register.size
        if value < 0:  # a count of its own: what is measured may leave the range that may be written
            value = value + (1 << bits) if register.twos else -value | 1 << (register.sign or bits - 1)
        return (value & (1 << bits) - 1).to_bytes(register.size, "little")

    def _refresh(self) -> None:
        plant, held = self.plant, self.values
        scale = self.servo.registers
        held["present_position"] = self.counts
        held["present_velocity"] = round(plant.velocity / scale["present_velocity"].scale)
        held["present_voltage"] = max(0, round(plant.voltage * 10))
        held["present_temperature"] = max(0, min(255, round(plant.temperature)))
        held["moving"] = int(abs(plant.velocity) > 0.02)
        held["hardware_status"] = self.latched
        if "present_load" in held:
            held["present_load"] = round(1000 * plant.duty)
        if "present_current" in held:
            held["present_current"] = round(plant.current / scale["present_current"].scale)

    def error_byte(self, refused: int = 0) -> int:
        """The error byte of a status."""
        if self.feetech:
            return self.latched
        return refused | (ALERT if self.latched else 0)

    # Firmware

    def step(self, load: float, now: float, dt: float) -> None:
        """Advance firmware and shaft by ``dt`` s; ``load`` in N·m."""
        self._protect(now)
        self._watchdog(now)
        self.plant.step(self._drive(), load, dt)

    def _drive(self) -> Drive:
        held, registers, limits = self.values, self.servo.registers, self.servo.limits
        cap = abs(held[limits["effort"].ram]) * registers[limits["effort"].ram].scale
        cap /= self.servo.motor.stall_torque
        if self.feetech:
            cap = min(cap, held["max_torque_limit"] / 1000)
            if self.latched & 1 << 5:
                cap = min(cap, held["protective_torque"] / 100)
        offset = held["homing_offset"] if self.feetech else -held["homing_offset"]
        fired = held.get("bus_watchdog") == -1
        velocity, acceleration = limits["velocity"].ram, limits["acceleration"].ram
        offset -= self.encoder_offset  # the servo's own loop believes its encoder, as the driver does
        return Drive(
            goal=(held["goal_position"] + offset) * self.servo.radians_per_count,
            velocity=0.0 if fired else abs(held[velocity]) * registers[velocity].scale,
            acceleration=0.0 if fired else held[acceleration] * registers[acceleration].scale,
            cap=cap,
            gain=held["position_p"] * (1.0 if self.feetech else 0.08),
            enabled=self.enabled,
            brake=fired,
        )

    def _protect(self, now: float) -> None:
        held, plant = self.values, self.plant
        seen = 0
        bits = {name: bit for bit, name in self.servo.status.items()}
        if plant.temperature > held["temperature_limit"]:
            seen |= 1 << bits["temperature"]
        volts = plant.voltage * 10
        if not held["min_voltage_limit"] <= volts <= held["max_voltage_limit"]:
            seen |= 1 << bits["voltage"]
        if self._overloaded(now):
            seen |= 1 << bits["overload"]
        if self.feetech:  # the bits follow their causes, but overload stays until the goal changes
            self.latched = seen | (self.latched & 1 << bits["overload"])
            unload = held["unloading_condition"] & 0b1111
        else:
            self.latched |= seen
            unload = held["shutdown"]
        if self.latched & unload and held["torque_enable"]:
            held["torque_enable"] = 0

    def _overloaded(self, now: float) -> bool:
        if self.feetech:
            limit, patience = self.values["overload_torque"] / 100, self.values["protection_time"] / 100
        else:
            limit, patience = 0.95, DYNAMIXEL_OVERLOAD_S
        if not self.enabled or abs(self.plant.duty) < limit:
            self._overload_since = None
            return False
        if self._overload_since is None:
            self._overload_since = now
        return now - self._overload_since >= patience

    def _watchdog(self, now: float) -> None:
        counts = self.values.get("bus_watchdog", 0)
        if counts > 0 and self.enabled and now - self._heard > counts * 0.02:
            self.values["bus_watchdog"] = -1

    def relieve(self) -> None:
        """End what acts on the servo from outside: a jam, a load, a wrong supply. What it has taken stays."""
        self.plant.stuck, self.plant.extra_load, self.plant.supply = False, 0.0, self.servo.motor.voltage
        self.auto_torque = True

    def place(self, angle: float, now: float) -> None:
        """Back to a healthy servo at ``angle`` (rad, 0 at count 0), freshly powered, EEPROM kept."""
        self.encoder_offset, self.auto_torque = 0, True
        self.plant.place(angle)
        self.power_on(now - BOOT)
        self.plant.at = self.plant.angle
