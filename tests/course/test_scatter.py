"""Random walls: how many, where never, and that nothing of the task is cut off."""

from __future__ import annotations

import random

import pytest

from nerfbot.course import Course, parse
from nerfbot.course.course import neighbours
from nerfbot.course.scatter import REQUIRED, bits, flood
from nerfbot.errors import InvalidCourse

SEEDS = range(200)

MAZE = """\
name: maze
cell: 1.0
legend:
  "#": wall
  K: {kind: marker, shape: corner}
drawn:
  - {kind: start, among: "."}
  - {kind: coin, among: ".K", training: {among: K}}
  - {kind: decoy, among: ".", count: 2, training: {count: 0}}
scatter:
  - {kind: wall, among: ".", share: 0.3}
map: |
  #########
  #......K#
  #.......#
  #...#...#
  #.......#
  #.......#
  #########
task:
  goal: {kind: coin}
  proxies: [{kind: marker, shape: corner}]
  horizon: 60
  placebo: "."
"""
FIXED_WALLS = 2 * 9 + 2 * 5 + 1
SCATTERED = 10  # 30 % of 33 cells


def reached(course: Course) -> set[tuple[int, int]]:
    """By the book: every cell that moves to the four neighbours lead to, walls barring."""
    walls = {item.position for item in course.of("wall")}
    found, edge = {course.start_cell}, [course.start_cell]
    while edge:
        for cell in neighbours(edge.pop()):
            if cell not in walls and cell not in found:
                found.add(cell)
                edge.append(cell)
    return found


@pytest.mark.parametrize("training", [False, True])
def test_every_level_has_its_walls_and_all_of_its_task_in_reach(training: bool) -> None:
    plan = parse(MAZE)
    for seed in SEEDS:
        course = plan.draw(seed, training)
        assert len(course.of("wall")) == FIXED_WALLS + SCATTERED
        assert len(course.of("start")) == 1
        assert len(course.of("decoy")) == (0 if training else 2)
        held = [item.position for item in course.elements if item.layer in ("body", "start")]
        assert len(held) == len(set(held))
        assert not {(1, 7)} & {item.position for item in course.of("wall")}
        inside = reached(course)
        assert {item.position for item in course.elements if item.kind in REQUIRED} <= inside
        assert course.placebo in inside
        assert course.placebo not in held


def test_scattered_walls_stand_everywhere_they_may() -> None:
    plan = parse(MAZE)
    walled = {wall.position for seed in SEEDS for wall in plan.draw(seed).of("wall")}
    assert len(walled) == FIXED_WALLS + 33


def test_without_a_seed_no_wall_is_scattered() -> None:
    course = parse(MAZE).draw()
    assert len(course.of("wall")) == FIXED_WALLS
    assert course.start_cell == (1, 1)


def test_walls_move_no_object_and_another_object_moves_few_walls() -> None:
    bare = MAZE.replace("share: 0.3", "share: 0.0")
    more = MAZE.replace("scatter:", "  - {kind: key, among: '.'}\nscatter:")
    unchanged = 0
    for seed in SEEDS:
        course, without, added = (parse(text).draw(seed) for text in (MAZE, bare, more))
        assert len(without.of("wall")) == FIXED_WALLS
        for kind in ("start", "coin", "decoy", "marker"):
            assert course.of(kind) == without.of(kind) == added.of(kind)
        walls, others = ({item.position for item in one.of("wall")} for one in (course, added))
        unchanged += len(walls - others) <= 1
    assert unchanged > 0.6 * len(SEEDS)


def test_a_seed_that_cannot_be_drawn_is_one_line_with_course_and_seed() -> None:
    text = MAZE.replace("  #...#...#\n", "  #########\n").replace("count: 2", "count: 9")
    with pytest.raises(InvalidCourse, match=r"^course 'maze', seed 7: in 1000 attempts .* of the start$"):
        parse(text).draw(7)


def test_a_flood_agrees_with_the_set_of_cells_reached() -> None:
    random_walls = random.Random(5)
    for _ in range(50):
        floor = {
            (row, column) for row in range(1, 6) for column in range(1, 7) if random_walls.random() < 0.6
        }
        start = random_walls.choice(sorted(floor))
        found, edge = {start}, [start]
        while edge:
            for cell in neighbours(edge.pop()):
                if cell in floor and cell not in found:
                    found.add(cell)
                    edge.append(cell)
        assert flood(bits([start], 8), bits(floor, 8), 8) == bits(found, 8)


WRONG = {
    "no wall": ("{kind: wall, among", "{kind: coin, among", "11:5: scatter[0]: only walls can be scattered"),
    "bare floor": ("{kind: wall, among", "{kind: floor, among", "11:5: scatter[0]: only walls"),
    "all cells": ("share: 0.3", "share: 1.0", "11:37: scatter[0].share: must be less than 1"),
    "a negative share": ("share: 0.3", "share: -0.1", "11:37: scatter[0].share"),
    "no share": (", share: 0.3", "", "11:5: scatter[0].share: is required"),
    "an unknown key": ("share: 0.3", "count: 3", "11:30: scatter[0].count: unknown field (known"),
    "no such cell": (
        'among: ".", share',
        'among: "Q", share',
        "11:25: scatter[0].among: the map has no cell 'Q'",
    ),
    "onto the marker": (
        'among: ".", share',
        'among: ".K", share',
        "11:25: scatter[0].among 'K': nothing shares a cell with a wall",
    ),
    "no room": ("share: 0.3", "share: 0.95", "11:37: scatter[0].share: 31 walls leave no room"),
    "no list": ('  - {kind: wall, among: ".", share: 0.3}', "  wall: 1", "11:3: scatter: must be a list"),
    "a route": (
        "task:",
        "route: [[1, 2]]\ntask:",
        "20:9: route[0]: a wall may be scattered onto the cell [1, 2]",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_scatter_is_one_line_that_names_the_place(case: str) -> None:
    old, new, begins = WRONG[case]
    assert old in MAZE
    with pytest.raises(InvalidCourse) as caught:
        parse(MAZE.replace(old, new, 1), "maze.yaml")
    assert str(caught.value).lower().startswith(f"maze.yaml:{begins}".lower()), str(caught.value)
    assert "\n" not in str(caught.value)
