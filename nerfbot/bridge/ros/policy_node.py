"""A policy as a ROS 2 node: a saved one (safetensors) or the scripted driver.

Nothing it sends is trusted. It may request leases from the supervisor, as any operator can.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything slow is imported
    from nerfbot.hardware.ros.program import start

    raise SystemExit(start("nerfbot.bridge.ros.policy_node"))

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState, LaserScan
from std_msgs.msg import Float64MultiArray
from visualization_msgs.msg import MarkerArray

from nerfbot.course import load_course
from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.ros.base_node import COMMAND_QOS, STATE_QOS, BaseNode, run
from nerfbot.hardware.ros.command_messages import command_type
from nerfbot.hardware.ros.parameters import COMMANDS, Parameter, channels_of
from nerfbot.hardware.safety.localisation import PlanarPose
from nerfbot.hardware.safety.requests import SupervisorClient
from nerfbot.limits import AXES
from nerfbot.sim.plant.sensors import Readings
from nerfbot.sim.robots.description import RobotDescription
from nerfbot.sim.scripted.episode import RobotController
from nerfbot.sim.scripted.nerf_check import scripted

from ..rover_observation import observation
from .reading_messages import ReadingsCollector

LEASE_MARGIN = 0.8
"""A lease is renewed when less than this remains of it, s."""


class PolicyNode(BaseNode):
    """Impaired sensors in, `cmd_vel_policy` out."""

    NAME = "policy"
    SHARED = ("autostart", *COMMANDS, "supervisor_socket")
    OWN = (
        Parameter("policy", "scripted", "", "scripted, or the folder of a saved policy"),
        Parameter("course", "gauntlet", "", "the course; the scripted driver follows its plan"),
        Parameter("robot", "rover", "", "a robot's name or the path of its description"),
        Parameter("rate", 20.0, "Hz", "rate of commands", 0.5, 200.0),
        Parameter("trigger", "timer", "", "timer: at `rate`; odom: with each odometry message"),
        Parameter("leases", True, "", "request leases in the course's lift zones"),
        Parameter("lease_duration", 5.0, "s", "of the requested leases", 0.1, 60.0),
        Parameter("lease_ramp", 0.5, "s", "of the requested leases", 0.0, 10.0),
        Parameter("suffix", "_nerfed", "", "of the sensor topics; empty for raw ones"),
    )

    def configure(self) -> None:
        """Load the policy and listen."""
        values = self.values
        if values["trigger"] not in ("timer", "odom"):
            raise InvalidSetup(f"trigger: must be timer or odom, got {values['trigger']!r}")
        self._course = load_course(values["course"])
        start = self._course.start
        self._readings = ReadingsCollector(PlanarPose(start.x, start.y, start.heading))
        self._channels = channels_of(values)
        self._policy: Any = None
        self._driver: RobotController | None = None
        self._began: float | None = None
        if values["policy"] == "scripted":
            robot = RobotDescription.load(values["robot"])
            self._driver = scripted(robot, self._course, lambda: self._lift)
        else:
            self._policy = self._load_policy(values)
        self._kind = command_type(values)
        self._message = self._kind.message_class()
        self._out = self.create_publisher(self._message, "cmd_vel_policy", COMMAND_QOS)
        self._lift, self._lease = np.zeros(len(AXES)), np.zeros(2)
        self._lease_received = self.now()
        self._stamp: Any = None
        self._client: SupervisorClient | None = None
        if values["leases"] and values["supervisor_socket"]:
            self._client = SupervisorClient(values["supervisor_socket"])
        self._requested_at: dict[str, float] = {}
        inputs = self._readings
        for topic, kind, take in (
            ("scan", LaserScan, inputs.take_scan),
            ("imu", Imu, inputs.take_imu),
            ("joint_states", JointState, inputs.take_joints),
            ("objects", MarkerArray, inputs.take_objects),
            ("odom", Odometry, self._take_odometry),
        ):
            self.listen(kind, topic + values["suffix"], take, qos_profile_sensor_data)
        self.listen(Float64MultiArray, "lift", self._take_lift, STATE_QOS)
        self.listen(Float64MultiArray, "lease", self._take_lease, STATE_QOS)
        if values["trigger"] == "timer":
            self.call_every(1.0 / values["rate"], self._act)
        self._acted = 0

    def _load_policy(self, values: Mapping[str, Any]) -> Any:
        """The saved policy; raises where it was trained for another robot, other channels or another rate."""
        from nerfbot.agents.policy import load_policy
        from nerfbot.bridge.compatibility import PERIOD_DECIMALS, ROVER_LAYOUT, check_rover_layout

        policy = load_policy(Path(values["policy"]))
        expected: dict[str, Any] = {
            "version": ROVER_LAYOUT,
            "robot": RobotDescription.load(values["robot"]).name,
            "channels": [channel.name for channel in self._channels],
        }
        if values["trigger"] == "timer":
            expected["period"] = round(1.0 / values["rate"], PERIOD_DECIMALS)
        check_rover_layout(policy, **expected)
        return policy

    def _take_odometry(self, message: Odometry) -> None:
        self._readings.take_odometry(message)
        self._stamp = message.header.stamp
        if self.values["trigger"] == "odom":
            self._act()

    def _take_lift(self, message: Float64MultiArray) -> None:
        if len(message.data) == len(AXES):
            self._lift = np.array(message.data)

    def _take_lease(self, message: Float64MultiArray) -> None:
        if len(message.data) == 2:
            self._lease, self._lease_received = np.array(message.data), self.now()

    def _act(self) -> None:
        readings = self._readings.readings()
        if readings is None or not self.active:
            return
        now = self.now()
        self._began = now if self._began is None else self._began
        if self._driver is not None:
            command = self._driver.act(readings, now - self._began)
        elif not readings.joints.size and not {"", "joints"}.isdisjoint(self._policy.parts):
            return
        else:
            seconds, charges = map(float, self._lease)
            seconds = max(seconds - (now - self._lease_received), 0.0)
            action = self._policy.act(observation(self._policy.parts, readings, self._lift, seconds, charges))
            command = action["twist"] if isinstance(action, Mapping) else action
        message = self._message()
        self._kind.write(message, np.asarray(command, np.float64).tolist(), self._channels)
        if self._kind.stamped:
            by_odometry = self.values["trigger"] == "odom" and self._stamp is not None
            message.header.stamp = self._stamp if by_odometry else self.get_clock().now().to_msg()
            message.header.frame_id = "base_link"
        self._out.publish(message)
        self._acted += 1
        if self._client is not None:
            self._request_leases(readings, now, self._client)

    def _request_leases(self, readings: Readings, now: float, client: SupervisorClient) -> None:
        """Request the axes that the zone here allows, at most once a second each; renew before the end."""
        allowed = self._course.axes_at(float(readings.pose[0]), float(readings.pose[1]))
        renewal = max(self.values["lease_duration"] - LEASE_MARGIN, 0.5)
        axes = {
            axis: 1.0
            for axis, level in zip(AXES, self._lift.tolist(), strict=True)
            if axis in allowed
            and now - self._requested_at.get(axis, -1e9) > (renewal if level > 0.0 else 1.0)
        }
        if not axes:
            return
        self._requested_at.update(dict.fromkeys(axes, now))
        client.send(
            "grant",
            axes=axes,
            duration=self.values["lease_duration"],
            ramp=self.values["lease_ramp"],
            reason=f"pass the obstacle here: {', '.join(axes)}",
        )

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """How many commands were sent, and the phase of the driver."""
        phase = self._driver.phase if self._driver is not None else "policy"
        values: dict[str, object] = {"sent": self._acted}
        return ("ok", phase, values) if self._acted else ("warn", "no readings yet", values)

    def finish(self) -> None:
        """Close the socket."""
        if self._client is not None:
            self._client.close()


main = partial(run, PolicyNode)
