import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.limits import Distribution, Limit, NerfSpec
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS
from nerfbot.limits.kernel import UNLIMITED
from nerfbot.limits.spec import ChannelNerf, CommandNerf, SensorNerf
from nerfbot.limits.streams import Stream
from nerfbot.limits.table import LimitTable

SEEDS = np.arange(3, dtype=np.uint64)
ALL = np.arange(3)


def table(seeds=SEEDS, **fields) -> LimitTable:
    channels = {"a": fields, "b": {"dead_band": 0.5}}
    spec = NerfSpec.parse({"name": "t", "channels": channels})
    return LimitTable([(name, spec.channel(name)) for name in channels], CHANNEL_FIELDS, seeds)


def lift(robots: int, **axes: float) -> np.ndarray:
    order = ("strength", "speed", "sensing", "reliability")
    return np.tile([axes.get(axis, 0.0) for axis in order], (robots, 1)).astype(float)


def test_columns_follow_the_field_table_and_fields_are_views_of_them():
    limits = table(velocity={"nerfed": 1, "lifted": 3}, gain=0.5)
    assert limits.values.shape == (3, 2, len(CHANNEL_FIELDS))
    column = list(CHANNEL_FIELDS).index("velocity")
    assert np.array_equal(limits.values[:, 0, column], [1.0, 1.0, 1.0])
    view = limits["velocity"]
    limits.update(ALL, lift(3, speed=0.5))
    assert view[:, 0].tolist() == [2.0, 2.0, 2.0]


def test_what_is_not_declared_limits_nothing():
    limits = table(velocity={"nerfed": 1, "lifted": 3})
    bounds = ("effort", "stall_effort", "no_load_velocity", "acceleration", "deceleration", "jerk")
    assert all((limits[field] == UNLIMITED).all() for field in bounds)
    assert (limits["velocity"][:, 1] == UNLIMITED).all()
    assert (limits["gain"] == 1.0).all()
    for field in ("hold.rate", "hold.duration", "intermittent.rate", "backlash", "quantum"):
        assert (limits[field] == 0.0).all()
    assert limits["dead_band"][0].tolist() == [0.0, 0.5]
    assert limits.declared == {"velocity", "dead_band"}
    for fields, section in ((COMMAND_FIELDS, CommandNerf()), (SENSOR_FIELDS, SensorNerf())):
        assert LimitTable([("s", section)], fields, SEEDS).declared == set()
    none = LimitTable([("s", SensorNerf())], SENSOR_FIELDS, SEEDS)
    assert none["resolution"].tolist() == [[1.0]] * 3
    assert none["range"].tolist() == [[UNLIMITED]] * 3
    assert none["dropout"].tolist() == [[0.0]] * 3


def test_each_limit_is_lifted_by_its_own_axis_and_robot():
    limits = table(velocity={"nerfed": 1, "lifted": 3}, gain=0.5, backlash=0.4)
    limits.update(np.array([1]), lift(1, speed=0.25))
    assert limits["velocity"][:, 0].tolist() == [1.0, 1.5, 1.0]
    assert limits["gain"][:, 0].tolist() == [0.5, 0.5, 0.5]
    limits.update(np.array([0, 2]), lift(2, strength=0.5, reliability=0.75))
    assert limits["gain"][:, 0].tolist() == [0.75, 0.5, 0.75]
    assert limits["backlash"][:, 0] == pytest.approx([0.1, 0.4, 0.1])
    assert limits["velocity"][:, 0].tolist() == [1.0, 1.5, 1.0]


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0.0, 1.0))
def test_a_lift_reaches_both_ends_exactly_and_never_past_them(one, other, level):
    nerfed, lifted = min(one, other), max(one, other)
    section = ChannelNerf(velocity=Limit(nerfed=nerfed, lifted=lifted))
    limits = LimitTable([("a", section)], CHANNEL_FIELDS, SEEDS[:1])
    for at, expected in ((0.0, nerfed), (1.0, lifted)):
        limits.update(ALL[:1], lift(1, speed=at))
        assert limits["velocity"][0, 0] == expected
    limits.update(ALL[:1], lift(1, strength=level, speed=level, sensing=level, reliability=level))
    assert nerfed <= limits["velocity"][0, 0] <= lifted
    assert (limits["effort"] == UNLIMITED).all()
    assert (limits["jerk"] == UNLIMITED).all()


def test_draws_depend_on_seed_name_field_and_end_only():
    uniform = {"uniform": [1, 2]}
    limits = table(velocity={"nerfed": uniform, "lifted": 3}, gain={"nerfed": {"choice": [0.25, 0.5]}})
    u = Stream("draw/a/velocity/nerfed", SEEDS).uniform(ALL, np.zeros(1, np.int64))
    assert np.array_equal(limits["velocity"][:, 0], 1.0 + u)
    alone = table(velocity={"nerfed": uniform, "lifted": 3})
    assert np.array_equal(alone["velocity"], limits["velocity"])
    lifted = table(velocity={"nerfed": 1, "lifted": {"uniform": [2, 3]}})
    lifted.update(ALL, lift(3, speed=1.0))
    v = Stream("draw/a/velocity/lifted", SEEDS).uniform(ALL, np.zeros(1, np.int64))
    assert np.array_equal(lifted["velocity"][:, 0], 2.0 + v)


def test_a_redraw_changes_its_robots_only_and_shows_after_the_update():
    limits = table(velocity={"nerfed": {"uniform": [1, 2]}, "lifted": 3})
    before = limits["velocity"].copy()
    limits.redraw(np.array([1]), np.array([77], np.uint64))
    assert np.array_equal(limits["velocity"], before)
    limits.update(ALL, lift(3))
    fresh = table(np.array([77], np.uint64), velocity={"nerfed": {"uniform": [1, 2]}, "lifted": 3})
    assert limits["velocity"][1, 0] == fresh["velocity"][0, 0]
    assert np.array_equal(limits["velocity"][[0, 2]], before[[0, 2]])


def test_a_limit_without_a_lifted_value_stays_as_it_is():
    section = ChannelNerf(velocity=Limit(nerfed=Distribution(uniform=(1.0, 1.0))))
    limits = LimitTable([("a", section)], CHANNEL_FIELDS, SEEDS[:1])
    limits.update(ALL[:1], lift(1, speed=1.0))
    assert limits["velocity"][0, 0] == 1.0
