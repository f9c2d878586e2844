"""A trajectory goes through its points, and tells how fast it may be followed."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.hardware.safety.trajectory import Trajectory

START = np.array([0.0, 1.0])


def points(times: list[float], positions: list[list[float]], **more: list[list[float]]) -> dict:
    fields = {"positions": positions, **more}
    return {"time_from_start": np.array(times), **{name: np.array(rows) for name, rows in fields.items()}}


FORMS = {
    "positions": {},
    "velocities": {"velocities": [[0.2, 0.0], [0.0, 0.0]]},
    "accelerations": {
        "velocities": [[0.2, 0.0], [0.0, 0.0]],
        "accelerations": [[0.1, 0.0], [0.0, 0.0]],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_it_goes_from_the_start_through_its_points(form: str) -> None:
    trajectory = Trajectory(points([1.0, 3.0], [[0.5, 0.5], [1.0, 0.0]], **FORMS[form]), START)
    assert trajectory.duration == 3.0
    for time, expected in ((-1.0, [0.0, 1.0]), (0.0, [0.0, 1.0]), (1.0, [0.5, 0.5]), (3.0, [1.0, 0.0])):
        assert trajectory.sample(time) == pytest.approx(expected)
    assert trajectory.sample(9.0) == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize("form", FORMS)
def test_its_peaks_are_those_of_the_curve_and_it_is_smooth(form: str) -> None:
    trajectory = Trajectory(points([1.0, 3.0], [[0.5, 0.5], [1.0, 0.0]], **FORMS[form]), START)
    samples = np.array([trajectory.sample(time) for time in np.linspace(0.0, 3.0, 3001)])
    speed = np.abs(np.diff(samples, axis=0) / 1e-3)
    assert speed.max(axis=0) == pytest.approx(trajectory.peak_velocity, rel=0.01)
    bends = np.abs(np.diff(samples, 2, axis=0) / 1e-6).max(axis=0)
    assert bends == pytest.approx(trajectory.peak_acceleration, rel=0.02)


def test_velocities_and_accelerations_at_the_points_are_kept() -> None:
    trajectory = Trajectory(points([1.0, 3.0], [[0.5, 0.5], [1.0, 0.0]], **FORMS["accelerations"]), START)
    step = 1e-4
    before, here, after = (trajectory.sample(1.0 + offset)[0] for offset in (-step, 0.0, step))
    assert (after - before) / (2 * step) == pytest.approx(0.2, abs=1e-3)
    assert (after - 2 * here + before) / step**2 == pytest.approx(0.1, abs=1e-2)


def test_bare_positions_do_not_overshoot_and_start_and_end_at_rest() -> None:
    trajectory = Trajectory(points([1.0, 2.0, 3.0], [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), START)
    samples = np.array([trajectory.sample(time) for time in np.linspace(0.0, 3.0, 301)])
    assert samples.min() >= -1e-9
    assert samples.max() <= 1.0 + 1e-9
    assert np.abs(samples[1] - samples[0]).max() < 1e-3
    assert np.abs(samples[-1] - samples[-2]).max() < 1e-3


def test_a_first_point_at_once_takes_the_place_of_the_start() -> None:
    trajectory = Trajectory(points([0.0, 1.0], [[3.0, 3.0], [4.0, 4.0]]), START)
    assert trajectory.sample(0.0).tolist() == [3.0, 3.0]
    only = Trajectory(points([0.0], [[3.0, 3.0]]), START)
    assert only.sample(0.0).tolist() == [3.0, 3.0]
    assert only.slowdown(np.ones(2), np.ones(2)) == 1.0


def test_the_slowdown_brings_the_peaks_within_the_limits() -> None:
    trajectory = Trajectory(points([1.0], [[1.0, 1.0]]), START)
    assert trajectory.peak_velocity[0] == pytest.approx(1.5)
    assert trajectory.peak_acceleration[0] == pytest.approx(6.0)
    wide = np.array([9.0, 9.0])
    assert trajectory.slowdown(wide, wide) == 1.0
    assert trajectory.slowdown(np.array([0.5, 9.0]), wide) == pytest.approx(3.0)
    assert trajectory.slowdown(wide, np.array([1.5, 9.0])) == pytest.approx(2.0)
