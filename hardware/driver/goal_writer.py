"""From a command to registers, downwards: command (rad), shaped goal (rad), goal counts, blocks on the bus.

Each cycle writes the limits with the goal, so that a servo that forgot them has them back in the next. The
driver decides in which phase the arm is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from nerfbot.limits import ChannelEnvelope, Envelope
from nerfbot.limits.shaping import GoalShaper

from ..bus.bus import Bus
from ..robot import JointConfig, ServoRobot
from .feedback import Feedback
from .guards import STUCK_ERROR, STUCK_SPEED
from .joint_state import JointState
from .register_limits import RegisterPlan, position_counts, stop_acceleration
from .report import Phase

PRESSING = 0.6
"""A blocked joint with this share of its effort limit presses on something; with less it is stuck."""

AT_REST = 0.06
"""A joint slower than this (rad/s) has stopped."""

WRITE_TIMEOUT = 0.04
"""Time after which the driver writes nothing more to a servo that does not answer, s.

It is long enough for the stop, and shorter than a servo's restart, after which a goal would switch on a
Feetech's torque.
"""


class JointGoal:
    """The goal of one joint, inside its envelope ``limits``; ``period`` of the bus cycle in s."""

    def __init__(self, joint: JointConfig, state: JointState, limits: ChannelEnvelope, period: float) -> None:
        self.joint, self.state = joint, state
        self.shape = GoalShaper(limits, state.low, state.high, period)
        self._count_range = position_counts(joint, limits)
        servo = joint.servo
        registers = {field: servo.register(limit.ram) for field, limit in servo.limits.items()}
        self.effort, self.velocity = registers["effort"], registers["velocity"]
        self.acceleration = registers["acceleration"]
        self.stop_limits = {
            self.acceleration.name: stop_acceleration(joint, limits),
            self.effort.name: self.effort.counts_below(limits.max_effort or 0.0),
        }
        self._block_names = [register.name for register in servo.registers_in(*servo.block(*servo.goal))]
        self._resting, self._stop_velocity = False, 0.0

    def begin_run(self) -> None:
        """Start from where the joint is."""
        self.shape.begin(self.state.position)

    def begin_stop(self) -> None:
        """Start a stop from where the joint is, and as fast as it is."""
        self._resting = self.shape.speed == 0.0
        self._stop_velocity = self.state.velocity
        self.follow_measured()

    def follow_measured(self) -> None:
        """Goal := measured position, until the joint rests; then it keeps its goal, from which it may sag.

        A joint that sinks would never rest if its goal sank with it.
        """
        shape, state = self.shape, self.state
        near = abs(shape.at - state.position) < STUCK_ERROR
        if not (self._resting and near):
            shape.begin(state.position)
            self._resting = abs(state.velocity) < AT_REST or state.velocity * self._stop_velocity < 0.0

    def follow_command(self, command: float, limits: dict[str, int], dt: float) -> None:
        """Move the goal towards ``command`` (rad) for ``dt`` s, under ``limits`` in counts by register."""
        velocity = limits[self.velocity.name] * self.velocity.scale
        acceleration = limits[self.acceleration.name] * self.acceleration.scale
        self.shape.step(command, self.state.position, velocity, acceleration, dt)

    def counts(self) -> int:
        """The goal in counts, inside the envelope's range."""
        low, high = self._count_range
        return min(max(self.joint.counts(self.shape.at), low), high)

    def note_progress(self, running: bool, effort_counts: int, dt: float) -> None:
        """Update how far the joint is from its goal (rad), and for how long (s) something has blocked it.

        ``effort_counts``: its effort limit.
        """
        state = self.state
        state.goal_error = self.shape.at - state.position
        if not (running and abs(state.goal_error) > STUCK_ERROR and abs(state.velocity) < STUCK_SPEED):
            state.blocked_for = state.pressing_for = 0.0
            return
        state.blocked_for += dt
        push = math.copysign(1.0, state.goal_error) * state.effort
        if push >= PRESSING * effort_counts * self.effort.scale:
            state.pressing_for += dt

    def split(self, values: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
        """``values`` of the block that each cycle writes, and the others."""
        block = {name: values.get(name, 0) for name in self._block_names}
        return block, {name: value for name, value in values.items() if name not in block}


class GoalWriter:
    """Writes goals and limits of all joints of ``robot``, inside ``envelope``."""

    def __init__(
        self, robot: ServoRobot, envelope: Envelope, plan: RegisterPlan, feedback: Feedback, bus: Bus
    ) -> None:
        self._robot, self._plan, self._feedback, self._bus = robot, plan, feedback, bus
        self.joints = [
            JointGoal(joint, state, envelope.channels[joint.name], robot.period)
            for joint, state in zip(robot.joints, feedback.joints, strict=True)
        ]

    def begin(self, phase: Phase) -> None:
        """Prepare the goals for ``phase``."""
        for goal in self.joints:
            if phase is Phase.STOP:  # here too: an arm at rest goes on to `HOLD` in this very cycle
                goal.begin_stop()
            elif phase is Phase.RUN:
                goal.begin_run()

    def write(
        self,
        phase: Phase,
        elapsed: float,
        command: Sequence[float] | None,
        levels: Sequence[float],
        dt: float,
    ) -> None:
        """Move the goals for ``dt`` s and write them with the limits of ``levels``.

        ``elapsed``: time since ``phase`` began, s. ``command``: a position for every joint, rad. Raises
        `PortError`.
        """
        limits = self._plan.counts_at(levels)
        goal_blocks: dict[int, tuple[int, bytes]] = {}
        other_blocks: dict[int, tuple[int, bytes]] = {}
        for index, goal in enumerate(self.joints):
            id, state, values = goal.joint.id, goal.state, dict(limits[goal.joint.id])
            if phase is Phase.STOP:
                goal.follow_measured()
                values |= goal.stop_limits
            elif phase is Phase.RUN and command is not None:
                goal.follow_command(command[index], values, dt)
            if phase is Phase.RELEASE:
                share = max(0.0, 1.0 - elapsed / self._robot.release_s)
                values[goal.effort.name] = int(values[goal.effort.name] * share)
            values["goal_position"] = goal.counts()
            goal.note_progress(phase is Phase.RUN, values[goal.effort.name], dt)
            # A goal would switch on the torque of a Feetech that has none or that restarts; but the first
            # write of a stop also goes to a servo that merely does not answer.
            silent = state.missed > 0 and state.silent_for > WRITE_TIMEOUT
            unreachable = silent and not (phase is Phase.STOP and elapsed == 0.0)
            if not state.torque_on or unreachable:
                self._feedback.expected[id].write({})
                continue
            self._feedback.expected[id].write(values)
            block, others = goal.split(values)
            goal_blocks[id] = self._bus.block_of(id, block)
            if others:
                other_blocks[id] = self._bus.block_of(id, others)
        self._bus.write_blocks(goal_blocks)
        self._bus.write_blocks(other_blocks)
