"""The bring-up plan: which nodes, in which order, with which parameters, as plain data.

`nerfbot bringup` runs it by `runner`; the launch files hand the same data to the ROS 2 launch system. Nothing
here starts anything, and nothing needs ROS.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from nerfbot.course import Course
from nerfbot.declared import suggestion
from nerfbot.files import read_yaml
from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.ros.parameters import envelope_parameters
from nerfbot.limits import AXES, NerfSpec
from nerfbot.sim.robots.description import TWIST, RobotDescription
from nerfbot.sim.scripted.nerf_check import scripted


class Argument(NamedTuple):
    """One argument of a bring-up: its default as text, and what it is."""

    name: str
    default: str
    about: str


ARGUMENTS: tuple[Argument, ...] = (
    Argument("course", "gauntlet", "course: its lift zones allow leases, and in simulation it is built"),
    Argument("robot", "rover", "simulation: the robot's name or the path of its description"),
    Argument("nerf", "", "preset or path of the specification; empty: ROBOT-weak"),
    Argument("policy", "scripted", "scripted, the folder of a saved policy, or none"),
    Argument("namespace", "", "ROS namespace of all nodes"),
    Argument("params_file", "", "parameter file in ROS 2's form: the envelope, the timings"),
    Argument("run_folder", "", "where state, log and recording go; empty: runs/bringup-<number>"),
    Argument("record", "true", "whether to record an MCAP file"),
    Argument("leases", "true", "whether the policy asks for leases"),
    Argument("seed", "0", "of everything random"),
    Argument("real_time_factor", "1.0", "simulation only: simulated by real seconds; 0: as fast as it goes"),
    Argument("allow", "", "limits that may stay unenforced, by name, separated by commas"),
    Argument("backstop", "", "hardware: what stops the robot when the gate dies; empty: no lifts"),
)
"""What every bring-up takes; `--show-args` of the launch files shows the same."""

KINDS = ("sim", "hardware", "hil")

_COMMANDS = ("command_type", "channels", "command_mode", "use_odometry")

TRUSTED, UNTRUSTED = 20, 10
"""Real-time priorities asked for: the gate and the supervisor run before the nerf, all before policies."""


@dataclass(frozen=True)
class NodePlan:
    """One node: its name, module, parameters, and what becomes of the rest when it ends.

    ``restarts``: how often it is started again when it ends by itself. ``essential``: when it has ended for
    good, everything ends.
    """

    name: str
    module: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    restarts: int = 0
    essential: bool = True


@dataclass(frozen=True)
class Plan:
    """Nodes in the order of their start; they are stopped in the opposite one."""

    nodes: tuple[NodePlan, ...]
    namespace: str
    run_folder: Path
    sockets: Path
    params_file: Path | None

    def prepare(self) -> None:
        """Make the folders, and leave a note of where the supervisor is asked."""
        self.run_folder.mkdir(parents=True, exist_ok=True)
        self.sockets.mkdir(mode=0o700)  # this user's alone
        self.pointer.write_text(f"{self.supervisor}\n")

    def clear(self) -> None:
        """Remove the sockets and the note; the run folder stays."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        self.pointer.unlink(missing_ok=True)

    def arguments(self, node: NodePlan, parameters: Path) -> list[str]:
        """The words after `python` that run `node` with its parameters written to `parameters`."""
        words = ["-m", node.module, "--ros-args", "--params-file", str(parameters)]
        if self.params_file is not None:
            # Before ours: what the bring-up decides (sockets, seeds) is not for a file to change
            words[3:3] = ["--params-file", str(self.params_file)]
        if self.namespace:
            words += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        return words

    def write(self, node: NodePlan) -> Path:
        """Write a node's parameters in ROS 2's form and return the path."""
        path = self.run_folder / "params" / f"{node.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(node.parameters)}}))
        return path

    @property
    def pointer(self) -> Path:
        """The note in the run folder that says where the supervisor is asked, while it runs."""
        return self.run_folder / "supervisor.path"

    @property
    def supervisor(self) -> Path:
        """Where the supervisor is asked."""
        return self.sockets / "supervisor"


def defaults() -> dict[str, str]:
    """Every argument's default."""
    return {item.name: item.default for item in ARGUMENTS}


def make(kind: str, given: Mapping[str, str]) -> Plan:
    """The plan of a bring-up `kind` (sim, hardware, hil) with the arguments `given`, as text.

    Raises `InvalidSetup`, or what courses and specifications raise, in one line.
    """
    if kind not in KINDS:
        raise InvalidSetup(f"bringup: {kind!r} is unknown{suggestion(kind, KINDS)}")
    values = defaults()
    for name, value in given.items():
        if name not in values:
            raise InvalidSetup(f"argument {name}: is unknown{suggestion(name, list(values))}")
        values[name] = value
    course = Course.load(values["course"])
    robot = RobotDescription.load(values["robot"])
    values["nerf"] = values["nerf"] or f"{robot.name}-weak"
    NerfSpec.load(values["nerf"])
    if kind != "hardware" and values["policy"] == "scripted":
        scripted(robot, course, lambda: np.zeros(len(AXES)))
    folder = Path(values["run_folder"] or f"runs/bringup-{secrets.token_hex(3)}").absolute()
    sockets = Path(tempfile.gettempdir(), f"nerfbot-{secrets.token_hex(4)}")  # a socket's path is short
    params = Path(values["params_file"]).absolute() if values["params_file"] else None
    from_file = file_values(params)
    simulated = kind == "sim"
    common = _common(kind, sockets, from_file, robot)
    nodes = [
        NodePlan(
            "supervisor",
            "nerfbot.hardware.ros.supervisor_node",
            _supervisor(values, common, folder, sockets, kind),
        ),
        NodePlan(
            "gate",
            "nerfbot.hardware.ros.gate_node",
            {**common, "permit_socket": str(sockets / "permit.gate"), "priority": TRUSTED},
        ),
    ]
    if kind != "hardware":
        plant = {
            **_only(common, ("command_type", "supervisor_socket")),
            "publish_clock": simulated,
            "course": values["course"],
            "robot": values["robot"],
            "seed": _whole(values, "seed"),
            "real_time_factor": _number(values, "real_time_factor"),
            "cmd_vel_timeout": 0.2,
        }
        nodes.insert(0, NodePlan("plant", "nerfbot.bridge.ros.plant_node", plant))
    nodes.append(
        NodePlan("nerf", "nerfbot.hardware.ros.nerf_node", _nerf(values, common, sockets, kind), restarts=2)
    )
    if _flag(values, "record"):
        record = {
            **_only(common, ("use_sim_time", "command_type")),
            "file": str(folder / "recording.mcap"),
        }
        nodes.insert(0, NodePlan("recorder", "nerfbot.hardware.ros.recorder_node", record, essential=False))
    if values["policy"] != "none":
        policy = {
            **_only(common, ("use_sim_time", *_COMMANDS, "supervisor_socket")),
            "course": values["course"],
            "robot": values["robot"],
            "policy": values["policy"],
            "leases": _flag(values, "leases"),
            "trigger": "odom" if simulated else "timer",
        }
        nodes.append(
            NodePlan("policy", "nerfbot.bridge.ros.policy_node", policy, restarts=2, essential=False)
        )
    return Plan(tuple(nodes), values["namespace"], folder, sockets, params)


def _common(
    kind: str, sockets: Path, from_file: Mapping[str, Any], robot: RobotDescription
) -> dict[str, Any]:
    """What the chain's nodes share. On hardware, the envelope comes from the parameter file.

    Simulation runs by simulated time; `hil` has the simulated robot under the hardware's clocks.
    """
    common: dict[str, Any] = {"supervisor_socket": str(sockets / "supervisor"), "use_sim_time": kind == "sim"}
    if kind == "sim":
        common |= {"limiter_clock": "stamp"}
    if kind != "hardware":
        common |= {"cmd_vel_timeout": 0.2, **commands_of(robot)}
    for name in ("command_type", "channels", "command_mode"):
        if name in from_file:
            common[name] = from_file[name]
    return common


def commands_of(robot: RobotDescription) -> dict[str, Any]:
    """The parameters of a chain for a simulated robot: twists or joint trajectories, and its envelope.

    Raises `InvalidSetup` where it states no envelope, or its joints are commanded in more than one way.
    """
    names = [row.name for row in robot.channels]
    modes = sorted({row.mode for row in robot.channels})
    if robot.envelope is None:
        raise InvalidSetup(f"robot {robot.name}: envelope: is required")
    if len(modes) > 1:
        raise InvalidSetup(f"robot {robot.name}: channels: one message holds one mode, got {modes}")
    drives = names[0] in TWIST
    return {
        "command_type": "twist_stamped" if drives else "joint_trajectory",
        "channels": names,
        "command_mode": modes[0],
        "use_odometry": drives,
        **envelope_parameters(robot.envelope, names),
    }


def _nerf(values: Mapping[str, str], common: Mapping[str, Any], sockets: Path, kind: str) -> dict[str, Any]:
    return {
        **common,
        "permit_socket": str(sockets / "permit.nerf"),
        "nerf": values["nerf"],
        "seed": _whole(values, "seed"),
        "allow": [name.strip() for name in values["allow"].split(",")],
        "effort_limit": kind != "hardware",
        "priority": UNTRUSTED,
    }


def _supervisor(
    values: Mapping[str, str], common: Mapping[str, Any], folder: Path, sockets: Path, kind: str
) -> dict[str, Any]:
    return {
        **_only(common, ("use_sim_time", *_COMMANDS, "supervisor_socket")),
        "permit_sockets": [str(sockets / "permit.gate"), str(sockets / "permit.nerf")],
        "state_folder": str(folder),
        "course": values["course"],
        "origin_at_start": kind != "hardware",
        "priority": TRUSTED,
        "drift": 0.02 if kind == "hardware" else 0.005,
        "backstop": values["backstop"] if kind == "hardware" else "the simulated robot's cmd_vel_timeout",
    }


def file_values(path: Path | None) -> dict[str, Any]:
    """Parameters for all nodes in a parameter file: the launch needs to know the command's type."""
    if path is None:
        return {}
    data = read_yaml(path, InvalidSetup)
    try:
        return dict(data["/**"]["ros__parameters"])
    except (TypeError, KeyError):
        raise InvalidSetup(f"{path}: must hold `/**: ros__parameters:`") from None


def _only(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _flag(values: Mapping[str, str], name: str) -> bool:
    if values[name] not in ("true", "false"):
        raise InvalidSetup(f"argument {name} = {values[name]!r}: must be true or false")
    return values[name] == "true"


def _whole(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values[name])
    except ValueError:
        raise InvalidSetup(f"argument {name} = {values[name]!r}: must be a whole number") from None


def _number(values: Mapping[str, str], name: str) -> float:
    try:
        return float(values[name])
    except ValueError:
        raise InvalidSetup(f"argument {name} = {values[name]!r}: must be a number") from None
