"""What the servos report: one read of all of them a cycle, checked for plausibility, as the state for guards.

A single answer that cannot be true counts as none, and so does the first one after several that were lost:
noise passes a Feetech checksum of one byte. A second one like it counts, whatever it means. Feedback also
keeps what each servo must hold and compares it with what it reads back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..bus.bus import Bus, Reply
from ..bus.control_table import ServoModel
from ..robot import JointConfig, ServoRobot
from .joint_state import CONFIRM_CYCLES, MAX_MISSED, MAX_PRESSING, JointState
from .register_limits import envelope_registers

STRAY_TIME = 0.2
"""How long a stray answer counts, s."""


EARLIER = 8
"""So many cycles of writes may have been lost before a value counts as somebody else's."""

NEAR_GOAL = 33
"""A servo that restarts has its goal where it stands: one this near (counts) may be its own."""


@dataclass
class ExpectedRegisters:
    """What a servo must hold, by register: ``values`` of the last cycle, ``marks`` since torque went on.

    A servo that restarts loses the marks: a Feetech its lock, a Dynamixel its watchdog. ``earlier``: values
    of the cycles before, which it still holds where a write was lost.
    """

    values: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    earlier: deque[dict[str, int]] = field(default_factory=lambda: deque(maxlen=EARLIER))

    def write(self, values: dict[str, int]) -> None:
        """Note what is written in this cycle."""
        self.earlier.append(self.values)
        self.values = values

    def was_written(self, name: str, value: int) -> bool:
        """Whether the register can hold ``value`` by this driver's writes, as far as it has written any."""
        written = [cycle[name] for cycle in (self.values, *self.earlier) if name in cycle]
        return not written or value in written


class Feedback:
    """Reads ``robot``'s servos over ``bus``; ``ranges``: smallest and largest position by joint, rad.

    ``joints`` is the state after the last `read`, ``expected`` what was written, by ID.
    """

    def __init__(self, robot: ServoRobot, bus: Bus, ranges: Mapping[str, tuple[float, float]]) -> None:
        self.robot, self.bus = robot, bus
        self._eeprom = envelope_registers(robot)
        self.joints = [self._joint_state(joint, *ranges[joint.name]) for joint in robot.joints]
        self.expected = {joint.id: ExpectedRegisters() for joint in robot.joints}
        self._pairs = list(zip(robot.joints, self.joints, strict=True))
        self._blocks = {j.id: j.servo.block(*j.servo.feedback) for j in robot.joints}
        self._watch_blocks = {j.id: j.servo.block(*j.servo.watch) for j in robot.joints if j.servo.watch}
        self._rotation = [
            (j, state, around(j.servo, {*self._eeprom[j.id], *assumed_eeprom(j.servo)}), True)
            for j, state in self._pairs
        ]
        self._rotation += [
            (joint, state, around(joint.servo, names), False)
            for joint, state in self._pairs
            if (names := self._written_outside_block(joint))
        ]
        self._turn = 0
        self._unasked: deque[tuple[float, int, int]] = deque()
        self._counted = (0, 0)

    @property
    def strays(self) -> int:
        """Stray answers within the last `STRAY_TIME`."""
        return sum(strays for _, strays, _ in self._unasked)

    @property
    def late(self) -> int:
        """Cycles with late answers within the last `STRAY_TIME`."""
        return sum(late > 0 for _, _, late in self._unasked)

    def reset_strays(self) -> None:
        """Count stray and late answers from here on: earlier ones belong to the set-up."""
        self._counted = (self.bus.stray_count, self.bus.late)

    def read(self, now: float, gap: float) -> None:
        """Read every servo at ``now`` (s), ``gap`` s after the last time; raises `PortError`."""
        replies = self.bus.read_blocks(self._blocks)
        for joint, state in self._pairs:
            reply = replies.get(joint.id)
            state.foreign_goal = self._foreign_goal(joint, reply)
            state.silent_for += max(gap, self.robot.period)
            if reply is None:
                state.unconfirmed = math.nan  # only the very next answer confirms one
            if reply is None or not self._update(joint, state, reply):
                state.missed += 1
                continue
            state.missed, state.silent_for = 0, 0.0
        if not any(0 < state.missed <= MAX_MISSED for state in self.joints):  # else a stop may be due at once
            self._read_watched()
        if not any(state.missed for state in self.joints):
            self._check_next()
        while self._unasked and now - self._unasked[0][0] > STRAY_TIME:
            self._unasked.popleft()
        strays, late = self._counted
        self.reset_strays()
        if self._counted != (strays, late):
            self._unasked.append((now, self._counted[0] - strays, self._counted[1] - late))

    def count_missed(self) -> None:
        """Count a cycle without any answer: the port is lost."""
        for state in self.joints:
            state.missed += 1

    def _update(self, joint: JointConfig, state: JointState, reply: Reply) -> bool:
        """Update ``state`` from an answer; false where it cannot be true and none like it came before."""
        servo = joint.servo
        values = servo.decode_block(self._blocks[joint.id][0], reply.data)
        position = joint.radians(values["present_position"])
        mismatch = self._mismatch(joint, values)
        reach = state.reach(min(state.silent_for, CONFIRM_CYCLES * self.robot.period))
        far = abs(position - state.position) > reach
        if far and mismatch:  # two signs of garbage: no second one like it makes it true
            state.unconfirmed = math.nan
            return False
        doubtful = far or mismatch != "" or state.missed >= MAX_MISSED
        tolerance = CONFIRM_CYCLES * self.robot.period * state.max_speed
        if doubtful and not abs(position - state.unconfirmed) <= tolerance:
            state.unconfirmed = position
            return False
        state.unconfirmed = position if doubtful else math.nan
        state.max_displacement = state.reach(state.silent_for)
        state.displacement, state.position = position - state.position, position
        scale = servo.registers["present_velocity"].scale
        state.velocity = joint.direction * values["present_velocity"] * scale
        state.effort = joint.direction * _effort(servo, values)
        state.temperature = values["present_temperature"]
        state.voltage = values["present_voltage"] * 0.1
        if "hardware_status" in values:
            state.hardware_errors = tuple(servo.fault_names(values["hardware_status"] | reply.error))
        else:  # a Dynamixel's alert bit says that there is an error; `_read_watched` finds out which
            alert = self.bus.protocol.alert(reply.error)
            state.hardware_errors = (state.hardware_errors or ("alert",)) if alert else ()
        if "torque_enable" in values:
            state.torque_on = values["torque_enable"] == 1
        state.mismatches = state.mismatches + 1 if mismatch else 0
        state.mismatch = mismatch or state.mismatch
        return True

    def _foreign_goal(self, joint: JointConfig, reply: Reply | None) -> str:
        """A goal that only another program can have written, in words; "" where there is none.

        It is read again at once, so that garbage does not count and another's goal acts for one cycle only.
        """
        address, length = self._blocks[joint.id]
        for again in (False, True):
            if again:
                reply = self.bus.read_blocks({joint.id: (address, length)}).get(joint.id)
            if reply is None:
                return ""
            values = joint.servo.decode_block(address, reply.data)
            goal = values["goal_position"]
            at_power_on = abs(goal - values["present_position"]) <= NEAR_GOAL
            if at_power_on or self.expected[joint.id].was_written("goal_position", goal):
                return ""
        return f"goal_position = {goal}, which this driver has not written"

    def _mismatch(self, joint: JointConfig, values: Mapping[str, int]) -> str:
        """The first of the read ``values`` that is not what was written, in words; "" where all are.

        While answers are late, one may be that to an earlier read: it says nothing about the last write.
        """
        if self.late:
            return ""
        expected = self.expected[joint.id]
        for name, value in {**expected.marks, **expected.values}.items():
            if values.get(name, value) != value:
                return f"{name} = {values[name]}, but {value} was written"
        return ""

    def _read_watched(self) -> None:
        """Read torque and errors of the servos that answered and have them far from the feedback block."""
        blocks = {
            joint.id: self._watch_blocks[joint.id]
            for joint, state in self._pairs
            if joint.id in self._watch_blocks and not state.missed
        }
        if not blocks:
            return
        replies = self.bus.read_blocks(blocks)
        for joint, state in self._pairs:
            if joint.id in replies:
                values = joint.servo.decode_block(blocks[joint.id][0], replies[joint.id].data)
                state.torque_on = values["torque_enable"] == 1
                if values["hardware_status"]:
                    state.hardware_errors = tuple(joint.servo.fault_names(values["hardware_status"]))

    def _check_next(self) -> None:
        """Check a servo in turn: its envelope in EEPROM, or written registers outside the feedback block."""
        joint, state, block, is_envelope = self._rotation[self._turn]
        self._turn = (self._turn + 1) % len(self._rotation)
        reply = self.bus.read_blocks({joint.id: block}).get(joint.id)
        if reply is None:
            return
        values = joint.servo.decode_block(block[0], reply.data)
        if is_envelope:
            state.eeprom_mismatch = next(
                (
                    f"{name} = {values[name]}, set up as {value}"
                    for name, value in self._eeprom[joint.id].items()
                    if values[name] != value
                ),
                joint.servo.broken_assumption({name: values[name] for name in assumed_eeprom(joint.servo)}),
            )
            return
        state.watchdog_fired = values.get("bus_watchdog") == -1
        mismatch = self._mismatch(joint, values)
        state.rotation_mismatches = state.rotation_mismatches + 1 if mismatch else 0
        state.mismatch = mismatch or state.mismatch

    def _written_outside_block(self, joint: JointConfig) -> list[str]:
        """Registers that the driver writes and that lie outside the feedback block."""
        servo = joint.servo
        inside = {register.name for register in servo.registers_in(*self._blocks[joint.id])}
        written = [limit.ram for limit in servo.limits.values()]
        written += [servo.watchdog] if servo.watchdog else []
        return [name for name in written if name not in inside]

    def _joint_state(self, joint: JointConfig, low: float, high: float) -> JointState:
        servo = joint.servo
        initial = {name: register.initial for name, register in servo.registers.items()}
        initial |= self._eeprom[joint.id]
        return JointState(
            joint.name, low, high, servo.motor.no_load_velocity,
            self.robot.limits(joint.name).max_velocity or servo.motor.no_load_velocity,
            initial["temperature_limit"], initial["min_voltage_limit"] * 0.1,
            initial["max_voltage_limit"] * 0.1,
            is_gripper=joint.is_gripper, max_pressing=MAX_PRESSING * servo.motor.stall_torque,
        )  # fmt: skip


def around(servo: ServoModel, names: Collection[str]) -> tuple[int, int]:
    """The smallest block, (address, length), that holds the registers ``names``."""
    registers = [servo.register(name) for name in names]
    start = min(register.address for register in registers)
    return start, max(register.end for register in registers) - start


def assumed_eeprom(servo: ServoModel) -> list[str]:
    """Registers in EEPROM that the units of ``servo`` assume."""
    return [name for name in servo.assumes if servo.registers[name].area == "eeprom"]


def _effort(servo: ServoModel, values: dict[str, int]) -> float:
    """Torque as the servo reports it, N·m: from its load, or its current."""
    if "present_load" in values:
        return values["present_load"] * servo.registers["present_load"].scale
    current = values["present_current"] * servo.registers["present_current"].scale
    return current / servo.motor.stall_current * servo.motor.stall_torque
