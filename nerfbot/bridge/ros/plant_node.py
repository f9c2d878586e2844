"""A simulated robot on a course as a ROS 2 robot: commands in, sensors out, and a time-out of its own.

It takes the place of a robot's driver, and knows neither nerf nor leases. The effects of the course, fog and
zones that lose commands, follow the lift that the supervisor publishes.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything slow is imported
    from nerfbot.hardware.ros.program import start

    raise SystemExit(start("nerfbot.bridge.ros.plant_node"))

import dataclasses
import json
import math
from functools import partial
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, qos_profile_system_default
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, JointState, LaserScan
from std_msgs.msg import Float64MultiArray, String
from visualization_msgs.msg import MarkerArray

from nerfbot.course import TaskTracker, load_course, load_plan
from nerfbot.errors import InvalidCommand
from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.ros.base_node import NEWEST_QOS, STATE_QOS, BaseNode, run
from nerfbot.hardware.ros.command_messages import command_type, stamp_of
from nerfbot.hardware.ros.parameters import Parameter
from nerfbot.hardware.safety.localisation import PlanarPose
from nerfbot.limits import AXES
from nerfbot.sim.physics.client import CONTROL_STEP
from nerfbot.sim.plant.plant import Plant

from . import reading_messages

EPOCH = 1.0
"""Simulated time of the first step, s: a stamp of 0 would mean none."""

RELIABILITY, SENSING = AXES.index("reliability"), AXES.index("sensing")


SENSOR_TOPICS: dict[str, type] = {
    "odom": Odometry,
    "scan": LaserScan,
    "imu": Imu,
    "joint_states": JointState,
    "image": Image,
    "objects": MarkerArray,
}


class PlantNode(BaseNode):
    """`cmd_vel` in; `/clock`, `odom`, `scan`, `imu`, `joint_states`, `image` and `objects` out."""

    NAME = "plant"
    SHARED = ("autostart", "command_type", "cmd_vel_timeout", "supervisor_socket", "priority")
    OWN = (
        Parameter("course", "gauntlet", "", "a course's name or path"),
        Parameter("robot", "rover", "", "a robot's name or the path of its description"),
        Parameter("seed", 0, "", "of the course, and of the zones that lose commands"),
        Parameter("vary", False, "", "vary the course by the seed; false: the nominal one"),
        Parameter("real_time_factor", 1.0, "", "simulated per real second; 0: in lockstep", 0.0, 50.0),
        Parameter("lockstep_wait", 0.25, "s", "with factor 0: longest wait for a command", 0.01, 5.0),
        Parameter("publish_clock", True, "", "publish /clock; false: stamps by the system's clock"),
        Parameter("camera_every", 0, "", "take an image every so many steps; 0: none"),
    )

    def configure(self) -> None:
        """Load the course and the robot, and begin."""
        values = self.values
        self._kind = command_type(values)
        if not values["publish_clock"] and values["real_time_factor"] != 1.0:
            factor = values["real_time_factor"]
            raise InvalidSetup(f"real_time_factor = {factor}: must be 1 without /clock")
        course = load_course(values["course"])
        if values["vary"]:
            course = load_plan(values["course"]).draw(values["seed"], True)
        self.plant = Plant(course, values["robot"], pictures=values["camera_every"] > 0)
        self._random = np.random.default_rng(values["seed"])
        self._lost, self._lost_until = False, 0.0
        self._tracker = TaskTracker(course.task, course)
        start = course.start
        self._start = PlanarPose(start.x, start.y, start.heading).inverse()
        self._value = np.zeros(len(self.plant.channels))
        self._effort_limit: np.ndarray | None = None
        self._lift = [0.0] * len(AXES)
        self._received, self._stamp = -1e9, 0.0
        self._stepped = self.now()
        self._holds = [channel.mode == "position" for channel in self.plant.channels]
        self.listen(self._kind.message_class(), "cmd_vel", self._take, NEWEST_QOS)
        self.listen(Float64MultiArray, "effort_limit", self._take_effort_limit, NEWEST_QOS)
        self.listen(Float64MultiArray, "lift", self._take_lift, STATE_QOS)
        self._clock_out = self.create_publisher(Clock, "/clock", QoSProfile(depth=1))
        self._out = {
            name: self.create_publisher(kind, name, qos_profile_system_default)
            for name, kind in SENSOR_TOPICS.items()
        }
        self._events = self.create_publisher(String, "events", 100)
        self._steps = 0
        factor = values["real_time_factor"]
        self.call_every(CONTROL_STEP / factor if factor > 0.0 else 0.002, self._step_if_due)

    # Inputs

    def _take(self, message: Any) -> None:
        try:
            value = self._kind.read(message, self.plant.channels)
        except InvalidCommand as error:
            self.get_logger().warning(f"command refused: {error}")
            return
        self._value, self._received = np.array(value), self.now()
        self._stamp = stamp_of(message)
        if self.values["real_time_factor"] == 0.0 and self._stamp >= self.time - 1e-6:
            self._step()

    def _take_effort_limit(self, message: Float64MultiArray) -> None:
        limit = np.array(message.data)
        if limit.shape == self._value.shape and (limit >= 0.0).all():
            self._effort_limit = limit

    def _take_lift(self, message: Float64MultiArray) -> None:
        if len(message.data) == len(AXES) and all(0.0 <= level <= 1.0 for level in message.data):
            self._lift = list(message.data)

    # Steps

    @property
    def time(self) -> float:
        """Simulated time, s."""
        return EPOCH + self.plant.time

    def _step_if_due(self) -> None:
        in_lockstep = self.values["real_time_factor"] == 0.0 and self._steps > 0
        if not in_lockstep or self.now() - self._stepped >= self.values["lockstep_wait"]:
            self._step()

    def _command(self) -> np.ndarray:
        """The last command, or the robot's own stop where none came in time or a zone lost it."""
        stale = self.now() - self._received >= self.values["cmd_vel_timeout"]
        if self.active and not stale and not self._is_lost():
            return self._value
        measured = self.plant.robot.measured().position
        position = np.zeros(len(self._holds)) if measured is None else measured[0]
        return np.where(self._holds, position, 0.0)

    def _is_lost(self) -> bool:
        zone = self.plant.interference()
        if zone is None:
            self._lost, self._lost_until = False, 0.0
        elif self.plant.time >= self._lost_until:
            self._lost = bool(self._random.random() < zone.loss * (1.0 - self._lift[RELIABILITY]))
            self._lost_until = self.plant.time + zone.burst
        return self._lost

    def _step(self) -> None:
        was_done = self._tracker.done
        result = self.plant.step(self._command(), self._effort_limit)
        self._steps += 1
        self._stepped = self.now()
        self._tracker.consume(result.events, self.plant.time, self.plant.cell)
        for event in result.events:
            self._events.publish(String(data=json.dumps(_finite(event), default=str)))
        if self._tracker.done and not was_done:
            outcome = {"success": self._tracker.reached_goal, "time": round(self.plant.time, 3)}
            self.get_logger().info(f"task over: {json.dumps(outcome)}")
            self._events.publish(String(data=json.dumps({"event": "task-over", **outcome})))
        self._publish()

    def _publish(self) -> None:
        plant, out = self.plant, self._out
        readings = plant.observe(self._lift[SENSING])
        if self.values["publish_clock"]:
            stamp = reading_messages.time_message(self.time)
            self._clock_out.publish(Clock(clock=stamp))
        else:
            stamp = self.get_clock().now().to_msg()
        pose = PlanarPose(*map(float, readings.pose))
        out["scan"].publish(reading_messages.scan(readings.lidar, plant.description, CONTROL_STEP, stamp))
        out["imu"].publish(reading_messages.imu(readings.imu, pose.heading, stamp))
        robot = plant.robot
        out["joint_states"].publish(
            reading_messages.joint_states(robot.joint_names, readings.joints, robot.efforts(), stamp)
        )
        out["objects"].publish(reading_messages.objects(readings.objects, stamp))
        every = self.values["camera_every"]
        if every and self._steps % every == 0:
            out["image"].publish(reading_messages.image(plant.sensors.camera(self._lift[SENSING]), stamp))
        # Last, because a policy may act on each odometry message
        forward, turning = map(float, readings.twist)
        out["odom"].publish(reading_messages.odometry(self._start.compose(pose), forward, turning, stamp))

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """Simulated time, the age of the command, and the outcome of the task."""
        age = self.now() - self._received
        stale = age >= self.values["cmd_vel_timeout"]
        values: dict[str, object] = {
            "time_s": f"{self.plant.time:.2f}",
            "command_age_s": f"{age:.3f}",
            "task_over": self._tracker.done,
            "success": self._tracker.reached_goal,
        }
        return ("warn" if stale else "ok"), "time-out: no command" if stale else "driving", values

    def finish(self) -> None:
        """Close the physics."""
        self.plant.close()


def _finite(event: Any) -> dict[str, Any]:
    """The fields of an event, None for what JSON cannot hold."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in dataclasses.asdict(event).items()
    }


main = partial(run, PlantNode)
