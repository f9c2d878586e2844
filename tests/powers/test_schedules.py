from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from nerfbot.errors import LeaseError
from nerfbot.limits import AXES
from nerfbot.powers import (
    SCHEDULES,
    Always,
    Circle,
    Lease,
    LeaseAuthority,
    LeasePolicy,
    Never,
    Occasional,
    Schedule,
    Window,
    load_schedule,
)

ALL = dict.fromkeys(AXES, 1.0)


def rng(seed=0):
    return np.random.default_rng(seed)


class Draws:
    """A generator whose next draws are given."""

    def __init__(self, *draws):
        self.draws = draws

    def random(self, size):
        assert size == len(self.draws)
        return np.array(self.draws)


def test_never_plans_nothing():
    assert Never().plan(rng(), 10.0) == ()


def test_always_plans_the_whole_episode():
    assert Always().plan(rng(), 10) == (Window(0.0, 10.0, ALL, (), None, 0.0),)
    schedule = Always(axes={"speed": 0.5}, charges=3, ramp=1.5)
    assert schedule.plan(rng(), 4.0) == (Window(0.0, 4.0, {"speed": 0.5}, (), 3, 1.5),)
    assert Always(edits=["phase"]).plan(rng(), 4.0) == (Window(0.0, 4.0, {}, ("phase",), None, 0.0),)


def test_window_defaults():
    window = Window(1.0, 2.0)
    assert (window.axes, window.edits, window.charges, window.ramp) == ({}, (), None, 0.0)


def test_occasional_defaults():
    schedule = Occasional()
    assert (schedule.probability, schedule.start, schedule.length) == (0.3, (0.0, 10.0), (10.0, 10.0))
    assert (schedule.step, schedule.axes, schedule.edits, schedule.region) == (None, ALL, (), None)


def test_occasional_window_is_drawn_between_its_bounds():
    schedule = Occasional(
        probability=0.5, start=[2, 6], length=[1, 3], axes={"speed": 1}, charges=2, ramp=0.5
    )
    assert schedule.plan(Draws(0.49, 0.25, 0.75), 100) == (Window(3.0, 2.5, {"speed": 1.0}, (), 2, 0.5),)
    assert schedule.plan(Draws(0.5, 0.25, 0.75), 100) == ()
    assert schedule.plan(Draws(0.0, 0.0, 0.0), 100)[0] == Window(2.0, 1.0, {"speed": 1.0}, (), 2, 0.5)


def test_occasional_counts_in_steps_where_a_step_is_given():
    schedule = Occasional(probability=1, start=[10, 20], length=40, step=0.25)
    (window,) = schedule.plan(Draws(0.9, 0.5, 0.5), 100)
    assert (window.start, window.duration) == (3.75, 10.0)


def test_occasional_window_ends_with_the_episode():
    schedule = Occasional(probability=1, start=4, length=10)
    assert schedule.plan(Draws(0, 0, 0), 9)[0].duration == 5.0
    assert schedule.plan(Draws(0, 0, 0), 14)[0].duration == 10.0
    assert schedule.plan(Draws(0, 0, 0), 4.5)[0] == Window(4.0, 0.5, ALL, (), None, 0.0)
    assert schedule.plan(Draws(0, 0, 0), 4.0) == ()
    assert schedule.plan(Draws(0, 0, 0), 3.0) == ()


def test_occasional_happens_as_often_as_it_says_and_spreads_its_starts():
    schedule, generator = Occasional(probability=0.3, start=[1, 5], length=2), rng(1)
    plans = [schedule.plan(generator, 100.0) for _ in range(4000)]
    starts = np.array([plan[0].start for plan in plans if plan])
    assert len(starts) / 4000 == pytest.approx(0.3, abs=0.03)
    assert starts.min() >= 1
    assert starts.max() <= 5
    assert starts.mean() == pytest.approx(3.0, abs=0.15)


def test_every_episode_takes_as_many_draws():
    one, other = rng(5), rng(5)
    Occasional(probability=0).plan(one, 10.0)
    Occasional(probability=1, start=50).plan(other, 10.0)
    assert one.random() == other.random()


def test_same_seed_gives_the_same_plan():
    schedule = Occasional()
    assert [schedule.plan(rng(4), 60) for _ in range(3)] == [schedule.plan(rng(4), 60)] * 3


@pytest.mark.parametrize("kind", sorted(SCHEDULES))
@pytest.mark.parametrize("horizon", [0, -1.0, math.nan, math.inf])
def test_horizon_must_be_a_positive_number(kind, horizon):
    with pytest.raises(LeaseError) as caught:
        load_schedule(kind).plan(rng(), horizon)
    assert str(caught.value) == f"horizon = {horizon}: must be a positive number of seconds"


def test_lease_of_a_window_carries_all_of_it():
    circle = Circle(x=0, y=0, radius=1)
    schedule = Occasional(region=circle)
    window = Window(3.0, 2.0, {"speed": 0.5}, (), 4, 0.25)
    assert schedule.leases(window) == Lease(
        axes={"speed": 0.5}, reason="schedule occasional", region=circle, duration=2.0, charges=4, ramp=0.25
    )
    edit = Always(edits=["phase"])
    assert edit.leases(edit.plan(rng(), 5.0)[0]) == Lease(
        edits=["phase"], reason="schedule always", duration=5.0
    )


def test_lease_of_a_window_is_granted_by_an_authority():
    schedule = load_schedule("always")
    authority = LeaseAuthority(policy=LeasePolicy(allow_outside=True))
    assert authority.request(schedule.leases(schedule.plan(rng(), 20.0)[0]), 0.0)
    assert authority.update(19.9).tolist() == [[1, 1, 1, 1]]


def test_base_schedule_plans_nothing_of_its_own():
    with pytest.raises(NotImplementedError):
        Schedule(kind="x").plan(rng(), 1.0)


# Loading


def test_names_are_those_of_the_kinds():
    assert list(SCHEDULES) == ["never", "always", "occasional", "staircase", "damage-bounded"]
    for name, schedule in SCHEDULES.items():
        loaded = load_schedule(name)
        assert type(loaded) is schedule
        assert loaded.kind == name
        assert load_schedule(loaded) is loaded


def test_mapping_and_file_are_loaded(tmp_path):
    data = {"kind": "occasional", "probability": 0.5, "start": [1, 2], "axes": {"speed": 1}}
    wanted = Occasional(probability=0.5, start=(1, 2), axes={"speed": 1})
    assert load_schedule(data) == wanted
    for name in ("a.yaml", "b.yml", "c"):
        path = tmp_path / name
        path.write_text(json.dumps(data))
        assert load_schedule(path) == wanted
    assert load_schedule(str(tmp_path / "a.yaml")) == wanted
    assert load_schedule(str(tmp_path / "b.yml")) == wanted


BAD = [
    ("ocasional", "schedule: kind: unknown 'ocasional'; did you mean 'occasional'?"),
    (
        "xyz",
        "schedule: kind: unknown 'xyz' (known: never, always, occasional, staircase, damage-bounded)",
    ),
    (
        {"probability": 1},
        "schedule: kind: unknown None (known: never, always, occasional, staircase, damage-bounded)",
    ),
    (
        {"kind": "occasional", "probability": 1.5},
        "Occasional: probability: must be less than or equal to 1, got 1.5",
    ),
    (
        {"kind": "occasional", "probabilty": 1},
        "Occasional: probabilty: unknown field; did you mean 'probability'?",
    ),
    (
        {"kind": "occasional", "start": [3, 2]},
        "Occasional: start = [3.0, 2.0]: the first must not be above the second",
    ),
    (
        {"kind": "occasional", "length": [3, 2]},
        "Occasional: length = [3.0, 2.0]: the first must not be above the second",
    ),
    ({"kind": "occasional", "length": 0}, "Occasional: length = [0.0, 0.0]: must be above 0"),
    ({"kind": "occasional", "length": [0, 1]}, "Occasional: length = [0.0, 1.0]: must be above 0"),
    (
        {"kind": "occasional", "start": -1},
        "Occasional: start[0]: must be greater than or equal to 0, got -1",
    ),
    ({"kind": "occasional", "start": math.nan}, "Occasional: start[0]: must be a finite number, got nan"),
    ({"kind": "occasional", "step": 0}, "Occasional: step: must be greater than 0, got 0"),
    ({"kind": "always", "ramp": -1}, "Always: ramp: must be greater than or equal to 0, got -1"),
    ({"kind": "always", "charges": 0}, "Always: charges: must be greater than or equal to 1, got 0"),
    (
        {"kind": "always", "axes": {"speed": 1}, "edits": ["phase"]},
        "Always: axes = {'speed': 1.0} and edits = ('phase',): only one of them may be given",
    ),
    ({1: 2}, "a schedule must be a mapping of fields, not {1: 2}"),
    (
        {"kind": "staircase", "edits": ["phase"]},
        "Staircase: edits = ('phase',): a world edit has no level to adapt",
    ),
    ({"kind": "staircase", "rise": 0.4}, "Staircase: fall = 0.4: must be below rise = 0.4"),
    ({"kind": "staircase", "steps": 0}, "Staircase: steps: must be greater than or equal to 1, got 0"),
    ({"kind": "damage-bounded", "bound": 0}, "DamageBounded: bound: must be greater than 0, got 0"),
    (
        {"kind": "damage-bounded", "max_harm": 0},
        "DamageBounded: max_harm: must be greater than 0, got 0",
    ),
    (
        {"kind": "damage-bounded", "slope": -1},
        "DamageBounded: slope: must be greater than or equal to 0, got -1",
    ),
    (
        {"kind": "damage-bounded", "confidence": 1},
        "DamageBounded: confidence: must be less than 1, got 1",
    ),
    (
        {"kind": "damage-bounded", "confidence": 0},
        "DamageBounded: confidence: must be greater than 0, got 0",
    ),
    (
        {"kind": "damage-bounded", "window": 1},
        "DamageBounded: window: must be greater than or equal to 2, got 1",
    ),
]


@pytest.mark.parametrize(("source", "message"), BAD)
def test_bad_schedule_is_one_line(source, message):
    with pytest.raises(LeaseError) as caught:
        load_schedule(source)
    assert str(caught.value) == message


def test_unhashable_kind_is_one_line():
    with pytest.raises(LeaseError, match=r"^schedule: kind: unknown \['never'\]"):
        load_schedule({"kind": ["never"]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: alwas", "schedule: kind: unknown 'alwas'; did you mean 'always'?"),
        ("- 1", "a schedule must be a mapping of fields, not [1]"),
        ("", "a schedule must be a mapping of fields, not None"),
    ],
)
def test_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(LeaseError) as caught:
        load_schedule(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("data", [b"kind: [", b"\xff\xfe\xfa", b"a: b: c\n"])
def test_file_that_is_no_yaml_is_one_line(tmp_path, data):
    path = tmp_path / "s.yaml"
    path.write_bytes(data)
    with pytest.raises(LeaseError) as caught:
        load_schedule(path)
    assert re.fullmatch(re.escape(str(path)) + r":[^\n]+", str(caught.value))
    assert "  " not in str(caught.value)


def test_missing_file_is_named():
    with pytest.raises(LeaseError) as caught:
        load_schedule("none/s.yaml")
    assert str(caught.value) == "none/s.yaml: cannot be read: No such file or directory"
    with pytest.raises(LeaseError, match=r"^none: cannot be read: No such file"):
        load_schedule(Path("none"))


# Reports and states of those that do not adapt


@pytest.mark.parametrize("kind", sorted(SCHEDULES))
@pytest.mark.parametrize(
    ("harm", "levels", "message"),
    [
        (-0.1, {}, "harm = -0.1: must be a number of at least 0"),
        (math.nan, {}, "harm = nan: must be a number of at least 0"),
        (math.inf, {}, "harm = inf: must be a number of at least 0"),
        (0, {"speed": 1.1}, "levels.speed = 1.1: must be an axis with a level of 0 to 1"),
        (0, {"speed": -0.1}, "levels.speed = -0.1: must be an axis with a level of 0 to 1"),
        (0, {"speed": math.nan}, "levels.speed = nan: must be an axis with a level of 0 to 1"),
        (0, {"sped": 1.0}, "levels.sped = 1.0: must be an axis with a level of 0 to 1"),
        (0, [0, 0, 0, 1.5], "levels.reliability = 1.5: must be an axis with a level of 0 to 1"),
    ],
)
def test_bad_report_is_one_line_and_teaches_nothing(kind, harm, levels, message):
    schedule = load_schedule(kind)
    before = schedule.state()
    with pytest.raises(LeaseError) as caught:
        schedule.report(True, harm, levels)
    assert str(caught.value) == message
    assert schedule.state() == before


def test_report_with_too_few_levels_is_refused():
    with pytest.raises(LeaseError) as caught:
        Always().report(True, 0.0, [0.0, 1.0])
    assert str(caught.value) == "levels = [0.0, 1.0]: must be 4 levels, one for each axis"


@pytest.mark.parametrize("kind", ["never", "always", "occasional"])
def test_schedule_that_does_not_adapt_has_only_its_kind_as_state(kind):
    schedule = load_schedule(kind)
    schedule.report(True, 1.0, (0, 0, 1, 1))
    assert schedule.state() == {"kind": kind}
    schedule.restore({"kind": kind})


@pytest.mark.parametrize("kind", sorted(SCHEDULES))
@pytest.mark.parametrize("other", ["alway", None])
def test_state_of_another_kind_is_refused(kind, other):
    with pytest.raises(LeaseError) as caught:
        load_schedule(kind).restore({"kind": other} if other else {})
    assert str(caught.value) == f"state.kind = {other!r}: must be {kind!r}"
