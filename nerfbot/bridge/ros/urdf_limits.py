"""Limits of an arm from the files that it comes with: URDF, `<ros2_control>` tags, `joint_limits.yaml`.

They become an envelope, a nerf file and the parameters of the chain. Where several files limit a joint, the
tightest counts; what no file states is never invented.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from nerfbot.declared import suggestion
from nerfbot.errors import InvalidSpec
from nerfbot.files import read_yaml
from nerfbot.hardware.ros.parameters import channels_of, envelope_of
from nerfbot.limits import ActuatorLimiter, NerfSpec
from nerfbot.limits.envelope import BOUNDS
from nerfbot.sim.robots.urdf import COMMANDED, robot_element

MODES = ("position", "velocity", "effort")
"""What a joint may be commanded by, the preferred one first."""

LIMITS = (
    *(f"{end}_{what}" for what in MODES for end in ("min", "max")),
    "max_acceleration",
    "max_deceleration",
)
"""Limits that are used, in ros2_control's spelling; rad or m, s, N·m or N."""

_SWITCHES = {f"has_{what}_limits": what for what in (*MODES, "acceleration", "deceleration", "jerk")}
_UNUSED = ("max_jerk", "angle_wraparound", "has_soft_limits", "k_position", "k_velocity")
_SOFT = {"soft_lower_limit": "min_position", "soft_upper_limit": "max_position"}


class Stated(NamedTuple):
    """A limit, and the file or tag that states it."""

    value: float
    source: str


@dataclass
class ImportedRobot:
    """The joints that can be commanded, with their limits; why others cannot; the command interfaces."""

    name: str
    joints: dict[str, dict[str, Stated]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    interfaces: dict[str, list[str]] = field(default_factory=dict)

    def tighten(self, joint: str, limit: str, value: float, source: str) -> None:
        """Add a limit; the tighter of two stays. Raises `InvalidSpec` for a number that is none."""
        if not math.isfinite(value):
            raise InvalidSpec(f"{source}: {joint}.{limit} = {value}: must be finite")
        before = self.joints[joint].get(limit)
        tighter = max if limit.startswith("min_") else min
        if before is None or tighter(before.value, value) != before.value:
            self.joints[joint][limit] = Stated(value, source)


def read_robot(urdf: Path, joint_limits: Path | None = None) -> ImportedRobot:
    """The joints and limits of a URDF and of a `joint_limits.yaml`, of MoveIt or of ros2_control.

    Raises `InvalidSpec`, one line with the file, the joint and the field.
    """
    root = robot_element(urdf, lambda text: InvalidSpec(f"{urdf}: {text}"), "is no URDF")
    robot = ImportedRobot(root.get("name") or urdf.stem)
    for joint in root.findall("joint"):
        _read_joint(joint, robot, urdf.name)
    for control in root.findall("ros2_control"):
        for joint in control.findall("joint"):
            _read_control(joint, robot, urdf.name)
    if joint_limits is not None:
        _read_joint_limits(joint_limits, robot)
    if not robot.joints:
        raise InvalidSpec(f"{urdf}: has no joint that can be commanded")
    return robot


def _read_joint(joint: Element, robot: ImportedRobot, file: str) -> None:
    name, kind = joint.get("name", ""), joint.get("type", "")
    mimic = joint.find("mimic")
    if kind not in COMMANDED or mimic is not None:
        robot.left_out[name] = f"is {kind}" if mimic is None else f"mimics {mimic.get('joint')}"
        return
    robot.joints[name] = {}
    limit, safety = joint.find("limit"), joint.find("safety_controller")
    if limit is not None:
        names = {"velocity": "max_velocity", "effort": "max_effort"}
        if kind != "continuous" and (limit.get("lower") is not None or limit.get("upper") is not None):
            # An end that is left out is 0
            low, high = (_number(limit.get(end, "0"), f"{file}: {name}: {end}") for end in ("lower", "upper"))
            robot.tighten(name, "min_position", low, f"{file} <limit>")
            robot.tighten(name, "max_position", high, f"{file} <limit>")
        for attribute, field_name in names.items():
            value = _number(limit.get(attribute, "0"), f"{file}: {name}: {attribute}")
            if value != 0.0:  # as exporters write what they do not know
                robot.tighten(name, field_name, value, f"{file} <limit>")
    if safety is not None and kind != "continuous":
        for attribute, field_name in _SOFT.items():
            if safety.get(attribute) is not None:
                value = _number(safety.get(attribute, ""), f"{file}: {name}: {attribute}")
                robot.tighten(name, field_name, value, f"{file} <safety_controller>")


def _read_control(joint: Element, robot: ImportedRobot, file: str) -> None:
    name = joint.get("name", "")
    interfaces = joint.findall("command_interface")
    if not interfaces or name in robot.left_out:
        return
    if name not in robot.joints:
        raise InvalidSpec(
            f"{file}: <ros2_control> joint {name!r}: is no joint{suggestion(name, robot.joints)}"
        )
    robot.interfaces[name] = [item.get("name", "") for item in interfaces]
    for interface in interfaces:
        what = interface.get("name", "")
        for parameter in interface.findall("param"):
            end = parameter.get("name", "")
            if end in ("min", "max") and f"{end}_{what}" in LIMITS:
                value = _number(parameter.text or "", f"{file}: <ros2_control> {name}: {what}.{end}")
                robot.tighten(name, f"{end}_{what}", value, f"{file} <ros2_control>")


def _read_joint_limits(path: Path, robot: ImportedRobot) -> None:
    data = read_yaml(path, InvalidSpec)
    while isinstance(data, Mapping) and "joint_limits" not in data and len(data) == 1:
        data = next(iter(data.values()))  # `/**: ros__parameters:` or the name of a node
    table = data.get("joint_limits") if isinstance(data, Mapping) else None
    if not isinstance(table, Mapping):
        raise InvalidSpec(f"{path}: must hold `joint_limits:` with the joints")
    for name, limits in table.items():
        place = f"{path.name}: joint_limits.{name}"
        if name in robot.left_out:
            continue
        if name not in robot.joints:
            raise InvalidSpec(f"{place}: the URDF has no such joint{suggestion(name, robot.joints)}")
        if not isinstance(limits, Mapping):
            raise InvalidSpec(f"{place}: must be a mapping of limits, got {limits!r}")
        for key, value in limits.items():
            if key in _SWITCHES and isinstance(value, bool):
                continue
            limit = _SOFT.get(key, key)
            if limit in _UNUSED:
                continue
            if limit not in LIMITS:
                raise InvalidSpec(
                    f"{place}.{key}: is unknown{suggestion(key, (*LIMITS, *_SWITCHES, *_SOFT))}"
                )
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InvalidSpec(f"{place}.{key} = {value!r}: must be a number")
            if limits.get(f"has_{limit.partition('_')[2]}_limits", True):
                robot.tighten(str(name), limit, float(value), path.name)


def chain_parameters(robot: ImportedRobot, joints: Sequence[str], mode: str) -> dict[str, Any]:
    """The parameters of the chain for these joints (none: all commanded) and this mode ("": its own).

    A missing deceleration is the acceleration, as in ros2_control. Limits that the chain cannot hold in this
    mode are left out. Raises `InvalidSpec` for an unknown joint,
    a mode that a joint's command interfaces lack, and the first limit that is missing or cannot be.
    """
    chosen = list(joints) or list(robot.interfaces or robot.joints)
    for name in chosen:
        if name not in robot.joints:
            why = robot.left_out.get(name, "")
            raise InvalidSpec(f"joint {name!r}: {why or f'is unknown{suggestion(name, robot.joints)}'}")
    offered = [[item for item in MODES if item in robot.interfaces.get(name, MODES)] for name in chosen]
    common = [item for item in MODES if all(item in modes for modes in offered)]
    if (mode and mode not in common) or not common:
        raise InvalidSpec(f"mode = {mode!r}: the joints can be commanded by {common or 'nothing in common'}")
    mode = mode or common[0]
    values: dict[str, Any] = {
        "command_type": "joint_trajectory" if mode == "position" else "float64_multi_array",
        "command_mode": mode,
        "use_odometry": False,
        "channels": chosen,
    }
    enforced = [limit for limit in LIMITS if _is_enforced(limit, mode)]
    for name in chosen:
        limits = {limit: stated.value for limit, stated in robot.joints[name].items()}
        if "max_acceleration" in limits:
            limits.setdefault("max_deceleration", limits["max_acceleration"])
        if mode == "position" and {"min_velocity", "max_velocity"} <= limits.keys():
            limits["max_velocity"] = min(limits["max_velocity"], -limits["min_velocity"])
        values |= {f"joint_limits.{name}.{limit}": limits[limit] for limit in enforced if limit in limits}
    envelope_of(values, channels_of(values))
    return values


def _is_enforced(limit: str, mode: str) -> bool:
    """Whether the limit bounds something in ``mode``."""
    return mode != "effort" if limit == "max_deceleration" else limit in BOUNDS[mode]


def nerf_of(values: Mapping[str, Any], name: str, share: float) -> dict[str, Any]:
    """A nerf file of the chain's parameters: speed and acceleration at a ``share`` of what the robot can do.

    On joints commanded by effort, the effort. Raises `InvalidSpec` where the chain would refuse it.
    """
    if not 0.0 < share <= 1.0:
        raise InvalidSpec(f"share = {share:g}: must be above 0 and at most 1")
    fields = {"effort": "max_effort"} if values["command_mode"] == "effort" else {}
    fields = fields or {"velocity": "max_velocity", "acceleration": "max_acceleration"}
    envelope = envelope_of(values, channels_of(values))
    channels = {
        joint: {
            limit: {"nerfed": float(f"{share * values[key]:.6g}"), "lifted": values[key]}
            for limit, hard in fields.items()
            if (key := f"joint_limits.{joint}.{hard}") in values
        }
        for joint in values["channels"]
    }
    spec = {
        "name": name,
        "description": f"{share:g} of what {name.removesuffix('-nerf')} can do",
        "envelope": envelope.model_dump(exclude_none=True),
        "channels": channels,
    }
    ActuatorLimiter(NerfSpec.parse(spec), channels_of(values))
    return spec


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidSpec(f"{place} = {text!r}: is no number") from None
