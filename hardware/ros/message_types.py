"""ROS 2 message types by name: classes, full definitions for recordings, and topics with two of them."""

from __future__ import annotations

import functools
import importlib
import os
import re
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InvalidSetup

_BREAK = "\n" + "=" * 80 + "\n"
_BUILT_IN = {
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("bool", "byte", "char", "float32", "float64", "string", "wstring"),
}


@functools.cache
def message_class(name: str) -> Any:
    """The class of a type such as `geometry_msgs/msg/Twist`. Raises `InvalidSetup` for an unknown name."""
    try:
        package, kind, short = name.split("/")
        return getattr(importlib.import_module(f"{package}.{kind}"), short)
    except (ValueError, ImportError, AttributeError):
        raise InvalidSetup(f"message type {name!r}: is not installed, or no name like pkg/msg/Name") from None


def type_name(message: Any) -> str:
    """The name of a message class, such as `geometry_msgs/msg/Twist`."""
    return f"{message.__module__.split('.')[0]}/msg/{message.__name__}"


def serialized_stamp(data: bytes) -> float:
    """The stamp (s) of a serialised message that begins with a header: CDR puts it after four bytes."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return float(seconds) + 1e-9 * float(nanoseconds)


def definition(name: str) -> str:
    """The definition of a message with those of all that it contains, in the form of MCAP's `ros2msg`.

    Raises `InvalidSetup` where the definitions are not installed.
    """
    texts: dict[str, str] = {}
    queue = [name]
    while queue:
        current = queue.pop(0)
        if current not in texts:
            texts[current] = _text(current)
            queue += _contained(texts[current], current.split("/")[0])
    nested = [f"MSG: {other.replace('/msg/', '/')}\n{text}" for other, text in texts.items() if other != name]
    return _BREAK.join([texts[name], *nested])


def _text(name: str) -> str:
    roots = [root for root in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if root]
    for root in (*roots, sys.prefix):
        path = Path(root) / "share" / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise InvalidSetup(f"message type {name!r}: its definition is not installed")


def _contained(text: str, package: str) -> list[str]:
    """The types of the fields of a definition in `package`, without the built-in ones."""
    types = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2:
            continue
        base = re.sub(r"<=\d+$", "", re.sub(r"\[.*\]$", "", words[0]))
        if base not in _BUILT_IN:
            where, _, short = base.rpartition("/")
            types.append(f"{(where or package).removesuffix('/msg')}/msg/{short}")
    return types


def type_mismatch(node: Any, remedies: Mapping[str, str]) -> str:
    """The first topic of ``node`` that others use with another type ("" for none): DDS joins none of these.

    ``remedies``: what to set for a type.
    """
    own = {item.topic_name: type_name(item.msg_type) for item in (*node.publishers, *node.subscriptions)}
    sends = {item.topic_name for item in node.publishers}
    for topic, types in sorted(node.get_topic_names_and_types()):
        if topic not in own or set(types) <= {own[topic]}:
            continue
        ends = node.get_publishers_info_by_topic(topic), node.get_subscriptions_info_by_topic(topic)
        published, expected = ({end.topic_type for end in side} - {own[topic]} for side in ends)
        # Two that listen, or two that send, do not miss each other
        others = expected if topic in sends else published
        if others:
            other, verb = min(others), "expected" if topic in sends else "published"
            remedy = f" ({remedies[other]})" if other in remedies else ""
            return f"{topic} is {verb} as {other}, and {own[topic]} here{remedy}"
    return ""
