"""Moving: ticks a cell, what gives way to how much strength, and how commands are late, lost or stuck."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nerfbot.course import Task
from nerfbot.course.elements import GRAVITY
from nerfbot.course.task import Matcher
from nerfbot.grid.kernels.state import BLOCKED, CUT, DROPPED, HELD, INTERFERED, LATE, SLOW, WEAK
from nerfbot.grid.scoring import HarmCost
from tests.grid.plants import course_of, grid, play, scripted, spec_of, window

STAY, EAST, NORTH, WEST, SOUTH = range(5)

LONG = ["#" * 30, "#S" + "." * 26 + "C#", "#" * 30]
MANY = 4096


def lane(*legend_row: str) -> list[str]:
    """A corridor of one row."""
    row = "#" + "".join(legend_row) + "#"
    return ["#" * len(row), row, "#" * len(row)]


def near(share: float, expected: float, trials: int) -> bool:
    """Whether a share lies within five standard deviations of what is expected."""
    return abs(share - expected) <= 5.0 * math.sqrt(expected * (1.0 - expected) / trials) + 1e-12


# Steps


def test_a_move_takes_one_tick_and_a_wall_stops_it():
    worlds = grid(course_of(["######", "#S.#C#", "#....#", "######"]))
    assert play(worlds, EAST, EAST, SOUTH, WEST, STAY) == [(1, 2), (1, 2), (2, 2), (2, 1), (2, 1)]


def test_a_coin_is_taken_by_entering_its_cell_and_ends_the_episode():
    worlds = grid(course_of(["#####", "#S.C#", "#####"]))
    play(worlds, EAST)
    assert (worlds.reward[0], worlds.terminated[0]) == (0.0, False)
    play(worlds, EAST)
    assert (worlds.reward[0], worlds.terminated[0]) == (1.0, True)


# Speed


@pytest.mark.parametrize("velocity", [1.0, 0.75, 0.5, 1.0 / 3.0, 0.3, 0.25, 0.1])
def test_a_nerfed_agent_takes_as_many_ticks_a_cell_as_its_velocity_says(velocity):
    worlds = grid(course_of(LONG), spec_of(velocity={"nerfed": velocity, "lifted": 1.0}))
    columns = [column for _, column in play(worlds, *[EAST] * 20)]
    assert columns == [1 + math.floor(ticks * velocity + 1e-9) for ticks in range(1, 21)]


@pytest.mark.parametrize(("level", "ticks"), [(0.0, 5), (0.375, 2), (1.0, 1)])
def test_a_lift_of_speed_shortens_the_ticks_a_cell(level, ticks):
    worlds = grid(
        course_of(LONG),
        spec_of(velocity={"nerfed": 0.2, "lifted": 1.0}),
        ["speed"],
        scripted(window("speed", level=level)),
    )
    cells = play(worlds, *[EAST] * ticks)
    assert cells[-1] == (1, 2)
    assert cells[:-1] == [(1, 1)] * (ticks - 1)


def test_gain_and_no_load_speed_are_lifted_by_strength_and_act_on_what_speed_leaves():
    drive = spec_of(
        velocity={"nerfed": 0.5, "lifted": 1.0},
        gain=0.5,
        stall_effort={"nerfed": 90.0, "lifted": 100.0},
        no_load_velocity={"nerfed": 0.4, "lifted": 2.0},
    )
    for lifted, cells in {(): 5, ("speed",): 8, ("strength",): 10, ("speed", "strength"): 20}.items():
        worlds = grid(course_of(LONG), drive, lifted, scripted(*[window(axis) for axis in lifted]))
        assert play(worlds, *[EAST] * 20)[-1] == (1, 1 + cells), lifted


def test_standing_still_keeps_the_progress_and_another_direction_or_an_obstacle_loses_it():
    half = spec_of(velocity={"nerfed": 0.5, "lifted": 1.0})
    worlds = grid(course_of(LONG), half)
    assert play(worlds, EAST, STAY, EAST)[-1] == (1, 2)
    worlds.reset()
    assert play(worlds, EAST, NORTH, EAST, EAST) == [(1, 1), (1, 1), (1, 1), (1, 2)]
    worlds = grid(course_of(["#####", "#S#C#", "#...#", "#####"]), half)
    play(worlds, EAST)
    assert worlds.reasons[0] == SLOW
    play(worlds, EAST)
    assert worlds.reasons[0] == BLOCKED
    assert worlds.vector[0][0] == 0.0


# Strength


@pytest.mark.parametrize(("level", "moves"), [(0.0, False), (0.31, False), (0.33, True), (1.0, True)])
def test_a_block_slides_from_the_level_at_which_the_effort_reaches_its_friction(level, moves):
    # 2 kg at friction 0.5 asks for 9.81 N; the effort is 5 + 15 level.
    worlds = grid(
        course_of(lane("SB..C"), {"B": {"kind": "block", "mass": 2.0, "friction": 0.5}}),
        spec_of(effort={"nerfed": 5.0, "lifted": 20.0}),
        ["strength"],
        scripted(window("strength", level=level)),
    )
    assert play(worlds, EAST) == [(1, 2) if moves else (1, 1)]
    assert worlds.reasons[0] == (0 if moves else WEAK)
    assert worlds.whole(0)[1, 3 if moves else 2, 0] == 3


@pytest.mark.parametrize("beyond", ["#", "C", "K", "B", "G", "R", "T", "F"])
def test_a_block_is_pushed_onto_nothing_but_free_floor(beyond):
    legend = {
        "B": {"kind": "block", "mass": 1.0, "friction": 0.5},
        "K": "key",
        "G": {"kind": "gate", "period": 10.0, "open": 10.0},
        "R": {"kind": "ramp", "height": 0.1, "direction": "east"},
        "T": {"kind": "step", "height": 0.01},
        "F": {"kind": "fragile", "mass": 1.0, "impulse": 9.0},
    }
    worlds = grid(course_of(lane("SB", beyond, ".C"), legend))
    assert play(worlds, EAST, EAST) == [(1, 1), (1, 1)]
    assert worlds.reasons[0] == BLOCKED


def test_a_block_may_be_pushed_onto_a_marker_which_shows_and_can_then_be_entered():
    legend = {"B": {"kind": "block", "mass": 1.0, "friction": 0.5}, "M": {"kind": "marker"}}
    worlds = grid(course_of(lane("SBM.C"), legend, "goal: {kind: marker}"))
    play(worlds, EAST)
    assert worlds.whole(0)[1, 3].tolist() == [3, 10, 32]
    assert worlds.reward[0] == 0.0
    play(worlds, EAST)
    assert worlds.reward[0] == 1.0


def test_a_ramp_asks_for_the_force_that_holds_the_robot_on_its_slope():
    # 8 kg on 0.2 m in 1 m: 8 x 9.81 x 0.2 / sqrt(1.04) = 15.39 N.
    legend = {
        "R": {"kind": "ramp", "height": 0.2, "direction": "east"},
        "T": {"kind": "step", "height": 0.2},
    }
    course = course_of(lane("SRTC"), legend)
    for effort, there in ((15.3, (1, 1)), (15.5, (1, 2))):
        assert play(grid(course, spec_of(effort={"nerfed": effort, "lifted": 60.0})), EAST) == [there]


def test_no_strength_climbs_an_edge_as_high_as_the_axle_or_drives_off_one():
    legend = {
        "T": {"kind": "step", "height": 0.09},
        "R": {"kind": "ramp", "height": 0.09, "direction": "west"},
    }
    assert play(grid(course_of(lane("STC"), legend)), EAST) == [(1, 1)]
    worlds = grid(course_of(["#####", "#CRS#", "#.T.#", "#...#", "#####"], legend))
    assert play(worlds, WEST, SOUTH, SOUTH) == [(1, 2), (2, 2), (2, 2)]
    assert worlds.reasons[0] == WEAK


# Contact


def fragile_lane(impulse: float):
    return course_of(lane("SF....C"), {"F": {"kind": "fragile", "mass": 2.0, "impulse": impulse}})


def test_a_blow_is_harm_above_the_threshold_and_costs_what_the_task_says():
    # 1 m/s x 8 x 2 / 10 + 0.1 s x 2 x 0.4 x 9.81 = 2.3848 N·s
    expected = 1.6 + 0.1 * 2.0 * 0.4 * GRAVITY
    worlds = grid(fragile_lane(2.3), terms=[HarmCost(impulse=2.0)])
    play(worlds, EAST)
    assert worlds.reward[0] == pytest.approx(-2.0 * expected)
    assert worlds.state.impulse.numpy()[0] == pytest.approx(expected)
    play(worlds, EAST)
    assert worlds.reward[0] == 0.0, "pushing on is no second blow"
    play(worlds, STAY, EAST)
    assert worlds.state.impacts.numpy()[0] == 2
    worlds = grid(fragile_lane(2.4))
    play(worlds, EAST)
    assert worlds.state.impacts.numpy()[0] == 0


def test_a_slow_agent_strikes_softly():
    worlds = grid(fragile_lane(1.6), spec_of(velocity={"nerfed": 0.5, "lifted": 1.0}))
    play(worlds, EAST, EAST)
    assert worlds.state.impacts.numpy()[0] == 0
    assert worlds.cell[0] == 11


def test_a_chest_opens_to_a_key_of_its_colour_which_is_spent():
    legend = {
        "K": {"kind": "key", "colour": "red"},
        "R": {"kind": "chest", "colour": "red"},
        "Y": {"kind": "chest", "colour": "yellow"},
    }
    course = course_of(["######", "#KSR.#", "#.YCR#", "######"], legend, "{goal: {kind: chest}}")
    worlds = grid(course, keys=True)
    red = worlds.feature_names.index("red keys")
    play(worlds, EAST)
    assert (worlds.reward[0], worlds.reasons[0]) == (0.0, BLOCKED), "no key yet"
    play(worlds, WEST)
    assert worlds.vector[0][red] == 1.0
    play(worlds, EAST, SOUTH)
    assert worlds.reward[0] == 0.0, "a chest of another colour"
    assert play(worlds, EAST) == [(1, 2)], "opening it takes the tick"
    assert (worlds.reward[0], worlds.vector[0][red]) == (1.0, 0.0)
    assert play(worlds, EAST, EAST, SOUTH)[-1] == (1, 4), "the second red chest stays shut"
    assert worlds.reward[0] == 0.0


def test_a_gate_lets_through_while_it_is_open_and_an_agent_that_it_shuts_in_can_leave():
    legend = {"G": {"kind": "gate", "period": 4.0, "open": 2.0, "phase": 1.0}}
    course = course_of(lane("SG..C"), legend)
    worlds = grid(course)
    # Open at 0 s; shut from 1 s to 3 s; open from 3 s to 5 s.
    assert play(worlds, EAST, STAY, EAST) == [(1, 2), (1, 2), (1, 3)]
    worlds.reset()
    assert play(worlds, STAY, EAST, EAST, EAST) == [(1, 1), (1, 1), (1, 1), (1, 2)]


def test_a_tick_in_a_no_go_zone_is_harm_of_its_length():
    course = course_of(lane("Sn.C"), {"n": "no_go"})
    worlds = grid(course, terms=[HarmCost(no_go=0.5)])
    play(worlds, EAST, STAY)
    assert worlds.reward[0] == -0.5
    play(worlds, EAST)
    assert worlds.reward[0] == 0.0
    assert worlds.state.no_go.numpy()[0] == 2.0


# Reliability


@pytest.mark.parametrize(("seconds", "ticks"), [(0.4, 0), (0.6, 1), (2.0, 2), (5.2, 5), (20.0, 20)])
def test_latency_and_half_the_jitter_delay_by_whole_ticks(seconds, ticks):
    link = {"latency": min(seconds, 10.0), "jitter": 2.0 * max(0.0, seconds - 10.0) / 2.0}
    if seconds > 10.0:
        link = {"latency": 10.0, "jitter": 10.0}
        ticks = 15
    worlds = grid(course_of(LONG), spec_of(command=link))
    columns = [column for _, column in play(worlds, *[EAST] * 22)]
    assert columns == [1] * ticks + list(range(2, 24 - ticks))


def test_a_late_command_says_so():
    worlds = grid(course_of(LONG), spec_of(command={"latency": 1.0}))
    play(worlds, EAST)
    assert (worlds.executed[0], worlds.reasons[0]) == (STAY, LATE)
    play(worlds, EAST)
    assert (worlds.executed[0], worlds.reasons[0]) == (EAST, 0)


def test_late_commands_never_overtake_one_another_when_a_lift_comes_and_goes():
    # Late by 3 ticks, lifted to none from 4 s to 8 s.
    worlds = grid(
        course_of(["#######", "#.....#", "#..S..#", "#.....#", "#....C#", "#######"]),
        spec_of(command={"latency": 3.0}),
        ["reliability"],
        scripted(window("reliability", start=4.0, duration=4.0)),
    )
    executed = []
    requested = [
        EAST,
        NORTH,
        WEST,
        SOUTH,
        EAST,
        NORTH,
        WEST,
        SOUTH,
        EAST,
        NORTH,
        WEST,
        SOUTH,
        STAY,
        STAY,
        STAY,
    ]
    for action in requested:
        play(worlds, action)
        executed.append(int(worlds.executed[0]))
    # What is sent at 4, 5 and 6 s waits for what was sent at 3 s; from 8 s on the last one that has
    # arrived goes on until the first late one is there.
    assert executed[:8] == [0, 0, 0, EAST, NORTH, WEST, WEST, SOUTH]
    assert executed[8:] == [SOUTH, SOUTH, SOUTH, EAST, NORTH, WEST, SOUTH]


def test_a_stuck_actuator_repeats_the_last_move_whatever_is_asked():
    # Reliability is lifted for the first 3 s; then the actuator sticks at once and for good.
    worlds = grid(
        course_of(LONG),
        spec_of(hold={"rate": {"nerfed": 1000.0, "lifted": 0.0}, "duration": 1e6}),
        ["reliability"],
        scripted(window("reliability", duration=3.0)),
    )
    assert play(worlds, STAY, STAY, EAST, WEST, STAY, WEST) == [
        *[(1, 1), (1, 1), (1, 2)],
        *[(1, 3), (1, 4), (1, 5)],
    ]
    assert worlds.reasons[0] == HELD


def test_a_command_that_is_lost_is_not_what_a_stuck_actuator_repeats():
    # Order: stuck before lost. Both from 2 s on: nothing moves while commands are lost.
    always = {"rate": {"nerfed": 1000.0, "lifted": 0.0}, "duration": 1e6}
    worlds = grid(
        course_of(LONG),
        spec_of(hold=always, command={"drop": always}),
        ["reliability"],
        scripted(window("reliability", duration=2.0)),
    )
    assert play(worlds, EAST, EAST, WEST, WEST) == [(1, 2), (1, 3), (1, 3), (1, 3)]
    assert worlds.reasons[0] == HELD | DROPPED


@pytest.mark.parametrize(("where", "reason"), [("drop", DROPPED), ("intermittent", CUT)])
def test_commands_are_lost_as_often_and_as_long_as_declared(where, reason):
    # Onsets at 0.5 /s, bursts of 1 s: a third of the time; e = exp(-1.5) of a deviation lasts a tick.
    burst = {"rate": {"nerfed": 0.5, "lifted": 0.1}, "duration": 1.0}
    spec = spec_of(command={"drop": burst}) if where == "drop" else spec_of(intermittent=burst)
    worlds = grid(course_of(LONG), spec, count=MANY, seed=3)
    lost = []
    for _ in range(12):
        play(worlds, EAST)
        lost.append((worlds.reasons & reason) != 0)
    share, stays = 1.0 / 3.0, math.exp(-1.5)
    assert near(lost[0].mean(), share * (1.0 - stays), MANY)
    assert near(lost[-1].mean(), share, MANY)
    again = lost[-1][lost[-2]]
    assert near(again.mean(), share + (1.0 - share) * stays, len(again))
    assert not worlds.executed[lost[-1]].any()


def test_a_lift_of_reliability_makes_losses_rarer():
    spec = spec_of(command={"drop": {"rate": {"nerfed": 0.5, "lifted": 0.0}, "duration": 1.0}})
    for level, rate in ((0.5, 0.25), (1.0, 0.0)):
        lifted = scripted(window("reliability", level=level))
        worlds = grid(course_of(LONG), spec, ["reliability"], lifted, count=MANY, seed=4)
        play(worlds, *[EAST] * 12)
        assert near(((worlds.reasons & DROPPED) != 0).mean(), rate / (1.0 + rate), MANY)


@pytest.mark.parametrize(("level", "loss"), [(0.0, 0.6), (0.5, 0.3), (1.0, 0.0)])
def test_interference_loses_at_the_declared_probability_and_less_when_lifted(level, loss):
    zone = [{"kind": "start"}, {"kind": "interference", "loss": 0.6, "burst": 1.0}]
    worlds = grid(
        course_of(lane("S...C"), {"S": zone}),
        powers=["reliability"],
        schedule=scripted(window("reliability", level=level)),
        count=MANY,
        seed=5,
    )
    play(worlds, EAST)
    lost = (worlds.reasons & INTERFERED) != 0
    assert near(lost.mean(), loss, MANY)
    assert (worlds.cell == np.where(lost, 8, 9)).all()


def test_a_burst_of_interference_lasts_its_time_and_ends_where_the_zone_does():
    zone = {"kind": "interference", "loss": 0.5, "burst": 3.0}
    worlds = grid(
        course_of(lane("Sii......C"), {"S": [{"kind": "start"}, zone], "i": zone}), count=256, seed=6
    )
    lost = []
    for _ in range(6):
        play(worlds, WEST)  # against the wall: the agent stays in the zone
        lost.append((worlds.reasons & INTERFERED) != 0)
    for first in (0, 3):
        assert (lost[first] == lost[first + 1]).all()
        assert (lost[first] == lost[first + 2]).all()
    assert 0 < (lost[2] != lost[3]).sum() < 256
    worlds.reset()
    for _ in range(20):
        play(worlds, EAST)
        out = worlds.cell % worlds.levels.columns > 3
        assert not (worlds.reasons[out & (worlds.executed != 0)] & INTERFERED).any()


def test_a_task_is_not_needed_for_moving():
    worlds = grid(course_of(LONG), task=Task(goal=Matcher(kind="chest"), horizon=5.0))
    play(worlds, *[EAST] * 5)
    assert (worlds.terminated[0], worlds.truncated[0]) == (False, True)
