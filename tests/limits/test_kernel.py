"""Each function of the kernel with numbers worked out by hand, and compiled against interpreted."""

import importlib.util
import math
import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.limits import Reason, kernel

LOW, HIGH, TOP, SPEEDING_UP, STOPPING = -1.0, 2.0, 4.0, 8.0, 2.0
UNBOUNDED = (-kernel.UNLIMITED, -kernel.UNLIMITED, kernel.UNLIMITED)
HARD = (LOW, HIGH, TOP, SPEEDING_UP, STOPPING, 50.0, 3.0, *UNBOUNDED)
FAST = 1e6
FAST_STOP = (LOW, HIGH, TOP, SPEEDING_UP, 16.0, 50.0, 3.0, *UNBOUNDED)


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [(0.5, 0, 1, 0.5), (-1, 0, 1, 0), (2, 0, 1, 1), (5, 3, 1, 3), (0, 3, 1, 3)],
)
def test_clamp(value, low, high, expected):
    assert kernel.clamp(float(value), float(low), float(high)) == expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([[1.0, -2.0], [2.0, 0.0]], True),
        ([[1.0, 2.5], [0.0, 0.0]], False),
        ([[1.0, 2.0], [-2.5, 0.0]], False),
        ([[math.nan, 0.0], [0.0, 0.0]], False),
        ([[0.0, 0.0], [0.0, -math.inf]], False),
    ],
)
def test_modest_numbers_are_finite_and_not_too_large(numbers, expected):
    assert bool(kernel.modest(np.array(numbers), 2.0)) is expected
    fine = np.zeros((1, 2))
    for place in range(3):
        arrays = [fine] * 3
        arrays[place] = np.array(numbers)
        assert bool(kernel.all_modest(*arrays, 2.0)) is expected


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (0.0, 0.0),
        (1.0, 1.0),
        (2.0, 2.0),  # one step of 2: growth 2, all of it
        (3.0, 2.5),  # 2.5 + 0.5
        (6.0, 4.0),  # 4 + 2
        (9.0, 5.0),  # 5 + 3 + 1
        (12.0, 6.0),  # 6 + 4 + 2
        (20.0, 8.0),
    ],
)
def test_approach_takes_the_step_from_which_shrinking_steps_end_on_the_target(gap, expected):
    assert kernel.approach(gap, 8.0, 0.5) == pytest.approx(expected, abs=1e-12)


@given(st.floats(1e-3, 1e3), st.floats(0.1, 100.0), st.floats(1e-3, 0.1))
def test_approach_comes_to_rest_on_the_target_within_its_deceleration(gap, rate, dt):
    growth = rate * dt * dt
    before = step = kernel.approach(gap, rate, dt)
    for _ in range(20000):
        if gap <= 1e-9:
            break
        step = kernel.approach(gap, rate, dt)
        assert before - step <= growth * (1 + 1e-6) + 1e-9
        gap, before = gap - step, step
    assert gap <= 1e-9 or step > 0.0
    assert gap >= -1e-9


def test_approach_from_very_far_is_the_continuous_formula():
    assert kernel.approach(1e9, 1e-6, 1e-3) == pytest.approx(math.sqrt(2e-3), rel=1e-9)
    assert 0.0 <= kernel.approach(1.0, 1e-300, 1e-9) < 1e-150


@pytest.mark.parametrize(
    ("gap", "step", "expected"),
    [(4.5, 2.0, False), (4.6, 2.0, True), (2.0, 1.0, False), (2.1, 1.0, True), (0.6, 0.0, True)],
)
def test_ample_is_a_gap_past_the_square_of_the_step(gap, step, expected):
    assert bool(kernel.ample(gap, step, 1.0)) is expected


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e3), st.floats(1e-3, 1e3), st.floats(1e-3, 1.0))
def test_an_ample_gap_allows_the_step(gap, step, rate, dt):
    allowed = kernel.approach(gap, rate, dt)
    assert not kernel.ample(gap, step, rate * dt * dt) or allowed >= step * (1.0 - 1e-12)


@pytest.mark.parametrize(
    ("velocity", "expected"),
    [(0.0, 2.0), (1.0, 3.0), (-1.0, 1.0), (-2.0, 0.0), (-3.0, -1.0), (-1.5, 0.5)],
)
def test_reach_brakes_with_one_bound_and_speeds_up_with_the_other(velocity, expected):
    # acceleration 4, deceleration 4 over half a second is 2
    assert kernel.reach(velocity, 4.0, 4.0, 0.5) == expected


def test_reach_spends_the_time_left_after_braking_on_speeding_up():
    assert kernel.reach(-1.0, 2.0, 4.0, 0.5) == 0.5  # braking takes 0.25 s, the rest gives 0.25 * 2
    assert kernel.reach(-3.0, 2.0, 4.0, 0.5) == -1.0
    assert kernel.reach(1.0, 2.0, 4.0, 0.5) == 2.0


@pytest.mark.parametrize(
    ("command", "rest", "expected"),
    [(0.4, 0.0, 0.0), (-0.4, 0.0, 0.0), (0.5, 0.0, 0.5), (1.2, 1.0, 1.0), (1.5, 1.0, 1.5), (0.2, 1.0, 0.2)],
)
def test_dead_band_rests_within_its_width(command, rest, expected):
    assert kernel.dead_band(command, rest, 0.5) == expected


@pytest.mark.parametrize(
    ("command", "previous", "expected"),
    [(0.25, 0.0, 0.0), (1.0, 0.0, 0.75), (-1.0, 0.0, -0.75), (0.5, 0.75, 0.75), (0.25, 0.75, 0.5)],
)
def test_backlash_drags_the_output_by_the_edges_of_the_gap(command, previous, expected):
    assert kernel.backlash(command, previous, 0.5) == expected


@pytest.mark.parametrize(
    ("command", "step", "nearest", "expected"),
    [
        (0.74, 0.25, False, 0.5),
        (-0.74, 0.25, False, -0.5),
        (0.75, 0.25, False, 0.75),
        (0.74, 0.25, True, 0.75),
        (0.61, 0.25, True, 0.5),
        (-0.61, 0.25, True, -0.5),
        (-0.65, 0.25, True, -0.75),
        (0.7, 0.1, False, 0.7000000000000001),
        (0.3, 0.0, False, 0.3),
        (0.3, 0.0, True, 0.3),
        (1e9, 1e-18, True, 1e9),
        (1e9, 5e-324, False, 1e9),
        (0.0, 0.25, True, 0.0),
    ],
)
def test_quantum_never_adds_authority_except_to_the_nearest_position(command, step, nearest, expected):
    assert kernel.quantum(command, step, nearest) == expected


@pytest.mark.parametrize(
    ("goal", "previous", "speed", "change", "expected"),
    [
        (5.0, 0.0, 0.0, 0.0, 1.0),  # from rest: the change grows by 1
        (5.0, 5.0, 1.0, 1.0, 3.0),  # a gap of 4 allows 2.5, the growing change 2
        (5.0, 5.0, 3.0, 2.0, 4.5),  # a gap of 2 allows 1.5, the shrinking change at least 1
        (5.0, 5.0, 4.0, 2.0, 5.0),
        (0.0, 5.0, 3.0, 0.0, 2.0),
        (1.0, 1.0, 1.0, 0.0, 1.0),
        (1.5, 1.0, 1.0, 0.0, 1.5),
        (-5.0, 0.0, 0.0, 0.0, -1.0),
        (3.0, 1.0, 1.0, 1.0, 3.0),  # on its goal: followed as far as the jerk allows
        (4.0, 1.0, 1.0, 1.0, 3.0),
    ],
)
def test_smooth_takes_an_s_curve_to_a_new_goal_and_follows_one_that_it_was_on(
    goal, previous, speed, change, expected
):
    assert kernel.smooth(goal, previous, speed, change, 4.0, 0.5) == expected  # growth 1


@pytest.mark.parametrize(
    ("gap", "off", "speed", "expected"),
    [
        (1.5, 0.0, 0.0, 1.0 + 0.25),  # no more than 2 of change a step may be taken: approached
        (1.0, 0.0, 0.0, 1.0),
        (3.0, 0.0, 4.0, 3.0),  # 6 m/s after 4 m/s: followed
        (3.1, 0.0, 4.0, 2.0 + 0.1 / 3),
        (3.0, 1.1, 4.0, 2.0),  # it was not on its last target
        (3.0, 1.0, 4.0, 3.0),
        (-3.0, 0.0, -4.0, -3.0),
        (-3.0, 1.1, -4.0, -2.0),
        (-3.0, -1.1, -4.0, -2.0),
        (1.0, 0.0, -1.0, 1.0),
    ],
)
def test_towards_follows_a_moving_target_and_approaches_a_new_one(gap, off, speed, expected):
    assert kernel.towards(gap, off, speed, FAST, 4.0, 4.0, 0.5) == pytest.approx(expected)  # growth 1


def test_towards_follows_only_what_it_can_also_undo():
    assert kernel.towards(1.0, 0.0, 0.0, FAST, 4.0, 4.0, 0.5) == 1.0
    assert kernel.towards(1.0, 0.0, 0.0, FAST, 4.0, 2.0, 0.5) == pytest.approx(0.75)
    assert kernel.towards(0.9, 0.0, 0.0, FAST, 2.0, 4.0, 0.5) == 0.9  # a gap below the growth: all of it
    assert kernel.towards(1.5, 0.0, 0.0, FAST, 2.0, 4.0, 0.5) == pytest.approx(1.25)


def test_towards_leaves_a_far_target_to_the_velocity_limit():
    assert kernel.towards(5.0, 9.0, 0.0, 4.0, 4.0, 4.0, 0.5) == 5.0  # 2 a step: (2 + 1)^2 < 2 * 5
    assert kernel.towards(-5.0, 9.0, 0.0, 4.0, 4.0, 4.0, 0.5) == -5.0
    assert kernel.towards(4.5, 9.0, 0.0, 4.0, 4.0, 4.0, 0.5) == 2.5


def test_moved_lands_on_the_target_to_the_last_bit():
    target, at, dt = 0.7, 0.1, 0.3
    velocity = (target - at) / dt
    assert kernel.moved(at, velocity, velocity, target, dt) == target
    assert kernel.moved(at, 1.0, velocity, target, dt) == 0.1 + 1.0 * 0.3
    assert kernel.moved(0.0, 1.0, 1.0, 1.0, 0.5) == 0.5


@pytest.mark.parametrize(
    ("target", "off", "expected"),
    [(0.0, 0.5e-9, 0.0), (0.0, 1.5e-9, 1.5e-9), (-3.0, 3e-9, -3.0), (-3.0, 5e-9, -3.0 + 5e-9)],
)
def test_moved_lands_on_a_target_that_only_rounding_has_missed(target, off, expected):
    velocity = target + off
    assert kernel.moved(0.0, velocity, velocity, target, 1.0) == expected


@pytest.mark.parametrize(
    ("cap", "driving", "expected"),
    [
        (10.0, 0.0, 4.0),
        (10.0, 1.0, 2.0),
        (10.0, 2.0, 0.0),
        (10.0, 3.0, 0.0),
        (10.0, -1.0, 6.0),
        (5.0, -1.0, 5.0),
    ],
)
def test_motor_effort_in_four_quadrants(cap, driving, expected):
    assert kernel.motor_effort(cap, 4.0, 2.0, driving) == expected


@given(st.floats(-20, 20), st.floats(LOW, HIGH), st.floats(-8, 8), st.floats(0.001, 1.0))
def test_guard_position_stays_inside_the_range(command, at, speed, dt):
    assert LOW <= kernel.guard_position(command, at, speed, HARD, dt) <= HIGH


@pytest.mark.parametrize(
    ("command", "at", "speed", "hard", "expected"),
    [
        (1.0, 0.0, 0.0, HARD, 0.125),  # 8 * 0.125^2
        (-1.0, 0.0, 0.0, HARD, -0.125),
        (1.0, 0.0, 1.0, HARD, 0.25),
        (1.0, 0.0, 3.9, HARD, 0.5),  # 4 * 0.125
        (-0.9, 0.5, -4.0, HARD, 0.0),
        (0.1, 0.0, 3.0, HARD, 0.25),  # too fast to stop at 0.1: brakes by 1 to 2
        (0.1, 0.0, 3.0, FAST_STOP, 0.125),  # brakes by 2 to 1
        (-1.0, 0.5, 2.0, HARD, 0.625),
        (0.05, 0.0, 0.0, HARD, 0.05),
        (5.0, 3.0, 0.0, HARD, 2.875),  # began outside: comes back within its acceleration
        (-5.0, -3.0, 0.0, HARD, -2.875),
        (0.0, 3.0, 1.0, HARD, 3.0),
        (5.0, 1.875, 1.0, HARD, 2.0),
        (5.0, 1.75, 2.0, HARD, 1.9375),
        (-5.0, -0.75, -2.0, HARD, -0.9375),
        (-5.0, -0.75, -8.0, HARD, -1.0),
        (-0.8, -0.8, -4.0, HARD, -1.0),  # on its target, but too fast to stay: the range stops it
    ],
)
def test_guard_position_bounds_velocity_and_its_change(command, at, speed, hard, expected):
    assert kernel.guard_position(command, at, speed, hard, 0.125) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("command", "speed", "hard", "expected"),
    [
        (0.5, 0.0, HARD, 0.5),
        (2.0, 0.0, HARD, 1.0),
        (-2.0, 0.0, HARD, -1.0),
        (5.0, 1.5, HARD, 2.0),
        (-5.0, -0.5, HARD, -1.0),
        (0.0, 2.0, HARD, 1.0),
        (0.0, 2.0, FAST_STOP, 0.0),
        (-1.0, 1.0, HARD, 0.0),
        (-1.0, 1.0, FAST_STOP, -0.5),
        (9.0, 9.0, HARD, 2.0),
    ],
)
def test_guard_velocity_bounds_range_and_change(command, speed, hard, expected):
    assert kernel.guard_velocity(command, speed, 0.0, True, hard, 0.125) == expected


MANY = 1e3
RANGE = (-5.0, 5.0)


@pytest.mark.parametrize(
    ("position", "command", "expected"),
    [
        (4.5, 5.0, 0.5),
        (5.0, 0.9, 0.0),
        (6.0, 1.0, 0.0),
        (6.0, -1.0, -1.0),
        (-5.0, -3.0, 0.0),
        (0.0, 1.0, 1.0),
    ],
)
def test_guard_velocity_keeps_the_measured_position_in_its_range(position, command, expected):
    # the joint_limits tests of ros2_control: 1 rad/s at most, between -5 and 5 rad, steps of 1 s
    hard = (-1.0, 1.0, 1.0, MANY, MANY, 50.0, 0.0, -1.0, *RANGE)
    assert kernel.guard_velocity(command, 0.0, position, True, hard, 1.0) == expected
    assert kernel.guard_velocity(command, 0.0, position, False, hard, 1.0) == max(min(command, 1.0), -1.0)


def test_guard_velocity_brakes_before_the_end_of_the_range():
    hard = (-10.0, 10.0, 10.0, 4.0, 4.0, 50.0, 0.0, -10.0, *RANGE)
    position = speed = 0.0
    for _ in range(400):
        after = kernel.guard_velocity(10.0, speed, position, True, hard, 0.02)
        assert abs(after - speed) <= 4.0 * 0.02 * (1.0 + 1e-6)
        speed, position = after, position + after * 0.02
    assert position == pytest.approx(5.0, abs=1e-3)
    assert position <= 5.0 + 1e-12


@pytest.mark.parametrize(
    ("position", "velocity", "command", "expected"),
    [
        (5.0, 0.0, 20.0, 0.0),
        (0.0, 1.1, 20.0, 0.0),
        (0.0, -1.0, -20.0, 0.0),
        (0.0, 1.1, -20.0, -20.0),
        (5.0, 0.0, -20.0, -20.0),
        (-5.5, 0.0, -20.0, 0.0),
        (0.0, 0.9, 20.0, 20.0),
        (0.0, 0.0, 300.0, 200.0),
    ],
)
def test_guard_effort_drives_no_further_at_the_end_of_velocity_or_position(
    position, velocity, command, expected
):
    # the joint_limits tests of ros2_control: 200 N·m, 1 rad/s, between -5 and 5 rad
    hard = (-200.0, 200.0, 1.0, MANY, MANY, 200.0, 0.0, -1.0, *RANGE)
    assert kernel.guard_effort(command, position, velocity, (True, True), hard) == expected
    unknown = kernel.guard_effort(command, position, velocity, (False, False), hard)
    assert unknown == max(min(command, 200.0), -200.0)


def test_guard_effort_brakes_with_the_damping():
    hard = (-200.0, 200.0, 1.0, MANY, MANY, 200.0, 10.0, -1.0, *RANGE)
    assert kernel.guard_effort(20.0, 0.0, 1.5, (True, True), hard) == -5.0
    assert kernel.guard_effort(-20.0, 0.0, -1.5, (True, True), hard) == 5.0
    assert kernel.guard_effort(20.0, 5.0, 0.5, (True, True), hard) == -5.0
    assert kernel.guard_effort(-20.0, -5.0, -0.5, (True, True), hard) == 5.0
    assert kernel.guard_effort(20.0, 5.0, -0.5, (True, True), hard) == 0.0
    assert kernel.guard_effort(20.0, 0.0, 1000.0, (True, True), hard) == -200.0


@pytest.mark.parametrize(
    ("mode", "out", "expected"),
    [
        (kernel.POSITION_MODE, 1.5, 0.75),
        (kernel.VELOCITY_MODE, 1.5, 1.25),
        (kernel.VELOCITY_MODE, -1.5, -1.25),
        (kernel.VELOCITY_MODE, 0.2, 0.0),
        (kernel.VELOCITY_MODE, -0.2, 0.0),
        (kernel.EFFORT_MODE, 1.5, -1.5),
    ],
)
def test_braking_is_by_mode(mode, out, expected):
    assert kernel.braking(mode, out, 0.75, 0.5, HARD, 0.125) == expected


def test_the_bits_are_those_of_reason():
    bits = {
        "HOLD": kernel._HOLD_BIT,
        "DROP": kernel._DROP_BIT,
        "INTERMITTENT": kernel._INTERMITTENT_BIT,
        "DEAD_BAND": kernel._DEAD_BAND_BIT,
        "BACKLASH": kernel._BACKLASH_BIT,
        "QUANTUM": kernel._QUANTUM_BIT,
        "JERK": kernel._JERK_BIT,
        "ACCELERATION": kernel._ACCELERATION_BIT,
        "VELOCITY": kernel._VELOCITY_BIT,
        "GAIN": kernel._GAIN_BIT,
        "EFFORT": kernel._EFFORT_BIT,
        "ENVELOPE": kernel._ENVELOPE_BIT,
    }
    assert bits == {name: Reason[name].value for name in bits}
    assert kernel.UNLIMITED == 1e12


@pytest.fixture(scope="module")
def interpreted():
    """Return the kernel as it is where numba is not installed."""
    import nerfbot.limits.compiled as compiling

    saved = compiling.njit
    compiling.njit = None
    try:
        spec = importlib.util.spec_from_file_location("interpreted_kernel", kernel.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        compiling.njit = saved
    assert not hasattr(module.limit, "py_func")
    return module


def random_call(rng: np.random.Generator, count: int, mode: np.ndarray) -> dict:
    channels = len(mode)
    limits = 10.0 ** rng.uniform(-2, 2, (count, channels, len(kernel.FIELDS)))
    unlimited = rng.random(limits.shape) < 0.4
    for index, info in enumerate(kernel.FIELDS.values()):
        absent = kernel.UNLIMITED if info.tighter == "less" and info.lifted is None else info.lifted or 0.0
        limits[..., index] = np.where(unlimited[..., index], absent, limits[..., index])
    limits[..., list(kernel.FIELDS).index("gain")] = rng.choice([0.5, 1.0], limits.shape[:2])
    shape = (count, channels)
    command = np.round(rng.normal(0, 3, shape), 3)
    return {
        "limits": limits,
        "command": command,
        "sent": np.where(rng.random(shape) < 0.3, command + 1.0, command),
        "faults": rng.random((2 * channels + 1, count)) < 0.1,
        "position": rng.normal(0, 1, shape),
        "velocity": rng.normal(0, 1, shape),
        "known": (bool(rng.choice([True, False])), bool(rng.choice([True, False]))),
        "stopping": rng.random(count) < 0.05,
        "dt": float(rng.choice([0.05, 0.01, 0.1, 1e-7])),
        "stretch": float(rng.choice([1.0, 0.5, 2.0])),
        "envelope": np.tile([-2.0, 2.5, 4.0, 40.0, 10.0, 50.0, 2.0, -3.0, -1.0, 1.5], (channels, 1)),
        "mode": mode,
        "capped": rng.random(channels) < 0.5,
        "bounds_speed": rng.random(channels) < 0.5,
        "fresh": rng.random(count) < 0.05,
    }


def run(module: ModuleType, call: dict, cells: np.ndarray) -> list[np.ndarray]:
    """Let a kernel limit ``call``; return what it has written."""
    shape = call["command"].shape
    arguments = {**call, "fresh": call["fresh"].copy()}
    module.place(arguments.pop("limits"), np.arange(shape[0]), cells)
    out = [np.empty(shape), np.empty(shape), np.empty(shape, np.uint16)]
    module.limit(*arguments.values(), cells, *out)
    assert not arguments["fresh"].any()
    return [*out, cells]


@pytest.mark.parametrize("count", [1, 7, kernel.LANES, kernel.LANES + 9])
def test_compiled_and_interpreted_give_the_same_bits(interpreted, count):
    rng = np.random.default_rng(count)
    mode = np.array([0, 1, 2, 0, 1, 2])
    cells = [kernel.blank(count, 6) for _ in range(2)]
    for number in range(300 if count < kernel.LANES else 8):
        call = random_call(rng, count, mode)
        call["fresh"] |= number == 0
        results = [run(module, call, own) for module, own in zip((kernel, interpreted), cells, strict=True)]
        for one, other in zip(*results, strict=True):
            assert one.tobytes() == other.tobytes()
        assert np.isfinite(results[0][0]).all()


def test_a_robot_in_a_block_is_limited_as_one_alone():
    rng = np.random.default_rng(0)
    mode, count = np.array([0, 1, 2]), 2 * kernel.LANES + 3
    together, alone = kernel.blank(count, 3), [kernel.blank(1, 3) for _ in range(count)]
    by_robot = ("limits", "command", "sent", "position", "velocity", "stopping", "fresh")
    for number in range(5):
        call = random_call(rng, count, mode)
        call["fresh"] |= number == 0
        *out, _ = run(kernel, call, together)
        assert kernel.executed(together, count).tobytes() == out[0].tobytes()
        for r in range(count):
            own = {name: call[name][r : r + 1] for name in by_robot}
            one = {**call, **own, "faults": np.ascontiguousarray(call["faults"][:, r : r + 1])}
            for whole, single in zip(out, run(kernel, one, alone[r])[:3], strict=True):
                assert whole[r].tobytes() == single[0].tobytes()


def test_limits_are_placed_for_the_robots_asked_for_alone():
    count, mode = kernel.LANES + 2, np.array([0, 1])
    cells = kernel.blank(count, 2)
    limits = np.arange(1.0, 1.0 + count * 2 * len(kernel.FIELDS)).reshape(count, 2, -1)
    robots = np.array([3, kernel.LANES + 1])
    kernel.place(limits, robots, cells)
    columns = cells.reshape(len(cells), len(mode), kernel.COLUMNS, kernel.LANES)
    for r in robots:
        got = columns[r // kernel.LANES, :, : len(kernel.FIELDS), r % kernel.LANES]
        assert np.array_equal(got, limits[r])
    assert np.count_nonzero(cells) == limits[robots].size


def test_what_has_not_arrived_is_late_and_other_reasons_stay():
    count, mode = kernel.LANES + 2, np.array([0, 1, 2])
    call = random_call(np.random.default_rng(3), count, mode)
    *_, late, _ = run(kernel, call, kernel.blank(count, 3))
    *_, prompt, _ = run(kernel, {**call, "sent": call["command"]}, kernel.blank(count, 3))
    assert np.array_equal((late & Reason.LATENCY) != 0, call["sent"] != call["command"])
    assert np.array_equal(late & ~np.uint16(Reason.LATENCY), prompt)


def test_levels_are_taken_within_their_range_and_who_has_a_new_one_is_listed():
    levels, robots = np.array([[0.5, 0.0], [0.0, 1.0], [0.0, 0.0], [0.25, 1.0]]), np.full(4, -1)
    lift = np.array([[0.5, -1.0], [0.75, 1.0], [np.nan, -np.inf], [0.25, np.inf]])
    assert kernel.update_levels(lift, levels, robots) == 2
    assert levels.tolist() == [[0.5, 0.0], [0.75, 1.0], [0.0, 0.0], [0.25, 0.0]]
    assert robots[:2].tolist() == [1, 3]
    assert (
        kernel.update_levels(np.array([[2.0, 7.0], [0.75, 1.0], [0.0, 0.0], [0.25, 0.0]]), levels, robots)
        == 1
    )
    assert levels[0].tolist() == [1.0, 1.0]
    assert robots[0] == 0


def test_without_numba_the_interpreter_takes_over(monkeypatch):
    import nerfbot.limits.compiled as compiling

    monkeypatch.setitem(sys.modules, "numba", None)
    spec = importlib.util.spec_from_file_location("bare_compiled", compiling.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.njit is None

    def function() -> int:
        return 3

    assert module.compiled(function) is function
