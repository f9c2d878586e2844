"""One sample of the sensor's arithmetic with numbers worked out by hand."""

import math

import numpy as np
import pytest

from nerfbot.limits import sensing
from nerfbot.limits.fields import SENSOR_FIELDS
from nerfbot.limits.kernel import UNLIMITED

NAN, INF = math.nan, math.inf


class Sensor:
    """The arrays of one sensor of four elements; `take` makes one call."""

    def __init__(self, kind: int, top: float = 0.0, marks: tuple[float, ...] = (), **limits: float) -> None:
        absent = {"resolution": 1.0, "range": UNLIMITED, "field_of_view": UNLIMITED, "rate": UNLIMITED}
        row = {field: 0.0 for field in SENSOR_FIELDS} | absent | limits
        self.limits = np.array([list(row.values())])
        lost = top if kind == sensing.RAYS else 0.0
        self.kind, self.marks = kind, np.array(marks or (top, 0.0, lost, top))
        self.source = np.arange(4)[None].copy()
        self.clocks, self.walk = np.full((1, 2), NAN), np.zeros((1, 4))
        self.sample, self.first = np.zeros((1, 4)), np.ones(1, bool)
        self.noise, self.steps, self.losses = np.ones((1, 1)), np.ones((1, 4)), np.ones((1, 1))
        self.frozen, self.is_new = np.zeros(1, bool), np.zeros(1, bool)

    def take(self, *reading: float, now: float = 0.0) -> list[float]:
        sensing.sense(
            np.array([reading], float),
            now,
            self.limits,
            self.kind,
            self.marks,
            self.source,
            self.noise,
            self.steps,
            self.losses,
            self.frozen,
            self.clocks,
            self.walk,
            self.sample,
            self.first,
            self.is_new,
        )
        return self.sample[0].tolist()


def test_rays_out_of_their_bounds_read_no_return():
    rays = Sensor(sensing.RAYS, 10.0)
    assert rays.take(0.0, -0.1, 9.9, 10.0) == [0.0, 10.0, 9.9, 10.0]
    assert rays.take(NAN, INF, -INF, 11.0, now=1.0) == [10.0] * 4


def test_lost_rays_and_those_too_near_have_marks_of_their_own():
    rays = Sensor(sensing.RAYS, marks=(10.0, 0.2, NAN, -INF), bias=-0.5, range=5.0)
    assert rays.take(1.0, 0.5, 5.5, INF) == [0.5, 0.2, 10.0, 10.0]
    assert np.array_equal(rays.take(-INF, 0.1, NAN, -0.1, now=1.0), [-INF, NAN, NAN, NAN], equal_nan=True)
    rays.source[0, 0] = sensing.HIDDEN
    assert math.isnan(rays.take(-INF, 1.0, 1.0, 1.0, now=2.0)[0])


def test_it_says_whether_the_sample_is_new():
    sensor = Sensor(sensing.PLAIN, rate=4.0)
    new = []
    for now, frozen in ((0.0, True), (0.1, False), (0.25, False), (0.5, True)):
        sensor.frozen[0] = frozen
        sensor.take(1.0, 1.0, 1.0, 1.0, now=now)
        new.append(bool(sensor.is_new[0]))
    assert new == [True, False, True, False]


def test_the_range_itself_is_still_seen():
    assert Sensor(sensing.RAYS, 10.0, range=2.0).take(2.0, 2.1, 1.9, 0.0) == [2.0, 10.0, 1.9, 0.0]
    assert Sensor(sensing.PLAIN, range=2.0).take(3.0, 1.0, -9.0, 0.0) == [3.0, 1.0, -9.0, 0.0]


@pytest.mark.parametrize(("kind", "lost"), [(sensing.PLAIN, 0.0), (sensing.RAYS, 10.0), (sensing.IMAGE, 0.0)])
def test_hidden_lost_and_broken_elements_read_what_stands_for_them(kind, lost):
    sensor = Sensor(kind, 10.0, dropout=0.5)
    sensor.source[0, 0] = sensing.HIDDEN
    sensor.losses = np.array([[0.9, 0.4, 0.5, 0.9]])
    assert sensor.take(1.0, 2.0, 3.0, NAN) == [lost, lost, 3.0, lost]


def test_a_lost_element_of_a_plain_reading_keeps_its_last_value():
    sensor = Sensor(sensing.PLAIN)
    sensor.take(1.0, -2.0, 3.0, 4.0)
    assert sensor.take(NAN, INF, -INF, 5.0, now=1.0) == [1.0, -2.0, 3.0, 5.0]


def test_each_element_shows_its_source():
    sensor = Sensor(sensing.RAYS, 10.0)
    sensor.source[0] = [1, 1, 3, 3]
    assert sensor.take(1.0, 2.0, 3.0, NAN) == [2.0, 2.0, 10.0, 10.0]


@pytest.mark.parametrize("kind", [sensing.RAYS, sensing.IMAGE])
def test_noise_and_bias_add_up_within_the_sensors_bounds(kind):
    sensor = Sensor(kind, 10.0, noise=0.5, bias=0.25)
    sensor.noise = np.array([[1.0, -1.0, -8.0, 4.0]])
    assert sensor.take(1.0, 1.0, 1.0, 9.0) == [1.75, 0.75, 0.0, 10.0]


def test_a_plain_reading_has_no_bounds():
    sensor = Sensor(sensing.PLAIN, noise=0.5, bias=-0.25)
    sensor.noise = np.array([[1.0, -1.0, -8.0, 4.0]])
    assert sensor.take(1.0, 1.0, 1.0, 9.0) == [1.25, 0.25, -3.25, 10.75]


def test_without_noise_the_numbers_that_stand_in_do_nothing():
    assert Sensor(sensing.PLAIN).take(1.0, 2.0, 3.0, 4.0) == [1.0, 2.0, 3.0, 4.0]


def test_drift_grows_by_the_root_of_the_time_since_the_last_sample():
    sensor = Sensor(sensing.PLAIN, drift=0.5)
    sensor.steps = np.array([[1.0, -1.0, 2.0, 0.0]])
    assert sensor.take(0.0, 0.0, 0.0, 0.0, now=7.0) == [0.0] * 4  # none before the first
    assert sensor.take(0.0, 0.0, 0.0, 0.0, now=11.0) == [1.0, -1.0, 2.0, 0.0]
    assert sensor.take(1.0, 0.0, 0.0, 0.0, now=12.0) == [2.5, -1.5, 3.0, 0.0]


def test_one_drift_is_common_to_all_rays():
    sensor = Sensor(sensing.RAYS, 10.0, drift=0.5)
    sensor.walk = np.zeros((1, 1))
    sensor.take(1.0, 2.0, 3.0, 4.0)
    assert sensor.take(1.0, 2.0, 3.0, 4.0, now=4.0) == [2.0, 3.0, 4.0, 5.0]


def test_a_sample_is_due_a_period_after_the_last_was_and_keeps_its_phase():
    sensor = Sensor(sensing.PLAIN, rate=4.0)
    values = [sensor.take(now, 0.0, 0.0, 0.0, now=now)[0] for now in (1.0, 1.2, 1.25 - 1e-8, 1.3, 1.45, 1.5)]
    assert values == [1.0, 1.0, 1.0, 1.3, 1.3, 1.5]
    assert sensor.clocks[0].tolist() == [1.75, 1.5]


def test_rounding_of_a_sum_of_periods_does_not_put_a_sample_off():
    sensor = Sensor(sensing.PLAIN, rate=4.0)
    sensor.take(1.0, 0.0, 0.0, 0.0, now=1.0)
    assert sensor.take(2.0, 0.0, 0.0, 0.0, now=1.25 - 1e-12)[0] == 2.0


def test_after_a_pause_the_phase_starts_anew():
    sensor = Sensor(sensing.PLAIN, rate=4.0)
    sensor.take(1.0, 0.0, 0.0, 0.0, now=1.0)
    sensor.take(2.0, 0.0, 0.0, 0.0, now=3.1)
    assert sensor.clocks[0, sensing.NEXT] == 3.1 + 0.25
    sensor = Sensor(sensing.PLAIN, rate=4.0)
    sensor.take(1.0, 0.0, 0.0, 0.0, now=1.0)
    sensor.take(2.0, 0.0, 0.0, 0.0, now=1.5)  # the next was due just now: it starts anew too
    assert sensor.clocks[0, sensing.NEXT] == 1.75


def test_a_frozen_sensor_repeats_its_sample_but_its_first_and_goes_on_drifting():
    sensor = Sensor(sensing.PLAIN, drift=1.0)
    sensor.frozen[0] = True
    assert sensor.take(1.0, 2.0, 3.0, 4.0) == [1.0, 2.0, 3.0, 4.0]
    assert sensor.first[0]
    assert sensor.take(5.0, 6.0, 7.0, 8.0, now=1.0) == [1.0, 2.0, 3.0, 4.0]
    assert not sensor.first[0]
    assert sensor.walk.tolist() == [[1.0] * 4]
    sensor.frozen[0] = False
    assert sensor.take(5.0, 6.0, 7.0, 8.0, now=2.0) == [7.0, 8.0, 9.0, 10.0]


def test_time_that_runs_backwards_takes_no_sample():
    sensor = Sensor(sensing.PLAIN, drift=1.0)
    sensor.take(1.0, 0.0, 0.0, 0.0, now=5.0)
    assert sensor.take(2.0, 0.0, 0.0, 0.0, now=4.0)[0] == 1.0
    assert not sensor.walk.any()


@pytest.mark.parametrize("kind", [sensing.PLAIN, sensing.RAYS, sensing.IMAGE])
def test_no_reading_and_no_clock_makes_an_output_that_is_not_finite(kind):
    sensor = Sensor(kind, 10.0, drift=0.5, noise=0.5, bias=-0.5)
    values = [sensor.take(1.7e308, -1.7e308, 1e31, -1e31, now=now) for now in (-1.7e308, -1.0, 1.0, 1.7e308)]
    assert np.isfinite(values).all()
    assert (np.abs(values) < 1e6).all()
    assert np.isfinite(sensor.walk).all()


def test_every_robot_is_sampled_on_its_own():
    sensor = Sensor(sensing.PLAIN, rate=1.0)
    for name in ("limits", "source", "clocks", "walk", "sample", "noise", "steps", "losses"):
        setattr(sensor, name, np.repeat(getattr(sensor, name), 2, axis=0))
    sensor.first, sensor.frozen, sensor.is_new = np.ones(2, bool), np.zeros(2, bool), np.ones(2, bool)
    sensor.limits[1, list(SENSOR_FIELDS).index("rate")] = 2.0

    def take(value: float, now: float) -> list[float]:
        arrays = (sensor.noise, sensor.steps, sensor.losses, sensor.frozen, sensor.clocks, sensor.walk)
        limits = (sensor.limits, sensor.kind, sensor.marks, sensor.source)
        sensing.sense(
            np.full((2, 4), value), now, *limits, *arrays, sensor.sample, sensor.first, sensor.is_new
        )
        return sensor.sample[:, 0].tolist()

    assert take(1.0, 0.0) == [1.0, 1.0]
    assert take(2.0, 0.5) == [1.0, 2.0]
    assert take(3.0, 1.0) == [3.0, 3.0]
