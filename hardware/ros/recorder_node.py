"""The recorder: topics into an MCAP file that Foxglove and rosbag tools open, with the audit events in it.

Messages are written as received, serialised; their definitions come from the ROS 2 installation.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything slow is imported
    from nerfbot.hardware.ros.program import start

    raise SystemExit(start("nerfbot.hardware.ros.recorder_node"))

import time
from functools import partial
from pathlib import Path

from mcap.well_known import MessageEncoding, Profile, SchemaEncoding
from mcap.writer import CompressionType, Writer
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from ..errors import InvalidSetup
from .base_node import BaseNode, run
from .command_messages import command_type
from .message_types import definition, message_class
from .parameters import Parameter

TOPICS: dict[str, str] = {
    "odom": "nav_msgs/msg/Odometry",
    "scan": "sensor_msgs/msg/LaserScan",
    "scan_nerfed": "sensor_msgs/msg/LaserScan",
    "imu": "sensor_msgs/msg/Imu",
    "joint_states": "sensor_msgs/msg/JointState",
    "objects": "visualization_msgs/msg/MarkerArray",
    "effort_limit": "std_msgs/msg/Float64MultiArray",
    "lift": "std_msgs/msg/Float64MultiArray",
    "lease": "std_msgs/msg/Float64MultiArray",
    "estop": "std_msgs/msg/Bool",
    "audit": "std_msgs/msg/String",
    "events": "std_msgs/msg/String",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/clock": "rosgraph_msgs/msg/Clock",
}
"""The types of the recorded topics, besides the commands."""

COMMANDS = ("cmd_vel_policy", "cmd_vel_nerfed", "cmd_vel")
_STATES = ("lift", "lease", "estop")


class RecorderNode(BaseNode):
    """Writes `file` until it ends; ended by a signal, the file is complete."""

    NAME = "recorder"
    SHARED = ("autostart", "command_type")
    OWN = (
        Parameter("file", "", "", "the MCAP file; one that exists is not overwritten"),
        Parameter("topics", [""], "", "what else to record, as topic=pkg/msg/Name"),
    )

    def configure(self) -> None:
        """Open the file and listen."""
        path = Path(self.values["file"])
        if not self.values["file"] or path.exists():
            raise InvalidSetup(f"file = {str(path)!r}: must be the path of a file that is not there yet")
        command = command_type(self.values).type_name
        more = [text.partition("=") for text in self.values["topics"] if text]
        types = {**TOPICS, **dict.fromkeys(COMMANDS, command), **{topic: name for topic, _, name in more}}
        classes = {topic: message_class(name) for topic, name in types.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "xb")  # noqa: SIM115 (held open until the node ends)
        except OSError as error:
            raise InvalidSetup(f"file = {str(path)!r}: cannot be written: {error.strerror}") from None
        self._writer = Writer(self._file, chunk_size=64 * 1024, compression=CompressionType.ZSTD)
        self._writer.start(profile=Profile.ROS2, library="nerfbot")
        self.count = 0
        schemas = {
            name: self._writer.register_schema(name, SchemaEncoding.ROS2, definition(name).encode())
            for name in dict.fromkeys(types.values())
        }
        durable = QoSDurabilityPolicy.TRANSIENT_LOCAL
        states = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.RELIABLE, durability=durable)
        # A best-effort listener receives reliable publishers too, and they never wait for it
        others = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        for topic, name in types.items():
            full = self.resolve_topic_name(topic)
            channel = self._writer.register_channel(full, MessageEncoding.CDR, schemas[name])
            qos = states if topic in _STATES else others
            self.listen(classes[topic], topic, partial(self._write, channel), qos, raw=True)

    def _write(self, channel: int, data: bytes) -> None:
        if not self.active:
            return
        now = time.time_ns()
        self._writer.add_message(channel, log_time=now, data=data, publish_time=now)
        self.count += 1

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """How much has been written."""
        return "ok", "recording", {"file": self.values["file"], "messages": self.count}

    def finish(self) -> None:
        """Write the summary, which completes the file."""
        self._writer.finish()
        self._file.close()


main = partial(run, RecorderNode)
