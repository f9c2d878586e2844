"""A running ROS 2 robot as a plant to measure: commands on `cmd_vel_policy`, readings from its topics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.ros.base_node import COMMAND_QOS
from nerfbot.hardware.ros.command_messages import COMMAND_TYPES, TWIST_PARTS
from nerfbot.hardware.ros.parameters import COMMON, channels_of, envelope_of

from .excitation import Floats, Trace


class RosProbe:
    """Plays commands into the chain of nodes and reads raw sensors; permit and gate stay in force.

    ``values`` are the chain's parameters that differ from their defaults: channels, command type and mode,
    envelope, `control_period`. `odom` measures a twist (velocities), `joint_states` joints. Times are those
    of receipt on the steady clock. Raises `InvalidCommand` where no reading arrives, `InvalidSpec` or
    `InvalidSetup` for parameters that the chain would refuse.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        parameters = {item.name: item.default for item in COMMON} | dict(values)
        self.channels = channels_of(parameters)
        self.envelope = envelope_of(parameters, self.channels)
        self.period = float(parameters["control_period"])
        """The control period, s."""
        rclpy.init()
        self._node = rclpy.create_node("measure")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._command_type = COMMAND_TYPES[parameters["command_type"]]
        self._message = self._command_type.message_class()
        self._publisher = self._node.create_publisher(self._message, "cmd_vel_policy", COMMAND_QOS)
        self._measured: Floats | None = None  # (3, channels): position, velocity, effort
        names = [channel.name for channel in self.channels]
        twist = all(name in TWIST_PARTS for name in names)
        topic = "odom" if twist else "joint_states"
        self._node.create_subscription(
            Odometry if twist else JointState,
            topic,
            self._read_odometry if twist else self._read_joints,
            qos_profile_sensor_data,
        )
        if not self._spin_until(lambda: self._measured is not None, 10.0):
            self.close()
            raise InvalidCommand(f"measure: no message on {topic} within 10 s; is the robot brought up?")
        self._spin_until(lambda: self._publisher.get_subscription_count() > 0, 5.0)
        assert self._measured is not None
        self._command: list[float] = [
            float(self._measured[0, index]) if channel.mode == "position" else 0.0
            for index, channel in enumerate(self.channels)
        ]

    def _read_odometry(self, message: Odometry) -> None:
        twist = message.twist.twist
        rows = np.full((3, len(self.channels)), math.nan)
        for index, channel in enumerate(self.channels):
            group, _, axis = channel.name.partition(".")
            rows[1, index] = getattr(getattr(twist, group), axis)
        self._measured = rows

    def _read_joints(self, message: JointState) -> None:
        places = {name: index for index, name in enumerate(message.name)}
        if any(channel.name not in places for channel in self.channels):
            return  # a message of other joints
        rows = np.full((3, len(self.channels)), math.nan)
        for row, values in zip(rows, (message.position, message.velocity, message.effort), strict=True):
            if len(values) == len(message.name):
                row[:] = [values[places[channel.name]] for channel in self.channels]
        self._measured = rows

    def _spin_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def play(self, channel: int, commands: Floats) -> Trace:
        """Play the commands at the control period; each reading is the latest one before the command."""
        rows = []
        is_position = self.channels[channel].mode == "position"
        due = time.monotonic()
        for value in commands:
            message = self._message()
            self._command[channel] = float(value)
            self._command_type.write(message, self._command, self.channels)
            if self._command_type.stamped:
                message.header.stamp = self._node.get_clock().now().to_msg()
            assert self._measured is not None
            position, velocity, effort = self._measured[:, channel].tolist()
            rows.append((time.monotonic(), value, position if is_position else velocity, velocity, effort))
            self._publisher.publish(message)
            due += self.period
            while (remaining := due - time.monotonic()) > 0.0:
                self._executor.spin_once(timeout_sec=remaining)
        return Trace(*np.array(rows, np.float64).T)

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()
