"""What the servos say: one read of all of them a cycle, believed or not, as the state that guards ask about.

A single answer that cannot be true counts as none, and so does the first one after several that were lost:
noise passes a Feetech checksum of one byte. A second one like it is believed, whatever it means. What a servo
must hold is kept here too, to be compared with what it reads back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..bus.bus import Bus, Reply
from ..bus.control_table import ServoModel
from ..robot import JointConfig, ServoRobot
from .guards import BELIEF, MISSED, STRAY_TIME, JointState, reach
from .register_limits import envelope_registers


@dataclass
class Held:
    """What a servo must hold, by register: ``values`` of the last cycle, ``marks`` since torque went on.

    A servo that starts anew loses the marks: a Feetech its lock, a Dynamixel its watchdog.
    """

    values: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)

    def all(self) -> dict[str, int]:
        """Both, as they are read back."""
        return {**self.marks, **self.values}


class Feedback:
    """Reads ``robot``'s servos over ``bus``; ``ranges``: smallest and largest position by joint, rad.

    ``joints`` is the state after the last `read`, ``held`` what was written, by ID.
    """

    def __init__(self, robot: ServoRobot, bus: Bus, ranges: Mapping[str, tuple[float, float]]) -> None:
        self.robot, self.bus = robot, bus
        self._eeprom = envelope_registers(robot)
        self.joints = [self._joint_state(joint, *ranges[joint.name]) for joint in robot.joints]
        self.held = {joint.id: Held() for joint in robot.joints}
        self._blocks = {j.id: j.servo.block(*j.servo.feedback) for j in robot.joints}
        self._watched = {j.id: j.servo.block(*j.servo.watch) for j in robot.joints if j.servo.watch}
        known = list(zip(robot.joints, self.joints, strict=True))
        self._closer = [(j, state, _around(j.servo, self._eeprom[j.id]), True) for j, state in known]
        self._closer += [(j, state, _around(j.servo, k), False) for j, state in known if (k := self._kept(j))]
        self._strays: deque[tuple[float, int]] = deque()
        self._stray_count = 0
        self._turn = 0

    @property
    def strays(self) -> int:
        """Answers that nobody asked for, within the last `STRAY_TIME`."""
        return sum(count for _, count in self._strays)

    def settle(self) -> None:
        """Count strays from here on: whatever was said before belongs to the set-up."""
        self._stray_count = self.bus.stray_count

    def read(self, now: float, gap: float) -> None:
        """Read every servo at ``now`` (s), ``gap`` s after the last time; raises `PortError`."""
        replies = self.bus.read_blocks(self._blocks)
        for joint, state in zip(self.robot.joints, self.joints, strict=True):
            reply = replies.get(joint.id)
            state.unheard += max(gap, self.robot.period)
            if reply is None:
                state.suspect = math.nan  # only the very next answer confirms one
            if reply is None or not self._take(joint, state, reply):
                state.missed += 1
                continue
            state.missed, state.unheard = 0, 0.0
        if not any(0 < state.missed <= MISSED for state in self.joints):  # else a stop may have to go out now
            self._watch()
        if not any(state.missed for state in self.joints):
            self._look_closer()
        while self._strays and now - self._strays[0][0] > STRAY_TIME:
            self._strays.popleft()
        if self.bus.stray_count > self._stray_count:
            self._strays.append((now, self.bus.stray_count - self._stray_count))
            self._stray_count = self.bus.stray_count

    def _take(self, joint: JointConfig, state: JointState, reply: Reply) -> bool:
        """Take an answer over; false where it cannot be true and nothing like it came before."""
        servo = joint.servo
        values = servo.decode_block(self._blocks[joint.id][0], reply.data)
        position = joint.radians(values["present_position"])
        wrong = self._differing(joint, values)
        near = reach(state, min(state.unheard, BELIEF * self.robot.period))
        far = abs(position - state.position) > near
        if far and wrong:  # two signs of garbage: no second one like it makes it true
            state.suspect = math.nan
            return False
        doubtful = far or wrong != "" or state.missed >= MISSED
        if doubtful and not abs(position - state.suspect) <= BELIEF * self.robot.period * state.fastest:
            state.suspect = position
            return False
        state.suspect = position if doubtful else math.nan
        state.reach = reach(state, state.unheard)
        state.moved, state.position = position - state.position, position
        registers = servo.registers
        sign = joint.direction
        state.velocity = sign * values["present_velocity"] * registers["present_velocity"].scale
        state.effort = sign * _effort(servo, values)
        state.temperature = values["present_temperature"]
        state.voltage = values["present_voltage"] * 0.1
        if "hardware_status" in values:
            state.status = tuple(servo.fault_names(values["hardware_status"] | reply.error))
        else:  # a Dynamixel's alert bit says that there is one; `_watch` finds out which
            alert = self.bus.protocol.alert(reply.error)
            state.status = (state.status or ("alert",)) if alert else ()
        if "torque_enable" in values:
            state.torque = values["torque_enable"] == 1
        state.different = state.different + 1 if wrong else 0
        state.wrong = wrong or state.wrong
        return True

    def _differing(self, joint: JointConfig, values: Mapping[str, int]) -> str:
        """The first of ``values``, as read, that is not what was written, in words; "" where all are."""
        for name, value in self.held[joint.id].all().items():
            if values.get(name, value) != value:
                return f"{name} = {values[name]}, but {value} was written"
        return ""

    def _watch(self) -> None:
        """Torque and error of the servos that have them far from the rest, those that answered."""
        asked = {
            joint.id: self._watched[joint.id]
            for joint, state in zip(self.robot.joints, self.joints, strict=True)
            if joint.id in self._watched and not state.missed
        }
        if not asked:
            return
        replies = self.bus.read_blocks(asked)
        for joint, state in zip(self.robot.joints, self.joints, strict=True):
            if joint.id in replies:
                values = joint.servo.decode_block(asked[joint.id][0], replies[joint.id].data)
                state.torque = values["torque_enable"] == 1
                if values["hardware_status"]:
                    state.status = tuple(joint.servo.fault_names(values["hardware_status"]))

    def _look_closer(self) -> None:
        """Read of one servo a cycle the envelope in EEPROM, or what was written to RAM outside the block that
        is read in every cycle.
        """
        joint, state, block, is_envelope = self._closer[self._turn]
        self._turn = (self._turn + 1) % len(self._closer)
        reply = self.bus.read_blocks({joint.id: block}).get(joint.id)
        if reply is None:
            return
        values = joint.servo.decode_block(block[0], reply.data)
        if is_envelope:
            wrong = [(name, value) for name, value in self._eeprom[joint.id].items() if values[name] != value]
            state.eeprom = f"{wrong[0][0]} = {values[wrong[0][0]]}, set up as {wrong[0][1]}" if wrong else ""
            return
        state.watchdog_fired = values.get("bus_watchdog") == -1
        differing = self._differing(joint, values)
        state.different_closer = state.different_closer + 1 if differing else 0
        state.wrong = differing or state.wrong

    def _kept(self, joint: JointConfig) -> list[str]:
        """Registers that are written and lie outside the block that is read in every cycle."""
        servo = joint.servo
        read = {register.name for register in servo.registers_in(*self._blocks[joint.id])}
        written = [carrier.ram for carrier in servo.limits.values()]
        written += [servo.watchdog] if servo.watchdog else []
        return [name for name in written if name not in read]

    def lose(self) -> None:
        """Nothing was heard in this cycle: the port is lost."""
        for state in self.joints:
            state.missed += 1

    def _joint_state(self, joint: JointConfig, low: float, high: float) -> JointState:
        servo, eeprom = joint.servo, self._eeprom[joint.id]
        initial = {name: register.initial for name, register in servo.registers.items()} | eeprom
        return JointState(
            joint.name, low, high, servo.motor.no_load_velocity,
            self.robot.limits(joint.name).max_velocity or servo.motor.no_load_velocity,
            initial["temperature_limit"], initial["min_voltage_limit"] * 0.1,
            initial["max_voltage_limit"] * 0.1,
        )  # fmt: skip


def _around(servo: ServoModel, names: Collection[str]) -> tuple[int, int]:
    """The smallest block, (address, length), that holds the registers ``names``."""
    registers = [servo.register(name) for name in names]
    start = min(register.address for register in registers)
    return start, max(register.end for register in registers) - start


def _effort(servo: ServoModel, values: dict[str, int]) -> float:
    """Torque as the servo reports it, N·m: from its load, or its current."""
    if "present_load" in values:
        return values["present_load"] * servo.registers["present_load"].scale
    current = values["present_current"] * servo.registers["present_current"].scale
    return current / servo.motor.stall_current * servo.motor.stall_torque
