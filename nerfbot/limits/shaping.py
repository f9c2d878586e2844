"""The envelope on a joint's goal: range, velocity, acceleration, and how far the goal may lead the joint.

The result of `GoalShaper.step` is written to a servo, on a bus or in PyBullet.
"""

from __future__ import annotations

import math

from nerfbot.limits.envelope import ChannelEnvelope

LEAD = 0.06
"""How far a goal may lead the joint beyond what the servo needs to keep its speed, rad."""


class GoalShaper:
    """The goal of one joint, ``at`` (rad) and moving with ``speed`` (rad/s), inside ``low`` to ``high``.

    ``period``: of the bus cycle, s.
    """

    def __init__(self, limits: ChannelEnvelope, low: float, high: float, period: float = 0.01) -> None:
        self.low, self.high, self._period = low, high, period
        self._velocity = limits.max_velocity or 0.0
        self._acceleration = limits.max_acceleration or 0.0
        self._braking = max(limits.stop_deceleration or 0.0, self._acceleration)
        self.at = self.speed = 0.0

    def begin(self, position: float) -> None:
        """Start from a joint at rest at ``position`` (rad)."""
        self.at, self.speed = min(max(position, self.low), self.high), 0.0

    def step(self, desired: float, position: float, velocity: float, acceleration: float, dt: float) -> float:
        """Move towards ``desired`` (rad) for ``dt`` s; returns the goal.

        ``velocity`` and ``acceleration`` are the limits of nerf and lift now (rad/s, rad/s²), bounded here
        by the envelope. The goal leads the joint's ``position`` by no more than the servo's own profile needs
        (v²/2a) plus `LEAD`: that is how far the joint still moves when the driver dies.
        """
        if not dt > 0.0:
            return self.at
        if not math.isfinite(desired):  # brake
            desired = self.at
        if not math.isfinite(position):
            desired, position = self.at, self.at
        top = min(velocity, self._velocity)
        push = min(acceleration, self._acceleration)
        target = min(max(desired, self.low), self.high)
        gap = target - self.at
        growth = push * dt
        # the speed from which one step of braking after another ends on the target
        able = growth * (math.sqrt(0.25 + 2.0 * abs(gap) / (growth * dt)) - 0.5)
        goal = math.copysign(min(top, able, abs(gap) / dt), gap) if gap else 0.0
        braking = (self._braking if abs(goal) < abs(self.speed) or goal * self.speed < 0.0 else push) * dt
        self.speed = min(max(goal, self.speed - braking), self.speed + braking)
        after = self.at + self.speed * dt
        lead = top * top / (2.0 * push) + 3.0 * top * self._period + LEAD
        bounded = min(max(after, position - lead), position + lead)
        if bounded != after:
            self.speed = 0.0
        if abs(bounded - target) < 1e-12:
            bounded = target
        self.at = min(max(bounded, self.low), self.high)
        return self.at
