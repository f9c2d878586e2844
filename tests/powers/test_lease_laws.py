"""Laws of the authority as properties: whatever the sequence of calls, and however many robots."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerfbot.limits import AXES
from nerfbot.powers import Circle, Lease, LeaseAuthority, LeasePolicy, Rectangle, Zone
from nerfbot.powers.grants import GrantTable

ROBOTS = 3
ZONE = Zone(region=Rectangle(x=(0, 1), y=(0, 1)))
ZONED = LeasePolicy(zones=[ZONE], max_level={"strength": 0.75}, max_duration=6.0, max_leases=2)
FREE = LeasePolicy(allow_outside=True, max_level={"speed": 0.5}, max_duration=6.0, max_leases=3)

levels = st.dictionaries(st.sampled_from(AXES), st.floats(0, 1), min_size=1)
leases = st.builds(
    Lease,
    axes=levels,
    reason=st.just("property"),
    region=st.sampled_from([None, Circle(x=0.5, y=0.5, radius=0.4)]),
    duration=st.floats(0.1, 8),
    charges=st.none() | st.integers(1, 2),
    ramp=st.sampled_from([0.0, 0.5, 2.0, 5.0]),
)
places = st.sampled_from([(0.5, 0.5), (0.05, 0.5), (3.0, 0.5), (math.nan, 0.5)])
robots = st.integers(0, ROBOTS - 1)
steps = st.one_of(
    st.floats(0, 1.5), st.floats(0, 1.5), st.sampled_from([0.0, -0.5, -3.0, math.nan, math.inf])
)
calls = st.lists(
    st.tuples(
        steps,
        st.one_of(
            st.tuples(st.just("request"), robots, places, leases),
            st.tuples(st.just("update"), st.lists(places, min_size=ROBOTS, max_size=ROBOTS) | st.none()),
            st.tuples(st.just("use"), st.integers(1, 6)),
            st.tuples(st.just("revoke"), st.integers(1, 6)),
            st.tuples(st.just("estop")),
            st.tuples(st.just("clear")),
            st.tuples(st.just("reset"), robots),
        ),
    ),
    max_size=25,
)


def act(authority, now, call, granted):
    """Make one call; granted leases go into `granted` as id -> (lease, robot, time)."""
    match call:
        case ("request", robot, place, lease):
            decision = authority.request(lease, now, place, robot)
            if decision:
                granted[decision.lease_id] = lease, robot, now
        case ("update", positions):
            return authority.update(now, positions)
        case ("use", lease_id):
            authority.use_charge(lease_id, now)
        case ("revoke", lease_id):
            if authority.revoke(lease_id, now, "x"):
                granted.pop(lease_id, None)
        case ("estop",):
            authority.estop(now, "x")
            granted.clear()
        case ("clear",):
            authority.clear_estop(now, "x")
        case ("reset", robot):
            authority.reset([robot])
            for lease_id in [key for key, value in granted.items() if value[1] == robot]:
                del granted[lease_id]
    return None


@settings(max_examples=150, deadline=None)
@given(calls=calls, policy=st.sampled_from([ZONED, FREE]))
def test_level_never_exceeds_a_living_lease_nor_the_policy(calls, policy):
    authority, granted, clock = LeaseAuthority(ROBOTS, policy), {}, 0.0
    for step, call in calls:
        now = clock + step
        given = act(authority, now, call, granted)
        if given is None:
            given, now = authority.update(clock, [(0.5, 0.5)] * ROBOTS), clock
        if math.isfinite(now) and now >= clock:
            clock = now
        elif call[0] == "update":
            granted.clear()
        highest = np.zeros((ROBOTS, len(AXES)))
        for lease, robot, start in granted.values():
            if clock < start + lease.duration:
                for axis, level in lease.axes.items():
                    cell = robot, AXES.index(axis)
                    highest[cell] = max(highest[cell], min(level, policy.max_level.get(axis, 1.0)))
        assert np.isfinite(given).all()
        assert (given >= 0).all()
        assert (given <= highest).all()


@settings(max_examples=150, deadline=None)
@given(
    lease=leases.filter(lambda lease: lease.ramp > 0 and lease.duration <= 6),
    times=st.lists(st.floats(0, 9), min_size=2, max_size=12).map(sorted),
    leave=st.integers(0, 12),
)
def test_slope_of_the_ramp_is_bounded_on_every_normal_way(lease, times, leave):
    authority = LeaseAuthority(policy=LeasePolicy(zones=[ZONE]))
    authority.request(lease, 0.0, (0.5, 0.5))
    before, then = np.zeros(4), 0.0
    rate = np.array([lease.axes.get(axis, 0.0) for axis in AXES]) / lease.ramp
    for number, now in enumerate(times):
        now_levels = authority.update(now, [(0.5, 0.5) if number < leave else (3.0, 3.0)])[0]
        assert (np.abs(now_levels - before) <= rate * (now - then) + 1e-9).all()
        before, then = now_levels, now


@settings(max_examples=100, deadline=None)
@given(lease=leases.filter(lambda lease: lease.duration <= 6), when=st.floats(0, 5), later=st.floats(0, 20))
def test_what_was_revoked_never_comes_back(lease, when, later):
    authority = LeaseAuthority(policy=FREE)
    wish = lease.model_copy(update={"axes": {"strength": 1.0}, "region": None})
    assert authority.request(wish, 0.0)
    authority.revoke(1, when, "x")
    assert not authority.update(when + later).any()
    assert not authority.use_charge(1, when + later)


@settings(max_examples=100, deadline=None)
@given(times=st.lists(st.floats(-10, 20) | st.just(math.nan), max_size=12))
def test_no_sequence_of_times_extends_a_lease(times):
    authority = LeaseAuthority(policy=FREE)
    authority.request(Lease(axes={"strength": 1}, reason="x", duration=5.0), 0.0)
    failed = False
    latest = 0.0
    for now in times:
        level = authority.update(now)[0, 0]
        failed = failed or not now >= latest
        latest = max(latest, now) if now == now else latest
        assert level == (0.0 if failed or latest >= 5.0 else 1.0)


# Few grants are walked, many are computed in arrays: the two must not differ.


def pair(policy, count=ROBOTS):
    walked, arrays = LeaseAuthority(count, policy), LeaseAuthority(count, policy)
    walked._table, arrays._table = GrantTable(count, few=10**6), GrantTable(count, few=-1)
    return walked, arrays


@settings(max_examples=150, deadline=None)
@given(calls=calls, policy=st.sampled_from([ZONED, FREE]))
def test_walking_and_arrays_give_the_same_levels_bit_for_bit(calls, policy):
    both, clock = pair(policy), 0.0
    for step, call in calls:
        now = clock + step
        for authority in both:
            act(authority, now, call, {})
        clock = now if math.isfinite(now) and now > clock else clock
        seen = [authority.update(clock, [(0.5, 0.5)] * ROBOTS) for authority in both]
        assert np.array_equal(seen[0], seen[1])
        assert both[0].active() == both[1].active()


def crowd(rng, number):
    wish = Lease(
        axes={axis: rng.random() for axis in rng.permutation(AXES)[: rng.integers(1, 5)]},
        reason="crowd",
        region=Circle(x=0, y=0, radius=float(rng.integers(1, 30))) if rng.random() < 0.6 else None,
        duration=float(rng.uniform(0.5, 20)),
        ramp=float(rng.choice([0.0, 1.0, 3.0])),
    )
    return wish, int(rng.integers(number))


@pytest.mark.parametrize("policy", [ZONED, FREE])
def test_a_crowd_of_robots_is_served_the_same_both_ways(policy):
    count, rng = 40, np.random.default_rng(3)
    policy = policy.model_copy(update={"max_duration": None, "max_level": {}})
    both = pair(policy, count)
    most = 0
    for now in np.arange(0, 12, 0.25):
        for _ in range(12):
            wish, robot = crowd(rng, count)
            assert len({authority.request(wish, now, (0.5, 0.5), robot).reason for authority in both}) == 1
        where = rng.uniform(0, 1.03, (count, 2)) if policy.zones else rng.uniform(0, 6, (count, 2))
        where = np.where(rng.random((count, 1)) < 0.05, np.nan, where)
        seen = [authority.update(now + 0.1, where) for authority in both]
        assert np.array_equal(seen[0], seen[1])
        assert both[0].active() == both[1].active()
        most = max(most, len(both[0].active()))
    assert most > 16, "the table must have grown"


def test_many_robots_in_one_zone_leave_it_one_by_one():
    count = 20
    authority = LeaseAuthority(count, LeasePolicy(zones=[ZONE]))
    for robot in range(count):
        authority.request(Lease(axes={"speed": 1}, reason="x", duration=9.0), 0.0, (0.5, 0.5), robot)
    where = np.full((count, 2), 0.5)
    where[3], where[7] = (2.0, 0.5), (math.nan, 0.5)
    expected = np.ones(count)
    expected[[3, 7]] = 0.0
    assert authority.update(1.0, where)[:, 1].tolist() == expected.tolist()
    assert not authority.update(2.0).any()


def test_few_by_default_means_eight():
    assert GrantTable(1).few == 8


def test_places_no_longer_used_are_forgotten():
    authority = LeaseAuthority(1, LeasePolicy(allow_outside=True))
    keeper = Lease(axes={"speed": 1}, reason="x", duration=29.0, region=Circle(x=0, y=0, radius=99))
    authority.request(keeper, 0.0, (0, 0))
    for number in range(50):
        region = Circle(x=number, y=0, radius=0.5)
        wish = Lease(axes={"speed": 1}, reason="x", duration=1.0, region=region)
        lease_id = authority.request(wish, 1.0, (number, 0)).lease_id
        authority.revoke(lease_id, 1.0, "x")
        assert len(authority._table._places) <= 3
    assert authority.update(2.0, [[98, 0]])[0, 1] == 1.0
    assert authority.update(2.0, [[100, 0]])[0, 1] == 0.0
