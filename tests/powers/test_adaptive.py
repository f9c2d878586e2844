from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerfbot.errors import LeaseError
from nerfbot.limits import AXES
from nerfbot.powers import DamageBounded, Staircase, Window
from nerfbot.powers.estimate import expected_harm, upper_mean

RNG = np.random.default_rng(0)
ALL = dict.fromkeys(AXES, 1.0)


def feed(schedule, *successes):
    for success in successes:
        schedule.report(success, 0.0, {})
    return schedule.level


# The staircase


def test_staircase_defaults():
    schedule = Staircase()
    assert (schedule.steps, schedule.rise, schedule.fall, schedule.window) == (10, 0.8, 0.4, 20)
    assert schedule.level == 0.0
    assert schedule.plan(RNG, 10.0) == ()


def test_staircase_plans_the_whole_episode_at_its_level():
    schedule = Staircase(steps=4, window=1, axes={"speed": 0.5, "strength": 1}, charges=2, ramp=0.5)
    feed(schedule, True)
    assert schedule.level == 0.25
    assert schedule.plan(RNG, 8.0) == (
        Window(0.0, 8.0, {"strength": 0.25, "speed": 0.125}, (), 2, 0.5),
    )  # fmt: skip


def test_staircase_rises_at_its_threshold_and_counts_anew():
    schedule = Staircase(steps=10, window=5, rise=0.8, fall=0.4)
    assert feed(schedule, True, False, True, True) == 0.0
    assert feed(schedule, True) == 0.1, "four of five is the threshold"
    assert feed(schedule, True, True, True, True) == 0.1
    assert feed(schedule, True) == 0.2


def test_staircase_falls_below_its_threshold_only():
    schedule = Staircase(steps=10, window=5, rise=0.8, fall=0.4)
    feed(schedule, *[True] * 10)
    assert feed(schedule, True, True, False, False, False) == 0.2, "two of five is not below"
    assert feed(schedule, False) == 0.1, "the window slides: one of the last five"
    assert feed(schedule, False, False, False, False) == 0.1
    assert feed(schedule, False) == 0.0
    assert feed(schedule, *[False] * 5) == 0.0


def test_staircase_stops_at_the_top():
    schedule = Staircase(steps=2, window=1)
    assert [feed(schedule, True) for _ in range(3)] == [0.5, 1.0, 1.0]


def test_state_of_a_staircase_is_json_and_resumes_exactly():
    rng = np.random.default_rng(2)
    one = Staircase(window=4)
    feed(one, True, True, True, True, True, False)
    assert one.state() == {"kind": "staircase", "step": 1, "episodes": [True, False]}
    other = Staircase(window=4)
    other.restore(json.loads(json.dumps(one.state())))
    for success in rng.random(200) < 0.7:
        assert feed(one, success) == feed(other, success)
    assert one.state() == other.state()


@pytest.mark.parametrize("kind", [Staircase, DamageBounded])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": -1}, "state.step = -1: must be 0 to 10"),
        ({"step": 11}, "state.step = 11: must be 0 to 10"),
        ({"step": "1"}, "state.step = '1': must be 0 to 10"),
        ({"step": None}, "state.step = None: must be 0 to 10"),
        ({"episodes": 3}, "state.episodes = 3: is not a list of episodes"),
        ({"episodes": None}, "state.episodes = None: is not a list of episodes"),
    ],
)
def test_bad_state_is_one_line(kind, change, message):
    schedule = kind(steps=10)
    with pytest.raises(LeaseError) as caught:
        schedule.restore({**schedule.state(), "step": 10, **change})
    assert str(caught.value) == message
    assert schedule.level == 0.0


@pytest.mark.parametrize("kind", [Staircase, DamageBounded])
def test_state_without_episodes_is_refused_and_the_top_step_is_not(kind):
    schedule = kind(steps=10)
    with pytest.raises(LeaseError) as caught:
        schedule.restore({"kind": schedule.kind, "step": 1})
    assert str(caught.value) == "state.episodes = None: is not a list of episodes"
    schedule.restore({"kind": schedule.kind, "step": 10, "episodes": []})
    assert schedule.level == 1.0


# The estimate


def test_upper_mean_is_the_empirical_bernstein_bound():
    samples = [0.0, 1.0, 2.0, 5.0]
    log = math.log(2 / 0.1)
    variance = sum((x - 2.0) ** 2 for x in samples) / 3
    expected = 2.0 + math.sqrt(2 * variance * log / 4) + 7 * 5.0 * log / (3 * 3)
    assert upper_mean(samples, spread=5.0, confidence=0.9) == pytest.approx(expected, rel=1e-12)


def test_upper_mean_knows_nothing_from_fewer_than_two_samples():
    assert upper_mean([], 1.0, 0.9) == math.inf
    assert upper_mean([0.0], 1.0, 0.9) == math.inf
    assert math.isfinite(upper_mean([0.0, 0.0], 1.0, 0.9))


def test_upper_mean_is_exceeded_as_rarely_as_it_says():
    rng = np.random.default_rng(0)
    draws = rng.random((2000, 30)) < 0.2
    misses = np.mean([upper_mean(row, 1.0, 0.9) < 0.2 for row in draws])
    assert misses <= 0.1


def test_harm_is_carried_up_by_the_slope_and_not_down():
    harms, levels = [0.2, 0.4], [0.25, 0.75]
    at = {level: expected_harm(harms, levels, level, 1.0, 2.0, 0.9) for level in (0.0, 0.25, 0.5, 1.0)}
    base = upper_mean(harms, 1.0, 0.9)
    assert at[0.0] == at[0.25] == base
    assert at[0.5] == pytest.approx(base + 2.0 * (0.25 + 0.0) / 2)
    assert at[1.0] == pytest.approx(base + 2.0 * (0.75 + 0.25) / 2)
    assert expected_harm([], [], 0.5, 1.0, 2.0, 0.9) == math.inf


# The damage-bounded lift


def test_damage_bounded_defaults():
    schedule = DamageBounded()
    assert (schedule.steps, schedule.bound, schedule.max_harm, schedule.slope) == (20, 0.1, 1.0, None)
    assert (schedule.confidence, schedule.window) == (0.95, 200)
    assert schedule.level == 0.0
    assert schedule.estimate(0.0) == math.inf
    assert schedule.plan(RNG, 10.0) == ()


def run(schedule, harm_at, episodes):
    """Levels and harms of episodes that all go at the schedule's level."""
    history = []
    for _ in range(episodes):
        level = schedule.level
        harm = harm_at(level)
        history.append((level, harm))
        schedule.report(True, harm, dict.fromkeys(AXES, level))
    return np.array(history)


def test_without_harm_the_lift_rises_to_the_top_one_step_at_a_time():
    schedule = DamageBounded(bound=0.5, window=50, steps=10)
    levels = run(schedule, lambda level: 0.0, 2000)[:, 0]
    assert levels[0] == 0.0
    assert levels[-1] == 1.0
    assert np.diff(levels).max() == pytest.approx(0.1)
    assert np.diff(levels).min() >= 0.0


def test_lift_rises_in_the_very_episode_in_which_the_estimate_allows_it():
    schedule = DamageBounded(bound=0.5, window=50, steps=10)
    while schedule.level == 0.0:
        before = schedule.estimate(0.1)
        schedule.report(True, 0.0, dict.fromkeys(AXES, 0.0))
    assert schedule.estimate(0.1) <= 0.5 < before
    log = math.log(2 / (1 - 0.95))
    assert schedule.estimate(0.1) == pytest.approx(
        0.1 + 7 * log / (3 * (len(schedule.state()["episodes"]) - 1))
    )


def test_bound_itself_is_allowed():
    schedule = DamageBounded(window=2, steps=1, bound=1.0, slope=0.0)
    exactly = upper_mean([0.0, 0.0], 1.0, 0.95)
    for bound, level in ((exactly, 1.0), (math.nextafter(exactly, 0), 0.0)):
        schedule = DamageBounded(window=2, steps=1, bound=bound, slope=0.0)
        run(schedule, lambda level: 0.0, 2)
        assert schedule.level == level


def test_harm_lowers_the_lift_at_once_to_the_highest_level_within_the_bound():
    schedule = DamageBounded(bound=0.5, window=50, steps=10)
    run(schedule, lambda level: 0.0, 2000)
    levels = [schedule.level]
    while levels[-1] > 0.0:
        schedule.report(False, 1.0, dict.fromkeys(AXES, levels[-1]))
        levels.append(schedule.level)
        assert levels[-1] == 0.0 or schedule.estimate(levels[-1]) <= 0.5
        assert levels[-1] == 1.0 or schedule.estimate(levels[-1] + 0.1) > 0.5
    assert len(levels) < 15


def test_lowering_skips_steps_when_it_must():
    schedule = DamageBounded(bound=0.5, window=50, steps=10)
    episodes = [[0.0, 0.3]] * 50
    schedule.restore({"kind": "damage-bounded", "step": 9, "episodes": episodes, "worst": 0.0})
    schedule.report(True, 0.0, dict.fromkeys(AXES, 0.3))
    expected = max(step for step in range(11) if schedule.estimate(step / 10) <= 0.5)
    assert 0 < expected < 8
    assert schedule.level == expected / 10


def test_episode_worse_than_the_declared_worst_replaces_it():
    schedule = DamageBounded(max_harm=1.0, window=3)
    run(schedule, lambda level: 0.0, 3)
    calm = schedule.estimate(1.0)
    schedule.report(True, 4.0, ALL)
    run(schedule, lambda level: 0.0, 3)
    assert [harm for harm, _ in schedule.state()["episodes"]] == [0.0] * 3
    assert schedule.estimate(1.0) == pytest.approx(4 * calm)
    assert schedule.state()["worst"] == 4.0


def test_worst_harm_that_is_declared_counts_until_a_worse_one_is_met():
    schedule = DamageBounded(max_harm=0.5)
    assert schedule.state()["worst"] == 0.0
    run(schedule, lambda level: 0.0, 3)
    assert schedule.estimate(0.0) == upper_mean([0.0] * 3, 0.5, 0.95)


def test_slope_counts_where_it_is_given():
    gentle, steep = DamageBounded(slope=0.5), DamageBounded(slope=2.0)
    for schedule in (gentle, steep):
        run(schedule, lambda level: 0.0, 3)
    assert steep.estimate(1.0) - gentle.estimate(1.0) == pytest.approx(1.5)
    assert steep.estimate(0.0) == gentle.estimate(0.0)
    assert DamageBounded(slope=0.0).slope == 0.0


@pytest.mark.parametrize(
    ("axes", "levels", "reached"),
    [
        ({"speed": 0.5, "strength": 1.0}, {"speed": 0.25, "strength": 0.75}, 0.5),
        ({"speed": 0.5, "strength": 1.0}, {"speed": 0.5, "strength": 0.25, "sensing": 0}, 0.25),
        ({"speed": 0.5}, {"speed": 1.0}, 1.0),
        ({"speed": 0.5}, {}, 0.0),
        ({"speed": 0.5}, (0.0, 0.125, 0.0, 0.0), 0.25),
        ({"speed": 0.0, "strength": 1.0}, {"strength": 0.5}, 0.5),
        ({"speed": 0.0}, {}, 1.0),
    ],
)
def test_reached_level_is_that_of_the_lowest_axis(axes, levels, reached):
    schedule = DamageBounded(axes=axes)
    schedule.report(True, 0.5, levels)
    assert schedule.state()["episodes"] == [[0.5, reached]]


def test_only_the_last_window_of_episodes_is_remembered():
    schedule = DamageBounded(window=3)
    for harm in (0.1, 0.2, 0.3, 0.4):
        schedule.report(True, harm, {})
    assert [harm for harm, _ in schedule.state()["episodes"]] == [0.2, 0.3, 0.4]


def test_state_of_a_damage_bounded_lift_is_json_and_resumes_exactly():
    rng = np.random.default_rng(0)
    one = DamageBounded(bound=0.5, window=40)
    run(one, lambda level: 0.3 * level * rng.random(), 150)
    state = one.state()
    assert set(state) == {"kind", "step", "episodes", "worst"}
    other = DamageBounded(bound=0.5, window=40)
    other.restore(json.loads(json.dumps(state)))
    assert other.state() == state
    for harm in rng.random(100):
        for schedule in (one, other):
            schedule.report(True, harm, ALL)
        assert one.level == other.level


def test_state_without_its_worst_takes_that_of_its_episodes():
    schedule = DamageBounded()
    episodes = [[0.5, 0.0], [3.0, 0.0]]
    schedule.restore({"kind": "damage-bounded", "step": 0, "episodes": episodes})
    assert schedule.state()["worst"] == 3.0
    schedule.restore({"kind": "damage-bounded", "step": 0, "episodes": []})
    assert schedule.state()["worst"] == 0.0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    growth=st.floats(0.05, 1.0),
    noise=st.sampled_from(["none", "uniform", "rare"]),
    bound=st.sampled_from([0.15, 0.3, 0.6]),
)
def test_harm_proportional_to_the_level_stays_under_the_bound_in_the_mean(seed, growth, noise, bound):
    rng = np.random.default_rng(seed)
    draw = {
        "none": lambda: 1.0,
        "uniform": lambda: 2.0 * rng.random(),
        "rare": lambda: 5.0 * (rng.random() < 0.2),
    }[noise]
    schedule = DamageBounded(bound=bound, max_harm=5.0 * growth, slope=growth, window=200)
    history = run(schedule, lambda level: growth * level * draw(), 600)
    assert history[:, 1].mean() <= bound
    expectation = growth * history[:, 0]
    assert (expectation <= bound).mean() >= 0.95
