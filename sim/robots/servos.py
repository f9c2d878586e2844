"""Hobby servos in joints: a set point on a profile, a position loop, a cap on the duty, back-EMF, friction.

The motor's torque is set before every physics step; gear friction is left to PyBullet's solver, which lets a
joint stand still under it. Constants are the description's; nothing here knows a make.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nerfbot.limits.kernel import approach

from ..physics.client import Client
from .description import ServoModel


@dataclass
class Servo:
    """One joint's servo and its state: ``goal`` (rad), ``cap`` of the torque (N·m), set point ``at`` moving
    with ``speed``, bounds ``velocity`` and ``acceleration`` of its profile, ``drive``: what it drives with.
    """

    index: int
    model: ServoModel
    goal: float = 0.0
    cap: float = math.inf
    at: float = 0.0
    speed: float = 0.0
    velocity: float = math.inf
    acceleration: float = math.inf
    drive: float = 0.0

    def step(self, position: float, velocity: float, dt: float) -> float:
        """Advance the set point by ``dt`` s; the motor's torque in N·m at ``position`` and ``velocity``."""
        self._profile(dt)
        model = self.model
        back = model.stall_torque / model.no_load_velocity
        wanted = model.stiffness * (self.at - position) + model.damping * (self.speed - velocity)
        cap = min(self.cap, model.stall_torque)
        self.drive = max(-cap, min(cap, wanted + back * self.speed))
        return self.drive - back * velocity

    def _profile(self, dt: float) -> None:
        """Move the set point towards the goal, so that it can come to rest there."""
        gap, top = self.goal - self.at, min(self.velocity, 4.0 * self.model.no_load_velocity)
        step = min(top * dt, abs(gap))
        if self.acceleration < math.inf:
            growth = self.acceleration * dt
            wanted = math.copysign(min(step, approach(abs(gap), self.acceleration, dt)) / dt, gap)
            self.speed = max(self.speed - growth, min(self.speed + growth, wanted))
        else:
            self.speed = math.copysign(step, gap) / dt
        self.at += self.speed * dt


class Servos:
    """The servos of one body. They stand still under gear friction and hold nothing until commanded."""

    def __init__(self, client: Client, body: int, servos: Sequence[Servo]) -> None:
        self._client, self._body, self._servos = client, body, list(servos)
        self._indices = [servo.index for servo in self._servos]
        self._by_index = {servo.index: servo for servo in self._servos}
        for servo in self._servos:
            client.setJointMotorControl2(
                body, servo.index, client.VELOCITY_CONTROL, targetVelocity=0.0, force=servo.model.friction
            )

    def rest(self) -> None:
        """Begin at rest where the joints stand."""
        states = self._client.getJointStates(self._body, self._indices)
        for servo, state in zip(self._servos, states, strict=True):
            servo.goal = servo.at = state[0]
            servo.speed = servo.drive = 0.0

    def command(self, index: int, goal: float, cap: float) -> None:
        """Send the joint ``index`` to ``goal`` (rad) with at most ``cap`` N·m."""
        servo = self._by_index[index]
        servo.goal, servo.cap = goal, cap

    def bound(self, index: int, velocity: float, acceleration: float) -> None:
        """Bound the profile of the joint ``index``, rad/s and rad/s²; inf: not bounded."""
        servo = self._by_index[index]
        servo.velocity, servo.acceleration = velocity, acceleration

    def drive(self, index: int) -> float:
        """What the servo at ``index`` reports as its load: the torque at standstill of its duty, N·m."""
        return self._by_index[index].drive

    def step(self, dt: float) -> None:
        """Set the torques for one physics step of ``dt`` s."""
        client = self._client
        states = client.getJointStates(self._body, self._indices)
        torques = [
            servo.step(state[0], state[1], dt) for servo, state in zip(self._servos, states, strict=True)
        ]
        client.setJointMotorControlArray(self._body, self._indices, client.TORQUE_CONTROL, forces=torques)
