# ruff: noqa: E501 - tables of cases read best with one case a line
import math

import pytest

from nerfbot.errors import InvalidSpec
from nerfbot.limits import Channel, Distribution, Envelope, Limit, NerfSpec
from nerfbot.limits.spec import ChannelNerf

HARD = (
    "envelope: {channels: {c: {max_velocity: 1.0, max_acceleration: 2.0, stop_deceleration: 1.0,"
    " max_effort: 5, holding_effort: 2}}}\n"
)
NUMBER = "must be a valid number, unable to parse string as a number"

BAD = [
    ("channels: {c: {velocity: -1}}", "channels[c].velocity.nerfed: must be above 0, got -1"),
    ("channels: {c: {velocity: 0}}", "channels[c].velocity.nerfed: must be above 0, got 0"),
    ("channels: {c: {velocity: {nerfed: 1, lifted: -1}}}", "channels[c].velocity.lifted: must be above 0, got -1"),
    ("channels: {c: {velocity: .nan}}", "channels.c.velocity.nerfed: must be a finite number, got nan"),
    ("channels: {c: {velocity: .inf}}", "channels.c.velocity.nerfed: must be a finite number, got inf"),
    ("channels: {c: {velocity: {nerfed: 1, lifted: .nan}}}", "channels.c.velocity.lifted: must be a finite number, got nan"),
    ("channels: {c: {velocty: 1}}", "channels.c.velocty: unknown field; did you mean 'velocity'?"),
    ("channels: {c: {velocity: fast}}", f"channels.c.velocity.nerfed: {NUMBER}, got 'fast'"),
    ("channels: {c.x: {velocity: fast}}", f"channels[c.x].velocity.nerfed: {NUMBER}, got 'fast'"),
    ("channels: {c: {velocity: {nerfed: {uniform: [.nan, 1]}}}}", "channels.c.velocity.nerfed.uniform[0]: must be a finite number, got nan"),
    ("channels: {c: {velocity: {uniform: [2, 1]}}}", "channels.c.velocity.nerfed: uniform must be in rising order, got [2.0, 1.0]"),
    ("channels: {c: {velocity: {uniform: [-2, 1]}}}", "channels[c].velocity.nerfed: must be above 0, got -2"),
    ("channels: {c: {velocity: {lifted: 1}}}", "channels.c.velocity.nerfed: is required"),
    ("channels: {c: {velocity: {nerfed: 2, lifted: 1}}}", "channels[c].velocity: nerfed 2 must not exceed lifted 1"),
    ("channels: {c: {velocity: {nerfed: {uniform: [1, 3]}, lifted: 2}}}", "channels[c].velocity: nerfed 3 must not exceed lifted 2"),
    ("channels: {c: {velocity: {nerfed: 2, lifted: {uniform: [1, 3]}}}}", "channels[c].velocity: nerfed 2 must not exceed lifted 1"),
    ("channels: {c: {dead_band: -0.1}}", "channels[c].dead_band.nerfed: must not be negative, got -0.1"),
    ("channels: {c: {dead_band: {nerfed: 0.1, lifted: 0.2}}}", "channels[c].dead_band: nerfed 0.1 must not be below lifted 0.2"),
    ("channels: {c: {gain: 1.5}}", "channels[c].gain.nerfed: must be at most 1, got 1.5"),
    ("channels: {c: {stall_effort: 1}}", "channels.c: a torque-speed curve needs both stall_effort and no_load_velocity"),
    ("channels: {c: {hold: {rate: 1, duration: 1, spread: wide}}}", "channels.c.hold.spread: must be 'exponential' or 'fixed', got 'wide'"),
    ("command: {latency: 10.5}", "command.latency.nerfed: must be at most 10, got 10.5"),
    ("command: {latency: {uniform: [1, 11]}}", "command.latency.nerfed: must be at most 10, got 11"),
    ("command: {drop: {rate: 1}}", "command.drop.duration: is required"),
    ("command: {drop: {rate: -1, duration: 1}}", "command.drop.rate.nerfed: must not be negative, got -1"),
    ("command: {drop: {rate: 1, duration: 0}}", "command.drop.duration.nerfed: must be above 0, got 0"),
    ("sensors: {lidar: {dropout: 1.5}}", "sensors[lidar].dropout.nerfed: must be at most 1, got 1.5"),
    ("sensors: {lidar: {latency: 10.5}}", "sensors[lidar].latency.nerfed: must be at most 10, got 10.5"),
    ("sensors: {lidar: {range: 0}}", "sensors[lidar].range.nerfed: must be above 0, got 0"),
    ("channels: 5", "channels: must be a valid dictionary, got 5"),
    ("envelope: {channels: {c: {max_velocity: 0}}}", "envelope.channels.c.max_velocity: must be greater than 0, got 0"),
    (HARD + "channels: {c: {velocity: 2}}", "channels[c].velocity.nerfed: 2 is above the envelope's max_velocity 1"),
    (HARD + "channels: {c: {velocity: {uniform: [0.5, 1.5]}}}", "channels[c].velocity.nerfed: 1.5 is above the envelope's max_velocity 1"),
    (HARD + "channels: {'*': {velocity: 2}}", "channels[c].velocity.nerfed: 2 is above the envelope's max_velocity 1"),
    (HARD + "channels: {c: {velocity: {nerfed: .5, lifted: 100}}}", "channels[c].velocity.lifted: 100 is above the envelope's max_velocity 1"),
    (HARD + "channels: {c: {effort: 6}}", "channels[c].effort.nerfed: 6 is above the envelope's max_effort 5"),
    (HARD + "channels: {c: {deceleration: 0.5}}", "channels[c].deceleration.nerfed: 0.5 is below the envelope's stop_deceleration 1"),
    (HARD + "channels: {c: {effort: 1}}", "channels[c].effort.nerfed: 1 is below the envelope's holding_effort 2"),
    (HARD + "channels: {c: {stall_effort: 1, no_load_velocity: {nerfed: 1, lifted: 2}}}", "channels[c].stall_effort.nerfed: 1 is below the envelope's holding_effort 2"),
]  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(text: str):
        path = tmp_path / "n.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(("text", "line"), BAD)
def test_a_bad_value_is_told_in_one_line_with_field_and_value(written, text, line):
    path = written(f"name: a\n{text}\n")
    with pytest.raises(InvalidSpec) as caught:
        NerfSpec.load(path)
    assert str(caught.value) == f"{path}: {line}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("channels: {}", "name: is required"),
        ("name: ''", "name: string should have at least 1 character, got ''"),
        ("[1]", "must be a mapping with a name and channels, got list"),
        ("", "must be a mapping with a name and channels, got NoneType"),
    ],
)
def test_a_file_that_is_no_nerf_is_refused(written, text, line):
    path = written(text)
    with pytest.raises(InvalidSpec) as caught:
        NerfSpec.load(path)
    assert str(caught.value) == f"{path}: {line}"


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(
        InvalidSpec, match=r"^nerf: unknown preset 'rover-week'; did you mean 'rover-weak'\?$"
    ):
        NerfSpec.load("rover-week")
    with pytest.raises(InvalidSpec) as caught:
        NerfSpec.load("zzz")
    assert str(caught.value) == f"nerf: unknown preset 'zzz' (known: {', '.join(NerfSpec.presets())})"


@pytest.mark.parametrize("source", ["missing.yaml", "missing.yml", "a/missing"])
def test_a_path_is_told_from_a_preset(source):
    with pytest.raises(InvalidSpec) as caught:
        NerfSpec.load(source)
    assert str(caught.value) == f"{source}: cannot be read: No such file or directory"


@pytest.mark.parametrize("name", NerfSpec.presets())
def test_every_preset_loads_under_its_own_name(name):
    spec = NerfSpec.load(name)
    assert spec.name == name
    assert NerfSpec.load(spec) is spec
    assert NerfSpec.parse(spec.model_dump()) == spec
    assert spec.description


def test_the_weak_rover_is_weak_on_both_twist_components():
    spec = NerfSpec.load("rover-weak")
    assert spec.channel("linear.x").velocity == Limit(nerfed=0.4, lifted=1.2)
    assert spec.channel("linear.x").effort == Limit(nerfed=17.0, lifted=45.0)
    assert spec.link().latency == Limit(nerfed=0.1, lifted=0.0)
    assert spec.sensor("lidar").range == Limit(nerfed=1.2, lifted=8.0)


def parse(**data):
    return NerfSpec.parse({"name": "a", **data})


def test_limits_at_the_edge_of_what_is_allowed_pass():
    spec = parse(
        envelope={
            "channels": {
                "c": {
                    "max_velocity": 1,
                    "max_acceleration": 2,
                    "stop_deceleration": 1,
                    "max_effort": 5,
                    "holding_effort": 2,
                }
            }
        },
        channels={"c": {"velocity": 1, "deceleration": 1, "effort": 2, "gain": 1, "dead_band": 0}},
        command={"latency": 10, "jitter": 0},
        sensors={"s": {"resolution": 1, "dropout": 1, "bias": -3, "range": {"nerfed": 2, "lifted": 2}}},
    )
    assert spec.channel("c").velocity == Limit(nerfed=1.0, lifted=1.0)
    assert spec.sensor("s").bias == Limit(nerfed=-3.0, lifted=0.0)


def test_a_burst_may_grow_shorter_or_longer_and_a_bias_may_change_its_sign():
    parse(command={"drop": {"rate": 1, "duration": {"nerfed": 1, "lifted": 2}}})
    parse(command={"drop": {"rate": 1, "duration": {"nerfed": 2, "lifted": 1}}})
    parse(sensors={"s": {"bias": {"nerfed": -1, "lifted": 1}}})


@pytest.mark.parametrize(
    ("field", "value", "lifted"),
    [
        ("effort", 1, 5.0),
        ("stall_effort", 1, 5.0),
        ("velocity", 0.5, 1.0),
        ("acceleration", 0.5, 2.0),
        ("deceleration", 1.5, 2.0),
        ("gain", 0.5, 1.0),
        ("dead_band", 0.5, 0.0),
        ("backlash", 0.5, 0.0),
        ("quantum", 0.5, 0.0),
    ],
)
def test_a_missing_lifted_value_is_none_of_the_impairment_or_what_the_envelope_allows(field, value, lifted):
    fields = {field: value}
    if field == "stall_effort":
        fields["no_load_velocity"] = {"nerfed": 1, "lifted": 2}
    hard = {"max_velocity": 1, "max_acceleration": 2, "stop_deceleration": 1, "max_effort": 5}
    spec = parse(envelope={"channels": {"c": hard}}, channels={"c": fields})
    assert getattr(spec.channel("c"), field) == Limit(nerfed=value, lifted=lifted)


def test_a_missing_lifted_burst_has_no_onsets_and_keeps_its_duration():
    spec = parse(
        channels={"c": {"hold": {"rate": 2, "duration": {"uniform": [0.1, 0.3]}, "spread": "fixed"}}}
    )
    hold = spec.channel("c").hold
    assert hold.rate == Limit(nerfed=2.0, lifted=0.0)
    assert hold.duration == Limit(nerfed=Distribution(uniform=(0.1, 0.3)), lifted=0.3)
    assert hold.spread == "fixed"
    assert parse(command={"drop": {"rate": 1, "duration": 1}}).link().drop.spread == "exponential"


def test_an_envelope_given_to_the_lookup_replaces_the_specifications_own():
    hard = {"max_velocity": 1, "max_acceleration": 2, "stop_deceleration": 1}
    spec = parse(envelope={"channels": {"c": hard}}, channels={"c": {"velocity": 0.5}})
    machine = Envelope(channels={"c": {**hard, "max_velocity": 9.0}})
    assert spec.channel("c").velocity.lifted == 1.0
    assert spec.channel("c", machine.find("c")).velocity.lifted == 9.0


@pytest.mark.parametrize("field", ["velocity", "jerk"])
def test_a_lifted_value_that_nothing_says_must_be_stated(field):
    with pytest.raises(InvalidSpec) as caught:
        parse(channels={"c": {field: 1}}).channel("c")
    assert str(caught.value) == f"channels[c].{field}.lifted: is required (nothing in the envelope says it)"
    with pytest.raises(InvalidSpec) as caught:
        parse(sensors={"s": {"range": 1}}).sensor("s")
    assert str(caught.value) == "sensors[s].range.lifted: is required (nothing in the envelope says it)"


def test_the_exact_name_wins_field_by_field_and_an_earlier_pattern_over_a_later_one():
    spec = parse(
        channels={
            "wheel_*": {"gain": 0.5, "dead_band": 0.1, "quantum": 0.1},
            "*_left": {"gain": 0.6, "backlash": 0.2, "dead_band": 0.3},
            "wheel_left": {"dead_band": 0.4, "quantum": None},
        }
    )
    left = spec.channel("wheel_left")
    assert left.dead_band.nerfed == 0.4
    assert left.gain.nerfed == 0.5
    assert left.backlash.nerfed == 0.2
    assert left.quantum is None
    right = spec.channel("wheel_right")
    assert (right.dead_band.nerfed, right.quantum.nerfed, right.backlash) == (0.1, 0.1, None)
    assert spec.channel("arm") == ChannelNerf()


def test_an_entry_that_matches_nothing_is_refused():
    spec = parse(channels={"wheel_*": {"gain": 0.5}}, sensors={"lidr": {"dropout": 0.1}})
    spec.check_names(["wheel_left"])
    with pytest.raises(InvalidSpec) as caught:
        spec.check_names(["arm", "wrist"])
    assert str(caught.value) == ("a: channels[wheel_*]: the robot has no such channel (known: arm, wrist)")
    with pytest.raises(InvalidSpec) as caught:
        spec.check_names(["wheel_left"], ["lidar"])
    assert str(caught.value) == ("a: sensors[lidr]: the robot has no such sensor; did you mean 'lidar'?")
    with pytest.raises(InvalidSpec, match=r"\(it has none\)$"):
        spec.check_names([])


def test_a_limit_past_the_machines_envelope_is_refused():
    spec = parse(channels={"c": {"velocity": {"nerfed": 1, "lifted": 3}}})
    hard = {"max_acceleration": 2, "stop_deceleration": 1}
    channels = (Channel("c", "velocity", "m/s"),)
    spec.check_envelope(channels, Envelope(channels={"c": {**hard, "max_velocity": 3}}))
    with pytest.raises(InvalidSpec) as caught:
        spec.check_envelope(channels, Envelope(channels={"c": {**hard, "max_velocity": 2}}))
    assert str(caught.value) == "a: channels[c].velocity.lifted: 3 is above the envelope's max_velocity 2"


def test_sections_walk_their_limits_in_the_order_of_the_field_table():
    nerf = parse(channels={"c": {"quantum": 0.1, "hold": {"rate": 1, "duration": 2}, "gain": 0.5}}).channel(
        "c"
    )
    assert [name for name, _ in nerf.limits()] == ["gain", "hold.rate", "hold.duration", "quantum"]


def test_numbers_may_be_written_as_yaml_reads_them(written):
    spec = NerfSpec.load(written("name: a\nchannels: {c: {dead_band: 1e-3}}"))
    assert math.isclose(spec.channels["c"].dead_band.nerfed, 0.001)


def test_the_schema_can_be_exported():
    schema = NerfSpec.model_json_schema()
    assert set(schema["properties"]) == {"name", "description", "envelope", "command", "channels", "sensors"}
