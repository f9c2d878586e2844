from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from nerfbot.errors import LeaseError
from nerfbot.powers import Cells, Circle, Place, Rectangle, Region

# A map of 3 rows with 0.5 m cells: cell (0, 1) is x 0.5..1, y 1..1.5; cell (2, 0) is x 0..0.5, y 0..0.5.
CELLS = Cells(cell=0.5, rows=3, cells=[(0, 1), (2, 0), (2, 3)])
SHAPES = [Rectangle(x=(-1, 2), y=(0.5, 1)), Circle(x=0.5, y=-0.5, radius=1.25), CELLS]
NAN, INF = math.nan, math.inf

POINTS = [
    (SHAPES[0], (-1, 0.5), True),
    (SHAPES[0], (2, 1), True),
    (SHAPES[0], (math.nextafter(-1, -2), 0.7), False),
    (SHAPES[0], (math.nextafter(2, 3), 0.7), False),
    (SHAPES[0], (0, math.nextafter(0.5, 0)), False),
    (SHAPES[0], (0, math.nextafter(1, 2)), False),
    (SHAPES[0], (NAN, 0.7), False),
    (SHAPES[0], (0, NAN), False),
    (SHAPES[0], (INF, 0.7), False),
    (SHAPES[1], (1.75, -0.5), True),
    (SHAPES[1], (0.5, 0.75), True),
    (SHAPES[1], (1.76, -0.5), False),
    (SHAPES[1], (0.5, 0.76), False),
    (SHAPES[1], (-0.75, -0.5), True),
    (SHAPES[1], (1.5, 0.5), False),
    (SHAPES[1], (NAN, -0.5), False),
    (SHAPES[1], (0.5, -INF), False),
    (CELLS, (0.5, 1.0), True),
    (CELLS, (0.99, 1.49), True),
    (CELLS, (1.0, 1.2), False),
    (CELLS, (0.7, 1.5), False),
    (CELLS, (0.7, 0.99), False),
    (CELLS, (0.49, 1.2), False),
    (CELLS, (0.0, 0.0), True),
    (CELLS, (-0.01, 0.2), False),
    (CELLS, (0.2, -0.01), False),
    (CELLS, (1.5, 0.49), True),
    (CELLS, (1.99, 0.0), True),
    (CELLS, (2.0, 0.0), False),
    (CELLS, (NAN, 0.2), False),
    (CELLS, (0.2, NAN), False),
    (CELLS, (INF, 0.2), False),
    (CELLS, (0.2, -INF), False),
    (CELLS, (1e300, 0.2), False),
]


@pytest.mark.parametrize(("shape", "point", "inside"), POINTS)
def test_a_point_is_inside_or_not(shape, point, inside):
    assert shape.holds(*point) is inside
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bool(shape.contains(*point)) is inside


@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_of_points_keep_their_shape(shape):
    x, y = np.meshgrid(np.linspace(-2, 3, 7), np.linspace(-2, 3, 5))
    inside = shape.contains(x, y)
    assert inside.shape == (5, 7)
    assert inside.dtype == np.bool_
    assert shape.contains([0.1], [0.6]).shape == (1,)


@settings(max_examples=150, deadline=None)
@given(x=st.floats(-4, 4), y=st.floats(-4, 4), shape=st.sampled_from(SHAPES))
def test_one_point_and_an_array_give_the_same_answer(x, y, shape):
    assert shape.contains([x], [y]).tolist() == [shape.holds(x, y)]


def test_cells_too_small_for_the_number_do_not_overflow():
    assert Cells(cell=1e-300, rows=1, cells=[(0, 0)]).holds(1e300, 0.0) is False
    assert Cells(cell=1e-300, rows=1, cells=[(0, 0)]).holds(0.0, 1e300) is False


def test_equal_cells_are_one_key():
    same = Cells(cell=0.5, rows=3, cells=[(0, 1), (2, 0), (2, 3)])
    assert same == CELLS
    assert hash(same) == hash(CELLS)
    for other in (
        Cells(cell=0.6, rows=3, cells=CELLS.cells),
        Cells(cell=0.5, rows=4, cells=CELLS.cells),
        Cells(cell=0.5, rows=3, cells=[(0, 1)]),
    ):
        assert other != CELLS
        assert hash(other) != hash(CELLS)
    assert CELLS != "cells"


BAD = [
    (
        lambda: Rectangle(x=(1, 1), y=(0, 1)),
        "Rectangle: x = [1.0, 1.0]: the first must be below the second",
    ),
    (
        lambda: Rectangle(x=(0, 1), y=(2, 1)),
        "Rectangle: y = [2.0, 1.0]: the first must be below the second",
    ),
    (lambda: Rectangle(x=(0, NAN), y=(0, 1)), "Rectangle: x[1]: must be a finite number, got nan"),
    (lambda: Circle(x=0, y=0, radius=0), "Circle: radius: must be greater than 0, got 0"),
    (lambda: Circle(x=INF, y=0, radius=1), "Circle: x: must be a finite number, got inf"),
    (
        lambda: Cells(cell=1, rows=2, cells=[(0, 0), (2, 1)]),
        "Cells: cells has [2, 1], but the map has only 2 rows",
    ),
    (lambda: Cells(cell=0, rows=2, cells=[(0, 0)]), "Cells: cell: must be greater than 0, got 0"),
    (
        lambda: Cells(cell=1, rows=0, cells=[(0, 0)]),
        "Cells: rows: must be greater than or equal to 1, got 0",
    ),
    (
        lambda: Cells(cell=1, rows=2, cells=[(0, -1)]),
        "Cells: cells[0][1]: must be greater than or equal to 0, got -1",
    ),
    (
        lambda: Cells(cell=1, rows=2, cells=[(True, 0)]),
        "Cells: cells[0][0]: must be a valid integer, got True",
    ),
    (
        lambda: Cells(cell=1, rows=2.0, cells=[(0, 0)]),
        "Cells: rows: must be a valid integer, got 2.0",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_shape_gives_one_line(make, message):
    with pytest.raises(LeaseError) as caught:
        make()
    assert str(caught.value) == message


def test_cells_without_a_cell_are_refused():
    with pytest.raises(LeaseError, match=r"Cells: cells: tuple should have at least 1 item.*, got \[\]"):
        Cells(cell=1, rows=2, cells=[])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_survives_the_way_through_data(shape):
    data = TypeAdapter(Region).dump_python(shape, mode="json")
    assert data["kind"] == type(shape).__name__.lower()
    assert TypeAdapter(Region).validate_python(data) == shape


A, B, C = (Rectangle(x=(x, x + 2), y=(0, 1)) for x in (0, 1, 5))


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        (Place(None, None), [True] * 5),
        (Place(A, None), [True, True, False, False, False]),
        (Place(None, (B, C)), [False, True, True, True, False]),
        (Place(A, (B, C)), [False, True, False, False, False]),
        (Place(None, ()), [False] * 5),
        (Place(A, ()), [False] * 5),
    ],
)
def test_a_place_is_the_region_and_any_of_the_zones(place, inside):
    x, y = np.array([0.5, 1.5, 2.5, 6.0, 9.0]), np.full(5, 0.5)
    assert place.contains(x, y).tolist() == inside
    assert [place.holds(*point) for point in zip(x, y, strict=True)] == inside


def test_points_outside_the_smallest_map_are_outside():
    alone = Cells(cell=1.0, rows=1, cells=[(0, 0)])
    assert alone.contains([0.5, 1.5, 0.5, -9.0], [0.5, 0.5, 1.5, math.nan]).tolist() == [
        True,
        False,
        False,
        False,
    ]
