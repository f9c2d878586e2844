"""A quadruped driven joint by joint: it walks under its nerfed torque cap, and faster when lifted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
import pytest
import yaml

pytest.importorskip("pybullet")

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.errors import InvalidSpec
from nerfbot.limits import NerfSpec
from nerfbot.powers import Lease, LeasePolicy
from nerfbot.sim.errors import InvalidRobot
from nerfbot.sim.plant.nerfed_plant import NerfedPlant
from nerfbot.sim.robots.description import RobotDescription
from nerfbot.sim.robots.gait import GAITS, Gait, Trot
from nerfbot.sim.scripted.walk_driver import WalkDriver

CAP, FAST = 10.0, 3.0
"""What a1-weak leaves of a joint, N·m and rad/s."""

Walk = Callable[..., tuple[float, np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def plant() -> Iterator[NerfedPlant]:
    made = NerfedPlant("dash", "a1-weak", "a1", policy=LeasePolicy(allow_outside=True, max_duration=None))
    yield made
    made.close()


@pytest.fixture
def walk(plant: NerfedPlant, monkeypatch: pytest.MonkeyPatch) -> Walk:
    """Walks from the start for some seconds: metres ahead, the trunk's height at every control step, torque
    (N·m) and speed (rad/s) of every joint at every physics step, shape (steps, 2, 12).
    """
    client, robot, seen = plant.plant.client, plant.plant.robot, []
    advance = client.stepSimulation

    def watched() -> None:
        advance()
        states = client.getJointStates(robot.body, robot.joint_indices)
        seen.append([[abs(state[3]) for state in states], [abs(state[1]) for state in states]])

    def walked(
        seconds: float, axes: tuple[str, ...] = (), still: bool = False
    ) -> tuple[float, np.ndarray, np.ndarray]:
        readings = plant.reset(seed=0)
        if axes:
            lift = Lease(axes=dict.fromkeys(axes, 1.0), reason="test", duration=60.0, ramp=0.1)
            assert plant.request(lift).granted
        monkeypatch.setattr(client, "stepSimulation", watched)
        seen.clear()
        driver = WalkDriver(plant.plant.course, lambda: plant.lift)
        began, heights = plant.position[0], []
        for _ in range(round(seconds * 20)):
            command = driver.act(readings, 0.0 if still else plant.time)
            readings = plant.step(command).readings
            heights.append(plant.plant.robot.state.position[2])
        return plant.position[0] - began, np.array(heights), np.array(seen)

    return walked


def test_it_walks_for_five_seconds_under_its_nerfed_torque_cap(walk: Walk) -> None:
    ahead, heights, motion = walk(5.0)
    assert ahead > 0.4
    assert heights.min() > 0.24
    assert len(motion) == 5 * 240
    assert 0.98 * CAP < motion[:, 0].max() <= CAP * (1 + 1e-6)
    assert (motion[:, 1] > 1.1 * FAST).mean() < 0.01  # the ground may push a joint for a moment


def test_it_stands_on_half_of_that(walk: Walk) -> None:
    ahead, heights, motion = walk(2.0, still=True)
    assert abs(ahead) < 0.02
    assert heights[20:].min() > 0.26
    assert motion[240:, 0].max() < 0.5 * CAP


def test_it_walks_three_times_as_fast_with_strength_and_speed_lifted(walk: Walk) -> None:
    slow, _, _ = walk(3.0)
    fast, heights, motion = walk(3.0, ("strength", "speed"))
    assert fast > 3.0 * slow
    assert heights.min() > 0.22
    assert motion[:, 0].max() > 2.0 * CAP
    assert motion[:, 0].max() <= 33.5 * (1 + 1e-6)


def test_a_cap_that_would_not_hold_it_up_is_refused() -> None:
    limp = NerfSpec.parse({"name": "limp", "channels": {"*_joint": {"effort": 4.0}}})
    with pytest.raises(InvalidSpec, match=r"FR_upper_joint.*4 is below the envelope's holding_effort 5"):
        NerfedPlant("dash", limp, "a1")


def test_feet_on_the_ground_move_back_together_and_the_others_are_raised() -> None:
    gait = Gait.load("a1")
    channels = tuple(row.channel() for row in RobotDescription.load("a1").channels)
    trot, feet = Trot(gait, channels), []
    for _ in range(40):
        joints = trot.step(0.2, 0.0, 0.0, 0.05).reshape(4, 3)
        thigh, calf = joints[:, 1], joints[:, 1] + joints[:, 2]
        ahead, below = (-0.2 * np.sin(thigh) - 0.2 * np.sin(calf), 0.2 * np.cos(thigh) + 0.2 * np.cos(calf))
        feet.append(np.stack([ahead, below], 1))
    walked = np.array(feet)[12:]  # strides have their length
    raised = gait.height.nerfed - walked[:, :, 1]
    grounded = raised < 1e-9
    assert (grounded.sum(axis=1) >= 2).all()
    assert (grounded[:, 0] == grounded[:, 3]).all()  # the diagonal pairs
    assert raised.max() == pytest.approx(gait.clearance.nerfed, rel=0.1)
    moved = np.diff(walked[:, :, 0], axis=0)[grounded[1:] & grounded[:-1]]
    assert moved == pytest.approx(-0.2 * 0.05 / gait.grip)


def test_strides_are_bounded_and_a_twist_of_zero_stands() -> None:
    gait = Gait.load("a1")
    trot = Trot(gait, tuple(row.channel() for row in RobotDescription.load("a1").channels))
    huge = np.array([trot.step(9.0, 0.0, 0.0, 0.05) for _ in range(60)])
    trot.restart()
    fastest = np.array([trot.step(gait.speed(0.0), 0.0, 0.0, 0.05) for _ in range(60)])
    assert huge == pytest.approx(fastest)
    standing = trot.step(0.0, 0.0, 0.0, 0.05).reshape(4, 3)
    assert standing[:, 1] == pytest.approx(math.acos(gait.height.nerfed / (2 * gait.segment)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grip": 0.0}, "grip: must be greater than 0, got 0.0"),
        (
            {"legs": {"FR": {"joints": ["FR_hip_joint", "FR_upper_joint", "knee"], "phase": 0, "side": 1}}},
            "legs: position channels and joints differ in FL_hip_joint",
        ),
    ],
)  # fmt: skip
def test_a_wrong_gait_is_one_line(tmp_path: object, change: dict[str, object], said: str) -> None:
    path = tmp_path / "gait.yaml"  # type: ignore[operator]
    path.write_text(yaml.safe_dump(yaml.safe_load((GAITS / "a1.yaml").read_text()) | change))
    with pytest.raises(InvalidRobot, match=said):
        Trot(Gait.load(path), tuple(row.channel() for row in RobotDescription.load("a1").channels))


def test_an_unknown_gait_is_told_which_are_known() -> None:
    with pytest.raises(
        InvalidRobot, match=r"gait: none is called 'a2', and it is no YAML file \(known: a1\)"
    ):
        Gait.load("a2")


def test_the_environment_takes_the_rovers_keywords() -> None:
    env = gymnasium.make("nerfbot/A1-v0", powers=["strength", "speed"], schedule="always")
    observation, _ = env.reset(seed=2)
    assert env.action_space.shape == (12,)
    assert observation["joints"].shape == (2, 12)
    driver = WalkDriver(env.unwrapped.nerfed.plant.course, lambda: env.unwrapped.nerfed.lift)
    readings = env.unwrapped.nerfed.plant.observe()
    for step in range(40):
        *_, info = env.step(driver.act(readings, 0.05 * step).astype(np.float32))
        readings = env.unwrapped.nerfed.plant.observe()
    assert env.unwrapped.nerfed.plant.robot.state.position[2] > 0.22
    assert info["nerf"]["effort_limit"] == pytest.approx([20.0, 33.5, 33.5] * 4)
    env.close()
