"""Limits of an arm's own files: the tightest counts, none is invented, mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from nerfbot.bridge.ros.urdf_limits import chain_parameters, nerf_of, read_robot
from nerfbot.cli import main
from nerfbot.errors import InvalidSpec
from nerfbot.hardware.ros.parameters import channels_of, envelope_of
from nerfbot.limits import NerfSpec

URDF = """<robot name="arm">
  <joint name="shoulder" type="revolute">
    <limit lower="-3.0" upper="3.0" velocity="2.0" effort="40"/>
    <safety_controller soft_lower_limit="-2.5" soft_upper_limit="2.9" k_velocity="1"/>
  </joint>
  <joint name="elbow" type="revolute"><limit lower="-2.0" upper="2.0" velocity="3.0" effort="0"/></joint>
  <joint name="wheel" type="continuous"><limit velocity="9.0" effort="5.0"/></joint>
  <joint name="finger" type="prismatic"><mimic joint="elbow"/><limit lower="0" upper="0.04"/></joint>
  <joint name="base" type="fixed"/>
  {control}
</robot>"""
XACRO = '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:include filename="x"/></robot>'
CONTROL = """<ros2_control name="x" type="system">
  <joint name="shoulder">
    <command_interface name="position">
      <param name="min">-2.0</param><param name="max">2.95</param>
    </command_interface>
    <command_interface name="velocity">
      <param name="min">-1.5</param><param name="max">1.5</param>
    </command_interface>
  </joint>
  <joint name="elbow"><command_interface name="position"/></joint>
  <joint name="wheel"><state_interface name="velocity"/></joint>
</ros2_control>"""
LIMITS = {
    "shoulder": {
        "has_velocity_limits": True,
        "max_velocity": 1.0,
        "has_acceleration_limits": True,
        "max_acceleration": 4.0,
        "has_jerk_limits": True,
        "max_jerk": 50.0,
    },
    "elbow": {
        "has_velocity_limits": False,
        "max_velocity": 0.1,
        "max_acceleration": 5.0,
        "max_deceleration": 8.0,
    },
}


def with_velocity(text: str) -> str:
    return URDF.replace('"2.0" effort="40"', f'"{text}" effort="40"')


def files(folder: Path, control: str = CONTROL, limits: Any = None, urdf: str = URDF) -> tuple[Path, Path]:
    (folder / "arm.urdf").write_text(urdf.replace("{control}", control))
    table = {"joint_limits": LIMITS if limits is None else limits}
    (folder / "joint_limits.yaml").write_text(yaml.safe_dump(table))
    return folder / "arm.urdf", folder / "joint_limits.yaml"


def test_the_tightest_of_all_files_counts_with_its_source(tmp_path: Path) -> None:
    robot = read_robot(*files(tmp_path))
    values = chain_parameters(robot, (), "")
    assert values["channels"] == ["shoulder", "elbow"]
    assert values["command_mode"] == "position"
    stated = {limit: (item.value, item.source) for limit, item in robot.joints["shoulder"].items()}
    assert stated == {
        "min_position": (-2.0, "arm.urdf <ros2_control>"),
        "max_position": (2.9, "arm.urdf <safety_controller>"),
        "min_velocity": (-1.5, "arm.urdf <ros2_control>"),
        "max_velocity": (1.0, "joint_limits.yaml"),
        "max_acceleration": (4.0, "joint_limits.yaml"),
        "max_effort": (40.0, "arm.urdf <limit>"),
    }
    assert values["joint_limits.elbow.max_velocity"] == 3.0  # switched off in joint_limits.yaml
    assert "joint_limits.elbow.max_effort" not in values  # 0 states none
    assert values["joint_limits.shoulder.max_deceleration"] == 4.0
    assert values["joint_limits.elbow.max_deceleration"] == 8.0
    assert robot.left_out == {"finger": "mimics elbow", "base": "is fixed"}


@pytest.mark.parametrize("nested", [{"/**": {"ros__parameters": None}}, {"controller_manager": None}])
def test_a_parameter_file_of_ros2_control_is_read_too(tmp_path: Path, nested: Any) -> None:
    urdf, limits = files(tmp_path)
    data = {"joint_limits": LIMITS}
    for key, inner in reversed([(key, inner) for key, inner in nested.items()]):
        data = {key: {"ros__parameters": data} if inner else data}
    limits.write_text(yaml.safe_dump(data))
    assert read_robot(urdf, limits).joints["shoulder"]["max_velocity"].value == 1.0


def test_without_ros2_control_every_joint_that_can_be_driven_is_chosen_or_those_named(tmp_path: Path) -> None:
    robot = read_robot(*files(tmp_path, control=""))
    with pytest.raises(InvalidSpec, match=r"joint_limits\.wheel\.min_position: is required"):
        chain_parameters(robot, (), "")
    assert chain_parameters(robot, ["elbow"], "")["channels"] == ["elbow"]


def test_the_nerf_is_a_share_within_the_envelope_and_loads(tmp_path: Path) -> None:
    values = chain_parameters(read_robot(*files(tmp_path)), (), "")
    spec = NerfSpec.parse(nerf_of(values, "arm-nerf", 0.25))
    shoulder = spec.channel("shoulder")
    assert shoulder.velocity is not None
    assert (shoulder.velocity.nerfed, shoulder.velocity.lifted) == (0.25, 1.0)
    assert shoulder.acceleration is not None
    assert shoulder.acceleration.nerfed == 1.0
    assert spec.envelope == envelope_of(values, channels_of(values))


def test_joints_commanded_by_effort_are_nerfed_in_effort(tmp_path: Path) -> None:
    control = '<ros2_control><joint name="wheel"><command_interface name="effort"/></joint></ros2_control>'
    robot = read_robot(files(tmp_path, control=control)[0])
    robot.tighten("wheel", "max_acceleration", 3.0, "test")
    values = chain_parameters(robot, (), "")
    assert (values["command_mode"], values["command_type"]) == ("effort", "float64_multi_array")
    assert nerf_of(values, "x", 0.5)["channels"] == {"wheel": {"effort": {"nerfed": 2.5, "lifted": 5.0}}}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"urdf": "<robot"}, "is no URDF"),
        ({"urdf": "<model/>"}, "must be <robot>"),
        (
            {"urdf": '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:a/></robot>'},
            "is a xacro file",
        ),
        ({"urdf": "<robot/>", "limits": {}}, "no joint that can be commanded"),
        (
            {"urdf": with_velocity("fast")},
            "velocity = 'fast': is no number",
        ),
        (
            {"urdf": with_velocity("nan")},
            "max_velocity = nan: must be finite",
        ),
        (
            {"urdf": with_velocity("-2.0")},
            "max_velocity = -2: must be above 0",
        ),
        ({"control": CONTROL.replace('"elbow"', '"elbw"')}, "did you mean 'elbow'"),
        ({"control": CONTROL.replace("2.95", "-2.2")}, "min_position"),
        ({"limits": {"elbw": {}}}, "did you mean 'elbow'"),
        ({"limits": {"elbow": {"max_velocty": 1.0}}}, "did you mean 'max_velocity'"),
        ({"limits": {"elbow": {"max_velocity": "1"}}}, "elbow.max_velocity = '1': must be a number"),
        ({"limits": {"elbow": 1.0}}, "must be a mapping of limits"),
        ({"limits": []}, "must hold `joint_limits:`"),
        ({"limits": {"elbow": {"max_acceleration": 1.0}}}, "shoulder.max_acceleration: is required"),
    ],
)
def test_a_mistake_in_the_files_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        chain_parameters(read_robot(*files(tmp_path, **change)), (), "")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("joints", "mode", "named"),
    [
        (["elbw"], "", "did you mean 'elbow'"),
        (["finger"], "", "mimics elbow"),
        ([], "velocity", "can be commanded by"),
    ],
)
def test_a_choice_that_cannot_be_is_named(tmp_path: Path, joints: list[str], mode: str, named: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        chain_parameters(read_robot(*files(tmp_path)), joints, mode)
    assert named in str(caught.value)


def test_the_command_writes_files_that_the_chain_takes(tmp_path: Path, capsys: Any) -> None:
    urdf, limits = files(tmp_path)
    nerf, params = tmp_path / "nerf.yaml", tmp_path / "robot.yaml"
    command = ["nerf", "from-urdf", str(urdf), "--joint-limits", str(limits)]
    assert main([*command, "--out", str(nerf), "--params", str(params)]) == 0
    assert "joint_limits.yaml" in capsys.readouterr().out
    values = yaml.safe_load(params.read_text())["/**"]["ros__parameters"]
    channels = channels_of(values)
    NerfSpec.load(nerf).check_envelope(channels, envelope_of(values, channels))
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == values
    assert main([*command, "--share", "2"]) == 2
    assert "share = 2" in capsys.readouterr().err
    assert main(["nerf", "from-urdf", str(urdf)]) == 2
    assert "joint_limits.shoulder.max_acceleration: is required" in capsys.readouterr().err
    assert main(["nerf", "from-urdf", str(urdf), "--acceleration", "6"]) == 0
