"""The motors of a robot: wheels that follow a twist, and joints commanded one by one.

`command` takes commands and effort limits for the coming physics steps, and writes the force that each motor
may use into ``available``, by URDF index; `step` sets PyBullet's motors before each. Servos are in `servos`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nerfbot.limits.channel import Floats, Mode
from nerfbot.limits.kernel import UNLIMITED, reach

from ..physics.client import Client
from .drives import Kinematics

GAIN = 0.1
"""Share of the distance that a position motor covers in a physics step: PyBullet's default."""

HOLD = 12
"""Physics steps for which an effort joint is held after something threw it past its velocity limit."""

_PAST = 0.05  # share of the velocity limit past which a joint was thrown
_NEAR = 1e-3  # share of the velocity limit


@dataclass(frozen=True)
class JointSpec:
    """A joint as it may be used: URDF index, effort and velocity limits, position range (None: unbounded)."""

    name: str
    index: int
    effort: float
    velocity: float
    range: tuple[float, float] | None

    def clipped(self, position: float) -> float:
        """``position`` within the joint's range."""
        return position if self.range is None else max(self.range[0], min(self.range[1], position))


class Motors:
    """Some motors of one body; ``step`` is called before every physics step."""

    def __init__(self, client: Client, body: int) -> None:
        self._client, self._body = client, body
        self._bounds: Sequence[Sequence[float]] = ()

    def command(self, command: Floats, effort_limit: Floats, available: dict[int, float]) -> None:
        """Take commands and effort limits of the whole robot, (steps, channels): one row a physics step.

        The last one stays.
        """
        raise NotImplementedError

    def step(self) -> None:
        """Set PyBullet's motors for the next physics step."""
        raise NotImplementedError

    def reset(self) -> None:
        """Begin anew where the joints stand."""

    def limit(self, bounds: Sequence[Sequence[float]]) -> None:
        """From the next physics step on, bound the motion of joints: the rows of `MotionLimits`."""
        self._bounds = bounds


class TwistMotors(Motors):
    """Driven wheels and steered hinges for a twist, the robot's first two channels.

    ``effort_limit`` has the twist's own limits: force in N and moment in N·m.
    """

    def __init__(
        self,
        client: Client,
        body: int,
        kinematics: Kinematics,
        wheels: Sequence[JointSpec],
        hinges: Sequence[JointSpec],
        effort_limit: Sequence[float],
    ) -> None:
        super().__init__(client, body)
        self._kinematics, self._hinges = kinematics, hinges
        self._wheels = [wheel.index for wheel in wheels]
        self._most = np.array(effort_limit)
        self._pending: Iterator[tuple[list[float], list[float]]] = iter(())
        self._angles: Iterator[list[float]] = iter(())
        self._set_wheels = functools.partial(
            client.setJointMotorControlArray, body, self._wheels, client.VELOCITY_CONTROL
        )

    def command(self, command: Floats, effort_limit: Floats, available: dict[int, float]) -> None:
        """Turn twists into wheel speeds and steering angles."""
        speeds, torques, angles = self._kinematics.wheels(command, effort_limit, self._most)
        self._pending, self._angles = zip(speeds, torques, strict=True), iter(angles)
        for wheel in self._wheels:
            available[wheel] = torques[-1][0]
        for hinge in self._hinges:
            available[hinge.index] = hinge.effort

    def step(self) -> None:
        """Turn the wheels and the steering."""
        for speeds, torques in self._pending:
            self._set_wheels(targetVelocities=speeds, forces=torques)
            if self._hinges:
                self._steer(next(self._angles))
            return

    def _steer(self, angles: Sequence[float]) -> None:
        for hinge, angle in zip(self._hinges, angles, strict=True):
            self._client.setJointMotorControl2(
                self._body,
                hinge.index,
                self._client.POSITION_CONTROL,
                targetPosition=angle,
                maxVelocity=hinge.velocity,
                force=hinge.effort,
            )

    def reset(self) -> None:
        """Straighten the steering."""
        self._kinematics.reset()


class JointMotors(Motors):
    """Joints commanded by position, velocity or effort, with the limits of speed and acceleration in force.

    ``joints``: channel, its mode, and joint. A position is approached with a speed in proportion to the
    distance (`GAIN`, as PyBullet's own position motor does), from which the joint can still brake to the
    speed at which the goal moves. In no physics step does a motor change a joint's speed by more than its
    acceleration allows.

    An effort acts exactly as commanded until it would carry the joint past its velocity limit; there the
    motor brakes with all the effort that the limit leaves it. A joint that was thrown past its limit is held
    within it, whatever the command, for a moment (`HOLD`).
    """

    def __init__(self, client: Client, body: int, joints: Sequence[tuple[int, Mode, JointSpec]]) -> None:
        super().__init__(client, body)
        self._joints = joints
        self._indices = [joint.index for _, _, joint in joints]
        self._by_effort = [joint.index for _, mode, joint in joints if mode == "effort"]
        self._commands: list[list[float]] = []
        self._limits: list[list[float]] = []
        self._row = 0
        self._dt: float = client.getPhysicsEngineParameters()["fixedTimeStep"]
        self.reset()
        self.torques: dict[int, float] = {}
        """What acted on each effort joint beside its velocity motor in the last physics step, N·m or N."""
        self.forces: dict[int, float] = {}
        """The largest force of each velocity motor in the last physics step, N·m or N."""

    def command(self, command: Floats, effort_limit: Floats, available: dict[int, float]) -> None:
        """Turn the joints."""
        self._commands, self._limits, self._row = command.tolist(), effort_limit.tolist(), -1
        for channel, _, joint in self._joints:
            available[joint.index] = min(self._limits[-1][channel], joint.effort)

    def reset(self) -> None:
        """Forget the motion before."""
        self._speed_before: list[float] | None = None
        self._goals: Sequence[float] | None = None
        self._goal_speeds: list[float] = []
        self._holding: dict[int, int] = {}
        self._age, self._interval = 0, 1  # physics steps since the last new goal, and between the last two

    def _next_row(self) -> tuple[Sequence[float], Sequence[float]]:
        """The command and the effort limits of this physics step; notes how fast the goals move."""
        self._age += 1
        if self._row + 1 < len(self._commands):
            self._row += 1
            goals = self._commands[self._row]
            before = goals if self._goals is None else self._goals
            time = self._age * self._dt
            self._goal_speeds = [(new - old) / time for new, old in zip(goals, before, strict=True)]
            self._goals, self._interval, self._age = goals, self._age, 0
        elif self._age >= self._interval:
            self._goal_speeds = [0.0] * len(self._goal_speeds)
        return self._commands[self._row], self._limits[self._row]

    def step(self) -> None:
        """Set every motor's target speed and force from where its joint is and how it moves."""
        if not self._commands:
            return
        command, limits = self._next_row()
        client, dt = self._client, self._dt
        states = client.getJointStates(self._body, self._indices)
        before = self._speed_before or [state[1] for state in states]
        velocity, _, deceleration, least, most = self._bounds
        targets, forces, self.torques = [], [], {}
        for (channel, mode, joint), (position, speed, *_), last in zip(
            self._joints, states, before, strict=True
        ):
            value, force, torque = command[channel], min(limits[channel], joint.effort), 0.0
            # Above a limit that has just been tightened a joint slows down as its command does.
            commanded = {"velocity": value, "position": self._goal_speeds[channel], "effort": 0.0}[mode]
            top = min(joint.velocity, max(velocity[channel], abs(commanded)))
            room = most[channel] - position, position - least[channel]
            up, down = (min(top, _approach_speed(gap, deceleration[channel], dt)) for gap in room)
            if mode != "effort":
                value = self._target_speed(joint, channel, mode, value, position, speed, up, down)
                # Past its limits a joint is stopped with all its effort.
                up, down = (min(top, GAIN * max(gap, 0.0) / dt) for gap in room)
                value = max(-down, min(up, value))
            elif self._is_held(joint, speed, up + _PAST * top, down + _PAST * top):
                value = max(-down, min(up, speed))
            else:
                value, force, torque = _effort(value, force, up, down, speed, last)
            if mode == "effort":
                self.torques[joint.index] = torque
            targets.append(value)
            forces.append(force)
        self._speed_before = [state[1] for state in states]
        self.forces = dict(zip(self._indices, forces, strict=True))
        client.setJointMotorControlArray(
            self._body,
            self._indices,
            client.VELOCITY_CONTROL,
            targetVelocities=targets,
            forces=forces,
        )
        if self._by_effort:
            client.setJointMotorControlArray(
                self._body, self._by_effort, client.TORQUE_CONTROL, forces=list(self.torques.values())
            )

    def _target_speed(
        self,
        joint: JointSpec,
        channel: int,
        mode: Mode,
        value: float,
        position: float,
        speed: float,
        up: float,
        down: float,
    ) -> float:
        """Speed towards a command of position or velocity, within ``up``, -``down`` and the acceleration."""
        dt, acceleration, brake = self._dt, self._bounds[1][channel], self._bounds[2][channel]
        if mode == "position":
            gap = joint.clipped(value) - position
            able = _approach_speed(abs(gap), brake, dt)
            able += max(math.copysign(1.0, gap) * self._goal_speeds[channel], 0.0)
            value = math.copysign(min(able, GAIN * abs(gap) / dt), gap)
        value = max(-down, min(up, value))
        if acceleration < UNLIMITED or brake < UNLIMITED:
            low = -reach(-speed, acceleration, brake, dt)
            value = max(low, min(reach(speed, acceleration, brake, dt), value))
        return value

    def _is_held(self, joint: JointSpec, speed: float, up: float, down: float) -> bool:
        """Whether an effort joint is held in this step, because it was thrown past ``up`` or -``down``."""
        if speed > up or speed < -down:
            self._holding[joint.index] = HOLD
        left = self._holding.get(joint.index, 0)
        self._holding[joint.index] = max(left - 1, 0)
        return left > 0


def _approach_speed(gap: float, deceleration: float, dt: float) -> float:
    """The largest speed towards a position ``gap`` away; 0 there and past it.

    It is in proportion to the distance where that takes no more than ``deceleration``, and farther away what
    leaves room to brake down to that.
    """
    if gap <= 0.0:
        return 0.0
    rate = GAIN / dt
    near = deceleration / rate**2
    return rate * gap if gap <= near else math.sqrt(2.0 * deceleration * (gap - 0.5 * near))


def _effort(
    value: float, most: float, up: float, down: float, speed: float, last: float
) -> tuple[float, float, float]:
    """Target speed and force of the velocity motor, and a torque, for an effort of ``value``.

    Together they give ``value`` as long as the joint stays slower than ``up`` and ``down``, and up to
    ``most`` against the motion to keep it there: a motor of force (most + value) / 2 that pulls towards the
    bound, and a torque of (value - most) / 2, for motion in the direction of the bound. A motor can hold one
    bound only: that which is nearer, judged by ``speed`` and the ``last`` one; but an effort that brakes hard
    must not throw the joint past the other. What pushes a joint from outside, the motor learns one step late.
    """
    value = max(-most, min(most, value))
    ahead = 2.0 * speed - last
    above, below = up - max(speed, ahead), down + min(speed, ahead)  # how far the joint is from either bound
    side = math.copysign(1.0, value) if above == below else 1.0 if above < below else -1.0
    if side * value < 0.0 and abs(value) >= 0.5 * most and min(above, below) >= -_NEAR * max(up, down):
        side = -side
    along = side * value
    return (up if side > 0.0 else -down), 0.5 * (most + along), side * 0.5 * (along - most)
