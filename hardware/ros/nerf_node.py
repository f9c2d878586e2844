"""The nerf: the limits layer between a policy and a robot, commands one way and sensors the other. Untrusted.

A command is limited when it arrives; the timer only looks at ages, releases delayed sensor samples and sends
the steps of a stop.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
from rclpy.qos import qos_profile_sensor_data, qos_profile_system_default
from visualization_msgs.msg import MarkerArray

from nerfbot.errors import InvalidSpec
from nerfbot.limits import AXES, NerfSpec, SensorLimiter

from ..errors import InvalidSetup
from .base_node import run
from .command_messages import stamp_of
from .filter_node import LinkNode
from .parameters import Parameter
from .sensor_messages import SENSOR_MESSAGES, ImpairedObjects, ImpairedSensor

SENSORS_ELSEWHERE = ("objects",)
"""Sensors that have a way of their own."""


class Nerf(LinkNode):
    """`cmd_vel_policy` in, `cmd_vel_nerfed` out; `scan` in, `scan_nerfed` out, and so on."""

    TAKES, SENDS = "cmd_vel_policy", "cmd_vel_nerfed"
    OWN = (
        Parameter("nerf", "rover-weak", "", "a preset's name or the path of a specification"),
        Parameter("seed", 0, "", "of everything random in the nerf"),
        Parameter("allow", [""], "", "limits that may stay unenforced, by name: linear.x.effort"),
        Parameter("effort_limit", False, "", "the robot takes caps on effort on the topic effort_limit"),
        Parameter("sensors", ["lidar", "imu", "joints", "odometry"], "", "which sensors pass through here"),
        Parameter("camera_field_of_view", 1.3, "rad", "across, of the camera", 0.0, 3.14, True),
    )

    def __init__(self) -> None:
        super().__init__("nerf")

    def spec(self) -> NerfSpec:
        """The specification, without the envelope in it: the machine's own counts."""
        spec = NerfSpec.load(self.values["nerf"])
        wanted = [name for name in self.values["sensors"] if name]
        for name in wanted:
            if name not in SENSOR_MESSAGES:
                raise InvalidSetup(
                    f"sensors: {name!r} has no message; known are {', '.join(SENSOR_MESSAGES)}"
                )
        allow = [name for name in self.values["allow"] if name]
        for name in spec.sensors:
            if name not in wanted and name not in SENSORS_ELSEWHERE and f"sensors.{name}" not in allow:
                raise InvalidSpec(
                    f"{spec.name}: sensors[{name}]: does not pass through here"
                    f" (allow 'sensors.{name}' to go on without it)"
                )
        return spec.model_copy(update={"envelope": None})

    def configure(self) -> None:
        """Besides the commands, put the sensors through their limits."""
        super().configure()
        spec, values = NerfSpec.load(self.values["nerf"]), self.values
        allow = tuple(name for name in values["allow"] if name)
        self._newest = 0.0
        # Compiled now, not with the first message
        warm = SensorLimiter(NerfSpec(name="warm-up"), "none", (2,))
        warm.apply(np.zeros((1, 2)), 0.0, np.zeros((1, len(AXES))))
        self._objects = ImpairedObjects(spec, values["seed"], allow)
        self._objects_out = self.create_publisher(MarkerArray, "objects_nerfed", qos_profile_system_default)
        self.create_subscription(
            MarkerArray, "objects", self.guarded(self._take_objects), qos_profile_sensor_data
        )
        self._sensors: list[tuple[ImpairedSensor, Any]] = []
        for number, name in enumerate(name for name in values["sensors"] if name):
            sensor = ImpairedSensor(
                spec, name, values["seed"] + number, values["camera_field_of_view"], allow
            )
            kind = sensor.kind
            message = getattr(importlib.import_module(kind.module), kind.name)
            out = self.create_publisher(message, f"{kind.topic}_nerfed", qos_profile_system_default)
            self._sensors.append((sensor, out))
            self.create_subscription(
                message, kind.topic, self.guarded(self._taker(sensor, out)), qos_profile_sensor_data
            )

    def _time(self, message: Any, now: float) -> float:
        """The limiter's time of a sensor message: its stamp in simulated time, else its receipt."""
        stamp = stamp_of(message, self._kind._replace(stamped=True))
        if self.values["limiter_clock"] != "stamp" or stamp <= 0.0:
            return now
        self._newest = max(self._newest, stamp)
        return stamp

    def _taker(self, sensor: ImpairedSensor, out: Any) -> Any:
        def take(message: Any) -> None:
            now = self.now()
            time = self._time(message, now)
            self._read_permits(now)
            sensor.take(message, time, np.array([self.chain.permit.levels(now)]))
            for released in sensor.due(time):
                out.publish(released)

        return take

    def _take_objects(self, message: Any) -> None:
        lift = np.array([self.chain.permit.levels(self.now())])
        self._objects_out.publish(self._objects.impair(message, lift))

    def after_tick(self, now: float) -> None:
        """Release the samples whose latency is over."""
        time = self._newest if self.values["limiter_clock"] == "stamp" else now
        for sensor, out in self._sensors:
            for released in sensor.due(time):
                out.publish(released)

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """As every link's, with the sensors' problems and what of the nerf is not enforced."""
        level, message, values = super().diagnose()
        values["nerf"] = self.values["nerf"]
        for sensor, _ in self._sensors if hasattr(self, "_sensors") else ():
            if sensor.problem:
                values[f"sensor.{sensor.name}"] = sensor.problem
        unenforced = [item.name for item in self.chain.limiter.report if item.problem]
        values["not_enforced"] = ", ".join(unenforced) or "nothing"
        return level, message, values


def main() -> int:
    """Run the node."""
    return run(Nerf)


if __name__ == "__main__":
    sys.exit(main())
