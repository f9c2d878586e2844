"""Command messages as arrays and back: `TwistStamped`, `Twist`, `Float64MultiArray`, `JointTrajectory`.

A message is read whole or refused whole: NaN in a field that the robot does not have is as wrong as in one
that it has. Message classes are looked up only when asked for, so that reading needs no ROS.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel

TWIST_PARTS = ("linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z")
_TRAJECTORY_FIELDS = {"position": "positions", "velocity": "velocities", "effort": "effort"}

LARGEST = 1e6
"""No command in SI units is larger: what is, was meant in another unit or is garbage."""


class CommandType(NamedTuple):
    """How a kind of command message is read and written.

    ``read(message, channels)`` returns one finite number a channel, in their order, or raises
    `InvalidCommand`; ``write(message, values, channels)`` fills a new message; ``stamped`` tells whether it
    has a header.
    """

    module: str
    name: str
    read: Callable[[Any, Sequence[Channel]], list[float]]
    write: Callable[[Any, Sequence[float], Sequence[Channel]], None]
    stamped: bool

    def message_class(self) -> Any:
        """The ROS 2 message class."""
        return getattr(importlib.import_module(self.module), self.name)


def _read_twist(twist: Any, channels: Sequence[Channel]) -> list[float]:
    linear, angular = twist.linear, twist.angular
    numbers = (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z)
    parts = dict(zip(TWIST_PARTS, map(_number, numbers, TWIST_PARTS), strict=True))
    values = [parts.pop(channel.name) for channel in channels]
    for name, value in parts.items():
        if value:
            raise InvalidCommand(f"{name} = {value:g}: the robot has no such channel, must be 0")
    return values


def _write_twist(twist: Any, values: Sequence[float], channels: Sequence[Channel]) -> None:
    parts = {"linear": twist.linear, "angular": twist.angular}
    for channel, value in zip(channels, values, strict=True):
        group, _, axis = channel.name.partition(".")
        setattr(parts[group], axis, float(value))


def _read_array(message: Any, channels: Sequence[Channel]) -> list[float]:
    if len(message.data) != len(channels):
        raise InvalidCommand(f"data: must have {len(channels)} numbers, got {len(message.data)}")
    return [
        _number(value, f"data[{channel.name}]") for channel, value in zip(channels, message.data, strict=True)
    ]


def _write_array(message: Any, values: Sequence[float], channels: Sequence[Channel]) -> None:
    message.data = [float(value) for value in values]


def _read_trajectory(message: Any, channels: Sequence[Channel]) -> list[float]:
    names, points = list(message.joint_names), message.points
    for name in names:
        if names.count(name) > 1:
            raise InvalidCommand(f"joint_names: {name!r} is given twice")
    known = [channel.name for channel in channels]
    if sorted(names) != sorted(known):
        raise InvalidCommand(f"joint_names: must be {known} in any order, got {names}")
    if len(points) != 1:
        raise InvalidCommand(f"points: must be one, the next, got {len(points)}")
    values = []
    for channel in channels:
        field = _TRAJECTORY_FIELDS[channel.mode]
        numbers = getattr(points[0], field)
        if len(numbers) != len(names):
            raise InvalidCommand(f"points[0].{field}: must have {len(names)} numbers, got {len(numbers)}")
        values.append(_number(numbers[names.index(channel.name)], f"points[0].{field}[{channel.name}]"))
    return values


def _write_trajectory(message: Any, values: Sequence[float], channels: Sequence[Channel]) -> None:
    point = importlib.import_module("trajectory_msgs.msg").JointTrajectoryPoint()
    numbers = [float(value) for value in values]
    for mode in {channel.mode for channel in channels}:
        setattr(point, _TRAJECTORY_FIELDS[mode], numbers)
    message.joint_names = [channel.name for channel in channels]
    message.points = [point]


COMMAND_TYPES: dict[str, CommandType] = {
    "twist_stamped": CommandType(
        "geometry_msgs.msg",
        "TwistStamped",
        lambda message, channels: _read_twist(message.twist, channels),
        lambda message, values, channels: _write_twist(message.twist, values, channels),
        True,
    ),
    "twist": CommandType("geometry_msgs.msg", "Twist", _read_twist, _write_twist, False),
    "float64_multi_array": CommandType("std_msgs.msg", "Float64MultiArray", _read_array, _write_array, False),
    "joint_trajectory": CommandType(
        "trajectory_msgs.msg", "JointTrajectory", _read_trajectory, _write_trajectory, True
    ),
}
"""What a command may come as, by the value of the parameter ``command_type``."""


def stamp_of(message: Any, kind: CommandType) -> float:
    """The message's stamp in s; 0 where it has none."""
    if not kind.stamped:
        return 0.0
    stamp = message.header.stamp
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)


def _number(value: Any, place: str) -> float:
    if not math.isfinite(value):
        raise InvalidCommand(f"{place} = {value}: must be finite")
    if abs(value) > LARGEST:
        raise InvalidCommand(f"{place} = {value:g}: must be at most {LARGEST:g} in size")
    return float(value)
