"""Sensor messages under the nerf, without a node: every field, in every form that drivers send it."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image, Imu, JointState, LaserScan
from visualization_msgs.msg import Marker, MarkerArray

from nerfbot.errors import InvalidSpec
from nerfbot.hardware.ros.sensor_messages import MOST_GROUPS, ImpairedObjects, ImpairedSensor
from nerfbot.limits import NerfSpec

NERFED, LIFTED = np.zeros((1, 4)), np.ones((1, 4))
NAN, INF = math.nan, math.inf

IMPAIRMENTS: dict[str, dict[str, Any]] = {
    "noise": {"noise": 0.1},
    "bias": {"bias": {"nerfed": 0.5, "lifted": 0.0}},
    "drift": {"drift": 0.1},
    "dropout": {"dropout": 0.5},
    "rate": {"rate": {"nerfed": 5.0, "lifted": 100.0}},
    "latency": {"latency": 0.05},
    "frozen": {"frozen": {"rate": 5.0, "duration": 0.3}},
}


def sensor(name: str, **limits: Any) -> ImpairedSensor:
    spec = NerfSpec.parse({"name": "n", "sensors": {name: limits}})
    return ImpairedSensor(spec, name, seed=0, field_of_view=1.0, allow=())


def through(impaired: ImpairedSensor, message: Any, time: float = 0.0, lift: np.ndarray = NERFED) -> Any:
    """What comes of a message at once; None where it is refused."""
    impaired.take(copy.deepcopy(message), time, lift)
    released = impaired.due(time + 1.0)
    return released[-1] if released else None


def scan(ranges: list[float], first: float = -1.0, step: float = 0.5, **more: Any) -> LaserScan:
    last = first + step * (len(ranges) - 1)
    fields = {"range_min": 0.125, "range_max": 8.0, "angle_increment": step, **more}
    return LaserScan(angle_min=first, angle_max=last, ranges=ranges, **fields)


def lidar() -> ImpairedSensor:
    return sensor("lidar", bias={"nerfed": 0.5, "lifted": 0.0})


def test_a_simulation_that_begins_anew_is_followed() -> None:
    impaired = lidar()
    for time in (1000.0, 1000.1, 0.0, 0.1):
        impaired.take(scan([2.0 + time / 1000.0] * 5), time, NERFED)
        (message,) = impaired.due(time)
        assert message.ranges[0] == pytest.approx(2.5 + time / 1000.0, abs=1e-5)
        assert not impaired.problem


def test_a_message_that_is_out_of_order_is_refused_by_name() -> None:
    impaired = lidar()
    impaired.take(scan([2.0] * 5), 10.0, NERFED)
    assert len(impaired.due(10.0)) == 1
    impaired.take(scan([3.0] * 5), 9.9, NERFED)
    assert not impaired.due(10.0)
    assert "before the last reading" in impaired.problem
    assert impaired.report().startswith("1 used; 1 refused, last: ")


def test_a_sensor_without_limits_passes_its_messages_untouched() -> None:
    message = Imu()
    message.linear_acceleration.x, message.orientation_covariance[3] = NAN, 0.5
    out = through(sensor("imu"), message)
    assert math.isnan(out.linear_acceleration.x)
    assert out.orientation_covariance[3] == 0.5


def test_a_limit_that_a_sensor_cannot_carry_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidSpec, match=r"sensors\[imu\]\.range: is not enforceable"):
        sensor("imu", range={"nerfed": 1.0, "lifted": 2.0})


# Scans


def seen(out: LaserScan, count: int) -> list[int]:
    """Directions of the rays that read a distance, in whole turns of `count`, 0 ahead."""
    angles = out.angle_min + out.angle_increment * np.arange(len(out.ranges))
    turns = np.rint(angles / (2 * np.pi) * count).astype(int) % count
    return sorted(turns[np.isfinite(out.ranges)].tolist())


@pytest.mark.parametrize(
    ("first", "step"),
    [(-math.pi, 1), (0.0, 1), (math.pi / 2, 1), (math.pi, -1), (2 * math.pi, -1)],
    ids=["from astern", "from ahead", "from the left", "reversed", "reversed from ahead"],
)
def test_a_field_of_view_lies_ahead_wherever_the_scan_begins(first: float, step: int) -> None:
    impaired = sensor("lidar", field_of_view={"nerfed": 1.5, "lifted": 6.2})
    message = scan([1.0] * 36, first, step * 2 * math.pi / 36)
    assert seen(through(impaired, message), 36) == [0, 1, 2, 3, 4, 32, 33, 34, 35]


def test_each_message_has_its_own_geometry() -> None:
    impaired = sensor("lidar", field_of_view={"nerfed": 1.5, "lifted": 6.2})
    step = 2 * math.pi / 36
    for time, (first, sign) in enumerate([(0.0, 1), (-math.pi, 1), (math.pi, -1)] * 2):
        out = through(impaired, scan([1.0] * 36, first, sign * step), float(time))
        assert seen(out, 36) == [0, 1, 2, 3, 4, 32, 33, 34, 35]


def test_readings_keep_their_meaning_by_rep_117() -> None:
    impaired = sensor("lidar", range={"nerfed": 2.0, "lifted": 8.0})
    given = [1.0, 3.0, INF, -INF, NAN, 9.0, 0.05, 0.0]
    expected = [1.0, INF, INF, -INF, NAN, INF, NAN, NAN]
    assert list(through(impaired, scan(given, step=0.25)).ranges) == pytest.approx(expected, nan_ok=True)


def test_a_ray_that_is_lost_was_not_measured_and_is_not_free() -> None:
    impaired = sensor("lidar", dropout={"nerfed": 1.0, "lifted": 0.0})
    assert np.isnan(through(impaired, scan([1.0, -INF, INF])).ranges).all()


@pytest.mark.parametrize(("bias", "expected"), [(-1.0, 0.125), (7.5, INF)])
def test_an_error_makes_no_reading_that_readers_discard(bias: float, expected: float) -> None:
    impaired = sensor("lidar", bias={"nerfed": bias, "lifted": 0.0})
    assert through(impaired, scan([0.9])).ranges[0] == expected
    assert math.isnan(through(impaired, scan([0.0]), 1.0).ranges[0])


def test_the_intensities_of_rays_that_are_blanked_are_blanked() -> None:
    impaired = sensor("lidar", range={"nerfed": 2.0, "lifted": 8.0})
    message = scan([1.0, 3.0, 1.5], intensities=[10.0, 20.0, 30.0])
    assert list(through(impaired, message).intensities) == [10.0, 0.0, 30.0]
    message.intensities = [10.0]
    assert list(through(impaired, message, 1.0).intensities) == []
    assert "intensities: 1 for 3 ranges" in impaired.report()


def test_intensities_follow_the_resolution() -> None:
    impaired = sensor("lidar", resolution={"nerfed": 0.5, "lifted": 1.0})
    out = through(impaired, scan([1.0, 2.0, 3.0, 4.0], intensities=[1.0, 2.0, 3.0, 4.0]))
    assert list(out.ranges) == list(out.intensities)
    assert len(set(out.ranges)) == 2


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ranges": []}, "ranges: are empty"),
        ({"range_max": 0.0}, "range_max = 0"),
        ({"range_max": NAN}, "range_max = nan"),
        ({"range_min": NAN}, "range_min = nan"),
        ({"range_min": 9.0}, "range_min = 9"),
        ({"angle_min": NAN}, "angle_min = nan"),
        ({"angle_increment": 0.0}, "angle_increment = 0"),
        ({"angle_increment": INF}, "angle_increment = inf"),
        ({"angle_increment": 5.0}, "angle_increment = 5"),
    ],
)
def test_a_scan_that_cannot_be_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    impaired = lidar()
    message = scan([1.0] * 5)
    for name, value in fields.items():
        setattr(message, name, value)
    assert through(impaired, message) is None
    assert named in impaired.problem
    assert through(impaired, scan([1.0] * 5), 1.0) is not None


SIZES = [[9], [9, 10], [9, 1, 12]]


@pytest.mark.parametrize("name", IMPAIRMENTS)
def test_the_impairments_of_a_scan_go_on_while_its_number_of_rays_varies(name: str) -> None:
    histories = []
    for sizes in SIZES:
        impaired, heard = sensor("lidar", **IMPAIRMENTS[name]), []
        for step in range(36):
            size = sizes[step % len(sizes)]
            message = scan([1.0 + 0.01 * step] * size, step=0.1)
            heard.append(round(float(through(impaired, message, 0.1 * step).ranges[0]), 4))
        assert impaired.refused == 0
        histories.append([str(value) for value in heard])
    assert histories[0] == histories[1] == histories[2]


def test_a_frozen_scan_is_repeated_with_the_geometry_that_it_was_taken_with() -> None:
    impaired = sensor("lidar", rate={"nerfed": 0.1, "lifted": 100.0})
    through(impaired, scan([1.0, 2.0], -0.5, 1.0))
    later = scan([3.0] * 5)
    later.header.stamp.sec = 7
    out = through(impaired, later, 1.0)
    assert list(out.ranges) == [1.0, 2.0]
    assert (out.angle_min, out.angle_increment, out.header.stamp.sec) == (-0.5, 1.0, 7)


# Joints


def joints(names: str, **fields: list[float]) -> JointState:
    return JointState(name=names.split(), **fields)


@pytest.mark.parametrize("name", IMPAIRMENTS)
def test_joints_in_every_form_are_used_or_refused_by_name(name: str) -> None:
    impaired = sensor("joints", **IMPAIRMENTS[name])
    forms: list[tuple[JointState, str]] = [
        (joints(""), "name: is empty"),
        (joints("", position=[1.0]), "name: is empty"),
        (joints("a b", velocity=[0.1, 0.2]), ""),
        (joints("a b", position=[1.0, 2.0]), ""),
        (joints("b a", position=[2.0, 1.0], velocity=[0.2, 0.1], effort=[5.0, 4.0]), ""),
        (joints("a b", position=[1.0]), "position: must have 2 numbers or none, got 1"),
        (joints("a b", position=[1.0, 2.0], velocity=[0.1]), "velocity: must have 2"),
        (joints("a b", position=[1.0, 2.0], effort=[0.1, 0.1, 0.1]), "effort: must have 2"),
        (joints("a a", position=[1.0, 2.0]), "'a' is given twice"),
        (joints("a b", position=[NAN, 2.0], velocity=[NAN, INF], effort=[NAN, NAN]), ""),
        (joints("c", position=[3.0], velocity=[0.3]), ""),
        (joints("a c b d", position=[1.0, 3.0, 2.0, 4.0], velocity=[0.1] * 4), ""),
        (joints("a b", position=[1.0, 2.0], velocity=[0.1, 0.2]), ""),
    ]
    for step, (message, problem) in enumerate(forms * 2):
        before = impaired.refused
        out = through(impaired, message, 0.1 * step)
        if problem:
            assert out is None
            assert impaired.refused == before + 1
            assert problem in impaired.problem
        else:
            assert impaired.refused == before, impaired.problem
            assert list(out.name) == list(message.name)
            assert len(out.position) == len(message.position)
            assert len(out.velocity) == len(message.velocity)
    assert "refused, last: " in impaired.report()


def test_joints_keep_their_errors_in_any_order_and_company() -> None:
    impaired = sensor("joints", bias={"nerfed": 0.5, "lifted": 0.0})
    for time, names in enumerate(["a b", "b a", "a", "b c a"]):
        values = {"a": 1.0, "b": 2.0, "c": 3.0}
        out = through(impaired, joints(names, position=[values[name] for name in names.split()]), float(time))
        assert list(out.position) == [values[name] + 0.5 for name in names.split()]


def test_two_broadcasters_of_joints_do_not_starve_each_other_under_a_rate() -> None:
    impaired = sensor("joints", rate={"nerfed": 5.0, "lifted": 100.0})
    arm, gripper = set(), set()
    for step in range(40):
        time = 0.05 * step
        arm.add(through(impaired, joints("a", position=[float(step)]), time).position[0])
        gripper.add(through(impaired, joints("g", position=[float(step)]), time + 0.001).position[0])
    assert len(arm) == len(gripper) == 10


def test_a_joint_gets_no_more_samples_by_coming_in_several_companies() -> None:
    impaired = sensor("joints", rate={"nerfed": 5.0, "lifted": 100.0})
    heard = set()
    for step in range(40):
        names = ["a b", "a", "b a c"][step % 3]
        message = joints(names, position=[float(step)] * len(names.split()))
        out = through(impaired, message, 0.05 * step)
        heard.add(dict(zip(out.name, out.position, strict=True))["a"])
    assert len(heard) == 10


def test_names_without_end_are_refused() -> None:
    impaired = sensor("joints", noise=0.1)
    for number in range(MOST_GROUPS + 5):
        through(impaired, joints(f"joint{number}", position=[1.0]), 0.1 * number)
    assert impaired.used == MOST_GROUPS
    assert f"more than {MOST_GROUPS} groups of joints" in impaired.problem
    assert through(impaired, joints("joint0", position=[1.0]), 99.0) is not None


def test_an_effort_is_blanked_where_the_nerf_changes_what_joints_read() -> None:
    message = joints("a", position=[1.0], velocity=[0.0], effort=[9.0])
    assert list(through(sensor("joints", **IMPAIRMENTS["rate"]), message).effort) == [9.0]
    noisy = sensor("joints", noise={"nerfed": 0.1, "lifted": 0.0})
    assert list(through(noisy, message).effort) == []
    assert list(through(noisy, message, 1.0, LIFTED).effort) == [9.0]


def test_a_velocity_that_no_interface_measures_stays_unmeasured() -> None:
    impaired = sensor("joints", noise=0.1)
    for time in (0.0, 1.0):
        out = through(impaired, joints("a b", position=[1.0, 2.0], velocity=[NAN, NAN]), time)
        assert np.isfinite(out.position).all()
        assert np.isnan(out.velocity).all()
    assert "velocity" in impaired.report()


# IMU and odometry


def imu() -> Imu:
    message = Imu()
    message.orientation.z, message.orientation.w = 0.6, 0.8
    for name in ("orientation_covariance", "angular_velocity_covariance", "linear_acceleration_covariance"):
        setattr(message, name, [0.01] * 9)
    message.angular_velocity_covariance[0] = -1.0
    message.linear_acceleration.x = 1.0
    return message


def test_an_imu_with_errors_tells_no_exact_orientation_and_no_covariance() -> None:
    out = through(sensor("imu", bias={"nerfed": 0.5, "lifted": 0.0}), imu())
    assert out.linear_acceleration.x == 1.5
    assert (out.orientation.z, out.orientation.w) == (0.0, 1.0)
    assert list(out.orientation_covariance) == [-1.0, *[0.0] * 8]
    assert list(out.linear_acceleration_covariance) == [0.0] * 9
    assert list(out.angular_velocity_covariance) == [-1.0, *[0.0] * 8]


def test_an_imu_at_a_lower_rate_repeats_all_of_its_fields() -> None:
    impaired, first = sensor("imu", **IMPAIRMENTS["rate"]), imu()
    assert through(impaired, first) == first
    later = imu()
    later.orientation.z, later.orientation.w = 0.8, 0.6
    later.header.stamp.sec = 3
    out = through(impaired, later, 0.1)
    assert (out.orientation.z, out.header.stamp.sec) == (0.6, 3)


def odometry() -> Odometry:
    message = Odometry(child_frame_id="base")
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.z, pose.orientation.w = 1.0, 0.3, 1.0
    twist.linear.x, twist.linear.y, twist.angular.x = 0.5, 0.25, 0.1
    message.pose.covariance[0] = message.twist.covariance[0] = 0.01
    return message


def test_odometry_with_errors_tells_no_exact_speed_sideways_tilt_or_covariance() -> None:
    out = through(sensor("odometry", bias={"nerfed": 0.5, "lifted": 0.0}), odometry())
    pose, twist = out.pose.pose, out.twist.twist
    assert (pose.position.x, twist.linear.x, twist.linear.y) == (1.5, 1.0, 0.75)
    assert 2 * math.atan2(pose.orientation.z, pose.orientation.w) == pytest.approx(0.5)
    assert (pose.position.z, twist.angular.x, out.child_frame_id) == (0.0, 0.0, "base")
    assert not any(out.pose.covariance)
    assert not any(out.twist.covariance)


def test_odometry_at_a_lower_rate_is_whole() -> None:
    assert through(sensor("odometry", **IMPAIRMENTS["rate"]), odometry()) == odometry()


@pytest.mark.parametrize("name", IMPAIRMENTS)
@pytest.mark.parametrize("kind", ["imu", "odometry"])
def test_numbers_that_are_not_finite_are_lost_and_reported(kind: str, name: str) -> None:
    impaired = sensor(kind, **IMPAIRMENTS[name])
    good = imu() if kind == "imu" else odometry()
    bad = copy.deepcopy(good)
    if kind == "imu":
        bad.angular_velocity.z = NAN
    else:
        bad.twist.twist.angular.z = NAN
    for step, message in enumerate([bad, good, bad, bad, good] * 3):
        assert through(impaired, message, 0.1 * step) is not None
    assert impaired.refused == 0
    assert "1 numbers that are not finite" in impaired.report()


def test_a_quaternion_of_zeros_is_no_heading() -> None:
    message = odometry()
    message.pose.pose.orientation.w = 0.0
    impaired = sensor("odometry", bias={"nerfed": 0.5, "lifted": 0.0})
    assert math.isnan(through(impaired, message).pose.pose.orientation.w)
    assert "not finite" in impaired.report()


# Images and objects


def test_an_image_of_another_size_goes_on_and_one_without_pixels_is_refused() -> None:
    impaired = sensor("camera", **IMPAIRMENTS["rate"])
    for time, (height, width) in enumerate([(2, 2), (3, 4), (2, 2)]):
        data = bytes(range(height * width))
        message = Image(height=height, width=width, step=width, encoding="mono8", data=data)
        assert bytes(through(impaired, message, float(time)).data) == data
    assert through(impaired, Image(encoding="mono8"), 9.0) is None
    assert "image: data" in impaired.problem


def test_objects_beyond_the_range_without_a_place_or_drawn_by_points_are_left_out() -> None:
    def marker(x: float, **more: Any) -> Marker:
        made = Marker(**more)
        made.pose.position.x = x
        return made

    far = marker(0.0)
    far.points.append(far.pose.position)
    given = MarkerArray(markers=[marker(1.0), marker(3.0), marker(NAN), far])
    spec = {"name": "n", "sensors": {"objects": {"range": {"nerfed": 2.0, "lifted": 8.0}}}}
    objects = ImpairedObjects(NerfSpec.parse(spec), 0, ())
    assert [item.pose.position.x for item in objects.impair(given, NERFED).markers] == [1.0]
    assert objects.left_out == 3
