import numpy as np
import pytest

from nerfbot.limits.bursts import BurstProcess
from nerfbot.limits.streams import Stream

ALL = np.arange(2)


def process(
    rate: float, duration: float, count: int = 1, units: int = 1, fixed: bool = False
) -> BurstProcess:
    bursts = BurstProcess("faults", np.arange(count, dtype=np.uint64), np.full(units, not fixed))
    shape = (count, units)
    bursts.set(np.arange(count), np.full(shape, rate), np.full(shape, duration))
    return bursts


def exponential(counter: int, seed: int = 0, unit: int = 0) -> float:
    stream = Stream("faults", np.array([seed], np.uint64))
    return float(-np.log1p(-stream.uniform(np.zeros(1, np.intp), np.array([counter]), unit))[0])


def share(bursts: BurstProcess, dt: float, seconds: float) -> float:
    steps = round(seconds / dt)
    total = 0.0
    for _ in range(steps):
        bursts.step(dt)
        total += bursts.active.mean()
    return total / steps


@pytest.mark.parametrize("dt", [0.02, 0.1, 0.7, 5.0])
@pytest.mark.parametrize("fixed", [False, True])
def test_the_share_of_time_in_fault_does_not_depend_on_the_call_rate(dt, fixed):
    rate, duration = 2.0, 0.25
    bursts = process(rate, duration, count=150, units=3, fixed=fixed)
    for _ in range(3):
        bursts.step(1.7)  # away from the healthy start
    expected = rate * duration / (1.0 + rate * duration)
    assert share(bursts, dt, min(300.0, 300 * dt)) == pytest.approx(expected, abs=0.02)


def test_onset_and_end_come_exactly_when_the_countdowns_run_out():
    onset, length = exponential(0) / 2.0, exponential(1) * 0.5
    bursts = process(rate=2.0, duration=0.5)
    bursts.step(onset - 1e-9)
    assert not bursts.active[0, 0]
    bursts.step(2e-9)
    assert bursts.active[0, 0]
    bursts.step(length - 3e-9)
    assert bursts.active[0, 0]
    bursts.step(4e-9)
    assert not bursts.active[0, 0]
    bursts.step(exponential(2) / 2.0 - 1e-8)
    assert not bursts.active[0, 0]
    bursts.step(2e-8)
    assert bursts.active[0, 0]


def test_an_onset_at_the_very_end_of_a_step_counts():
    bursts = process(rate=1.0, duration=1e6)
    bursts.step(exponential(0))
    assert bursts.active[0, 0]


def test_a_long_step_goes_through_the_bursts_that_fall_into_it():
    onset, length = exponential(0) / 2.0, exponential(1) * 0.5
    inside, after = process(2.0, 0.5), process(2.0, 0.5)
    inside.step(onset + 0.5 * length)
    assert inside.active[0, 0]
    after.step(onset + length + 1e-9)
    assert not after.active[0, 0]
    inside.step(0.5 * length + 1e-9)
    assert not inside.active[0, 0]


def test_fixed_durations_are_all_equal_and_others_are_drawn():
    bursts = process(rate=2.0, duration=0.5, fixed=True)
    bursts.step(exponential(0) / 2.0 + 1e-9)
    assert bursts.active[0, 0]
    bursts.step(0.5 - 3e-9)
    assert bursts.active[0, 0]
    bursts.step(4e-9)
    assert not bursts.active[0, 0]


def test_each_unit_says_for_itself_whether_its_durations_are_drawn():
    bursts = BurstProcess("faults", np.zeros(1, np.uint64), np.array([False, True]))
    bursts.set(ALL[:1], np.full((1, 2), 1e6), np.full((1, 2), 1e3))
    bursts.step(0.01)
    assert bursts.active.tolist() == [[True, True]]
    bursts.set(ALL[:1], np.zeros((1, 2)), np.full((1, 2), 1e3))
    drawn = exponential(1, unit=1)
    bursts.step(1e3 * min(1.0, drawn) - 1.0)
    assert bursts.active.tolist() == [[True, True]]
    bursts.step(2.0)
    assert bursts.active.tolist() == [[drawn < 1.0, drawn > 1.0]]


def test_some_units_are_set_and_the_others_stay_as_they_are():
    bursts = process(rate=1e6, duration=8.0, count=2, units=4, fixed=True)
    bursts.set(ALL, np.full((2, 2), 1e6), np.array([[1.0, 2.0], [4.0, 2.0]]), first_unit=1)
    bursts.step(0.5)
    assert bursts.active.all()
    bursts.set(ALL, np.zeros((2, 4)), np.ones((2, 4)))  # no further onset
    active = []
    for _ in range(4):
        bursts.step({0: 1.0, 1: 1.0, 2: 2.0, 3: 4.0}[len(active)])  # at 1.5, 2.5, 4.5, 8.5
        active.append(bursts.active.astype(int).tolist())
    assert active == [
        [[1, 0, 1, 1], [1, 1, 1, 1]],
        [[1, 0, 0, 1], [1, 1, 0, 1]],
        [[1, 0, 0, 1], [1, 0, 0, 1]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ]


def test_without_onsets_nothing_ever_fails():
    bursts = process(rate=0.0, duration=1.0, count=10, units=3)
    for _ in range(100):
        bursts.step(1e6)
    assert not bursts.active.any()


def test_a_rate_that_changes_acts_at_once():
    bursts = process(rate=0.0, duration=0.5)
    bursts.step(100.0)
    bursts.set(ALL[:1], np.full((1, 1), 2.0), np.full((1, 1), 0.5))
    bursts.step(exponential(0) / 2.0 - 1e-9)
    assert not bursts.active[0, 0]
    bursts.step(2e-9)
    assert bursts.active[0, 0]
    bursts.set(ALL[:1], np.zeros((1, 1)), np.full((1, 1), 0.5))  # lifted: the burst ends, and none follows
    bursts.step(exponential(1) * 0.5 + 1e-6)
    assert not bursts.active[0, 0]
    bursts.step(1e6)
    assert not bursts.active[0, 0]


def test_a_reset_robot_is_healthy_and_starts_anew_and_the_others_go_on():
    bursts, other = process(3.0, 0.5, count=2, units=2), process(3.0, 0.5, count=2, units=2)
    for _ in range(20):
        bursts.step(0.1)
        other.step(0.1)
    while not bursts.active[0].all():
        bursts.step(0.1)
        other.step(0.1)
    bursts.reset(np.array([0]), np.array([40], np.uint64))
    assert not bursts.active[0].any()
    alone = BurstProcess("faults", np.array([40], np.uint64), np.full(2, True))
    alone.set(ALL[:1], np.full((1, 2), 3.0), np.full((1, 2), 0.5))
    for _ in range(100):
        for item in (bursts, other, alone):
            item.step(0.1)
        assert np.array_equal(bursts.active[0], alone.active[0])
        assert np.array_equal(bursts.active[1], other.active[1])


def test_units_and_robots_fail_independently():
    bursts = process(1.0, 1.0, count=4, units=3)
    history = []
    for _ in range(2000):
        bursts.step(0.5)
        history.append(bursts.active.ravel().copy())
    correlation = np.corrcoef(np.array(history, float).T) - np.eye(12)
    assert np.abs(correlation).max() < 0.15


def test_the_process_is_rewritten_in_place():
    bursts = process(1e3, 1.0)
    active = bursts.active
    bursts.step(0.1)
    assert np.shares_memory(bursts.active, active)


def test_each_robot_has_its_own_elapsed_time():
    both, alone = process(5.0, 0.1, count=2), process(5.0, 0.1, count=1)
    for _ in range(200):
        both.step(np.array([0.05, 0.0]))
        alone.step(0.05)
        assert both.active[0] == alone.active[0]
        assert not both.active[1]


@pytest.mark.parametrize("elapsed", [1e4, 1e300, float("inf")])
def test_a_clock_that_jumps_leaves_a_working_process(elapsed):
    bursts = process(50.0, 0.02, count=20, units=5)
    bursts.step(elapsed)
    assert share(bursts, 0.013, 5.0) == pytest.approx(0.5, abs=0.06)
