"""The grid for the eye: what differs looks different, at every tile size, and shapes without colour too."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from nerfbot.course import load_course
from nerfbot.course.elements import ELEMENTS
from nerfbot.errors import InvalidCommand
from nerfbot.grid.codes import (
    AGENT,
    COLOURS,
    FLOOR,
    FOG,
    GATE,
    INTERFERENCE,
    KEY,
    KIND_NAMES,
    LIFT_ZONE,
    MARKED,
    NO_GO,
    OBJECT,
    OPEN,
    SHAPES,
    UNSEEN,
    WALL,
)
from nerfbot.grid.painting import at_start
from nerfbot.grid.rendering.palette import PALETTE
from nerfbot.grid.rendering.render import TILE, ansi, rgb
from nerfbot.grid.rendering.symbols import KINDS, ZONES, symbol_of

YELLOW = 1 + COLOURS.index("yellow")
ZONE_BITS = (FOG, INTERFERENCE, NO_GO, LIFT_ZONE)


def cell(kind: int, colour: int = 0, state: int = 0, tile: int = TILE) -> NDArray[np.float64]:
    """The middle one of nine equal cells."""
    cells = np.full((3, 3, 3), (kind, colour, state), np.uint8)
    picture = rgb(cells, tile=tile)
    return picture[tile : 2 * tile, tile : 2 * tile].astype(float)


def apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Share of the pixels of two tiles that differ visibly."""
    return float((np.abs(first - second).max(axis=-1) > 24).mean())


@pytest.mark.parametrize("tile", [12, TILE, 48])
def test_every_kind_differs_visibly_from_every_other(tile: int) -> None:
    pictures = {kind: cell(kind, YELLOW, tile=tile) for kind in KIND_NAMES}
    for first, second in itertools.combinations(pictures, 2):
        assert apart(pictures[first], pictures[second]) > 0.06, (KIND_NAMES[first], KIND_NAMES[second])


@pytest.mark.parametrize("tile", [12, TILE])
def test_shapes_differ_without_colour(tile: int) -> None:
    grey = {
        name: cell(OBJECT + i, YELLOW, tile=tile).mean(axis=-1, keepdims=True)
        for i, name in enumerate(SHAPES)
    }
    for first, second in itertools.combinations(grey, 2):
        assert apart(grey[first], grey[second]) > 0.06, (first, second)


@pytest.mark.parametrize("kind", [OBJECT, KEY])
def test_colours_differ_in_every_shape(kind: int) -> None:
    pictures = [cell(kind, 1 + index) for index in range(len(COLOURS))]
    for first, second in itertools.combinations(pictures, 2):
        assert apart(first, second) > 0.08


def test_every_combination_of_zones_looks_different() -> None:
    states = [sum(bits) for n in range(5) for bits in itertools.combinations(ZONE_BITS, n)]
    # Seen at the edge of a region, where a lift zone is outlined.
    pictures = [
        rgb(np.array([[[FLOOR, 0, state], [FLOOR, 0, 0]]], np.uint8)).astype(float) for state in states
    ]
    for first, second in itertools.combinations(pictures, 2):
        assert apart(first, second) > 0.03


def test_a_zone_hides_no_object() -> None:
    for state in ZONE_BITS:
        bare, held = cell(FLOOR, 0, state), cell(OBJECT, YELLOW, state)
        assert apart(bare, held) > 0.2
        assert apart(held, cell(OBJECT, 1, state)) > 0.2


def test_gates_markers_and_the_agent_show() -> None:
    assert apart(cell(GATE), cell(GATE, 0, OPEN)) > 0.2
    assert apart(cell(OBJECT, YELLOW), cell(OBJECT, YELLOW, MARKED)) > 0.1
    for kind in KIND_NAMES:
        assert apart(cell(kind, YELLOW), cell(kind, YELLOW, AGENT)) > 0.1, KIND_NAMES[kind]


def test_a_lift_marks_the_agents_tile_alone() -> None:
    cells = np.full((3, 4, 3), (FLOOR, 0, 0), np.uint8)
    cells[1, 2, 2] |= AGENT
    plain, lifted = rgb(cells, lift=[0, 0, 0, 0]), rgb(cells, lift=[0, 0, 0.5, 0])
    assert np.array_equal(plain, rgb(cells))
    changed = (plain != lifted).any(axis=-1)
    assert changed[TILE : 2 * TILE, 2 * TILE : 3 * TILE].mean() > 0.3
    changed[TILE : 2 * TILE, 2 * TILE : 3 * TILE] = False
    assert not changed.any()


def test_bars_stand_in_the_order_of_the_axes_and_grow_with_the_level() -> None:
    cells = np.full((1, 1, 3), (FLOOR, 0, AGENT), np.uint8)
    base = np.eye(4) * 0.5
    for axis in range(4):
        low, high = (rgb(cells, lift=level, tile=48) for level in (base[axis], 2 * base[axis]))
        columns = np.flatnonzero((low != high).any(axis=(0, 2)))
        assert axis * 12 <= columns.min() + 1
        assert columns.max() <= (axis + 1) * 12


def test_many_worlds_are_drawn_as_one_by_one() -> None:
    worlds = np.stack([at_start(load_course("yellow-coin", seed=seed)) for seed in range(5)])
    lift = np.linspace(0, 1, 20).reshape(5, 4)
    together = rgb(worlds, lift=lift, tile=16)
    assert together.shape == (5, 144, 144, 3)
    for index in range(5):
        assert np.array_equal(together[index], rgb(worlds[index], lift=lift[index], tile=16))


def test_a_lift_zone_is_outlined_where_it_ends_only() -> None:
    cells = np.full((1, 3, 3), (FLOOR, 0, LIFT_ZONE), np.uint8)
    picture = rgb(cells).astype(int)
    inner = picture[TILE // 2, TILE - 2 : TILE + 2]
    assert np.abs(np.diff(inner, axis=0)).max() < 20
    assert picture[TILE // 2, 0, 0] < 60 < picture[TILE // 2, TILE // 2, 0]


def test_what_is_hidden_is_drawn_in_shade_and_nothing_else_changes() -> None:
    cells = np.full((2, 2, 3), (OBJECT, YELLOW, 0), np.uint8)
    hidden = np.array([[False, True], [False, False]])
    plain, shaded = rgb(cells).astype(int), rgb(cells, hidden=hidden).astype(int)
    assert shaded[:TILE, TILE:].mean() < 0.7 * plain[:TILE, TILE:].mean()
    shaded[:TILE, TILE:] = plain[:TILE, TILE:]
    assert np.array_equal(plain, shaded)


@pytest.mark.parametrize(
    ("cells", "keywords", "message"),
    [
        (np.zeros((3, 3), np.uint8), {}, r"cells: must be uint8 \(rows, columns, 3\)"),
        (np.zeros((3, 3, 3), np.int64), {}, "got int64"),
        (np.full((3, 3, 3), 200, np.uint8), {}, "a kind is below 32, got 200"),
        (np.zeros((3, 3, 3), np.uint8), {"tile": 4}, "tile: must be a whole number of pixels from 8, got 4"),
        (np.zeros((3, 3, 3), np.uint8), {"lift": [1, 2]}, "lift: must be 4 levels"),
        (np.zeros((3, 3, 3), np.uint8), {"lift": [np.nan] * 4}, "lift: must be 4 levels"),
        (np.zeros((3, 3, 3), np.uint8), {"hidden": np.ones((2, 3), bool)}, "hidden: must be bool"),
    ],
)
def test_what_is_no_grid_is_refused(
    cells: NDArray[np.generic], keywords: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidCommand, match=message):
        rgb(cells, **keywords)


def test_text_has_two_columns_a_cell_and_a_symbol_of_its_own_for_everything() -> None:
    shown = {kind: ansi(np.array([[[kind, YELLOW, 0]]], np.uint8), colour=False) for kind in KIND_NAMES}
    assert set(map(cell_len, shown.values())) == {2}
    assert len({*shown.values(), *(character * 2 for character, _ in ZONES.values())}) == len(KINDS) + len(
        ZONES
    )
    assert ansi(np.array([[[GATE, 0, OPEN]]], np.uint8), colour=False) != shown[GATE]
    assert set(KINDS) == set(KIND_NAMES)


def test_text_shows_what_lies_over_a_zone_beside_it() -> None:
    cells = np.array(
        [[[OBJECT, YELLOW, FOG], [FLOOR, 0, FOG | LIFT_ZONE], [FLOOR, 0, AGENT | NO_GO]]], np.uint8
    )
    assert ansi(cells, colour=False) == "●░░·@×"


def test_coloured_text_is_the_plain_one_in_colours() -> None:
    cells = at_start(load_course("gauntlet", seed=1))
    coloured = ansi(cells, lift=[0.5, 0, 0, 1])
    assert Text.from_ansi(coloured).plain == ansi(cells, lift=[0.5, 0, 0, 1], colour=False)
    assert coloured.endswith("lift: strength 0.50, reliability 1.00")
    red, green = (ansi(np.array([[[OBJECT, colour, 0]]], np.uint8)) for colour in (1, 2))
    assert red != green
    with pytest.raises(InvalidCommand, match="cells: must be uint8"):
        ansi(np.zeros((2, 2), np.uint8))


def test_every_element_has_a_symbol() -> None:
    needed = {"mass": 1.0, "friction": 0.5, "period": 2.0, "open": 1.0, "visibility": 1.0, "loss": 0.5}
    needed |= {"height": 0.1, "direction": "north", "impulse": 0.1, "axes": ("speed",)}
    for name, kind in ELEMENTS.items():
        item = kind(**{field: needed[field] for field in needed if field in kind.model_fields})
        assert len(symbol_of(item)[0]) == 1, name


def test_a_course_is_painted_with_the_agent_at_its_start_and_marks_under_bodies() -> None:
    course = load_course("corner", seed=2, training=True)
    cells = at_start(course)
    coin = course.of("coin")[0]
    assert (cells[..., 2] & AGENT).nonzero() == (course.start_cell[0], course.start_cell[1])
    assert tuple(cells[coin.row, coin.column]) == (OBJECT, YELLOW, MARKED)
    assert (cells[0, :, 0] == WALL).all()
    assert not (cells[..., 0] == UNSEEN).any()


def test_colours_are_those_of_the_robots_plant() -> None:
    pytest.importorskip("pybullet")
    from nerfbot.sim.physics.appearance import COLOURS as SIMULATED

    assert tuple(PALETTE) == COLOURS
    for name, ink in PALETTE.items():
        assert ink == pytest.approx([255 * part for part in SIMULATED[name][:3]], abs=1.0)
