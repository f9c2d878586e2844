"""Husky, whose URDF states no limits of its wheels: what each limit of its nerf does to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("pybullet")

from nerfbot.powers import Lease, LeasePolicy
from nerfbot.sim.physics.client import CONTROL_STEP, SUBSTEPS
from nerfbot.sim.plant.nerfed_plant import NerfedPlant

Drive = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def plant() -> Iterator[NerfedPlant]:
    policy = LeasePolicy(allow_outside=True, max_duration=None)
    made = NerfedPlant("dash", "husky-weak", "husky", policy=policy, pictures=False)
    yield made
    made.close()


@pytest.fixture
def drive(plant: NerfedPlant, monkeypatch: pytest.MonkeyPatch) -> Drive:
    """Drives at a twist for some control steps; at every physics step the forward speed (m/s), the yaw rate
    (rad/s) and the largest wheel torque (N·m), shape (steps, 3).
    """
    client, robot = plant.plant.client, plant.plant.robot
    advance, seen = client.stepSimulation, []

    def watched() -> None:
        advance()
        state = robot.read()
        torque = max(abs(joint[3]) for joint in state.joints)
        seen.append((state.velocity[0], state.rates[2], torque))

    def driven(twist: tuple[float, float], steps: int, *lifted: str) -> np.ndarray:
        plant.reset(seed=0)
        if lifted:
            lease = Lease(axes=dict.fromkeys(lifted, 1.0), reason="test", duration=60.0, ramp=0.01)
            assert plant.request(lease).granted
        monkeypatch.setattr(client, "stepSimulation", watched)
        seen.clear()
        for _ in range(steps):
            plant.step(np.array(twist))
        monkeypatch.setattr(client, "stepSimulation", advance)
        return np.array(seen)

    return driven


@pytest.mark.parametrize(("lifted", "cap"), [((), 0.3), (("speed",), 1.0)])
def test_it_drives_at_its_velocity_limit_and_never_faster(
    drive: Drive, lifted: tuple[str, ...], cap: float
) -> None:
    speed = drive((1.0, 0.0), 40, *lifted)[:, 0]
    assert speed.max() <= 1.05 * cap
    assert speed[-1] == pytest.approx(cap, rel=0.02)


@pytest.mark.parametrize(("lifted", "cap"), [((), 0.5), (("speed", "strength"), 0.9)])
def test_it_turns_at_its_limit_but_for_what_slips(drive: Drive, lifted: tuple[str, ...], cap: float) -> None:
    rate = drive((0.0, 2.0), 40, *lifted)[:, 1]
    assert rate.max() <= 1.1 * cap
    assert rate[-120:].mean() == pytest.approx(cap, rel=0.15)


def test_it_gains_speed_as_its_acceleration_limit_says(drive: Drive) -> None:
    speed = drive((1.0, 0.0), 12, "speed")[:, 0]
    gained = (speed[10 * SUBSTEPS - 1] - speed[4 * SUBSTEPS - 1]) / (6 * CONTROL_STEP)
    assert gained == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(("lifted", "force"), [((), 250.0), (("strength",), 400.0)])
def test_no_wheel_has_more_torque_than_its_share_of_the_effort(
    drive: Drive, lifted: tuple[str, ...], force: float
) -> None:
    torque = drive((0.0, 2.0), 20, "speed", *lifted)[:, 2]
    assert torque.max() <= force * 0.17775 / 4 * (1 + 1e-6)
    assert torque.max() >= 250.0 * 0.17775 / 4 * 0.9
