# ruff: noqa: E501 - tables of cases read best with one case a line
import pytest

from nerfbot.errors import InvalidSpec
from nerfbot.limits import ActuatorLimiter, Channel, Envelope, NerfSpec, enforcement, require_enforceable
from nerfbot.limits.enforcement import needs_velocity
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS
from nerfbot.limits.spec import ChannelNerf, CommandNerf, SensorNerf
from tests.limits.cases import UNITS

NO_CAP = "the plant cannot cap this channel's effort"
NO_VELOCITY = "the plant does not measure this channel's velocity"
CURVE = {"stall_effort": {"nerfed": 1, "lifted": 2}, "no_load_velocity": {"nerfed": 1, "lifted": 2}}


def report(fields: dict, channel: Channel, **extra):
    return enforcement(NerfSpec.parse({"name": "a", "channels": {"c": fields}}), [channel], **extra)


def problems(fields: dict, mode: str, unit: str, **more) -> dict[str, str]:
    return {item.field: item.problem for item in report(fields, Channel("c", mode, unit, **more))}


VELOCITY, CAPPED = frozenset({"velocity"}), {"effort_limit": True}


@pytest.mark.parametrize(
    ("fields", "mode", "more", "expected"),
    [
        ({"effort": {"nerfed": 1, "lifted": 2}}, "velocity", {}, {"effort": NO_CAP}),
        ({"effort": {"nerfed": 1, "lifted": 2}}, "velocity", CAPPED, {"effort": ""}),
        ({"effort": {"nerfed": 1, "lifted": 2}}, "effort", {}, {"effort": ""}),
        (CURVE, "velocity", {}, {"stall_effort": NO_CAP, "no_load_velocity": NO_CAP}),
        (CURVE, "velocity", CAPPED, {"stall_effort": NO_VELOCITY, "no_load_velocity": NO_VELOCITY}),
        (CURVE, "effort", {"measures": VELOCITY}, {"stall_effort": "", "no_load_velocity": ""}),
        ({"velocity": {"nerfed": 1, "lifted": 2}}, "velocity", {}, {"velocity": ""}),
        ({"velocity": {"nerfed": 1, "lifted": 2}}, "effort", {}, {"velocity": NO_VELOCITY}),
        ({"velocity": {"nerfed": 1, "lifted": 2}}, "effort", {"measures": VELOCITY}, {"velocity": ""}),
        ({"gain": 0.5}, "position", {}, {"gain": "a position channel cannot carry it"}),
        ({"gain": 0.5}, "effort", {}, {"gain": ""}),
        ({"gain": 0.5}, "velocity", {}, {"gain": ""}),
        ({"jerk": {"nerfed": 1, "lifted": 2}}, "velocity", {}, {"jerk": ""}),
        ({"jerk": {"nerfed": 1, "lifted": 2}}, "position", {}, {"jerk": "a position channel cannot carry it"}),
        ({"acceleration": {"nerfed": 1, "lifted": 2}}, "position", {}, {"acceleration": ""}),
        ({"acceleration": {"nerfed": 1, "lifted": 2}}, "effort", {}, {"acceleration": "a effort channel cannot carry it"}),
        ({"dead_band": 1, "backlash": 1, "quantum": 1}, "effort", {}, {"dead_band": "", "backlash": "", "quantum": ""}),
    ],
)  # fmt: skip
def test_each_limit_is_reported_as_the_channel_can_enforce_it(fields, mode, more, expected):
    unit = {"position": "rad", "velocity": "rad/s", "effort": "N·m"}[mode]
    assert problems(fields, mode, unit, **more) == expected


def test_the_report_says_axis_unit_and_both_values():
    channel = Channel("c", "velocity", "m/s", effort_limit=True)
    items = {
        item.field: item for item in report({"effort": {"nerfed": 1, "lifted": 2}, "dead_band": 0.1}, channel)
    }
    effort = items["effort"]
    assert (effort.channel, effort.axis, effort.unit, effort.nerfed, effort.lifted) == (
        "c",
        "strength",
        "N",
        1,
        2,
    )
    assert (effort.name, effort.status) == ("c.effort", "enforced")
    band = items["dead_band"]
    assert (band.axis, band.unit, band.nerfed, band.lifted) == ("reliability", "m/s", 0.1, 0.0)


def test_the_machines_envelope_fills_in_lifted_values():
    machine = Envelope(channels={"c": {"max_velocity": 7.0}})
    item = report({"velocity": 1}, Channel("c", "velocity", "m/s"), envelope=machine)[0]
    assert item.lifted == 7.0


def test_a_speed_that_nothing_would_brake_is_not_enforceable():
    fields, measured = {"velocity": {"nerfed": 1, "lifted": 2}}, frozenset({"velocity"})
    bare, damped = ({"c": {"max_effort": 5.0, **more}} for more in ({}, {"damping": 1.0}))
    idle = "above it nothing brakes: the envelope has to state damping"
    for limits, bounded, expected in ((bare, False, idle), (damped, False, ""), (bare, True, "")):
        channel = Channel("c", "effort", "N·m", measures=measured, velocity_limit=bounded)
        item = report(fields, channel, envelope=Envelope(channels=limits))[0]
        assert item.problem == expected


UNKNOWN = "the plant does not measure this channel's "


@pytest.mark.parametrize(
    ("mode", "measures", "field", "problem"),
    [
        ("velocity", (), "max_position", UNKNOWN + "position"),
        ("velocity", ("position",), "max_position", ""),
        ("velocity", (), "max_velocity", ""),
        ("velocity", (), "max_effort", ""),
        ("position", (), "max_position", ""),
        ("position", (), "max_velocity", ""),
        ("position", (), "min_velocity", "it bounds no position channel"),
        ("effort", (), "max_velocity", UNKNOWN + "velocity"),
        ("effort", ("velocity",), "max_velocity", ""),
        ("effort", ("velocity",), "min_position", UNKNOWN + "position"),
        ("effort", ("position",), "min_position", ""),
        ("effort", (), "max_acceleration", "it bounds no effort channel"),
        ("effort", (), "max_effort", ""),
        ("effort", (), "damping", ""),
    ],
)  # fmt: skip
def test_a_hard_limit_that_a_channel_would_ignore_is_refused_unless_allowed(mode, measures, field, problem):
    needed = {
        "position": {"min_position": -1, "max_position": 1, "max_velocity": 1},
        "velocity": {"max_velocity": 1},
        "effort": {"max_effort": 1},
    }[mode]
    motion = {} if mode == "effort" else {"max_acceleration": 2, "stop_deceleration": 2}
    hard = {**needed, **motion, field: -1 if field.startswith("min") else 1}
    channel = Channel("c", mode, UNITS[mode], measures=frozenset(measures))
    machine = Envelope(channels={"c": hard})
    assert dict(machine.problems(channel)) == ({field: problem} if problem else {})
    spec = NerfSpec.parse({"name": "a"})
    if problem:
        with pytest.raises(InvalidSpec) as caught:
            ActuatorLimiter(spec, [channel], envelope=machine)
        line = f"envelope.c.{field}: {hard[field]} is not enforceable: {problem}"
        assert str(caught.value) == f"{line} (allow 'c.{field}' to go on without it)"
    ActuatorLimiter(spec, [channel], envelope=machine, allow=[f"c.{field}"])


def test_what_is_not_enforceable_is_an_error_unless_allowed_by_name():
    items = report(
        {"effort": {"nerfed": {"uniform": [1, 2]}, "lifted": 3}}, Channel("c", "velocity", "rad/s")
    )
    assert items[0].status == "not enforceable"
    with pytest.raises(InvalidSpec) as caught:
        require_enforceable(items)
    assert str(caught.value) == (
        "channels[c].effort: 1..2 N·m is not enforceable: the plant cannot cap this channel's effort"
        " (allow 'c.effort' to go on without it)"
    )
    with pytest.raises(InvalidSpec):
        require_enforceable(items, ["c.velocity"])
    require_enforceable(items, ["c.effort"])


def test_only_curves_and_the_velocity_of_an_effort_channel_need_the_measured_velocity():
    needing = {
        mode: [field for field in CHANNEL_FIELDS if needs_velocity(field, Channel("c", mode, unit))]
        for mode, unit in (("position", "rad"), ("velocity", "rad/s"), ("effort", "N·m"))
    }
    curve = ["stall_effort", "no_load_velocity"]
    assert needing == {"position": curve, "velocity": curve, "effort": [*curve, "velocity"]}


def flat(model) -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        burst = "Burst" in str(field.annotation)
        names += [f"{name}.rate", f"{name}.duration"] if burst else [name]
    return names


@pytest.mark.parametrize(
    ("model", "table"),
    [(ChannelNerf, CHANNEL_FIELDS), (CommandNerf, COMMAND_FIELDS), (SensorNerf, SENSOR_FIELDS)],
)
def test_the_models_have_exactly_the_fields_of_the_table(model, table):
    assert flat(model) == list(table)


@pytest.mark.parametrize(
    ("field", "unit"),
    [
        ("effort", "N"),
        ("stall_effort", "N"),
        ("no_load_velocity", "m/s"),
        ("gain", "1"),
        ("velocity", "m/s"),
        ("acceleration", "m/s^2"),
        ("deceleration", "m/s^2"),
        ("jerk", "m/s^3"),
        ("hold.rate", "1/s"),
        ("hold.duration", "s"),
        ("dead_band", "m"),
        ("backlash", "m"),
        ("quantum", "m"),
    ],
)
def test_units_follow_the_channel(field, unit):
    assert CHANNEL_FIELDS[field].unit_on(Channel("c", "position", "m")) == unit


def test_every_limit_belongs_to_one_axis():
    axes = {field: info.axis for field, info in CHANNEL_FIELDS.items()}
    assert [field for field, axis in axes.items() if axis == "strength"] == [
        "effort",
        "stall_effort",
        "no_load_velocity",
        "gain",
    ]
    assert [field for field, axis in axes.items() if axis == "speed"] == [
        "velocity",
        "acceleration",
        "deceleration",
        "jerk",
    ]
    assert {info.axis for info in COMMAND_FIELDS.values()} == {"reliability"}
    assert {info.axis for info in SENSOR_FIELDS.values()} == {"sensing"}
    assert set(axes.values()) == {"strength", "speed", "reliability"}
