"""Every bit of `Reason` is raised by its cause, and only then."""

import numpy as np
import pytest

from nerfbot.limits import Reason
from tests.limits.cases import DT, Drive, at_rest, levels, limiter, row, spec

ALWAYS = {"rate": {"nerfed": 1e6, "lifted": 1e6}, "duration": 1e6}

CASES = [
    # mode, nerf, calm commands (no reason), then the command that raises the bit
    ("velocity", {"velocity": 1.0}, [1.0, -1.0], 1.5, Reason.VELOCITY),
    ("velocity", {"velocity": 1.0}, [1.0, -1.0], -1.5, Reason.VELOCITY),
    ("position", {"velocity": 1.0}, [0.05, 0.1], 0.3, Reason.VELOCITY),
    ("velocity", {"acceleration": 16.0}, [1.0, 2.0], 3.5, Reason.ACCELERATION),
    ("velocity", {"acceleration": 16.0, "deceleration": 32.0}, [1.0, 2.0], -0.5, Reason.ACCELERATION),
    ("velocity", {"deceleration": 16.0}, [2.0], 0.5, Reason.ACCELERATION),
    ("position", {"acceleration": 16.0}, [0.05], 0.5, Reason.ACCELERATION),
    ("velocity", {"jerk": 64.0}, [0.25, 0.5], 2.0, Reason.JERK),
    ("velocity", {"gain": 0.5}, [0.0], 1.0, Reason.GAIN),
    ("effort", {"gain": 0.5}, [0.0], 1.0, Reason.GAIN),
    ("effort", {"effort": 5.0}, [5.0, -5.0], 6.0, Reason.EFFORT),
    ("effort", {"effort": 5.0}, [5.0, -5.0], -6.0, Reason.EFFORT),
    ("velocity", {"dead_band": 0.5}, [0.5, 0.0, -0.7], 0.4, Reason.DEAD_BAND),
    ("position", {"dead_band": 0.05}, [0.05, 0.05], 0.07, Reason.DEAD_BAND),
    ("velocity", {"backlash": 0.5}, [0.0, 0.0], 1.0, Reason.BACKLASH),
    ("velocity", {"quantum": 0.25}, [0.5, -0.75], 0.6, Reason.QUANTUM),
    ("position", {"quantum": 0.0625}, [0.0625, 0.125], 0.13, Reason.QUANTUM),
    ("velocity", {"hold": ALWAYS}, [0.0], 1.0, Reason.HOLD),
    ("position", {"hold": ALWAYS}, [0.0], 0.1, Reason.HOLD),
    ("velocity", {}, [2.0, 4.0], 5.0, Reason.ENVELOPE),
    ("velocity", {}, [2.0, 4.0], 1.0, Reason.ENVELOPE),
    ("velocity", {"acceleration": 16.0}, [1.0, 2.0, 3.0, 4.0], 4.5, Reason.ENVELOPE),
    ("effort", {}, [50.0, -50.0], 51.0, Reason.ENVELOPE),
    ("position", {}, [0.1, 0.2], 0.9, Reason.ENVELOPE),
    ("position", {"velocity": 4.0}, [0.1, 0.2], 3.5, Reason.VELOCITY | Reason.ENVELOPE),
]


@pytest.mark.parametrize(("mode", "fields", "calm", "command", "expected"), CASES)
def test_each_limit_raises_its_own_bit_and_only_when_it_acts(mode, fields, calm, command, expected):
    drive = Drive(limiter(mode, spec(**fields)))
    for requested in calm:
        assert drive.step(requested) == pytest.approx(requested, abs=1e-12)
        assert drive.reasons == 0
    drive.step(command)
    assert Reason(drive.reasons) & expected == expected
    others = Reason.ENVELOPE | Reason.ACCELERATION | Reason.VELOCITY  # a sudden move meets these too
    assert Reason(drive.reasons) & ~(expected | others) == 0


def test_exactly_one_bit_for_exactly_one_cause():
    for mode, fields, command, expected in (
        ("velocity", {"velocity": 1.0}, 1.5, Reason.VELOCITY),
        ("velocity", {"acceleration": 16.0}, 1.5, Reason.ACCELERATION),
        ("velocity", {"jerk": 64.0}, 0.5, Reason.JERK),
        ("velocity", {"gain": 0.5}, 1.0, Reason.GAIN),
        ("velocity", {"backlash": 0.5}, 1.0, Reason.BACKLASH),
        ("velocity", {}, 3.0, Reason.ENVELOPE),
        ("position", {"velocity": 1.0}, 0.1, Reason.VELOCITY),
        ("position", {"acceleration": 16.0}, 0.3, Reason.ACCELERATION),
        ("effort", {"effort": 5.0}, 6.0, Reason.EFFORT),
        ("effort", {}, 60.0, Reason.ENVELOPE),
    ):
        drive = Drive(limiter(mode, spec(**fields)))
        drive.step(command)
        assert Reason(drive.reasons) == expected


def test_latency_is_a_reason_while_what_arrives_differs():
    drive = Drive(limiter("velocity", spec({"latency": 2 * DT})))
    reasons = []
    for _ in range(4):
        drive.step(1.0)
        reasons.append(drive.reasons)
    assert reasons == [Reason.LATENCY, Reason.LATENCY, 0, 0]


def test_a_lost_message_is_a_reason_unless_it_asked_for_rest():
    drive = Drive(limiter("velocity", spec({"drop": ALWAYS})))
    drive.step(0.0)
    assert drive.reasons == 0
    drive.step(1.0)
    assert drive.reasons == Reason.DROP
    drive = Drive(limiter("position", spec({"drop": ALWAYS})), measured=at_rest(position=0.125))
    drive.step(0.125)
    assert drive.reasons == 0
    drive.step(0.2)
    assert drive.reasons == Reason.DROP


def test_lost_power_is_a_reason_whatever_was_asked():
    drive = Drive(limiter("velocity", spec(intermittent=ALWAYS)))
    drive.step(0.0)
    assert drive.reasons == Reason.INTERMITTENT


def test_a_withdrawn_lift_is_the_velocity_limit_at_work():
    nerf = spec(velocity={"nerfed": 1.0, "lifted": 4.0}, acceleration=16.0)
    drive = Drive(limiter("velocity", nerf), lift=1.0)
    drive.run(1.0, 2.0, 3.0)
    assert drive.reasons == 0
    drive.lift = 0.0
    drive.step(1.0)
    assert drive.reasons == Reason.ACCELERATION
    drive.step(1.0)
    assert drive.reasons == 0


def test_two_causes_raise_two_bits():
    drive = Drive(limiter("velocity", spec(gain=0.5, velocity=1.0, quantum=0.25)))
    drive.step(1.6)
    assert drive.reasons == Reason.GAIN | Reason.VELOCITY | Reason.QUANTUM


def test_one_robots_reasons_are_its_own():
    limited = limiter("velocity", spec(velocity=1.0), count=2)
    reasons = limited.apply([[0.5], [1.5]], at_rest(2), 0.0, levels(0, 2)).reasons
    assert reasons[:, 0].tolist() == [0, Reason.VELOCITY]
    again = limited.apply(row(0.5, 2), at_rest(2), DT, levels(0, 2)).reasons
    assert not np.any(again)
