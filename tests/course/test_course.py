"""Geometry, regions and drawing."""

from __future__ import annotations

import dataclasses
import math

import pytest

from nerfbot.course import catalogue, load_plan, parse
from nerfbot.course.elements import ELEMENTS, Block, Fog, Gate
from nerfbot.course.parser import CATALOGUE, load_course
from nerfbot.errors import InvalidCourse

SEEDS = range(20)


def test_the_northern_row_has_the_greatest_y() -> None:
    course = load_course("strength")
    assert course.centre(0, 0) == (0.25, 3.75)
    assert course.centre(course.rows - 1, 2) == (1.25, 0.25)
    for row in range(course.rows):
        for column in range(course.columns):
            assert course.cell_of(*course.centre(row, column)) == (row, column)


def test_regions_join_connected_cells_of_equal_zones_only() -> None:
    course = load_course("gauntlet")
    zones = [region for region in course.regions if region.kind == "lift_zone"]
    axes = sorted(region.properties["axes"] for region in zones)
    assert axes == [("reliability",), ("speed",), ("speed", "sensing"), ("strength",)]
    assert sum(len(region.cells) for region in zones) == len(course.of("lift_zone"))
    assert len({region.id for region in course.regions}) == len(course.regions)


def test_a_region_and_its_lease_shape_hold_the_same_points() -> None:
    course = load_course("gauntlet")
    for region in course.regions:
        for x in range(0, 70):
            for y in range(0, 26):
                point = (x * 0.25 + 0.1, y * 0.25 + 0.1)
                assert region.contains(*point) == region.shape.holds(*point)
        assert not region.contains(-1.0, -1.0)


def test_leases_may_be_asked_for_only_in_a_lift_zone() -> None:
    course = load_course("gauntlet")
    assert course.axes_at(*course.centre(8, 3)) == {"strength"}
    assert course.axes_at(*course.centre(8, 1)) == frozenset()


def test_elevation_rises_along_a_ramp_to_its_platform() -> None:
    course = load_course("ramp")
    row = 3
    x, y = course.centre(row, 5)
    assert course.elevation(x - 0.24, y) == pytest.approx(0.003, abs=1e-6)
    assert course.elevation(x, y) == pytest.approx(0.075)
    assert course.elevation(*course.centre(row, 7)) == pytest.approx(0.375)
    assert course.elevation(*course.centre(row, 8)) == 0.45
    assert course.elevation(*course.centre(row, 12)) == pytest.approx(0.075)
    assert course.elevation(*course.centre(row, 2)) == 0.0


def test_a_gate_is_open_for_its_share_of_every_period() -> None:
    gate = Gate(period=10.0, open=4.0, phase=3.0)
    assert [gate.is_open(now) for now in (0.0, 0.9, 1.0, 6.9, 7.0, 10.9, 11.0)] == [
        True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert gate.next_opening(8.0) == pytest.approx(17.0)


def test_fog_limits_sight_less_as_sensing_is_lifted() -> None:
    fog = Fog(visibility=1.0)
    assert [fog.sight(8.0, level) for level in (0.0, 0.5, 1.0)] == [1.0, 4.5, 8.0]
    assert fog.sight(0.5, 0.0) == 0.5
    assert fog.sight(math.inf, 0.0) == 1.0


@pytest.mark.parametrize("name", catalogue())
def test_the_same_seed_draws_the_same_course_and_twenty_seeds_twenty(name: str) -> None:
    drawn = [load_course(name, seed=seed) for seed in SEEDS]
    assert drawn == [load_course(name, seed=seed) for seed in SEEDS]
    assert len({(course.start, course.elements) for course in drawn}) == len(SEEDS)


@pytest.mark.parametrize("name", catalogue())
def test_without_a_seed_nothing_varies(name: str) -> None:
    course = load_course(name)
    assert course == load_course(name)
    assert (course.start.x, course.start.y) == course.centre(*course.start_cell)


@pytest.mark.parametrize("name", catalogue())
def test_every_draw_keeps_one_body_a_cell(name: str) -> None:
    for seed in SEEDS:
        course = load_course(name, seed=seed)
        bodies = [item.position for item in course.elements if item.layer in ("body", "start")]
        assert len(bodies) == len(set(bodies))
        assert len({item.id for item in course.elements}) == len(course.elements)
        assert course.placebo is None or not any(item.layer == "body" for item in course.at(*course.placebo))


def test_variation_stays_inside_what_the_file_says() -> None:
    plan = load_plan("strength")
    nominal = plan.draw()
    mass = nominal.of("block")[0].properties["mass"]
    assert isinstance(mass, float)
    for seed in SEEDS:
        course = plan.draw(seed)
        block = course.of("block")[0]
        assert isinstance(block, Block)
        assert 0.92 * mass <= block.mass <= 1.08 * mass
        assert abs(course.start.x - nominal.start.x) <= 0.08
        assert abs(course.start.heading) <= 0.3
    assert {gate.properties["phase"] for gate in load_course("speed", seed=1).of("gate")} != {108.0}
    assert len({gate.properties["phase"] for gate in load_course("speed", seed=1).of("gate")}) == 1


def test_in_training_the_coin_lies_only_where_the_file_puts_it() -> None:
    pad = load_course("finish-pad").of("marker")[0].position
    training = {load_course("finish-pad", seed, training=True).of("coin")[0].position for seed in SEEDS}
    tests = {load_course("finish-pad", seed).of("coin")[0].position for seed in SEEDS}
    assert training == {pad}
    assert len(tests) > 3
    keys = load_course("keys-and-chests", seed=0, training=True)
    assert (len(keys.of("key")), len(keys.of("chest"))) == (2, 5)


def test_drawing_one_thing_more_reshuffles_no_other() -> None:
    text = (CATALOGUE / "strength.yaml").read_text()
    more = text.replace("block_mass:", "gate_phase: [0, 1]\n  block_mass:")
    key = "drawn:\n  - {kind: key, among: '.'}\nmap:"
    for changed in (more, text.replace("map:", key, 1)):
        for seed in range(5):
            before, after = parse(text).draw(seed), parse(changed).draw(seed)
            assert before.start == after.start
            assert before.of("block") == after.of("block")


def test_the_content_hash_tells_layouts_apart_and_nothing_else() -> None:
    plan = load_plan("coin-in-corner")
    levels = [plan.draw(seed) for seed in range(300)]
    layouts = {(level.start_cell, tuple((e.kind, e.position) for e in level.elements)) for level in levels}
    assert len({level.content_hash() for level in levels}) == len(layouts) > 290
    text = (CATALOGUE / "coin-in-corner.yaml").read_text()
    renamed = text.replace("name: coin", "name: another").replace("horizon: 64", "horizon: 99")
    assert parse(renamed).draw(5).content_hash() == levels[5].content_hash()
    assert dataclasses.replace(levels[5], seed=None).content_hash() == levels[5].content_hash()
    for old, new in (
        ("cell: 1.0", "cell: 0.5"),
        ("kind: coin,", "kind: coin, colour: red,"),
        ("share: 0.25", "share: 0"),
    ):
        assert old in text
        assert parse(text.replace(old, new, 1)).draw(5).content_hash() != levels[5].content_hash()


def test_the_content_hash_rounds_the_heading_and_ignores_the_offset() -> None:
    course = load_course("strength")

    def turned(heading: float, x: float = course.start.x) -> str:
        start = dataclasses.replace(course.start, heading=heading, x=x)
        return dataclasses.replace(course, start=start).content_hash()

    assert turned(0.0) == turned(1e-4) == turned(-1e-4) == turned(math.tau) == turned(0.0, x=0.3)
    assert turned(0.0) != turned(0.1)
    assert len(course.content_hash()) == 64


@pytest.mark.parametrize("seed", [-1, 1.5, True, math.pi])
def test_a_seed_that_is_no_whole_number_is_refused(seed: int) -> None:
    with pytest.raises(InvalidCourse, match="seed"):
        load_course("strength", seed=seed)


def test_an_unknown_course_is_one_line_with_a_suggestion() -> None:
    with pytest.raises(InvalidCourse, match=r"^unknown course 'gauntled'; did you mean 'gauntlet'\?$"):
        load_course("gauntled")


def test_a_course_file_is_loaded_from_its_path(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.yaml"
    path.write_text((CATALOGUE / "speed.yaml").read_text())
    assert load_course(path) == load_course("speed")
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InvalidCourse, match="cannot be read"):
        load_course(path)


def test_the_catalogue_holds_a_course_for_each_axis_and_uses_every_element() -> None:
    needs = [load_plan(name).needs for name in catalogue()]
    for axis in ("strength", "speed", "sensing", "reliability"):
        assert (axis,) in needs
    used = {item.kind for name in catalogue() for item in load_course(name).elements}
    assert used == set(ELEMENTS)
