from __future__ import annotations

import math

import numpy as np
import pytest

from nerfbot.course import Course, load_course
from nerfbot.sim.physics.fog import Fog, entry_distance, sight

INF = math.inf
EAST, NORTH, WEST, SOUTH = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)
SLANT = (0.6, 0.8)
BOX = (2.0, 3.0, -1.0, 1.0)


@pytest.mark.parametrize(
    ("place", "direction", "distance"),
    [
        ((0.0, 0.0), EAST, 2.0),
        ((0.0, 0.0), NORTH, INF),
        ((0.0, 0.0), WEST, INF),
        ((5.0, 0.0), WEST, 2.0),
        ((2.5, 4.0), SOUTH, 3.0),
        ((2.5, -4.0), NORTH, 3.0),
        ((2.5, 4.0), NORTH, INF),
        ((2.5, 0.0), EAST, 0.0),
        ((2.5, 0.0), SLANT, 0.0),
        ((1.4, -1.8), SLANT, 1.0),
        ((1.4, 0.0), SLANT, 1.0),
        ((0.0, 0.0), SLANT, INF),
        ((0.0, 1.0), EAST, 2.0),  # along an edge
        ((0.0, 1.1), EAST, INF),
        ((3.0, -3.0), NORTH, 2.0),
        ((3.0, 0.0), EAST, 0.0),  # leaving by one
    ],
)
def test_a_ray_enters_a_rectangle_where_it_should(place, direction, distance):
    assert entry_distance(*place, *direction, *BOX) == pytest.approx(distance, abs=1e-12)


def test_a_ray_sees_the_visibility_beyond_the_first_fog_and_a_lift_the_rest():
    angles = np.array([0.0, math.pi / 2, math.pi])
    boxes, visibility = np.array([BOX, (-5.0, -4.0, -1.0, 1.0)]), np.array([0.5, 9.0])
    assert sight(0.0, 0.0, angles, boxes, visibility, 8.0, 0.0).tolist() == [2.5, 8.0, 8.0]
    assert sight(0.0, 0.0, angles, boxes, visibility, 8.0, 0.25).tolist() == [2.5 + 7.5 / 4, 8.0, 8.0]
    assert sight(0.0, 0.0, angles, boxes, visibility, 8.0, 1.0).tolist() == [8.0, 8.0, 8.0]
    assert sight(2.0, 0.0, angles, boxes, visibility, 1.0, 0.0).tolist() == [0.5, 0.5, 0.5]


def test_of_several_fogs_on_its_way_the_one_that_hides_most_counts():
    boxes, visibility = np.array([(1.0, 2.0, -1.0, 1.0), (2.0, 3.0, -1.0, 1.0)]), np.array([3.0, 0.5])
    angles = np.zeros(1)
    assert sight(0.0, 0.0, angles, boxes, visibility, 8.0, 0.0).tolist() == [2.5]
    assert sight(0.0, 0.0, angles, boxes[::-1].copy(), visibility[::-1].copy(), 8.0, 0.0).tolist() == [2.5]


def test_a_course_s_fog_is_near_and_limits_until_a_draw_clears_it(tmp_path):
    def course(visibility: float) -> Course:
        path = tmp_path / "foggy.yaml"
        path.write_text(
            f"""name: foggy
title: Fog in the east
cell: 0.5
legend:
  "#": wall
  S: {{kind: start, heading: 0}}
  C: {{kind: coin}}
  f: {{kind: fog, visibility: {visibility}}}
map: |
  ########
  #S..ffC#
  ########
task:
  goal: {{kind: coin}}
  horizon: 9
"""
        )
        return load_course(path)

    fog = Fog(course(0.25))
    assert fog.near(0.75, 0.75, 1.5)
    assert not fog.near(0.75, 0.75, 1.0)
    ahead = np.zeros(1)
    assert fog.limits(0.75, 0.75, ahead, 8.0, 0.0).tolist() == [1.25 + 0.25]
    fog.restart(course(2.0))
    assert fog.limits(0.75, 0.75, ahead, 8.0, 0.0).tolist() == [1.25 + 2.0]
