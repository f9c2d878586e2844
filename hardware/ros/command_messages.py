"""Command messages as arrays and back: `TwistStamped`, `Twist`, `Float64MultiArray`, `JointTrajectory`.

A message is read whole or refused whole: NaN is refused also in a field that the robot does not use. Message
classes are loaded on demand only, so that reading needs no ROS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel
from nerfbot.limits.channel import Floats

from ..errors import InvalidSetup
from .message_types import message_class

TWIST_PARTS = ("linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z")
_TRAJECTORY_FIELDS = {"position": "positions", "velocity": "velocities", "effort": "effort"}

PERIOD = 0.05
"""Nominal time between commands, s."""

LARGEST = 1e6
"""Largest command in SI units; a larger one is garbage or in another unit."""


class CommandType(NamedTuple):
    """How a kind of command message is read and written.

    ``read(message, channels)`` returns one finite number a channel, in their order, or raises
    `InvalidCommand`; ``write(message, values, channels, period=PERIOD)`` fills a new message, which is to be
    reached in ``period`` s where the kind says so; ``stamped``: whether it has a header; ``type_name``: such
    as geometry_msgs/msg/Twist.
    """

    type_name: str
    read: Callable[[Any, Sequence[Channel]], list[float]]
    write: Callable[..., None]
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


def _write_twist(
    message: Any, values: Sequence[float], channels: Sequence[Channel], period: float = PERIOD
) -> None:
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


def _write_array(
    message: Any, values: Sequence[float], channels: Sequence[Channel], period: float = PERIOD
) -> None:
    message.data = [float(value) for value in values]


def _read_trajectory(message: Any, channels: Sequence[Channel]) -> list[float]:
    if len(message.points) != 1:
        raise InvalidCommand(f"points: must be one, the next, got {len(message.points)}")
    points = trajectory_points(message, channels)
    values = []
    for column, channel in enumerate(channels):
        field = _TRAJECTORY_FIELDS[channel.mode]
        if field not in points:
            raise InvalidCommand(f"points[0].{field}: must have {len(channels)} numbers, got 0")
        values.append(float(points[field][0, column]))
    return values


POINT_FIELDS = ("positions", "velocities", "accelerations", "effort")


def trajectory_points(message: Any, channels: Sequence[Channel]) -> dict[str, Floats]:
    """The fields that a trajectory's points have, each (points, channels), and ``time_from_start`` in s.

    Joints may come in any order. Raises `InvalidCommand` for other joints, a field of another length or that
    only some of the points have, a number that is none, and times that do not increase.
    """
    names, points = list(message.joint_names), message.points
    for name in names:
        if names.count(name) > 1:
            raise InvalidCommand(f"joint_names: {name!r} is given twice")
    known = [channel.name for channel in channels]
    if sorted(names) != sorted(known):
        raise InvalidCommand(f"joint_names: must be {known} in any order, got {names}")
    order = [names.index(name) for name in known]
    read: dict[str, Floats] = {}
    for field in POINT_FIELDS:
        rows = [getattr(point, field) for point in points]
        if not any(len(row) for row in rows):
            continue
        for number, row in enumerate(rows):
            place = f"points[{number}].{field}"
            if len(row) != len(names):
                raise InvalidCommand(f"{place}: must have {len(names)} numbers, got {len(row)}")
            for name, value in zip(names, row, strict=True):
                _number(value, f"{place}[{name}]")
        read[field] = np.array(rows, np.float64)[:, order]
    times = np.array([item.time_from_start.sec + 1e-9 * item.time_from_start.nanosec for item in points])
    for number, (before, time) in enumerate(zip([-1.0, *times], times, strict=False)):
        if time < 0.0 or time <= before:
            raise InvalidCommand(f"points[{number}].time_from_start = {time:g}: must be above the one before")
    read["time_from_start"] = times
    return read


def _write_trajectory(
    message: Any, values: Sequence[float], channels: Sequence[Channel], period: float = PERIOD
) -> None:
    """One point to be reached in a period.

    A point due at once is in the past when it arrives, and joint_trajectory_controller rejects it.
    """
    point = message_class("trajectory_msgs/msg/JointTrajectoryPoint")()
    numbers = [float(value) for value in values]
    for mode in {channel.mode for channel in channels}:
        setattr(point, _TRAJECTORY_FIELDS[mode], numbers)
    due = point.time_from_start
    due.sec, due.nanosec = divmod(round(period * 1e9), 1_000_000_000)
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
