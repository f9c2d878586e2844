"""What makes the driver stop: a table of guards, each a name, a severity and one question about a cycle.

A guard says why in a few words, or nothing. All are asked in every cycle, and the worst answer wins. A STOP
ends by itself when its cause has gone; a LATCH is kept until a permit clears it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..safety.permit import PermitState
from ..safety.severity import Severity

MISSED = 2
"""Cycles in a row that a servo may leave unanswered before the driver stops."""

DIFFERENT = 2
"""Cycles in a row that a register may differ from what was written: one lost write is no reason to stop."""

COMMAND_TIMEOUT = 0.1
"""A command is followed for this long after its receipt, s."""

DEAF = 0.04
"""Time after which nothing more is written to a servo that does not answer, s: long enough for the stop, and
shorter than a servo takes to start anew, when a goal would switch a Feetech's torque on.
"""

RANGE_MARGIN = 0.08
"""How far outside the envelope's range a joint may be measured, rad: sag and overshoot."""

PUSHED = 1.5
"""How much faster than the envelope allows a joint that holds its torque may be pushed."""

JUMP_MARGIN = 0.15
"""How much further than it can have turned a joint may appear to have moved in a cycle, rad.

One such reading is not believed (a Feetech's checksum is one byte: noise passes it once in 256 times); a
second one like it is a jump of the encoder.
"""

LOST = 0.25
"""A joint measured further outside its range than this (rad) cannot be led back by its encoder."""

TEMPERATURE_MARGIN = 3.0
"""The driver stops this far below the servo's own limit, K."""

STUCK_ERROR, STUCK_SPEED, STUCK_TIME = 0.06, 0.05, 0.25
"""A joint that is this far from its goal (rad) and this slow (rad/s) for this long (s) is stuck."""

STRAYS, STRAY_TIME = 3, 0.2
"""So many second answers of one ID within this time (s) mean a second servo with that ID."""

BELIEF = 3
"""A joint may appear to have moved for this many cycles at most before a second answer must confirm it."""

PAUSE = 3.0
"""A gap of so many periods between cycles is a pause, after which nothing that waited is believed."""


@dataclass
class JointState:
    """One joint as the last answer has it, SI; ``error`` is the goal minus the position, rad.

    ``fastest``: without a load, rad/s; ``allowed``: by the envelope. ``different``: for how many reads in a
    row a register has not held what was written, ``different_closer``: those that are read in turn.
    """

    name: str
    low: float
    high: float
    fastest: float
    allowed: float
    temperature_limit: float
    voltage_low: float
    voltage_high: float
    position: float = 0.0
    velocity: float = 0.0
    effort: float = 0.0
    temperature: float = 0.0
    voltage: float = 0.0
    error: float = 0.0
    moved: float = 0.0
    reach: float = math.inf
    suspect: float = math.nan
    unheard: float = 0.0
    missed: int = 0
    different: int = 0
    different_closer: int = 0
    wrong: str = ""
    status: tuple[str, ...] = ()
    torque: bool = True
    watchdog_fired: bool = False
    eeprom: str = ""
    stuck_for: float = 0.0


@dataclass
class Cycle:
    """What a guard may look at: one bus cycle at ``now`` (s), ``gap`` s after the one before."""

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
    envelope_intact: bool = True
    enabled: bool = False
    notes: list[str] = field(default_factory=list)

    def first(self, what: Callable[[JointState], str]) -> str:
        """The first joint's answer that is not empty, with its name."""
        for joint in self.joints:
            text = what(joint)
            if text:
                return f"{joint.name}: {text}"
        return ""


class Guard(NamedTuple):
    """One guard: what it is called, how bad it is, and what it asks."""

    name: str
    severity: Severity
    ask: Callable[[Cycle], str]


def _permit(cycle: Cycle) -> str:
    return cycle.permit.stop


def _conflict(cycle: Cycle) -> str:
    return "two sources of permits" if cycle.permit.conflict else ""


def _estop(cycle: Cycle) -> str:
    return "emergency stop asked for" if cycle.permit.estop else ""


def _command_age(cycle: Cycle) -> str:
    age = cycle.now - cycle.command_received
    return "" if age <= COMMAND_TIMEOUT else "no new command"


def _command(cycle: Cycle) -> str:
    return cycle.command_problem


def _command_conflict(cycle: Cycle) -> str:
    return "two sources of commands" if cycle.command_conflict else ""


def _port(cycle: Cycle) -> str:
    return "" if cycle.port_open else "the port is lost"


def _reopened(cycle: Cycle) -> str:
    return "the port came back: what the servos hold is not known" if cycle.reopened else ""


def _answers(cycle: Cycle) -> str:
    return cycle.first(lambda j: f"no answer for {j.missed} cycles" if j.missed >= MISSED else "")


def _strays(cycle: Cycle) -> str:
    return f"{cycle.strays} answers that nobody asked for" if cycle.strays >= STRAYS else ""


def _status(cycle: Cycle) -> str:
    return cycle.first(lambda j: f"hardware error: {', '.join(j.status)}" if j.status else "")


def _temperature(cycle: Cycle) -> str:
    def ask(joint: JointState) -> str:
        most = joint.temperature_limit - TEMPERATURE_MARGIN
        return f"{joint.temperature:g} degC is above {most:g}" if joint.temperature > most else ""

    return cycle.first(ask)


def _voltage(cycle: Cycle) -> str:
    def ask(joint: JointState) -> str:
        if joint.missed or joint.voltage_low <= joint.voltage <= joint.voltage_high:
            return ""
        return f"{joint.voltage:g} V is outside {joint.voltage_low:g} to {joint.voltage_high:g}"

    return cycle.first(ask)


def _torque(cycle: Cycle) -> str:
    if not cycle.enabled:
        return ""
    return cycle.first(lambda j: "" if j.torque else "its torque went off")


def _watchdog(cycle: Cycle) -> str:
    if not cycle.enabled:
        return ""
    return cycle.first(lambda j: "its bus watchdog stopped it" if j.watchdog_fired else "")


def _held(cycle: Cycle) -> str:
    if not cycle.enabled:
        return ""
    return cycle.first(lambda j: j.wrong if max(j.different, j.different_closer) >= DIFFERENT else "")


def _eeprom(cycle: Cycle) -> str:
    return cycle.first(lambda j: j.eeprom)


def _range(cycle: Cycle) -> str:
    def ask(joint: JointState) -> str:
        if joint.low - RANGE_MARGIN <= joint.position <= joint.high + RANGE_MARGIN:
            return ""
        return f"measured at {joint.position:.3f} rad, outside {joint.low:g} to {joint.high:g}"

    return cycle.first(ask) if cycle.enabled else ""


def reach(joint: JointState, seconds: float) -> float:
    """How far a joint may appear to have moved in ``seconds`` since its last good answer, rad.

    One that holds its torque keeps to the envelope, but for a push; one without may be moved by hand.
    """
    speed = min(PUSHED * joint.allowed, joint.fastest) if joint.torque else joint.fastest
    return speed * seconds + JUMP_MARGIN


def _jump(cycle: Cycle) -> str:
    def ask(joint: JointState) -> str:
        return f"jumped by {joint.moved:.3f} rad" if abs(joint.moved) > joint.reach else ""

    return cycle.first(ask)


def _stuck(cycle: Cycle) -> str:
    return cycle.first(lambda j: f"stuck {j.error:.3f} rad from its goal" if j.stuck_for > STUCK_TIME else "")


def _pause(cycle: Cycle) -> str:
    return f"a pause of {cycle.gap:.3f} s" if cycle.gap > PAUSE * cycle.period else ""


def _envelope(cycle: Cycle) -> str:
    return "" if cycle.envelope_intact else "the envelope is not the one that was loaded"


GUARDS: list[Guard] = [
    Guard("permit", Severity.STOP, _permit),
    Guard("permit-conflict", Severity.LATCH, _conflict),
    Guard("estop", Severity.LATCH, _estop),
    Guard("command-age", Severity.STOP, _command_age),
    Guard("command-invalid", Severity.STOP, _command),
    Guard("command-conflict", Severity.STOP, _command_conflict),
    Guard("port", Severity.STOP, _port),
    Guard("port-reopened", Severity.LATCH, _reopened),
    Guard("answers", Severity.STOP, _answers),
    Guard("strays", Severity.LATCH, _strays),
    Guard("hardware-status", Severity.LATCH, _status),
    Guard("temperature", Severity.LATCH, _temperature),
    Guard("voltage", Severity.LATCH, _voltage),
    Guard("torque-dropped", Severity.LATCH, _torque),
    Guard("bus-watchdog", Severity.LATCH, _watchdog),
    Guard("registers-held", Severity.LATCH, _held),
    Guard("eeprom", Severity.LATCH, _eeprom),
    Guard("range", Severity.LATCH, _range),
    Guard("encoder-jump", Severity.LATCH, _jump),
    Guard("stuck", Severity.LATCH, _stuck),
    Guard("pause", Severity.STOP, _pause),
    Guard("envelope-frozen", Severity.LATCH, _envelope),
]
"""Every guard. The mutation check takes each away in turn; nothing at run time can."""


def judge(cycle: Cycle) -> list[tuple[Guard, str]]:
    """Every guard that has something to say, with what it says."""
    return [(guard, text) for guard in GUARDS if (text := guard.ask(cycle))]
