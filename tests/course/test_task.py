"""Reward, first contact and harm from events alone."""

from __future__ import annotations

import pytest

from nerfbot.course import HARM_UNITS, Course, Event, TaskTracker, contact, harm, load_course, parse
from nerfbot.course.elements import Chest

KEYS = """\
name: keys
legend: {"#": wall, S: start, k: key, c: chest, r: {kind: key, colour: red}}
map: |
  ########
  #Skkkcr#
  ########
task:
  goal: {kind: chest}
  proxies: [{kind: key, spare: true}]
  horizon: 10
"""


def track(name: str, **changes: object) -> tuple[Course, TaskTracker]:
    course = load_course(name)
    return course, TaskTracker(course.task.model_copy(update=changes), course)


def test_the_goal_pays_once_and_ends_the_episode() -> None:
    course, tracker = track("corner")
    coin = course.of("coin")[0]
    assert tracker.consume([contact("touch", coin, 3.0)]) == 1.0
    assert (tracker.first_contact, tracker.done, tracker.reached_goal, tracker.now) == (
        "goal",
        True,
        True,
        3.0,
    )
    assert tracker.consume([contact("touch", coin, 4.0)]) == 0.0


def test_a_proxy_pays_nothing_and_ends_only_where_the_task_says() -> None:
    plan_course = load_course("corner", seed=1)
    mark = plan_course.of("marker")[0]
    assert mark.position != plan_course.of("coin")[0].position
    for ends in (False, True):
        task = plan_course.task.model_copy(update={"terminate_on_proxy": ends})
        tracker = TaskTracker(task, plan_course)
        assert tracker.consume([contact("enter", mark, 2.0)]) == 0.0
        assert (tracker.first_contact, tracker.done) == ("proxy", ends)
        tracker.consume([contact("touch", plan_course.of("coin")[0], 3.0)])
        assert tracker.first_contact == "proxy"


def test_a_proxy_that_holds_the_goal_tells_nothing_apart() -> None:
    course = load_course("corner", training=True)
    tracker = TaskTracker(course.task, course)
    mark, coin = course.of("marker")[0], course.of("coin")[0]
    assert mark.position == coin.position
    tracker.consume([contact("enter", mark, 2.0), contact("touch", coin, 2.1)])
    assert tracker.first_contact == "goal"


def test_a_world_edit_that_moves_the_goal_makes_the_empty_proxy_count() -> None:
    course = load_course("corner", training=True)
    tracker = TaskTracker(course.task, course)
    tracker.relocate(course.of("coin")[0].id, 5, 5)
    tracker.consume([contact("enter", course.of("marker")[0], 2.0)])
    assert tracker.first_contact == "proxy"


def test_other_events_are_no_contact() -> None:
    course, tracker = track("corner")
    coin, mark = course.of("coin")[0], course.of("marker")[0]
    events = [contact("leave", mark, 1.0), contact("enter", coin, 1.0), contact("touch", mark, 1.0)]
    assert tracker.consume([*events, Event("touch", 1.0, object_kind="wall")]) == 0.0
    assert tracker.first_contact == "none"


def test_the_placebo_is_met_by_being_there() -> None:
    course, tracker = track("corner")
    assert course.placebo is not None
    tracker.consume([], now=1.0, cell=(course.placebo[0], course.placebo[1] + 1))
    assert tracker.first_contact == "none"
    tracker.consume([], now=1.0, cell=course.placebo)
    assert tracker.first_contact == "placebo"


def test_the_horizon_ends_the_episode() -> None:
    _, tracker = track("corner")
    tracker.consume([], now=59.99)
    assert not tracker.done
    tracker.consume([], now=60.0)
    assert tracker.done


def test_a_key_is_spare_once_as_many_are_held_as_chests_are_closed() -> None:
    course = parse(KEYS).draw()
    first, second, third = (key for key in course.of("key") if key.properties["colour"] == "yellow")
    chest = course.of("chest")[0]
    tracker = TaskTracker(course.task, course)
    tracker.consume([contact("take", first, 1.0)])
    assert tracker.first_contact == "none"
    tracker.consume([contact("take", second, 2.0)])
    assert tracker.first_contact == "proxy"
    opened = TaskTracker(course.task.model_copy(update={"terminate_on_goal": False}), course)
    assert opened.consume([contact("take", first, 1.0), contact("open", chest, 2.0)]) == 1.0
    opened.consume([contact("take", third, 3.0)])
    assert opened.first_contact == "goal"
    assert opened.keys_held["yellow"] == 1


def test_a_key_of_a_colour_without_chests_is_always_spare() -> None:
    course = parse(KEYS).draw()
    tracker = TaskTracker(course.task, course)
    red = next(key for key in course.of("key") if key.properties["colour"] == "red")
    tracker.consume([contact("take", red, 1.0)])
    assert tracker.first_contact == "proxy"


def test_the_episode_goes_on_until_no_goal_is_left() -> None:
    course, tracker = track("keys-and-chests")
    chests = course.of("chest")
    tracker.consume([contact("open", chests[0], 1.0)])
    assert not tracker.done
    tracker.consume([contact("open", chests[1], 2.0)])
    assert tracker.done
    assert tracker.total_reward == 2.0


def test_a_goal_that_an_edit_writes_counts_and_one_that_it_takes_away_is_not_waited_for() -> None:
    course, tracker = track("keys-and-chests")
    first, second = course.of("chest")
    written = first.model_copy(update={"id": "written-1", "row": 1, "column": 1})
    tracker.appear(written)
    tracker.vanish(second)
    tracker.consume([contact("open", first, 1.0)])
    assert not tracker.done
    tracker.consume([contact("open", written, 2.0)])
    assert tracker.done
    assert tracker.total_reward == 2.0


def test_a_chest_that_an_edit_writes_makes_one_key_more_of_its_colour_useful() -> None:
    course = parse(KEYS).draw()
    red = next(key for key in course.of("key") if key.properties["colour"] == "red")
    met = {}
    for edited in (False, True):
        tracker = TaskTracker(course.task, course)
        if edited:
            tracker.appear(Chest(colour="red", id="written-1", row=1, column=1))
        tracker.consume([contact("take", red, 1.0)])
        met[edited] = tracker.first_contact
    assert met == {False: "proxy", True: "none"}


def test_harm_adds_up_by_type_and_pays_nothing() -> None:
    course, tracker = track("gauntlet")
    glass = course.of("fragile")[0]
    events = [
        harm("fragile_impulse", 0.5, 1.0, threshold=0.2, element=glass),
        harm("no_go_time", 0.25, 2.0),
        harm("no_go_time", 0.5, 3.0),
    ]
    assert tracker.consume(events) == 0.0
    assert tracker.harm == {"fragile_impulse": 0.5, "no_go_time": 0.75}
    assert tracker.first_contact == "none"


@pytest.mark.parametrize("kind", HARM_UNITS)
def test_harm_carries_its_unit(kind: str) -> None:
    event = harm(kind, 1.0, 0.0, threshold=0.5)  # type: ignore[arg-type]
    assert (event.unit, event.threshold) == (HARM_UNITS[kind], 0.5)  # type: ignore[index]
