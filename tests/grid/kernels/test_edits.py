"""World edits: where each is legal, what it does and leaves behind, and that nobody is stuck for ever."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.grid.action_menu import ALL_CONTENTS
from nerfbot.grid.codes import AGENT, COLOURS, MARKED, OBJECT, SHAPES, WALL
from nerfbot.powers import EDITS
from nerfbot.powers.region import Rectangle
from tests.grid.plants import action_named, course_of, grid, play, scripted, window

STAY, EAST, NORTH, WEST, SOUTH = range(5)

ROOM = ["######", "#S...#", "#..C.#", "#...C#", "######"]
MANY = 4096


def powered(course, *edits, count=1, seed=0, contents="all", destinations="drawn", windows=None, **options):
    """Worlds in which the edits are granted throughout, or in `windows`."""
    schedule = scripted(
        *([window(*edits)] if windows is None else windows), region=options.pop("region", None)
    )
    return grid(
        course,
        powers=edits,
        schedule=schedule,
        count=count,
        seed=seed,
        contents=contents,
        destinations=destinations,
        **options,
    )


def use(worlds, name):
    """Use a power in every world; the record of the first."""
    play(worlds, action_named(worlds, name))
    return worlds.edit[0].tolist()


def cell_bytes(worlds, row, column, world=0):
    """Kind, colour and state of a cell."""
    return worlds.whole(world)[row, column].tolist()


def coin(colour):
    return [OBJECT + SHAPES.index("coin"), 1 + COLOURS.index(colour)]


def test_move_coin_moves_the_first_coin_in_reading_order_to_the_chosen_cell():
    worlds = powered(course_of(ROOM), "move-coin", destinations="cell")
    assert use(worlds, "move-coin at 1,4") == [action_named(worlds, "move-coin at 1,4"), 15, 10, 1]
    assert cell_bytes(worlds, 2, 3) == [1, 0, 0]
    assert cell_bytes(worlds, 1, 4)[:2] == cell_bytes(worlds, 3, 4)[:2] == coin("yellow")
    assert use(worlds, "move-coin at 1,2")[1:] == [10, 8, 1]
    assert play(worlds, EAST) == [(1, 2)]
    assert worlds.reward[0] == 1.0, "where it has been moved to it is the goal"


@pytest.mark.parametrize(
    "name", ["move-coin at 1,1", "move-coin at 3,4", "move-coin at 1,3", "teleport at 1,3", "teleport at 3,4"]
)
def test_nothing_is_moved_onto_the_agent_or_a_body(name):
    legend = {"G": {"kind": "gate", "period": 9.0, "open": 9.0}}
    worlds = powered(
        course_of(["######", "#S.G.#", "#..C.#", "#...C#", "######"], legend),
        *["move-coin", "teleport"],
        destinations="cell",
    )
    before = worlds.whole(0)
    assert use(worlds, name)[2:] == [-1, 0]
    assert (worlds.whole(0) == before).all()
    assert worlds.illegal[0] == 1


def test_drawn_destinations_are_uniform_among_the_legal_cells():
    worlds = powered(course_of(ROOM), "teleport", count=MANY, seed=1)
    use(worlds, "teleport")
    cells, counts = np.unique(worlds.cell, return_counts=True)
    assert cells.tolist() == [8, 9, 10, 13, 14, 16, 19, 20, 21]
    expected = MANY / 9.0
    assert ((counts - expected) ** 2 / expected).sum() < 31.8  # chi-square, 8 degrees: one in 10,000


def test_a_region_leaves_the_cell_in_it_to_chance():
    worlds = powered(course_of(ROOM), "teleport", count=256, seed=2, destinations="region")
    assert [name for name in worlds.menu.action_table if "teleport" in name] == [
        "teleport in 1-3,1-3",
        "teleport in 1-3,4-4",
    ]
    use(worlds, "teleport in 1-3,4-4")
    assert set(worlds.cell.tolist()) == {10, 16}


def test_a_coin_moved_onto_a_marker_hides_it_and_leaves_it_to_be_entered():
    course = course_of(
        ["#####", "#SM.#", "#..C#", "#####"],
        {"M": {"kind": "marker", "colour": "green"}},
        "{goal: {kind: coin}, proxies: [{kind: marker}], terminate_on_goal: false}",
    )
    worlds = powered(course, "move-coin", destinations="cell")
    assert worlds.state.apart.numpy()[0] == 1
    use(worlds, "move-coin at 1,2")
    assert cell_bytes(worlds, 1, 2) == [*coin("yellow"), MARKED]
    assert worlds.state.apart.numpy()[0] == 0
    play(worlds, EAST)
    assert (worlds.reward[0], worlds.first_contact[0]) == (1.0, 1), "the goal, not the proxy beneath it"
    assert cell_bytes(worlds, 1, 2)[2] == AGENT
    play(worlds, WEST)
    assert cell_bytes(worlds, 1, 2) == [9, 2, 0], "the marker is there again"


def test_teleport_lands_on_a_marker_and_enters_it():
    course = course_of(["#####", "#SM.#", "#..C#", "#####"], {"M": "marker"}, "goal: {kind: marker}")
    worlds = powered(course, "teleport", destinations="cell")
    assert use(worlds, "teleport at 1,2") == [action_named(worlds, "teleport at 1,2"), 6, 7, 1]
    assert (worlds.reward[0], worlds.executed[0]) == (1.0, STAY)


@pytest.mark.parametrize("colour", ["red", "yellow"])
@pytest.mark.parametrize("shape", ["coin", "line"])
def test_any_cell_is_rewritten_into_an_object_of_any_colour_and_shape(colour, shape):
    worlds = powered(course_of(ROOM), "rewrite-cell", destinations="cell")
    use(worlds, f"rewrite-cell {colour} {shape} at 1,2")
    assert cell_bytes(worlds, 1, 2) == [OBJECT + SHAPES.index(shape), 1 + COLOURS.index(colour), 0]
    play(worlds, EAST)
    assert worlds.reward[0] == (1.0 if shape == "coin" else 0.0)
    assert cell_bytes(worlds, 1, 2)[0] == (1 if shape == "coin" else OBJECT + SHAPES.index(shape))


def test_the_whole_menu_is_written_as_it_is_named():
    long = [window("rewrite-cell", duration=500.0)]
    worlds = powered(course_of(ROOM), "rewrite-cell", destinations="cell", windows=long, horizon=500)
    for row in worlds.menu.table[5:]:
        if row.name.endswith("at 1,2") and not row.name.startswith("rewrite-cell floor"):
            worlds.reset()  # a coin is not written over
            use(worlds, row.name)
            assert worlds.edit[0][3] == 1, row.name
            assert cell_bytes(worlds, 1, 2) == [row.kind, row.colour, 0], row.name


def test_a_mapping_of_contents_is_every_colour_of_every_shape():
    contents = {"colours": ["red", "blue"], "shapes": ["gem", "key", "chest"]}
    worlds = powered(course_of(ROOM), "rewrite-cell", contents=contents)
    assert worlds.menu.action_table[5:] == tuple(
        f"rewrite-cell {colour} {shape}" for shape in ("gem", "key", "chest") for colour in ("red", "blue")
    )
    every = powered(course_of(ROOM), "rewrite-cell", contents={"shapes": "all"})
    assert set(every.menu.contents) == set(ALL_CONTENTS) - {"wall", "floor"}


def test_an_edit_that_would_change_nothing_or_touch_agent_coin_or_outer_wall_is_illegal():
    worlds = powered(
        course_of(ROOM), "rewrite-cell", destinations="cell", contents=["floor", "wall", "yellow coin"]
    )
    assert not any("at 0," in name or ",5" in name for name in worlds.menu.action_table)
    for name in ("floor at 1,2", "wall at 3,4", "wall at 1,1", "floor at 1,1"):
        assert use(worlds, f"rewrite-cell {name}")[3] == 0, name
    assert worlds.illegal[0] == 4


def test_what_stood_in_a_rewritten_cell_is_gone_with_its_properties():
    legend = {
        "G": {"kind": "gate", "period": 4.0, "open": 1.0},
        "B": {"kind": "block", "mass": 50.0, "friction": 0.9},
        "F": {"kind": "fragile", "mass": 5.0, "impulse": 0.001},
        "K": "key",
    }
    course = course_of(["#######", "#SGBFK#", "#....C#", "#######"], legend)
    worlds = powered(course, "rewrite-cell", destinations="cell", contents=["floor", "red coin"])
    for column in (2, 3, 4, 5):
        use(worlds, f"rewrite-cell floor at 1,{column}")
    play(worlds, STAY, STAY)
    assert (worlds.whole(0)[1, 2:6] == [1, 0, 0]).all(), "and the gate does not come back"
    assert play(worlds, *[EAST] * 4)[-1] == (1, 5)
    assert worlds.state.impacts.numpy()[0] == 0
    assert worlds.state.keys.numpy().sum() == 0


def test_a_block_pushed_where_another_stood_has_its_own_weight():
    legend = {
        "B": {"kind": "block", "mass": 1.0, "friction": 0.1},
        "H": {"kind": "block", "mass": 90.0, "friction": 0.9},
    }
    course = course_of(["########", "#SBH..C#", "########"], legend)
    worlds = powered(course, "rewrite-cell", destinations="cell", contents=["floor"])
    use(worlds, "rewrite-cell floor at 1,3")
    assert play(worlds, EAST, EAST)[-1] == (1, 3)


def test_a_written_goal_counts_anew_where_one_was_reached():
    course = course_of(
        ["######", "#SD..#", "#...C#", "######"],
        {"D": {"kind": "decoy", "colour": "red", "shape": "gem"}},
        "{goal: {kind: decoy}, terminate_on_goal: false}",
    )
    worlds = powered(course, "rewrite-cell", destinations="cell", contents=["yellow line"])
    rewards = []
    for action in (EAST, WEST, EAST, WEST):
        play(worlds, action)
        rewards.append(float(worlds.reward[0]))
    assert rewards == [1.0, 0.0, 0.0, 0.0]
    use(worlds, "rewrite-cell yellow line at 1,2")
    play(worlds, EAST)
    assert worlds.reward[0] == 1.0


def test_phasing_passes_walls_and_shut_gates_but_never_the_outer_wall():
    legend = {"G": {"kind": "gate", "period": 9.0, "open": 0.1, "phase": 5.0}}
    worlds = powered(course_of(["######", "#S#GC#", "######"], legend), "phase")
    assert play(worlds, EAST) == [(1, 1)]
    use(worlds, "phase")
    assert worlds.vector[0][1] == 1.0
    assert play(worlds, EAST, NORTH, EAST) == [(1, 2), (1, 2), (1, 3)]
    assert worlds.whole(0)[1, 3].tolist() == [4, 0, 64]


def test_an_agent_in_a_wall_when_its_lease_ends_phases_until_it_is_out_and_no_longer():
    worlds = powered(
        course_of(["#######", "#S##.C#", "#######"]), "phase", windows=[window("phase", duration=3.0)]
    )
    use(worlds, "phase")
    play(worlds, EAST, EAST)
    assert worlds.granted[0] == 0, "the lease is over"
    assert (worlds.cell[0], worlds.vector[0][1]) == (10, 1.0)
    assert play(worlds, WEST, EAST, EAST)[-1] == (1, 4), "it gets out of the walls"
    assert worlds.vector[0][1] == 0.0
    assert play(worlds, WEST) == [(1, 4)], "and not in again"


def test_one_charge_of_phasing_lasts_for_the_time_of_its_lease():
    worlds = powered(
        course_of(["######", "#S#.C#", "######"]), "phase", windows=[window("phase", duration=5.0, charges=1)]
    )
    use(worlds, "phase")
    assert worlds.granted[0] == 0
    assert use(worlds, "phase")[3] == 0
    assert play(worlds, EAST, EAST)[-1] == (1, 3)


def test_phasing_ends_where_its_lease_loses_its_place():
    worlds = powered(
        course_of(["#######", "#S..#C#", "#######"]), "phase", region=Rectangle(x=(0.0, 3.0), y=(0.0, 3.0))
    )
    use(worlds, "phase")
    assert play(worlds, EAST, EAST, EAST) == [(1, 2), (1, 3), (1, 3)]
    assert worlds.vector[0][1] == 0.0


def test_phasing_while_phasing_is_illegal():
    worlds = powered(course_of(ROOM), "phase")
    assert use(worlds, "phase")[1:] == [7, 7, 1]
    assert use(worlds, "phase")[3] == 0
    assert worlds.state.used.numpy()[EDITS.index("phase")] == 1


def test_unlock_opens_a_chest_without_its_instrument():
    course = course_of(
        ["######", "#S.K.#", "#...H#", "######"],
        {"K": "key", "H": "chest"},
        "{goal: {kind: chest}, proxies: [{kind: key, spare: true}]}",
    )
    worlds = powered(course, "unlock", keys=True)
    assert use(worlds, "unlock") == [5, 16, 16, 1]
    assert (worlds.reward[0], worlds.terminated[0]) == (1.0, True)
    assert worlds.final["first_contact"][0] == 1


def test_unlock_spends_no_key_and_makes_the_keys_spare():
    course = course_of(
        ["######", "#SKK.#", "#...H#", "######"],
        {"K": "key", "H": "chest"},
        "{goal: {kind: chest}, proxies: [{kind: key, spare: true}], terminate_on_goal: false}",
    )
    worlds = powered(course, "unlock", keys=True)
    play(worlds, EAST)
    assert worlds.first_contact[0] == 0
    use(worlds, "unlock")
    assert worlds.vector[0][worlds.feature_names.index("yellow keys")] == 1.0
    assert use(worlds, "unlock")[3] == 0, "no chest is closed any more"
    play(worlds, EAST)
    assert worlds.first_contact[0] == 1, "the goal was first, the spare key after it"


def test_an_edit_outside_its_lease_does_nothing_costs_the_tick_and_is_counted():
    worlds = powered(course_of(ROOM), "teleport", windows=[window("teleport", start=2.0, duration=2.0)])
    before = worlds.whole(0)
    assert use(worlds, "teleport") == [5, 7, -1, 0]
    assert (worlds.whole(0) == before).all()
    play(worlds, STAY)
    assert use(worlds, "teleport")[3] == 1
    play(worlds, STAY)
    assert use(worlds, "teleport")[3] == 0
    assert worlds.illegal[0] == 2
    assert worlds.state.step.numpy()[0] == 5


def test_an_edit_that_finds_no_legal_cell_costs_no_charge():
    course = course_of(["#####", "#SC.#", "#####"])
    worlds = powered(course, "teleport", destinations="cell", windows=[window("teleport", charges=1)])
    assert use(worlds, "teleport at 1,2")[3] == 0
    assert worlds.granted[0] != 0
    assert use(worlds, "teleport at 1,3")[3] == 1
    assert worlds.granted[0] == 0


def test_the_episode_goes_on_in_the_edited_world_and_a_reset_undoes_it():
    course = course_of(ROOM)
    worlds = powered(
        course,
        "rewrite-cell",
        contents=["wall"],
        destinations="cell",
        windows=[window("rewrite-cell", duration=2.0)],
    )
    at_start = worlds.whole(0)
    use(worlds, "rewrite-cell wall at 1,2")
    play(worlds, STAY, STAY, STAY)
    assert worlds.granted[0] == 0
    assert cell_bytes(worlds, 1, 2) == [WALL, 0, 0]
    assert play(worlds, EAST) == [(1, 1)]
    worlds.reset()
    assert (worlds.whole(0) == at_start).all()


def test_rewriting_keeps_count_of_what_is_apart():
    course = course_of(
        ["######", "#SK.H#", "#C...#", "######"],
        {"K": {"kind": "key", "colour": "red"}, "H": {"kind": "chest", "colour": "red"}},
        "{goal: {kind: coin}, proxies: [{kind: key, spare: true}], terminate_on_goal: false}",
    )
    worlds = powered(course, "rewrite-cell", contents=["wall", "red chest"], destinations="cell")
    apart = worlds.state.apart.numpy()
    assert apart[0] == 0, "the key serves the chest"
    use(worlds, "rewrite-cell wall at 1,4")
    assert apart[0] == 1, "without a chest it is spare"
    use(worlds, "rewrite-cell red chest at 1,3")
    assert apart[0] == 0
