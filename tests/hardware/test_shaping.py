"""The envelope on a goal: after any sequence of commands it keeps range, velocity, acceleration and lead."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.limits import ChannelEnvelope
from nerfbot.limits.shaping import LEAD, GoalShaper

LIMITS = ChannelEnvelope(
    min_position=-1.0, max_position=1.5, max_velocity=3.0, max_acceleration=20.0, stop_deceleration=15.0
)
DT = 0.01
ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(
    wanted=st.lists(ANY | st.floats(-3.0, 3.0), min_size=1, max_size=60),
    start=st.floats(-1.0, 1.5),
    velocity=st.floats(0.1, 9.0),
    push=st.floats(1.0, 90.0),
)
def test_any_commands_keep_the_goal_inside_the_envelope(wanted, start, velocity, push):
    shape = GoalShaper(LIMITS, -1.0, 1.5)
    shape.begin(start)
    position, speed = shape.at, 0.0
    for command in wanted:
        before = shape.at
        after = shape.step(command, position, velocity, push, DT)
        now = (after - before) / DT
        assert -1.0 <= after <= 1.5
        assert abs(now) <= min(3.0, velocity) + 1e-9
        assert abs(now) <= abs(speed) + 20.0 * DT + 1e-9  # never faster than the envelope lets it get
        lead = min(velocity, 3.0) ** 2 / (2 * min(push, 20.0)) + 0.03 * min(velocity, 3.0) + LEAD
        assert abs(after - position) <= lead + 1e-9
        speed = now
        position += 0.7 * (after - position)  # a servo that lags


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_position_moves_nothing(bad):
    shape = GoalShaper(LIMITS, -1.0, 1.5)
    shape.begin(0.2)
    assert shape.step(bad, 0.2, 3.0, 20.0, DT) == 0.2
    assert shape.step(1.0, bad, 3.0, 20.0, DT) == 0.2


@pytest.mark.parametrize("dt", [0.0, -0.01, -3600.0])
def test_time_that_does_not_go_on_moves_nothing(dt):
    shape = GoalShaper(LIMITS, -1.0, 1.5)
    shape.begin(0.2)
    assert shape.step(1.0, 0.2, 3.0, 20.0, dt) == 0.2


def test_a_goal_is_reached_exactly_and_without_overshoot():
    shape = GoalShaper(LIMITS, -1.0, 1.5)
    shape.begin(-0.5)
    trace = [shape.step(0.7, shape.at, 3.0, 20.0, DT) for _ in range(120)]
    assert trace[-1] == 0.7
    assert max(trace) == 0.7
    assert trace == sorted(trace)


def test_a_joint_that_does_not_follow_is_not_left_behind_by_more_than_the_lead():
    shape = GoalShaper(LIMITS, -1.0, 1.5)
    shape.begin(0.0)
    for _ in range(200):
        shape.step(1.5, 0.0, 1.0, 20.0, DT)
    assert shape.at == pytest.approx(1.0 / 40.0 + 0.03 + LEAD)


def test_a_robot_outside_its_range_is_led_back_from_its_edge():
    shape = GoalShaper(LIMITS, -1.0, 1.5)
    shape.begin(1.7)
    assert shape.at == 1.5


def test_a_goal_never_follows_a_joint_out_of_its_range():
    shape = GoalShaper(LIMITS, -1.0, 1.5)
    shape.begin(1.5)
    assert shape.step(1.5, 2.6, 3.0, 20.0, DT) == 1.5
    assert shape.step(-1.0, -2.6, 3.0, 20.0, DT) >= -1.0


def test_a_nerf_that_allows_more_than_the_envelope_does_not_make_it_faster():
    shape = GoalShaper(LIMITS, -1.0, 1.5)
    shape.begin(-1.0)
    speeds = []
    for _ in range(100):
        before = shape.at
        speeds.append((shape.step(1.5, before, 9.0, 90.0, DT) - before) / DT)
    assert max(speeds) == pytest.approx(3.0)
