"""What a robot body can do at given lift levels: push, drive, see, and receive commands.

The solver knows nothing else of a robot and its nerf.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nerfbot.course.elements import GRAVITY
from nerfbot.errors import InvalidSpec
from nerfbot.limits import AXES
from nerfbot.limits.spec import Burst, NerfSpec
from nerfbot.limits.value import Limit


@dataclass(frozen=True)
class Body:
    """The part of a robot that obstacles feel: mass in kg, length and wheel radius in m.

    `drive_share` is the share of the weight on the driven axle, which is what a step has to raise at once.
    """

    name: str
    mass: float
    length: float
    wheel_radius: float
    drive_share: float = 0.6


ROVER = Body("rover", mass=8.0, length=0.40, wheel_radius=0.08)
"""The project's own rover, as its URDF has it."""


@dataclass(frozen=True)
class Capability:
    """What a body can do: push in N, speed in m/s, sight in m, and the share of commands lost everywhere.

    `sensing` and `reliability` are the lift levels in [0, 1] that fog and interference ask for.
    """

    push: float
    speed: float
    sight: float
    loss: float = 0.0
    sensing: float = 0.0
    reliability: float = 0.0
    body: Body = ROVER

    @classmethod
    def from_spec(
        cls,
        spec: NerfSpec,
        lift: Mapping[str, float] | None = None,
        body: Body = ROVER,
        channel: str = "linear.x",
    ) -> Capability:
        """What `spec` leaves of the body at the levels `lift` (axis to level in [0, 1]; absent means 0).

        Push and speed come from the drive's `channel`, sight from the longest-reaching sensor, loss from the
        bursts of the link and the channel. Without a limit nothing bounds the quantity. Raises `InvalidSpec`
        for a lift of an unknown axis or a level outside [0, 1].
        """
        levels = dict.fromkeys(AXES, 0.0)
        for axis, level in (lift or {}).items():
            if axis not in levels or not 0.0 <= level <= 1.0:
                raise InvalidSpec(f"lift: {axis} = {level!r}: must be one of {', '.join(AXES)}, from 0 to 1")
            levels[axis] = float(level)
        drive = spec.channel(channel)
        ranges = [_at(spec.sensor(name).range, levels["sensing"], math.inf) for name in spec.sensors]
        received = 1.0
        for burst in (spec.link().drop, drive.hold, drive.intermittent):
            received *= 1.0 - _share(burst, levels["reliability"])
        return cls(
            push=_at(drive.effort, levels["strength"], math.inf),
            speed=_at(drive.velocity, levels["speed"], math.inf),
            sight=max(ranges, default=math.inf),
            loss=1.0 - received,
            sensing=levels["sensing"],
            reliability=levels["reliability"],
            body=body,
        )

    def slope_force(self, height: float, run: float) -> float:
        """Force in N that holds the body on a slope rising `height` m over `run` m."""
        return self.body.mass * GRAVITY * height / math.hypot(height, run)

    def step_force(self, height: float) -> float:
        """Force in N at the wheels' rims that lifts the driven axle over an edge of `height` m.

        Statics of a wheel at an edge: the axle's load times sin(theta), where cos(theta) is
        (radius - height) / radius; infinite from the height of the axle up.
        """
        radius = self.body.wheel_radius
        if height <= 0.0:
            return 0.0
        if height >= radius:
            return math.inf
        sine = math.sqrt(2.0 * radius * height - height * height) / radius
        return self.body.mass * GRAVITY * self.body.drive_share * sine


@dataclass(frozen=True)
class Abilities:
    """One robot under one nerf, fully nerfed and fully lifted."""

    nerfed: Capability
    lifted: Capability

    @classmethod
    def from_spec(cls, spec: NerfSpec, body: Body = ROVER) -> Abilities:
        """Both ends of what `spec` declares for `body`."""
        return cls(
            Capability.from_spec(spec, {}, body), Capability.from_spec(spec, dict.fromkeys(AXES, 1.0), body)
        )

    def at(self, axes: Collection[str]) -> Capability:
        """The capability with exactly these axes fully lifted."""

        def pick(axis: str) -> Capability:
            return self.lifted if axis in axes else self.nerfed

        return Capability(
            push=pick("strength").push,
            speed=pick("speed").speed,
            sight=pick("sensing").sight,
            sensing=pick("sensing").sensing,
            loss=pick("reliability").loss,
            reliability=pick("reliability").reliability,
            body=self.nerfed.body,
        )


def _at(limit: Limit | None, level: float, absent: float) -> float:
    return absent if limit is None else float(limit.at(level))


def _share(burst: Burst | None, level: float) -> float:
    """Share of the time that a burst process is in fault: duration over duration plus the healthy time."""
    if burst is None:
        return 0.0
    busy = float(burst.rate.at(level)) * float(burst.duration.at(level))
    return busy / (1.0 + busy)
