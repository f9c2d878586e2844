"""The register map of one emulated servo and its firmware.

Where the makers' manuals are silent, the emulated firmware behaves in the least convenient plausible way: a
write to a Feetech's goal switches its torque on, and a Feetech never reports an error.
"""

from __future__ import annotations

from ..bus.control_table import Register, ServoModel
from ..bus.dynamixel import ALERT
from ..robot import FIRMWARE_OFFSET
from .motor import MotorCommand, MotorModel

DATA_RANGE, DATA_LIMIT, ACCESS = 4, 6, 7
GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
BOOT = 0.05
"""How long a servo does not answer after it gets power, s."""

DYNAMIXEL_OVERLOAD_S = 1.0  # s at the duty limit: about the e-manual's overload protection
_MIDDLE = 2048
REVERSED = 1
"""Bit of a Dynamixel's Drive_Mode: it counts the other way round (ROBOTIS e-manual, Drive Mode(10))."""

MULTI_TURN = 0x10
"""Bit of a Feetech's phase: its position goes on beyond a turn (STS memory table, address 18)."""

STEPS_PER_SECOND = 0x04
"""Bit of a Feetech's phase: a count of speed is 1 step/s, not 50 (STS memory table, address 18)."""

TIME_BASED = 0x04
"""Bit of a Dynamixel's Drive_Mode: the profile velocity is a duration in ms."""

POSITION_MODE = 3


class EmulatedServo:
    """One servo of ``model``: registers, firmware, motor. It starts with the ID ``id``."""

    def __init__(self, model: ServoModel, id: int, inertia: float = 0.01) -> None:
        self.model = model
        self.eeprom = {name: r.initial for name, r in model.registers.items() if r.area == "eeprom"}
        self.eeprom["id"] = id
        self.values: dict[str, int] = {}
        self.motor = MotorModel(model.motor, inertia, model.radians_per_count)
        self.ready_at = 0.0
        self.registered: tuple[int, bytes] | None = None
        self.latched = 0
        self.encoder_offset = 0
        self.auto_torque = True
        self._overload_since: float | None = None
        self._last_instruction = 0.0
        self._by_address = {r.address + k: r for r in model.registers.values() for k in range(r.size)}
        self.power_on(0.0)

    @property
    def feetech(self) -> bool:
        """Whether this is a Feetech servo."""
        return self.model.protocol == "feetech"

    @property
    def id(self) -> int:
        """The ID it answers to."""
        return self.values["id"]

    @property
    def baud(self) -> int:
        """The rate at which it listens, bit/s."""
        return self.model.bauds.get(self.values["baud_rate"], 0)

    def set_baud(self, baud: int) -> None:
        """Start at ``baud`` bit/s, one of its table's."""
        codes = {rate: code for code, rate in self.model.bauds.items()}
        self.eeprom["baud_rate"] = self.values["baud_rate"] = codes[baud]

    @property
    def enabled(self) -> bool:
        """Whether the motor has torque."""
        return self.values["torque_enable"] == 1

    @property
    def sign(self) -> int:
        """-1 where a Dynamixel's Drive_Mode reverses it, else 1."""
        return -1 if not self.feetech and self.values["drive_mode"] & REVERSED else 1

    @property
    def homing_offset(self) -> int:
        """Counts from the encoder to the position; 0 where the firmware ignores the register."""
        offset = self.values["homing_offset"]
        if self.feetech:
            return -offset
        ignored = self.values["operating_mode"] == POSITION_MODE and abs(offset) > FIRMWARE_OFFSET
        return 0 if ignored else offset

    @property
    def position(self) -> float:
        """The shaft's position in the servo's counts, neither rounded nor wrapped."""
        return self.sign * self.motor.angle / self.model.radians_per_count + self.homing_offset

    @property
    def counts(self) -> int:
        """The position that the encoder reports: a Feetech's wraps after a turn, but in multi-turn mode."""
        measured = round(self.position)
        if self.feetech and not self.values["phase"] & MULTI_TURN:
            measured %= self.model.resolution
        return measured + self.encoder_offset

    def angle_of(self, counts: float) -> float:
        """The shaft's angle (rad) at a position of ``counts``."""
        return self.sign * (counts - self.homing_offset) * self.model.radians_per_count

    def power_on(self, now: float) -> None:
        """Start from EEPROM, RAM at its initial values, torque off; silent for `BOOT`."""
        self.values = {name: r.initial for name, r in self.model.registers.items()}
        self.values.update(self.eeprom)
        effort = self.model.limits["effort"]
        if effort.eeprom:
            self.values[effort.ram] = self.values[effort.eeprom]
        self.values["goal_position"] = self.counts
        self.latched, self.registered, self._overload_since = 0, None, None
        self._last_instruction, self.ready_at = now, now + BOOT

    def feed_watchdog(self, now: float) -> None:
        """Any instruction on the bus feeds a Dynamixel's Bus_Watchdog."""
        self._last_instruction = now

    # Registers

    def read(self, address: int, length: int) -> bytes:
        """The bytes of a block; undefined addresses read as 0."""
        self._refresh()
        data = bytearray(length)
        for register in self.model.registers_in(address, length):
            at = register.address - address
            data[at : at + register.size] = self._bytes(register)
        for edge in (address, address + length - 1):  # a register that the block cuts
            cut = self._by_address.get(edge)
            if cut and not (address <= cut.address and cut.end <= address + length):
                for k, byte in enumerate(self._bytes(cut), cut.address - address):
                    if 0 <= k < length:
                        data[k] = byte
        return bytes(data)

    def write(self, address: int, data: bytes) -> int:
        """Write a block; returns the error number of Protocol 2.0 (a Feetech servo keeps it to itself)."""
        for register in self.model.registers_in(address, len(data)):
            at = register.address - address
            error = self._write(register, register.decode(data[at : at + register.size]))
            if error and not self.feetech:
                return error
        covered = sum(r.size for r in self.model.registers_in(address, len(data)))
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
        if not register.low <= value <= register.max_value:
            return DATA_RANGE
        if register.area == "eeprom":
            return self._write_eeprom(name, value)
        if not self.feetech:
            if self.values["bus_watchdog"] == -1 and (name in GOALS or (name == "bus_watchdog" and value)):
                return DATA_RANGE  # e-manual, Bus Watchdog (98): only 0 clears the error
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
            self.latched = 0  # clears an overload
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
        values = self.values
        if name == "goal_position" and values["operating_mode"] == 3:
            return values["min_position_limit"] <= value <= values["max_position_limit"]
        bound = {"goal_pwm": "pwm_limit", "goal_current": "current_limit", "goal_velocity": "velocity_limit"}
        limit = bound.get(name)
        return limit is None or abs(value) <= values[limit]

    def _bytes(self, register: Register) -> bytes:
        value, bits = self.values[register.name], 8 * register.size
        if value < 0:  # not `Register.encode`: a measured value may leave the writable range
            value = value + (1 << bits) if register.twos else -value | 1 << (register.sign or bits - 1)
        return (value & (1 << bits) - 1).to_bytes(register.size, "little")

    def _refresh(self) -> None:
        motor, values = self.motor, self.values
        scale = self.model.registers
        values["present_position"] = self.counts
        values["present_velocity"] = round(self.sign * motor.velocity / scale["present_velocity"].scale)
        values["present_voltage"] = max(0, round(motor.voltage * 10))
        values["present_temperature"] = max(0, min(255, round(motor.temperature)))
        values["moving"] = int(abs(motor.velocity) > 0.02)
        values["hardware_status"] = self.latched
        if "present_load" in values:
            values["present_load"] = round(1000 * self.sign * motor.duty)
        if "present_current" in values:
            values["present_current"] = round(self.sign * motor.current / scale["present_current"].scale)

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
        self.motor.step(self._command(), load, dt)

    def _command(self) -> MotorCommand:
        values, registers, limits = self.values, self.model.registers, self.model.limits
        effort_limit = abs(values[limits["effort"].ram]) * registers[limits["effort"].ram].scale
        duty_limit = effort_limit / self.model.motor.stall_torque
        if self.feetech:
            duty_limit = min(duty_limit, values["max_torque_limit"] / 1000)
            if self.latched & 1 << 5:
                duty_limit = min(duty_limit, values["protective_torque"] / 100)
        fired = values.get("bus_watchdog") == -1
        velocity, acceleration = limits["velocity"].ram, limits["acceleration"].ram
        # The servo's own loop uses what its encoder reports, as the driver does: beyond the seam, and after a
        # jump, it goes where that leads.
        error = round(self.position) - self.counts
        return MotorCommand(
            goal=self.angle_of(values["goal_position"] + error),
            velocity=0.0 if fired else abs(values[velocity]) * registers[velocity].scale * self._speed_unit,
            acceleration=0.0 if fired else values[acceleration] * registers[acceleration].scale,
            duty_limit=duty_limit,
            gain=values["position_p"] * (1.0 if self.feetech else 0.08),
            enabled=self.enabled,
            brake=fired,
        )

    @property
    def _speed_unit(self) -> float:
        """What a count of speed stands for, in units of the table: EEPROM can change it."""
        if self.feetech:
            return 1.0 if self.values["phase"] & STEPS_PER_SECOND else 50.0
        return 0.0 if self.values["drive_mode"] & TIME_BASED else 1.0  # 0: no limit; it would be a duration

    def _protect(self, now: float) -> None:
        values, motor = self.values, self.motor
        status = 0
        bits = {name: bit for bit, name in self.model.status.items()}
        if motor.temperature > values["temperature_limit"]:
            status |= 1 << bits["temperature"]
        volts = motor.voltage * 10
        if not values["min_voltage_limit"] <= volts <= values["max_voltage_limit"]:
            status |= 1 << bits["voltage"]
        if self._overloaded(now):
            status |= 1 << bits["overload"]
        if self.feetech:  # the bits follow their causes, but overload stays
            self.latched = status | (self.latched & 1 << bits["overload"])
            unload = values["unloading_condition"] & 0b1111
        else:
            self.latched |= status
            unload = values["shutdown"]
        if self.latched & unload and values["torque_enable"]:
            values["torque_enable"] = 0

    def _overloaded(self, now: float) -> bool:
        if self.feetech:
            limit, patience = self.values["overload_torque"] / 100, self.values["protection_time"] / 100
        else:
            limit, patience = 0.95, DYNAMIXEL_OVERLOAD_S
        if not self.enabled or abs(self.motor.duty) < limit:
            self._overload_since = None
            return False
        if self._overload_since is None:
            self._overload_since = now
        return now - self._overload_since >= patience

    def _watchdog(self, now: float) -> None:
        counts = self.values.get("bus_watchdog", 0)
        if counts > 0 and self.enabled and now - self._last_instruction > counts * 0.02:
            self.values["bus_watchdog"] = -1

    def relieve(self) -> None:
        """End what acts on the servo from outside: a jam, a load, a wrong supply. Damage stays."""
        self.motor.stuck, self.motor.extra_load, self.motor.supply = False, 0.0, self.model.motor.voltage
        self.auto_torque = True

    def place(self, angle: float, now: float) -> None:
        """Make it a healthy servo at ``angle`` (rad, 0 at count 0), freshly powered; EEPROM stays."""
        self.encoder_offset, self.auto_torque = 0, True
        self.motor.place(angle)
        self.power_on(now - BOOT)
        self.motor.set_point = self.motor.angle
