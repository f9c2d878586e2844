"""ROS 2 message types by name: their classes, and their definitions as a recording needs them."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from ..errors import InvalidSetup

_BREAK = "\n" + "=" * 80 + "\n"
_PLAIN = {
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("bool", "byte", "char", "float32", "float64", "string", "wstring"),
}


def message_class(name: str) -> Any:
    """The class of `geometry_msgs/msg/Twist`. Raises `InvalidSetup` for a name that is none."""
    try:
        package, kind, short = name.split("/")
        return getattr(importlib.import_module(f"{package}.{kind}"), short)
    except (ValueError, ImportError, AttributeError):
        raise InvalidSetup(f"message type {name!r}: is not installed, or no name like pkg/msg/Name") from None


def definition(name: str) -> str:
    """The definition of a message with those of all that it contains, as MCAP's `ros2msg` has it.

    Raises `InvalidSetup` where the definitions are not installed.
    """
    texts: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        if current in texts:
            continue
        texts[current] = _text(current)
        waiting += _contained(texts[current], current.split("/")[0])
    first, *rest = texts
    parts = [texts[first]]
    for other in rest:
        package, _, short = other.split("/")
        parts.append(f"MSG: {package}/{short}\n{texts[other]}")
    return _BREAK.join(parts)


def _text(name: str) -> str:
    package, kind, short = name.split("/")
    roots = [root for root in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if root]
    for root in (*roots, sys.prefix):
        path = Path(root) / "share" / package / kind / f"{short}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise InvalidSetup(f"message type {name!r}: its definition is not installed")


def _contained(text: str, package: str) -> list[str]:
    found = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2:
            continue
        base = re.sub(r"(\[.*\])?$", "", words[0])
        base = re.sub(r"<=\d+$", "", base)
        if base in _PLAIN:
            continue
        where, _, short = base.rpartition("/")
        found.append(f"{(where or package).removesuffix('/msg')}/msg/{short}")
    return found
