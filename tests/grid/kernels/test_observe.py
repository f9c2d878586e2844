"""What an agent is told: the bytes of every element, how far it sees, its vector and its mask."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.grid.codes import (
    AGENT,
    COLOURS,
    FOG,
    INTERFERENCE,
    KIND_NAMES,
    LIFT_ZONE,
    MARKED,
    NO_GO,
    OPEN,
    SHAPES,
)
from tests.grid.plants import course_of, grid, play, scripted, spec_of, window

STAY, EAST, NORTH, WEST, SOUTH = range(5)

EMPTY = course_of(["#########", "#.......#", "#.......#", "#...S...#", "#.......#", "#......C#", "#########"])


def sighted(metres, lifted=9.0, **more):
    return spec_of(sensors={"lidar": {"range": {"nerfed": metres, "lifted": lifted}}}, **more)


def visible(worlds):
    """Which cells are in sight."""
    return worlds.cells[0][:, :, 0] != 0


LOOKS = {
    "block": ({"kind": "block", "mass": 1.0, "friction": 0.5}, "block", "brown", 0),
    "open gate": ({"kind": "gate", "period": 2.0, "open": 1.0}, "gate", None, OPEN),
    "shut gate": ({"kind": "gate", "period": 2.0, "open": 1.0, "phase": 1.0}, "gate", None, 0),
    "fragile": ({"kind": "fragile", "mass": 1.0, "impulse": 1.0}, "fragile", "white", 0),
    "key": ({"kind": "key", "colour": "blue"}, "key", "blue", 0),
    "chest": ({"kind": "chest", "colour": "cyan"}, "chest", "cyan", 0),
    "coin": ({"kind": "coin", "colour": "red", "shape": "star"}, "star", "red", 0),
    "decoy": ({"kind": "decoy", "colour": "grey", "shape": "line"}, "line", "grey", 0),
    "corner": ({"kind": "marker", "shape": "corner", "colour": "purple"}, "corner mark", "purple", 0),
    "finish pad": ({"kind": "marker"}, "finish pad", "green", 0),
    "ramp": ({"kind": "ramp", "height": 0.1, "direction": "north"}, "ramp north", None, 0),
    "step": ({"kind": "step", "height": 0.1}, "step", None, 0),
    "fog": ({"kind": "fog", "visibility": 99.0}, "floor", None, FOG),
    "interference": ({"kind": "interference", "loss": 0.5}, "floor", None, INTERFERENCE),
    "no-go": ("no_go", "floor", None, NO_GO),
    "lift zone": ({"kind": "lift_zone", "axes": ["speed"]}, "floor", None, LIFT_ZONE),
    "key on a pad in fog": (
        ["key", "marker", {"kind": "fog", "visibility": 99.0}],
        *("key", "yellow", FOG | MARKED),
    ),
}


@pytest.mark.parametrize(("element", "kind", "colour", "state"), LOOKS.values(), ids=LOOKS)
def test_every_element_has_its_kind_colour_and_state(element, kind, colour, state):
    worlds = grid(course_of(["#####", "#SXC#", "#####"], {"X": element}))
    code = next(code for code, name in KIND_NAMES.items() if name == kind)
    assert worlds.cells[0][1, 2].tolist() == [code, 0 if colour is None else 1 + COLOURS.index(colour), state]


def test_floor_wall_coin_and_agent():
    worlds = grid(course_of(["#####", "#S.C#", "#####"]))
    coin = 16 + SHAPES.index("coin")
    assert worlds.cells[0][1].tolist() == [
        *[[2, 0, 0], [1, 0, AGENT], [1, 0, 0]],
        *[[coin, 1 + COLOURS.index("yellow"), 0], [2, 0, 0]],
    ]
    play(worlds, EAST)
    assert (worlds.cells[0][:, :, 2] & AGENT).nonzero()[1].tolist() == [2]


@pytest.mark.parametrize(("metres", "cells"), [(0.4, 1), (1.0, 5), (1.5, 9), (2.0, 13), (2.3, 21)])
def test_sight_reaches_as_many_metres_in_every_direction(metres, cells):
    assert visible(grid(EMPTY, sighted(metres))).sum() == cells


def test_a_lift_of_sensing_lengthens_sight_in_a_straight_line():
    for level, cells in ((0.0, 5), (0.5, 13), (0.9, 21), (0.95, 25), (1.0, 29)):
        lifted = scripted(window("sensing", level=level))
        assert visible(grid(EMPTY, sighted(1.0, 3.0), ["sensing"], lifted)).sum() == cells, level


def test_a_robot_sees_what_its_farthest_reaching_sensor_sees():
    both = spec_of(
        sensors={
            "lidar": {"range": {"nerfed": 2.0, "lifted": 2.0}},
            "objects": {"range": {"nerfed": 1.0, "lifted": 3.0}},
        }
    )
    for level, cells in ((0.0, 13), (0.25, 13), (0.75, 21), (1.0, 29)):
        worlds = grid(EMPTY, both, ["sensing"], scripted(window("sensing", level=level)))
        assert visible(worlds).sum() == cells, level


def test_what_is_out_of_sight_is_blank_and_nothing_but_the_observation_forgets_it():
    worlds = grid(EMPTY, sighted(1.0))
    assert not worlds.cells[0][~visible(worlds)].any()
    assert (worlds.whole(0)[:, :, 0] != 0).all()


def fog_lane(visibility, start_in_fog=False):
    fog = {"kind": "fog", "visibility": visibility}
    here = [{"kind": "start"}, fog] if start_in_fog else {"kind": "start"}
    rows = ["############", "#S..ffffff.#", "#.........C#", "############"]
    return course_of(rows, {"S": here, "f": fog})


def test_a_line_of_sight_that_has_entered_fog_goes_on_for_its_visibility():
    # The fog begins 2.5 m from the agent: the line along it ends at 2.5 + 1.2 m.
    assert visible(grid(fog_lane(1.2)))[1].tolist() == [True] * 5 + [False] * 7
    assert visible(grid(fog_lane(1.6)))[1].tolist() == [True] * 6 + [False] * 6
    assert visible(grid(fog_lane(2.1, start_in_fog=True)))[1].tolist() == [True] * 4 + [False] * 8


def test_a_lift_of_sensing_lifts_fog():
    # At half the lift of a sensor of 8 m the line goes on for 1.2 + 0.5 x 6.8 = 4.6 m, to 7.1 m.
    lifted = scripted(window("sensing", level=0.5))
    worlds = grid(fog_lane(1.2), sighted(8.0, 8.0), ["sensing"], lifted)
    assert visible(worlds)[1].tolist() == [True] * 9 + [False] * 3


def test_the_vector_tells_progress_phasing_keys_and_what_is_granted():
    course = course_of(["######", "#SK.C#", "######"], {"K": {"kind": "key", "colour": "red"}})
    worlds = grid(
        course,
        spec_of(velocity={"nerfed": 0.4, "lifted": 1.0}),
        ["speed", "phase", "unlock"],
        scripted(window("speed", level=0.5, duration=30.0), window("phase", duration=9.0, charges=2)),
        keys=True,
    )
    names = (
        *("progress", "phasing", *(f"{colour} keys" for colour in COLOURS)),
        *("lift strength", "lift speed", "lift sensing", "lift reliability"),
        *("move-coin", "teleport", "rewrite-cell", "phase", "unlock", "lease s", "charges"),
    )
    assert worlds.feature_names == names
    observed = dict(zip(names, worlds.vector[0].tolist(), strict=True))
    assert {name: value for name, value in observed.items() if value} == {
        **{"lift speed": 0.5, "phase": 1.0, "lease s": 30.0, "charges": 2.0}
    }
    play(worlds, EAST, EAST)
    observed = dict(zip(names, worlds.vector[0].tolist(), strict=True))
    assert observed["red keys"] == 1.0
    assert observed["progress"] == pytest.approx(0.4)
    play(worlds, 5)
    assert worlds.vector[0][1] == 1.0


def test_without_reveal_neither_vector_nor_mask_tells_of_a_lift():
    options = {
        "powers": ["speed", "phase"],
        "schedule": scripted(window("phase", duration=2.0), window("speed")),
    }
    observed = grid(EMPTY, **options)
    untold = grid(EMPTY, reveal=False, **options)
    assert untold.feature_names == ("progress", "phasing")
    assert observed.mask[0].tolist() == [True] * 6
    play(observed, STAY, STAY)
    play(untold, STAY, STAY)
    assert observed.mask[0].tolist() == [True] * 5 + [False]
    assert untold.mask[0].tolist() == [True] * 6


def test_the_mask_follows_every_grant_also_over_the_end_of_an_episode():
    worlds = grid(
        EMPTY, powers=["phase"], schedule=scripted(window("phase", start=2.0, duration=1.0)), horizon=4
    )
    observed = [bool(worlds.mask[0][5])]
    for _ in range(8):
        play(worlds, STAY)
        observed.append(bool(worlds.mask[0][5]))
    assert observed == [False, False, True, False, False, False, True, False, False]


def test_the_last_observation_of_an_episode_is_kept_beside_the_first_of_the_next():
    worlds = grid(course_of(["#####", "#S.C#", "#####"]), count=3)
    worlds.step(np.array([EAST, STAY, EAST]))
    worlds.step(np.array([EAST, EAST, STAY]))
    assert worlds.terminated.tolist() == [True, False, False]
    assert worlds.final_cells[0][1, 3].tolist() == [1, 0, AGENT]
    assert worlds.cells[0][1, 1, 2] == AGENT
    assert worlds.cells[0][1, 3, 0] == 16
