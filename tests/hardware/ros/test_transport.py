"""Nodes reach each other within this machine, and never by memory that would outlive one that is killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nerfbot.hardware.ros.transport import LOOPBACK, PROFILES, RANGE, transport

UDP = {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
LOCAL = {RANGE: "SUBNET", "FASTDDS_DEFAULT_PROFILES_FILE": str(LOOPBACK)}
NODE = """
import rclpy
rclpy.init()
node = rclpy.create_node("alone")
print(node.get_namespace(), "/dev/shm/fast" in open("/proc/self/maps").read())
"""


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({}, LOCAL),
        ({"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}, LOCAL),
        ({"ROS_DISTRO": "kilted"}, LOCAL),
        ({"ROS_DISTRO": "jazzy"}, {RANGE: "SUBNET", "FASTRTPS_DEFAULT_PROFILES_FILE": str(LOOPBACK)}),
        ({RANGE: "SUBNET"}, UDP),
        ({RANGE: "LOCALHOST", **UDP}, {}),
        ({PROFILES[1]: "mine.xml"}, {}),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, {RANGE: "LOCALHOST"}),
        ({"RMW_IMPLEMENTATION": "rmw_zenoh_cpp", RANGE: "SUBNET"}, {}),
    ],
)
def test_the_users_own_settings_stay(given, added):
    assert transport(given) == added


@pytest.mark.realtime
@pytest.mark.parametrize("given", [{}, {RANGE: "SUBNET"}])
def test_a_node_has_no_shared_memory(given):
    pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")
    from tests.hardware.ros_world import fresh_domain

    known = {RANGE, *PROFILES, *UDP, "RMW_IMPLEMENTATION"}
    plain = {name: value for name, value in os.environ.items() if name not in known} | given
    environment = {**plain, **transport(plain), "ROS_DOMAIN_ID": str(fresh_domain())}
    done = subprocess.run(
        [sys.executable, "-c", NODE], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["/", "False"], done.stderr
    assert not done.stderr
