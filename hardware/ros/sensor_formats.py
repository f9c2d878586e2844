"""What the numbers of a sensor message are, for the limits: scans, images, IMU, joints, odometry.

`read` finds what the limits act on, or refuses the message by the name of the field; `write` puts limited
numbers back, and blanks what would tell more than they do. The table is `SENSOR_MESSAGES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.limits import ImageGeometry, PlainGeometry, RayGeometry
from nerfbot.limits.channel import Floats
from nerfbot.limits.geometry import Geometry

from .message_types import message_class

Source = NDArray[np.intp]
"""Which element of a reading each one shows: (elements,)."""


class Reading(NamedTuple):
    """The numbers of one message, what they mean, and what of the message is not used ("" for nothing)."""

    numbers: NDArray[Any]
    geometry: Geometry
    ignored: str = ""


class SensorMessage(NamedTuple):
    """A kind of sensor message: its type, its default topic, how its numbers are read and written.

    ``read(message, field_of_view)`` raises `InvalidCommand`; ``write(message, numbers, source)``; ``example``
    is a reading of it.
    """

    type_name: str
    topic: str
    example: Reading
    read: Callable[[Any, float], Reading]
    write: Callable[[Any, NDArray[Any], Source], None]

    def message_class(self) -> Any:
        """The ROS 2 message class."""
        return message_class(self.type_name)


@dataclass(frozen=True)
class ScanGeometry(RayGeometry):
    """The rays of one `LaserScan`, by REP-117: +inf has no return, -inf is too near, NaN was not measured.

    ``first``, ``step``: angle of the first ray from straight ahead, and from each to the next, rad; a
    reversed scan has a negative step. ``least``: `range_min`, m.
    """

    first: float = 0.0
    step: float = 0.0
    least: float = 0.0

    def marks(self) -> tuple[float, float, float, float]:
        """As of every geometry."""
        return self.max_range, self.least, math.nan, -math.inf

    def angles(self, size: int) -> Floats:
        """Angle of each ray from straight ahead, -pi to pi rad, wherever the scan begins."""
        angles = self.first + self.step * np.arange(size)
        return np.asarray((angles + np.pi) % (2.0 * np.pi) - np.pi)


def _read_scan(message: Any, _: float) -> Reading:
    ranges = np.asarray(message.ranges, np.float64)
    least, most = float(message.range_min), float(message.range_max)
    if not ranges.size:
        raise InvalidCommand("ranges: are empty")
    if not most > 0.0:
        raise InvalidCommand(f"range_max = {most:g}: must be above 0 m")
    if not 0.0 <= least < most:
        raise InvalidCommand(f"range_min = {least:g}: must be at least 0 and below range_max = {most:g} m")
    first, step = float(message.angle_min), float(message.angle_increment)
    if not math.isfinite(first):
        raise InvalidCommand(f"angle_min = {first}: must be finite")
    if ranges.size > 1 and not 0.0 < abs(step) * (ranges.size - 1) <= 6.4:  # rounded up from 2 pi
        raise InvalidCommand(
            f"angle_increment = {step:g}: times {ranges.size - 1} must be above 0 and at most 2 pi rad"
        )
    ignored = ""
    if len(message.intensities) not in (0, ranges.size):
        ignored = f"intensities: {len(message.intensities)} for {ranges.size} ranges"
    span = min(abs(step) * (ranges.size - 1), 6.4)
    return Reading(ranges, ScanGeometry(span, most, first=first, step=step, least=least), ignored)


def _write_scan(message: Any, ranges: NDArray[Any], source: Source) -> None:
    seen = np.where(ranges >= message.range_max, np.inf, ranges)
    intensities = np.asarray(message.intensities, np.float32)
    if intensities.size != seen.size:
        message.intensities = []
    else:
        message.intensities = np.where(np.isfinite(seen), intensities[source], 0.0).tolist()
    message.ranges = seen.astype(np.float32).tolist()


def _read_image(message: Any, field_of_view: float) -> Reading:
    colours = {"mono8": 1, "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}.get(message.encoding)
    if colours is None or message.step != message.width * colours:
        raise InvalidCommand(f"image: encoding = {message.encoding!r}: must be 8 bits a colour, unpadded")
    pixels = np.frombuffer(bytes(message.data), np.uint8)
    if not pixels.size or len(pixels) != message.height * message.step:
        raise InvalidCommand(
            f"image: data: must have {message.height * message.step} bytes, at least 1, got {len(pixels)}"
        )
    return Reading(pixels.reshape(message.height, message.width, colours), ImageGeometry(field_of_view))


def _write_image(message: Any, pixels: NDArray[Any], _: Source) -> None:
    message.data = pixels.astype(np.uint8).tobytes()


def read_imu(message: Any) -> NDArray[Any]:
    """Specific force (m/s²) and angular rate (rad/s) in body axes: (6,)."""
    force, rate = message.linear_acceleration, message.angular_velocity
    return np.array([force.x, force.y, force.z, rate.x, rate.y, rate.z])


def write_imu(message: Any, numbers: NDArray[Any]) -> None:
    """The inverse of `read_imu`."""
    force, rate = message.linear_acceleration, message.angular_velocity
    force.x, force.y, force.z, rate.x, rate.y, rate.z = map(float, numbers)


def _write_imu(message: Any, numbers: NDArray[Any], _: Source) -> None:
    """The numbers; no orientation, which would show the turn without the errors (-1 says so)."""
    write_imu(message, numbers)
    message.orientation = type(message.orientation)(w=1.0)
    message.orientation_covariance = [-1.0, *[0.0] * 8]
    for name in ("angular_velocity_covariance", "linear_acceleration_covariance"):
        is_absent = getattr(message, name)[0] == -1.0
        setattr(message, name, [-1.0 if is_absent else 0.0, *[0.0] * 8])


def yaw(orientation: Any) -> float:
    """Heading in rad of a quaternion message; NaN for one of zeros, which is no rotation."""
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    if not (x or y or z or w):
        return math.nan
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def read_odometry(message: Any) -> NDArray[Any]:
    """Position x, y (m), heading (rad), forward speed (m/s) and yaw rate (rad/s): (5,)."""
    pose, twist = message.pose.pose, message.twist.twist
    position = pose.position
    return np.array([position.x, position.y, yaw(pose.orientation), twist.linear.x, twist.angular.z])


def _write_odometry(message: Any, numbers: NDArray[Any], _: Source) -> None:
    """The planar pose and twist; height, tilt, other rates and covariances are 0."""
    x, y, heading, forward, turning, sideways = map(float, numbers)
    blank = type(message)(header=message.header, child_frame_id=message.child_frame_id)
    pose, twist = blank.pose.pose, blank.twist.twist
    pose.position.x, pose.position.y = x, y
    pose.orientation.z, pose.orientation.w = math.sin(heading / 2), math.cos(heading / 2)
    twist.linear.x, twist.linear.y, twist.angular.z = forward, sideways, turning
    message.pose, message.twist = blank.pose, blank.twist


JOINT_FIELDS = ("position", "velocity", "effort")


def joint_numbers(message: Any, names: Sequence[str]) -> Floats:
    """Position, velocity and effort of ``names``, (3, names), NaN where the message has none.

    Raises `InvalidCommand` for a name given twice and for a field of another length than the names.
    """
    given = list(message.name)
    for name in given:
        if given.count(name) > 1:
            raise InvalidCommand(f"name: {name!r} is given twice")
    numbers = np.full((len(JOINT_FIELDS), len(names)), math.nan)
    places = [given.index(name) if name in given else -1 for name in names]
    for row, field in enumerate(JOINT_FIELDS):
        values = getattr(message, field)
        if len(values) not in (0, len(given)):
            raise InvalidCommand(f"{field}: must have {len(given)} numbers or none, got {len(values)}")
        if len(values):
            numbers[row] = [values[place] if place >= 0 else math.nan for place in places]
    return numbers


def _read_joints(message: Any, _: float) -> Reading:
    return Reading(joint_numbers(message, message.name)[:2], PlainGeometry())


def _write_joints(message: Any, numbers: NDArray[Any], _: Source) -> None:
    """Each field that the message has; efforts that are all NaN are blanked."""
    for field, values in zip(JOINT_FIELDS, numbers, strict=False):
        if len(getattr(message, field)):
            blank = field == "effort" and np.isnan(values).all()
            setattr(message, field, [] if blank else values.tolist())


def _read_plain(read: Callable[[Any], NDArray[Any]]) -> Callable[[Any, float], Reading]:
    def numbers(message: Any, _: float) -> Reading:
        values = read(message)
        lost = int(np.count_nonzero(~np.isfinite(values)))
        return Reading(values, PlainGeometry(), f"{lost} numbers that are not finite" if lost else "")

    return numbers


def _odometry_numbers(message: Any) -> NDArray[Any]:
    return np.append(read_odometry(message), message.twist.twist.linear.y)


_NUMBERS = Reading(np.zeros(1), PlainGeometry())
_RAYS = Reading(np.zeros(1), ScanGeometry(1.0, 1.0))
_PIXELS = Reading(np.zeros((1, 1, 1), np.uint8), ImageGeometry())

SENSOR_MESSAGES: dict[str, SensorMessage] = {
    "lidar": SensorMessage("sensor_msgs/msg/LaserScan", "scan", _RAYS, _read_scan, _write_scan),
    "camera": SensorMessage("sensor_msgs/msg/Image", "image", _PIXELS, _read_image, _write_image),
    "imu": SensorMessage("sensor_msgs/msg/Imu", "imu", _NUMBERS, _read_plain(read_imu), _write_imu),
    "joints": SensorMessage(
        "sensor_msgs/msg/JointState", "joint_states", _NUMBERS, _read_joints, _write_joints
    ),
    "odometry": SensorMessage(
        "nav_msgs/msg/Odometry", "odom", _NUMBERS, _read_plain(_odometry_numbers), _write_odometry
    ),
}
"""By the sensor's name in a specification."""
