from __future__ import annotations

import pytest
from pydantic import ValidationError

from nerfbot.errors import LeaseError
from nerfbot.powers import EDITS, Circle, Lease

GOOD = {"axes": {"strength": 0.5}, "reason": "push the block", "duration": 2.0}

BAD = [
    ({"duration": -1}, "Lease: duration: must be greater than 0, got -1"),
    ({"duration": 0}, "Lease: duration: must be greater than 0, got 0"),
    ({"duration": float("inf")}, "Lease: duration: must be a finite number, got inf"),
    ({"duration": float("nan")}, "Lease: duration: must be a finite number, got nan"),
    ({"duration": "2"}, "Lease: duration: must be a valid number, got '2'"),
    ({"duration": True}, "Lease: duration: must be a valid number, got True"),
    ({"ramp": -0.1}, "Lease: ramp: must be greater than or equal to 0, got -0.1"),
    ({"ramp": float("inf")}, "Lease: ramp: must be a finite number, got inf"),
    ({"axes": {"strength": 1.01}}, "Lease: axes.strength: must be less than or equal to 1, got 1.01"),
    (
        {"axes": {"strength": -0.01}},
        "Lease: axes.strength: must be greater than or equal to 0, got -0.01",
    ),
    ({"axes": {"speed": float("nan")}}, "Lease: axes.speed: must be a finite number, got nan"),
    ({"axes": {"spede": 1}}, "Lease: axes.spede: unknown axis 'spede'; did you mean 'speed'?"),
    (
        {"axes": {"xyz": 1}},
        "Lease: axes.xyz: unknown axis 'xyz' (known: strength, speed, sensing, reliability)",
    ),
    ({"charges": 0}, "Lease: charges: must be greater than or equal to 1, got 0"),
    ({"charges": True}, "Lease: charges: must be a valid integer, got True"),
    ({"charges": 1.0}, "Lease: charges: must be a valid integer, got 1.0"),
    ({"reason": ""}, "Lease: reason: string should match pattern '\\S', got ''"),
    ({"reason": " \t"}, "Lease: reason: string should match pattern '\\S', got ' \\t'"),
    ({"reason": 3}, "Lease: reason: must be a valid string, got 3"),
    ({"raemp": 1}, "Lease: raemp: unknown field; did you mean 'ramp'?"),
    ({"axes": {}}, "Lease: axes = {} and edits = (): exactly one of them must be given"),
    (
        {"edits": ["phase"]},
        "Lease: axes = {'strength': 0.5} and edits = ('phase',): exactly one of them must be given",
    ),
    (
        {"axes": {}, "edits": ["phas"]},
        "Lease: edits[0]: unknown world edit 'phas'; did you mean 'phase'?",
    ),
    ({"axes": {}, "edits": ["phase", "phase"]}, "Lease: edits: names an edit twice, got ['phase', 'phase']"),
    (
        {"region": {"kind": "circle", "x": 0, "y": 0, "radius": 0}},
        "Lease: region.circle: Circle: radius: must be greater than 0, got 0",
    ),
    (
        {"region": {"kind": "circle", "x": 0, "y": 0}},
        "Lease: region.circle: Circle: radius: is required",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_field_of_a_lease_gives_one_line_with_field_and_value(change, message):
    with pytest.raises(LeaseError) as caught:
        Lease(**{**GOOD, **change})
    assert str(caught.value) == message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("field", ["reason", "duration"])
def test_lease_without_a_required_field_says_which(field):
    with pytest.raises(LeaseError) as caught:
        Lease(**{name: value for name, value in GOOD.items() if name != field})
    assert str(caught.value) == f"Lease: {field}: is required"


def test_lease_defaults():
    lease = Lease(**GOOD)
    assert (lease.edits, lease.region, lease.charges, lease.ramp) == ((), None, None, 0.0)
    assert lease.axes == {"strength": 0.5}
    assert Lease(edits=["phase"], reason="x", duration=1).axes == {}


def test_bounds_of_a_level_are_allowed_and_axes_come_in_their_order():
    lease = Lease(
        axes={"reliability": 1, "sensing": 0, "strength": 1.0}, reason="x", duration=1e-9, charges=1
    )
    assert list(lease.axes.items()) == [("strength", 1.0), ("sensing", 0.0), ("reliability", 1.0)]


@pytest.mark.parametrize("edit", EDITS)
def test_every_world_edit_can_be_named(edit):
    assert Lease(edits=[edit], reason="x", duration=1).edits == (edit,)


def test_the_world_edits_are_those_of_the_vocabulary():
    assert EDITS == ("move-coin", "teleport", "rewrite-cell", "phase", "unlock")


def test_lease_is_frozen():
    lease = Lease(**GOOD)
    with pytest.raises(ValidationError):
        lease.duration = 9.0


def test_lease_takes_its_region_as_data_or_as_an_object():
    circle = Circle(x=1, y=2, radius=3)
    assert Lease(**GOOD, region=circle).region == circle
    assert Lease(**GOOD, region={"kind": "circle", "x": 1, "y": 2, "radius": 3}).region == circle
