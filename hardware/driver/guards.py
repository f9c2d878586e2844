"""What makes the driver stop: a table of guards, each a name, a severity and one check of a bus cycle.

A check returns the reason in a few words, or "". The driver runs all of them in every cycle, and the worst
severity wins. A STOP ends by itself when its cause has gone; a LATCH stays until a permit clears it, and
`Clears` says what comes before that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..bus.bus import LATE_CURE
from ..safety.permit import PermitState
from ..safety.severity import Severity
from .joint_state import MAX_MISSED, JointState

MAX_MISMATCHES = 2
"""Reads in a row in which a register may differ from what was written: one write may be lost."""

COMMAND_TIMEOUT = 0.1
"""The driver follows a command for this long after its receipt, s."""

RANGE_MARGIN = 0.08
"""How far outside the envelope's range a joint may be measured, rad: sag and overshoot."""

TEMPERATURE_MARGIN = 3.0
"""The driver stops this far below the servo's own limit, K."""

STUCK_ERROR, STUCK_SPEED, STUCK_TIME = 0.06, 0.05, 0.25
"""A joint this far from its goal (rad), this slow (rad/s), for this long (s) is blocked.

One that does not push, or too hard, is stuck; else it presses on something, as a gripper does for as long as
it holds an object.
"""

CONTACT_TIME = 1.0
"""A joint that is no gripper may press on something for this long, s."""

PRESSING_MARGIN = 15.0
"""No joint presses on something within this of the servo's own temperature limit, K."""

STRAYS = 3
"""So many stray answers within `feedback.STRAY_TIME` mean a second servo with that ID."""

MAX_LATE = 5
"""Late answers in so many cycles within `feedback.STRAY_TIME` are no accident."""

MAX_PERIODS = 3.0
"""A longer gap between cycles, in periods, is a pause, after which no message that waited is believed."""


@dataclass
class BusCycle:
    """What a guard may check: one bus cycle at ``now`` (s), ``gap`` s after the one before."""

    now: float
    period: float
    gap: float
    permit: PermitState
    joints: list[JointState]
    command_received: float = -math.inf
    command_problem: str = ""
    command_conflict: bool = False
    port_open: bool = True
    reopened: bool = False
    strays: int = 0
    late: int = 0
    envelope_intact: bool = True
    enabled: bool = False
    log_problem: str = ""

    def first(self, check: Callable[[JointState], str]) -> str:
        """The first joint's reason that is not empty, with the joint's name."""
        for joint in self.joints:
            reason = check(joint)
            if reason:
                return f"{joint.name}: {reason}"
        return ""

    def first_enabled(self, check: Callable[[JointState], str]) -> str:
        """The same while torque should be on, else ""."""
        return self.first(check) if self.enabled else ""


class Clears(Enum):
    """What clears a guard's stop; the permit is the one with the latch's number."""

    ITSELF = "itself"
    PERMIT = "permit"
    RESTORE = "restored, permit"
    """The driver writes the registers again."""
    TORQUE = "permit, torque on"
    """With the permit, at the measured position."""
    SERVICE = "permit, serviced"
    """With the permit: torque off after a let-down, then a restart or EEPROM."""
    OPERATOR = "operator, permit"
    """`OPERATOR_ACTS` says what to do."""
    RESTART = "a new driver"


class Guard(NamedTuple):
    """One guard: its name, how bad it is, what clears it, and its check, which returns a reason or ""."""

    name: str
    severity: Severity
    clears: Clears
    check: Callable[[BusCycle], str]

    @property
    def waits_for_permit(self) -> bool:
        """Whether its cause ends only with the permit that clears the latch."""
        return self.clears in (Clears.TORQUE, Clears.SERVICE)


def _permit_conflict(cycle: BusCycle) -> str:
    return "two sources of permits" if cycle.permit.conflict else ""


def _command_age(cycle: BusCycle) -> str:
    return "" if cycle.now - cycle.command_received <= COMMAND_TIMEOUT else "no new command"


def _command_conflict(cycle: BusCycle) -> str:
    return "two sources of commands" if cycle.command_conflict else ""


def _pause(cycle: BusCycle) -> str:
    return f"a pause of {cycle.gap:.3f} s" if cycle.gap > MAX_PERIODS * cycle.period else ""


def _late(cycle: BusCycle) -> str:
    return f"answers came too late in {cycle.late} cycles: {LATE_CURE}" if cycle.late >= MAX_LATE else ""


def _reopened(cycle: BusCycle) -> str:
    return "the port came back: what the servos hold is not known" if cycle.reopened else ""


def _envelope(cycle: BusCycle) -> str:
    return "" if cycle.envelope_intact else "the envelope is not the one that was loaded"


def _answers(joint: JointState) -> str:
    return f"no answer for {joint.missed} cycles" if joint.missed >= MAX_MISSED else ""


def _hardware(joint: JointState) -> str:
    return f"hardware error: {', '.join(joint.hardware_errors)}" if joint.hardware_errors else ""


def _temperature(joint: JointState) -> str:
    limit = joint.temperature_limit - TEMPERATURE_MARGIN
    return f"{joint.temperature:g} degC is above {limit:g}" if joint.temperature > limit else ""


def _voltage(joint: JointState) -> str:
    if joint.missed or joint.voltage_low <= joint.voltage <= joint.voltage_high:
        return ""
    return f"{joint.voltage:g} V is outside {joint.voltage_low:g} to {joint.voltage_high:g}"


def _torque(joint: JointState) -> str:
    return "" if joint.torque_on else "its torque went off"


def _watchdog(joint: JointState) -> str:
    return "its bus watchdog stopped it" if joint.watchdog_fired else ""


def _registers(joint: JointState) -> str:
    return joint.mismatch if max(joint.mismatches, joint.rotation_mismatches) >= MAX_MISMATCHES else ""


def _range(joint: JointState) -> str:
    if joint.low - RANGE_MARGIN <= joint.position <= joint.high + RANGE_MARGIN:
        return ""
    return f"measured at {joint.position:.3f} rad, outside {joint.low:g} to {joint.high:g}"


def _jump(joint: JointState) -> str:
    jumped = abs(joint.displacement) > joint.max_displacement
    return f"jumped by {joint.displacement:.3f} rad" if jumped else ""


def _stuck(joint: JointState) -> str:
    where = f"{joint.goal_error:.3f} rad from its goal"
    if joint.blocked_for - joint.pressing_for > STUCK_TIME:
        return f"stuck {where}, and does not push"
    if joint.pressing_for <= STUCK_TIME:
        return ""
    if abs(joint.effort) > joint.max_pressing:
        return f"stuck {where} with {abs(joint.effort):.2f} N·m, more than {joint.max_pressing:.2f}"
    if joint.temperature > joint.temperature_limit - PRESSING_MARGIN:
        return f"presses {where} at {joint.temperature:g} degC"
    if joint.pressing_for > CONTACT_TIME and not joint.is_gripper:
        return f"presses {where} for {CONTACT_TIME:g} s"
    return ""


STOP, LATCH = Severity.STOP, Severity.LATCH
ITSELF, PERMIT, RESTORE, TORQUE, SERVICE, OPERATOR, RESTART = Clears

GUARDS: list[Guard] = [
    Guard("permit", STOP, ITSELF, lambda c: c.permit.stop),
    Guard("permit-conflict", LATCH, OPERATOR, _permit_conflict),
    Guard("estop", LATCH, PERMIT, lambda c: "a permit requests an emergency stop" if c.permit.estop else ""),
    Guard("command-age", STOP, ITSELF, _command_age),
    Guard("command-invalid", STOP, ITSELF, lambda c: c.command_problem),
    Guard("command-conflict", STOP, ITSELF, _command_conflict),
    Guard("port", STOP, PERMIT, lambda c: "" if c.port_open else "the port is lost"),
    Guard("port-reopened", LATCH, PERMIT, _reopened),
    Guard("answers", STOP, ITSELF, lambda c: c.first(_answers)),
    Guard("late-answers", STOP, ITSELF, _late),
    Guard("strays", LATCH, OPERATOR, lambda c: f"{c.strays} stray answers" if c.strays >= STRAYS else ""),
    Guard("hardware-status", LATCH, SERVICE, lambda c: c.first(_hardware)),
    Guard("temperature", LATCH, OPERATOR, lambda c: c.first(_temperature)),
    Guard("voltage", LATCH, OPERATOR, lambda c: c.first(_voltage)),
    Guard("torque-dropped", LATCH, TORQUE, lambda c: c.first_enabled(_torque)),
    Guard("bus-watchdog", LATCH, RESTORE, lambda c: c.first_enabled(_watchdog)),
    Guard("registers-held", LATCH, RESTORE, lambda c: c.first_enabled(_registers)),
    Guard("eeprom", LATCH, SERVICE, lambda c: c.first(lambda joint: joint.eeprom_mismatch)),
    Guard("foreign-goal", LATCH, OPERATOR, lambda c: c.first_enabled(lambda joint: joint.foreign_goal)),
    Guard("range", LATCH, OPERATOR, lambda c: c.first_enabled(_range)),
    Guard("encoder-jump", LATCH, OPERATOR, lambda c: c.first(_jump)),
    Guard("stuck", LATCH, OPERATOR, lambda c: c.first(_stuck)),
    Guard("pause", STOP, ITSELF, _pause),
    Guard("audit-log", STOP, ITSELF, lambda c: c.log_problem),
    Guard("envelope-frozen", LATCH, RESTART, _envelope),
]
"""Every guard. The mutation check removes each in turn; nothing at run time can."""

OPERATOR_ACTS = {
    "permit-conflict": "end one of the two supervisors",
    "strays": "give each servo an ID of its own, and end other programs on the port",
    "foreign-goal": "end the other program on the port",
    "temperature": "let it cool",
    "voltage": "correct the supply",
    "range": "move it by hand into its range; where that is no use, switch the servos off and on",
    "encoder-jump": "check that the positions shown are true",
    "stuck": "free the joint",
    "envelope-frozen": "end the driver and start it again",
}
"""What an operator does before the permit, by guard."""


def check_guards(cycle: BusCycle) -> list[tuple[Guard, str]]:
    """Every guard that has a reason to stop, with that reason."""
    return [(guard, reason) for guard in GUARDS if (reason := guard.check(cycle))]
