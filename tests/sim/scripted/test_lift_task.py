"""An arm that is to raise a load: what its hand holds weighs on it, caps hold, and a lease frees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("pybullet")

from nerfbot.limits import NerfSpec
from nerfbot.sim.errors import InvalidRobot
from nerfbot.sim.robots.arm import SimulatedArm
from nerfbot.sim.scripted.lift_task import TASKS, RaiseTask, RaiseTaskRunner


@pytest.fixture(scope="module")
def raising() -> Iterator[RaiseTaskRunner]:
    with RaiseTaskRunner("raise-load") as made:
        yield made


def drive(raising: RaiseTaskRunner, seconds: float) -> np.ndarray:
    """Torques (N·m) and speeds (rad/s) at every control cycle of holding the start, shape (cycles, 2, 7)."""
    goal, found = raising.arm.state["position"], []
    for _ in range(round(seconds * 100)):
        raising.step(goal)
        found.append([np.abs(raising.arm.state[name]) for name in ("effort", "velocity")])
    return np.array(found)


def test_the_load_hangs_in_the_hand_and_weighs_on_the_joints(raising: RaiseTaskRunner) -> None:
    raising.reset(0)
    before = raising.height
    torque = drive(raising, 1.0)[-20:, 0].mean(axis=0)
    assert raising.height == pytest.approx(before, abs=0.02)
    arm = raising.arm
    joints = [
        state[0] for state in arm.client.getJointStates(arm.robot.body, [*arm.robot.joint_indices, 9, 10])
    ]
    alone = np.abs(arm.client.calculateInverseDynamics(arm.robot.body, joints, [0.0] * 9, [0.0] * 9))
    lever = 3.0 * 9.81 * 0.45  # the hand is about that far ahead of the shoulder
    assert torque[1] - alone[1] == pytest.approx(lever, rel=0.25)


@pytest.mark.parametrize("name", sorted(path.stem for path in TASKS.glob("*.yaml")))
def test_torque_and_speed_of_every_body_stay_under_their_caps(name: str) -> None:
    with RaiseTaskRunner(name) as raising:
        arm, client, seen = raising.arm, raising.arm.client, []
        limits = [
            arm.spec.channel(channel.name, arm.limiter.envelope.find(channel.name))
            for channel in arm.channels
        ]
        caps = np.array([[item.effort.nerfed, item.velocity.nerfed] for item in limits])
        raising.reset(3)
        step = client.stepSimulation

        def watched() -> None:
            step()
            states = client.getJointStates(arm.robot.body, arm.robot.joint_indices)
            seen.append([[abs(state[3]), abs(state[1])] for state in states])

        client.stepSimulation = watched
        goal = [
            raising.task.goal.get(channel.name, at)
            for channel, at in zip(arm.channels, arm.state["position"], strict=True)
        ]
        for _ in range(150):
            raising.step(goal)
        effort, speed = np.moveaxis(np.array(seen) / caps, 2, 0)
        assert effort.max() == pytest.approx(1.0)
        assert (effort[speed > 1.05] > 0.95).all()  # only a load that is too heavy moves a joint faster
        assert raising.arm.state["position"] != pytest.approx(goal, abs=0.1)  # the nerf bites


@pytest.mark.parametrize("name", sorted(path.stem for path in TASKS.glob("*.yaml")))
def test_a_body_without_its_load_moves_at_its_speed_limit(name: str) -> None:
    task = RaiseTask.load_task(name)
    with SimulatedArm(task.robot, task.nerf) as arm:
        arm.place(task.start)
        goal = [
            task.goal.get(channel.name, at)
            for channel, at in zip(arm.channels, arm.state["position"], strict=True)
        ]
        moved = int(np.argmax(np.abs(np.subtract(goal, arm.state["position"]))))
        speeds = []
        for _ in range(100):
            arm.actuate(goal)
            speeds.append(abs(arm.read()["velocity"][moved]))
        cap = arm.spec.channel(
            arm.channels[moved].name, arm.limiter.envelope.find(arm.channels[moved].name)
        ).velocity
        assert max(speeds) == pytest.approx(cap.nerfed, rel=0.03)


def test_a_lift_raises_it_and_only_one_on_strength(raising: RaiseTaskRunner) -> None:
    assert not raising.run(1).success
    assert not raising.run(1, ("speed",)).success
    raised = raising.run(1, ("strength",))
    assert raised.success
    assert raised.highest > 0.45


def test_a_seed_draws_the_load_and_the_start_again(raising: RaiseTaskRunner) -> None:
    drawn = []
    for seed in (5, 6, 5):
        raising.reset(seed)
        mass = raising.arm.client.getDynamicsInfo(raising.load, -1)[0]
        drawn.append((mass, tuple(raising.arm.state["position"])))
        assert 0.92 * 3.0 <= mass <= 1.08 * 3.0
    assert drawn[0] == drawn[2] != drawn[1]
    assert raising.run(5, ("strength",)) == raising.run(5, ("strength",))


def test_without_a_nerf_the_arm_raises_it() -> None:
    with RaiseTaskRunner("raise-load", NerfSpec.load("none")) as raising:
        assert raising.run(0).success


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"link": "panda_hnd"}, "raise-load: link: the robot has no 'panda_hnd'; did you mean 'panda_hand'"),
        ({"load": {"mass": 0.0, "side": 0.1}}, "load.mass: must be greater than 0, got 0.0"),
        ({"start": {"panda_joint9": 0.0}}, "place: no channel 'panda_joint9'"),
    ],
)
def test_a_wrong_task_is_one_line(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((TASKS / "raise-load.yaml").read_text()) | change))
    with pytest.raises(InvalidRobot, match=said):
        RaiseTaskRunner(path)


def test_an_unknown_task_is_suggested() -> None:
    with pytest.raises(InvalidRobot, match=r"'raise-loat'.*did you mean 'raise-load'"):
        RaiseTask.load_task("raise-loat")
