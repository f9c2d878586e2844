"""A policy as a ROS 2 node: a saved one (safetensors) or the scripted driver.

Nothing it sends is trusted. It may ask the supervisor for leases, as any operator can.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState, LaserScan
from std_msgs.msg import Float64MultiArray
from visualization_msgs.msg import MarkerArray

from nerfbot.course import Course
from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.ros.base_node import COMMAND_QOS, STATE_QOS, ChainNode, run
from nerfbot.hardware.ros.command_messages import COMMAND_TYPES
from nerfbot.hardware.ros.parameters import COMMON, Parameter, channels_of
from nerfbot.hardware.safety.localisation import Pose
from nerfbot.hardware.safety.requests import SupervisorClient
from nerfbot.limits import AXES
from nerfbot.sim.robots.description import RobotDescription
from nerfbot.sim.scripted.episode import Steers
from nerfbot.sim.scripted.nerf_check import scripted

from ..rover_observation import observation
from .reading_messages import ReadingsInput

_SHARED = ("autostart", "command_type", "channels", "command_mode", "use_odometry", "supervisor_socket")
LEASE_MARGIN = 0.8
"""A lease is renewed when less than this is left of it, s."""


class PolicyNode(ChainNode):
    """Impaired sensors in, `cmd_vel_policy` out."""

    OWN = (
        Parameter("policy", "scripted", "", "scripted, or the folder of a saved policy"),
        Parameter("course", "gauntlet", "", "the course it is on: the scripted driver knows its plan"),
        Parameter("robot", "rover", "", "the robot's description"),
        Parameter("rate", 20.0, "Hz", "commands a second", 0.5, 200.0),
        Parameter("trigger", "timer", "", "timer: at the rate; odom: with each odometry message"),
        Parameter("leases", True, "", "ask for leases in the course's lift zones"),
        Parameter("lease_duration", 5.0, "s", "of the leases it asks for", 0.1, 60.0),
        Parameter("lease_ramp", 0.5, "s", "of the leases it asks for", 0.0, 10.0),
        Parameter("suffix", "_nerfed", "", "of the sensor topics; empty for raw ones"),
    )

    def __init__(self) -> None:
        super().__init__("policy")

    def tables(self, values: Mapping[str, Any]) -> Sequence[Parameter]:
        """Its own parameters, and those of the chain that it needs."""
        return (*(item for item in COMMON if item.name in _SHARED), *self.OWN)

    def configure(self) -> None:
        """Load the policy and listen."""
        values = self.values
        if values["trigger"] not in ("timer", "odom"):
            raise InvalidSetup(f"trigger: must be timer or odom, got {values['trigger']!r}")
        self._course = Course.load(values["course"])
        start = self._course.start
        self._input = ReadingsInput(Pose(start.x, start.y, start.heading))
        self._channels = channels_of(values)
        self._policy: Any = None
        self._driver: Steers | None = None
        self._began: float | None = None
        if values["policy"] == "scripted":
            robot = RobotDescription.load(values["robot"])
            self._driver = scripted(robot, self._course, lambda: self._lift)
        else:
            self._policy = self._loaded(values)
        self._kind = COMMAND_TYPES[values["command_type"]]
        self._message = self._kind.message_class()
        self._out = self.create_publisher(self._message, "cmd_vel_policy", COMMAND_QOS)
        self._lift, self._lease = np.zeros(len(AXES)), np.zeros(2)
        self._lease_heard = self.now()
        self._stamp: Any = None
        self._client: SupervisorClient | None = None
        if values["leases"] and values["supervisor_socket"]:
            self._client = SupervisorClient(values["supervisor_socket"])
        self._asked: dict[str, float] = {}
        suffix, inputs = values["suffix"], self._input
        for topic, kind, take in (
            ("scan", LaserScan, inputs.take_scan),
            ("imu", Imu, inputs.take_imu),
            ("joint_states", JointState, inputs.take_joints),
            ("objects", MarkerArray, inputs.take_objects),
            ("odom", Odometry, self._take_odometry),
        ):
            self.create_subscription(kind, topic + suffix, self.guarded(take), qos_profile_sensor_data)
        self.create_subscription(Float64MultiArray, "lift", self.guarded(self._take_lift), STATE_QOS)
        self.create_subscription(Float64MultiArray, "lease", self.guarded(self._take_lease), STATE_QOS)
        if values["trigger"] == "timer":
            self.every(1.0 / values["rate"], self._act)
        self._acted = 0

    def _loaded(self, values: Mapping[str, Any]) -> Any:
        """The saved policy, which must have been made for this robot, its channels and this rate."""
        from nerfbot.agents.policy import load_policy
        from nerfbot.bridge.compatibility import PERIOD_DECIMALS, ROVER_LAYOUT, check_rover_layout

        policy = load_policy(Path(values["policy"]))
        ours: dict[str, Any] = {
            "version": ROVER_LAYOUT,
            "robot": RobotDescription.load(values["robot"]).name,
            "channels": [channel.name for channel in self._channels],
        }
        if values["trigger"] == "timer":
            ours["period"] = round(1.0 / values["rate"], PERIOD_DECIMALS)
        check_rover_layout(policy, **ours)
        return policy

    def _take_odometry(self, message: Odometry) -> None:
        self._input.take_odometry(message)
        self._stamp = message.header.stamp
        if self.values["trigger"] == "odom":
            self._act()

    def _take_lift(self, message: Float64MultiArray) -> None:
        if len(message.data) == len(AXES):
            self._lift = np.array(message.data)

    def _take_lease(self, message: Float64MultiArray) -> None:
        if len(message.data) == 2:
            self._lease, self._lease_heard = np.array(message.data), self.now()

    def _act(self) -> None:
        readings = self._input.readings()
        if readings is None:
            return
        now = self.now()
        self._began = now if self._began is None else self._began
        if self._driver is not None:
            command = self._driver.act(readings, now - self._began)
        elif not readings.joints.size and not {"", "joints"}.isdisjoint(self._policy.parts):
            return
        else:
            left = max(float(self._lease[0]) - (now - self._lease_heard), 0.0)
            told = observation(self._policy.parts, readings, self._lift, left, float(self._lease[1]))
            action = self._policy.act(told)
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
            self._ask(readings, now)

    def _ask(self, readings: Any, now: float) -> None:
        """Ask for what the zone here allows and no lift gives yet, at most once a second an axis."""
        here = self._course.axes_at(float(readings.pose[0]), float(readings.pose[1]))
        again = max(self.values["lease_duration"] - LEASE_MARGIN, 0.5)
        wanted = {
            axis: 1.0
            for axis, level in zip(AXES, self._lift.tolist(), strict=True)
            if axis in here and now - self._asked.get(axis, -1e9) > (again if level > 0.0 else 1.0)
        }
        if not wanted or self._client is None:
            return
        self._asked.update(dict.fromkeys(wanted, now))
        self._client.tell(
            "grant",
            axes=wanted,
            duration=self.values["lease_duration"],
            ramp=self.values["lease_ramp"],
            reason=f"pass the obstacle here: {', '.join(wanted)}",
        )

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """How many commands were sent, and what the driver is doing."""
        doing = self._driver.phase if self._driver is not None else "policy"
        return (
            ("ok" if self._acted else "warn"),
            doing if self._acted else "no readings yet",
            {"sent": self._acted},
        )

    def finish(self) -> None:
        """Close the socket."""
        if getattr(self, "_client", None) is not None:
            self._client.close()  # type: ignore[union-attr]


def main() -> int:
    """Run the node."""
    return run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
