"""The robot's place on the course is trusted as far as its odometry is."""

from __future__ import annotations

import math

import pytest

from nerfbot.course import Course
from nerfbot.hardware.safety.localisation import Odometry, Pose, course_policy
from nerfbot.powers import Lease, LeaseAuthority, Zone
from nerfbot.powers.region import Circle

START = Pose(2.0, 3.0, math.pi / 2)
ZONE = Zone(region=Circle(x=2.0, y=3.0, radius=1.0))


def at_origin(drift: float = 0.0) -> Odometry:
    odometry = Odometry(max_speed=1.0, drift=drift)
    odometry.take(Pose(10.0, 10.0, 0.0), 0.0)
    assert odometry.set_origin(START, 0.0) == ""
    return odometry


def test_poses_on_the_course_follow_from_the_origin() -> None:
    odometry = at_origin()
    odometry.take(Pose(10.05, 10.0, 0.1), 0.1)
    pose = odometry.pose(0.1)
    assert pose == pytest.approx((2.0, 3.05, math.pi / 2 + 0.1))


def test_there_is_no_position_before_the_origin_is_set() -> None:
    odometry = Odometry(max_speed=1.0)
    odometry.take(Pose(0.0, 0.0, 0.0), 0.0)
    assert odometry.pose(0.0) is None


def test_the_origin_cannot_be_set_without_fresh_odometry() -> None:
    odometry = Odometry(max_speed=1.0)
    assert odometry.set_origin(START, 0.0)
    odometry.take(Pose(0.0, 0.0, 0.0), 0.0)
    assert odometry.set_origin(START, 5.0)


@pytest.mark.parametrize("pose", [Pose(11.0, 10.0, 0.0), Pose(math.nan, 0.0, 0.0)], ids=["jump", "nan"])
def test_a_jump_ends_the_position_until_the_next_origin(pose: Pose) -> None:
    odometry = at_origin()
    assert odometry.take(pose, 0.05)
    odometry.take(Pose(10.0, 10.0, 0.0), 0.1)
    assert odometry.pose(0.1) is None
    assert odometry.problem


def test_while_it_is_silent_there_is_no_position() -> None:
    odometry = at_origin()
    assert odometry.pose(0.51) is None
    odometry.take(Pose(10.1, 10.0, 0.0), 9.0)
    assert odometry.pose(9.0) is not None


def test_a_robot_that_was_moved_in_silence_has_jumped() -> None:
    odometry = at_origin()
    odometry.take(Pose(11.0, 10.0, 0.0), 9.0)
    assert odometry.pose(9.0) is None
    assert "jump" in odometry.problem


def test_distance_travelled_shrinks_the_zone() -> None:
    odometry, now = at_origin(drift=0.1), 0.0
    assert odometry.worst_point(0.0, [ZONE]) == pytest.approx((2.0, 3.0))
    for step in range(200):  # to and fro, 10 m in all: sure to within 1 m
        now += 0.1
        odometry.take(Pose(10.0 + 0.05 * (step % 2), 10.0, 0.0), now)
    x, y = odometry.worst_point(now, [ZONE]) or (0.0, 0.0)
    assert not ZONE.region.holds(x, y)


def test_leases_hold_in_the_courses_lift_zones_only() -> None:
    course = Course.load("gauntlet")
    authority = LeaseAuthority(policy=course_policy(course, 5.0))
    lease = Lease(axes={"strength": 1.0}, reason="test", duration=5.0)
    where = course.centre(8, 3)
    assert authority.request(lease, 0.0, where)
    assert authority.request(lease, 0.0, (0.1, 0.1)).reason == "outside-region"
    long = Lease(axes={"strength": 1.0}, reason="test", duration=6.0)
    assert authority.request(long, 0.0, where).reason == "too-long"
