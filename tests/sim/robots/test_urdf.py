"""What a URDF must not hold is refused in one line, before PyBullet reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

pytest.importorskip("pybullet")
import pybullet_data

from nerfbot.sim.errors import InvalidRobot
from nerfbot.sim.physics.client import Client
from nerfbot.sim.robots.description import RobotDescription
from nerfbot.sim.robots.robot import Robot
from nerfbot.sim.robots.urdf import check_urdf


def link(name: str) -> str:
    inertia = 'ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"'
    return f'<link name="{name}"><inertial><mass value="1"/><inertia {inertia}/></inertial></link>'


def joint(name: str = "j", kind: str = "revolute", parent: str = "a", child: str = "b", axis: str = "0 1 0",
          limit: str = 'lower="-1" upper="1" effort="50" velocity="2"', more: str = "") -> str:  # fmt: skip
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<axis xyz="{axis}"/><limit {limit}/>{more}</joint>'
    )


def robot(content: str) -> str:
    return f'<robot name="q">{content}</robot>'


PAIR = link("a") + link("b")
GOOD = robot(PAIR + joint())
MESH = '<link name="c"><visual><geometry><mesh filename="meshes/none.stl"/></geometry></visual></link>'
THIRD = PAIR + link("c")

BAD = {
    "a spherical joint": (
        robot(PAIR + joint(kind="spherical")),
        "is spherical: only revolute",
    ),
    "a planar joint": (robot(PAIR + joint(kind="planar")), "is planar: only revolute"),
    "an axis of zero": (
        robot(PAIR + joint(axis="0 0 0")),
        "has the axis '0 0 0', which points",
    ),
    "an axis that is none": (robot(PAIR + joint(axis="up")), "has the axis 'up'"),
    "effort NaN": (
        robot(PAIR + joint(limit='lower="-1" upper="1" effort="nan" velocity="2"')),
        "has the limit effort = 'nan', which is no number",
    ),
    "a mimic joint": (
        robot(PAIR + joint(more='<mimic joint="k"/>')),
        "mimics 'k', which moves it",
    ),
    "two joints of one name": (
        robot(THIRD + joint() + joint(parent="b", child="c")),
        "joint 'j' is given twice",
    ),
    "two links of one name": (robot(PAIR + link("b") + joint()), "link 'b' is given twice"),
    "two roots": (robot(THIRD + joint()), "needs one root link, got 2 ('a' and 'c')"),
    "a circle": (
        robot(PAIR + joint() + joint("k", parent="b", child="a")),
        "needs one root link",
    ),
    "a child of two": (
        robot(THIRD + joint() + joint("k", parent="c", child="b")),
        "link 'b' is the child of two joints",
    ),
    "a link that is not there": (robot(link("a") + joint()), "joint 'j': its child link 'b' is not there"),
    "no XML": ("name: robot", "is no XML"),
    "another root element": ("<sdf/>", "its root element is <sdf>, must be <robot>"),
    "a xacro file": (
        '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:macro name="m"/></robot>',
        "is a xacro file; expand it first",
    ),
    "a mesh that is missing": (
        robot(PAIR + MESH + joint() + joint("k", "fixed", "b", "c")),
        "mesh 'meshes/none.stl' does not exist",
    ),
}


def describe(folder: Path, urdf: str, **more: object) -> RobotDescription:
    (folder / "q.urdf").write_text(urdf)
    row = {"name": "j", "mode": "position", "unit": "rad", "effort": 50.0, "velocity": 2.0}
    data = {"name": "q", "urdf": "q.urdf", "fixed_base": True, "channels": [row], **more}
    (folder / "q.yaml").write_text(yaml.safe_dump(data))
    return RobotDescription.load(folder / "q.yaml")


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_driven_is_refused_with_joint_and_reason(name: str, tmp_path: Path) -> None:
    urdf, reason = BAD[name]
    description = describe(tmp_path, urdf)
    with closing(Client()) as client, pytest.raises(InvalidRobot) as refused:
        Robot(client, description)
    assert reason in str(refused.value)
    assert str(refused.value).startswith("q: urdf: q.urdf: ")
    assert "\n" not in str(refused.value)


def test_a_rest_pose_outside_the_range_is_refused(tmp_path: Path) -> None:
    description = describe(tmp_path, GOOD, rest={"j": 1.5})
    with (
        closing(Client()) as client,
        pytest.raises(InvalidRobot, match=r"rest = 1.5 is outside its range -1 to 1"),
    ):
        Robot(client, description)
    with closing(Client()) as client:
        Robot(client, describe(tmp_path, GOOD, rest={"j": 0.5}))


def test_two_channels_on_one_joint_are_refused(tmp_path: Path) -> None:
    row = {"mode": "position", "unit": "rad", "effort": 50.0, "velocity": 2.0}
    rows = [{"name": "j", **row}, {"name": "k", "joint": "j", **row}]
    with pytest.raises(InvalidRobot, match="channels: two of them command the joint 'j'"):
        describe(tmp_path, GOOD, channels=rows)


FOLDERS = (
    "a1",
    "biped",
    "franka_panda",
    "husky",
    "humanoid",
    "kuka_iiwa",
    "laikago",
    "quadruped",
    "racecar",
    "xarm",
)
BROKEN = {"model_for_sdf.urdf"}  # its meshes do not ship
ROBOTS = [
    path
    for folder in FOLDERS
    for path in sorted((Path(pybullet_data.getDataPath()) / folder).glob("*.urdf"))
    if path.name not in BROKEN
]


@pytest.mark.parametrize("path", ROBOTS, ids=[path.stem for path in ROBOTS])
def test_the_robots_of_pybullet_data_pass(path: Path) -> None:
    check_urdf(path, path.stem, {}, {})


ENVELOPE = {
    "channels": {
        "linear.x": {
            "max_velocity": 1.5,
            "max_acceleration": 3.0,
            "stop_deceleration": 2.0,
            "max_effort": 300.0,
        },
        "angular.z": {"max_velocity": 3.0, "max_acceleration": 12.0, "stop_deceleration": 8.0},
    }
}
HUSKY = {
    "name": "husky",
    "urdf": "pybullet_data:husky/husky.urdf",
    "spawn_height": 0.2,
    "drive": {
        "left": ["front_left_wheel", "rear_left_wheel"],
        "right": ["front_right_wheel", "rear_right_wheel"],
        "wheel_radius": 0.1775,
        "track": 0.57,
    },
    "channels": [
        {"name": "linear.x", "mode": "velocity", "unit": "m/s", "effort": 300.0, "velocity": 1.5},
        {"name": "angular.z", "mode": "velocity", "unit": "rad/s", "effort": 100.0, "velocity": 3.0},
    ],
}


def test_wheels_without_limits_take_them_from_the_twist(tmp_path: Path) -> None:
    (tmp_path / "husky.yaml").write_text(yaml.safe_dump(HUSKY))
    with closing(Client()) as client:
        plane = client.createCollisionShape(client.GEOM_PLANE)
        client.createMultiBody(0, plane)
        husky = Robot(client, RobotDescription.load(tmp_path / "husky.yaml"))
        for _ in range(240):
            husky.actuate([0.8, 0.0])
            client.stepSimulation()
        assert husky.read().velocity[0] == pytest.approx(0.8, rel=0.03)
        assert max(husky.efforts()) <= 300.0 * 0.1775 / 4 + 1e-6


def test_wheels_whose_limits_are_stated_nowhere_are_refused(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "velocity"} for row in HUSKY["channels"]]
    (tmp_path / "husky.yaml").write_text(yaml.safe_dump({**HUSKY, "channels": rows}))
    with (
        closing(Client()) as client,
        pytest.raises(InvalidRobot, match="wheel 'front_left_wheel' velocity 0; state"),
    ):
        Robot(client, RobotDescription.load(tmp_path / "husky.yaml"))


@pytest.mark.parametrize(
    ("axis", "reason"), [("0 -1 0", "rolls backwards"), ("1 0 0", r"does not roll along \+x")]
)
def test_a_wheel_that_does_not_roll_forwards_is_refused(tmp_path: Path, axis: str, reason: str) -> None:
    limit = 'effort="5" velocity="20"'
    wheels = "".join(joint(f"j{w}", "continuous", "base", w, axis, limit) for w in "lr")
    (tmp_path / "q.urdf").write_text(robot(link("base") + link("l") + link("r") + wheels))
    drive = {"left": ["jl"], "right": ["jr"], "wheel_radius": 0.1, "track": 0.4}
    (tmp_path / "q.yaml").write_text(yaml.safe_dump({**HUSKY, "urdf": "q.urdf", "drive": drive}))
    with closing(Client()) as client, pytest.raises(InvalidRobot, match=f"wheel 'jl' {reason}"):
        Robot(client, RobotDescription.load(tmp_path / "q.yaml"))


def test_nerf_check_loads_the_robot_and_keeps_its_warnings_off_stdout(tmp_path: Path) -> None:
    (tmp_path / "husky.yaml").write_text(yaml.safe_dump({**HUSKY, "envelope": ENVELOPE}))
    words = ["nerf", "check", "none", "--robot", str(tmp_path / "husky.yaml"), "--json"]
    code = f"import sys; from nerfbot.cli import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["robot"] == "husky"
    (tmp_path / "husky.yaml").write_text(
        yaml.safe_dump(
            {**HUSKY, "envelope": ENVELOPE, "drive": {**HUSKY["drive"], "left": ["chassis_joint"]}}
        )
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "joint 'chassis_joint' (drive) is fixed" in done.stderr.replace("\n", " ")
