"""Every shape and colour of a course can be built, and no two shapes look the same."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from nerfbot.course.elements import Colour, Shape
from nerfbot.sim.physics import appearance


def outline(shape: str) -> np.ndarray:
    points, faces = appearance.MESHES[shape]
    return np.array(points)[np.array(faces)]


@pytest.mark.parametrize("shape", get_args(Shape))
def test_a_shape_is_a_closed_mesh_of_the_size_of_a_coin(shape: str) -> None:
    corners = outline(shape)
    assert corners.shape[0] % 3 == 0
    assert np.isfinite(corners).all()
    reach = np.linalg.norm(corners, axis=1).max()
    assert 0.6 * appearance.SIZE < reach < 1.6 * appearance.SIZE
    edges: dict[frozenset[tuple[float, ...]], int] = {}
    rounded = [tuple(corner) for corner in np.round(corners, 6).tolist()]
    for first in range(0, len(rounded), 3):
        triangle = rounded[first : first + 3]
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True):
            if a != b:
                edges[frozenset((a, b))] = edges.get(frozenset((a, b)), 0) + 1
    lonely = sum(count == 1 for count in edges.values())
    assert lonely <= 40, "only the small rims at the ends of turned shapes are open"


def test_every_colour_of_a_course_has_a_look_and_no_two_the_same() -> None:
    assert set(get_args(Colour)) <= set(appearance.COLOURS)
    assert len({appearance.COLOURS[colour] for colour in get_args(Colour)}) == len(get_args(Colour))


def test_no_two_shapes_are_the_same() -> None:
    seen = [outline(shape).tobytes() for shape in get_args(Shape)]
    assert len(set(seen)) == len(seen)
