"""Several steps in one call are the steps one by one, bit for bit."""

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Measured, Reason
from nerfbot.limits.actuator import joint_reasons
from tests.limits import mixed
from tests.limits.cases import levels

COUNT, STEPS = 3, 12
FINE = 1.0 / 256.0  # s; a power of two, so that times and their differences are exact


def fine_limiter(number: int):
    nerf = mixed.nerf(number)
    return mixed.limiter(nerf, COUNT, period=FINE)


def calls(seed: int):
    rng = np.random.default_rng(seed)
    now = 0.0
    for number in range(60):
        command = np.clip(rng.normal(0.0, [0.5, 2.0, 10.0], (COUNT, 3)), -60, 60)
        if number == 20:
            command[1, 1] = np.nan
        measured = Measured(rng.normal(0.0, 0.5, (COUNT, 3)), rng.normal(0.0, 0.5, (COUNT, 3)))
        lift = levels(1.0 if 30 <= number < 40 else 0.0, COUNT)
        yield number, command, measured, now, lift
        now += STEPS * FINE * (3.0 if number == 50 else 1.0)


@pytest.mark.parametrize("number", range(len(mixed.NERFS)))
def test_a_run_of_steps_is_the_same_as_step_by_step(number):
    together, apart = fine_limiter(number), fine_limiter(number)
    for call, command, measured, now, lift in calls(number):
        if call == 45:
            for each in (together, apart):
                each.reset(np.array([True, False, False]), [9])
        run = together.run(command, measured, now, lift, STEPS)
        steps = [apart.apply(command, measured, now, lift)]
        steps += [apart.advance(measured, now + k * FINE, lift) for k in range(1, STEPS)]
        for name in ("value", "effort_limit"):
            expected = np.stack([getattr(step, name) for step in steps])
            assert getattr(run, name).tobytes() == expected.tobytes(), (call, name)
        assert np.array_equal(run.reasons, joint_reasons(steps))


def test_a_command_that_falls_due_between_two_calls_acts_when_it_is_due():
    limited = mixed.limiter(mixed.parse({"command": {"latency": 0.12}}), COUNT, period=FINE)
    still, first = Measured(np.zeros((COUNT, 3)), np.zeros((COUNT, 3))), []
    for number in range(8):
        command = np.full((COUNT, 3), 1.0 if number else 0.0)
        run = limited.run(command, still, number * STEPS * FINE, levels(0.0, COUNT), STEPS)
        first += [bool(value) for value in run.value[:, 0, mixed.GRIP]]
    assert first.index(True) * FINE == pytest.approx(STEPS * FINE + 0.12, abs=FINE)
    assert first.index(True) * FINE >= STEPS * FINE + 0.12


def test_a_command_that_is_reached_within_its_period_was_not_changed():
    limited = mixed.limiter(mixed.parse({}), COUNT, period=FINE)
    still = Measured(np.zeros((COUNT, 3)), np.zeros((COUNT, 3)))
    near, far = (np.full((COUNT, 3), speed * [0.0, 1.0, 0.0]) for speed in (np.array(1.5), np.array(3.9)))
    assert not limited.run(near, still, 0.0, levels(0.0, COUNT), STEPS).reasons.any()
    run = limited.run(far, still, STEPS * FINE, levels(0.0, COUNT), STEPS)
    assert (run.reasons[:, mixed.WHEEL] == Reason.ENVELOPE).all()


def test_a_command_counts_once_however_many_steps_follow():
    """Jitter is drawn for each message, not for each step."""
    nerf = {"command": {"latency": 0.02, "jitter": 0.05}}
    fine, coarse = (mixed.limiter(mixed.parse(nerf), COUNT, period=FINE) for _ in range(2))
    still = Measured(np.zeros((COUNT, 3)), np.zeros((COUNT, 3)))
    for number in range(20):
        command, now = np.full((COUNT, 3), float(number % 5)), number * STEPS * FINE
        fine.run(command, still, now, levels(0.0, COUNT), STEPS)
        coarse.apply(command, still, now, levels(0.0, COUNT))
    both = [
        limited.run(command, still, now + STEPS * FINE, levels(0.0, COUNT), 40) for limited in (fine, coarse)
    ]
    assert np.array_equal(both[0].value[..., mixed.GRIP], both[1].value[..., mixed.GRIP])


@pytest.mark.parametrize("number", range(len(mixed.NERFS)))
def test_whether_limits_read_the_motion_is_known(number):
    limited = fine_limiter(number)
    assert limited.reads_motion == (number in (1, 2, 5))


def test_motion_limits_are_the_tighter_of_nerf_and_envelope():
    limited = fine_limiter(1)
    limited.apply(
        np.zeros((COUNT, 3)),
        None if not limited.reads_motion else Measured(None, np.zeros((COUNT, 3))),
        0.0,
        levels(0.0, COUNT),
    )
    velocity, acceleration, deceleration, low, high = limited.motion_limits()
    assert velocity[0].tolist() == [0.5, 0.5, 2.0]
    assert acceleration[0, :2].tolist() == [4.0, 4.0]
    assert deceleration[0, :2].tolist() == [12.0, 12.0]
    assert (low[0, mixed.ARM], high[0, mixed.ARM]) == (-2.0, 3.0)
    free = fine_limiter(0)
    assert free.motion_limits()[1][0, :2].tolist() == [40.0, 40.0]
    assert free.motion_limits()[2][0, :2].tolist() == [40.0, 40.0]


def test_bad_calls_are_refused():
    limited = fine_limiter(0)
    zeros, still = np.zeros((COUNT, 3)), Measured(np.zeros((COUNT, 3)), np.zeros((COUNT, 3)))
    with pytest.raises(
        InvalidCommand, match=r"^advance needs a command since the last reset: call apply first$"
    ):
        limited.advance(still, 0.0, levels(0.0, COUNT))
    for steps in (0, -1):
        with pytest.raises(InvalidCommand, match=f"^steps must be at least 1, got {steps}$"):
            limited.run(zeros, still, 0.0, levels(0.0, COUNT), steps)
    with pytest.raises(InvalidCommand, match=r"^now must be a finite time"):
        limited.run(zeros, still, float("nan"), levels(0.0, COUNT), 3)
