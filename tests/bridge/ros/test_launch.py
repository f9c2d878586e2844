"""The launch files under the real ROS 2 launch system, which comes with a distribution."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.realtime

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")
pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS 2 distribution")

LAUNCH = Path(__file__).parents[3] / "launch"
SERVE = """
import signal, sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
given = [word.split(":=") for word in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([
    IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=given)
]))
sys.exit(service.run())
"""
"""What `ros2 launch` does with a file and its arguments."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sim", "hil"])
def test_the_rover_is_lifted_under_the_launch_system_and_nothing_is_left(bring_up, kind: str) -> None:
    """A lease is granted and returns; what the launch system ends has ended, its sockets with it."""
    run = bring_up("record:=false", command=[sys.executable, "-c", SERVE, str(LAUNCH / f"{kind}.launch.py")])
    run.until(lambda: run.events()["grant"] >= 1 and run.events()["return"] >= 1, 90.0)
    names = {"plant", "supervisor", "gate", "nerf", "policy"}
    assert {name for name in names if run.node(name)} == names
    assert not run.shares_memory()
    assert run.end() == 0
    assert not (run.folder / "supervisor.path").exists()
