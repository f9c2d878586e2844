"""The recorder: topics into an MCAP file that Foxglove and rosbag tools open, with the audit events in it.

Messages are written as they came, serialised; their definitions come from the ROS 2 installation.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcap.well_known import MessageEncoding, Profile, SchemaEncoding
from mcap.writer import CompressionType, Writer
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from ..errors import InvalidSetup
from .base_node import ChainNode, run
from .command_messages import COMMAND_TYPES
from .message_types import definition, message_class
from .parameters import COMMON, Parameter

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
"""What is recorded besides the commands, by topic."""

COMMANDS = ("cmd_vel_policy", "cmd_vel_nerfed", "cmd_vel")
_STATES = ("lift", "lease", "estop")


class Recorder(ChainNode):
    """Writes `file` until it ends; ended by a signal, the file is whole."""

    OWN = (
        Parameter("file", "", "", "the MCAP file; one that exists is not overwritten"),
        Parameter("topics", [""], "", "what else to record, as topic=pkg/msg/Name"),
    )

    def __init__(self) -> None:
        super().__init__("recorder")

    def tables(self, values: Mapping[str, Any]) -> Sequence[Parameter]:
        """Its own parameters, and the kind of the commands."""
        return (*(item for item in COMMON if item.name in ("autostart", "command_type")), *self.OWN)

    def configure(self) -> None:
        """Open the file and listen."""
        path = Path(self.values["file"])
        if not self.values["file"] or path.exists():
            raise InvalidSetup(f"file = {str(path)!r}: must be the path of a file that is not there yet")
        kind = COMMAND_TYPES[self.values["command_type"]]
        command = f"{kind.module.replace('.', '/')}/{kind.name}"
        wanted = {**TOPICS, **dict.fromkeys(COMMANDS, command)}
        for text in self.values["topics"]:
            topic, _, name = text.partition("=")
            if text:
                wanted[topic] = name
        classes = {topic: message_class(name) for topic, name in wanted.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "xb")  # noqa: SIM115 (held open until the node ends)
        except OSError as error:
            raise InvalidSetup(f"file = {str(path)!r}: cannot be written: {error.strerror}") from None
        self._writer = Writer(self._file, chunk_size=64 * 1024, compression=CompressionType.ZSTD)
        self._writer.start(profile=Profile.ROS2, library="nerfbot")
        self.count = 0
        schemas: dict[str, int] = {}
        for topic, name in wanted.items():
            if name not in schemas:
                schemas[name] = self._writer.register_schema(
                    name, SchemaEncoding.ROS2, definition(name).encode()
                )
            full = self.resolve_topic_name(topic)
            channel = self._writer.register_channel(full, MessageEncoding.CDR, schemas[name])
            durable = QoSDurabilityPolicy.TRANSIENT_LOCAL
            qos = QoSProfile(
                depth=100,
                # What is published reliably reaches a best-effort listener too, and never waits for it
                reliability=QoSReliabilityPolicy.RELIABLE
                if topic in _STATES
                else QoSReliabilityPolicy.BEST_EFFORT,
                durability=durable if topic in _STATES else QoSDurabilityPolicy.VOLATILE,
            )
            take = self.guarded(self._taker(channel))
            self.create_subscription(classes[topic], topic, take, qos, raw=True)

    def _taker(self, channel: int) -> Any:
        def take(data: bytes) -> None:
            now = time.time_ns()
            self._writer.add_message(channel, log_time=now, data=data, publish_time=now)
            self.count += 1

        return take

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """How much has been written."""
        return "ok", "recording", {"file": self.values["file"], "messages": self.count}

    def finish(self) -> None:
        """Write the summary, which makes the file whole."""
        if hasattr(self, "_writer"):
            self._writer.finish()
            self._file.close()


def main() -> int:
    """Run the node."""
    return run(Recorder)


if __name__ == "__main__":
    sys.exit(main())
