"""ROS 2 topics for the servo driver: joint states out, joint commands in. It takes the place of the gate.

The driver is a process of its own, `nerfbot servo drive`, with its own socket for permits, so that nothing
here can make it move. A message that is stale, out of order, broken or from a second publisher is not passed
on, and a driver that receives no commands stops.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything slow is imported
    from nerfbot.hardware.ros.program import start

    raise SystemExit(start("nerfbot.hardware.ros.servo_node"))

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.qos import qos_profile_system_default
from sensor_msgs.msg import JointState

from nerfbot.errors import InvalidCommand

from ..driver.service import DriverClient
from ..errors import InvalidSetup
from ..robot import ServoRobot
from ..safety.staleness import StreamMonitor
from .base_node import COMMAND_QOS, NAMES_SENDERS, WITHOUT_SENDERS, BaseNode, run, sender_of
from .command_messages import COMMAND_TYPES, stamp_of
from .parameters import Parameter

TAKES, SENDS = "cmd_vel_nerfed", "cmd_vel"
KINDS = ("float64_multi_array", "joint_trajectory")
SILENCE = 0.5
"""A driver that has been silent for so long (s) is asked for its state again, and reported."""


class ServoNode(BaseNode):
    """`cmd_vel_nerfed` in; `joint_states`, and on `cmd_vel` the goals that the driver wrote, out."""

    NAME = "servo"
    SHARED = ("autostart", "command_type", "cmd_vel_timeout", "stamp_jump", "supervisor_socket")
    OWN = (
        Parameter("folder", "", "", "where the driver has its sockets (nerfbot servo drive --folder)"),
        Parameter("robot", "so101", "", "the robot on the bus, by name or YAML file"),
    )

    def configure(self) -> None:
        """Join the driver's sockets and the topics."""
        values = self.values
        if values["command_type"] not in KINDS:
            raise InvalidSetup(
                f"command_type = {values['command_type']!r}: must be one of {', '.join(KINDS)}"
            )
        if not values["folder"] or not Path(values["folder"]).is_dir():
            raise InvalidSetup(f"folder = {values['folder']!r}: must be the folder of a driver's sockets")
        robot = ServoRobot.load(values["robot"])
        self._names, self._channels = robot.names, robot.channels()
        self._driver = DriverClient(Path(values["folder"]), f"ros-{self.get_name()}")
        self._stream = StreamMonitor(values["cmd_vel_timeout"], values["stamp_jump"])
        self._kind = COMMAND_TYPES[values["command_type"]]
        self._message = self._kind.message_class()
        self._refusal = ""
        self._state: dict[str, Any] = {}
        self._received = self.now()
        self._states = self.create_publisher(JointState, "joint_states", qos_profile_system_default)
        self._goals = self.create_publisher(self._message, SENDS, COMMAND_QOS)
        self.listen(self._message, TAKES, self._take, COMMAND_QOS)
        self._crowded = ""
        if not NAMES_SENDERS:
            self.get_logger().warning(WITHOUT_SENDERS)
            self.call_every(0.2, self._check_publishers)
        self._driver.subscribe()
        self.call_every(robot.period, self._publish_state)

    def _check_publishers(self) -> None:
        self._crowded = self.crowded(self.resolve_topic_name(TAKES))

    def _take(self, message: Any, info: Mapping[str, Any]) -> None:
        """Pass a command on to the driver, or refuse it."""
        now = self.now()
        self._refusal = self._stream.accept(now, stamp_of(message), sender_of(info))
        if not self._refusal and self._stream.has_second_source(now):
            self._refusal = "two publishers send commands"
        self._refusal = self._refusal or self._crowded
        if not self.active:
            self._refusal = f"the node is {self.state}"
        if self._refusal:
            return
        try:
            positions = self._kind.read(message, self._channels)
        except InvalidCommand as error:
            self._stream.reset()
            self._refusal = str(error)
            self._driver.send(b"{}")  # no command: the driver stops at once
            return
        self._driver.command(dict(zip(self._names, positions, strict=True)), "ros")

    def _publish_state(self) -> None:
        """Publish the driver's newest state, if there is one."""
        now, state = self.now(), self._driver.latest()
        if self._stream.is_stale(now):
            self._stream.note_rest()  # the driver has stopped: a stream may begin anew
        if state is None:
            if now - self._received > SILENCE:
                self._driver.subscribe()
                self._received = now
                self._state = {}
                self.report_fault("driver", f"the driver in {self.values['folder']} is silent")
            return
        changed = any(state[name] != self._state.get(name) for name in ("phase", "latched"))
        self._received, self._state = now, state
        message = JointState(name=self._names)
        message.header.stamp = self.get_clock().now().to_msg()
        message.position, message.velocity = state["position"], state["velocity"]
        message.effort = state["effort"]
        self._states.publish(message)
        goals = self._message()
        self._kind.write(goals, state["goal"], self._channels)
        if self._kind.stamped:
            goals.header.stamp = message.header.stamp
        self._goals.publish(goals)
        if changed:
            self.report_fault("driver", state["latched"])
            self.publish_diagnostics()

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """The driver's phase and reasons, its latch, its lift, and the last refusal here."""
        state = self._state
        if not state:
            return "error", "the driver is silent", {"refused": self._refusal}
        reasons = "; ".join(state["reasons"])
        level = "error" if state["latched"] else "ok" if state["phase"] == "run" else "warn"
        values: dict[str, object] = {
            "phase": state["phase"],
            "reasons": reasons,
            "latched": state["latched"],
            "lift": ", ".join(f"{value:.2f}" for value in state["levels"]),
            "envelope": state["digest"],
            "refused": self._refusal,
        }
        return level, state["latched"] or reasons or "following", values

    def finish(self) -> None:
        """Leave the driver, which then stops for want of commands."""
        self._driver.close()


main = partial(run, ServoNode)
