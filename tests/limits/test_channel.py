import pytest

from nerfbot.errors import InvalidSpec
from nerfbot.limits import AXES, Channel, Measured, Reason
from nerfbot.limits.channel import Limited


def test_axes_have_their_fixed_order():
    assert AXES == ("strength", "speed", "sensing", "reliability")


@pytest.mark.parametrize(
    ("unit", "base", "effort"),
    [
        ("m", "m", "N"),
        ("m/s", "m", "N"),
        ("N", "m", "N"),
        ("rad", "rad", "N·m"),
        ("rad/s", "rad", "N·m"),
        ("N·m", "rad", "N·m"),
        ("1", "1", "1"),
    ],
)
def test_units_of_position_and_effort_follow_from_the_commanded_unit(unit, base, effort):
    channel = Channel("c", "velocity", unit)
    assert (channel.base_unit, channel.effort_unit) == (base, effort)


def test_a_channel_caps_no_effort_and_measures_nothing_unless_it_says_so():
    channel = Channel("c", "velocity", "m/s")
    assert channel.effort_limit is False
    assert channel.measures == frozenset()


def test_an_unknown_mode_is_named():
    with pytest.raises(
        InvalidSpec,
        match=r"^channel c: mode must be one of \('position', 'velocity', 'effort'\), got 'torque'$",
    ):
        Channel("c", "torque", "N·m")


def test_an_unknown_unit_is_named():
    with pytest.raises(
        InvalidSpec,
        match=r"^channel c: unit must be one of \('m', 'm/s', 'N', 'rad', 'rad/s', 'N·m', '1'\), got 'deg'$",
    ):
        Channel("c", "position", "deg")


def test_a_channel_cannot_be_changed():
    with pytest.raises(AttributeError):
        Channel("c", "position", "m").name = "d"


def test_reasons_are_sixteen_separate_bits_in_a_fixed_order():
    order = (
        "LATENCY HOLD DROP INTERMITTENT DEAD_BAND BACKLASH QUANTUM JERK"
        " ACCELERATION VELOCITY GAIN EFFORT ENVELOPE INVALID TIME STOP"
    )
    bits = [reason for reason in Reason if reason]  # Python 3.10 lists NONE too
    assert [reason.name for reason in bits] == order.split(" ")
    assert [reason.value for reason in bits] == [1 << bit for bit in range(16)]
    assert Reason.NONE == 0


def test_a_measurement_is_absent_unless_given():
    assert Measured() == (None, None, None)
    assert Limited._fields == ("value", "effort_limit", "reasons")
