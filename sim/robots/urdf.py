"""Checks of a URDF before PyBullet reads it, whose parser ends the process or loads what cannot be driven.

Only what a robot's description relies on is checked; PyBullet builds the body.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

from nerfbot.files import read_file

from ..errors import InvalidRobot

Refuse = Callable[[str], Exception]

COMMANDED = ("revolute", "continuous", "prismatic")
"""Joint types with one degree of freedom, which a channel can command."""


def check_urdf(path: Path, robot: str, commanded: Mapping[str, str], rest: Mapping[str, float]) -> None:
    """Check the URDF at ``path`` of the robot called ``robot``.

    ``commanded``: joints that channels or a drive command, with the field that names each; ``rest``: joint
    positions at a reset, rad or m. Joints that the URDF lacks are left to the robot, which suggests others.

    Raises `InvalidRobot`, one line with the joint, link or file and the reason.
    """

    def refuse(text: str) -> InvalidRobot:
        return InvalidRobot(f"{robot}: urdf: {path.name}: {text}")

    root = robot_element(path, refuse)
    joints = {item.get("name", ""): item for item in root.findall("joint")}
    _check_tree(root, joints, refuse)
    for name, field in commanded.items():
        if name in joints:
            reason = undrivable(joints[name])
            if reason:
                raise refuse(f"joint {name!r} ({field}) {reason}")
    for name, position in rest.items():
        bounds = _bounds(joints[name]) if name in joints else None
        if bounds is not None and not bounds[0] - 1e-6 <= position <= bounds[1] + 1e-6:
            span = f"{bounds[0]:g} to {bounds[1]:g}"
            raise refuse(f"joint {name!r}: rest = {position:g} is outside its range {span}")
    for mesh in root.iter("mesh"):
        file = mesh.get("filename", "")
        if not _exists(path, file):
            raise refuse(f"mesh {file!r} does not exist")


def read_urdf(path: Path) -> Element:
    """The root element of a URDF. White space before the XML and zero bytes after it are ignored, as PyBullet
    does: some of its own robots have them.

    Raises `ParseError` or `OSError`.
    """
    return ElementTree.fromstring(read_file(path, OSError).strip(b"\0 \t\r\n"))


def robot_element(path: Path, refuse: Refuse, unreadable: str = "is no XML") -> Element:
    """The <robot> of a URDF; raises what ``refuse`` makes of the reason for a file that is none."""
    try:
        root = read_urdf(path)
    except (ElementTree.ParseError, OSError) as problem:
        raise refuse(f"{unreadable}: {problem}") from None
    if root.tag != "robot":
        raise refuse(f"its root element is <{root.tag}>, must be <robot>")
    if any("xacro" in str(item.tag) for item in root.iter()):
        raise refuse("is a xacro file; expand it first (xacro robot.urdf.xacro > robot.urdf)")
    return root


def _check_tree(root: Element, joints: Mapping[str, Element], refuse: Refuse) -> None:
    """Refuse names given twice, joints between links that are not there, and anything but one tree."""
    links = [item.get("name", "") for item in root.findall("link")]
    for kind, names in (("link", links), ("joint", [item.get("name", "") for item in root.findall("joint")])):
        twice = _repeated(names)
        if twice is not None:
            raise refuse(f"{kind} {twice!r} is given twice")
    parents: dict[str, str] = {}
    for name, joint in joints.items():
        ends = {}
        for end in ("parent", "child"):
            item = joint.find(end)
            ends[end] = "" if item is None else item.get("link", "")
            if ends[end] not in links:
                raise refuse(f"joint {name!r}: its {end} link {ends[end]!r} is not there")
        if ends["child"] in parents:
            raise refuse(f"link {ends['child']!r} is the child of two joints")
        parents[ends["child"]] = ends["parent"]
    roots = [link for link in links if link not in parents]
    if len(roots) != 1:
        found = " and ".join(map(repr, roots[:2])) or "none"
        raise refuse(f"needs one root link, got {len(roots)} ({found})")
    for link in links:
        visited = {link}
        while link in parents:
            link = parents[link]
            if link in visited:
                raise refuse(f"link {link!r} is its own ancestor")
            visited.add(link)


def undrivable(joint: Element) -> str:
    """Why a channel cannot command a joint; "" where it can."""
    kind = joint.get("type", "")
    if kind not in COMMANDED:
        return f"is {kind or 'of no type'}: only {', '.join(COMMANDED)} joints can be commanded"
    mimic = joint.find("mimic")
    if mimic is not None:
        return f"mimics {mimic.get('joint')!r}, which moves it: command that one"
    axis = joint.find("axis")
    vector = _numbers("1 0 0" if axis is None else axis.get("xyz", ""))
    if len(vector) != 3 or not all(map(math.isfinite, vector)) or not any(vector):
        return f"has the axis {'' if axis is None else axis.get('xyz')!r}, which points nowhere"
    limit = joint.find("limit")
    for field in ("lower", "upper", "effort", "velocity"):
        text = None if limit is None else limit.get(field)
        if text is not None and not all(map(math.isfinite, _numbers(text) or [math.nan])):
            return f"has the limit {field} = {text!r}, which is no number"
    return ""


def _bounds(joint: Element) -> tuple[float, float] | None:
    limit = joint.find("limit")
    if limit is None or joint.get("type") not in ("revolute", "prismatic"):
        return None
    low, high = (_numbers(limit.get(end, "0")) for end in ("lower", "upper"))
    return (low[0], high[0]) if low and high and low[0] < high[0] else None


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return []


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _exists(urdf: Path, file: str) -> bool:
    """Whether a mesh is found beside the URDF or in a folder above it, as PyBullet looks for it."""
    inside = file.removeprefix("package://").removeprefix("model://")
    places = [Path(inside)]
    if inside != file:  # a package may be a folder above, or the folder itself
        places.append(Path(*Path(inside).parts[1:]))
    return any((folder / place).is_file() for folder in urdf.parents for place in places)
