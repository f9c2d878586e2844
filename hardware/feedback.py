"""What the servos say: one read of all of them a cycle, believed or not, as the state that guards ask about.

A single answer that cannot be true counts as none, and so does the first one after several that were lost:
noise passes a Feetech checksum of one byte. A second one like it is believed, whatever it means. What a servo
must hold is kept here too, to be compared with what it reads back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from .bus import Bus, Reply
from .firmware import envelope_registers
from .guards import BELIEF, MISSED, STRAY_TIME, JointState, reach
from .registers import Servo
from .robot import Joint, ServoRobot


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
        self._strays: deque[tuple[float, int]] = deque()
        self._stray_count = 0
        self._turn = 0

    @property
    def strays(self) -> int:
        """Answers that nobody asked for, within the last `STRAY_TIME`."""
        return sum(count for _, count in self._strays)

    def settle(self) -> None:
        """Count strays from here on: whatever was said before belongs to the set-up."""
        self._stray_count = self.bus.stray

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
        self._watch()
        self._look_closer()
        while self._strays and now - self._strays[0][0] > STRAY_TIME:
            self._strays.popleft()
        if self.bus.stray > self._stray_count:
            self._strays.append((now, self.bus.stray - self._stray_count))
            self._stray_count = self.bus.stray

    def _take(self, joint: Joint, state: JointState, reply: Reply) -> bool:
        """Take an answer over; false where it cannot be true and nothing like it came before."""
        servo = joint.servo
        values = servo.split(self._blocks[joint.id][0], reply.data)
        position = joint.radians(values["present_position"])
        written = self.held[joint.id].all()
        wrong = [(name, values[name]) for name in written if name in values and values[name] != written[name]]
        near = reach(state, min(state.unheard, BELIEF * self.robot.period))
        far = abs(position - state.position) > near
        if far and wrong:  # two signs of garbage: no second one like it makes it true
            state.suspect = math.nan
            return False
        doubtful = far or bool(wrong) or state.missed >= MISSED
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
            state.status = tuple(servo.faults(values["hardware_status"] | reply.error))
        else:  # a Dynamixel's alert bit says that there is one; `_watch` finds out which
            alert = self.bus.wire.alert(reply.error)
            state.status = (state.status or ("alert",)) if alert else ()
        if "torque_enable" in values:
            state.torque = values["torque_enable"] == 1
        state.watchdog_fired = values.get("bus_watchdog") == -1
        state.different = state.different + 1 if wrong else 0
        if wrong:
            name, value = wrong[0]
            state.wrong = f"{name} = {value}, but {written[name]} was written"
        return True

    def _watch(self) -> None:
        """Torque and error of the servos that have them far from the rest, those that answered."""
        asked = {
            joint.id: self._watched[joint.id]
            for joint, state in zip(self.robot.joints, self.joints, strict=True)
            if joint.id in self._watched and not state.missed  # else time is dear: the others must be stopped
        }
        if not asked:
            return
        replies = self.bus.read_blocks(asked)
        for joint, state in zip(self.robot.joints, self.joints, strict=True):
            if joint.id in replies:
                values = joint.servo.split(asked[joint.id][0], replies[joint.id].data)
                state.torque = values["torque_enable"] == 1
                if values["hardware_status"]:
                    state.status = tuple(joint.servo.faults(values["hardware_status"]))

    def _look_closer(self) -> None:
        """Read the EEPROM envelope of one servo in each cycle."""
        self._turn = (self._turn + 1) % len(self.joints)
        joint, state = self.robot.joints[self._turn], self.joints[self._turn]
        if any(state.missed for state in self.joints):
            return  # time is dear: the stop must still reach the others
        servo, wanted = joint.servo, self._eeprom[joint.id]
        registers = [servo.register(name) for name in wanted]
        start = min(register.address for register in registers)
        length = max(register.end for register in registers) - start
        reply = self.bus.read_blocks({joint.id: (start, length)}).get(joint.id)
        if reply is None:
            return
        values = servo.split(start, reply.data)
        wrong = [(name, values[name]) for name in wanted if values[name] != wanted[name]]
        state.eeprom = f"{wrong[0][0]} = {wrong[0][1]}, set up as {wanted[wrong[0][0]]}" if wrong else ""

    def lose(self) -> None:
        """Nothing was heard in this cycle: the port is lost."""
        for state in self.joints:
            state.missed += 1

    def _joint_state(self, joint: Joint, low: float, high: float) -> JointState:
        servo, eeprom = joint.servo, self._eeprom[joint.id]
        initial = {name: register.initial for name, register in servo.registers.items()} | eeprom
        return JointState(
            joint.name, low, high, servo.motor.no_load_velocity,
            self.robot.limits(joint.name).max_velocity or servo.motor.no_load_velocity,
            initial["temperature_limit"], initial["min_voltage_limit"] * 0.1,
            initial["max_voltage_limit"] * 0.1,
        )  # fmt: skip


def _effort(servo: Servo, values: dict[str, int]) -> float:
    """Torque as the servo reports it, N·m: from its load, or its current."""
    if "present_load" in values:
        return values["present_load"] * servo.registers["present_load"].scale
    current = values["present_current"] * servo.registers["present_current"].scale
    return current / servo.motor.stall_current * servo.motor.stall_torque
