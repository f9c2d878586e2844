"""Tightening a limit never increases authority.

Authority is, for each limit, what it is there to bound:

- velocity, acceleration, jerk: the first, second and third derivative of the channel's motion, whatever is
  asked; and how far a step command has got at any time;
- effort, torque-speed curve: the effort that the plant may use, and the effort commanded, call by call;
- gain, dead-band, latency: the size of the output in answer to a step, call by call;
- quantum, backlash and lost messages: the output is never larger than what was asked for.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nerfbot.limits import Measured
from tests.limits.cases import DT, Drive, at_rest, limiter, spec

RANGES = {
    "velocity": (0.05, 4.0),
    "acceleration": (0.5, 40.0),
    "deceleration": (10.0, 40.0),
    "jerk": (1.0, 1e4),
    "gain": (0.05, 1.0),
    "effort": (0.1, 50.0),
}
STEPPED = [
    ("velocity", "velocity"),
    ("velocity", "acceleration"),
    ("velocity", "jerk"),
    ("velocity", "gain"),
    ("position", "velocity"),
    ("position", "acceleration"),
    ("position", "deceleration"),
    ("effort", "gain"),
    ("effort", "effort"),
]
levels = st.floats(0.0, 1.0)
small_streams = st.lists(st.floats(-5.0, 5.0), min_size=5, max_size=40)


def value_of(field: str, level: float) -> float:
    low, high = RANGES[field]
    return low + level * (high - low)


def response(mode: str, nerf, command: float, steps: int = 60) -> np.ndarray:
    return np.abs(Drive(limiter(mode, nerf)).run(*[command] * steps))


@pytest.mark.parametrize(("mode", "field"), STEPPED)
@given(levels, levels, st.floats(0.05, 3.0), st.booleans())
def test_a_tighter_limit_never_gets_a_step_further(mode, field, one, other, size, negative):
    tight, loose = sorted((value_of(field, one), value_of(field, other)))
    command = -min(size, 1.9) if negative else size
    command *= 15.0 if mode == "effort" else 1.0
    slower = response(mode, spec(**{field: tight}), command)
    faster = response(mode, spec(**{field: loose}), command)
    assert np.all(slower <= faster * (1 + 1e-9) + 1e-9)


@pytest.mark.parametrize("field", ["velocity", "acceleration", "jerk", "gain"])
@given(levels, levels, levels, levels, st.floats(0.05, 4.0))
def test_neither_beside_other_limits(field, one, other, pace, top, size):
    beside = {"velocity": value_of("velocity", top), "acceleration": value_of("acceleration", pace)}
    tight, loose = sorted((value_of(field, one), value_of(field, other)))
    slower = response("velocity", spec(**{**beside, field: tight}), size)
    faster = response("velocity", spec(**{**beside, field: loose}), size)
    assert np.all(slower <= faster * (1 + 1e-9) + 1e-9)


@pytest.mark.parametrize(("mode", "band"), [("velocity", 1.0), ("effort", 1.0), ("position", 0.5)])
@given(levels, levels, st.floats(0.01, 2.0))
def test_a_wider_dead_band_or_a_longer_latency_never_answers_more(mode, band, one, other, size):
    narrow, wide = sorted((one * band, other * band))
    more = response(mode, spec(dead_band=narrow), size, 20)
    less = response(mode, spec(dead_band=wide), size, 20)
    assert np.all(less <= more + 1e-12)
    soon = response(mode, spec({"latency": narrow}), size, 40)
    late = response(mode, spec({"latency": wide}), size, 40)
    assert np.all(late <= soon + 1e-12)


@given(levels, small_streams, st.floats(0.0, 1.0))
def test_velocity_and_its_change_are_bounded_whatever_is_asked(level, stream, lift):
    top, rate = value_of("velocity", level), value_of("acceleration", level)
    nerf = spec(velocity=top, acceleration=rate, deceleration=max(rate, 10.0))
    out = np.array(Drive(limiter("velocity", nerf), lift=lift).run(*stream))
    assert np.abs(out).max() <= top
    change = np.abs(np.diff(out, prepend=0.0))
    assert change.max() <= max(rate, 10.0) * DT * (1 + 1e-9)
    rising = np.abs(out) > np.abs(np.concatenate([[0.0], out[:-1]]))
    assert np.all(
        change[rising & (np.sign(out) == np.sign(np.roll(out, 1)))] <= rate * DT * (1 + 1e-9) + 1e-12
    )


@given(levels, levels, small_streams)
def test_a_positions_velocity_and_its_change_are_bounded_whatever_is_asked(level, other, stream):
    top, rate, brake = (
        value_of("velocity", level),
        value_of("acceleration", other),
        value_of("deceleration", level),
    )
    nerf = spec(velocity=top, acceleration=rate, deceleration=brake)
    commands = np.repeat(np.clip(stream, -2.0, 3.0), 3)
    out = np.array(Drive(limiter("position", nerf)).run(*commands))
    speed = np.diff(out, prepend=0.0) / DT
    assert np.abs(speed).max() <= top * (1 + 1e-9)
    assert np.abs(np.diff(speed, prepend=0.0)).max() <= max(rate, brake) * DT * (1 + 1e-6) + 1e-9


@given(levels, small_streams)
def test_the_change_of_acceleration_is_bounded_by_the_jerk_unless_the_top_speed_is_met(level, stream):
    jerk = value_of("jerk", level) / 10
    commands = np.repeat(np.clip(stream, -4.0, 4.0), 4)
    out = np.array(Drive(limiter("velocity", spec(jerk=jerk))).run(*commands))
    second = np.abs(np.diff(out, 2, prepend=[0.0, 0.0]))
    free = np.abs(np.diff(out, prepend=0.0)) < 2.5 - 1e-9  # below the envelope's acceleration
    assert np.all(second[free & np.roll(free, 1)] <= jerk * DT * DT * (1 + 1e-9) + 1e-9)


@given(levels, levels, st.floats(-60.0, 60.0), st.floats(-5.0, 5.0))
def test_a_tighter_effort_or_curve_never_leaves_more_effort(one, other, command, velocity):
    tight, loose = sorted((value_of("effort", one), value_of("effort", other)))

    def effort(mode: str, **fields: float) -> tuple[float, float]:
        drive = Drive(limiter(mode, spec(**fields)), measured=at_rest(velocity=velocity))
        value = drive.step(command / (15.0 if mode == "velocity" else 1.0))
        return drive.effort, abs(value)

    for mode in ("velocity", "effort"):
        for fields in (
            lambda at: {"effort": at},
            lambda at: {"stall_effort": at, "no_load_velocity": 3.0},
            lambda at: {"stall_effort": 20.0, "no_load_velocity": at, "effort": 20.0},
        ):
            less, more = effort(mode, **fields(tight)), effort(mode, **fields(loose))
            braking = velocity * command < 0.0 or abs(velocity) * 15.0 > abs(command)
            if "stall_effort" in fields(1.0) and fields(1.0).get("effort") and braking:
                continue  # the faster the curve falls when driving, the more it rises when braking
            assert less[0] <= more[0] + 1e-9
            assert mode != "effort" or less[1] <= more[1] + 1e-9


@pytest.mark.parametrize("mode", ["velocity", "effort"])
@given(st.floats(0.0, 2.0), st.floats(0.0, 2.0), small_streams)
def test_play_and_lost_messages_never_make_a_command_larger(mode, play, step, stream):
    burst = {"rate": 5.0, "duration": 0.1}
    nerf = spec({"drop": burst}, backlash=play, quantum=step, intermittent=burst, dead_band=play)
    drive = Drive(limiter(mode, nerf))
    farthest = 0.0
    for command in stream:
        farthest = max(farthest, abs(command))
        assert abs(drive.step(command)) <= farthest + 1e-12


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2), st.floats(0.1, 4.0))
def test_a_higher_lift_never_gets_a_step_less_far(lifts, size):
    nerf = spec(
        {"latency": {"nerfed": 0.2, "lifted": 0.0}},
        velocity={"nerfed": 0.3, "lifted": 3.0},
        acceleration={"nerfed": 2.0, "lifted": 40.0},
        gain=0.5,
        dead_band=0.05,
    )
    low, high = (
        np.array(Drive(limiter("velocity", nerf), lift=lift).run(*[size] * 40)) for lift in sorted(lifts)
    )
    assert np.all(low <= high * (1 + 1e-9) + 1e-9)


@given(levels, st.floats(-4.0, 4.0))
def test_an_effort_channel_gets_no_drive_past_its_velocity_limit(level, velocity):
    top = value_of("velocity", level)
    assume(abs(velocity) >= top)
    drive = Drive(
        limiter("effort", spec(velocity=top)), measured=Measured(np.zeros((1, 1)), np.full((1, 1), velocity))
    )
    assert drive.step(np.sign(velocity) * 20.0) * np.sign(velocity) <= 0.0
    assert drive.step(-np.sign(velocity) * 20.0) == -np.sign(velocity) * 20.0
