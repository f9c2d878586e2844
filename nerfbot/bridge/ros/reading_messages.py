"""Readings of a simulated robot as ROS 2 messages, and back.

Frames and units by REP-103 and REP-105; a ray without a return is infinite (REP-117). Detected objects are
`visualization_msgs/MarkerArray` in the robot's frame, so that RViz and Foxglove show them: `ns` is the kind,
`text` holds identity, colour and shape.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image, Imu, JointState, LaserScan
from visualization_msgs.msg import Marker, MarkerArray

from nerfbot.angles import wrap_angle
from nerfbot.hardware.ros.sensor_formats import joint_numbers, read_imu, read_odometry, write_imu
from nerfbot.hardware.safety.localisation import PlanarPose
from nerfbot.sim.plant.sensors import Detection, Readings
from nerfbot.sim.robots.description import RobotDescription

_SEPARATOR = "|"


def time_message(seconds: float) -> Time:
    """A stamp of this many seconds."""
    whole = math.floor(seconds + 1e-10)
    return Time(sec=whole, nanosec=min(max(round((seconds - whole) * 1e9), 0), 999_999_999))


def quaternion(heading: float) -> Quaternion:
    """A turn about the vertical by `heading` rad."""
    return Quaternion(z=math.sin(heading / 2), w=math.cos(heading / 2))


def odometry(pose: PlanarPose, forward: float, turning: float, stamp: Time) -> Odometry:
    """Pose in `odom`, speed (m/s) and yaw rate (rad/s) in `base_link`."""
    message = Odometry(child_frame_id="base_link")
    message.header.frame_id, message.header.stamp = "odom", stamp
    message.pose.pose.position.x, message.pose.pose.position.y = pose.x, pose.y
    message.pose.pose.orientation = quaternion(pose.heading)
    message.twist.twist.linear.x, message.twist.twist.angular.z = forward, turning
    return message


def scan(ranges: Any, description: RobotDescription, period: float, stamp: Time) -> LaserScan:
    """A planar scan, from right to left."""
    lidar = description.sensors.lidar
    half = lidar.field_of_view / 2
    message = LaserScan(
        angle_min=-half,
        angle_max=half,
        angle_increment=lidar.field_of_view / max(lidar.rays - 1, 1),
        scan_time=period,
        range_min=0.0,
        range_max=lidar.range,
        ranges=np.asarray(ranges, np.float32).tolist(),
    )
    message.header.frame_id, message.header.stamp = "laser", stamp
    return message


def imu(numbers: Any, heading: float, stamp: Time) -> Imu:
    """Specific force (m/s²) and angular rate (rad/s) in body axes."""
    message = Imu()
    message.header.frame_id, message.header.stamp = "imu_link", stamp
    write_imu(message, numbers)
    message.orientation = quaternion(heading)
    return message


def joint_states(names: Any, joints: Any, efforts: Any, stamp: Time) -> JointState:
    """Positions, velocities and efforts of the joints."""
    message = JointState(
        name=list(names),
        position=joints[0].tolist(),
        velocity=joints[1].tolist(),
        effort=[float(effort) for effort in efforts],
    )
    message.header.stamp = stamp
    return message


def image(pixels: Any, stamp: Time) -> Image:
    """An RGB image of (height, width, 3) bytes."""
    height, width, _ = pixels.shape
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=pixels.tobytes())
    message.header.frame_id, message.header.stamp = "camera", stamp
    return message


def objects(detected: tuple[Detection, ...], stamp: Time) -> MarkerArray:
    """Detections as markers; an empty array means that nothing is in sight."""
    markers = []
    for number, item in enumerate(detected):
        marker = Marker(ns=item.kind, id=number, type=Marker.SPHERE, action=Marker.ADD)
        marker.header.frame_id, marker.header.stamp = "base_link", stamp
        marker.text = _SEPARATOR.join((item.id, item.colour, item.shape))
        marker.pose.position.x = item.distance * math.cos(item.bearing)
        marker.pose.position.y = item.distance * math.sin(item.bearing)
        marker.scale.x = marker.scale.y = marker.scale.z = 0.15
        marker.color.a = marker.color.r = marker.color.g = 1.0
        marker.lifetime.nanosec = 500_000_000
        markers.append(marker)
    return MarkerArray(markers=markers)


def detections(message: MarkerArray) -> tuple[Detection, ...]:
    """The inverse of `objects`; markers of other publishers are left out."""
    detected = []
    for marker in message.markers:
        parts = marker.text.split(_SEPARATOR)
        if len(parts) == 3:
            x, y = marker.pose.position.x, marker.pose.position.y
            item = Detection(parts[0], marker.ns, parts[1], parts[2], math.atan2(y, x), math.hypot(x, y))
            detected.append(item)
    return tuple(detected)


class ReadingsCollector:
    """Collects messages into readings; `origin` is the odometry's frame on the course."""

    def __init__(self, origin: PlanarPose) -> None:
        self._origin = origin
        self._lidar: Any = None
        self._pose: Any = None
        self._twist: Any = np.zeros(2)
        self._imu: Any = np.zeros(6)
        self._joints: Any = np.zeros((2, 0))
        self._objects: tuple[Detection, ...] = ()

    def take_odometry(self, message: Odometry) -> None:
        """Take pose and twist, where they are numbers."""
        if not np.isfinite(read_odometry(message)).all():
            return
        x, y, heading, *twist = read_odometry(message).tolist()
        here = self._origin.compose(PlanarPose(x, y, heading))
        self._pose, self._twist = np.array([here.x, here.y, wrap_angle(here.heading)]), np.array(twist)

    def take_scan(self, message: LaserScan) -> None:
        """Take ranges, m; a ray without a return or a measurement reads the sensor's range (REP-117)."""
        ranges = np.nan_to_num(np.asarray(message.ranges, np.float64), nan=np.inf)
        self._lidar = np.clip(ranges, message.range_min, message.range_max)

    def take_imu(self, message: Imu) -> None:
        """Take force and rate."""
        self._imu = read_imu(message)

    def take_joints(self, message: JointState) -> None:
        """Take positions and velocities, where they are whole; a velocity that is not measured reads 0."""
        position, velocity, _ = joint_numbers(message, message.name)
        if np.isfinite(position).all():
            self._joints = np.array([position, np.nan_to_num(velocity)])

    def take_objects(self, message: MarkerArray) -> None:
        """Take what is in sight."""
        self._objects = detections(message)

    def readings(self) -> Readings | None:
        """The newest readings, or None while there is no pose or no scan."""
        if self._pose is None or self._lidar is None:
            return None
        return Readings.of(self._lidar, self._pose, self._twist, self._imu, self._joints, self._objects)
