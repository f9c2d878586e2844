import hashlib

import pytest
from pydantic import ValidationError

from nerfbot.errors import InvalidSpec
from nerfbot.limits import Channel, ChannelEnvelope, Envelope

FULL = {
    "min_position": -1.0,
    "max_position": 1.0,
    "max_velocity": 2.0,
    "max_acceleration": 3.0,
    "stop_deceleration": 1.0,
    "max_effort": 5.0,
}
NEEDED = {
    "velocity": ["max_velocity", "max_acceleration", "stop_deceleration"],
    "position": ["min_position", "max_position", "max_velocity", "max_acceleration", "stop_deceleration"],
    "effort": ["max_effort"],
}
UNIT = {"velocity": "rad/s", "position": "rad", "effort": "N·m"}


@pytest.mark.parametrize("mode", NEEDED)
def test_what_a_mode_needs_is_enough_and_all_of_it_is_needed(mode):
    needed = {field: FULL[field] for field in NEEDED[mode]}
    channel = Channel("c", mode, UNIT[mode])
    assert Envelope(channels={"c": needed}).channel(channel).max_velocity == needed.get("max_velocity")
    for field in needed:
        fewer = {name: value for name, value in needed.items() if name != field}
        with pytest.raises(InvalidSpec) as caught:
            Envelope(channels={"c": fewer}).channel(channel)
        assert str(caught.value) == f"envelope.c.{field}: is required for a {mode} channel"


def test_a_channel_that_is_not_covered_is_named():
    with pytest.raises(InvalidSpec) as caught:
        Envelope(channels={"a": FULL}).channel(Channel("c", "velocity", "m/s"))
    assert str(caught.value) == "envelope.c: is required, the envelope covers ['a']"


def test_an_exact_name_wins_over_patterns_and_the_first_pattern_over_later_ones():
    envelope = Envelope(channels={"w*": {"max_effort": 1}, "*l": {"max_effort": 2}, "wl": {"max_effort": 3}})
    assert envelope.find("wl").max_effort == 3
    assert envelope.find("wxl").max_effort == 1
    assert envelope.find("xl").max_effort == 2
    assert envelope.find("x") is None


@pytest.mark.parametrize(
    ("mode", "changes", "expected"),
    [
        ("position", {}, (-1.0, 1.0)),
        ("velocity", {}, (-2.0, 2.0)),
        ("velocity", {"min_velocity": -0.5}, (-0.5, 2.0)),
        ("velocity", {"min_velocity": 0.0}, (0.0, 2.0)),
        ("effort", {}, (-5.0, 5.0)),
        ("effort", {"min_effort": -1.0}, (-1.0, 5.0)),
        ("effort", {"max_effort": None}, (None, None)),
        ("velocity", {"max_velocity": None}, (None, None)),
    ],
)
def test_the_smallest_command_is_minus_the_largest_unless_stated(mode, changes, expected):
    assert ChannelEnvelope(**{**FULL, **changes}).range(mode) == expected


@pytest.mark.parametrize(
    "field", ["max_velocity", "max_acceleration", "stop_deceleration", "max_effort", "damping"]
)
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_zero_or_worse_never_means_off(field, value):
    with pytest.raises(ValidationError):
        ChannelEnvelope(**{field: value})


@pytest.mark.parametrize("field", ["min_velocity", "min_effort"])
def test_minima_include_rest(field):
    assert getattr(ChannelEnvelope(**{field: 0.0}), field) == 0.0
    with pytest.raises(ValidationError):
        ChannelEnvelope(**{field: 0.1})


def test_holding_effort_may_be_zero_and_not_less():
    assert ChannelEnvelope(holding_effort=0.0).holding_effort == 0.0
    with pytest.raises(ValidationError):
        ChannelEnvelope(holding_effort=-0.1)


def test_a_position_range_is_not_empty():
    for low, high in ((1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValidationError, match=f"min_position {low} must be below max_position {high}"):
            ChannelEnvelope(min_position=low, max_position=high)
    assert ChannelEnvelope(min_position=2.0).max_position is None
    assert ChannelEnvelope(max_position=-2.0).min_position is None


def test_an_envelope_cannot_be_changed():
    with pytest.raises(ValidationError):
        Envelope(channels={"c": FULL}).channels["c"].max_velocity = 100.0


def test_the_digest_depends_on_the_values_and_not_on_their_order():
    one = Envelope(channels={"a": {"max_effort": 1.0, "damping": 2.0}, "b": {"max_effort": 3.0}})
    other = Envelope(channels={"b": {"max_effort": 3}, "a": {"damping": 2, "max_effort": 1}})
    assert one.digest() == other.digest()
    text = '{"channels": {"a": {"damping": 2.0, "max_effort": 1.0}, "b": {"max_effort": 3.0}}}'
    assert one.digest() == hashlib.sha256(text.encode()).hexdigest()
    assert one.digest() != Envelope(channels={"a": {"max_effort": 1.0}}).digest()
