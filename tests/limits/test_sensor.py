"""What a policy gets to see: each sensing limit alone, then the laws that hold for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import ImageGeometry, NerfSpec, RayGeometry, SensorLimiter
from nerfbot.limits.geometry import PlainGeometry, resampled

NERFED, LIFTED = np.zeros((1, 4)), np.ones((1, 4))
RAYS = RayGeometry(field_of_view=np.pi, max_range=10.0)


def make(
    limits: dict[str, Any], shape: tuple[int, ...] = (3,), name: str = "eye", **keywords: Any
) -> SensorLimiter:
    spec = NerfSpec.parse({"name": "x", "sensors": {name: limits}})
    return SensorLimiter(spec, name, shape, **keywords)


def series(
    limiter: SensorLimiter, readings: list[float], period: float, lift: np.ndarray = NERFED
) -> list[float]:
    """What comes of one number a call."""
    return [float(limiter.apply([[value]], step * period, lift)[0, 0]) for step, value in enumerate(readings)]


def test_without_limits_a_reading_passes_bit_for_bit() -> None:
    reading = np.array([[0.1, -2.0, 1e6]])
    assert np.array_equal(make({}).apply(reading, 0.0, NERFED), reading)


def test_a_range_shorter_than_the_distance_reads_no_return() -> None:
    limiter = make({"range": {"nerfed": 2.0, "lifted": 10.0}}, (4,), geometry=RAYS)
    reading = [[1.0, 2.0, 2.1, 9.0]]
    assert limiter.apply(reading, 0.0, NERFED).tolist() == [[1.0, 2.0, 10.0, 10.0]]
    assert limiter.apply(reading, 0.1, LIFTED).tolist() == [[1.0, 2.0, 2.1, 9.0]]
    half = np.array([[0.0, 0.0, 0.5, 0.0]])
    assert limiter.apply([[5.9, 6.1, 3.0, 0.0]], 0.2, half).tolist() == [[5.9, 10.0, 3.0, 0.0]]


def test_only_the_sensing_axis_lifts_it() -> None:
    limiter = make({"range": {"nerfed": 2.0, "lifted": 10.0}}, (1,), geometry=RAYS)
    others = np.array([[1.0, 1.0, 0.0, 1.0]])
    assert limiter.apply([[5.0]], 0.0, others).tolist() == [[10.0]]


def test_infinite_negative_and_too_far_distances_read_no_return() -> None:
    limiter = make({}, (5,), geometry=RAYS)
    assert limiter.apply([[np.inf, -1.0, np.nan, 10.0, 9.5]], 0.0, NERFED).tolist() == [[10, 10, 10, 10, 9.5]]


def test_a_narrow_field_of_view_hides_the_outer_rays() -> None:
    limiter = make({"field_of_view": {"nerfed": np.pi / 2, "lifted": np.pi}}, (5,), geometry=RAYS)
    assert limiter.apply(np.ones((1, 5)), 0.0, NERFED).tolist() == [[10, 1, 1, 1, 10]]
    assert limiter.apply(np.ones((1, 5)), 0.1, LIFTED).tolist() == [[1, 1, 1, 1, 1]]


def test_a_low_resolution_shows_one_ray_of_each_group() -> None:
    limiter = make({"resolution": 0.5}, (6,), geometry=RAYS)
    reading = [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
    assert limiter.apply(reading, 0.0, NERFED).tolist() == [[0, 0, 2, 2, 4, 4]]
    assert limiter.apply(reading, 0.1, LIFTED).tolist() == reading


@given(size=st.integers(1, 40), share=st.floats(0.001, 1.0))
def test_kept_samples_lie_in_their_own_groups_in_order(size: int, share: float) -> None:
    (source,) = resampled(size, np.array([share]))
    assert len(source) == size
    assert (np.diff(source) >= 0).all()
    assert len(set(source.tolist())) == max(1, round(share * size))
    assert (source[source] == source).all()  # the sample that is shown shows itself
    assert resampled(size, np.ones(1))[0].tolist() == list(range(size))


def test_the_rate_holds_a_sample_until_the_next_is_due() -> None:
    limiter = make({"rate": {"nerfed": 5.0, "lifted": 100.0}}, (1,))
    assert series(limiter, [0, 1, 2, 3, 4, 5, 6, 7, 8], 0.05) == [0, 0, 0, 0, 4, 4, 4, 4, 8]


def test_the_rate_keeps_its_phase_when_calls_do_not_fall_on_it() -> None:
    limiter = make({"rate": {"nerfed": 4.0, "lifted": 100.0}}, (1,))
    output = series(limiter, list(range(21)), 0.1)  # due at 0, .25, .5, .75, ...: taken at 0, .3, .5, .8, 1.0
    assert output == [0, 0, 0, 3, 3, 5, 5, 5, 8, 8, 10, 10, 10, 13, 13, 15, 15, 15, 18, 18, 20]


def test_after_a_pause_one_sample_is_taken_not_a_backlog() -> None:
    limiter = make({"rate": {"nerfed": 10.0, "lifted": 100.0}}, (1,))
    limiter.apply([[1.0]], 0.0, NERFED)
    assert limiter.apply([[2.0]], 5.0, NERFED)[0, 0] == 2.0
    assert limiter.apply([[3.0]], 5.05, NERFED)[0, 0] == 2.0
    assert limiter.apply([[4.0]], 5.1, NERFED)[0, 0] == 4.0


def test_latency_is_a_time_not_a_number_of_calls() -> None:
    assert series(make({"latency": 0.2}, (1,)), [1, 2, 3, 4, 5, 6], 0.1) == [1, 1, 1, 2, 3, 4]
    assert series(make({"latency": 0.2}, (1,)), [1, 2, 3, 4, 5, 6], 0.05) == [1, 1, 1, 1, 1, 2]


def test_lifting_latency_lets_the_readings_catch_up_in_order() -> None:
    limiter = make({"latency": 0.2}, (1,))
    output = [
        float(limiter.apply([[step]], step * 0.1, LIFTED if step >= 3 else NERFED)[0, 0]) for step in range(8)
    ]
    assert output == [0, 0, 0, 1, 4, 5, 6, 7] or output == sorted(output)
    assert output[-1] == 7


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_the_stated_deviation_and_no_mean(seed: int) -> None:
    limiter = make({"noise": 0.5}, (100,), seed=seed)
    readings = [limiter.apply(np.full((1, 100), 7.0), step * 0.1, NERFED) for step in range(200)]
    output = np.array(readings) - 7.0
    assert abs(output.mean()) < 0.02
    assert output.std() == pytest.approx(0.5, rel=0.03)
    assert abs(np.corrcoef(output[:-1].ravel(), output[1:].ravel())[0, 1]) < 0.03


def test_noise_vanishes_when_lifted() -> None:
    assert make({"noise": 0.5}).apply([[1.0, 2.0, 3.0]], 0.0, LIFTED).tolist() == [[1.0, 2.0, 3.0]]


def test_bias_is_drawn_once_an_episode_and_added() -> None:
    limiter = make({"bias": {"uniform": [-1.0, 1.0]}})
    first = limiter.apply(np.zeros((1, 3)), 0.0, NERFED)
    assert len(set(first[0].tolist())) == 1
    assert -1.0 <= first[0, 0] <= 1.0
    assert np.array_equal(limiter.apply(np.zeros((1, 3)), 0.1, NERFED), first)
    limiter.reset()
    assert not np.array_equal(limiter.apply(np.zeros((1, 3)), 0.0, NERFED), first)
    assert make({"bias": -0.25}).apply(np.zeros((1, 3)), 0.0, NERFED).tolist() == [[-0.25] * 3]


@pytest.mark.parametrize("period", [0.01, 0.1])
def test_drift_grows_with_the_root_of_time_whatever_the_rate(period: float) -> None:
    limiter = make({"drift": 0.3}, (400,))
    steps = round(4.0 / period)
    for step in range(steps + 1):
        output = limiter.apply(np.zeros((1, 400)), step * period, NERFED)
    assert output.std() == pytest.approx(0.3 * 2.0, rel=0.12)


def test_rays_share_one_drift() -> None:
    limiter = make({"drift": 0.3}, (4,), geometry=RAYS)
    for step in range(20):
        output = limiter.apply(np.full((1, 4), 5.0), step * 0.1, NERFED)
    assert len(set(output[0].tolist())) == 1
    assert output[0, 0] != 5.0


def test_dropout_loses_the_stated_share() -> None:
    limiter = make({"dropout": 0.2}, (50,), geometry=RAYS)
    output = np.array([limiter.apply(np.ones((1, 50)), step * 0.1, NERFED) for step in range(200)])
    assert (output == 10.0).mean() == pytest.approx(0.2, abs=0.015)
    assert set(np.unique(output)) == {1.0, 10.0}


def test_a_lost_element_of_a_plain_reading_keeps_its_last_value() -> None:
    limiter = make({}, (2,))
    limiter.apply([[1.0, 2.0]], 0.0, NERFED)
    assert limiter.apply([[np.nan, 3.0]], 0.1, NERFED).tolist() == [[1.0, 3.0]]
    with pytest.raises(InvalidCommand, match="eye: the first reading must be finite, got inf"):
        make({}, (2,)).apply([[np.inf, 3.0]], 0.0, NERFED)


def test_a_frozen_sensor_repeats_itself_for_the_stated_share_of_time() -> None:
    limiter = make({"frozen": {"rate": 0.5, "duration": 0.5, "spread": "fixed"}}, (1,))
    output = np.array(series(limiter, list(range(20000)), 0.02))
    repeats = np.diff(output) == 0.0
    assert repeats.mean() == pytest.approx(0.2, abs=0.03)  # 0.5 s in every 2 s + 0.5 s
    runs = np.diff(np.flatnonzero(np.diff(repeats.astype(int))))[::2]
    assert np.median(runs) == pytest.approx(25, abs=1)  # 0.5 s at 50 Hz
    lifted = make({"frozen": {"rate": 0.5, "duration": 0.5}}, (1,))
    assert series(lifted, list(range(500)), 0.02, LIFTED) == list(range(500))


def test_an_image_loses_resolution_and_its_edges() -> None:
    geometry = ImageGeometry(field_of_view=1.0)
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    limiter = make({"resolution": 0.5}, (8, 8, 1), geometry=geometry, dtype=np.uint8)
    output = limiter.apply(image, 0.0, NERFED)
    assert output.dtype == np.uint8
    assert len(np.unique(output)) == 16
    assert output[0, 0, :4, 0].tolist() == [0, 0, 2, 2]
    assert output[0, :4, 0, 0].tolist() == [0, 0, 16, 16]
    narrow = make(
        {"field_of_view": {"nerfed": 0.5, "lifted": 1.0}}, (8, 8, 1), geometry=geometry, dtype=np.uint8
    )
    output = narrow.apply(image + 1, 0.0, NERFED)
    assert (output[0, :, [0, 1, 6, 7]] == 0).all()
    assert np.array_equal(output[0, :, 2:6], image[0, :, 2:6] + 1)


def test_a_noisy_image_stays_within_its_values() -> None:
    limiter = make({"noise": 400.0}, (8, 8, 3), geometry=ImageGeometry(), dtype=np.uint8)
    output = limiter.apply(np.full((1, 8, 8, 3), 128, np.uint8), 0.0, NERFED)
    assert output.min() == 0
    assert output.max() == 255


@pytest.mark.parametrize("field", ["range", "field_of_view", "resolution"])
def test_a_limit_that_the_reading_cannot_carry_is_refused_by_name(field: str) -> None:
    limits = {field: {"nerfed": 0.5, "lifted": 1.0}}
    with pytest.raises(
        InvalidSpec, match=rf"x: sensors\[eye\].{field}: is not enforceable on a plain reading"
    ):
        make(limits)
    make(limits, allow=(f"eye.{field}",))


def test_an_image_has_no_range() -> None:
    with pytest.raises(InvalidSpec, match="on a image reading"):
        make({"range": {"nerfed": 1.0, "lifted": 2.0}}, (4, 4, 1), geometry=ImageGeometry())


@pytest.mark.parametrize(
    ("reading", "now", "lift", "text"),
    [
        ([[1.0, 2.0]], 0.0, NERFED, r"eye must have shape \(1, 3\), got \(1, 2\)"),
        ([[1.0, 2.0, 3.0]], 0.0, np.zeros(4), r"lift must have shape \(1, 4\), got \(4,\)"),
        ([[1.0, 2.0, 3.0]], np.nan, NERFED, "now must be a finite time in s, got nan"),
    ],
)
def test_a_bad_call_is_refused(reading: Any, now: float, lift: Any, text: str) -> None:
    with pytest.raises(InvalidCommand, match=text):
        make({}).apply(reading, now, lift)


def test_a_lift_that_is_no_number_counts_as_nerfed_and_others_are_clamped() -> None:
    limiter = make({"range": {"nerfed": 2.0, "lifted": 10.0}}, (1,), geometry=RAYS)
    assert limiter.apply([[5.0]], 0.0, np.full((1, 4), np.nan))[0, 0] == 10.0
    assert limiter.apply([[5.0]], 0.1, np.full((1, 4), 7.0))[0, 0] == 5.0
    assert limiter.apply([[5.0]], 0.2, np.full((1, 4), -7.0))[0, 0] == 10.0


EVERYTHING: dict[str, Any] = {
    "range": {"nerfed": 2.0, "lifted": 10.0},
    "field_of_view": {"nerfed": 2.0, "lifted": 3.2},
    "resolution": 0.5,
    "rate": {"nerfed": 12.0, "lifted": 100.0},
    "latency": 0.07,
    "noise": 0.1,
    "bias": {"uniform": [-0.2, 0.2]},
    "drift": 0.05,
    "dropout": 0.1,
    "frozen": {"rate": 0.5, "duration": 0.3},
}


def stream(limiter: SensorLimiter, readings: np.ndarray, lift: np.ndarray) -> np.ndarray:
    return np.array([limiter.apply(reading, step * 0.05, lift) for step, reading in enumerate(readings)])


@given(data=st.data())
def test_nothing_that_is_not_finite_leaves_and_no_input_changes(data: st.DataObject) -> None:
    limiter = make(EVERYTHING, (4,), geometry=RAYS)
    numbers = st.floats(allow_nan=True, allow_infinity=True)
    now = 0.0
    for _ in range(6):
        reading = np.array([[data.draw(numbers) for _ in range(4)]])
        before = reading.copy()
        step = data.draw(st.floats(-0.5, 2.0))
        if step < -1e-9 and now > 0.0:
            with pytest.raises(InvalidCommand, match="before the last reading"):
                limiter.apply(reading, now + step, NERFED)
            continue
        now += max(step, 0.0) + 1e-6
        output = limiter.apply(reading, now, np.array([[0, 0, data.draw(st.floats(0, 1)), 0]]))
        assert np.isfinite(output).all()
        assert (output >= 0.0).all()
        assert (output <= 10.0).all()
        assert np.array_equal(reading, before, equal_nan=True)


def test_the_same_seed_replays_bit_for_bit_and_another_does_not() -> None:
    readings = np.random.default_rng(0).uniform(0, 10, (50, 1, 6))
    first, again, other = (
        stream(make(EVERYTHING, (6,), geometry=RAYS, seed=seed), readings, NERFED) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_output_is_the_callers_own() -> None:
    limiter = make({"latency": 0.1}, (1,))
    first = limiter.apply([[1.0]], 0.0, NERFED)
    first[...] = 99.0
    assert limiter.apply([[2.0]], 0.05, NERFED)[0, 0] == 1.0


def test_robots_in_a_batch_are_independent() -> None:
    readings = np.random.default_rng(0).uniform(0, 10, (40, 3, 6))
    lift = np.zeros((3, 4))
    batch = stream(make(EVERYTHING, (6,), geometry=RAYS, seed=5, count=3), readings, lift)
    for robot in range(3):
        alone = make(EVERYTHING, (6,), geometry=RAYS, seed=5 + robot)
        assert np.array_equal(batch[:, robot], stream(alone, readings[:, robot : robot + 1], NERFED)[:, 0])


def test_resetting_one_robot_leaves_the_others_alone() -> None:
    readings = np.random.default_rng(0).uniform(0, 10, (40, 2, 6))
    lift = np.zeros((2, 4))
    kept_on = make(EVERYTHING, (6,), geometry=RAYS, count=2)
    reset = make(EVERYTHING, (6,), geometry=RAYS, count=2)
    stream(kept_on, readings, lift)
    stream(reset, readings, lift)
    reset.reset(np.array([True, False]), seeds=[0])
    later = np.array([[kept_on.apply(r, 2.0 + k * 0.05, lift), reset.apply(r, 2.0 + k * 0.05, lift)]
                      for k, r in enumerate(readings)])  # fmt: skip
    assert np.array_equal(later[:, 0, 1], later[:, 1, 1])
    assert not np.array_equal(later[:, 0, 0], later[:, 1, 0])


def test_a_reset_forgets_drift_and_last_values() -> None:
    limiter = make({"drift": 5.0}, (2,))
    stream(limiter, np.ones((20, 1, 2)), NERFED)
    limiter.reset()
    with pytest.raises(InvalidCommand, match="first reading"):  # no last value stands in for it
        limiter.apply([[np.nan, 1.0]], 0.0, NERFED)
    assert limiter.apply([[2.0, 1.0]], 0.0, NERFED).tolist() == [[2.0, 1.0]]


def test_adding_one_impairment_does_not_reshuffle_another() -> None:
    readings = np.full((30, 1, 6), 5.0)
    plain = stream(make({"noise": 0.1}, (6,), geometry=RAYS), readings, NERFED)
    more = stream(make({"noise": 0.1, "dropout": 0.3}, (6,), geometry=RAYS), readings, NERFED)
    heard = more < 10.0
    assert 0 < heard.sum() < heard.size
    assert np.array_equal(more[heard], plain[heard])


def test_seeds_of_a_wrong_number_are_refused() -> None:
    with pytest.raises(InvalidCommand, match=r"seeds must have shape \(1,\), got \(2,\)"):
        make({}).reset(seeds=[1, 2])


def test_geometries_say_what_they_carry() -> None:
    assert "range" not in PlainGeometry().carries
    assert {"range", "field_of_view", "resolution"} <= RAYS.carries
    assert RAYS.angles(3).tolist() == pytest.approx([-np.pi / 2, 0.0, np.pi / 2])
    assert ImageGeometry(field_of_view=2.0).angles(2).tolist() == pytest.approx(
        [-np.arctan(0.5 * np.tan(1.0)), np.arctan(0.5 * np.tan(1.0))]
    )


def alternating(limits: dict[str, Any], sizes: list[int], steps: int = 40) -> list[np.ndarray]:
    """Scans every 0.1 s whose number of rays varies; each reads 1 + 0.01 times its number."""
    limiter, scans = make(limits, (sizes[0],), geometry=RAYS), []
    for step in range(steps):
        size = sizes[step % len(sizes)]
        limiter.reshape((size,), RAYS)
        scans.append(limiter.apply([[1.0 + 0.01 * step] * size], 0.1 * step, NERFED)[0])
    return scans


def test_drift_and_the_streams_of_a_scan_go_on_when_its_number_of_rays_varies() -> None:
    for limits in ({"noise": 0.05}, {"dropout": 0.3}, {"drift": 0.05}):
        constant, varying = alternating(limits, [8]), alternating(limits, [8, 9])
        assert all(np.array_equal(a, b[:8]) for a, b in zip(constant, varying, strict=True)), limits
        assert len({tuple(scan[:8]) for scan in varying}) == 40, limits


def test_the_rate_and_frozen_times_of_a_scan_go_on_when_its_number_of_rays_varies() -> None:
    for limits in (
        {"rate": {"nerfed": 2.0, "lifted": 100.0}},
        {"frozen": {"rate": 2.0, "duration": 0.5, "spread": "fixed"}},
    ):
        new = []
        for sizes in ([8], [8, 9]):
            limiter = make(limits, (8,), geometry=RAYS)
            new.append([])
            for step in range(40):
                size = sizes[step % len(sizes)]
                limiter.reshape((size,), RAYS)
                limiter.apply([[1.0] * size], 0.1 * step, NERFED)
                new[-1].append(bool(limiter.is_new[0]))
        assert new[0] == new[1]
        assert 5 < sum(new[0]) < 35


def test_a_reading_cannot_go_on_as_another_kind_or_as_nothing() -> None:
    for limiter, shape, geometry in (
        (make({"noise": 0.1}, (2,)), (3,), PlainGeometry()),
        (make({"noise": 0.1}, (2,), geometry=RAYS), (2,), PlainGeometry()),
        (make({"noise": 0.1}, (2,), geometry=RAYS), (0,), RAYS),
        (make({"latency": 0.1}, (2,), geometry=RAYS), (3,), RAYS),
    ):
        with pytest.raises(InvalidCommand, match="cannot go on"):
            limiter.reshape(shape, geometry)


def test_it_says_whether_it_changes_values() -> None:
    limiter = make({"drift": {"nerfed": 0.1, "lifted": 0.0}}, (2,))
    limiter.apply([[1.0, 2.0]], 0.0, LIFTED)
    assert not limiter.changes_values
    limiter.apply([[1.0, 2.0]], 0.0, NERFED)
    assert limiter.changes_values
    limiter.apply([[1.0, 2.0]], 1.0, NERFED)
    limiter.apply([[1.0, 2.0]], 1.0, LIFTED)
    assert limiter.changes_values  # what has drifted stays
    assert not make({"rate": {"nerfed": 1.0, "lifted": 2.0}}, (2,)).changes_values
