"""Limits of a twist at every physics step, not only at every control step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pybullet")

from nerfbot.limits import NerfSpec
from nerfbot.sim.physics.client import SUBSTEP
from nerfbot.sim.plant.nerfed_plant import NerfedPlant

RADIUS = 0.08  # of the rover's wheels, m
HARD = {
    "linear.x": {"max_velocity": 1.5, "max_acceleration": 3.0, "stop_deceleration": 2.0, "max_effort": 60.0},
    "angular.z": {"max_velocity": 3.0, "max_acceleration": 12.0, "stop_deceleration": 8.0},
}
Trace = Callable[..., Any]


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Drives a nerfed rover; gives the speed of its wheels' rims after physics steps, m/s, (steps, 2)."""
    plants: list[NerfedPlant] = []

    def drive(commands: list[float], **nerf: Any) -> Any:
        spec = NerfSpec.parse({"name": "one", "envelope": {"channels": HARD}, **nerf})
        plant = NerfedPlant("corner", spec, pictures=False)
        plants.append(plant)
        client, robot, found = plant.plant.client, plant.plant.robot, []
        advance = client.stepSimulation

        def watched() -> None:
            advance()
            found.append(
                [state[1] * RADIUS for state in client.getJointStates(robot.body, robot.joint_indices)]
            )

        monkeypatch.setattr(client, "stepSimulation", watched)
        for command in commands:
            plant.step(np.array([command, 0.0]))
        return np.array(found)

    yield drive
    for plant in plants:
        plant.close()


def test_wheels_gain_and_lose_speed_in_even_steps(trace: Trace) -> None:
    limits = {"acceleration": {"nerfed": 0.8, "lifted": 2.0}, "deceleration": {"nerfed": 2.0, "lifted": 2.5}}
    speeds = trace([0.3] * 10 + [0.0] * 6, channels={"linear.x": limits})
    change = np.diff(speeds, axis=0) / SUBSTEP
    assert change.max() == pytest.approx(0.8, rel=0.05)
    assert change.min() == pytest.approx(-2.0, rel=0.05)
    assert speeds[-1] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("latency", [0.05, 0.12, 0.2])
def test_a_command_acts_at_the_physics_step_on_which_its_latency_ends(trace: Trace, latency: float) -> None:
    speeds = trace([0.0] * 2 + [0.3] * 8, command={"latency": latency})
    moved = int(np.argmax(np.abs(speeds).max(axis=1) > 1e-3))  # the state after this physics step
    late = (moved - 24) * SUBSTEP
    assert latency - 1e-9 <= late < latency + SUBSTEP


def test_a_report_says_what_becomes_of_each_delay() -> None:
    nerf = {
        "command": {"latency": 0.12},
        "sensors": {"lidar": {"latency": 0.12}, "odometry": {"latency": 0.1}},
    }
    spec = NerfSpec.parse({"name": "one", "envelope": {"channels": HARD}, **nerf})
    with contextlib.closing(NerfedPlant("corner", spec, pictures=False)) as plant:
        report = {item.name: item for item in plant.report}
    assert report["command.latency"].note == "0.12 s acts as up to 0.1208 s: commands act every 0.004167 s"
    assert report["lidar.latency"].note == "0.12 s acts as up to 0.15 s: readings are taken every 0.05 s"
    assert report["odometry.latency"].status == "enforced"
    assert report["lidar.latency"].status == "quantised"
