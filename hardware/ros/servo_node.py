"""ROS 2 topics above the servo driver: joint states out, joint commands in. It stands where the gate stands.

The driver is a process of its own, `nerfbot servo drive`, with its own socket for permits, so that nothing
here can make it move: a message that is stale, out of order, broken or from a second publisher is not passed
on, and a driver that hears no commands stops.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.qos import qos_profile_system_default
from sensor_msgs.msg import JointState

from nerfbot.errors import InvalidCommand

from ..driver.joint_command import encode
from ..driver.service import StateListener
from ..errors import InvalidSetup
from ..robot import ServoRobot
from ..safety.staleness import CommandStream
from .base_node import COMMAND_QOS, ChainNode, run
from .command_messages import COMMAND_TYPES, stamp_of
from .parameters import COMMON, Parameter

TAKES, SENDS = "cmd_vel_nerfed", "cmd_vel"
KINDS = ("float64_multi_array", "joint_trajectory")
SILENCE = 0.5
"""A driver that has told nothing for so long (s) is asked for its state again, and reported."""


class ServoNode(ChainNode):
    """`cmd_vel_nerfed` in; `joint_states`, and on `cmd_vel` the goals that the driver wrote, out."""

    OWN = (
        Parameter("folder", "", "", "where the driver has its sockets (nerfbot servo drive --folder)"),
        Parameter("robot", "so101", "", "the robot on the bus, by name or YAML file"),
    )
    TAKEN = ("autostart", "command_type", "cmd_vel_timeout", "stamp_jump", "supervisor_socket")

    def __init__(self) -> None:
        super().__init__("servo")

    def tables(self, values: Mapping[str, Any]) -> Sequence[Parameter]:
        """The common parameters that concern it, and its own."""
        return (*(item for item in COMMON if item.name in self.TAKEN), *self.OWN)

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
        self._link = StateListener(Path(values["folder"]), f"ros-{self.get_name()}")
        self._stream = CommandStream(values["cmd_vel_timeout"], values["stamp_jump"])
        self._kind = COMMAND_TYPES[values["command_type"]]
        self._message = self._kind.message_class()
        self._sequence, self._refused = 0, ""
        self._state: dict[str, Any] = {}
        self._heard = self.now()
        self._states = self.create_publisher(JointState, "joint_states", qos_profile_system_default)
        self._goals = self.create_publisher(self._message, SENDS, COMMAND_QOS)
        self.create_subscription(self._message, TAKES, self.guarded(self._take), COMMAND_QOS)
        self._link.listen()
        self.every(robot.period, self._tell)

    def _take(self, message: Any, info: Mapping[str, Any]) -> None:
        """Pass a command on to the driver, or refuse it."""
        now, gid = self.now(), info.get("publisher_gid")
        source = bytes(gid["data"]) if gid else None
        self._refused = self._stream.take(now, stamp_of(message, self._kind), source)
        if not self._refused and self._stream.second_source(now):
            self._refused = "two publishers send commands"
        if self._refused:
            return
        try:
            positions = self._kind.read(message, self._channels)
        except InvalidCommand as error:
            self._stream.forget()
            self._refused = str(error)
            self._link.send(b"{}")  # no command: the driver stops at once, not when it misses one
            return
        self._sequence += 1
        self._link.send(encode(self._sequence, "ros", dict(zip(self._names, positions, strict=True))))

    def _tell(self) -> None:
        """Publish what the driver has told since."""
        now, state = self.now(), self._link.latest()
        if self._stream.is_stale(now):
            self._stream.settle()  # the driver has stopped: a stream may begin anew
        if state is None:
            if now - self._heard > SILENCE:
                self._link.listen()
                self._heard = now
                self._state = {}
                self.tell_supervisor("driver", f"the driver in {self.values['folder']} tells nothing")
            return
        changed = (state["phase"], state["latched"]) != (
            self._state.get("phase"),
            self._state.get("latched"),
        )
        self._heard, self._state = now, state
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
            self.tell_supervisor("driver", state["latched"])
            self.publish_diagnostics()

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """The driver's phase and reasons, its latch, its lift, and what was refused here."""
        state = self._state
        if not state:
            return "error", "the driver tells nothing", {"refused": self._refused}
        reasons = "; ".join(state["reasons"])
        level = "error" if state["latched"] else "ok" if state["phase"] == "run" else "warn"
        values: dict[str, object] = {
            "phase": state["phase"],
            "reasons": reasons,
            "latched": state["latched"],
            "lift": ", ".join(f"{value:.2f}" for value in state["levels"]),
            "envelope": state["digest"],
            "refused": self._refused,
        }
        return level, state["latched"] or reasons or "following", values

    def finish(self) -> None:
        """Leave the driver: it hears nothing more, and stops."""
        if hasattr(self, "_link"):
            self._link.close()


def main() -> int:
    """Run the node."""
    return run(ServoNode)


if __name__ == "__main__":
    sys.exit(main())
