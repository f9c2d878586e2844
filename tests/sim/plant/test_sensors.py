from __future__ import annotations

import math

import numpy as np
import pytest

from nerfbot.media import open_film, save_png
from nerfbot.sim.plant.render import Renderer, label
from nerfbot.sim.plant.sensors import ray_ends

LANE = [
    "#################",
    "#...............#",
    "#S.............C#",
    "#...............#",
    "#################",
]


def test_the_lidar_measures_the_walls_around_it(yard):
    plant = yard(LANE)
    plant.robot.place(3.0, 1.25, 0.0)
    plant.robot.read()
    readings, angles = plant.observe(), plant.sensors.angles
    assert readings.lidar.shape == (32,)
    assert angles[-1] == -angles[0] == pytest.approx(0.75 * math.pi)
    ahead = np.argmin(abs(angles - math.pi / 2))
    assert readings.lidar[ahead] * math.sin(angles[ahead]) == pytest.approx(0.75, abs=0.01)


def test_a_ray_that_meets_nothing_within_range_is_infinite(yard):
    open_rows = ["#" + "." * 24 + "#"]
    rows = ["#" * 26, *open_rows, "#S" + "." * 22 + "C#", *open_rows, "#" * 26]
    readings = yard(rows).observe()
    assert np.isinf(readings.lidar[[15, 16]]).all()
    assert np.isfinite(readings.lidar[[8, 23]]).all()


def test_fog_hides_what_is_far_and_a_lift_shows_it(yard):
    plant = yard(["############", "#Shhhhhh..C#", "############"], "h: {kind: fog, visibility: 0.6}")
    ahead = np.argmin(abs(plant.sensors.angles - 0.09))
    clear, foggy = plant.observe(1.0).lidar, plant.observe(0.0).lidar
    assert np.isinf(foggy[ahead])
    assert np.isfinite(clear[ahead])
    assert (foggy[np.isfinite(foggy)] == clear[np.isfinite(foggy)]).all()


def test_fog_in_the_distance_limits_only_what_lies_behind_its_edge(yard):
    plant = yard(["############", "#S...B.C...#", "############"], "B: {kind: fog, visibility: 0.2}")
    names = {detection.id for detection in plant.observe(0.0).objects}
    assert names == set()
    assert {detection.id for detection in plant.observe(1.0).objects} == {"coin-1"}


def test_an_object_in_sight_is_detected_with_bearing_and_distance(yard):
    plant = yard(LANE)
    (coin,) = plant.observe().objects
    assert (coin.kind, coin.colour, coin.shape) == ("coin", "yellow", "coin")
    assert coin.bearing == pytest.approx(0.0, abs=1e-3)
    assert coin.distance == pytest.approx(7.0 - 0.12, abs=0.01)


def test_an_object_behind_a_wall_is_not_detected(yard):
    assert yard(["########", "#S.#.C.#", "#......#", "########"]).observe().objects == ()


def test_odometry_gives_the_pose_and_the_twist(yard):
    plant = yard(LANE)
    for _ in range(20):
        plant.step([0.5, 0.0])
    readings = plant.observe()
    assert readings.pose[:2] == pytest.approx(plant.robot.state.position[:2])
    assert readings.twist == pytest.approx((0.5, 0.0), abs=0.01)


def test_the_imu_feels_gravity_at_rest_and_the_acceleration_when_driving(yard):
    plant = yard(LANE)
    plant.step([0.0, 0.0])
    plant.observe()
    plant.step([0.0, 0.0])
    assert plant.observe().imu == pytest.approx((0, 0, 9.81, 0, 0, 0), abs=0.05)
    plant.step([1.5, 0.0], [16.0, math.inf])
    assert plant.observe().imu[0] == pytest.approx(16.0 / 8.25, rel=0.15)


def test_the_camera_sees_the_coin_and_fog_hides_it(yard):
    plant = yard(["##########", "#S.f.C...#", "##########"], "f: {kind: fog, visibility: 0.1}")
    clear, foggy = plant.sensors.camera(1.0).astype(int), plant.sensors.camera(0.0).astype(int)
    assert clear.shape == (64, 64, 3)

    def yellow(image):
        return int(((image[..., 0] - image[..., 2]) > 90).sum())

    assert yellow(clear) > 5
    assert yellow(foggy) == 0


def test_frames_are_drawn_and_written(yard, tmp_path):
    plant = yard(LANE)
    renderer = Renderer(plant, 160, 96)
    top, chase = renderer.top(), renderer.chase()
    assert top.shape == chase.shape == (96, 160, 3)
    assert top.std() > 10
    assert (label(top, ["speed 0.4 m/s"]) != top).any()
    save_png(top, tmp_path / "top.png")
    with open_film(tmp_path / "run.mp4", 20) as film:
        film.write(top)
        film.write(chase)
    assert (tmp_path / "top.png").stat().st_size > 200
    assert (tmp_path / "run.mp4").stat().st_size > 200


def test_rays_end_where_the_rotation_turns_them_compiled_or_not():
    rotation = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    rays, eye = np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.7]]), np.array([1.0, -2.0, 0.3])
    given = (rays, *rotation[:, :2].ravel().tolist(), *eye.tolist())
    found = []
    for function in (ray_ends, getattr(ray_ends, "py_func", ray_ends)):
        starts, ends = np.full((2, 4, 3), 7.0)
        function(*given, starts, ends)
        assert starts.tolist() == [eye.tolist()] * 4
        assert ends[:3] == pytest.approx(eye + rays @ rotation[:, :2].T)
        assert ends[3].tolist() == [7.0] * 3
        found.append(ends.tobytes())
    assert found[0] == found[1]
