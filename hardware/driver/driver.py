"""The driver: the only owner of the port and the last writer. It decides: run, stop, hold, let down.

One call of `ServoDriver.cycle` is one bus cycle: read every servo, check the guards, shape the goals, write
every servo. There is no way to switch the envelope or a guard off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nerfbot.limits import NerfSpec

from ..bus.bus import Bus
from ..errors import BusError, PortError
from ..robot import JointConfig, ServoRobot
from ..safety.permit import NERFED, PermitState, PermitWatch
from ..safety.severity import Severity
from .feedback import Feedback
from .goal_writer import AT_REST, GoalWriter
from .guards import COMMAND_TIMEOUT, MAX_PERIODS, OPERATOR_ACTS, BusCycle, check_guards
from .joint_command import CommandInbox
from .joint_state import JointState
from .recovery import Recovery, ServoRecovery
from .register_limits import RegisterPlan, position_counts
from .report import DriverReport, Phase
from .setup import set_up, torque_off, write_limits

CALM_TIME = 0.05
"""No guard may have spoken for this long (s) before a stopped arm follows commands again."""

STOP_TIME = 0.6
"""A stop follows the measured position for at most this long, s; then the arm holds where it is."""

START_MARGIN = 0.08
"""How far outside its range a joint may stand at the start, rad."""

LOST = 0.25
"""A joint measured further outside its range than this (rad) cannot be led back by its encoder."""


class ServoDriver:
    """Drives ``robot`` over ``bus`` under ``spec``; `start` first, then `cycle` at the robot's rate.

    ``clock`` is a steady clock in seconds. ``log`` receives each event with its details after the cycle.
    ``allow`` names limits that may go unenforced. Raises `InvalidSpec` and `InvalidServo` before it writes
    anything.
    """

    def __init__(
        self,
        robot: ServoRobot,
        spec: NerfSpec,
        bus: Bus,
        clock: Callable[[], float],
        allow: Sequence[str] = (),
        log: Callable[..., None] | None = None,
    ) -> None:
        self.robot, self.bus, self.clock = robot, bus, clock
        self.plan = RegisterPlan(robot, spec, allow)
        self.permits = PermitWatch()
        self._log = log or (lambda event, **details: None)
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._envelope = robot.hard_limits()
        self.digest = self._envelope.digest()
        self._fingerprint_at_start = self._fingerprint()
        ranges = {}
        for joint in robot.joints:
            ends = position_counts(joint, self._envelope.channels[joint.name])
            low, high = sorted(map(joint.radians, ends))
            ranges[joint.name] = (low, high)
        self.commands = CommandInbox(robot.names, ranges)
        self.feedback = Feedback(robot, bus, ranges)
        self.joints = self.feedback.joints
        self.goals = GoalWriter(robot, self._envelope, self.plan, self.feedback, bus)
        self._servos = ServoRecovery(robot, bus, self.plan, self.feedback, self.goals, self._record)
        self.phase = Phase.OFF
        self.levels = list(NERFED)
        self.hold_s = robot.hold_s
        self.latch, self.latched = 0, ""
        self.reasons: list[str] = []
        self.guards: list[str] = []
        self.recovery = Recovery.NONE
        self.needs: list[str] = []
        self.log_problem = ""
        """Why events cannot be logged; a reason to stop."""
        self._last_cycle = -math.inf
        self._phase_began = self._last_stop = 0.0
        self._without_permit = 0.0
        self._started = False

    # Set-up

    def start(self) -> None:
        """Torque off, envelope into EEPROM, nerfed limits into RAM, all read back; torque stays off.

        Raises `BusError`, torque off, where a servo is missing or does not hold its values, or a joint stands
        outside its range.
        """
        written = set_up(self.bus, self.robot)
        write_limits(self.bus, self.plan.counts_at(NERFED))
        for joint, state in zip(self.robot.joints, self.joints, strict=True):
            state.position = joint.radians(self.bus.read(joint.id, "present_position"))
            if not state.low - START_MARGIN <= state.position <= state.high + START_MARGIN:
                raise BusError(
                    f"{joint.name}: stands at {state.position:.3f} rad, outside {state.low:.3f} to"
                    f" {state.high:.3f}: move it by hand, or calibrate it"
                )
            state.torque_on = False
        self.feedback.reset_strays()
        self._started = True
        self._record("start", envelope=self.digest, eeprom={str(id): names for id, names in written.items()})
        self._flush_events()

    # The cycle

    def cycle(self, now: float) -> DriverReport:
        """One bus cycle at ``now`` (s)."""
        if not self._started:
            raise BusError("driver: start() has to come first")
        try:
            return self._cycle(now)
        finally:
            self._flush_events()

    def _cycle(self, now: float) -> DriverReport:
        period = self.robot.period
        gap = now - self._last_cycle if math.isfinite(self._last_cycle) else period
        if gap > MAX_PERIODS * period:
            self.commands.forget()  # the age of a command that waited is unknown; a permit states its own
        self._last_cycle = now
        reopened = self._read(now, gap)
        permit = self.permits.state(now)
        stop = self._check(BusCycle(
            now, period, gap, permit, self.joints,
            command_received=self.commands.received,
            command_problem=self.commands.problem if now - self.commands.problem_at <= period else "",
            command_conflict=now - self.commands.conflict_at <= COMMAND_TIMEOUT,
            port_open=self.bus.port.is_open,
            reopened=reopened,
            strays=self.feedback.strays,
            late=self.feedback.late,
            envelope_intact=self._fingerprint() == self._fingerprint_at_start,
            log_problem=self.log_problem,
            enabled=self.phase not in (Phase.OFF, Phase.RELEASE),
        ))  # fmt: skip
        self._raise_levels(permit.levels if not stop else NERFED, gap)
        try:
            self._recover(permit, now)
            self._act(stop, permit.alive, now, min(max(gap, 0.0), 2.0 * period))
        except PortError:
            self.feedback.count_missed()
        return self.report(now)

    def _read(self, now: float, gap: float) -> bool:
        """Read every servo; whether the port was reopened for it."""
        reopened = False
        try:
            reopened = not self.bus.port.is_open and self.bus.port.try_reopen()
            if self.bus.port.is_open:
                self.feedback.read(now, gap)
        except PortError:
            self.feedback.count_missed()
        if reopened:
            self._record("port-reopened", port=self.bus.port.path)
        return reopened

    def report(self, now: float) -> DriverReport:
        """The state after the last cycle."""
        return DriverReport(
            now, self.phase.value, self.reasons, self.guards, self.latch, self.latched, self.recovery.value,
            self.needs, list(self.levels),
            [j.position for j in self.joints], [j.velocity for j in self.joints],
            [j.effort for j in self.joints], [goal.shape.at for goal in self.goals.joints], self.digest,
        )  # fmt: skip

    # Deciding

    def _check(self, cycle: BusCycle) -> bool:
        """Run the guards and update the latch; whether the arm must stop."""
        self._speaking = check_guards(cycle)
        self.reasons = [f"{guard.name}: {reason}" for guard, reason in self._speaking]
        self.guards = [guard.name for guard, _ in self._speaking]
        self._update_latch()
        stop = bool(self.latched) or any(guard.severity > Severity.FINE for guard, _ in self._speaking)
        if stop:
            self._last_stop = cycle.now
        return stop

    def _update_latch(self) -> None:
        latching = [item for item in self._speaking if item[0].severity is Severity.LATCH]
        if not latching:
            return
        if not self.latched:
            self.latch += 1
            guard, reason = latching[0]
            self.latched = f"{guard.name}: {reason}"
            self._record("latch", number=self.latch, reasons=self.reasons)
        if not all(guard.waits_for_permit for guard, _ in latching):
            self._servos.forget()
        self.permits.acknowledge_estop()

    def _recover(self, permit: PermitState, now: float) -> None:
        """While a stop is latched: examine the servos, and clear the latch with the permit for it."""
        if not self.latched:
            self.recovery, self.needs = Recovery.NONE, []
            return
        if self.phase in (Phase.RUN, Phase.STOP):
            self.recovery = Recovery.DIAGNOSE
            return  # the stop comes first
        self._servos.examine_next()
        blocking = [item for item in self._speaking if not item[0].waits_for_permit]
        causes = [guard for guard, _ in blocking if guard.severity is Severity.LATCH]
        recovery = self._servos.state(causes)
        if recovery is not self.recovery:
            self._record("recovery", state=recovery.value, reasons=self.reasons)
        self.recovery = recovery
        self.needs = self._servos.needs() + [
            f"{guard.name}: {reason}: {OPERATOR_ACTS[guard.name]}"
            for guard, reason in self._speaking
            if guard.name in OPERATOR_ACTS
        ]
        if blocking or permit.clear != self.latch or not self._command_holds_still():
            return
        try:
            if recovery is Recovery.SERVICE:
                self._service(now)
            elif recovery is Recovery.READY and self.phase is not Phase.RELEASE:
                if self.phase is not Phase.OFF:
                    self._servos.switch_on()
                self._record("clear", number=self.latch)
                self.latched = ""
        except PortError:
            raise
        except BusError as problem:
            self._record("recovery-failed", problem=str(problem))
            self._servos.forget()
        self._last_cycle = self.clock()

    def _service(self, now: float) -> None:
        """Service servos that have no torque; where one has, let the arm down first."""
        if not any(state.torque_on for state in self._servos.to_service()):
            self._servos.service()
        elif self.phase is not Phase.RELEASE:
            self._enter(Phase.RELEASE, now)

    def _command_holds_still(self) -> bool:
        """Whether there is a command and it asks for no motion: required to clear a latch or switch on."""
        command = self.commands.positions
        if command is None:
            return False
        return all(abs(goal - s.position) < 0.1 for goal, s in zip(command, self.joints, strict=True))

    def _raise_levels(self, granted: Sequence[float], gap: float) -> None:
        """A lift rises on a ramp and falls at once."""
        step = max(min(gap, 2.0 * self.robot.period), 0.0) / self.robot.lift_ramp_s
        self.levels = [min(target, level + step) for target, level in zip(granted, self.levels, strict=True)]

    def _act(self, stop: bool, permitted: bool, now: float, dt: float) -> None:
        """Change the phase where that is due, and write goals and limits for ``dt`` s."""
        self._without_permit = 0.0 if permitted else self._without_permit + dt
        if self.phase is Phase.OFF:
            if not stop and self._command_holds_still():
                self._enable(now)
            return
        # after an encoder's jump the goal that was held is another place
        jumped = self.phase is Phase.HOLD and "encoder-jump" in self.guards
        if stop and (self.phase is Phase.RUN or jumped):
            self._enter(Phase.STOP, now)
        elif not stop and self.phase in (Phase.STOP, Phase.HOLD) and now - self._last_stop >= CALM_TIME:
            self._enter(Phase.RUN, now)
        if stop:
            self._release_lost()
        if self.phase is Phase.STOP:
            slow = all(abs(state.velocity) < AT_REST for state in self.joints)
            if slow or now - self._phase_began > STOP_TIME:
                self._enter(Phase.HOLD, now)
        waited = min(self._without_permit, now - self._phase_began)
        if self.phase is Phase.HOLD and waited > self.hold_s:
            self._enter(Phase.RELEASE, now)
        if self.phase is Phase.RELEASE and self._is_let_down(now):
            self.phase = Phase.OFF
            return
        self.goals.write(self.phase, now - self._phase_began, self.commands.positions, self.levels, dt)

    def _enter(self, phase: Phase, now: float) -> None:
        if phase is not self.phase:
            self._record("phase", phase=phase.value, reasons=self.reasons)
        self.goals.begin(phase)
        self.phase, self._phase_began = phase, now

    def _release_lost(self) -> None:
        """Switch off joints whose encoder cannot be true: a goal would turn them by its error."""
        for joint, state in zip(self.robot.joints, self.joints, strict=True):
            outside = max(state.low - state.position, state.position - state.high)
            if outside > LOST and state.torque_on:
                self._switch_off(joint, state)

    def _enable(self, now: float) -> None:
        """Torque on, with nerfed limits and the goal where each joint stands; checked servo by servo."""
        try:
            torque_off(self.bus)
            for state in self.joints:
                state.torque_on = False
            self._servos.switch_on()
            self._enter(Phase.RUN, now)
        except BusError as problem:
            self._record("enable-failed", problem=str(problem))
            self._enter(Phase.RELEASE, now)  # some may have torque
        self.feedback.reset_strays()
        self._last_cycle = self.clock()

    def _is_let_down(self, now: float) -> bool:
        """Whether no servo has torque; switches off those that answer once the let-down is over."""
        for joint, state in zip(self.robot.joints, self.joints, strict=True):
            if state.torque_on and not state.missed and now - self._phase_began > self.robot.release_s:
                self._switch_off(joint, state)
        return not any(state.torque_on for state in self.joints)

    def _switch_off(self, joint: JointConfig, state: JointState) -> None:
        try:
            self.bus.write(joint.id, "torque_enable", 0)
        except PortError:
            raise
        except BusError as problem:
            self._record("torque-off-failed", joint=joint.name, problem=str(problem))
            return
        state.torque_on = False
        self._record("torque-off", joint=joint.name, position=state.position)

    # Events and envelope

    def _record(self, event: str, **details: Any) -> None:
        """Keep an event for the end of the cycle: a log may wait for a disk, which a stop must not."""
        self._events.append((event, details))

    def _flush_events(self) -> None:
        events, self._events = self._events, []
        for event, details in events:
            try:
                self._log(event, **details)
            except Exception as problem:  # a log must not end the last writer
                self.log_problem = f"{type(problem).__name__}: {problem}"

    def _fingerprint(self) -> int:
        limits = (self._envelope.channels[joint.name] for joint in self.robot.joints)
        return hash(tuple(tuple(item.__dict__.values()) for item in limits))
