"""The recorder: topics into a rosbag2 bag of MCAP that Foxglove and rosbag tools open, audit events included.

Messages are written as received, serialised; their definitions come from the ROS 2 installation.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything slow is imported
    from nerfbot.hardware.ros.program import start

    raise SystemExit(start("nerfbot.hardware.ros.recorder_node"))

import time
from functools import partial
from pathlib import Path

from mcap.well_known import MessageEncoding, SchemaEncoding
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from ..errors import InvalidSetup
from . import bag
from .base_node import BaseNode, run
from .command_messages import command_type
from .message_types import definition, message_class
from .parameters import Parameter
from .sensor_formats import SENSOR_MESSAGES

TOPICS: dict[str, str] = {
    **{item.topic: item.type_name for item in SENSOR_MESSAGES.values() if item.topic != "image"},
    "objects": "visualization_msgs/msg/MarkerArray",
    **{f"{item.topic}_nerfed": item.type_name for item in SENSOR_MESSAGES.values()},
    "objects_nerfed": "visualization_msgs/msg/MarkerArray",
    "effort_limit_nerfed": "std_msgs/msg/Float64MultiArray",
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
LATCHED = ("lift", "lease", "estop", "tf_static", "robot_description", "map")
"""Topics whose publishers offer the last message to late listeners, by the end of their name."""


class RecorderNode(BaseNode):
    """Writes one file of a rosbag2 bag until it ends; ended by a signal, the bag is complete."""

    NAME = "recorder"
    SHARED = ("autostart", "command_type")
    OWN = (
        Parameter("file", "", "", "the MCAP file; one that exists is not overwritten"),
        Parameter("resume", False, "", "where file exists, repair it and go on in FILE_1 and so on"),
        Parameter("topics", [""], "", "what else to record, as topic=pkg/msg/Name"),
    )

    def configure(self) -> None:
        """Open the file and listen."""
        first, path = Path(self.values["file"]), Path(self.values["file"])
        if not self.values["file"] or (path.exists() and not self.values["resume"]):
            raise InvalidSetup(f"file = {str(path)!r}: must be the path of a file that is not there yet")
        command = command_type(self.values).type_name
        more = [text.partition("=") for text in self.values["topics"] if text]
        types = {**TOPICS, **dict.fromkeys(COMMANDS, command), **{topic: name for topic, _, name in more}}
        classes = {topic: message_class(name) for topic, name in types.items()}
        self._definitions = {name: definition(name).encode() for name in dict.fromkeys(types.values())}
        self._repaired = [file.name for file in bag.files_of(first) if bag.repair(file)]
        self._path = bag.next_file(first)
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self.count = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "xb")  # noqa: SIM115 (held open until the node ends)
        except OSError as error:
            raise InvalidSetup(f"file = {str(path)!r}: cannot be written: {error.strerror}") from None
        self._writer = bag.bag_writer(self._file)
        self._first = first
        bag.write_metadata(bag.files_of(first))
        self.call_every(1.0, self._flush)
        durable = QoSDurabilityPolicy.TRANSIENT_LOCAL
        states = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.RELIABLE, durability=durable)
        # A best-effort listener receives reliable publishers too, and they never wait for it
        others = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        for topic, name in types.items():
            qos = states if topic.rpartition("/")[2] in LATCHED else others
            self.listen(classes[topic], topic, partial(self._write, topic, name), qos, raw=True)

    def _flush(self) -> None:
        self._file.flush()

    def _write(self, topic: str, name: str, data: bytes) -> None:
        if not self.active:
            return
        if topic not in self._channels:
            self._channels[topic] = self._register(topic, name)
        now = time.time_ns()
        self._writer.add_message(self._channels[topic], log_time=now, data=data, publish_time=now)
        self.count += 1

    def _register(self, topic: str, name: str) -> int:
        """The channel of a topic, with the quality of service that its publishers offer, as for a replay."""
        full = self.resolve_topic_name(topic)
        profiles = [item.qos_profile for item in self.get_publishers_info_by_topic(full)]
        if name not in self._schemas:
            data = self._definitions[name]
            self._schemas[name] = self._writer.register_schema(name, SchemaEncoding.ROS2, data)
        metadata = {bag.QOS: bag.offered_qos(profiles)}
        return self._writer.register_channel(full, MessageEncoding.CDR, self._schemas[name], metadata)

    def diagnose(self) -> tuple[str, str, dict[str, object]]:
        """How much has been written."""
        values: dict[str, object] = {"file": str(self._path), "messages": self.count}
        if self._repaired:
            values["repaired"] = ", ".join(self._repaired)
        return "ok", "recording", values

    def finish(self) -> None:
        """Write the summary and the metadata, which complete the bag."""
        self._writer.finish()
        self._file.close()
        bag.write_metadata(bag.files_of(self._first))


main = partial(run, RecorderNode)
