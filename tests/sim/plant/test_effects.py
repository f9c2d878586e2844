"""Declared means enforced: what each impairment does to the rover's wheels, its pushing and its sensors.

Everything is measured on the plant (wheel speed, body twist, contact force, what a sensor returns), never on
what the limiter says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerfbot.course import load_course
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import LeasePolicy
from nerfbot.sim.physics.client import CONTROL_STEP
from nerfbot.sim.plant.nerfed_plant import NerfedPlant, Step
from nerfbot.sim.scripted.episode import LeasesEverywhere

LANE = [
    "#########################",
    "#.......................#",
    "#.S...................C.#",
    "#.......................#",
    "#########################",
]
HEAD = """name: yard
title: A yard for tests
cell: 0.5
legend:
  "#": wall
  S: {kind: start, heading: 0}
  C: {kind: coin}
"""
TAIL = """task:
  goal: {kind: coin}
  horizon: 60
"""
RADIUS = 0.08
ENVELOPE = {
    "channels": {
        "linear.x": {
            "max_velocity": 1.5,
            "max_acceleration": 3.0,
            "stop_deceleration": 2.0,
            "max_effort": 60.0,
        },
        "angular.z": {"max_velocity": 3.0, "max_acceleration": 12.0, "stop_deceleration": 8.0},
    }
}

Rig = Callable[..., NerfedPlant]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Builds a nerfed rover in a lane from the sections of its nerf; lifted on `lift` from the first step."""
    plants: list[NerfedPlant] = []

    def build(
        rows: list[str] = LANE, legend: str = "", lift: tuple[str, ...] = (), seed: int = 0, **nerf: Any
    ) -> NerfedPlant:
        text = HEAD + "".join(f"  {line}\n" for line in legend.splitlines())
        path = tmp_path / f"yard{len(plants)}.yaml"
        path.write_text(text + "map: |\n" + "".join(f"  {row}\n" for row in rows) + TAIL)
        camera = nerf.pop("with_camera", False)
        spec = NerfSpec.parse({"name": "one", "envelope": ENVELOPE, **nerf})
        policy = LeasePolicy(allow_outside=True)
        plants.append(NerfedPlant(load_course(path), spec, policy=policy, seed=seed, camera=camera))
        if lift:
            LeasesEverywhere(lift, duration=30.0, ramp=0.0)(plants[-1], plants[-1].plant.observe())
        return plants[-1]

    yield build
    for plant in plants:
        plant.close()


def forward(**limits: Any) -> dict[str, Any]:
    return {"channels": {"linear.x": limits}}


def turning(**limits: Any) -> dict[str, Any]:
    return {"channels": {"angular.z": limits}}


def steps(plant: NerfedPlant, count: int, linear: float = 0.0, angular: float = 0.0) -> list[Step]:
    return [plant.step(np.array([linear, angular])) for _ in range(count)]


def wheel_speeds(plant: NerfedPlant, count: int, linear: float = 0.0, angular: float = 0.0) -> Any:
    """Speed of the two wheels' rims after each step, m/s, shape (count, 2)."""
    found = []
    for _ in range(count):
        plant.step(np.array([linear, angular]))
        found.append([joint[1] * RADIUS for joint in plant.plant.robot.state.joints])
    return np.array(found)


def twists(plant: NerfedPlant, count: int, linear: float = 0.0, angular: float = 0.0) -> Any:
    """Forward speed and yaw rate of the body after each step, shape (count, 2)."""
    found = []
    for _ in range(count):
        plant.step(np.array([linear, angular]))
        state = plant.plant.robot.state
        found.append([state.velocity[0], state.rates[2]])
    return np.array(found)


def load_cell(plant: NerfedPlant) -> Callable[[], float]:
    """An immovable body before the robot; the function gives the force on it, N."""
    client, robot = plant.plant.client, plant.plant.robot
    x, y, _ = robot.state.position
    shape = client.createCollisionShape(client.GEOM_BOX, halfExtents=(0.1, 0.4, 0.2))
    body = client.createMultiBody(0.0, shape, basePosition=(x + 0.4, y, 0.2))
    return lambda: sum(point[9] for point in client.getContactPoints(robot.body, body))


def push(plant: NerfedPlant, count: int = 60) -> list[float]:
    force = load_cell(plant)
    found = []
    for _ in range(count):
        steps(plant, 1, 0.5)
        found.append(force())
    return found


class TestSpeed:
    @pytest.mark.parametrize("cap", [0.3, 0.8])
    def test_no_wheel_passes_the_velocity_limit(self, rig: Rig, cap: float) -> None:
        speeds = wheel_speeds(rig(**forward(velocity=cap)), 60, 1.5)
        assert speeds[-1] == pytest.approx(cap, rel=0.01)
        assert speeds.max() <= cap * 1.01

    @pytest.mark.parametrize("cap", [0.6, 1.8])
    def test_the_body_turns_no_faster_than_its_limit(self, rig: Rig, cap: float) -> None:
        rates = twists(rig(**turning(velocity=cap)), 40, angular=3.0)[:, 1]
        assert rates[-1] == pytest.approx(cap, rel=0.02)
        assert rates.max() <= cap * 1.02

    @pytest.mark.parametrize("limit", [0.5, 1.5])
    def test_the_body_gains_speed_as_the_acceleration_limit_says(self, rig: Rig, limit: float) -> None:
        speed = twists(rig(**forward(acceleration=limit)), 12, 1.5)[:, 0]
        assert np.diff(speed[2:]) / CONTROL_STEP == pytest.approx(limit, rel=0.05)

    @pytest.mark.parametrize("limit", [2.0, 2.6])
    def test_the_body_loses_speed_as_the_deceleration_limit_says(self, rig: Rig, limit: float) -> None:
        plant = rig(**forward(deceleration=limit))
        twists(plant, 30, 1.2)
        speed = twists(plant, 7, 0.0)[:, 0]
        assert -np.diff(speed) / CONTROL_STEP == pytest.approx(limit, rel=0.07)

    @pytest.mark.parametrize("limit", [3.0, 8.0])
    def test_the_acceleration_changes_no_faster_than_the_jerk_limit(self, rig: Rig, limit: float) -> None:
        plant = rig(**forward(jerk={"nerfed": limit, "lifted": 50.0}))
        speed = np.concatenate([[0.0, 0.0], twists(plant, 20, 1.2)[:, 0]])
        jerk = np.diff(speed, 2) / CONTROL_STEP**2
        assert abs(jerk).max() <= limit * 1.25
        assert jerk[2:6].mean() == pytest.approx(limit, rel=0.15)


class TestStrength:
    @pytest.mark.parametrize("cap", [12.0, 30.0])
    def test_the_push_on_a_load_cell_is_the_effort_limit(self, rig: Rig, cap: float) -> None:
        forces = push(rig(**forward(effort=cap)))
        assert forces[-1] == pytest.approx(cap, rel=0.05)
        assert np.mean(forces[20:]) <= cap * 1.05

    def test_a_lift_pushes_with_the_lifted_limit(self, rig: Rig) -> None:
        nerf = forward(effort={"nerfed": 12.0, "lifted": 40.0})
        assert push(rig(lift=("strength",), **nerf))[-1] == pytest.approx(40.0, rel=0.05)

    def test_a_motor_with_a_torque_speed_curve_pushes_its_stall_effort(self, rig: Rig) -> None:
        curve = {"stall_effort": 24.0, "no_load_velocity": {"nerfed": 0.8, "lifted": 2.0}}
        assert push(rig(**forward(**curve)))[-1] == pytest.approx(24.0, rel=0.05)

    def test_and_gains_speed_ever_more_slowly_up_to_its_no_load_speed(self, rig: Rig) -> None:
        curve = {"stall_effort": 10.0, "no_load_velocity": {"nerfed": 0.8, "lifted": 2.0}}
        speed = twists(rig(**forward(**curve)), 90, 1.4)[:, 0]
        assert speed.max() <= 0.8 * 1.01
        mass = 8.0 + 2 * 0.0016 / RADIUS**2
        slope, start = np.polyfit(speed[2:39], np.diff(speed[2:40]) / CONTROL_STEP, 1)
        assert slope == pytest.approx(-10.0 / 0.8 / mass, rel=0.1)
        assert start == pytest.approx(10.0 / mass, rel=0.1)

    @pytest.mark.parametrize("gain", [0.5, 0.8])
    def test_a_loss_of_gain_slows_the_wheels_by_that_factor(self, rig: Rig, gain: float) -> None:
        speeds = wheel_speeds(rig(**forward(gain=gain)), 40, 0.6)
        assert speeds[-1] == pytest.approx(0.6 * gain, rel=0.01)


def onset(plant: NerfedPlant) -> float:
    """Seconds from the command to the wheels' first motion."""
    speeds = wheel_speeds(plant, 30, 0.5).max(axis=1)
    return float(np.argmax(speeds > 0.01)) * CONTROL_STEP


class TestReliability:
    @pytest.mark.parametrize("latency", [0.1, 0.35])
    def test_the_wheels_move_after_the_latency(self, rig: Rig, latency: float) -> None:
        assert onset(rig(command={"latency": latency})) == pytest.approx(latency, abs=1e-6)

    def test_jitter_delays_each_message_differently_within_its_width(self, rig: Rig) -> None:
        onsets = [onset(rig(command={"jitter": 0.4}, seed=seed)) for seed in range(5)]
        assert len(set(onsets)) >= 2
        assert min(onsets) >= 0.0
        assert max(onsets) <= 0.4 + CONTROL_STEP

    def test_dropped_commands_stop_the_wheels_for_their_share_of_the_time(self, rig: Rig) -> None:
        plant = rig(command={"drop": {"rate": 0.5, "duration": 1.0}})
        still = wheel_speeds(plant, 700, 0.1)[5:, 0] < 0.02
        assert 0.15 < still.mean() < 0.55  # expected: 1 / (1 + 2) s
        assert np.diff(still.astype(int)).clip(0).sum() > 4

    def test_a_held_command_keeps_the_wheels_turning_as_before(self, rig: Rig) -> None:
        def against(plant: NerfedPlant) -> int:
            """Steps in which the wheels turn the other way than they were told half a second ago."""
            count = 0
            for k in range(24):
                speeds = wheel_speeds(plant, 20, 0.2 if k % 2 else -0.2)[10:, 0]
                count += int((speeds * (1 if k % 2 else -1) < 0).sum())
            return count

        assert against(rig()) == 0
        assert against(rig(**forward(hold={"rate": 1.0, "duration": 1.0}))) > 10

    def test_an_intermittent_actuator_has_no_torque_while_it_is_cut(self, rig: Rig) -> None:
        plant = rig(**forward(intermittent={"rate": 1.0, "duration": 0.5}))
        force = load_cell(plant)
        steps(plant, 20, 0.5)
        cut, driven = [], []
        for _ in range(300):
            limited = plant.step(np.array([0.5, 0.0])).limited
            (driven if limited.effort_limit[0] else cut).append(force())
        assert 0.1 < len(cut) / 300 < 0.6
        assert np.median(cut) < 0.5
        assert np.median(driven) > 20.0

    def test_and_coasts_instead_of_braking(self, rig: Rig) -> None:
        plant = rig(**forward(intermittent={"rate": 1.0, "duration": 1.0}))
        speeds, cut = [], []
        for k in range(160):
            limited = plant.step(np.array([0.6 if k // 10 % 2 else 0.2, 0.0])).limited
            speeds.append(plant.plant.robot.state.velocity[0])
            cut.append(limited.effort_limit[0] == 0.0)
        whole = np.array(cut[:-1]) & np.array(cut[1:])  # cut from the beginning of the step to its end
        while_cut = np.diff(speeds)[whole]
        assert whole.sum() > 20
        assert while_cut.max() < 1e-3
        assert while_cut.min() > -0.01  # rolling losses only; a brake takes 0.1 m/s a step

    def test_a_command_within_the_dead_band_moves_nothing(self, rig: Rig) -> None:
        plant = rig(**forward(dead_band=0.05))
        assert abs(wheel_speeds(plant, 20, 0.04)).max() < 1e-3
        assert wheel_speeds(plant, 20, 0.06)[-1] == pytest.approx(0.06, rel=0.02)

    def test_backlash_takes_its_width_up_before_the_wheels_follow(self, rig: Rig) -> None:
        plant = rig(**forward(backlash=0.1))
        assert wheel_speeds(plant, 20, 0.3)[-1] == pytest.approx(0.25, rel=0.02)
        assert wheel_speeds(plant, 20, 0.22)[-1] == pytest.approx(0.25, rel=0.02)
        assert wheel_speeds(plant, 20, 0.1)[-1] == pytest.approx(0.15, rel=0.02)

    def test_the_wheels_turn_at_multiples_of_the_quantum(self, rig: Rig) -> None:
        plant = rig(**forward(quantum=0.1))
        for asked, done in ((0.27, 0.2), (0.31, 0.3), (0.09, 0.0)):
            assert wheel_speeds(plant, 20, asked)[-1] == pytest.approx(done, abs=0.003)

    def test_interference_stops_the_robot_and_a_lift_carries_it_through(self, rig: Rig) -> None:
        rows = ["##########", "#Siiiii.C#", "##########"]
        legend = "i: {kind: interference, loss: 0.98, burst: 1.0}"
        stuck, free = rig(rows, legend), rig(rows, legend, lift=("reliability",))
        lost = [step.lost for step in steps(stuck, 120, 0.5)]
        steps(free, 120, 0.5)
        assert np.mean(lost[30:]) > 0.7
        assert stuck.position[0] < 1.5 < 3.0 < free.position[0]


def lidar(**limits: Any) -> dict[str, Any]:
    return {"sensors": {"lidar": limits}}


def both(plant: NerfedPlant, count: int, angular: float = 0.0) -> tuple[Any, Any]:
    """What the nerfed lidar told and what an ideal one would have, each (count, rays), m."""
    told, true = [], []
    for _ in range(count):
        told.append(plant.step(np.array([0.0, angular])).readings.lidar)
        true.append(np.minimum(plant.plant.observe().lidar, 8.0))
    return np.array(told), np.array(true)


class TestSensing:
    def test_the_lidar_tells_of_nothing_beyond_its_range(self, rig: Rig) -> None:
        told, true = both(rig(**lidar(range={"nerfed": 1.2, "lifted": 8.0})), 1)
        assert (told[true > 1.2] == 8.0).all()
        assert (told[true <= 1.2] == true[true <= 1.2]).all()
        assert (true > 1.2).any()
        assert (true <= 1.2).any()

    def test_the_lidar_is_blind_outside_its_field_of_view(self, rig: Rig) -> None:
        plant = rig(**lidar(field_of_view={"nerfed": 2.0, "lifted": 4.71238898038469}))
        told, true = both(plant, 1)
        inside = abs(plant.plant.sensors.angles) <= 1.0
        assert (told[:, inside] == true[:, inside]).all()
        assert (told[:, ~inside] == 8.0).all()

    def test_a_lower_resolution_tells_neighbouring_rays_apart_no_more(self, rig: Rig) -> None:
        told, _ = both(rig(**lidar(resolution=0.25)), 1)
        assert len(np.unique(told.round(9))) <= 8

    def test_a_lower_rate_tells_something_new_only_so_often(self, rig: Rig) -> None:
        told, true = both(rig(**lidar(rate={"nerfed": 5.0, "lifted": 20.0})), 41, angular=1.0)
        fresh = (np.diff(told, axis=0) != 0).any(axis=1)
        assert fresh.sum() == 10
        assert (np.diff(true, axis=0) != 0).any(axis=1).sum() > 35

    @pytest.mark.parametrize("late", [2, 5])
    def test_the_lidar_tells_what_was_when_the_latency_began(self, rig: Rig, late: int) -> None:
        told, true = both(rig(**lidar(latency=late * CONTROL_STEP)), 30, angular=1.0)
        assert told[late:] == pytest.approx(true[:-late])
        assert not np.allclose(told[late + 5 :], true[late + 5 :])

    def test_noise_has_the_stated_deviation(self, rig: Rig) -> None:
        told, true = both(rig(**lidar(noise=0.05)), 60)
        error = (told - true)[true < 7.0]
        assert error.std() == pytest.approx(0.05, rel=0.1)
        assert abs(error.mean()) < 0.01

    def test_a_bias_adds_the_same_to_every_reading(self, rig: Rig) -> None:
        told, true = both(rig(**lidar(bias=0.07)), 3)
        assert (told - true)[true < 7.0] == pytest.approx(0.07)

    def test_drift_wanders_farther_the_longer_it_goes_on(self, rig: Rig) -> None:
        wandered = []
        for seed in range(6):
            plant = rig(sensors={"odometry": {"drift": 0.1}}, seed=seed)
            told = np.array([step.readings.pose for step in steps(plant, 80)])
            wandered.append(told[:, :2] - plant.plant.robot.state.position[:2])
        error = np.sqrt(np.mean(np.square(wandered), axis=(0, 2)))
        assert error[79] == pytest.approx(0.1 * math.sqrt(4.0), rel=0.6)
        assert error[79] > error[9]

    def test_dropout_loses_its_share_of_the_rays(self, rig: Rig) -> None:
        told, true = both(rig(**lidar(dropout=0.2)), 60)
        lost = (told == 8.0)[true < 7.0]
        assert lost.mean() == pytest.approx(0.2, abs=0.04)

    def test_a_frozen_lidar_repeats_itself_while_the_world_turns(self, rig: Rig) -> None:
        told, _ = both(rig(**lidar(frozen={"rate": 1.0, "duration": 0.5})), 200, angular=1.0)
        repeated = (np.diff(told, axis=0) == 0).all(axis=1)
        assert 0.1 < repeated.mean() < 0.6

    def test_a_coarser_camera_shows_blocks_of_equal_pixels(self, rig: Rig) -> None:
        plant = rig(with_camera=True, sensors={"camera": {"resolution": 0.25}})
        steps(plant, 1)
        assert plant.image is not None
        blocks = plant.image.reshape(16, 4, 16, 4, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()
        assert plant.image.std() > 5

    def test_fog_shortens_what_the_lidar_sees_and_a_lift_clears_it(self, rig: Rig) -> None:
        rows = ["############", "#Shhhhhh..C#", "############"]
        legend = "h: {kind: fog, visibility: 0.5}"
        foggy, clear = (both(rig(rows, legend, lift=axes), 2)[0][-1] for axes in ((), ("sensing",)))
        ahead = slice(14, 18)
        assert (foggy[ahead] == 8.0).all()
        assert clear[ahead].min() < 6.0
        assert foggy[foggy < 8.0].max() < 1.5

    def test_the_detector_loses_an_object_beyond_its_range(self, rig: Rig) -> None:
        rows = ["###########", "#.S.....C.#", "###########"]
        nerf = {"sensors": {"objects": {"range": {"nerfed": 1.2, "lifted": 8.0}}}}
        near, far = (steps(rig(rows, lift=axes, **nerf), 1)[0].readings for axes in ((), ("sensing",)))
        assert near.objects == ()
        assert [item.kind for item in far.objects] == ["coin"]


def test_every_axis_lifted_undoes_a_whole_preset_on_the_wheels(rig: Rig) -> None:
    weak = NerfSpec.load("rover-weak").model_dump(exclude_none=True, include={"command", "channels"})
    slow, fast = rig(**weak), rig(lift=AXES, **weak)
    assert wheel_speeds(slow, 40, 1.2).max() <= 0.4 * 1.01
    assert wheel_speeds(fast, 40, 1.2)[-1] == pytest.approx(1.2, rel=0.01)
