"""Sensor messages under the nerf, without a node."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import LaserScan

from nerfbot.hardware.ros.sensor_messages import ImpairedSensor
from nerfbot.limits import NerfSpec

NERFED = np.zeros((1, 4))


def scan(distance: float) -> LaserScan:
    message = LaserScan(angle_min=-1.0, angle_max=1.0, angle_increment=0.5, range_max=8.0)
    message.ranges = [distance] * 5
    return message


def lidar() -> ImpairedSensor:
    spec = NerfSpec.parse({"name": "n", "sensors": {"lidar": {"bias": {"nerfed": 0.5, "lifted": 0.0}}}})
    return ImpairedSensor(spec, "lidar", seed=0, field_of_view=1.0, allow=())


def test_a_simulation_that_begins_anew_is_followed() -> None:
    sensor = lidar()
    for time in (1000.0, 1000.1, 0.0, 0.1):
        sensor.take(scan(2.0 + time / 1000.0), time, NERFED)
        (message,) = sensor.due(time)
        assert message.ranges[0] == pytest.approx(2.5 + time / 1000.0, abs=1e-5)
        assert not sensor.problem


def test_a_message_that_is_out_of_order_is_refused_by_name() -> None:
    sensor = lidar()
    sensor.take(scan(2.0), 10.0, NERFED)
    assert len(sensor.due(10.0)) == 1
    sensor.take(scan(3.0), 9.9, NERFED)
    assert not sensor.due(10.0)
    assert "before the last reading" in sensor.problem
