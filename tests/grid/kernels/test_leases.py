"""Leases in the kernels: windows, ramps, charges, places, and what is told of them.

That they agree with `LeaseAuthority` in every situation is test_reference.py's to show.
"""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.powers.region import Rectangle
from tests.grid.plants import action_named, course_of, grid, play, scripted, spec_of, window

STAY, EAST, NORTH, WEST, SOUTH = range(5)

LANE = course_of(["#" * 12, "#S........C#", "#" * 12])


def lifts(worlds, ticks, axis=1):
    """The lift level after each of so many ticks of standing still."""
    levels = [float(worlds.lift[0][axis])]
    for _ in range(ticks):
        play(worlds, STAY)
        levels.append(round(float(worlds.lift[0][axis]), 9))
    return levels


def test_a_window_opens_at_the_first_tick_at_or_after_its_start_and_lasts_from_there():
    for start, duration, expected in (
        (0.0, 2.0, [1, 1, 0, 0, 0, 0]),
        (2.0, 2.0, [0, 0, 1, 1, 0, 0]),
        (1.3, 2.0, [0, 0, 1, 1, 0, 0]),
        (1.3, 2.5, [0, 0, 1, 1, 1, 0]),
    ):
        worlds = grid(
            LANE, powers=["speed"], schedule=scripted(window("speed", start=start, duration=duration))
        )
        assert lifts(worlds, 5) == expected, (start, duration)


def test_a_ramp_rises_and_falls_in_a_straight_line():
    worlds = grid(LANE, powers=["speed"], schedule=scripted(window("speed", duration=8.0, ramp=4.0)))
    assert lifts(worlds, 9) == [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_a_window_shorter_than_two_ramps_turns_halfway():
    worlds = grid(
        LANE, powers=["speed"], schedule=scripted(window("speed", duration=4.0, ramp=4.0, level=0.8))
    )
    assert lifts(worlds, 5) == [0.0, 0.2, 0.4, 0.2, 0.0, 0.0]


def test_the_highest_of_several_leases_holds_on_each_axis():
    worlds = grid(
        LANE,
        powers=["speed", "sensing"],
        schedule=scripted(
            window("speed", duration=4.0, level=0.3),
            window("speed", "sensing", start=1.0, duration=2.0, level=0.7),
        ),
    )
    assert lifts(worlds, 4) == [0.3, 0.7, 0.7, 0.3, 0.0]
    assert worlds.state.highest.numpy().tolist() == [0.0, 0.7, 0.7, 0.0]


def test_a_lease_in_a_region_returns_where_it_is_left_and_never_comes_back():
    worlds = grid(
        LANE,
        powers=["speed"],
        schedule=scripted(window("speed"), region=Rectangle(x=(0.0, 3.0), y=(0.0, 3.0))),
    )
    play(worlds, EAST)
    assert worlds.lift[0][1] == 1.0
    play(worlds, EAST)
    assert worlds.lift[0][1] == 0.0
    play(worlds, WEST, WEST)
    assert worlds.lift[0][1] == 0.0


def test_a_return_ramps_down_from_the_present_level():
    worlds = grid(
        LANE,
        powers=["speed"],
        schedule=scripted(window("speed", ramp=4.0), region=Rectangle(x=(0.0, 3.0), y=(0.0, 3.0))),
    )
    levels = []
    for action in (EAST, STAY, STAY, EAST, STAY, STAY, STAY, STAY, STAY):
        play(worlds, action)
        levels.append(float(worlds.lift[0][1]))
    # 1.0 at 4 s, where the region is left: the way down takes as long as the way up.
    assert levels == [0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_a_window_that_cannot_be_granted_when_it_opens_is_refused_once_and_for_all():
    outside = Rectangle(x=(3.0, 9.0), y=(0.0, 3.0))
    worlds = grid(LANE, powers=["speed"], schedule=scripted(window("speed"), region=outside))
    assert worlds.state.refused.numpy()[0] == 1
    play(worlds, EAST, EAST, EAST)
    assert worlds.lift[0][1] == 0.0
    assert worlds.state.refused.numpy()[0] == 1
    worlds = grid(LANE, powers=["speed"], schedule=scripted(window("speed", duration=31.0)), max_lease=30.0)
    assert worlds.lift[0][1] == 0.0


@pytest.mark.parametrize(
    ("axes", "granted"), [(("strength",), False), (("speed",), True), (("strength", "speed"), False)]
)
def test_in_lift_zones_a_lease_holds_where_the_zone_names_all_its_axes(axes, granted):
    zone = {"kind": "lift_zone", "axes": ["speed", "sensing"]}
    course = course_of(["######", "#Sz.C#", "######"], {"S": [{"kind": "start"}, zone], "z": zone})
    schedule = scripted(window(*axes))
    worlds = grid(course, powers=axes, schedule=schedule, leases="lift-zones")
    assert bool(worlds.lift[0].any()) == granted
    play(worlds, EAST)
    assert bool(worlds.lift[0].any()) == granted
    play(worlds, EAST)
    assert not worlds.lift[0].any()


def test_charges_are_used_up_by_what_was_done_and_told():
    worlds = grid(
        LANE,
        powers=["teleport", "phase"],
        schedule=scripted(window("teleport", charges=2, duration=20.0)),
        destinations="cell",
    )
    charges, left = (worlds.feature_names.index(name) for name in ("charges", "lease s"))
    teleport = action_named(worlds, "teleport at 1,3")
    assert (worlds.vector[0][charges], worlds.vector[0][left]) == (2.0, 20.0)
    play(worlds, teleport)
    assert (worlds.vector[0][charges], worlds.vector[0][left]) == (1.0, 19.0)
    play(worlds, teleport)
    assert worlds.vector[0][charges] == 1.0, "the agent is there already: nothing was done"
    assert worlds.mask[0][teleport]
    play(worlds, action_named(worlds, "teleport at 1,4"))
    assert (worlds.vector[0][charges], worlds.vector[0][left]) == (0.0, 0.0)
    assert not worlds.mask[0][5:].any()
    assert worlds.lift.shape == (1, 4)


def test_the_first_window_that_grants_an_edit_pays_for_it():
    worlds = grid(
        LANE,
        powers=["teleport"],
        schedule=scripted(
            window("teleport", charges=1, duration=20.0), window("teleport", start=1.0, duration=5.0)
        ),
        destinations="cell",
    )
    play(worlds, STAY, action_named(worlds, "teleport at 1,3"))
    assert [lease["charges"] for lease in worlds.leases(0)] == [None]
    assert worlds.granted[0] != 0


def test_leases_uncounted_say_so():
    worlds = grid(LANE, powers=["phase"], schedule=scripted(window("phase")))
    assert worlds.vector[0][-1] == -1.0


def test_every_episode_begins_its_windows_anew():
    worlds = grid(LANE, powers=["speed"], schedule=scripted(window("speed", duration=2.0)), horizon=4)
    assert lifts(worlds, 8) == [1, 1, 0, 0, 1, 1, 0, 0, 1]
    assert worlds.state.episode.numpy()[0] == 2


def test_the_lift_of_a_tick_is_the_one_told_before_it():
    slow = spec_of(velocity={"nerfed": 0.5, "lifted": 1.0})
    worlds = grid(LANE, slow, ["speed"], scripted(window("speed", duration=2.0)))
    assert [column for _, column in play(worlds, *[EAST] * 6)] == [2, 3, 3, 4, 4, 5]


def test_which_episodes_windows_are_drawn_follows_from_the_seed():
    occasional = {"kind": "occasional", "probability": 0.5, "start": [0.0, 5.0], "length": [1.0, 9.0]}
    worlds = grid(LANE, powers=["speed"], schedule=occasional, count=512, seed=1)
    plans = worlds.state.plan.numpy().copy()
    assert len(np.unique(plans)) > 300
    share = np.isfinite(worlds.windows.start[plans, 0]).mean()
    assert 0.4 < share < 0.6
    again = grid(LANE, powers=["speed"], schedule=occasional, count=512, seed=1)
    assert (again.state.plan.numpy() == plans).all()
