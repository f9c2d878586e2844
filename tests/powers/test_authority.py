from __future__ import annotations

import json
import math

import numpy as np
import pytest

from nerfbot.errors import AuditLogError, InvalidCommand, LeaseError
from nerfbot.limits import AXES
from nerfbot.powers import (
    EDITS,
    AuditLog,
    Circle,
    Lease,
    LeaseAuthority,
    LeasePolicy,
    Rectangle,
    Refusal,
    Return,
    Zone,
    verify,
)

NAN, INF = math.nan, math.inf
ANYWHERE = LeasePolicy(allow_outside=True, edits=EDITS, max_duration=None)
WEST, EAST = Rectangle(x=(0, 2), y=(0, 1)), Rectangle(x=(2, 4), y=(0, 1))
ZONES = LeasePolicy(
    zones=[Zone(region=WEST), Zone(region=EAST, axes=["speed"], edits=["phase"])], edits=EDITS
)


def lease(duration=10.0, **fields):
    if "edits" not in fields:
        fields.setdefault("axes", {"strength": 1.0})
    return Lease(reason=fields.pop("reason", "test"), duration=duration, **fields)


def strength(authority, now, positions=None, robot=0):
    return authority.update(now, positions)[robot, 0]


@pytest.fixture
def log(tmp_path):
    with AuditLog(tmp_path / "audit.jsonl") as log:
        yield log


def events(log):
    """Every line after the genesis as (event, now, fields)."""
    records = [json.loads(line) for line in log.path.read_text().splitlines()[1:]]
    verify(log.path)
    return [(record["event"], record["now"], record["fields"]) for record in records]


# Levels and ramps


def test_without_a_lease_all_levels_are_zero_in_a_new_array():
    authority = LeaseAuthority(3)
    levels = authority.update(0.0)
    assert levels.shape == (3, 4)
    assert levels.dtype == np.float64
    assert not levels.any()
    levels += 1
    assert not authority.update(0.0).any()


def test_one_robot_is_the_default():
    authority = LeaseAuthority(policy=ANYWHERE)
    assert authority.request(lease(), 0.0)
    assert authority.update(0.0).tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_each_axis_gets_its_own_level():
    authority = LeaseAuthority(2, ANYWHERE)
    levels = {axis: 0.2 * (number + 1) for number, axis in enumerate(AXES)}
    authority.request(lease(axes=levels), 0.0, robot=1)
    assert authority.update(1.0).tolist() == [[0, 0, 0, 0], list(levels.values())]


def test_step_lift_lasts_from_the_grant_until_just_before_its_end():
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(duration=2.0), 5.0)
    assert strength(authority, 5.0) == 1.0
    assert strength(authority, math.nextafter(7.0, 0)) == 1.0
    assert strength(authority, 7.0) == 0.0
    assert authority.active() == ()


def test_level_ramps_up_and_is_back_at_zero_when_the_duration_is_over():
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(duration=10.0, ramp=2.0, axes={"strength": 0.5}), 100.0)
    seen = [strength(authority, 100.0 + t) for t in (0, 0.5, 1, 2, 5, 8, 9, 9.5, 10, 11)]
    assert seen == [0, 0.125, 0.25, 0.5, 0.5, 0.5, 0.25, 0.125, 0, 0]


def test_lease_shorter_than_two_ramps_turns_halfway():
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(duration=2.0, ramp=4.0), 0.0)
    assert [strength(authority, t) for t in (0, 0.5, 1, 1.5, 2)] == [0, 0.125, 0.25, 0.125, 0]


def test_of_several_leases_the_highest_level_counts_on_each_axis():
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(axes={"strength": 0.5, "speed": 0.2}), 0.0)
    authority.request(lease(axes={"strength": 0.3, "sensing": 1.0}, ramp=2.0), 0.0)
    assert authority.update(1.0).tolist() == [[0.5, 0.2, 0.5, 0.0]]
    authority.revoke(1, 1.0, "x")
    assert authority.update(2.0).tolist() == [[0.3, 0.0, 1.0, 0.0]]


def test_edits_lift_nothing_and_are_listed_as_active():
    authority = LeaseAuthority(policy=ANYWHERE)
    wish = lease(edits=["phase"], charges=3)
    assert authority.request(wish, 1.0).lease_id == 1
    assert not authority.update(1.5).any()
    (active,) = authority.active(0)
    assert (active.lease_id, active.robot, active.start, active.end, active.charges) == (1, 0, 1.0, 11.0, 3)
    assert active.lease is wish


def test_active_leases_are_listed_by_robot_and_in_order():
    authority = LeaseAuthority(3, ANYWHERE)
    for robot in (2, 0, 2, 1):
        authority.request(lease(), 0.0, robot=robot)
    assert [active.lease_id for active in authority.active()] == [1, 2, 3, 4]
    assert [active.lease_id for active in authority.active(2)] == [1, 3]
    authority.revoke(1, 0.0, "x")
    assert [active.lease_id for active in authority.active()] == [2, 3, 4]
    assert [active.lease_id for active in authority.active(2)] == [3]
    assert authority.active(0)[0].robot == 0


# Refusals


def test_granted_decision_is_true_and_says_so():
    decision = LeaseAuthority(policy=ANYWHERE).request(lease(), 0.0)
    assert decision
    assert (decision.granted, decision.reason, decision.lease_id, decision.detail) == (True, "granted", 1, "")


LOW = LeasePolicy(allow_outside=True, max_level={"strength": 0.5, "sensing": 0}, max_duration=10)
REFUSED = [
    (LOW, lease(axes={"sensing": 0.1}), None, "axis-not-allowed", "the policy allows no lift of sensing"),
    (
        LOW,
        lease(axes={"strength": 0.51}),
        None,
        "level-too-high",
        "strength = 0.51 is above the policy's highest level 0.5",
    ),
    (LOW, lease(10.5), None, "level-too-high", "strength = 1 is above the policy's highest level 0.5"),
    (
        LOW,
        lease(10.5, axes={"speed": 1}),
        None,
        "too-long",
        "duration = 10.5 s is above the policy's 10 s",
    ),
    (LOW, lease(edits=["phase"]), None, "edit-not-allowed", "the policy does not allow phase"),
    (
        LeasePolicy(),
        lease(30.1),
        (0, 0),
        "too-long",
        "duration = 30.1 s is above the policy's 30 s",
    ),
    (LeasePolicy(), lease(30.0), (0, 0), "outside-region", "(0, 0) m is outside every lift zone"),
    (LeasePolicy(), lease(edits=["unlock"]), (0, 0), "edit-not-allowed", "the policy does not allow unlock"),
    (
        ZONES,
        lease(),
        None,
        "no-position",
        "robot 0 has no position, and the lease is bound to a place",
    ),
    (
        ZONES,
        lease(),
        (NAN, 0),
        "no-position",
        "robot 0 has no position, and the lease is bound to a place",
    ),
    (
        ZONES,
        lease(),
        (1, INF),
        "no-position",
        "robot 0 has no position, and the lease is bound to a place",
    ),
    (ZONES, lease(), (1, 1.5), "outside-region", "(1, 1.5) m is outside every lift zone"),
    (ZONES, lease(), (3, 0.5), "axis-not-allowed", "the lift zone at (3, 0.5) m does not allow strength"),
    (
        ZONES,
        lease(axes={"strength": 1, "speed": 1}),
        (3, 0.5),
        "axis-not-allowed",
        "the lift zone at (3, 0.5) m does not allow strength, speed",
    ),
    (
        ZONES,
        lease(edits=["unlock", "phase"]),
        (3, 0.5),
        "edit-not-allowed",
        "the lift zone at (3, 0.5) m does not allow unlock, phase",
    ),
    (
        ZONES,
        lease(region=Circle(x=0, y=0, radius=0.5)),
        (1, 0.5),
        "outside-region",
        "(1, 0.5) m is outside the lease's region",
    ),
    (
        ANYWHERE,
        lease(region=Circle(x=0, y=0, radius=0.5)),
        (1, 0.5),
        "outside-region",
        "(1, 0.5) m is outside the lease's region",
    ),
    (
        ANYWHERE,
        lease(region=Circle(x=0, y=0, radius=0.5)),
        None,
        "no-position",
        "robot 0 has no position, and the lease is bound to a place",
    ),
    (
        LeasePolicy(zones=[Zone(region=EAST, axes=["speed"])]),
        lease(),
        (3, 0.5),
        "axis-not-allowed",
        "no lift zone allows strength",
    ),
    (
        LeasePolicy(zones=[Zone(region=EAST, edits=[])], edits=EDITS),
        lease(edits=["phase", "unlock"]),
        (3, 0.5),
        "edit-not-allowed",
        "no lift zone allows phase, unlock",
    ),
]


@pytest.mark.parametrize(("policy", "wish", "position", "reason", "detail"), REFUSED)
def test_refusal_has_a_name_and_a_sentence_and_is_written(log, policy, wish, position, reason, detail):
    authority = LeaseAuthority(policy=policy, audit=log)
    decision = authority.request(wish, 3.0, position)
    assert not decision
    assert (decision.reason, decision.lease_id, decision.detail) == (reason, None, detail)
    assert not authority.update(3.0, [[1.0, 0.5]]).any()
    ((event, now, fields),) = events(log)
    assert (event, now) == ("refuse", 3.0)
    assert fields == {
        "robot": 0,
        "axes": dict(wish.axes),
        "edits": list(wish.edits),
        "asked": "test",
        "reason": reason,
        "detail": detail,
    }


GRANTED = [
    (LOW, lease(10.0, axes={"strength": 0.5}), None),
    (LOW, lease(axes={"sensing": 0.0, "speed": 1.0}), None),
    (ANYWHERE, lease(1e9), None),
    (ANYWHERE, lease(edits=EDITS), (NAN, 0)),
    (ANYWHERE, lease(region=Circle(x=0, y=0, radius=0.5)), (0.5, 0)),
    (ZONES, lease(30.0), (2, 1)),
    (ZONES, lease(axes={"speed": 1}), (3, 0.5)),
    (ZONES, lease(axes={"speed": 1}), (2, 0.5)),
    (ZONES, lease(edits=["phase"]), (3, 0.5)),
    (ZONES, lease(edits=["unlock", "phase"]), (1, 0.5)),
    (LeasePolicy(zones=[Zone(region=WEST)], allow_outside=True), lease(), None),
    (LeasePolicy(zones=[Zone(region=WEST, axes=["speed"])], allow_outside=True), lease(), None),
]


@pytest.mark.parametrize(("policy", "wish", "position"), GRANTED)
def test_what_the_policy_allows_is_granted(policy, wish, position):
    assert LeaseAuthority(policy=policy).request(wish, 0.0, position)


def test_defaults_of_policy_and_zone():
    policy = LeasePolicy()
    assert (policy.zones, policy.allow_outside, policy.max_level, policy.edits) == ((), False, {}, ())
    assert (policy.max_duration, policy.cooldown, policy.max_leases) == (30.0, 0.0, 4)
    zone = Zone(region=WEST)
    assert (zone.axes, zone.edits) == (AXES, EDITS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LeasePolicy(max_duration=0),
            "LeasePolicy: max_duration: must be greater than 0, got 0",
        ),
        (
            lambda: LeasePolicy(cooldown=-1),
            "LeasePolicy: cooldown: must be greater than or equal to 0, got -1",
        ),
        (
            lambda: LeasePolicy(max_leases=0),
            "LeasePolicy: max_leases: must be greater than or equal to 1, got 0",
        ),
        (
            lambda: LeasePolicy(allow_outside=1),
            "LeasePolicy: allow_outside: must be a valid boolean, got 1",
        ),
        (lambda: Zone(), "Zone: region: is required"),
        (
            lambda: Zone(region=WEST, axes=["spede"]),
            "Zone: axes[0]: unknown axis 'spede'; did you mean 'speed'?",
        ),
        (
            lambda: LeasePolicy(edits=["phase", "phase"]),
            "LeasePolicy: edits: names an edit twice, got ['phase', 'phase']",
        ),
    ],
)
def test_bad_policy_is_one_line(make, message):
    with pytest.raises(LeaseError) as caught:
        make()
    assert str(caught.value) == message


def test_refusals_and_returns_are_named_by_their_words():
    assert {refusal.value for refusal in Refusal} == {
        "invalid-time", "stale-time", "latched", "axis-not-allowed", "edit-not-allowed", "level-too-high",
        "too-long", "no-position", "outside-region", "cooling-down", "too-many", "no-such-lease",
    }  # fmt: skip
    assert {reason.value for reason in Return} == {
        "expired", "left-region", "charges-spent", "no-position", "invalid-time", "stale-time", "reset",
    }  # fmt: skip


def test_a_robot_holds_no_more_leases_than_the_policy_says():
    authority = LeaseAuthority(2, LeasePolicy(allow_outside=True, max_leases=2))
    assert [bool(authority.request(lease(5.0), 0.0)) for _ in range(2)] == [True, True]
    decision = authority.request(lease(), 4.9)
    assert (decision.reason, decision.detail) == ("too-many", "robot 0 holds 2 leases already")
    assert authority.request(lease(), 4.9, robot=1)
    assert authority.request(lease(), 5.0), "both had expired, though nobody had called update"


def test_returning_lease_still_counts_as_held():
    authority = LeaseAuthority(policy=LeasePolicy(allow_outside=True, max_leases=1))
    authority.request(lease(ramp=1.0, charges=1), 0.0)
    authority.use_charge(1, 2.0)
    assert authority.request(lease(), 2.9).reason == "too-many"
    assert authority.request(lease(), 3.0)


@pytest.mark.parametrize("how", ["expired", "revoked"])
def test_cooldown_runs_from_the_end_of_the_last_lease(how):
    authority = LeaseAuthority(2, LeasePolicy(allow_outside=True, cooldown=3.0))
    authority.request(lease(5.0), 1.0)
    if how == "revoked":
        authority.revoke(1, 6.0 - 1e-9, "x")
        authority.update(6.0)
    else:
        authority.update(7.5)  # late: the end counts, not when it was noticed
    decision = authority.request(lease(), 8.9)
    assert (decision.reason, decision.detail) == ("cooling-down", "robot 0 must wait until 9 s")
    assert authority.request(lease(), 8.9, robot=1)
    assert authority.request(lease(), 9.0)


def test_cooldown_counts_the_latest_end_of_several():
    authority = LeaseAuthority(policy=LeasePolicy(allow_outside=True, cooldown=3.0))
    authority.request(lease(5.0), 0.0)
    authority.request(lease(2.0), 0.0)
    authority.update(6.0)
    assert authority.request(lease(), 7.9).reason == "cooling-down"
    assert authority.request(lease(), 8.0)


def test_no_cooldown_before_the_first_lease():
    policy = LeasePolicy(allow_outside=True, cooldown=100.0)
    assert LeaseAuthority(policy=policy).request(lease(), -50.0)


# Time


@pytest.mark.parametrize(
    ("now", "reason", "detail"),
    [
        (NAN, "invalid-time", "now = nan is not a time"),
        (INF, "invalid-time", "now = inf is not a time"),
        (-INF, "invalid-time", "now = -inf is not a time"),
        (4.5, "stale-time", "now = 4.5 s is before 5 s, which has been"),
    ],
)
def test_bad_time_refuses_and_an_update_with_it_ends_every_lease_at_once(log, now, reason, detail):
    authority = LeaseAuthority(2, ANYWHERE, log)
    authority.request(lease(ramp=1.0), 0.0)
    authority.request(lease(charges=2), 0.0, robot=1)
    assert strength(authority, 5.0) == 1.0
    decision = authority.request(lease(), now)
    assert (bool(decision), decision.reason, decision.detail) == (False, reason, detail)
    used = authority.use_charge(2, now)
    assert (bool(used), used.reason, used.detail, used.lease_id) == (False, reason, detail, 2)
    assert strength(authority, 5.0) == 1.0, "a refusal ends nothing"
    levels = authority.update(now)
    assert levels.shape == (2, 4)
    assert not levels.any()
    assert authority.active() == ()
    assert not authority.update(6.0).any(), "it does not come back"
    written = events(log)[-2:]
    noted = {} if math.isfinite(now) else {"now": str(now)}
    at = now if math.isfinite(now) else 5.0
    assert written == [
        ("return", at, {"lease": 1, "robot": 0, "reason": reason, **noted}),
        ("return", at, {"lease": 2, "robot": 1, "reason": reason, **noted}),
    ]
    assert authority.request(lease(), 6.0)


def test_bad_time_before_any_good_one_is_written_at_zero(log):
    LeaseAuthority(policy=ANYWHERE, audit=log).request(lease(), NAN)
    ((event, now, fields),) = events(log)
    assert (event, now, fields["now"]) == ("refuse", 0.0, "nan")


def test_equal_times_are_fine_and_a_stale_time_does_not_become_the_clock():
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(), 5.0)
    assert strength(authority, 5.0) == 1.0
    authority.update(1.0)
    assert authority.request(lease(), 4.0).reason == "stale-time"
    assert authority.request(lease(), 5.0)


def test_time_seen_by_a_request_or_a_use_counts_as_seen():
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(), 5.0)
    authority.use_charge(1, 6.0)
    assert authority.request(lease(), 5.5).reason == "stale-time"


# Returns


def test_leaving_the_region_ramps_down_and_entering_again_brings_nothing_back(log):
    authority = LeaseAuthority(policy=ZONES, audit=log)
    authority.request(lease(ramp=2.0), 0.0, (1, 0.5))
    inside, outside = [[1, 0.5]], [[1, 1.5]]
    assert strength(authority, 5.0, inside) == 1.0
    assert strength(authority, 6.0, outside) == 1.0
    assert authority.active(0) == ()
    assert strength(authority, 7.0, inside) == 0.5
    assert strength(authority, 7.5, None) == 0.25, "on its way back it needs no position"
    assert strength(authority, 7.75, [[NAN, 0]]) == 0.125
    assert strength(authority, 8.0, inside) == 0.0
    assert strength(authority, 9.0, inside) == 0.0
    assert events(log)[1:] == [("return", 6.0, {"lease": 1, "robot": 0, "reason": "left-region"})]


def test_leaving_while_still_ramping_up_goes_down_from_there():
    authority = LeaseAuthority(policy=ZONES)
    authority.request(lease(ramp=4.0), 0.0, (1, 0.5))
    assert strength(authority, 2.0, [[1, 1.5]]) == 0.5
    assert strength(authority, 3.0, [[1, 1.5]]) == 0.25
    assert strength(authority, 4.0, [[1, 1.5]]) == 0.0


def test_leaving_during_the_last_ramp_does_not_lengthen_it():
    authority = LeaseAuthority(policy=ZONES)
    authority.request(lease(10.0, ramp=4.0), 0.0, (1, 0.5))
    assert strength(authority, 9.0, [[1, 1.5]]) == 0.25
    assert strength(authority, 10.0, [[1, 1.5]]) == 0.0


def test_leaving_without_a_ramp_ends_at_once():
    authority = LeaseAuthority(policy=ZONES)
    authority.request(lease(), 0.0, (1, 0.5))
    assert strength(authority, 1.0, [[1, 1.5]]) == 0.0


def test_robot_may_pass_from_one_allowing_zone_to_the_next():
    authority = LeaseAuthority(policy=ZONES)
    authority.request(lease(axes={"speed": 1}), 0.0, (1, 0.5))
    authority.request(lease(axes={"strength": 1}), 0.0, (1, 0.5))
    assert authority.update(1.0, [[3, 0.5]]).tolist() == [[0, 1, 0, 0]]


def test_region_of_the_lease_binds_too():
    authority = LeaseAuthority(policy=ZONES)
    authority.request(lease(region=Circle(x=0, y=0, radius=1)), 0.0, (0.5, 0.5))
    assert strength(authority, 1.0, [[0.6, 0.6]]) == 1.0
    assert strength(authority, 2.0, [[1.5, 0.5]]) == 0.0


@pytest.mark.parametrize("positions", [None, [[NAN, 0.5]], [[1, INF]], [[-INF, 0.5]]])
def test_lost_position_ends_a_bound_lease_at_once(log, positions):
    authority = LeaseAuthority(policy=ZONES, audit=log)
    authority.request(lease(ramp=2.0), 0.0, (1, 0.5))
    assert strength(authority, 5.0, [[1, 0.5]]) == 1.0
    assert strength(authority, 6.0, positions) == 0.0
    assert strength(authority, 7.0, [[1, 0.5]]) == 0.0
    assert events(log)[1:] == [("return", 6.0, {"lease": 1, "robot": 0, "reason": "no-position"})]


def test_lease_bound_to_no_place_needs_no_position():
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(), 0.0)
    authority.request(lease(axes={"speed": 1}, region=WEST), 0.0, (1, 0.5))
    assert authority.update(1.0).tolist() == [[1, 0, 0, 0]]
    assert authority.update(1.0, [[NAN, NAN]]).tolist() == [[1, 0, 0, 0]]


def test_expiry_is_written_once_with_the_time_it_was_noticed(log):
    authority = LeaseAuthority(policy=ZONES, audit=log)
    authority.request(lease(2.0), 0.0, (1, 0.5))
    authority.update(3.0, [[9, 9]])
    authority.update(4.0, [[9, 9]])
    assert events(log)[1:] == [("return", 3.0, {"lease": 1, "robot": 0, "reason": "expired"})]


def test_last_charge_begins_the_return(log):
    authority = LeaseAuthority(policy=ANYWHERE, audit=log)
    authority.request(lease(charges=2, ramp=2.0), 0.0)
    used = authority.use_charge(1, 3.0)
    assert (used.granted, used.reason, used.lease_id, used.detail) == (True, "granted", 1, "")
    assert authority.active(0)[0].charges == 1
    assert authority.use_charge(1, 4.0)
    assert authority.active(0) == ()
    assert strength(authority, 5.0) == 0.5
    refused = authority.use_charge(1, 5.0)
    assert (refused.granted, refused.reason, refused.lease_id, refused.detail) == (
        False, "no-such-lease", 1, "lease 1 is not in force",
    )  # fmt: skip
    assert strength(authority, 6.0) == 0.0
    assert events(log)[1:] == [
        ("use", 3.0, {"lease": 1, "robot": 0, "left": 1}),
        ("use", 4.0, {"lease": 1, "robot": 0, "left": 0}),
        ("return", 4.0, {"lease": 1, "robot": 0, "reason": "charges-spent"}),
        (
            "refuse",
            5.0,
            {"lease": 1, "reason": "no-such-lease", "detail": "lease 1 is not in force"},
        ),
    ]


def test_uncounted_lease_is_used_without_end(log):
    authority = LeaseAuthority(policy=ANYWHERE, audit=log)
    authority.request(lease(edits=["teleport"]), 0.0)
    assert all(authority.use_charge(1, float(now)) for now in range(9))
    assert events(log)[-1] == ("use", 8.0, {"lease": 1, "robot": 0, "left": None})
    assert authority.use_charge(1, 10.0).reason == "no-such-lease", "it has expired by then"
    assert authority.use_charge(7, 10.0).detail == "lease 7 is not in force"


# Revoking, emergency stop, reset


def test_revoked_lease_is_gone_in_the_same_call(log):
    authority = LeaseAuthority(2, ANYWHERE, log)
    authority.request(lease(ramp=2.0), 0.0)
    authority.request(lease(), 0.0, robot=1)
    authority.update(5.0)
    assert authority.revoke(1, 5.0, "operator") is True
    assert authority.update(5.0)[:, 0].tolist() == [0, 1]
    assert authority.revoke(1, 5.0, "again") is False
    assert events(log)[2:] == [("revoke", 5.0, {"lease": 1, "robot": 0, "reason": "operator"})]


def test_revoke_all_says_how_many(log):
    authority = LeaseAuthority(3, ANYWHERE, log)
    for robot in range(3):
        authority.request(lease(), 0.0, robot=robot)
    assert authority.revoke_all(1.0, "end of shift") == 3
    assert authority.revoke_all(1.0, "end of shift") == 0
    assert not authority.update(1.0).any()
    assert [(event, fields["lease"], fields["reason"]) for event, _, fields in events(log)[3:]] == [
        ("revoke", 1, "end of shift"), ("revoke", 2, "end of shift"), ("revoke", 3, "end of shift"),
    ]  # fmt: skip


@pytest.mark.parametrize("now", [NAN, -5.0])
def test_revoking_works_at_any_time_whatever_the_clock_says(now):
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(), 0.0)
    authority.request(lease(), 0.0)
    assert authority.revoke(1, now, "x")
    assert authority.revoke_all(now, "x") == 1
    assert strength(authority, 0.0) == 0.0


@pytest.mark.parametrize("end", [lambda a: a.revoke(1, 9.0, "x"), lambda a: a.revoke_all(9.0, "x")])
def test_time_of_a_revocation_counts_as_seen(end):
    authority = LeaseAuthority(policy=LeasePolicy(allow_outside=True, cooldown=2.0))
    authority.request(lease(), 0.0)
    end(authority)
    assert authority.request(lease(), 8.0).reason == "stale-time"
    assert authority.request(lease(), 10.5).reason == "cooling-down"
    assert authority.request(lease(), 11.0)


def test_returning_lease_can_still_be_revoked():
    authority = LeaseAuthority(policy=ANYWHERE)
    authority.request(lease(ramp=4.0, charges=1), 0.0)
    authority.use_charge(1, 5.0)
    assert strength(authority, 6.0) == 0.75
    assert authority.revoke(1, 6.0, "x")
    assert strength(authority, 6.0) == 0.0


def test_emergency_stop_latches_until_it_is_cleared(log):
    authority = LeaseAuthority(policy=ANYWHERE, audit=log)
    authority.request(lease(), 0.0)
    assert not authority.latched
    authority.estop(1.0, "button")
    assert authority.latched
    assert strength(authority, 1.0) == 0.0
    decision = authority.request(lease(), 2.0)
    assert (decision.reason, decision.detail) == ("latched", "an emergency stop is in force")
    authority.reset(now=0.0)
    assert authority.request(lease(), 0.0).reason == "latched"
    authority.clear_estop(3.0, "checked")
    assert not authority.latched
    assert strength(authority, 3.0) == 0.0
    assert authority.request(lease(), 3.0)
    assert [event for event, _, _ in events(log)] == [
        "grant", "revoke", "estop", "refuse", "refuse", "clear-estop", "grant",
    ]  # fmt: skip
    assert events(log)[2] == ("estop", 1.0, {"reason": "button"})
    assert events(log)[5] == ("clear-estop", 3.0, {"reason": "checked"})
    assert events(log)[1][2] == {"lease": 1, "robot": 0, "reason": "button"}


def test_emergency_stop_at_a_time_that_is_none_is_written_at_the_last_good_one(log):
    authority = LeaseAuthority(policy=ANYWHERE, audit=log)
    authority.update(2.0)
    authority.estop(NAN, "button")
    assert events(log) == [("estop", 2.0, {"reason": "button", "now": "nan"})]


def test_reset_ends_the_leases_of_the_chosen_robots_and_their_cooldown(log):
    policy = LeasePolicy(allow_outside=True, cooldown=100.0, max_leases=1)
    authority = LeaseAuthority(3, policy, log)
    for robot in range(3):
        authority.request(lease(), 0.0, robot=robot)
    authority.update(1.0)
    authority.reset([0])
    assert authority.update(1.0)[:, 0].tolist() == [0, 1, 1]
    authority.reset(np.array([False, True, False]))
    assert authority.update(1.0)[:, 0].tolist() == [0, 0, 1]
    assert [bool(authority.request(lease(), 1.0, robot=robot)) for robot in range(3)] == [True, True, False]
    assert events(log)[3:5] == [
        ("return", 1.0, {"lease": 1, "robot": 0, "reason": "reset"}),
        ("return", 1.0, {"lease": 2, "robot": 1, "reason": "reset"}),
    ]


def test_reset_of_all_robots_may_restart_the_clock(log):
    authority = LeaseAuthority(2, ANYWHERE, log)
    authority.request(lease(), 50.0, robot=1)
    authority.reset()
    assert authority.request(lease(), 49.0).reason == "stale-time"
    authority.request(lease(), 50.0)
    authority.reset(now=0.0)
    assert events(log)[-1] == ("return", 50.0, {"lease": 2, "robot": 0, "reason": "reset"})
    assert authority.request(lease(), -1.0).reason == "stale-time"
    assert authority.request(lease(), 0.0)


@pytest.mark.parametrize(
    ("robots", "now", "message"),
    [
        ([0], 1.0, "now = 1.0: the clock restarts for all robots together only"),
        (None, NAN, "now = nan: must be a time in s"),
        ([0, 2], None, "robot = 2: the robots are 0 to 1"),
        ([-1], None, "robot = -1: the robots are 0 to 1"),
        ([True], None, "robots is a mask of the shape (1,), not (2,)"),
    ],
)
def test_bad_reset_is_one_line_and_ends_nothing(robots, now, message):
    authority = LeaseAuthority(2, ANYWHERE)
    authority.request(lease(), 0.0)
    with pytest.raises(InvalidCommand) as caught:
        authority.reset(robots, now)
    assert str(caught.value) == message
    assert strength(authority, 1.0) == 1.0


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: a.request(lease(), 0.0, robot=2), "robot = 2: the robots are 0 to 1"),
        (lambda a: a.request(lease(), 0.0, robot=-1), "robot = -1: the robots are 0 to 1"),
        (lambda a: a.active(2), "robot = 2: the robots are 0 to 1"),
        (lambda a: a.request(lease(), 0.0, (1, 2, 3)), "position has the shape (3,), not (2,)"),
        (lambda a: a.update(0.0, [[1, 2]]), "positions has the shape (1, 2), not (2, 2)"),
        (lambda a: a.update(0.0, [1, 2]), "positions has the shape (2,), not (2, 2)"),
        (lambda a: LeaseAuthority(0), "count = 0: there must be at least one robot"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(InvalidCommand) as caught:
        call(LeaseAuthority(2, ANYWHERE))
    assert str(caught.value) == message


# The audit log


def test_grant_is_written_with_all_that_was_asked(log):
    authority = LeaseAuthority(2, ZONES, log)
    region = Circle(x=1, y=0, radius=1.0)
    authority.request(
        lease(5.0, axes={"speed": 0.5}, reason="cross the gate", ramp=1.0, charges=2, region=region),
        1.5,
        np.array([1, 0.5]),
        robot=1,
    )
    authority.request(lease(edits=["phase"]), 2.0, (1, 0.5))
    assert events(log) == [
        (
            "grant",
            1.5,
            {
                "lease": 1,
                "robot": 1,
                "axes": {"speed": 0.5},
                "edits": [],
                "asked": "cross the gate",
                "duration": 5.0,
                "charges": 2,
                "ramp": 1.0,
                "region": {"kind": "circle", "x": 1.0, "y": 0.0, "radius": 1.0},
                "position": [1.0, 0.5],
            },
        ),
        (
            "grant",
            2.0,
            {
                "lease": 2,
                "robot": 0,
                "axes": {},
                "edits": ["phase"],
                "asked": "test",
                "duration": 10.0,
                "charges": None,
                "ramp": 0.0,
                "region": None,
                "position": [1.0, 0.5],
            },
        ),
    ]


def test_grant_that_cannot_be_written_is_not_given(log):
    authority = LeaseAuthority(policy=ANYWHERE, audit=log)
    log.close()
    with pytest.raises(AuditLogError):
        authority.request(lease(), 0.0)
    assert strength(authority, 0.0) == 0.0
    assert authority.active() == ()


@pytest.mark.parametrize(
    "end",
    [
        lambda a: a.update(50.0, [[1, 0.5]] * 2),
        lambda a: a.update(2.0, [[1, 5]] * 2),
        lambda a: a.update(2.0),
        lambda a: a.update(NAN),
        lambda a: a.revoke_all(2.0, "x"),
        lambda a: a.estop(2.0, "x"),
        lambda a: a.reset(),
    ],
)
def test_what_had_to_end_has_ended_though_it_could_not_be_written(log, end):
    authority = LeaseAuthority(2, ZONES, log)
    for robot in range(2):
        authority.request(lease(), 0.0, (1, 0.5), robot)
    log.close()
    with pytest.raises(AuditLogError):
        end(authority)
    assert authority.active() == ()
    assert not authority.update(60.0, [[1, 0.5]] * 2).any()


def test_charge_whose_use_cannot_be_written_is_not_used(log):
    authority = LeaseAuthority(policy=ANYWHERE, audit=log)
    authority.request(lease(charges=1), 0.0)
    log.close()
    with pytest.raises(AuditLogError):
        authority.use_charge(1, 1.0)
    assert authority.active(0)[0].charges == 1


def test_emergency_stop_that_cannot_be_written_is_in_force(log):
    authority = LeaseAuthority(policy=ANYWHERE, audit=log)
    log.close()
    with pytest.raises(AuditLogError):
        authority.estop(0.0, "x")
    assert authority.latched
    with pytest.raises(AuditLogError):
        authority.clear_estop(0.0, "x")
    assert authority.latched, "nor can it be cleared without being written"
