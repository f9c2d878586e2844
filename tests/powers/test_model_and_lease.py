from __future__ import annotations

import pytest
from pydantic import ValidationError

from nerfbot.errors import LeaseError
from nerfbot.powers import EDITS, Circle, Lease
from nerfbot.powers.model import suggest

GOOD = {"axes": {"strength": 0.5}, "reason": "push the block", "duration": 2.0}

BAD = [
    ({"duration": -1}, "Lease: duration = -1: input should be greater than 0"),
    ({"duration": 0}, "Lease: duration = 0: input should be greater than 0"),
    ({"duration": float("inf")}, "Lease: duration = inf: input should be a finite number"),
    ({"duration": float("nan")}, "Lease: duration = nan: input should be a finite number"),
    ({"duration": "2"}, "Lease: duration = '2': input should be a valid number"),
    ({"duration": True}, "Lease: duration = True: input should be a valid number"),
    ({"ramp": -0.1}, "Lease: ramp = -0.1: input should be greater than or equal to 0"),
    ({"ramp": float("inf")}, "Lease: ramp = inf: input should be a finite number"),
    ({"axes": {"strength": 1.01}}, "Lease: axes.strength = 1.01: input should be less than or equal to 1"),
    (
        {"axes": {"strength": -0.01}},
        "Lease: axes.strength = -0.01: input should be greater than or equal to 0",
    ),
    ({"axes": {"speed": float("nan")}}, "Lease: axes.speed = nan: input should be a finite number"),
    ({"axes": {"spede": 1}}, "Lease: axes.spede = 'spede': unknown axis; did you mean 'speed'?"),
    (
        {"axes": {"xyz": 1}},
        "Lease: axes.xyz = 'xyz': unknown axis; known are strength, speed, sensing, reliability",
    ),
    ({"charges": 0}, "Lease: charges = 0: input should be greater than or equal to 1"),
    ({"charges": True}, "Lease: charges = True: input should be a valid integer"),
    ({"charges": 1.0}, "Lease: charges = 1.0: input should be a valid integer"),
    ({"reason": ""}, "Lease: reason = '': string should match pattern '\\S'"),
    ({"reason": " \t"}, "Lease: reason = ' \\t': string should match pattern '\\S'"),
    ({"reason": 3}, "Lease: reason = 3: input should be a valid string"),
    ({"raemp": 1}, "Lease: raemp = 1: there is no such field"),
    ({"axes": {}}, "Lease: axes = {} and edits = (): exactly one of them must be given"),
    (
        {"edits": ["phase"]},
        "Lease: axes = {'strength': 0.5} and edits = ('phase',): exactly one of them must be given",
    ),
    (
        {"axes": {}, "edits": ["phas"]},
        "Lease: edits.0 = 'phas': unknown world edit; did you mean 'phase'?",
    ),
    ({"axes": {}, "edits": ["phase", "phase"]}, "Lease: edits = ['phase', 'phase']: names an edit twice"),
    (
        {"region": {"kind": "circle", "x": 0, "y": 0, "radius": 0}},
        "Lease: region.circle: Circle: radius = 0: input should be greater than 0",
    ),
    (
        {"region": {"kind": "circle", "x": 0, "y": 0}},
        "Lease: region.circle: Circle: radius is missing",
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
    assert str(caught.value) == f"Lease: {field} is missing"


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


def test_suggestion_names_the_nearest_word_or_all():
    assert suggest("spede", ["speed", "sensing"]) == "did you mean 'speed'?"
    assert suggest(None, (word for word in ("speed", "sensing"))) == "known are speed, sensing"
    assert suggest("sped", (word for word in ("speed", "sensing"))) == "did you mean 'speed'?"
