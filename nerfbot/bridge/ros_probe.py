"""A running ROS 2 robot as a plant to measure: commands on `cmd_vel_policy`, velocities from `odom`."""

from __future__ import annotations

import time

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.commands import COMMAND_TYPES
from nerfbot.hardware.node import COMMAND_QOS
from nerfbot.limits import Channel, Envelope

from .measure import Trace


class RosProbe:
    """Plays commands into the chain and reads raw odometry; the chain's permit and gate stay in force.

    Times are of receipt, by the steady clock. Raises `InvalidCommand` where no odometry comes.
    """

    def __init__(self, envelope: Envelope, period: float = 0.05, command_type: str = "twist_stamped") -> None:
        self.channels = (
            Channel("linear.x", "velocity", "m/s"),
            Channel("angular.z", "velocity", "rad/s"),
        )
        self.envelope, self._period = envelope, period
        rclpy.init()
        self._node = rclpy.create_node("measure")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._kind = COMMAND_TYPES[command_type]
        self._message = self._kind.message_class()
        self._out = self._node.create_publisher(self._message, "cmd_vel_policy", COMMAND_QOS)
        self._heard: list[tuple[float, float, float]] = []
        self._node.create_subscription(Odometry, "odom", self._take, qos_profile_sensor_data)
        if not self._until(lambda: bool(self._heard), 10.0):
            self.close()
            raise InvalidCommand("measure: no odometry came within 10 s; is the robot brought up?")
        self._until(lambda: self._out.get_subscription_count() > 0, 5.0)

    @property
    def period(self) -> float:
        """The control period, s."""
        return self._period

    def _take(self, message: Odometry) -> None:
        twist = message.twist.twist
        self._heard.append((time.monotonic(), twist.linear.x, twist.angular.z))

    def _until(self, holds: object, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not holds():  # type: ignore[operator]
            if time.monotonic() > end:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def play(self, channel: int, commands: NDArray[np.float64]) -> Trace:
        """Play the commands at the control period; velocities are those heard last by each of them."""
        rows = []
        due = time.monotonic()
        for value in commands:
            message = self._message()
            values = [0.0] * len(self.channels)
            values[channel] = float(value)
            self._kind.write(message, values, self.channels)
            if self._kind.stamped:
                message.header.stamp = self._node.get_clock().now().to_msg()
            rows.append((time.monotonic(), value, self._heard[-1][1 + channel]))
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
