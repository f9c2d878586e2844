"""A running ROS 2 robot as a plant to measure: commands on `cmd_vel_policy`, readings from its own topics."""

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
    """Plays commands into the chain and reads raw sensors; the chain's permit and gate stay in force.

    ``values``: the chain's parameters that differ from their defaults: channels, command type and mode, the
    envelope, `control_period`. A twist is measured by `odom` (velocities), joints by `joint_states`. Times
    are of receipt, by the steady clock. Raises `InvalidCommand` where nothing is heard, `InvalidSpec` or
    `InvalidSetup` for parameters that the chain would refuse.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        whole = {item.name: item.default for item in COMMON} | dict(values)
        self.channels = channels_of(whole)
        self.envelope = envelope_of(whole, self.channels)
        self._period = float(whole["control_period"])
        rclpy.init()
        self._node = rclpy.create_node("measure")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._kind = COMMAND_TYPES[whole["command_type"]]
        self._message = self._kind.message_class()
        self._out = self._node.create_publisher(self._message, "cmd_vel_policy", COMMAND_QOS)
        self._heard: Floats | None = None  # position, velocity and effort by channel
        names = [channel.name for channel in self.channels]
        twist = all(name in TWIST_PARTS for name in names)
        topic = "odom" if twist else "joint_states"
        self._node.create_subscription(
            Odometry if twist else JointState,
            topic,
            self._take_odometry if twist else self._take_joints,
            qos_profile_sensor_data,
        )
        if not self._until(lambda: self._heard is not None, 10.0):
            self.close()
            raise InvalidCommand(f"measure: nothing came on {topic} within 10 s; is the robot brought up?")
        self._until(lambda: self._out.get_subscription_count() > 0, 5.0)
        assert self._heard is not None
        self._at: list[float] = [
            float(self._heard[0, index]) if channel.mode == "position" else 0.0
            for index, channel in enumerate(self.channels)
        ]

    @property
    def period(self) -> float:
        """The control period, s."""
        return self._period

    def _take_odometry(self, message: Odometry) -> None:
        twist = message.twist.twist
        rows = np.full((3, len(self.channels)), math.nan)
        for index, channel in enumerate(self.channels):
            group, _, axis = channel.name.partition(".")
            rows[1, index] = getattr(getattr(twist, group), axis)
        self._heard = rows

    def _take_joints(self, message: JointState) -> None:
        places = {name: index for index, name in enumerate(message.name)}
        if any(channel.name not in places for channel in self.channels):
            return  # about other joints
        rows = np.full((3, len(self.channels)), math.nan)
        for row, numbers in zip(rows, (message.position, message.velocity, message.effort), strict=True):
            if len(numbers) == len(message.name):
                row[:] = [numbers[places[channel.name]] for channel in self.channels]
        self._heard = rows

    def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def play(self, channel: int, commands: Floats) -> Trace:
        """Play the commands at the control period; readings are those heard last by each of them."""
        rows = []
        moves = self.channels[channel].mode == "position"
        due = time.monotonic()
        for value in commands:
            message = self._message()
            self._at[channel] = float(value)
            self._kind.write(message, self._at, self.channels)
            if self._kind.stamped:
                message.header.stamp = self._node.get_clock().now().to_msg()
            assert self._heard is not None
            position, velocity, effort = self._heard[:, channel].tolist()
            rows.append((time.monotonic(), value, position if moves else velocity, velocity, effort))
            self._out.publish(message)
            due += self._period
            while (left := due - time.monotonic()) > 0.0:
                self._executor.spin_once(timeout_sec=left)
        return Trace(*np.array(rows, np.float64).T)

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()
