"""Sensor messages under the nerf: what a policy gets to see of scans, images, IMU, joints and odometry.

A message is impaired when it arrives and released when its latency is over, by the timer, with the stamp of
its measurement. Which numbers of a message a sensor's limits act on is a table (`SENSOR_MESSAGES`).
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

MOST_WAITING = 1000
"""Messages of one sensor that may be under way; more than any latency and rate together ask for."""


class SensorMessage(NamedTuple):
    """How a kind of sensor message is impaired: its class, default topic, and its numbers out and in."""

    module: str
    name: str
    topic: str
    read: Callable[[Any], NDArray[Any]]
    write: Callable[[Any, NDArray[Any]], None]
    geometry: Callable[[Any, float], Geometry]


def _plain(message: Any, field_of_view: float) -> Geometry:
    return PlainGeometry()


def _write_scan(message: Any, ranges: NDArray[Any]) -> None:
    # What is out of range is infinity (REP-117); the limiter gives such a ray the sensor's range.
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


def _read_imu(message: Any) -> NDArray[Any]:
    force, rate = message.linear_acceleration, message.angular_velocity
    return np.array([force.x, force.y, force.z, rate.x, rate.y, rate.z])


def _write_imu(message: Any, numbers: NDArray[Any]) -> None:
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


def _read_odometry(message: Any) -> NDArray[Any]:
    pose, twist = message.pose.pose, message.twist.twist
    return np.array(
        [pose.position.x, pose.position.y, yaw(pose.orientation), twist.linear.x, twist.angular.z]
    )


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
        "sensor_msgs.msg",
        "LaserScan",
        "scan",
        lambda message: np.asarray(message.ranges, np.float64),
        _write_scan,
        lambda message, _: RayGeometry(abs(message.angle_max - message.angle_min), message.range_max),
    ),
    "camera": SensorMessage(
        "sensor_msgs.msg",
        "Image",
        "image",
        _read_image,
        _write_image,
        lambda message, field_of_view: ImageGeometry(field_of_view),
    ),
    "imu": SensorMessage("sensor_msgs.msg", "Imu", "imu", _read_imu, _write_imu, _plain),
    "joints": SensorMessage(
        "sensor_msgs.msg", "JointState", "joint_states", _read_joints, _write_joints, _plain
    ),
    "odometry": SensorMessage("nav_msgs.msg", "Odometry", "odom", _read_odometry, _write_odometry, _plain),
}
"""By the sensor's name in a specification. Odometry's numbers are x, y, heading, forward speed, yaw rate."""


class ImpairedSensor:
    """One sensor's messages under its limits: `take` what arrives, `due` what is released.

    The limiter is built with the first message, whose shape it needs. `field_of_view` (rad) is a camera's.
    """

    def __init__(
        self, spec: NerfSpec, name: str, seed: int, field_of_view: float, allow: tuple[str, ...]
    ) -> None:
        self.kind, self.name = SENSOR_MESSAGES[name], name
        section = spec.sensor(name)
        # The delay is kept here, so that a sample comes out when it is due and not with the next one.
        at_once = section.model_copy(update={"latency": None})
        self._spec = spec.model_copy(update={"sensors": {name: at_once}})
        self._seed, self._field_of_view, self._allow = seed, field_of_view, allow
        table = {"latency": SENSOR_FIELDS["latency"]}
        self._latency = LimitTable([(name, section)], table, np.array([seed], np.uint64))
        self._limiter: SensorLimiter | None = None
        self._shape: tuple[int, ...] = ()
        self._waiting: deque[tuple[float, Any]] = deque(maxlen=MOST_WAITING)
        self.problem = ""
        """What was wrong with the last message that was refused."""

    def take(self, message: Any, time: float, lift: NDArray[np.float64]) -> None:
        """Impair a message that came at `time` (s, the limiter's); `lift` (1, 4)."""
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
            told = self._limiter.apply(numbers[None], time, lift)[0]
        except ValueError as error:  # of the message or the specification: nothing is passed on
            self.problem = str(error)
            return
        self._latency.update(np.array([0]), lift)
        self.kind.write(message, told)
        due = time + float(self._latency["latency"][0, 0])
        if self._waiting:
            due = max(due, self._waiting[-1][0])  # never out of order
        self._waiting.append((due, message))

    def due(self, time: float) -> list[Any]:
        """The messages whose time has come at `time` (s, the limiter's), oldest first."""
        released = []
        while self._waiting and self._waiting[0][0] <= time + ROUNDING:
            released.append(self._waiting.popleft()[1])
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
