"""Recovery from a latch: what the servos have lost is found and established again, and a permit clears it.

A latched arm comes to rest first. Then, cycle by cycle: `DIAGNOSE` one servo after the other; `RESTORE` what
changes no torque (a Feetech's EEPROM lock, a Dynamixel's watchdog); `OPERATOR` while a cause persists;
`READY` waits for the permit that clears the latch. Nothing changes torque before that permit: with it,
`SERVICE` restarts servos and writes their EEPROM, after a let-down where such a servo has torque; then torque
returns at the measured position, and the arm holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import NamedTuple

from ..bus.bus import Bus
from ..errors import BusError, PortError
from ..robot import JointConfig, ServoRobot
from ..safety.permit import NERFED
from .feedback import ExpectedRegisters, Feedback, around, assumed_eeprom
from .goal_writer import GoalWriter
from .guards import Clears, Guard
from .joint_state import JointState
from .register_limits import RegisterPlan, envelope_registers
from .setup import write_limits


class Recovery(Enum):
    """How far the recovery from a latch is; `NONE`: nothing is latched."""

    NONE = ""
    DIAGNOSE = "diagnose"
    RESTORE = "restore"
    OPERATOR = "operator"
    READY = "ready"
    SERVICE = "service"


class Finding(NamedTuple):
    """What a servo's registers say: its errors, and whether EEPROM is not as it was set up.

    ``foreign``: a register that the driver does not write and that changes what others mean, "" for none.
    """

    faults: tuple[str, ...] = ()
    eeprom: bool = False
    foreign: str = ""

    @property
    def needs_service(self) -> bool:
        """Whether it has to be rebooted, or written, with torque off."""
        return bool(self.faults) or self.eeprom


class ServoRecovery:
    """Examines the servos of a latched ``robot`` and establishes again what they have lost.

    ``record`` receives events. Everything raises `PortError`, `service` and `switch_on` also `BusError`.
    """

    def __init__(
        self,
        robot: ServoRobot,
        bus: Bus,
        plan: RegisterPlan,
        feedback: Feedback,
        goals: GoalWriter,
        record: Callable[..., None],
    ) -> None:
        self._bus, self._plan, self._feedback, self._record = bus, plan, feedback, record
        self._watchdog_s = robot.watchdog_s
        self._eeprom = envelope_registers(robot)
        self._joints = list(zip(robot.joints, feedback.joints, goals.joints, strict=True))
        self._blocks = {
            joint.id: (
                around(joint.servo, {*self._eeprom[joint.id], *assumed_eeprom(joint.servo)}),
                around(joint.servo, ("torque_enable", "hardware_status", *self._marks(joint))),
            )
            for joint in robot.joints
        }
        self._turn = 0
        self._restored: set[int] = set()
        self._findings: dict[int, Finding] = {}

    def forget(self) -> None:
        """Forget what was found: something has happened since."""
        self._findings.clear()

    def state(self, causes: Collection[Guard]) -> Recovery:
        """How far it is, while the guards ``causes`` say that a cause persists."""
        if self._restored or any(guard.clears is Clears.RESTORE for guard in causes):
            return Recovery.RESTORE
        if self.needs() or any(guard.clears is not Clears.PERMIT for guard in causes):
            return Recovery.OPERATOR
        if len(self._findings) < len(self._joints):
            return Recovery.DIAGNOSE
        return Recovery.SERVICE if self.to_service() else Recovery.READY

    def needs(self) -> list[str]:
        """What only an operator can set right in the servos."""
        return [
            f"{joint.name}: {finding.foreign}: set the servo up again, then start a new driver"
            for joint, *_ in self._joints
            if (finding := self._finding(joint)).foreign
        ]

    def to_service(self) -> list[JointState]:
        """The joints whose servos have to be serviced with torque off."""
        return [state for joint, state, _ in self._joints if self._finding(joint).needs_service]

    def examine_next(self) -> None:
        """Read the next servo's registers, and write those again that change no torque."""
        joint, state, _ = self._joints[self._turn]
        self._turn = (self._turn + 1) % len(self._joints)
        self._findings.pop(joint.id, None)
        self._restored.discard(joint.id)
        if state.missed:
            return
        values: dict[str, int] = {}
        for block in self._blocks[joint.id]:
            reply = self._bus.read_blocks({joint.id: block}).get(joint.id)
            if reply is None:
                return
            values |= joint.servo.decode_block(block[0], reply.data)
        if self._restore(joint, state, values):
            self._restored.add(joint.id)
            return
        faults = tuple(joint.servo.fault_names(values["hardware_status"]))
        wrong = any(values[name] != value for name, value in self._eeprom[joint.id].items())
        assumed = {name: values[name] for name in assumed_eeprom(joint.servo)}
        self._findings[joint.id] = Finding(faults, wrong, joint.servo.broken_assumption(assumed))

    def _restore(self, joint: JointConfig, state: JointState, values: dict[str, int]) -> bool:
        """Write lock and watchdog again where they are not what they were; whether that was needed."""
        marks = self._marks(joint)
        if joint.servo.watchdog and values["torque_enable"] != 1:
            marks[joint.servo.watchdog] = 0  # it is armed with the torque
        self._feedback.expected[joint.id].marks = marks
        lost = {name: value for name, value in marks.items() if values[name] != value}
        if not lost:
            return False
        try:
            for name, value in lost.items():
                if name == joint.servo.watchdog:
                    self._bus.write(joint.id, name, 0)  # acknowledges one that has fired
                self._bus.write(joint.id, name, value)
        except PortError:
            raise
        except BusError as problem:
            self._record("restore-failed", joint=joint.name, problem=str(problem))
            return True
        _forget_mismatches(state)
        self._record("restore", joint=joint.name, registers=lost)
        return True

    def service(self) -> None:
        """Restart servos that report an error and write EEPROM that changed; their torque must be off."""
        for joint, state, _ in self._joints:
            finding = self._finding(joint)
            if not finding.needs_service:
                continue
            del self._findings[joint.id]
            if finding.eeprom:
                self._bus.write_eeprom(joint.id, self._eeprom[joint.id])
            if finding.faults and joint.servo.protocol == "dynamixel":
                self._bus.reboot(joint.id)
            elif finding.faults:  # what clears an overload on a Feetech
                self._bus.write_checked(joint.id, "torque_enable", 0)
            state.eeprom_mismatch, state.hardware_errors = "", ()
            self._record("service", joint=joint.name, faults=finding.faults, eeprom=finding.eeprom)

    def switch_on(self) -> None:
        """Torque on where it is off: nerfed limits, the goal where the joint stands, each value checked."""
        for joint, state, goal in self._joints:
            if state.torque_on:
                continue
            id, servo, marks = joint.id, joint.servo, self._marks(joint)
            write_limits(self._bus, {id: self._plan.counts_at(NERFED)[id]})
            state.position = joint.radians(self._bus.read(id, "present_position"))
            goal.shape.begin(state.position)
            if servo.watchdog is not None:
                self._bus.write_checked(id, servo.watchdog, 0)
            if "lock" in marks:
                self._bus.write_checked(id, "lock", marks["lock"])
            self._bus.write(id, "goal_position", goal.counts())
            self._bus.write_checked(id, "torque_enable", 1)
            if servo.watchdog in marks:
                self._bus.write_checked(id, servo.watchdog, marks[servo.watchdog])
            self._feedback.expected[id] = ExpectedRegisters(marks=marks)
            state.torque_on, state.missed = True, 0
            state.blocked_for = state.pressing_for = 0.0
            _forget_mismatches(state)

    def _finding(self, joint: JointConfig) -> Finding:
        return self._findings.get(joint.id, Finding())

    def _marks(self, joint: JointConfig) -> dict[str, int]:
        """Registers that a servo with torque holds, and loses when it restarts."""
        servo, marks = joint.servo, {}
        if "lock" in servo.registers:
            marks["lock"] = 1
        if servo.watchdog is not None and self._watchdog_s is not None:
            scale = servo.register(servo.watchdog).scale
            marks[servo.watchdog] = max(1, round(self._watchdog_s / scale))
        return marks


def _forget_mismatches(state: JointState) -> None:
    state.mismatches, state.rotation_mismatches, state.watchdog_fired = 0, 0, False
