"""The bring-up plan: which nodes, in which order, with which parameters, as plain data.

`nerfbot bringup` runs it with `bringup_runner`; the launch files pass the same data to the ROS 2 launch
system. Nothing here starts a process or needs ROS.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import yaml

from nerfbot.course import load_course
from nerfbot.declared import suggestion
from nerfbot.files import read_yaml
from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.ros.parameters import COMMANDS, envelope_parameters
from nerfbot.limits import AXES, NerfSpec
from nerfbot.sim.robots.description import TWIST, RobotDescription
from nerfbot.sim.scripted.nerf_check import scripted

from . import NODES

NumberT = TypeVar("NumberT", int, float)


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
    Argument(
        "backstop", "", "hardware: what stops joints when the gate dies; empty: no lifts. A base shows it"
    ),
)
"""The arguments of every bring-up and of the launch files."""

KINDS = ("sim", "hardware", "hil")

TRUSTED, UNTRUSTED = 20, 10
"""Requested real-time priorities: the gate and the supervisor run before the nerf, all before policies."""


@dataclass(frozen=True)
class NodePlan:
    """One node: its name, module and parameters, and what happens when it ends by itself.

    ``restarts``: how often it is started again. ``essential``: after the last time, everything ends.
    """

    name: str
    module: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    restarts: int = 0
    essential: bool = True


@dataclass(frozen=True)
class BringupPlan:
    """Nodes in the order of their start; they are stopped in reverse."""

    nodes: tuple[NodePlan, ...]
    namespace: str
    run_folder: Path
    sockets: Path
    params_file: Path | None

    def prepare(self) -> None:
        """Create the folders, and write the supervisor's socket into the run folder."""
        self.run_folder.mkdir(parents=True, exist_ok=True)
        self.sockets.mkdir(mode=0o700)  # this user's alone
        self.pointer.write_text(f"{self.supervisor}\n")

    def clear(self) -> None:
        """Remove the sockets and the pointer to them; the run folder stays."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        self.pointer.unlink(missing_ok=True)

    def arguments(self, node: NodePlan, parameters: Path) -> list[str]:
        """The arguments of `python` that run `node` with its parameters in the file `parameters`."""
        arguments = ["-m", node.module, "--ros-args", "--params-file", str(parameters)]
        if self.params_file is not None:
            # Before ours: no file may change what the bring-up decides (sockets, seeds)
            arguments[3:3] = ["--params-file", str(self.params_file)]
        if self.namespace:
            arguments += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        return arguments

    def write(self, node: NodePlan) -> Path:
        """Write a node's parameters in ROS 2's form and return the path."""
        path = self.run_folder / "params" / f"{node.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(node.parameters)}}))
        return path

    @property
    def pointer(self) -> Path:
        """The file in the run folder that holds the path of `supervisor` while it runs."""
        return self.run_folder / "supervisor.path"

    @property
    def supervisor(self) -> Path:
        """The supervisor's socket for requests."""
        return self.sockets / "supervisor"


def make_plan(kind: str, given: Mapping[str, str]) -> BringupPlan:
    """The plan of a bring-up `kind` (sim, hardware, hil) with the arguments `given`, as text.

    Simulation runs by simulated time; `hil` has the simulated robot under the hardware's clocks. On hardware,
    the envelope comes from the parameter file. Raises `InvalidSetup`, or what courses and specifications
    raise, in one line.
    """
    if kind not in KINDS:
        raise InvalidSetup(f"bringup: {kind!r} is unknown{suggestion(kind, KINDS)}")
    values = {item.name: item.default for item in ARGUMENTS}
    for name in given:
        if name not in values:
            raise InvalidSetup(f"argument {name}: is unknown{suggestion(name, list(values))}")
    values |= given
    on_hardware = kind == "hardware"
    course = load_course(values["course"])
    robot = RobotDescription.load(values["robot"])
    values["nerf"] = values["nerf"] or f"{robot.name}-weak"
    NerfSpec.load(values["nerf"])
    if not on_hardware and values["policy"] == "scripted":
        scripted(robot, course, lambda: np.zeros(len(AXES)))
    folder = Path(values["run_folder"] or f"runs/bringup-{secrets.token_hex(3)}").absolute()
    sockets = Path(tempfile.gettempdir(), f"nerfbot-{secrets.token_hex(4)}")  # a socket's path is short
    params = Path(values["params_file"]).absolute() if values["params_file"] else None
    names = {name: values[name] for name in ("course", "robot")}
    seed = _number(values, "seed", int)
    common: dict[str, Any] = {"supervisor_socket": str(sockets / "supervisor"), "use_sim_time": kind == "sim"}
    if kind == "sim":
        common["limiter_clock"] = "stamp"
    commands: dict[str, Any] = {} if on_hardware else commands_of(robot)
    commands |= _only(file_values(params), ("command_type", "channels", "command_mode"))
    common |= commands
    if not on_hardware:
        common["cmd_vel_timeout"] = 0.2

    nodes = []
    if _flag(values, "record"):
        record = {**_only(common, ("use_sim_time", "command_type")), "file": str(folder / "recording.mcap")}
        record["resume"] = True
        nodes.append(NodePlan("recorder", NODES["recorder"], record, restarts=2, essential=False))
    if not on_hardware:
        plant = {
            **_only(common, ("command_type", "supervisor_socket")),
            **names,
            "publish_clock": kind == "sim",
            "seed": seed,
            "real_time_factor": _number(values, "real_time_factor", float),
            "cmd_vel_timeout": 0.2,
        }
        nodes.append(NodePlan("plant", NODES["plant"], plant))
    supervisor = {
        **_only(common, ("use_sim_time", "supervisor_socket")),
        **commands,
        "permit_sockets": [str(sockets / "permit.gate"), str(sockets / "permit.nerf")],
        "gate_socket": str(sockets / "permit.gate"),
        "state_folder": str(folder),
        "course": values["course"],
        "origin_at_start": not on_hardware,
        "priority": TRUSTED,
        "drift": 0.02 if on_hardware else 0.005,
        "prove_backstop": on_hardware and commands.get("command_type", "twist_stamped").startswith("twist"),
        "backstop": values["backstop"] if on_hardware else "the simulated robot's cmd_vel_timeout",
    }
    nodes.append(NodePlan("supervisor", NODES["supervisor"], supervisor))
    gate = {**common, "permit_socket": str(sockets / "permit.gate"), "priority": TRUSTED}
    nodes.append(NodePlan("gate", NODES["gate"], gate))
    nerf = {
        **common,
        "permit_socket": str(sockets / "permit.nerf"),
        "nerf": values["nerf"],
        "seed": seed,
        "allow": [name.strip() for name in values["allow"].split(",")],
        "effort_limit": not on_hardware,
        "priority": UNTRUSTED,
    }
    nodes.append(NodePlan("nerf", NODES["nerf"], nerf, restarts=2))
    if values["policy"] != "none":
        policy = {
            **_only(common, ("use_sim_time", *COMMANDS, "supervisor_socket")),
            **names,
            "policy": values["policy"],
            "leases": _flag(values, "leases"),
            "trigger": "odom" if kind == "sim" else "timer",
        }
        nodes.append(NodePlan("policy", NODES["policy"], policy, restarts=2, essential=False))
    return BringupPlan(tuple(nodes), values["namespace"], folder, sockets, params)


def commands_of(robot: RobotDescription) -> dict[str, Any]:
    """The parameters of the chain for a simulated robot: how it is commanded, and its envelope.

    Raises `InvalidSetup` where it declares no envelope, or its joints are commanded in more than one mode.
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


def file_values(path: Path | None) -> dict[str, Any]:
    """The parameters for all nodes in a parameter file; {} for none. Raises `InvalidSetup`."""
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


def _number(values: Mapping[str, str], name: str, kind: type[NumberT]) -> NumberT:
    try:
        return kind(values[name])
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise InvalidSetup(f"argument {name} = {values[name]!r}: must be {what}") from None
