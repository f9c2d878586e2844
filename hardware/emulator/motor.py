"""The physics of one emulated servo: motor, gearbox friction, load, heat and supply.

The model: a DC motor with a linear torque-speed curve behind a position loop with a trapezoidal profile.
It is a plausible servo, not an identified one: what a nerf test needs is that limits have their effect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..bus.control_table import MotorSpec

AMBIENT = 25.0  # degC
HEAT_CAPACITY = 45.0  # J/K, a 55 g servo
HEAT_RESISTANCE = 7.0  # K/W
LINE_RESISTANCE = 0.05  # ohm, shared supply lead
FRICTION = 0.02  # share of the stall torque: Coulomb friction of the gearbox
GAIN_PER_COUNT = 0.0004  # duty a count of position error and a unit of P (about 1.3 % a count at P = 32)
DAMPING = 0.4  # duty s/rad: the D part, on the error of velocity
_STILL = 1e-4  # rad/s


@dataclass
class MotorCommand:
    """What the firmware asks of the motor in one step.

    ``goal`` (rad), ``velocity`` (rad/s, 0 or less: unlimited), ``acceleration`` (rad/s², likewise),
    ``duty_limit`` (share of the stall torque), ``gain`` (units of P), ``enabled``. ``brake``: come to rest,
    ignoring the goal.
    """

    goal: float
    velocity: float
    acceleration: float
    duty_limit: float
    gain: float
    enabled: bool
    brake: bool = False


@dataclass
class MotorModel:
    """One servo's motor and shaft. Angles in rad, 0 at count 0; ``stops``: mechanical end stops.

    ``set_point`` and ``speed``: of the profile towards the goal; ``duty``: share of the stall torque.
    """

    spec: MotorSpec
    inertia: float
    radians_per_count: float
    angle: float = math.pi
    velocity: float = 0.0
    duty: float = 0.0
    torque: float = 0.0
    temperature: float = AMBIENT
    supply: float = 0.0
    set_point: float = math.pi
    speed: float = 0.0
    stuck: bool = False
    extra_load: float = 0.0
    stops: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        self.supply = self.supply or self.spec.voltage
        self.set_point = self.angle

    @property
    def current(self) -> float:
        """Current, A: torque over the torque constant."""
        return self.torque / self.spec.stall_torque * self.spec.stall_current

    @property
    def voltage(self) -> float:
        """Voltage at the servo, V."""
        return self.supply - LINE_RESISTANCE * abs(self.current)

    def place(self, angle: float) -> None:
        """Put the shaft at ``angle``, at rest and cool."""
        self.angle = self.set_point = angle
        self.velocity = self.speed = self.duty = self.torque = self.extra_load = 0.0
        self.temperature, self.supply, self.stuck = AMBIENT, self.spec.voltage, False

    def step(self, command: MotorCommand, load: float, dt: float) -> None:
        """Advance by ``dt`` (s) under an external torque of ``load`` (N·m)."""
        spec = self.spec
        if command.enabled:
            self._profile(command, dt)
            error = (self.set_point - self.angle) / self.radians_per_count
            duty = GAIN_PER_COUNT * command.gain * error + DAMPING * (self.speed - self.velocity)
            duty += self.speed / spec.no_load_velocity
            self.duty = max(-command.duty_limit, min(command.duty_limit, duty))
        else:
            self.set_point, self.speed, self.duty = self.angle, 0.0, 0.0
        self._move(load + self.extra_load, dt)
        heat = (self.torque / spec.stall_torque) ** 2 * spec.voltage * spec.stall_current
        cooling = (self.temperature - AMBIENT) / HEAT_RESISTANCE
        self.temperature += (heat - cooling) / HEAT_CAPACITY * dt

    def _profile(self, command: MotorCommand, dt: float) -> None:
        """Move the set point towards the goal on a trapezoid."""
        gap = 0.0 if command.brake else command.goal - self.set_point
        top = command.velocity if command.velocity > 0.0 else 4.0 * self.spec.no_load_velocity
        target = math.copysign(min(top, abs(gap) / dt), gap) if gap else 0.0
        if command.acceleration > 0.0:
            # the speed from which one step of braking after another ends on the goal
            growth = command.acceleration * dt
            reachable = growth * (math.sqrt(0.25 + 2.0 * abs(gap) / (growth * dt)) - 0.5)
            target = math.copysign(min(abs(target), reachable), gap) if gap else 0.0
            ramped = max(self.speed - growth, min(self.speed + growth, target))
            self.speed = max(-top, min(top, ramped))  # a limit that returns applies at once
        else:
            self.speed = target
        step = self.speed * dt
        self.set_point = command.goal if not command.brake and step == gap else self.set_point + step

    def _move(self, load: float, dt: float) -> None:
        spec = self.spec
        drive_torque = spec.stall_torque * self.duty * max(self.voltage, 0.0) / spec.voltage
        back = spec.stall_torque / spec.no_load_velocity
        # Back-EMF damps the motor; integrated implicitly, or a light joint would be unstable.
        damping = back if self.duty or abs(self.velocity) > _STILL else 0.0
        friction = FRICTION * spec.stall_torque
        push = drive_torque + load
        if self.stuck or (abs(self.velocity) <= _STILL and abs(push) <= friction):
            self.velocity = 0.0
        else:
            sign = math.copysign(1.0, self.velocity if abs(self.velocity) > _STILL else push)
            free = self.velocity + dt * (push - sign * friction) / self.inertia
            after = free / (1.0 + dt * damping / self.inertia)
            stopped = after * sign < 0.0 and abs(push) <= friction
            self.velocity = 0.0 if stopped else after
        self.angle += self.velocity * dt
        if not self.stops[0] <= self.angle <= self.stops[1]:
            self.angle, self.velocity = max(self.stops[0], min(self.stops[1], self.angle)), 0.0
        self.torque = drive_torque - (back * self.velocity if self.duty else 0.0)
