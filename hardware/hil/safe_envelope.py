"""A real arm in the campaign: it keeps near to where it stands, and is no faster than its nerf."""

from __future__ import annotations

from collections.abc import Mapping

from nerfbot.limits import Envelope, NerfSpec
from nerfbot.limits.value import high

from ..bus.bus import Bus
from ..driver.goal_writer import AT_REST
from ..driver.guards import RANGE_MARGIN
from ..errors import InvalidServo
from ..robot import ServoRobot

AROUND = 0.6
"""How far to either side of where it stands a joint may go, rad."""

ROOM = 0.5
"""A joint needs at least this much room in all, rad."""


def standing(robot: ServoRobot, bus: Bus) -> dict[str, float]:
    """Where each joint stands, rad.

    Raises `BusError` where a servo does not answer, `InvalidServo` for a joint that moves.
    """
    found = {}
    for joint in robot.joints:
        speed = bus.read_si(joint.id, "present_velocity")
        if abs(speed) > AT_REST:
            raise InvalidServo(f"{joint.name}: moves at {speed:.2f} rad/s: the arm must be at rest")
        found[joint.name] = joint.radians(bus.read(joint.id, "present_position"))
    return found


def careful(robot: ServoRobot, spec: NerfSpec, positions: Mapping[str, float]) -> ServoRobot:
    """``robot`` with an envelope within its own: `AROUND` its joints' ``positions`` (rad), and for lifts
    too the nerf's velocity and acceleration. Efforts stay, since they hold the arm.

    Raises `InvalidServo` for a joint that stands too near an end of its range.
    """
    channels = {}
    for joint in robot.joints:
        limits, at = robot.envelope.channel(joint.channel()), positions[joint.name]
        assert limits.min_position is not None
        assert limits.max_position is not None
        inside = min(max(at, limits.min_position), limits.max_position)
        low, up = max(inside - AROUND, limits.min_position), min(inside + AROUND, limits.max_position)
        if abs(at - inside) > RANGE_MARGIN or up - low < ROOM:
            raise InvalidServo(
                f"{joint.name}: stands at {at:.3f} rad, with too little room in {limits.min_position:g} to"
                f" {limits.max_position:g}: move it by hand"
            )
        changed: dict[str, float] = {"min_position": low, "max_position": up}
        nerf = spec.channel(joint.name, limits)
        for field, limit, most in (
            ("max_velocity", nerf.velocity, limits.max_velocity),
            ("max_acceleration", nerf.acceleration, limits.max_acceleration),
        ):
            if limit is not None and most is not None:
                changed[field] = min(high(limit.nerfed), most)
        channels[joint.name] = limits.model_copy(update=changed)
    return robot.model_copy(update={"envelope": Envelope(channels=channels)})
