"""The motors of a robot's joints, one class for each kind: wheels, speed or effort, position.

`apply` sets PyBullet's joint motors for the whole robot's commands and effort limits (channels,), and writes
the force that each motor may use into ``available``, by URDF index. Servos are in `servos`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..physics.client import Client
from .drives import Kinematics


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
    """Some motors of one body. They keep a command until the next one."""

    velocity_limit: Sequence[float]

    def __init__(self, client: Client, body: int) -> None:
        self._client, self._body = client, body

    def apply(
        self, command: Sequence[float], effort_limit: Sequence[float], available: dict[int, float]
    ) -> None:
        """Set the motors for a command and effort limits of the whole robot, (channels,) each."""
        raise NotImplementedError

    def limit(self, velocity: Sequence[float], acceleration: Sequence[float]) -> None:
        """From the next command on, bound the speed of joints on their way to a position or under an effort.

        A commanded velocity is bounded in the command, and so is the acceleration of all but servos.
        """
        self.velocity_limit = velocity


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
        self._force, self._moment = effort_limit

    def apply(
        self, command: Sequence[float], effort_limit: Sequence[float], available: dict[int, float]
    ) -> None:
        """Turn the wheels and the steering."""
        force, moment = min(effort_limit[0], self._force), min(effort_limit[1], self._moment)
        speeds, torque, angles = self._kinematics.wheels(command[0], command[1], force, moment)
        torques = [torque] * len(speeds)
        self._client.setJointMotorControlArray(
            self._body, self._wheels, self._client.VELOCITY_CONTROL, targetVelocities=speeds, forces=torques
        )
        available.update(zip(self._wheels, torques, strict=True))
        for hinge, angle in zip(self._hinges, angles, strict=True):
            available[hinge.index] = hinge.effort
            _move_to(self._client, self._body, hinge, angle, hinge.velocity, hinge.effort)


class SpeedMotors(Motors):
    """Joints commanded by velocity or effort: velocity motors with the effort limit as their force.

    For an effort, the target is the joint's velocity limit in the effort's direction and the force is the
    effort: exactly the commanded effort, until the joint reaches its velocity limit, where it holds (a plain
    torque would spin it past the limit). ``joints``: channel, whether it is commanded by effort, and joint.
    """

    def __init__(self, client: Client, body: int, joints: Sequence[tuple[int, bool, JointSpec]]) -> None:
        super().__init__(client, body)
        self._joints = joints
        self._indices = [joint.index for _, _, joint in joints]

    def apply(
        self, command: Sequence[float], effort_limit: Sequence[float], available: dict[int, float]
    ) -> None:
        """Turn the joints."""
        speeds, forces = [], []
        for channel, by_effort, joint in self._joints:
            value, limit = command[channel], min(effort_limit[channel], joint.effort)
            if by_effort:
                top = min(joint.velocity, self.velocity_limit[channel])
                speeds.append(math.copysign(top, value))
                forces.append(min(abs(value), limit))
            else:
                speeds.append(max(-joint.velocity, min(joint.velocity, value)))
                forces.append(limit)
        available.update(zip(self._indices, forces, strict=True))
        self._client.setJointMotorControlArray(
            self._body, self._indices, self._client.VELOCITY_CONTROL, targetVelocities=speeds, forces=forces
        )


class PositionMotors(Motors):
    """Joints sent to positions by PyBullet's position motor; ``joints``: channel and joint."""

    def __init__(self, client: Client, body: int, joints: Sequence[tuple[int, JointSpec]]) -> None:
        super().__init__(client, body)
        self._joints = joints

    def apply(
        self, command: Sequence[float], effort_limit: Sequence[float], available: dict[int, float]
    ) -> None:
        """Send the joints to positions within their range."""
        for channel, joint in self._joints:
            force = available[joint.index] = min(effort_limit[channel], joint.effort)
            top = min(joint.velocity, self.velocity_limit[channel])
            _move_to(self._client, self._body, joint, joint.clipped(command[channel]), top, force)


def _move_to(
    client: Client, body: int, joint: JointSpec, position: float, velocity: float, force: float
) -> None:
    client.setJointMotorControl2(
        body, joint.index, client.POSITION_CONTROL, targetPosition=position, maxVelocity=velocity, force=force
    )
