"""Command messages as arrays and back: `TwistStamped`, `Twist`, `Float64MultiArray`, `JointTrajectory`.

A message is read whole or refused whole: NaN is refused also in a field that the robot does not use. Message
classes are loaded on demand only, so that reading needs no ROS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel

from ..errors import InvalidSetup
from .message_types import message_class

TWIST_PARTS = ("linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z")
_TRAJECTORY_FIELDS = {"position": "positions", "velocity": "velocities", "effort": "effort"}

LARGEST = 1e6
"""Largest command in SI units; a larger one is garbage or in another unit."""


class CommandType(NamedTuple):
    """How a kind of command message is read and written.

    ``read(message, channels)`` returns one finite number a channel, in their order, or raises
    `InvalidCommand`; ``write(message, values, channels)`` fills a new message; ``stamped``: whether it has a
    header; ``type_name``: such as geometry_msgs/msg/Twist.
    """

    type_name: str
    read: Callable[[Any, Sequence[Channel]], list[float]]
    write: Callable[[Any, Sequence[float], Sequence[Channel]], None]
    stamped: bool

    def message_class(self) -> Any:
        """The ROS 2 message class."""
        return message_class(self.type_name)


def _read_twist(message: Any, channels: Sequence[Channel]) -> list[float]:
    twist = getattr(message, "twist", message)
    linear, angular = twist.linear, twist.angular
    numbers = (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z)
    parts = dict(zip(TWIST_PARTS, map(_number, numbers, TWIST_PARTS), strict=True))
    values = [parts.pop(channel.name) for channel in channels]
    for name, value in parts.items():
        if value:
            raise InvalidCommand(f"{name} = {value:g}: the robot has no such channel, must be 0")
    return values


def _write_twist(message: Any, values: Sequence[float], channels: Sequence[Channel]) -> None:
    twist = getattr(message, "twist", message)
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
    point = message_class("trajectory_msgs/msg/JointTrajectoryPoint")()
    numbers = [float(value) for value in values]
    for mode in {channel.mode for channel in channels}:
        setattr(point, _TRAJECTORY_FIELDS[mode], numbers)
    message.joint_names = [channel.name for channel in channels]
    message.points = [point]


COMMAND_TYPES: dict[str, CommandType] = {
    "twist_stamped": CommandType("geometry_msgs/msg/TwistStamped", _read_twist, _write_twist, True),
    "twist": CommandType("geometry_msgs/msg/Twist", _read_twist, _write_twist, False),
    "float64_multi_array": CommandType("std_msgs/msg/Float64MultiArray", _read_array, _write_array, False),
    "joint_trajectory": CommandType(
        "trajectory_msgs/msg/JointTrajectory", _read_trajectory, _write_trajectory, True
    ),
}
"""The kinds of command messages, by the value of the parameter ``command_type``."""


def command_type(values: Mapping[str, Any]) -> CommandType:
    """The parameters' kind of command messages; raises `InvalidSetup` for an unknown one."""
    name = values["command_type"]
    if name not in COMMAND_TYPES:
        raise InvalidSetup(f"command_type: {name!r} is unknown{suggestion(name, COMMAND_TYPES)}")
    return COMMAND_TYPES[name]


def stamp_of(message: Any) -> float:
    """The message's stamp in s; 0 where it has none."""
    header = getattr(message, "header", None)
    return 0.0 if header is None else float(header.stamp.sec) + 1e-9 * float(header.stamp.nanosec)


def _number(value: Any, place: str) -> float:
    if not math.isfinite(value):
        raise InvalidCommand(f"{place} = {value}: must be finite")
    if abs(value) > LARGEST:
        raise InvalidCommand(f"{place} = {value:g}: must be at most {LARGEST:g} in size")
    return float(value)
