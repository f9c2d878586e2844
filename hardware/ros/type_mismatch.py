"""Finds topics that others use with another message type: DDS joins none of these, and says nothing."""

from __future__ import annotations

from typing import Any

from .command_messages import COMMAND_TYPES
from .message_types import type_name


def type_mismatch(node: Any) -> str:
    """The first topic of ``node`` that somebody uses with another type, and what to set; "" for none."""
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
            names = [name for name, kind in COMMAND_TYPES.items() if kind.type_name == other]
            remedy = f" (command_type: {names[0]})" if names else ""
            return f"{topic} is {verb} as {other}, and {own[topic]} here{remedy}"
    return ""
