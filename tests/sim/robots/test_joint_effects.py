"""Declared means enforced, on a joint: what each limit does to an arm's motion in each of the three modes.

The limiter runs at the physics rate, as a joint controller does, or at the plant's 20 Hz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("pybullet")

from nerfbot.limits import ActuatorLimiter, Envelope, NerfSpec
from nerfbot.sim.physics.client import CONTROL_STEP, SUBSTEP, SUBSTEPS, Client
from nerfbot.sim.plant.nerfed_plant import NerfedPlant
from nerfbot.sim.robots.description import RobotDescription
from nerfbot.sim.robots.robot import Robot

INERTIA = 0.5
URDF = f"""<robot name="arm">
  <link name="stand">
    <inertial><mass value="1.0"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>
  </link>
  <link name="beam">
    <inertial>
      <mass value="1.0"/><inertia ixx="0.3" ixy="0" ixz="0" iyy="0.3" iyz="0" izz="{INERTIA}"/>
    </inertial>
    <collision><geometry><box size="0.2 0.2 0.1"/></geometry></collision>
  </link>
  <joint name="turn" type="revolute">
    <parent link="stand"/><child link="beam"/><axis xyz="0 0 1"/>
    <limit lower="-20" upper="20" effort="40" velocity="8"/>
    <dynamics damping="0" friction="0"/>
  </joint>
</robot>
"""
UNITS = {"position": "rad", "velocity": "rad/s", "effort": "N·m"}
HARD = {"max_velocity": 6.0, "max_effort": 40.0, "min_position": -20.0, "max_position": 20.0}
MOTION = {"max_acceleration": 30.0, "stop_deceleration": 5.0}
ENVELOPES = {
    mode: Envelope.model_validate({"channels": {"*": {**HARD, **({} if mode == "effort" else MOTION)}}})
    for mode in UNITS
}

Move = Callable[..., Any]


@pytest.fixture
def move(tmp_path: Path) -> Iterator[Move]:
    """Commands a nerfed joint; gives its position and velocity at every physics step, shape (steps, 2)."""
    clients: list[Client] = []

    def motion(
        mode: str,
        asked: float,
        /,
        count: int = 40,
        lift: float = 0.0,
        push: float = 0.0,
        turn: bool = False,
        **nerf: Any,
    ) -> Any:
        (tmp_path / "arm.urdf").write_text(URDF)
        path = tmp_path / "arm.yaml"
        path.write_text(
            f"name: arm\nurdf: arm.urdf\nfixed_base: true\nchannels:\n"
            f"  - {{name: turn, mode: {mode}, unit: {UNITS[mode]}}}\n"
        )
        clients.append(Client())
        robot = Robot(clients[-1], RobotDescription.load(path))
        spec = NerfSpec.parse({"name": "arm", **nerf})
        limiter = ActuatorLimiter(spec, robot.channels, envelope=ENVELOPES[mode], period=SUBSTEP)
        found = []
        for step in range(count * SUBSTEPS):
            aim = -asked if turn and step >= count * SUBSTEPS // 2 else asked
            limited = limiter.apply([[aim]], robot.measured(), step * SUBSTEP, np.full((1, 4), lift))
            robot.limit_motion(limiter.motion_limits())
            robot.actuate(limited.value[0], limited.effort_limit[0])
            clients[-1].applyExternalTorque(robot.body, 0, (0.0, 0.0, push), clients[-1].LINK_FRAME)
            clients[-1].stepSimulation()
            found.append(robot.read().joints[0][:2])
        return np.array(found)

    yield motion
    for client in clients:
        client.close()


def joint(**limits: Any) -> dict[str, Any]:
    return {"channels": {"turn": limits}}


@pytest.mark.parametrize("mode", ["position", "velocity", "effort"])
@pytest.mark.parametrize("cap", [0.5, 2.0])
def test_no_joint_passes_its_velocity_limit_in_any_mode(move: Move, mode: str, cap: float) -> None:
    speeds = move(mode, {"position": 10.0, "velocity": 5.0, "effort": 2.0}[mode], **joint(velocity=cap))[:, 1]
    assert speeds.max() <= cap * 1.05
    assert speeds[-1] == pytest.approx(cap, rel=0.1)


@pytest.mark.parametrize("push", [-8.0, 8.0])
@pytest.mark.parametrize("asked", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("mode", ["position", "velocity", "effort"])
def test_a_push_from_outside_carries_no_joint_past_its_limits(
    move: Move, mode: str, asked: float, push: float
) -> None:
    fields = {"velocity": 0.5, "effort": 20.0, **({} if mode == "effort" else {"acceleration": 4.0})}
    speeds = move(mode, asked, push=push, **joint(**fields))[:, 1]
    assert abs(speeds).max() <= 0.5 * 1.01
    if mode != "effort":
        assert abs(np.diff(speeds)).max() / SUBSTEP <= 4.0 * 1.01
    elif asked * push >= 0.0:
        assert speeds[-1] == pytest.approx(np.copysign(0.5, push), rel=0.01)


def test_a_hard_reversal_throws_an_effort_joint_past_neither_limit(move: Move) -> None:
    """The effort would change the joint's speed by 20 times its limit in one physics step."""
    for first in (-1.0, 1.0):
        speeds = move("effort", first * 40.0, turn=True, **joint(velocity=0.0167))[:, 1]
        assert abs(speeds).max() <= 0.0167 * 1.01
        assert abs(speeds).max() >= 0.0167 * 0.99
        assert speeds.min() < 0.0 < speeds.max()


@pytest.mark.parametrize("mode", ["position", "velocity"])
def test_between_control_steps_a_joint_keeps_its_acceleration(move: Move, mode: str) -> None:
    nerf = joint(acceleration=4.0, deceleration=8.0)
    speeds = move(mode, {"position": 2.0, "velocity": 3.0}[mode], turn=True, count=80, **nerf)[:, 1]
    gained = np.diff(np.abs(speeds)) / SUBSTEP
    assert gained.max() == pytest.approx(4.0, rel=0.02)
    assert -8.0 * 1.02 <= gained.min() < -7.0


@pytest.mark.parametrize("mode", ["position", "velocity"])
def test_a_joint_gains_speed_as_its_acceleration_limit_says(move: Move, mode: str) -> None:
    turned = move(mode, {"position": 18.0, "velocity": 5.0}[mode], count=30, **joint(acceleration=2.0))
    time = len(turned) / SUBSTEPS * CONTROL_STEP
    assert turned[-1, 1] == pytest.approx(2.0 * time, rel=0.1)
    assert turned[-1, 0] == pytest.approx(0.5 * 2.0 * time**2, rel=0.12)


@pytest.mark.parametrize("mode", ["velocity", "effort"])
@pytest.mark.parametrize("cap", [1.0, 4.0])
def test_a_joint_turns_a_free_beam_with_no_more_than_its_effort_limit(
    move: Move, mode: str, cap: float
) -> None:
    speeds = move(mode, {"velocity": 6.0, "effort": 30.0}[mode], count=8, **joint(effort=cap))[:, 1]
    gained = (speeds[71] - speeds[23]) / (4 * CONTROL_STEP)
    assert gained == pytest.approx(cap / INERTIA, rel=0.05)


def test_a_position_joint_accelerates_with_no_more_than_its_effort_limit(move: Move) -> None:
    speeds = move("position", 10.0, count=8, **joint(effort=2.0))[:, 1]
    assert np.diff(speeds).max() * 240.0 <= 2.0 / INERTIA * 1.05


def test_a_joint_motor_fades_out_towards_its_no_load_velocity(move: Move) -> None:
    curve = {"stall_effort": 4.0, "no_load_velocity": {"nerfed": 2.0, "lifted": 6.0}}
    speeds = move("effort", 30.0, count=200, **joint(**curve))[:, 1]
    assert speeds.max() <= 2.0 * 1.02
    assert speeds[-1] == pytest.approx(2.0, rel=0.05)  # PyBullet damps every body a little


@pytest.mark.parametrize("latency", [0.1, 0.25])
@pytest.mark.parametrize("mode", ["position", "velocity", "effort"])
def test_a_joint_moves_after_the_latency_in_any_mode(move: Move, mode: str, latency: float) -> None:
    speeds = abs(move(mode, 1.0, command={"latency": latency})[:, 1])
    started = np.argmax(speeds > 1e-3) * SUBSTEP
    assert latency - 1e-9 <= started <= latency + 0.5 * CONTROL_STEP


@pytest.mark.parametrize("mode", ["velocity", "effort"])
def test_a_loss_of_gain_scales_what_the_joint_does(move: Move, mode: str) -> None:
    whole, half = (move(mode, 1.0, count=10, **joint(gain=gain))[-1, 1] for gain in (1.0, 0.5))
    assert half == pytest.approx(0.5 * whole, rel=0.03)


def test_a_position_joint_stops_at_multiples_of_its_quantum(move: Move) -> None:
    assert move("position", 0.77, count=60, **joint(quantum=0.25))[-1, 0] == pytest.approx(0.75, abs=0.01)


def test_a_position_joint_stays_behind_by_half_its_backlash(move: Move) -> None:
    assert move("position", 1.0, count=60, **joint(backlash=0.2))[-1, 0] == pytest.approx(0.9, abs=0.01)


def test_the_preset_for_joints_slows_any_arm_and_a_lift_frees_it(move: Move) -> None:
    weak = NerfSpec.load("joint-weak").model_dump(exclude_none=True, exclude={"name", "description"})
    slow = move("velocity", 3.0, **weak)[:, 1]
    fast = move("velocity", 3.0, lift=1.0, **weak)[:, 1]
    assert slow.max() <= 0.5 * 1.02
    assert fast[-1] == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize(("mode", "asked"), [("position", 10.0), ("velocity", 5.0), ("effort", 2.0)])
def test_a_joint_keeps_its_velocity_limit_between_the_plants_control_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, asked: float
) -> None:
    (tmp_path / "arm.urdf").write_text(URDF)
    path = tmp_path / "arm.yaml"
    channel = {"name": "turn", "mode": mode, "unit": UNITS[mode]}
    envelope = ENVELOPES[mode].model_dump(exclude_none=True)
    path.write_text(
        yaml.safe_dump(
            {
                "name": "arm",
                "urdf": "arm.urdf",
                "fixed_base": True,
                "channels": [channel],
                "envelope": envelope,
            }
        )
    )
    nerfed = NerfedPlant("corner", NerfSpec.parse({"name": "arm", **joint(velocity=0.5)}), path)
    client, robot, speeds = nerfed.plant.client, nerfed.plant.robot, []
    advance = client.stepSimulation

    def watched() -> None:
        advance()
        speeds.append(abs(client.getJointState(robot.body, robot.joint_indices[0])[1]))

    monkeypatch.setattr(client, "stepSimulation", watched)
    for _ in range(40):
        nerfed.step(np.array([asked]))
    nerfed.close()
    assert 0.45 < max(speeds) <= 0.5 * 1.02
