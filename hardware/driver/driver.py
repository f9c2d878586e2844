"""The driver: the only owner of the port and the last writer. Envelope, guards, stop, hold, let down.

One call of `cycle` is one bus cycle: read every servo, ask the guards, shape the goal, write every servo.
What is written in every cycle includes the limits, so that a servo that forgot them has them back in the
next. There is no way to switch the envelope or a guard off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nerfbot.limits import NerfSpec
from nerfbot.limits.shaping import Shape

from ..bus.bus import Bus
from ..errors import BusError, PortError
from ..robot import JointConfig, ServoRobot
from ..safety.permit import NERFED, PermitWatch
from ..safety.severity import Severity
from .feedback import Feedback, Held
from .guards import COMMAND_TIMEOUT, DEAF, LOST, PAUSE, STUCK_ERROR, STUCK_SPEED, Cycle, judge
from .joint_command import CommandInbox
from .register_limits import RegisterPlan, position_counts, stop_acceleration
from .setup import set_up, torque_off, write_limits

CALM = 0.05
"""Nothing may have been wrong for this long (s) before a stopped arm follows commands again."""

AT_REST = 0.06
"""A joint slower than this (rad/s) has stopped."""

STOP_TIME = 0.6
"""A stop follows the measured position for at most this long, s, then holds where that was."""


class Phase(Enum):
    """What the driver does: torque off, following commands, stopping, holding still, letting down."""

    OFF = "off"
    RUN = "run"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"


@dataclass
class Report:
    """The driver after a cycle, as JSON has it: see `Driver.report`."""

    now: float
    phase: str
    reasons: list[str]
    guards: list[str]
    latch: int
    latched: str
    levels: list[float]
    position: list[float]
    velocity: list[float]
    effort: list[float]
    goal: list[float]
    digest: str


class Driver:
    """Drives ``robot`` over ``bus`` under ``spec``; `start` first, then `cycle` at the robot's rate.

    ``clock`` is a steady clock in seconds. ``note`` is told of what happens (event, details) for a log.
    Raises `InvalidSpec` and `InvalidServo` before anything is written.
    """

    def __init__(
        self,
        robot: ServoRobot,
        spec: NerfSpec,
        bus: Bus,
        clock: Callable[[], float],
        allow: Sequence[str] = (),
        note: Callable[..., None] | None = None,
    ) -> None:
        self.robot, self.bus, self.clock = robot, bus, clock
        self.plan = RegisterPlan(robot, spec, allow)
        self.permits = PermitWatch()
        self._tell = note or (lambda event, **details: None)
        self._untold: list[tuple[str, dict[str, Any]]] = []
        envelope = robot.hard_limits()
        self.digest = envelope.digest()
        self._limits = {joint.name: envelope.channels[joint.name] for joint in robot.joints}
        self._frozen = self._fingerprint()
        ranges = {
            joint.name: (joint.radians(low), joint.radians(high))
            for joint in robot.joints
            for low, high in [sorted(position_counts(joint, self._limits[joint.name]), key=joint.radians)]
        }
        self.commands = CommandInbox(robot.names, ranges)
        self.shapes = [
            Shape(self._limits[joint.name], *ranges[joint.name], robot.period) for joint in robot.joints
        ]
        self.feedback = Feedback(robot, bus, ranges)
        self.joints = self.feedback.joints
        self._stop_counts = {j.id: stop_acceleration(j, self._limits[j.name]) for j in robot.joints}
        self.phase = Phase.OFF
        self.levels = list(NERFED)
        self.latch, self.latched = 0, ""
        self.reasons: list[str] = []
        self.guards: list[str] = []
        self._last = -math.inf
        self._since = self._troubled = 0.0
        self._without_permit = 0.0
        self._ready = False
        self._resting, self._moving = [False] * len(self.joints), [0.0] * len(self.joints)

    # Set-up

    def start(self) -> None:
        """Torque off, envelope into EEPROM, nerfed limits into RAM, all read back; no torque yet.

        Raises `BusError`, torque off, where a servo is missing or does not hold what it was told, or a joint
        stands outside its range.
        """
        written = set_up(self.bus, self.robot)
        write_limits(self.bus, self.plan.at(NERFED))
        for joint, state in zip(self.robot.joints, self.joints, strict=True):
            state.position = joint.radians(self.bus.read(joint.id, "present_position"))
            if not state.low - 0.08 <= state.position <= state.high + 0.08:
                raise BusError(
                    f"{joint.name}: stands at {state.position:.3f} rad, outside {state.low:.3f} to"
                    f" {state.high:.3f}: move it by hand, or calibrate it"
                )
            state.torque = False
        self.feedback.settle()
        self._ready = True
        self._note("start", envelope=self.digest, eeprom={str(id): names for id, names in written.items()})
        self._tell_all()

    # The cycle

    def cycle(self, now: float) -> Report:
        """One bus cycle at ``now`` (s)."""
        if not self._ready:
            raise BusError("driver: start() has to come first")
        try:
            return self._cycle(now)
        finally:
            self._tell_all()

    def _cycle(self, now: float) -> Report:
        period = self.robot.period
        gap = now - self._last if math.isfinite(self._last) else period
        if gap > PAUSE * period:
            self.commands.forget()  # nobody knows how long it has been lying here; a permit says so itself
        self._last = now
        reopened = False
        try:
            reopened = not self.bus.port.is_open and self.bus.port.try_reopen()
            if self.bus.port.is_open:
                self.feedback.read(now, gap)
        except PortError:
            self.feedback.lose()
        if reopened:
            self._note("port-reopened", port=self.bus.port.path)
        permit = self.permits.state(now)
        cycle = Cycle(
            now, period, gap, permit, self.joints,
            command_received=self.commands.received,
            command_problem=self.commands.problem if now - self.commands.problem_at <= period else "",
            command_conflict=now - self.commands.conflict_at <= COMMAND_TIMEOUT,
            port_open=self.bus.port.is_open,
            reopened=reopened,
            strays=self.feedback.strays,
            envelope_intact=self._fingerprint() == self._frozen,
            enabled=self.phase not in (Phase.OFF, Phase.RELEASE),
        )  # fmt: skip
        found = judge(cycle)
        self.reasons = [f"{guard.name}: {text}" for guard, text in found]
        self.guards = [guard.name for guard, _ in found]
        worst = max((guard.severity for guard, _ in found), default=Severity.FINE)
        latching = [f"{guard.name}: {text}" for guard, text in found if guard.severity is Severity.LATCH]
        self._latch(worst, latching, permit.clear)
        stop = worst > Severity.FINE or bool(self.latched)
        if stop:
            self._troubled = now
        self._raise_levels(permit.levels if not stop else NERFED, gap)
        try:
            self._act(stop, permit.alive, now, min(max(gap, 0.0), 2.0 * period))
        except PortError:
            self.feedback.lose()
        return self.report(now)

    def report(self, now: float) -> Report:
        """The state after the last cycle."""
        return Report(
            now, self.phase.value, self.reasons, self.guards, self.latch, self.latched, list(self.levels),
            [j.position for j in self.joints], [j.velocity for j in self.joints],
            [j.effort for j in self.joints], [shape.at for shape in self.shapes], self.digest,
        )  # fmt: skip

    # Deciding

    def _latch(self, worst: Severity, latching: Sequence[str], clear: int | None) -> None:
        if worst is Severity.LATCH:
            if not self.latched:
                self.latch += 1
                self.latched = latching[0]
                self._note("latch", number=self.latch, reasons=self.reasons)
            self.permits.acknowledge_estop()
        elif self.latched and clear == self.latch and worst is Severity.FINE and self._command_is_still():
            self._note("clear", number=self.latch)
            self.latched = ""
            self.phase = Phase.OFF if not all(state.torque for state in self.joints) else self.phase

    def _command_is_still(self) -> bool:
        """Whether the command asks for no motion: a latch is cleared onto a robot that stays where it is."""
        wanted = self.commands.positions
        if wanted is None:
            return False
        return all(abs(w - s.position) < 0.1 for w, s in zip(wanted, self.joints, strict=True))

    def _raise_levels(self, wanted: Sequence[float], gap: float) -> None:
        """A lift rises on a ramp and falls at once."""
        step = max(min(gap, 2.0 * self.robot.period), 0.0) / self.robot.lift_ramp_s
        self.levels = [min(want, have + step) for want, have in zip(wanted, self.levels, strict=True)]

    def _act(self, stop: bool, permitted: bool, now: float, dt: float) -> None:
        self._without_permit = 0.0 if permitted else self._without_permit + dt
        if self.phase is Phase.OFF:
            if not stop and self._command_is_still():
                self._enable(now)
            return
        jumped = (
            self.phase is Phase.HOLD and "encoder-jump" in self.guards
        )  # the goal held is another place now
        if stop and (self.phase is Phase.RUN or jumped):
            self._enter(Phase.STOP, now)
        elif not stop and self.phase in (Phase.STOP, Phase.HOLD) and now - self._troubled >= CALM:
            self._enter(Phase.RUN, now)
        if stop:
            self._release_lost()
        if self.phase is Phase.STOP:
            slow = all(abs(state.velocity) < AT_REST for state in self.joints)
            if slow or now - self._since > STOP_TIME:
                self._enter(Phase.HOLD, now)
        waited = min(self._without_permit, now - self._since)
        if self.phase is Phase.HOLD and waited > self.robot.hold_s:
            self._enter(Phase.RELEASE, now)
        if self.phase is Phase.RELEASE and now - self._since > self.robot.release_s:
            self._let_go()
            return
        self._write(now, dt)

    def _release_lost(self) -> None:
        """Switch off joints whose encoder cannot be true: a goal would turn them by what it is wrong."""
        for joint, state in zip(self.robot.joints, self.joints, strict=True):
            outside = max(state.low - state.position, state.position - state.high)
            if outside > LOST and state.torque:
                try:
                    self.bus.write(joint.id, "torque_enable", 0)
                except PortError:
                    raise
                except BusError as problem:
                    self._note("release-failed", joint=joint.name, problem=str(problem))
                    continue
                state.torque = False
                self._note("release", joint=joint.name, position=state.position)

    def _enter(self, phase: Phase, now: float) -> None:
        if phase is not self.phase:
            self._note("phase", phase=phase.value, reasons=self.reasons)
        for index, (shape, state) in enumerate(zip(self.shapes, self.joints, strict=True)):
            if phase is Phase.STOP:  # here too: an arm that rests goes on to `HOLD` in this very cycle
                self._resting[index] = shape.speed == 0.0
                self._moving[index] = state.velocity
                self._stop(index)
            elif phase is Phase.RUN:
                shape.begin(state.position)
        self.phase, self._since = phase, now

    def _stop(self, index: int) -> None:
        """Goal := measured position, until the joint rests; then it keeps its goal, from which it may sag.

        A joint that sinks would never rest if its goal sank with it.
        """
        shape, state = self.shapes[index], self.joints[index]
        near = abs(shape.at - state.position) < STUCK_ERROR
        if not (self._resting[index] and near):
            shape.begin(state.position)
            self._resting[index] = abs(state.velocity) < AT_REST or state.velocity * self._moving[index] < 0.0

    def _enable(self, now: float) -> None:
        """Torque on, with nerfed limits and the goal where each joint stands; checked servo by servo."""
        try:
            torque_off(self.bus)
            write_limits(self.bus, self.plan.at(NERFED))
            for joint, state in zip(self.robot.joints, self.joints, strict=True):
                state.position = joint.radians(self.bus.read(joint.id, "present_position"))
                watchdog = joint.servo.watchdog
                if watchdog is not None:
                    self.bus.write_checked(joint.id, watchdog, 0)
                marks = {}
                if "lock" in joint.servo.registers:
                    marks["lock"] = 1
                    self.bus.write_checked(joint.id, "lock", 1)
                self.bus.write_checked(joint.id, "torque_enable", 1)
                if watchdog is not None and self.robot.watchdog_s is not None:
                    counts = max(1, round(self.robot.watchdog_s / 0.02))
                    self.bus.write_checked(joint.id, watchdog, counts)
                    marks[watchdog] = counts
                state.torque, state.missed, state.stuck_for = True, 0, 0.0
                state.different, state.different_closer = 0, 0
                self.feedback.held[joint.id] = Held(marks=marks)
        except BusError as problem:
            self._note("enable-failed", problem=str(problem))
            self._let_go()
            return
        self.feedback.settle()
        self._last = self.clock()
        self._enter(Phase.RUN, now)

    def _let_go(self) -> None:
        try:
            torque_off(self.bus)
        except BusError as problem:
            self._note("torque-off-failed", problem=str(problem))
        self.phase = Phase.OFF

    # Writing

    def _write(self, now: float, dt: float) -> None:
        stopping = self.phase is Phase.STOP
        limits = self.plan.at(self.levels)
        wanted = self.commands.positions
        goal_blocks: dict[int, tuple[int, bytes]] = {}
        extra_blocks: dict[int, tuple[int, bytes]] = {}
        for index, (joint, state, shape) in enumerate(
            zip(self.robot.joints, self.joints, self.shapes, strict=True)
        ):
            servo, counts = joint.servo, dict(limits[joint.id])
            names = {field: carrier.ram for field, carrier in servo.limits.items()}
            if stopping:
                self._stop(index)
                counts[names["acceleration"]] = self._stop_counts[joint.id]
                counts[names["effort"]] = self._envelope_effort(joint)
            elif self.phase is Phase.RUN and wanted is not None:
                speed = counts[names["velocity"]] * servo.register(names["velocity"]).scale
                push = counts[names["acceleration"]] * servo.register(names["acceleration"]).scale
                shape.step(wanted[index], state.position, speed, push, dt)
            if self.phase is Phase.RELEASE:
                share = max(0.0, 1.0 - (now - self._since) / self.robot.release_s)
                counts[names["effort"]] = int(counts[names["effort"]] * share)
            values = {**counts, "goal_position": self._goal_counts(joint, shape)}
            state.error = shape.at - state.position
            still = abs(state.error) > STUCK_ERROR and abs(state.velocity) < STUCK_SPEED
            state.stuck_for = state.stuck_for + dt if still and self.phase is Phase.RUN else 0.0
            # A Feetech that has no torque, or that starts anew, would switch it on with the goal; but a stop
            # is sent once to those too that only cannot be heard.
            deaf = state.missed > 0 and state.unheard > DEAF and not (stopping and now == self._since)
            if not state.torque or deaf:
                self.feedback.held[joint.id].values = {}
                continue
            self.feedback.held[joint.id].values = values
            goal_blocks[joint.id], rest = self._block(joint, values)
            if rest:
                extra_blocks[joint.id] = self.bus.block_of(joint.id, rest)
        self.bus.write_blocks(goal_blocks)
        self.bus.write_blocks(extra_blocks)

    def _envelope_effort(self, joint: JointConfig) -> int:
        register = joint.servo.register(joint.servo.limits["effort"].ram)
        return register.counts_below(self._limits[joint.name].max_effort or 0.0)

    def _goal_counts(self, joint: JointConfig, shape: Shape) -> int:
        low, high = position_counts(joint, self._limits[joint.name])
        return min(max(joint.counts(shape.at), low), high)

    def _block(self, joint: JointConfig, values: dict[str, int]) -> tuple[tuple[int, bytes], dict[str, int]]:
        """The block that is written in every cycle, and the values that lie outside it."""
        servo = joint.servo
        inside = servo.registers_in(*servo.block(*servo.goal))
        block = self.bus.block_of(joint.id, {r.name: values.get(r.name, 0) for r in inside})
        names = {register.name for register in inside}
        return block, {name: value for name, value in values.items() if name not in names}

    # Facts

    def _note(self, event: str, **details: Any) -> None:
        """Keep it for the end of the cycle: a log may wait for a disk, which a stop must not."""
        self._untold.append((event, details))

    def _tell_all(self) -> None:
        for event, details in self._untold:
            self._tell(event, **details)
        self._untold.clear()

    def _fingerprint(self) -> int:
        return hash(tuple(tuple(limits.__dict__.values()) for limits in self._limits.values()))


def as_json(report: Report) -> dict[str, Any]:
    """A report as plain data."""
    return dict(report.__dict__)
