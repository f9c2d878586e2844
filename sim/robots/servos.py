"""Hobby servos in joints: a set point on a profile, a position loop, a limit of the duty, back-EMF, friction.

The motor's torque is set before every physics step; gear friction is left to PyBullet's solver, which lets a
joint stand still under it. Constants are the description's; nothing here knows a make.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nerfbot.limits.channel import Floats
from nerfbot.limits.kernel import UNLIMITED, approach

from ..physics.client import Client
from .description import ServoModel
from .motors import JointSpec, Motors


@dataclass
class SimulatedServo:
    """One joint's servo: ``goal`` (rad), ``effort_limit`` (N·m), and the set point (rad, rad/s) that moves to
    the goal within the profile's bounds; ``duty_torque``: the motor's at standstill with its duty, N·m.
    """

    channel: int
    joint: JointSpec
    model: ServoModel
    goal: float = 0.0
    effort_limit: float = math.inf
    set_point: float = 0.0
    set_point_speed: float = 0.0
    max_velocity: float = math.inf
    max_acceleration: float = math.inf
    duty_torque: float = 0.0

    def step(self, position: float, velocity: float, dt: float) -> float:
        """Advance the set point by ``dt`` s; the motor's torque in N·m at ``position`` and ``velocity``."""
        self._advance(dt)
        model = self.model
        back_emf = model.stall_torque / model.no_load_velocity
        torque = model.stiffness * (self.set_point - position)
        torque += model.damping * (self.set_point_speed - velocity)
        limit = min(self.effort_limit, model.stall_torque)
        self.duty_torque = max(-limit, min(limit, torque + back_emf * self.set_point_speed))
        return self.duty_torque - back_emf * velocity

    def _advance(self, dt: float) -> None:
        """Move the set point towards the goal, so that it can come to rest there."""
        gap = self.goal - self.set_point
        top = min(self.max_velocity, 4.0 * self.model.no_load_velocity)
        step = min(top * dt, abs(gap))
        if self.max_acceleration < UNLIMITED:
            change = self.max_acceleration * dt
            speed = math.copysign(min(step, approach(abs(gap), self.max_acceleration, dt)) / dt, gap)
            low, high = self.set_point_speed - change, self.set_point_speed + change
            self.set_point_speed = max(low, min(high, speed))
        else:
            self.set_point_speed = math.copysign(step, gap) / dt
        self.set_point += self.set_point_speed * dt


class ServoMotors(Motors):
    """The servos of one body. They stand still under gear friction and hold nothing until commanded."""

    def __init__(self, client: Client, body: int, servos: Sequence[SimulatedServo]) -> None:
        super().__init__(client, body)
        self._servos = servos
        self._indices = [servo.joint.index for servo in servos]
        self._dt: float = client.getPhysicsEngineParameters()["fixedTimeStep"]
        self._by_index = dict(zip(self._indices, servos, strict=True))
        for servo in servos:
            client.setJointMotorControl2(
                body,
                servo.joint.index,
                client.VELOCITY_CONTROL,
                targetVelocity=0.0,
                force=servo.model.friction,
            )

    def reset(self) -> None:
        """Begin at rest where the joints stand."""
        states = self._client.getJointStates(self._body, self._indices)
        for servo, state in zip(self._servos, states, strict=True):
            servo.goal = servo.set_point = state[0]
            servo.set_point_speed = servo.duty_torque = 0.0

    def command(self, command: Floats, effort_limit: Floats, available: dict[int, float]) -> None:
        """Set the goals, those of the last row; the torques follow from them in every physics step."""
        goals, limits = command[-1].tolist(), effort_limit[-1].tolist()
        for servo in self._servos:
            servo.goal = servo.joint.clipped(goals[servo.channel])
            servo.effort_limit = min(limits[servo.channel], servo.joint.effort)

    def limit(self, bounds: Sequence[Sequence[float]]) -> None:
        """Bound the profiles' velocity and acceleration; a profile brakes as it speeds up."""
        velocity, acceleration = bounds[:2]
        for servo in self._servos:
            servo.max_velocity = min(servo.joint.velocity, velocity[servo.channel])
            servo.max_acceleration = acceleration[servo.channel]

    def load(self, index: int) -> float:
        """What the servo at a URDF index reports as its load: the torque at standstill of its duty, N·m."""
        return self._by_index[index].duty_torque

    def step(self) -> None:
        """Set the torques for one physics step."""
        client, dt = self._client, self._dt
        states = client.getJointStates(self._body, self._indices)
        torques = [
            servo.step(state[0], state[1], dt) for servo, state in zip(self._servos, states, strict=True)
        ]
        client.setJointMotorControlArray(self._body, self._indices, client.TORQUE_CONTROL, forces=torques)
