"""What counts as measured: finite, of the right joints, and fresh, whoever publishes it."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("rclpy")

from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState

from nerfbot.hardware.ros.measurements import MEASUREMENT_TIMEOUT, Measurements
from nerfbot.limits import Channel

NAN = math.nan
ARM = (Channel("shoulder", "position", "rad"), Channel("elbow", "position", "rad"))
BASE = (Channel("linear.x", "velocity", "m/s"), Channel("angular.z", "velocity", "rad/s"))


def state(names: str, **fields: list[float]) -> JointState:
    return JointState(name=names.split(), **fields)


def measured(*messages: JointState) -> tuple[list[list[float] | None], str]:
    measurements = Measurements(ARM)
    for message in messages:
        measurements.take_joints(message, 1.0)
    fresh = measurements.fresh(1.0)
    rows = (None, None, None) if fresh is None else (fresh.position, fresh.velocity, fresh.effort)
    return [None if row is None else row[0].tolist() for row in rows], measurements.report(1.0)


@pytest.mark.parametrize(
    ("message", "position", "velocity", "report"),
    [
        (state("shoulder elbow", position=[1.0, 2.0], velocity=[0.1, 0.2]), True, True, "position, velocity"),
        (state("elbow shoulder", position=[2.0, 1.0], velocity=[0.2, 0.1]), True, True, "position, velocity"),
        (
            state("elbow finger shoulder", position=[2.0, 9.0, 1.0], velocity=[0.2, 9.0, 0.1]),
            True,
            True,
            "position, velocity",
        ),
        (state("shoulder elbow", position=[1.0, 2.0]), True, False, "position"),
        (state("shoulder elbow", velocity=[0.1, 0.2]), False, True, "velocity"),
        (
            state("shoulder elbow", position=[1.0, 2.0], velocity=[0.1, NAN]),
            True,
            False,
            "position; velocity[elbow] = nan: not used",
        ),
        (
            state("shoulder elbow", position=[NAN, math.inf]),
            False,
            False,
            "nothing; position[shoulder] = nan: not used",
        ),
        (
            state("shoulder elbow", position=[1.0, math.inf]),
            False,
            False,
            "nothing; position[elbow] = inf: not used",
        ),
        (state("shoulder", position=[1.0]), False, False, "nothing"),
        (state(""), False, False, "nothing; name: none of the channels is among []"),
        (
            state("finger", position=[1.0]),
            False,
            False,
            "nothing; name: none of the channels is among ['finger']",
        ),
        (
            state("shoulder elbow", position=[1.0]),
            False,
            False,
            "nothing; position: must have 2 numbers or none, got 1",
        ),
        (
            state("shoulder shoulder elbow", position=[9.0, 1.0, 2.0]),
            False,
            False,
            "nothing; name: 'shoulder' is given twice",
        ),
    ],
)
def test_a_joint_state_in_every_form(message: Any, position: bool, velocity: bool, report: str) -> None:
    rows, said = measured(message)
    assert rows == [[1.0, 2.0] if position else None, [0.1, 0.2] if velocity else None, None]
    assert said == report


def test_two_publishers_may_measure_one_joint_each() -> None:
    rows, _ = measured(state("shoulder", position=[1.0]), state("elbow", position=[2.0]))
    assert rows[0] == [1.0, 2.0]


def test_a_measurement_ages_and_one_of_other_joints_does_not_renew_it() -> None:
    measurements = Measurements(ARM)
    measurements.take_joints(state("shoulder elbow", position=[1.0, 2.0]), 1.0)
    measurements.take_joints(state("shoulder", position=[1.0]), 1.0 + MEASUREMENT_TIMEOUT)
    assert measurements.fresh(1.0 + MEASUREMENT_TIMEOUT) is None


def test_odometry_that_is_not_finite_is_not_measured() -> None:
    message, measurements = Odometry(), Measurements(BASE)
    message.twist.twist.linear.x = 0.5
    measurements.take_odometry(message, 1.0)
    assert measurements.fresh(1.0).velocity.tolist() == [[0.5, 0.0]]
    message.twist.twist.angular.z = NAN
    measurements.take_odometry(message, 1.0 + MEASUREMENT_TIMEOUT)
    assert measurements.fresh(1.0 + MEASUREMENT_TIMEOUT) is None
    assert measurements.report(1.5) == "nothing; velocity[angular.z] = nan: not used"
