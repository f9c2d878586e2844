"""MCAP files as a rosbag2 bag: `metadata.yaml` beside them, and what a killed recorder left unfinished.

The metadata has version 5, which every distribution from Humble on reads. A bag may have several files, one
for each start of its recorder.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.well_known import Profile
from mcap.writer import CompressionType, Writer
from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSLivelinessPolicy, QoSReliabilityPolicy

from nerfbot.files import replacing, write_atomically

from ..errors import InvalidSetup

QOS = "offered_qos_profiles"
"""The key of the quality of service in a channel's metadata."""

NUMBERED = ("humble", "iron")
"""Distributions whose rosbag2 writes policies as numbers; later ones write names."""

_POLICIES: dict[str, Any] = {
    "history": QoSHistoryPolicy,
    "reliability": QoSReliabilityPolicy,
    "durability": QoSDurabilityPolicy,
    "liveliness": QoSLivelinessPolicy,
}


def bag_writer(file: BinaryIO) -> Writer:
    """A started writer of one file of a bag."""
    writer = Writer(file, chunk_size=64 * 1024, compression=CompressionType.ZSTD)
    writer.start(profile=Profile.ROS2, library="nerfbot")
    return writer


def offered_qos(profiles: Sequence[Any]) -> str:
    """The `offered_qos_profiles` of a topic, YAML, from rclpy's profiles, in this distribution's form."""
    number = os.environ.get("ROS_DISTRO") in NUMBERED
    rows = [
        {
            "history": _policy(profile.history, number),
            "depth": profile.depth,
            "reliability": _policy(profile.reliability, number),
            "durability": _policy(profile.durability, number),
            "deadline": _duration(profile.deadline),
            "lifespan": _duration(profile.lifespan),
            "liveliness": _policy(profile.liveliness, number),
            "liveliness_lease_duration": _duration(profile.liveliness_lease_duration),
            "avoid_ros_namespace_conventions": profile.avoid_ros_namespace_conventions,
        }
        for profile in profiles
    ]
    return yaml.safe_dump(rows, sort_keys=False) if rows else ""


def _policy(policy: Any, number: bool) -> int | str:
    return int(policy) if number else str(policy.name).lower()


def _duration(duration: Any) -> dict[str, int]:
    seconds, nanoseconds = divmod(duration.nanoseconds, 1_000_000_000)
    return {"sec": seconds, "nsec": nanoseconds}


def files_of(first: Path) -> list[Path]:
    """The files of the bag that begins with ``first``, in the order of their making; some may be there."""
    files = [first, *(first.with_stem(f"{first.stem}_{number}") for number in range(1, 1000))]
    return [path for path in files if path.exists()]


def next_file(first: Path) -> Path:
    """The next file of the bag that begins with ``first``, which is not there yet."""
    count = len(files_of(first))
    return first.with_stem(f"{first.stem}_{count}") if count else first


def repair(path: Path) -> bool:
    """Complete a file that its writer could not finish, as far as it can be read; whether that was needed.

    Raises `InvalidSetup` where it cannot be replaced.
    """
    with path.open("rb") as file, contextlib.suppress(McapError, struct.error):
        if make_reader(file).get_summary() is not None:
            return False
    with replacing(path, InvalidSetup) as part, path.open("rb") as source, part.open("wb") as target:
        writer = bag_writer(target)
        schemas: dict[int, int] = {0: 0}
        channels: dict[int, int] = {}
        with contextlib.suppress(McapError):  # it ends where its writer was killed
            for record in StreamReader(source).records:
                if isinstance(record, Schema):
                    schemas[record.id] = writer.register_schema(record.name, record.encoding, record.data)
                elif isinstance(record, Channel):
                    channels[record.id] = writer.register_channel(
                        record.topic, record.message_encoding, schemas[record.schema_id], record.metadata
                    )
                elif isinstance(record, Message):
                    writer.add_message(
                        channels[record.channel_id], record.log_time, record.data, record.publish_time
                    )
        writer.finish()
    return True


def _numbered(text: str) -> str:
    """The same profiles with their policies by number, as version 5 of the metadata has them."""
    rows = yaml.safe_load(text) or []
    for row in rows:
        for name, policies in _POLICIES.items():
            if isinstance(row[name], str):
                row[name] = int(policies[row[name].upper()])
    return yaml.safe_dump(rows, sort_keys=False) if rows else ""


def write_metadata(files: Sequence[Path]) -> None:
    """Write `metadata.yaml` beside the complete ``files``; one that is being written counts as empty.

    Raises `InvalidSetup` where it cannot be written.
    """
    rows: list[tuple[str, int, int, int]] = []
    topics: dict[str, dict[str, Any]] = {}
    for path in files:
        start = end = count = 0
        with path.open("rb") as file, contextlib.suppress(McapError):
            summary = make_reader(file).get_summary()
            if summary is not None and summary.statistics is not None:
                statistics = summary.statistics
                start, end = statistics.message_start_time, statistics.message_end_time
                count = statistics.message_count
                for number, channel in summary.channels.items():
                    metadata = {
                        "name": channel.topic,
                        "type": summary.schemas[channel.schema_id].name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": _numbered(channel.metadata.get(QOS, "")),
                    }
                    row = topics.setdefault(channel.topic, {"topic_metadata": metadata, "message_count": 0})
                    row["message_count"] += statistics.channel_message_counts.get(number, 0)
        rows.append((path.name, start, end, count))
    filled = [row for row in rows if row[3]]
    start = min((row[1] for row in filled), default=0)
    information = {
        "version": 5,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": max((row[2] for row in filled), default=start) - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": sum(row[3] for row in rows),
        "topics_with_message_count": [topics[name] for name in sorted(topics)],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [row[0] for row in rows],
        "files": [
            {
                "path": name,
                "starting_time": {"nanoseconds_since_epoch": begin},
                "duration": {"nanoseconds": last - begin},
                "message_count": number,
            }
            for name, begin, last, number in rows
        ],
    }
    text = yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False)
    write_atomically(files[0].with_name("metadata.yaml"), text, InvalidSetup)
