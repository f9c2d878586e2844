"""Drawn starts, looks and neighbours: what a `drawn` entry may say beyond where it stands."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from nerfbot.course import CoursePlan, parse
from nerfbot.course.elements import Colour, Shape
from nerfbot.errors import InvalidCourse

SEEDS = range(300)

ROOM = """\
name: room
legend:
  "#": wall
  s: floor
drawn:
  - {kind: start, among: s, training: {among: "."}}
  - {kind: coin, among: "."}
  - {kind: decoy, among: "."}
map: |
  ########
  #ss....#
  #......#
  #......#
  ########
task:
  goal: {kind: coin}
  horizon: 60
"""


def room(coin: str = "", decoy: str = "shape: line") -> CoursePlan:
    text = ROOM.replace('{kind: coin, among: "."', f'{{kind: coin, among: ".", {coin}')
    return parse(text.replace('{kind: decoy, among: "."', f'{{kind: decoy, among: ".", {decoy}'))


def looks(plan: CoursePlan, kind: str, name: str, training: bool = False) -> Counter[object]:
    return Counter(item.properties[name] for seed in SEEDS for item in plan.draw(seed, training).of(kind))


def test_a_drawn_start_stands_where_the_file_lets_it() -> None:
    plan = room()
    assert {plan.draw(seed).start_cell for seed in SEEDS} == {(1, 1), (1, 2)}
    training = [plan.draw(seed, training=True) for seed in SEEDS]
    assert len({course.start_cell for course in training}) == 16
    for course in training:
        assert (course.start.x, course.start.y) == course.centre(*course.start_cell)
        assert course.start_cell not in {item.position for item in course.elements if item.kind != "start"}


def test_listed_looks_are_each_drawn_about_as_often() -> None:
    counts = looks(room("colour: [red, green, blue]"), "coin", "colour")
    assert set(counts) == {"red", "green", "blue"}
    assert min(counts.values()) > 70


def test_any_look_is_every_one_but_a_decoys_is_never_the_coins() -> None:
    plan = room("colour: {not: [yellow, red]}, shape: coin", "colour: [yellow], shape: any")
    assert set(looks(plan, "coin", "colour")) == {*get_args(Colour)} - {"yellow", "red"}
    assert set(looks(plan, "decoy", "shape")) == {*get_args(Shape)} - {"coin"}
    assert set(looks(plan, "decoy", "colour")) == {"yellow"}
    assert len(looks(room("colour: any", "shape: {not: [gem]}"), "coin", "colour")) == len(get_args(Colour))
    assert "coin" not in looks(room("", "shape: {not: [gem]}"), "decoy", "shape")


def test_training_may_have_looks_of_its_own() -> None:
    plan = room("colour: [red, blue], training: {colour: yellow}")
    assert set(looks(plan, "coin", "colour")) == {"red", "blue"}
    assert set(looks(plan, "coin", "colour", training=True)) == {"yellow"}
    plan = room("colour: red, training: {among: s, count: 1}", "count: 2, training: {count: 0}")
    assert set(looks(plan, "coin", "colour", training=True)) == {"red"}
    assert not looks(plan, "decoy", "shape", training=True)


def test_each_placed_element_has_its_own_look() -> None:
    plan = room("count: 2, colour: [red, blue]")
    pairs = {tuple(str(coin.properties["colour"]) for coin in plan.draw(seed).of("coin")) for seed in SEEDS}
    assert len(pairs) == 4


def test_looks_reshuffle_no_place_and_one_look_not_the_other() -> None:
    plain, colours = room(), room("colour: [red, blue]")
    both = room("colour: [red, blue], shape: [coin, star]")
    for seed in SEEDS:
        one, two, three = (plan.draw(seed) for plan in (plain, colours, both))
        assert [item.position for item in one.elements] == [item.position for item in three.elements]
        assert two.of("coin")[0].properties["colour"] == three.of("coin")[0].properties["colour"]
        assert one.of("decoy") == two.of("decoy") == three.of("decoy")


def test_without_a_seed_the_first_look_and_the_first_cell_are_taken() -> None:
    course = room("colour: [red, blue], shape: {not: [coin]}").draw()
    assert course.of("coin")[0].properties == {"colour": "red", "shape": "gem"}
    assert (course.start_cell, course.of("coin")[0].position) == ((1, 1), (1, 3))


def test_beside_is_one_move_away_while_a_cell_there_is_free_and_else_the_nearest() -> None:
    plan = room("", "shape: line, beside: coin")
    for seed in SEEDS:
        course = plan.draw(seed)
        (coin,), (decoy,) = course.of("coin"), course.of("decoy")
        assert abs(coin.row - decoy.row) + abs(coin.column - decoy.column) == 1
    sides = {(0, 1), (0, -1), (1, 0), (-1, 0)}
    drawn = [plan.draw(seed) for seed in SEEDS]
    found = {
        (a.row - b.row, a.column - b.column) for a, b in ((c.of("decoy")[0], c.of("coin")[0]) for c in drawn)
    }
    assert found == sides
    far = parse(ROOM.replace('{kind: decoy, among: "."', "{kind: decoy, among: s, beside: coin, shape: line"))
    for seed in SEEDS:
        course = far.draw(seed)
        taken = course.start_cell
        assert course.of("decoy")[0].position == ({(1, 1), (1, 2)} - {taken}).pop()


COIN = '  - {kind: coin, among: "."}'
START = '{kind: start, among: s, training: {among: "."}}'
DECOY = '{kind: decoy, among: "."}'
WRONG = {
    "an unknown colour": (
        COIN,
        '  - {kind: coin, among: ".", colour: [red, rde]}',
        "7:44: drawn[1].colour[1]: unknown colour 'rde'; did you mean 'red'?",
    ),
    "an unknown colour barred": (
        COIN,
        '  - {kind: coin, among: ".", colour: {not: [rde]}}',
        "7:45: drawn[1].colour.not[0]: unknown",
    ),
    "an unknown colour in training": (
        COIN,
        '  - {kind: coin, among: ".", training: {colour: rde}}',
        "7:49: drawn[1].training.colour: unknown",
    ),
    "no colour left": (
        COIN,
        '  - {kind: decoy, among: ".", shape: {not: [' + ", ".join(get_args(Shape)[1:]) + "]}}",
        "7:38: drawn[1].shape: must be a shape, a list",
    ),
    "an empty list": (
        COIN,
        '  - {kind: coin, among: ".", colour: []}',
        "7:38: drawn[1].colour: must be a colour, a list of some",
    ),
    "a colour twice": (
        COIN,
        '  - {kind: coin, among: ".", colour: [red, red]}',
        "7:44: drawn[1].colour[1]: 'red' is given twice",
    ),
    "an unknown exclusion": (
        COIN,
        '  - {kind: coin, among: ".", colour: {nor: [red]}}',
        "7:39: drawn[1].colour.nor: unknown field; did you mean 'not'?",
    ),
    "a number for a colour": (COIN, '  - {kind: coin, among: ".", colour: 3}', "7:38: drawn[1].colour"),
    "the shape of a key": (
        COIN,
        '  - {kind: key, among: ".", shape: any}',
        "7:29: drawn[1].shape: unknown field",
    ),
    "an unknown key in training": (
        COIN,
        '  - {kind: coin, among: ".", training: {color: red}}',
        "7:41: drawn[1].training.color: unknown field; did you mean 'colour'?",
    ),
    "training that is no mapping": (
        COIN,
        '  - {kind: coin, among: ".", training: 3}',
        "7:40: drawn[1].training: must be a mapping",
    ),
    "two starts drawn": (
        START,
        "{kind: start, among: s, count: 2}",
        "6:5: drawn[0]: count: a course has exactly one start",
    ),
    "no start in training": (
        START,
        "{kind: start, among: s, training: {count: 0}}",
        "6:5: drawn[0]: count: a course",
    ),
    "no start at all": (START, "{kind: key, among: s}", "9:6: map: no start, and none is drawn"),
    "beside nothing": (
        DECOY,
        '{kind: decoy, among: ".", beside: key}',
        "8:39: drawn[2].beside: no 'key' is placed before it in tests",
    ),
    "beside a list": (
        DECOY,
        '{kind: decoy, among: ".", beside: [coin]}',
        "8:39: drawn[2].beside: must be the kind of an element, got ['coin']",
    ),
    "beside what training lacks": (
        COIN,
        '  - {kind: coin, among: ".", training: {count: 0}}\n  - {kind: key, among: ".", beside: coin}',
        "8:37: drawn[2].beside: no 'coin' is placed before it in training",
    ),
    "a decoy like the coin": (
        DECOY,
        '{kind: decoy, among: ".", shape: [gem, coin]}',
        "8:5: drawn[2]: a coin and a decoy may both be a yellow coin",
    ),
    "a decoy like the coin in training": (
        COIN,
        '  - {kind: coin, among: ".", training: {shape: gem}}',
        "8:5: drawn[2]: a coin and a decoy may both be a yellow gem",
    ),
    "starved by two together": (
        '  - {kind: decoy, among: "."}',
        '  - {kind: key, among: ".", count: 14}\n  - {kind: chest, among: ".", count: 2}',
        "9:5: drawn[3]: an earlier drawn",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_entry_is_one_line_that_names_the_place(case: str) -> None:
    old, new, begins = WRONG[case]
    assert old in ROOM
    with pytest.raises(InvalidCourse) as caught:
        parse(ROOM.replace(old, new, 1), "room.yaml")
    assert str(caught.value).startswith(f"room.yaml:{begins}"), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_start_in_the_map_and_another_drawn_are_one_too_many() -> None:
    text = ROOM.replace("s: floor", "s: floor\n  S: start").replace("#......#", "#S.....#", 1)
    with pytest.raises(
        InvalidCourse, match=r"^course:7:5: drawn\[0\]: a second start; a course has exactly one$"
    ):
        parse(text)
