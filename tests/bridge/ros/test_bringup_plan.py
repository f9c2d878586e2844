"""The bring-up plan is data: its order, its arguments, its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nerfbot.bridge.ros.bringup_plan import ARGUMENTS, make_plan
from nerfbot.errors import NerfbotError
from nerfbot.hardware.ros.parameters import COMMON, channels_of, envelope_of
from nerfbot.sim.robots.description import RobotDescription

LAUNCH = Path(__file__).parents[3] / "launch"


def names(kind: str, **given: str) -> list[str]:
    return [node.name for node in make_plan(kind, given).nodes]


def test_the_supervisor_and_the_gate_come_before_who_commands() -> None:
    assert names("sim") == ["recorder", "plant", "supervisor", "gate", "nerf", "policy"]
    assert names("hardware") == ["recorder", "supervisor", "gate", "nerf", "policy"]
    assert names("hil", record="false", policy="none") == ["plant", "supervisor", "gate", "nerf"]


def test_only_simulation_runs_by_simulated_time() -> None:
    for kind, simulated in (("sim", True), ("hardware", False), ("hil", False)):
        for node in make_plan(kind, {}).nodes:
            assert node.parameters.get("limiter_clock", "steady") == (
                "stamp" if simulated and node.name in ("gate", "nerf") else "steady"
            )
            if node.name != "plant":
                assert node.parameters["use_sim_time"] is simulated


def test_hardware_has_no_backstop_unless_it_is_named() -> None:
    (supervisor,) = [node for node in make_plan("hardware", {}).nodes if node.name == "supervisor"]
    assert supervisor.parameters["backstop"] == ""


def test_what_the_bring_up_decides_stands_after_a_parameter_file(tmp_path: Path) -> None:
    file = LAUNCH / "params" / "turtlebot3.yaml"
    plan = make_plan(
        "hardware", {"params_file": str(file), "run_folder": str(tmp_path), "namespace": "robot1"}
    )
    node = plan.nodes[1]
    arguments = plan.arguments(node, plan.write(node))
    files = [arguments[k + 1] for k, item in enumerate(arguments) if item == "--params-file"]
    assert files == [str(file), str(tmp_path / "params" / f"{node.name}.yaml")]
    assert arguments[-1] == "__ns:=/robot1"
    written = yaml.safe_load(Path(files[-1]).read_text())
    assert written["/**"]["ros__parameters"] == dict(node.parameters)


@pytest.mark.parametrize("robot", ["rover", "racecar", "a1", "panda"])
def test_a_simulated_robot_s_chain_has_its_channels_and_its_envelope(robot: str) -> None:
    description = RobotDescription.load(robot)
    policy = "none" if robot == "panda" else "scripted"
    nodes = {node.name: node for node in make_plan("sim", {"robot": robot, "policy": policy}).nodes}
    assert nodes["plant"].parameters["robot"] == robot
    assert nodes["nerf"].parameters["nerf"] == f"{robot}-weak"
    for name in ("gate", "nerf"):
        values = {item.name: item.default for item in COMMON} | dict(nodes[name].parameters)
        channels = channels_of(values)
        theirs = [row.channel() for row in description.channels]
        assert [(c.name, c.mode, c.unit) for c in channels] == [(c.name, c.mode, c.unit) for c in theirs]
        envelope = envelope_of(values, channels)
        assert description.envelope is not None
        for channel in channels:
            assert envelope.channel(channel) == description.envelope.channel(channel)


@pytest.mark.parametrize(
    ("kind", "given", "named"),
    [
        ("simm", {}, "did you mean 'sim'"),
        ("sim", {"corse": "x"}, "did you mean 'course'"),
        ("sim", {"course": "gauntlte"}, "gauntlte"),
        ("sim", {"nerf": "rover-week"}, "rover-weak"),
        ("sim", {"robot": "rovre"}, "rover"),
        ("sim", {"robot": "panda"}, "panda: no scripted driver"),
        ("sim", {"record": "yes"}, "record = 'yes'"),
        ("sim", {"seed": "one"}, "seed = 'one'"),
        ("sim", {"real_time_factor": "fast"}, "real_time_factor = 'fast'"),
        ("hardware", {"params_file": "/nowhere.yaml"}, "/nowhere.yaml"),
    ],
)
def test_an_argument_that_is_none_is_named(kind: str, given: dict[str, str], named: str) -> None:
    with pytest.raises(NerfbotError, match=named):
        make_plan(kind, given)


@pytest.mark.parametrize("file", sorted(path.name for path in LAUNCH.glob("*.launch.py")))
def test_each_launch_file_is_a_view_of_a_plan_with_its_arguments(file: str) -> None:
    pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS 2 distribution")
    scope: dict = {}
    exec((LAUNCH / file).read_text(), scope)
    description = scope["generate_launch_description"]()
    shown = {argument.name: argument.description for argument in description.get_launch_arguments()}
    assert shown == {item.name: item.about for item in ARGUMENTS}
