"""The nerf: the limits layer between a policy and a robot, commands one way and sensors the other. Untrusted.

A command is limited when it arrives; the timer only checks ages, releases delayed sensor samples and sends
the steps of a stop.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything slow is imported
    from nerfbot.hardware.ros.program import start

    raise SystemExit(start("nerfbot.hardware.ros.nerf_node"))

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import qos_profile_sensor_data, qos_profile_system_default
from visualization_msgs.msg import MarkerArray

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import NerfSpec

from ..errors import InvalidSetup
from ..safety.trajectory_player import CHOICES, TrajectoryPlayer
from . import trajectories
from .base_node import run, sender_of
from .command_messages import stamp_of
from .filter_node import FilterNode
from .parameters import Parameter
from .sensor_formats import SENSOR_MESSAGES
from .sensor_messages import ImpairedObjects, ImpairedSensor

SENSORS_ELSEWHERE = ("objects",)
"""Sensors that `sensors` does not list, because they always pass through here."""


class NerfNode(FilterNode):
    """`cmd_vel_policy` in, `cmd_vel_nerfed` out; `scan` in, `scan_nerfed` out, and so on."""

    NAME = "nerf"
    TAKES, SENDS = "cmd_vel_policy", "cmd_vel_nerfed"
    OWN = (
        Parameter("nerf", "rover-weak", "", "a preset's name or the path of a specification"),
        Parameter("seed", 0, "", "of everything random in the nerf"),
        Parameter("allow", [""], "", "limits that may stay unenforced, by name: linear.x.effort"),
        Parameter("effort_limit", False, "", "the robot accepts effort limits on the topic effort_limit"),
        Parameter("sensors", ["lidar", "imu", "joints", "odometry"], "", "which sensors pass through here"),
        Parameter("camera_field_of_view", 1.3, "rad", "horizontal, of the camera", 0.0, 3.14, True),
        *trajectories.PARAMETERS,
    )

    def spec(self) -> NerfSpec:
        """The specification, without its envelope: the machine's own counts."""
        spec = NerfSpec.load(self.values["nerf"])
        sensors = [name for name in self.values["sensors"] if name]
        for name in sensors:
            if name not in SENSOR_MESSAGES:
                raise InvalidSetup(
                    f"sensors: {name!r} has no message; known are {', '.join(SENSOR_MESSAGES)}"
                )
        allow = [name for name in self.values["allow"] if name]
        for name in spec.sensors:
            if name not in sensors and name not in SENSORS_ELSEWHERE and f"sensors.{name}" not in allow:
                raise InvalidSpec(
                    f"{spec.name}: sensors[{name}]: does not pass through here"
                    f" (allow 'sensors.{name}' to go on without it)"
                )
        return spec.model_copy(update={"envelope": None})

    def configure(self) -> None:
        """Besides the commands, put the sensors through their limits."""
        super().configure()
        spec, values = self.filter.limiter.spec, self.values
        allow = tuple(name for name in values["allow"] if name)
        self._newest_stamp = 0.0
        self._objects = ImpairedObjects(spec, values["seed"], allow)
        self._objects_out = self.create_publisher(MarkerArray, "objects_nerfed", qos_profile_system_default)
        self.listen(MarkerArray, "objects", self._take_objects, qos_profile_sensor_data)
        self._sensors: list[tuple[ImpairedSensor, Any]] = []
        for number, name in enumerate(name for name in values["sensors"] if name):
            sensor = ImpairedSensor(
                spec, name, values["seed"] + number, values["camera_field_of_view"], allow
            )
            message, topic = sensor.kind.message_class(), sensor.kind.topic
            out = self.create_publisher(message, f"{topic}_nerfed", qos_profile_system_default)
            self._sensors.append((sensor, out))
            self.listen(message, topic, partial(self._take_sensor, sensor, out), qos_profile_sensor_data)

        self._configure_trajectories()

    # Whole trajectories

    def _configure_trajectories(self) -> None:
        values = self.values
        choice = values["trajectory_limits"]
        if choice not in CHOICES:
            raise InvalidSetup(f"trajectory_limits: must be {' or '.join(CHOICES)}, got {choice!r}")
        self._player = TrajectoryPlayer(self.filter, choice)
        self._action: trajectories.TrajectoryAction | None = None
        self._has_trajectories = (
            values["command_type"] == "joint_trajectory" and values["command_mode"] == "position"
        )
        action, name = trajectories.action_type(), values["trajectory_action"]
        if self._has_trajectories and name and action is not None:
            self._action = trajectories.TrajectoryAction(self, self._player, name, action)

    def _take(self, message: Any, info: Mapping[str, Any]) -> None:
        """As of every filter; a whole trajectory is followed from here on, and replaces the one before."""
        source = sender_of(info)
        if self._has_trajectories and trajectories.is_whole(message, self.values["cmd_vel_timeout"]):
            try:
                self.begin_trajectory(message, None, source, stamp_of(message))
            except InvalidCommand as error:
                self.filter.refusal = f"trajectory: {error}"
                self.get_logger().warning(f"trajectory refused: {error}")
            return
        if self._player.is_playing and self._player.source == source:
            self._player.release()
        super()._take(message, info)

    def begin_trajectory(
        self, message: Any, goal: Any, source: object, stamp: float, on_end: Any = lambda code, text: None
    ) -> None:
        """Follow a `JointTrajectory` from ``source``; ``goal``: of an action. Raises `InvalidCommand`."""
        now, channels, values = self.now(), self.filter.channels, self.values
        defaults = (values["path_tolerance"], values["goal_tolerance"], values["goal_time"])
        tolerances = trajectories.tolerances_of(goal, channels, *defaults)
        points = trajectories.points_of(message, channels)
        measured = self._measurements.fresh(now)
        self._check_active()
        self._player.start(points, tolerances, now, self._time(), stamp, source, measured, on_end)

    def _time(self) -> float:
        """The clock that trajectories follow, s: simulated, or the machine's steady one."""
        if self.values["limiter_clock"] == "stamp":
            return 1e-9 * float(self.get_clock().now().nanoseconds)
        return self.now()

    def _follow(self, now: float) -> None:
        output = self._player.step(now, self._time(), self._measurements.fresh(now))
        if output is not None:
            self._send(output, None)
        if self._action is not None:
            self._action.step()

    # Sensors

    def _take_sensor(self, sensor: ImpairedSensor, out: Any, message: Any) -> None:
        now = self.now()
        time = stamp_of(message)
        if self.values["limiter_clock"] != "stamp" or time <= 0.0:
            time = now  # the limiter's time is the stamp in simulated time only
        else:
            self._newest_stamp = max(self._newest_stamp, time)
        self._read_permits(now)
        sensor.take(message, time, self._lift(now))
        self._release(sensor, out, time)

    @staticmethod
    def _release(sensor: ImpairedSensor, out: Any, time: float) -> None:
        for message in sensor.due(time):
            out.publish(message)

    def _lift(self, now: float) -> NDArray[np.float64]:
        return np.array([self.filter.permit.levels(now)])

    def _take_objects(self, message: Any) -> None:
        self._objects_out.publish(self._objects.impair(message, self._lift(self.now())))

    def after_tick(self, now: float) -> None:
        """Follow a trajectory, and release the samples whose latency is over."""
        self._follow(now)
        time = self._newest_stamp if self.values["limiter_clock"] == "stamp" else now
        for sensor, out in self._sensors:
            self._release(sensor, out, time)

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """As of every filter, with the sensors' problems and the limits that are not enforced."""
        level, message, values = super().diagnose()
        values["nerf"] = self.values["nerf"]
        for sensor, _ in self._sensors if hasattr(self, "_sensors") else ():
            values[f"sensor.{sensor.name}"] = sensor.report() or "none yet"
        if hasattr(self, "_objects"):
            values["objects_left_out"] = self._objects.left_out
        if self._has_trajectories:
            values["trajectory"] = self._player.outcome or "none yet"
            missing = "no action: control_msgs is not installed"
            values["trajectory_action"] = (
                missing if self._action is None else self.values["trajectory_action"]
            )
        unenforced = [item.name for item in self.filter.limiter.report if item.problem]
        values["not_enforced"] = ", ".join(unenforced) or "nothing"
        return level, message, values


main = partial(run, NerfNode)
