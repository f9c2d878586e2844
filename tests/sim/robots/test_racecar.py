"""The racecar: a twist becomes steering and wheel speeds, and its limits hold."""

from __future__ import annotations

import math
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
import yaml
from gymnasium.utils.env_checker import check_env

pytest.importorskip("pybullet")

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.errors import InvalidSpec
from nerfbot.limits import NerfSpec
from nerfbot.sim.errors import InvalidRobot
from nerfbot.sim.physics.client import CONTROL_STEP
from nerfbot.sim.plant.nerfed_plant import NerfedPlant
from nerfbot.sim.plant.plant import Plant
from nerfbot.sim.robots.description import ROBOTS, RobotDescription
from nerfbot.sim.scripted.car_driver import CarDriver

TWIST = yaml.safe_load((ROBOTS / "racecar.yaml").read_text())["channels"]
TIGHTEST = math.tan(0.6) / 0.325


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with Plant("chicane", "racecar") as made:
        yield made


def drive(plant: Plant, twist: tuple[float, float], steps: int) -> np.ndarray:
    """Forward speed and yaw rate of every control step, shape (steps, 2), from the start of an episode."""
    plant.reset()
    found = []
    for _ in range(steps):
        plant.step(twist, (30.0, math.inf))
        found.append(plant.robot.measured().velocity[0])
    return np.array(found)


@pytest.mark.parametrize("twist", [(0.5, 0.0), (0.5, 0.7), (0.4, -0.8), (-0.4, 0.5)])
def test_a_car_drives_the_twist_that_it_is_asked_for(plant: Plant, twist: tuple[float, float]) -> None:
    assert drive(plant, twist, 20)[8:].mean(axis=0) == pytest.approx(twist, abs=0.06)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_curve_is_no_tighter_than_the_steering_allows(plant: Plant, side: float) -> None:
    speed, rate = drive(plant, (0.3, 4.0 * side), 30)[10:].mean(axis=0)
    assert speed == pytest.approx(0.3, abs=0.04)
    assert rate / speed == pytest.approx(side * TIGHTEST, rel=0.12)
    assert abs(rate / speed) < TIGHTEST * 1.02


def test_a_car_does_not_turn_on_the_spot(plant: Plant) -> None:
    assert abs(drive(plant, (0.0, 2.0), 20)).max() < 0.05
    assert plant.robot.state.heading == pytest.approx(0.0, abs=0.02)
    assert plant.robot.state.joints[2][0] > 0.5  # but its wheels are turned


def test_inner_wheels_are_steered_more_and_roll_slower(plant: Plant) -> None:
    drive(plant, (0.4, 0.7), 20)
    (_, left_speed, *_), (_, right_speed, *_), (left, *_), (right, *_) = plant.robot.state.joints
    assert 0.05 < left - right < 0.2
    assert left_speed / right_speed == pytest.approx((0.4 - 0.07) / (0.4 + 0.07), rel=0.1)


@pytest.mark.parametrize("cap", [6.0, 12.0])
def test_a_car_pushes_with_no_more_than_its_effort_limit(plant: Plant, cap: float) -> None:
    plant.reset()
    force = []
    for _ in range(180):
        impulses = plant.step((0.8, 0.0), (cap, math.inf)).impulses
        force.append(sum(impulses.values()) / CONTROL_STEP)
        assert sum(abs(effort) for effort in plant.robot.efforts()[:2]) / 0.05 <= cap + 1e-6
    assert np.mean(force[-20:]) == pytest.approx(cap, rel=0.05)


def test_a_moment_that_steering_cannot_cap_is_refused() -> None:
    turning = {"effort": {"nerfed": 1.0, "lifted": 2.0}}
    spec = NerfSpec.parse({"name": "odd", "channels": {"angular.z": turning}})
    with pytest.raises(InvalidSpec, match=r"angular\.z\]\.effort: 1 N·m is not enforceable"):
        NerfedPlant("chicane", spec, "racecar")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"channels": [TWIST[0], TWIST[1] | {"capped": True}]},
            "angular.z needs `capped: false`: steering caps no moment",
        ),
        ({"friction": {"spoiler": 1.0}}, "friction: the robot has no 'spoiler'"),
        ({"drive": {"steering": ["a", "b"]}}, r"drive\.ackermann\.driven: is required"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_one_line(tmp_path: object, change: dict[str, object], said: str) -> None:
    data = yaml.safe_load((ROBOTS / "racecar.yaml").read_text()) | change
    path = tmp_path / "car.yaml"  # type: ignore[operator]
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InvalidRobot, match=said) as error:
        Plant("chicane", path)
    assert "\n" not in str(error.value)


def test_the_environment_takes_the_rovers_keywords() -> None:
    env = gymnasium.make("nerfbot/Racecar-v0", powers=["speed"], schedule="always", observation="flat")
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=1)
    told = [env.step(np.array([2.0, 0.0], np.float32))[-1]["nerf"]["executed"][0] for _ in range(60)]
    assert max(told) == pytest.approx(1.6)
    env.close()


def test_a_cars_driver_needs_steering(plant: Plant) -> None:
    with pytest.raises(InvalidRobot, match="rover: drive: a car's driver needs one with steering"):
        CarDriver(plant.course, robot=RobotDescription.load("rover"))
