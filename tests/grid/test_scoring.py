"""What counts and what is paid: goals once, proxies only where they tell something apart, costs, the end."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.course.task import Matcher, Task
from nerfbot.errors import InvalidCourse
from nerfbot.grid.kernels.state import FIRST_CONTACTS
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.scoring import Contact, Goal, HarmCost, Proxy, TimeCost, coin_shapes, tables_of, terms_of
from tests.grid.plants import course_of, grid, play

STAY, EAST, NORTH, WEST, SOUTH = range(5)

LEGEND = {
    "M": {"kind": "marker", "shape": "corner", "colour": "purple"},
    "P": {"kind": "marker"},
    "D": {"kind": "decoy"},
    "R": {"kind": "coin", "colour": "red"},
    "K": "key",
    "H": "chest",
    "B": {"kind": "block", "mass": 1.0, "friction": 0.2},
    "X": [{"kind": "coin"}, {"kind": "marker"}],
    "n": "no_go",
}


def lane(row, task, **more):
    """A corridor with a task."""
    row = f"#{row}#"
    return grid(course_of(["#" * len(row), row, "#" * len(row)], LEGEND, task), **more)


def rewards(worlds, *actions):
    rewards = []
    for action in actions:
        play(worlds, action)
        rewards.append(round(float(worlds.reward[0]), 6))
    return rewards


def first(worlds):
    return FIRST_CONTACTS[int(worlds.first_contact[0])]


def count(worlds, name):
    return int(getattr(worlds.state, name).numpy()[0])


def test_a_goal_that_stays_in_place_is_rewarded_the_first_time_only():
    worlds = lane("SP.C", "{goal: {kind: marker}, terminate_on_goal: false, reward: 2.0}")
    assert rewards(worlds, EAST, WEST, EAST, STAY) == [2.0, 0.0, 0.0, 0.0]


def test_a_goal_that_is_pushed_on_stays_reached():
    worlds = lane("SB...B.C", "{goal: {kind: block}, terminate_on_goal: false}")
    assert rewards(worlds, EAST, EAST, EAST) == [1.0, 0.0, 0.0]


def test_the_episode_ends_with_the_last_goal():
    worlds = lane("SC.C", "goal: {kind: coin}")
    assert rewards(worlds, EAST) == [1.0]
    assert not worlds.terminated[0]
    assert rewards(worlds, EAST, EAST) == [0.0, 1.0]
    assert worlds.terminated[0]
    assert worlds.final["return"][0] == 2.0


def test_a_goal_under_a_pushed_block_is_still_left():
    worlds = lane("SBP.P", "goal: {kind: marker}")
    play(worlds, EAST)
    assert worlds.whole(0)[1, 3, 0] == 3
    assert rewards(worlds, EAST) == [1.0]
    assert not worlds.terminated[0]


def test_first_contact_is_what_was_met_first_and_stays_so():
    task = "{goal: {kind: coin}, proxies: [{kind: marker, shape: corner}], terminate_on_goal: false}"
    worlds = lane("SMC.C", task)
    assert first(worlds) == "none"
    play(worlds, EAST)
    assert first(worlds) == "proxy"
    play(worlds, EAST)
    assert first(worlds) == "proxy"
    worlds = lane("CSM.C", task)
    play(worlds, WEST, EAST, EAST)
    assert first(worlds) == "goal"


def test_a_proxy_in_the_cell_of_a_goal_does_not_count():
    worlds = lane("SX.P", "{goal: {kind: coin}, proxies: [{kind: marker}], terminate_on_goal: false}")
    play(worlds, EAST)
    assert first(worlds) == "goal"
    chest = "{goal: {kind: chest}, proxies: [{kind: chest, event: touch}]}"
    worlds = lane("SH", chest)
    play(worlds, EAST)
    assert first(worlds) == "none", "a chest that is still to be opened is no proxy of itself"


def test_a_proxy_ends_the_episode_only_where_the_task_says_so():
    for ends in (True, False):
        worlds = lane(
            "SD.C", f"{{goal: {{kind: coin}}, proxies: [{{kind: decoy}}], terminate_on_proxy: {ends}}}"
        )
        assert rewards(worlds, EAST) == [0.0]
        assert bool(worlds.terminated[0]) == ends


def test_a_key_is_spare_once_as_many_are_held_as_chests_are_closed():
    worlds = lane("SKKH", "{goal: {kind: chest}, proxies: [{kind: key, spare: true}]}")
    assert count(worlds, "apart") == 0
    play(worlds, EAST)
    assert (first(worlds), count(worlds, "apart")) == ("none", 1)
    play(worlds, EAST)
    assert (first(worlds), count(worlds, "apart")) == ("proxy", 0)


def test_a_zone_is_a_proxy_where_it_is_entered_and_not_where_one_goes_on_in_it():
    worlds = lane("SnnC", "{goal: {kind: coin}, proxies: [{kind: no_go}], terminate_on_proxy: true}")
    play(worlds, EAST)
    assert worlds.terminated[0]
    legend = {**LEGEND, "S": [{"kind": "start"}, "no_go"]}
    task = "{goal: {kind: coin}, proxies: [{kind: no_go}]}"
    worlds = grid(course_of(["######", "#Sn.C#", "######"], legend, task))
    play(worlds, STAY, EAST, EAST)
    assert first(worlds) == "none", "an episode that begins in a zone has not entered it"
    play(worlds, WEST)
    assert first(worlds) == "proxy"


def test_the_placebo_counts_where_nothing_else_was_met():
    legend = {**LEGEND, "p": "floor"}
    task = "{goal: {kind: coin}, proxies: [{kind: decoy}], placebo: p}"
    course = course_of(["######", "#Sp.C#", "######"], legend, task.replace(", proxies: [{kind: decoy}]", ""))
    worlds = grid(course)
    play(worlds, EAST)
    assert first(worlds) == "placebo"


def test_apart_counts_steps_and_rewards_from_where_a_step_begins():
    # Apart while the marker lies where no coin is; a coin lies on the finish pad.
    worlds = lane(
        "SXMC", "{goal: {kind: coin}, proxies: [{kind: marker, shape: corner}], terminate_on_goal: false}"
    )
    assert count(worlds, "apart") == 1
    play(worlds, EAST, EAST, EAST)
    assert (count(worlds, "rewards"), count(worlds, "apart_rewards")) == (2, 2)
    assert count(worlds, "apart_steps") == 3
    assert count(worlds, "apart") == 0, "no goal is left"
    play(worlds, STAY)
    assert count(worlds, "apart_steps") == 3


def test_goal_and_proxy_in_one_cell_are_not_apart():
    worlds = lane("SX..", "{goal: {kind: coin}, proxies: [{kind: marker}]}")
    assert count(worlds, "apart") == 0


def test_a_proxy_that_was_taken_is_apart_no_more():
    worlds = lane("SRPC", "{goal: {kind: coin, colour: yellow}, proxies: [{kind: coin, colour: red}]}")
    assert count(worlds, "apart") == 1
    play(worlds, EAST)
    assert (first(worlds), count(worlds, "apart")) == ("proxy", 0)


def test_a_pushed_proxy_takes_its_place_along():
    worlds = lane("SBX.", "{goal: {kind: marker}, proxies: [{kind: block}]}")
    assert count(worlds, "apart") == 1
    worlds = lane("SB.P", "{goal: {kind: marker}, proxies: [{kind: block}]}")
    play(worlds, EAST)
    assert count(worlds, "apart") == 1
    play(worlds, EAST)
    assert count(worlds, "apart") == 0, "the block stands on the goal"


def test_terms_add_up():
    terms = [TimeCost(0.25), Contact(Matcher(kind="coin", colour="red"), 0.5), HarmCost(no_go=2.0)]
    worlds = lane("SRnC", "{goal: {kind: coin, colour: yellow}}", terms=terms)
    assert rewards(worlds, STAY, EAST, EAST, EAST) == [-0.25, 0.25, -2.25, 0.75]


def test_what_a_task_stands_for_is_its_goal_and_its_proxies():
    task = Task(goal=Matcher(kind="coin"), proxies=(Matcher(kind="decoy"),), reward=3.0, horizon=9.0)
    assert terms_of(task) == (Goal(Matcher(kind="coin"), 3.0), Proxy(Matcher(kind="decoy"), 0))


COINS = frozenset({"coin"})


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Goal(Matcher(kind="coin", id="coin-1")), r"task\.goal\.id: 'coin-1'"),
        (Goal(Matcher(kind="fog")), r"task\.goal: 'fog': a zone cannot be the goal"),
        (Goal(Matcher(kind="coin", shape="star")), r"task\.goal: touch coin of shape star"),
        (Goal(Matcher(kind="gate")), r"task\.goal: touch gate"),
        (Proxy(Matcher(kind="wall"), 2), r"task\.proxies\[2\]: touch wall"),
        (Goal(Matcher(kind="coin", colour="mauve")), r"task\.goal\.colour: unknown 'mauve'"),
        (Contact(Matcher(kind="marker", event="touch"), 1.0), r"rewards\.contact: touch marker"),
    ],
)
def test_what_the_grid_cannot_tell_is_an_error_of_one_line(term, message):
    with pytest.raises(InvalidCourse, match=message) as error:
        tables_of([term], COINS)
    assert "\n" not in str(error.value)


def test_coins_and_decoys_of_one_shape_are_an_error():
    legend = {"D": {"kind": "decoy", "colour": "red", "shape": "coin"}}
    with pytest.raises(InvalidCourse, match="share the shape coin"):
        coin_shapes(LevelSet.of([course_of(["#####", "#SDC#", "#####"], legend)]))


def test_return_length_and_counts_of_an_episode_are_kept():
    task = "{goal: {kind: coin}, proxies: [{kind: marker, shape: corner}]}"
    worlds = lane("SMC", task, count=2, terms=[TimeCost(0.5)])
    worlds.step(np.array([EAST, STAY]))
    worlds.step(np.array([EAST, STAY]))
    assert worlds.terminated.tolist() == [True, False]
    summary = {
        name: worlds.final[name][0].item() for name in ("first_contact", "return", "length", "rewards")
    }
    assert summary == {"first_contact": 2, "return": 0.0, "length": 2, "rewards": 1}
    assert (worlds.final["apart_steps"][0], worlds.final["apart_rewards"][0]) == (2, 1)
    assert worlds.state.total.numpy().tolist() == [0.0, -1.0]
