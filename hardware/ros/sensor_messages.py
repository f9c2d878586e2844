"""Sensor messages under the nerf: scans, images, IMU, joints, odometry and objects as a policy receives them.

A message is impaired when it arrives and released by the timer when its latency is over, with the stamp of
its measurement. The table `SENSOR_MESSAGES` says which numbers of a message the limits act on.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import ImageGeometry, NerfSpec, PlainGeometry, RayGeometry, SensorLimiter
from nerfbot.limits.delay import ROUNDING
from nerfbot.limits.fields import SENSOR_FIELDS
from nerfbot.limits.geometry import Geometry
from nerfbot.limits.table import LimitTable

from .message_types import message_class

MOST_DELAYED = 1000
"""Delayed messages of one sensor; more than any latency and rate together require."""

RESTARTED = 1.0
"""A stamp older than the last one by this much (s) begins a new run; by less, it is out of order."""


class SensorMessage(NamedTuple):
    """A kind of sensor message: its type, default topic, how to read and write its numbers, its geometry."""

    type_name: str
    topic: str
    read: Callable[[Any], NDArray[Any]]
    write: Callable[[Any, NDArray[Any]], None]
    geometry: Callable[[Any, float], Geometry] = lambda message, field_of_view: PlainGeometry()

    def message_class(self) -> Any:
        """The ROS 2 message class."""
        return message_class(self.type_name)


def _write_scan(message: Any, ranges: NDArray[Any]) -> None:
    # A ray out of range is infinite (REP-117); the limiter gives it the sensor's range
    message.ranges = np.where(ranges >= message.range_max, np.inf, ranges).astype(np.float32).tolist()


def _read_image(message: Any) -> NDArray[Any]:
    channels = {"mono8": 1, "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}.get(message.encoding)
    if channels is None or message.step != message.width * channels:
        raise InvalidCommand(f"image: encoding = {message.encoding!r}: must be 8 bits a colour, unpadded")
    pixels = np.frombuffer(bytes(message.data), np.uint8)
    if len(pixels) != message.height * message.step:
        raise InvalidCommand(
            f"image: data: must have {message.height * message.step} bytes, got {len(pixels)}"
        )
    return pixels.reshape(message.height, message.width, channels)


def _write_image(message: Any, pixels: NDArray[Any]) -> None:
    message.data = pixels.astype(np.uint8).tobytes()


def read_imu(message: Any) -> NDArray[Any]:
    """Specific force (m/s²) and angular rate (rad/s) in body axes: (6,)."""
    force, rate = message.linear_acceleration, message.angular_velocity
    return np.array([force.x, force.y, force.z, rate.x, rate.y, rate.z])


def write_imu(message: Any, numbers: NDArray[Any]) -> None:
    """The inverse of `read_imu`."""
    force, rate = message.linear_acceleration, message.angular_velocity
    force.x, force.y, force.z, rate.x, rate.y, rate.z = map(float, numbers)


def _read_joints(message: Any) -> NDArray[Any]:
    if len(message.velocity) != len(message.position):
        return np.array([message.position])
    return np.array([message.position, message.velocity])


def _write_joints(message: Any, numbers: NDArray[Any]) -> None:
    message.position = numbers[0].tolist()
    if len(numbers) > 1:
        message.velocity = numbers[1].tolist()


def yaw(orientation: Any) -> float:
    """Heading in rad of a quaternion message."""
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def read_odometry(message: Any) -> NDArray[Any]:
    """Position x, y (m), heading (rad), forward speed (m/s) and yaw rate (rad/s): (5,)."""
    pose, twist = message.pose.pose, message.twist.twist
    position = pose.position
    return np.array([position.x, position.y, yaw(pose.orientation), twist.linear.x, twist.angular.z])


def _write_odometry(message: Any, numbers: NDArray[Any]) -> None:
    x, y, heading, forward, turning = map(float, numbers)
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.y = x, y
    turned = heading - yaw(pose.orientation)
    c, s, before = math.cos(turned / 2), math.sin(turned / 2), copy.copy(pose.orientation)
    pose.orientation.x, pose.orientation.y = c * before.x - s * before.y, c * before.y + s * before.x
    pose.orientation.z, pose.orientation.w = c * before.z + s * before.w, c * before.w - s * before.z
    twist.linear.x, twist.angular.z = forward, turning


SENSOR_MESSAGES: dict[str, SensorMessage] = {
    "lidar": SensorMessage(
        "sensor_msgs/msg/LaserScan",
        "scan",
        lambda message: np.asarray(message.ranges, np.float64),
        _write_scan,
        lambda message, _: RayGeometry(abs(message.angle_max - message.angle_min), message.range_max),
    ),
    "camera": SensorMessage(
        "sensor_msgs/msg/Image",
        "image",
        _read_image,
        _write_image,
        lambda message, field_of_view: ImageGeometry(field_of_view),
    ),
    "imu": SensorMessage("sensor_msgs/msg/Imu", "imu", read_imu, write_imu),
    "joints": SensorMessage("sensor_msgs/msg/JointState", "joint_states", _read_joints, _write_joints),
    "odometry": SensorMessage("nav_msgs/msg/Odometry", "odom", read_odometry, _write_odometry),
}
"""By the sensor's name in a specification."""


class ImpairedSensor:
    """One sensor's messages under its limits: `take` those that arrive, release those that are `due`.

    The first message builds the limiter, which needs its shape. `field_of_view` (rad) is a camera's.
    """

    def __init__(
        self, spec: NerfSpec, name: str, seed: int, field_of_view: float, allow: tuple[str, ...]
    ) -> None:
        self.kind, self.name = SENSOR_MESSAGES[name], name
        section = spec.sensor(name)
        # The delay is applied here, so that a sample is released when it is due and not with the next one
        undelayed = section.model_copy(update={"latency": None})
        self._spec = spec.model_copy(update={"sensors": {name: undelayed}})
        self._seed, self._field_of_view, self._allow = seed, field_of_view, allow
        table = {"latency": SENSOR_FIELDS["latency"]}
        self._latency = LimitTable([(name, section)], table, np.array([seed], np.uint64))
        self._limiter: SensorLimiter | None = None
        self._shape: tuple[int, ...] = ()
        self._delayed: deque[tuple[float, Any]] = deque(maxlen=MOST_DELAYED)
        self._latest = -math.inf
        self.problem = ""
        """What was wrong with the last refused message."""

    def take(self, message: Any, time: float, lift: NDArray[np.float64]) -> None:
        """Impair a message that arrived at `time` (s, the limiter's); `lift` (1, 4)."""
        if time < self._latest - RESTARTED:  # a simulation that began anew
            self._limiter = None
            self._delayed.clear()
        self._latest = time
        try:
            numbers = self.kind.read(message)
            if self._limiter is None or numbers.shape != self._shape:
                self._shape = numbers.shape
                self._limiter = SensorLimiter(
                    self._spec,
                    self.name,
                    numbers.shape,
                    seed=self._seed,
                    geometry=self.kind.geometry(message, self._field_of_view),
                    dtype=numbers.dtype,
                    allow=self._allow,
                )
            impaired = self._limiter.apply(numbers[None], time, lift)[0]
        except ValueError as error:  # in the message or the specification: pass nothing on
            self.problem = str(error)
            return
        self._latency.update(np.array([0]), lift)
        self.kind.write(message, impaired)
        due = time + float(self._latency["latency"][0, 0])
        if self._delayed:
            due = max(due, self._delayed[-1][0])  # never out of order
        self._delayed.append((due, message))

    def due(self, time: float) -> list[Any]:
        """The messages due at `time` (s, the limiter's), oldest first."""
        released = []
        while self._delayed and self._delayed[0][0] <= time + ROUNDING:
            released.append(self._delayed.popleft()[1])
        return released


class ImpairedObjects:
    """Detected objects (`MarkerArray`, in the robot's frame): those beyond the limited range are left out.

    Raises `InvalidSpec` for any other limit that is declared and not in `allow`.
    """

    def __init__(self, spec: NerfSpec, seed: int, allow: tuple[str, ...]) -> None:
        section = spec.sensor("objects")
        for field, _ in section.limits():
            if field != "range" and f"objects.{field}" not in allow:
                raise InvalidSpec(
                    f"{spec.name}: sensors[objects].{field}: is not enforceable on markers"
                    f" (allow 'objects.{field}' to go on without it)"
                )
        seeds = np.array([seed], np.uint64)
        self._range = LimitTable([("objects", section)], {"range": SENSOR_FIELDS["range"]}, seeds)

    def impair(self, message: Any, lift: NDArray[np.float64]) -> Any:
        """The message with the markers in range; `lift` (1, 4)."""
        self._range.update(np.array([0]), lift)
        reach = float(self._range["range"][0, 0])
        message.markers = [
            marker
            for marker in message.markers
            if math.hypot(marker.pose.position.x, marker.pose.position.y) < reach
        ]
        return message
