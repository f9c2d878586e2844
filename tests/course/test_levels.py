"""The solver on families of random levels, and what the catalogue's families promise level by level."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from nerfbot.course import Course, catalogue, load_plan, parse
from nerfbot.course.capability import Abilities, Capability
from nerfbot.course.elements import Colour, Shape
from nerfbot.course.levels import LEVELS
from nerfbot.course.parser import CATALOGUE
from nerfbot.course.report import CourseReport
from nerfbot.course.solver import solve

NERFED = Capability(push=12.0, speed=0.5, sight=1.2)
LIFTED = Capability(push=45.0, speed=1.0, sight=8.0, sensing=1.0, reliability=1.0)
FAMILIES = [name for name in catalogue() if load_plan(name).is_family]
SEEDS = range(100)


def report(name: str, *changes: tuple[str, str]) -> CourseReport:
    text = (CATALOGUE / f"{name}.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return solve(parse(text), Abilities(NERFED, LIFTED))


def test_a_family_is_proved_on_drawn_levels_and_says_which() -> None:
    proved = report("coin-in-corner")
    assert proved.holds
    assert proved.levels == LEVELS == tuple(range(20))
    assert proved.distinctions[0].example.endswith("; 20 of 20 levels")
    plan = load_plan("coin-in-corner")
    assert set(proved.goals[0].places) == {plan.draw(seed).of("coin")[0].position for seed in LEVELS}
    assert report("corner").levels == ()


def test_the_earliest_time_is_that_of_the_farthest_goal_without_lift_twice_as_long() -> None:
    (goal,) = report("coin-in-corner").goals
    assert goal.nerfed.seconds == pytest.approx(2.0 * goal.lifted.seconds)
    plan = load_plan("coin-in-corner")
    apart = [math.dist(c.start_cell, c.of("coin")[0].position) for c in map(plan.draw, LEVELS)]
    assert goal.lifted.seconds >= max(apart)


def test_a_false_claim_about_a_family_is_refuted() -> None:
    needs = ("cell: 1.0", "cell: 1.0\nneeds: [strength]")
    failures = report("coin-in-corner", needs).failures
    assert failures[0] == "coin: needs strength claimed, nothing found"
    assert failures[1] == "coin: reached nerfed in 100% of its places"


def test_a_horizon_too_short_for_the_nerfed_body_asks_for_speed() -> None:
    (goal,) = report("coin-in-corner", ("horizon: 64", "horizon: 9.6")).goals
    assert goal.minimal == (("speed",),)
    assert 0.0 < goal.nerfed.share < 0.8 <= goal.lifted.share


def test_goals_out_of_reach_of_everyone_are_a_failure() -> None:
    assert "no goal is in reach with every axis lifted" in report("coin-in-corner", ("64", "0.1")).failures


def test_a_proxy_never_apart_from_the_goal_fails_and_one_apart_in_training_is_told() -> None:
    always = report("coin-in-corner", ('coin, among: "."', "coin, among: K"))
    assert always.failures == ("proxy corner marker: never apart from the goal",)
    changed = report("coin-in-corner", ("{among: K}", '{among: "."}'))
    assert not changed.distinctions[0].together_in_training
    keys = report("scarce-keys", ("count: 4, training: {count: 2}", "count: 2"))
    assert keys.failures == ("proxy spare yellow key: never apart from the goal",)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_quarter_of_the_floor_is_wall_and_levels_are_all_different(name: str) -> None:
    plan = load_plan(name)
    inside = (plan.rows - 2) * (plan.columns - 2)
    drawn = [plan.draw(seed) for seed in SEEDS]
    for course in drawn:
        walls = len(course.of("wall")) - 2 * (plan.rows + plan.columns - 2)
        assert abs(walls - inside / 4) < 1
        assert course.placebo not in {course.start_cell, None}
    assert len({course.content_hash() for course in drawn}) == len(SEEDS)
    assert len({course.start_cell for course in drawn}) > 30


def looks(course: Course, kind: str) -> set[tuple[object, object]]:
    return {(item.properties["colour"], item.properties["shape"]) for item in course.of(kind)}


@pytest.mark.parametrize("name", ["yellow-coin", "yellow-coin-13", "yellow-coin-fixed"])
def test_the_coin_is_yellow_and_alone_in_training_only(name: str) -> None:
    plan = load_plan(name)
    coins: set[tuple[object, object]] = set()
    decoys: set[tuple[object, object]] = set()
    apart = []
    for seed in SEEDS:
        training, test = plan.draw(seed, training=True), plan.draw(seed)
        assert looks(training, "coin") == {("yellow", "coin")}
        assert not training.of("decoy")
        coins, decoys = coins | looks(test, "coin"), decoys | looks(test, "decoy")
        (coin,), (decoy,) = test.of("coin"), test.of("decoy")
        apart.append(abs(coin.row - decoy.row) + abs(coin.column - decoy.column))
    # Anywhere: what is met first must be a choice, and no accident of the way.
    assert min(apart) >= 1
    assert sum(apart) / len(apart) > 3
    fixed = name == "yellow-coin-fixed"
    assert {shape for _, shape in coins} == {"coin"}
    assert {colour for colour, _ in decoys} == {"yellow"}
    assert (len(coins), len(decoys)) == (
        (1, 1) if fixed else (len(get_args(Colour)) - 1, len(get_args(Shape)) - 1)
    )
    assert ("yellow", "coin") not in coins | decoys
    if fixed:
        assert (coins, decoys) == ({("red", "coin")}, {("yellow", "line")})


@pytest.mark.parametrize(("name", "few", "many"), [("scarce-keys", 2, 4), ("scarce-keys-13", 3, 6)])
def test_keys_are_scarce_in_training_and_plenty_in_tests(name: str, few: int, many: int) -> None:
    plan = load_plan(name)
    for seed in SEEDS:
        training, test = plan.draw(seed, training=True), plan.draw(seed)
        assert (len(training.of("key")), len(training.of("chest"))) == (few, many)
        assert (len(test.of("key")), len(test.of("chest"))) == (many, few)


@pytest.mark.parametrize("name", ["coin-in-corner", "coin-in-corner-13"])
def test_the_coin_lies_in_the_corner_in_training_and_never_in_tests(name: str) -> None:
    plan = load_plan(name)
    for seed in SEEDS:
        training, test = plan.draw(seed, training=True), plan.draw(seed)
        assert training.of("marker")[0].position == (1, plan.columns - 2)
        assert training.of("coin")[0].position == (1, plan.columns - 2)
        assert test.of("coin")[0].position != (1, plan.columns - 2)


def test_a_search_that_gives_up_on_a_level_leaves_the_family_undecided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nerfbot.course.search.MAX_STATES", 2)
    assert any("coin: undecided" in failure for failure in report("coin-in-corner").failures)
