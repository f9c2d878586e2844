"""The position on the course is as certain as the odometry is."""

from __future__ import annotations

import math

import pytest

from nerfbot.course import load_course
from nerfbot.hardware.safety.localisation import Localiser, PlanarPose, course_policy
from nerfbot.powers import Lease, LeaseAuthority, Zone
from nerfbot.powers.region import Circle

START = PlanarPose(2.0, 3.0, math.pi / 2)
ZONE = Zone(region=Circle(x=2.0, y=3.0, radius=1.0))


def at_origin(drift: float = 0.0) -> Localiser:
    localiser = Localiser(max_speed=1.0, drift=drift)
    localiser.update(PlanarPose(10.0, 10.0, 0.0), 0.0)
    assert localiser.set_origin(START, 0.0) == ""
    return localiser


def test_poses_on_the_course_follow_from_the_origin() -> None:
    localiser = at_origin()
    localiser.update(PlanarPose(10.05, 10.0, 0.1), 0.1)
    pose = localiser.pose(0.1)
    assert pose == pytest.approx((2.0, 3.05, math.pi / 2 + 0.1))


def test_there_is_no_position_before_the_origin_is_set() -> None:
    localiser = Localiser(max_speed=1.0)
    localiser.update(PlanarPose(0.0, 0.0, 0.0), 0.0)
    assert localiser.pose(0.0) is None


def test_the_origin_cannot_be_set_without_fresh_odometry() -> None:
    localiser = Localiser(max_speed=1.0)
    assert localiser.set_origin(START, 0.0)
    localiser.update(PlanarPose(0.0, 0.0, 0.0), 0.0)
    assert localiser.set_origin(START, 5.0)


@pytest.mark.parametrize(
    "pose", [PlanarPose(11.0, 10.0, 0.0), PlanarPose(math.nan, 0.0, 0.0)], ids=["jump", "nan"]
)
def test_a_jump_ends_the_position_until_the_next_origin(pose: PlanarPose) -> None:
    localiser = at_origin()
    assert localiser.update(pose, 0.05)
    localiser.update(PlanarPose(10.0, 10.0, 0.0), 0.1)
    assert localiser.pose(0.1) is None
    assert localiser.problem


def test_while_it_is_silent_there_is_no_position() -> None:
    localiser = at_origin()
    assert localiser.pose(0.51) is None
    localiser.update(PlanarPose(10.1, 10.0, 0.0), 9.0)
    assert localiser.pose(9.0) is not None


def test_a_robot_that_was_moved_in_silence_has_jumped() -> None:
    localiser = at_origin()
    localiser.update(PlanarPose(11.0, 10.0, 0.0), 9.0)
    assert localiser.pose(9.0) is None
    assert "jump" in localiser.problem


def test_distance_travelled_shrinks_the_zone() -> None:
    localiser, now = at_origin(drift=0.1), 0.0
    assert localiser.worst_point(0.0, [ZONE]) == pytest.approx((2.0, 3.0))
    for step in range(200):  # to and fro, 10 m in all: sure to within 1 m
        now += 0.1
        localiser.update(PlanarPose(10.0 + 0.05 * (step % 2), 10.0, 0.0), now)
    x, y = localiser.worst_point(now, [ZONE]) or (0.0, 0.0)
    assert not ZONE.region.holds(x, y)


def test_leases_hold_in_the_courses_lift_zones_only() -> None:
    course = load_course("gauntlet")
    authority = LeaseAuthority(policy=course_policy(course, 5.0))
    lease = Lease(axes={"strength": 1.0}, reason="test", duration=5.0)
    where = course.centre(8, 3)
    assert authority.request(lease, 0.0, where)
    assert authority.request(lease, 0.0, (0.1, 0.1)).reason == "outside-region"
    long = Lease(axes={"strength": 1.0}, reason="test", duration=6.0)
    assert authority.request(long, 0.0, where).reason == "too-long"
