"""The sweep over foreign URDFs: what it counts as a failure, what it survives, and PyBullet's own robots."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pybullet")
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from joint_trials import Joint, judge, trials

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "urdf_sweep.py"
BODY = '<inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
ARM = f"""<robot name="arm"><link name="base">{BODY}</link>
  <link name="beam">{BODY}<collision><geometry><mesh filename="package://arm/lost.stl"/></geometry></collision></link>
  <joint name="turn" type="TYPE"><parent link="base"/><child link="beam"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="1" effort="20" velocity="2"/></joint></robot>"""


def sweep(folder: Path | str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def pybullet_data() -> str:
    return pytest.importorskip("pybullet_data").getDataPath()


def excess(limit: str, cap: float, position: Any, velocity: Any, effort: Any) -> float:
    """The largest amount that is not excused, of a motor of 10 N·m whose stops are at 3 rad."""
    joint = Joint("j", "revolute", "angle", 10.0, 5.0, -3.0, 3.0, {limit: cap})
    amount, excused = judge(joint, limit, *(np.array(item, float) for item in (position, velocity, effort)))
    return float(amount[~excused].max(initial=0.0))


@pytest.mark.parametrize(
    ("effort", "counted"),
    [(0.0, 1.5), (-5.0, 1.5), (10.0, 1.5), (-10.0, 0.0)],
    ids=["idle", "brakes with half its effort", "drives", "brakes with all its effort"],
)
def test_speed_above_its_limit_is_excused_only_by_a_motor_that_brakes_with_all_it_has(
    effort: float, counted: float
) -> None:
    assert excess("velocity", 0.5, [0, 0], [1.5, 1.5], [0, effort]) == pytest.approx(counted)


def test_speed_at_a_stop_of_the_urdf_does_not_count_for_the_motor() -> None:
    assert excess("velocity", 0.5, [3.0, 3.0], [1.5, 1.5], [0, 0]) == 0.0


def test_acceleration_is_the_gain_of_speed_between_physics_steps_and_deceleration_its_loss() -> None:
    speeds = [0.0, 0.1, 0.1, -0.05, -0.05]
    still = [0.0] * 5
    assert excess("acceleration", 1.0, still, speeds, still) == pytest.approx(0.1 * 240.0)
    assert excess("deceleration", 1.0, still, speeds, still) == pytest.approx(0.1 * 240.0)


def test_a_motor_that_accelerates_with_all_it_has_is_no_excuse() -> None:
    assert excess("acceleration", 1.0, [0, 0], [0, 0.1], [0, 10.0]) == pytest.approx(24.0)
    assert excess("acceleration", 1.0, [0, 0], [0, 0.1], [0, -10.0]) == 0.0


@pytest.mark.parametrize(("speed", "counted"), [(0.1, 1.5), (0.0, 0.0), (-0.1, 0.0)])
def test_a_joint_beyond_its_range_counts_while_it_moves_further_out(speed: float, counted: float) -> None:
    assert excess("position", 1.0, [1.5, 1.5], [speed, speed], [0, -5.0]) == pytest.approx(counted)


def test_nothing_excuses_more_effort_than_allowed() -> None:
    assert excess("effort", 5.0, [0, 0], [9.0, 9.0], [0, -10.0]) == 10.0


@pytest.mark.parametrize("kind", ["revolute", "prismatic", "continuous"])
def test_a_robot_whose_meshes_are_lost_is_measured_in_every_mode(tmp_path: Path, kind: str) -> None:
    (tmp_path / "arm.urdf").write_text(ARM.replace("TYPE", kind))
    (tmp_path / "copy").mkdir()
    found = list(trials(tmp_path / "arm.urdf", tmp_path / "copy"))
    assert {item.type for item in found} == {kind}
    measured = {(item.limit, item.mode) for item in found if not item.refused}
    for mode in ("position", "velocity", "effort"):
        assert {("velocity", mode), ("effort", mode)} <= measured
    efforts = [item for item in found if item.limit == "effort" and item.drive == "driven"]
    assert [item.measured for item in efforts] == pytest.approx([10.0] * 3, rel=0.02)


def test_each_urdf_that_cannot_be_measured_is_one_line_with_its_reason(tmp_path: Path) -> None:
    for name, text in {
        "broken": "<robot",
        "still": f'<robot name="a"><link name="base">{BODY}</link></robot>',
        "ball": ARM.replace("TYPE", "spherical"),
        "twice": ARM.replace("TYPE", "revolute").replace('name="base"', 'name="beam"', 1),
    }.items():
        (tmp_path / f"{name}.urdf").write_text(text)
    done = sweep(tmp_path)
    assert done.returncode == 2
    printed = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert [line.split("] ")[1].split(": ")[0] for line in printed] == [
        "ball.urdf", "broken.urdf", "still.urdf", "twice.urdf"
    ]  # fmt: skip
    assert "ball.urdf: no joint that can be commanded" in done.stdout
    assert "link 'beam' is given twice" in done.stdout
    assert "0 of 4 URDFs measured, 0 trials fail" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("robot", ["cartpole.urdf", "kuka_iiwa/model.urdf"])
def test_no_joint_passes_a_limit_with_effort_to_spare(robot: str) -> None:
    done = sweep(pybullet_data(), "--only", robot, "--failures")
    assert done.returncode == 0, done.stdout


ROBOTS = (
    "franka_panda/panda.urdf",
    "xarm/xarm6_robot.urdf",
    "laikago/laikago_toes.urdf",
    "quadruped/minitaur.urdf",
    "husky/husky.urdf",
    "a1/a1.urdf",
    "humanoid/humanoid.urdf",
)


@pytest.mark.slow
@pytest.mark.parametrize("robot", ROBOTS)
def test_no_joint_of_pybullets_robots_passes_a_limit_with_effort_to_spare(tmp_path: Path, robot: str) -> None:
    shutil.copy(Path(pybullet_data()) / robot, tmp_path)
    done = sweep(tmp_path, "--failures")
    assert done.returncode == 0, done.stdout
