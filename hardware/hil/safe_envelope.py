"""The envelope of a real arm in the campaign: around where it stands, and no faster than its nerf."""

from __future__ import annotations

from collections.abc import Mapping

from nerfbot.limits import Envelope, NerfSpec
from nerfbot.limits.value import high

from ..bus.bus import Bus
from ..driver.goal_writer import AT_REST
from ..driver.guards import RANGE_MARGIN
from ..errors import InvalidServo
from ..robot import ServoRobot

RADIUS = 0.6
"""How far a joint may go to either side of where it stands, rad."""

MIN_RANGE = 0.5
"""The smallest range in which a joint can be tested, rad."""


def resting_positions(robot: ServoRobot, bus: Bus) -> dict[str, float]:
    """The position of each joint of an arm at rest, rad.

    Raises `BusError` where a servo does not answer, `InvalidServo` for a joint that moves.
    """
    positions = {}
    for joint in robot.joints:
        speed = bus.read_si(joint.id, "present_velocity")
        if abs(speed) > AT_REST:
            raise InvalidServo(f"{joint.name}: moves at {speed:.2f} rad/s: the arm must be at rest")
        positions[joint.name] = joint.radians(bus.read(joint.id, "present_position"))
    return positions


def with_safe_envelope(robot: ServoRobot, spec: NerfSpec, positions: Mapping[str, float]) -> ServoRobot:
    """``robot`` with a narrower envelope: within `RADIUS` of its joints' ``positions`` (rad), and the nerf's
    velocity and acceleration even when lifted. Efforts stay, since they hold the arm.

    Raises `InvalidServo` for a joint that stands too near an end of its range.
    """
    channels = {}
    for joint in robot.joints:
        limits, position = robot.envelope.channel(joint.channel()), positions[joint.name]
        assert limits.min_position is not None
        assert limits.max_position is not None
        inside = min(max(position, limits.min_position), limits.max_position)
        low, high_ = max(inside - RADIUS, limits.min_position), min(inside + RADIUS, limits.max_position)
        if abs(position - inside) > RANGE_MARGIN or high_ - low < MIN_RANGE:
            span = f"{limits.min_position:g} to {limits.max_position:g}"
            raise InvalidServo(
                f"{joint.name}: stands at {position:.3f} rad, with too little room in {span}: move it by hand"
            )
        changed: dict[str, float] = {"min_position": low, "max_position": high_}
        nerf = spec.channel(joint.name, limits)
        for field, limit, bound in (
            ("max_velocity", nerf.velocity, limits.max_velocity),
            ("max_acceleration", nerf.acceleration, limits.max_acceleration),
        ):
            if limit is not None and bound is not None:
                changed[field] = min(high(limit.nerfed), bound)
        channels[joint.name] = limits.model_copy(update=changed)
    return robot.model_copy(update={"envelope": Envelope(channels=channels)})
