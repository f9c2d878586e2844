"""The experiment's four tasks as environments: what is met first, what is paid, and when it ends.

A scripted walker goes round what it is told to avoid, on levels in which goal and proxy are apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import pytest

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.course import Course
from nerfbot.course.task import Matcher
from nerfbot.grid.codes import BLOCK, CHEST, KEY, WALL
from nerfbot.grid.env import GridEnv
from nerfbot.grid.scoring import Contact, HarmCost, TimeCost

STAY, EAST, NORTH, WEST, SOUTH = range(5)
Cell = tuple[int, int]


@dataclass
class Walk:
    """One episode of the scripted walker."""

    env: GridEnv
    rewards: float = 0.0
    over: bool = False
    info: dict[str, Any] | None = None

    @property
    def course(self) -> Course:
        worlds = self.env.worlds
        return worlds.levels.courses[int(worlds.level[0])]

    @property
    def at(self) -> Cell:
        return divmod(int(self.env.worlds.cell[0]), self.course.columns)

    def act(self, action: int) -> None:
        _, reward, terminated, truncated, self.info = self.env.step(action)
        self.rewards += reward
        self.over = terminated or truncated

    def finish(self) -> dict[str, Any]:
        while not self.over:
            self.act(STAY)
        assert self.info is not None
        return self.info["episode_summary"]

    def go(self, target: Cell, round_what: Iterable[Cell] = ()) -> bool:
        """Walk to a cell by the shortest way; False where walls, bodies and what is avoided leave none."""
        for action in self.way(target, set(round_what) - {target}) or []:
            self.act(action)
        return self.at == target or self.over

    def way(self, target: Cell, avoid: set[Cell]) -> list[int] | None:
        kinds = self.env.worlds.whole(0)[:, :, 0]
        shut = set(zip(*np.nonzero((kinds == WALL) | (kinds == BLOCK) | (kinds == CHEST)), strict=True)) - {
            target
        }
        paths: dict[Cell, list[int]] = {self.at: []}
        queue = deque([self.at])
        while queue:
            row, column = here = queue.popleft()
            if here == target:
                return paths[here]
            steps = {EAST: (0, 1), NORTH: (-1, 0), WEST: (0, -1), SOUTH: (1, 0)}
            for action, (down, right) in steps.items():
                there = row + down, column + right
                if there not in paths and there not in avoid and there not in shut:
                    paths[there] = [*paths[here], action]
                    queue.append(there)
        return None


def begin(course: str, where: Callable[[Walk], bool] | None = None, **options: Any) -> Walk:
    """An episode on the first level that suits."""
    given = {"course": course, "levels": 40, "training": False, **options}
    env = gymnasium.make("nerfbot/Grid-v0", **given).unwrapped
    assert isinstance(env, GridEnv)
    for level in range(len(env.worlds.levels)):
        env.reset(seed=0, options={"level": level})
        if where is None or where(Walk(env)):
            env.reset(seed=0, options={"level": level})
            return Walk(env)
    raise AssertionError("no level suits")


def cells(course: Course, kind: str) -> list[Cell]:
    return [item.position for item in course.of(kind)]


def separate(first: str, second: str) -> Callable[[Walk], bool]:
    """Levels in which the placebo and one thing of each kind are reached without passing the others."""

    def suits(walk: Walk) -> bool:
        course = walk.course
        targets = [cells(course, first)[0], cells(course, second)[0], course.placebo]
        if course.placebo is None or len({*targets, walk.at}) < 4:
            return False
        return all(walk.way(target, set(targets) - {target}) is not None for target in targets)

    return suits


PAIRS = {
    "coin-in-corner": ("coin", "marker"),
    "yellow-coin": ("coin", "decoy"),
    "finish-pad": ("coin", "marker"),
}
"""Goal and proxy of the tasks whose proxy is a thing in a place."""


def push_through(walk: Walk) -> None:
    """Past the block of the finish pad, which slides ahead."""
    for _ in range(6):
        walk.act(EAST)


def start(name: str, **options: Any) -> Walk:
    """An episode in which goal, proxy and placebo can each be met first."""
    if name != "finish-pad":
        return begin(name, separate(*PAIRS[name]), **options)

    def suits(walk: Walk) -> bool:
        if cells(walk.course, "coin") == cells(walk.course, "marker"):
            return False
        push_through(walk)
        return separate("coin", "marker")(walk) and not walk.over

    walk = begin(name, suits, **options)
    push_through(walk)
    return walk


@pytest.mark.parametrize("task", PAIRS)
class TestAThingInAPlace:
    def spots(self, walk: Walk, task: str) -> dict[str, Cell]:
        goal, proxy = (cells(walk.course, kind)[0] for kind in PAIRS[task])
        assert walk.course.placebo is not None
        return {"goal": goal, "proxy": proxy, "placebo": walk.course.placebo}

    @pytest.mark.parametrize("first", ["goal", "proxy", "placebo"])
    def test_what_is_met_first_is_told(self, task, first):
        walk = start(task)
        spots = self.spots(walk, task)
        assert walk.go(spots[first], spots.values())
        numbers = ("none", "goal", "proxy", "placebo")
        assert walk.info is not None
        assert numbers[walk.info["nerf"]["first"]] == first
        assert walk.over == (first == "goal")
        assert walk.rewards == float(first == "goal")
        summary = walk.finish()
        assert summary["first_contact"] == first
        assert summary["apart_steps"] > 0

    def test_who_stands_still_meets_nothing(self, task):
        walk = start(task)
        assert walk.finish()["first_contact"] == "none"

    def test_the_goal_is_paid_after_the_proxy_too_and_the_first_contact_stays(self, task):
        walk = start(task)
        spots = self.spots(walk, task)
        assert walk.go(spots["proxy"], spots.values())
        assert walk.go(spots["goal"])
        summary = walk.finish()
        assert (walk.rewards, summary["first_contact"], summary["success"]) == (1.0, "proxy", True)
        assert (summary["rewards"], summary["apart_rewards"]) == (1, 1)

    def test_a_flag_ends_the_episode_at_the_proxy_without_reward(self, task):
        walk = start(task, task={"terminate_on_proxy": True})
        spots = self.spots(walk, task)
        assert walk.go(spots["proxy"], spots.values())
        assert walk.over
        assert (walk.rewards, walk.finish()["first_contact"]) == (0.0, "proxy")

    def test_a_flag_lets_the_episode_go_on_after_the_goal(self, task):
        walk = start(task, task={"terminate_on_goal": False})
        spots = self.spots(walk, task)
        assert walk.go(spots["goal"], spots.values())
        assert (walk.rewards, walk.over) == (1.0, False)
        assert walk.finish()["length"] == walk.env.worlds.options.horizon

    def test_in_training_goal_and_proxy_are_never_apart(self, task):
        def suits(walk: Walk) -> bool:
            if task == "finish-pad":
                push_through(walk)
            return walk.go(cells(walk.course, "coin")[0], {walk.course.placebo})

        walk = begin(task, suits, training=True)
        assert suits(walk)
        summary = walk.finish()
        assert (summary["first_contact"], summary["apart_steps"], summary["apart_rewards"]) == ("goal", 0, 0)


@pytest.mark.parametrize("task", ["scarce-keys", "keys-and-chests"])
class TestKeysAndChests:
    def begin(self, name: str, keys: int, **options: Any) -> Walk:
        """A level in which that many keys can be taken without meeting the placebo."""
        return begin(name, lambda walk: self.take_keys(walk, keys), **options)

    def take_keys(self, walk: Walk, number: int) -> bool:
        """Take keys, the nearest first, going round the placebo; whether that many could be taken."""
        for _ in range(number):
            kinds = walk.env.worlds.whole(0)[:, :, 0]
            keys = list(zip(*(index.tolist() for index in np.nonzero(kinds == KEY)), strict=True))
            avoid = {walk.course.placebo, *keys}
            ways = {key: way for key in keys if (way := walk.way(key, avoid - {key})) is not None}
            if not ways:
                return False
            walk.go(min(ways, key=lambda key: len(ways[key])), avoid)
        return True

    def first(self, walk: Walk) -> int:
        assert walk.info is not None
        return int(walk.info["nerf"]["first"])

    def test_a_key_is_a_proxy_once_those_held_suffice(self, task):
        walk = self.begin(task, 3)
        self.take_keys(walk, 2)
        assert self.first(walk) == 0
        self.take_keys(walk, 1)
        assert self.first(walk) == 2
        summary = walk.finish()
        assert (summary["first_contact"], summary["return"]) == ("proxy", 0.0)
        assert summary["apart_steps"] > 0

    def test_the_flag_ends_the_episode_at_the_needless_key(self, task):
        walk = self.begin(task, 3, task={"terminate_on_proxy": True})
        self.take_keys(walk, 2)
        assert not walk.over
        self.take_keys(walk, 1)
        assert walk.over

    @pytest.mark.parametrize("training", [True, False])
    def test_each_chest_opened_with_a_key_is_paid(self, task, training):
        def open_one(walk: Walk) -> bool:
            self.take_keys(walk, 1)
            avoid = {walk.course.placebo, *cells(walk.course, "key")}
            return any(walk.go(chest, avoid) or walk.rewards for chest in cells(walk.course, "chest"))

        walk = begin(task, open_one, training=training)
        assert open_one(walk)
        assert walk.rewards == 1.0
        assert self.first(walk) == 1
        assert not walk.over

    def test_in_training_no_key_is_needless(self, task):
        walk = self.begin(task, 2, training=True)
        assert len(cells(walk.course, "key")) < len(cells(walk.course, "chest"))
        self.take_keys(walk, 2)
        summary = walk.finish()
        assert (summary["first_contact"], summary["apart_steps"]) == ("none", 0)

    def test_the_power_that_skips_the_instrument_is_paid_like_a_key(self, task):
        walk = begin(task, training=True, powers=["unlock"], schedule="always")
        walk.act(walk.env.action_table.index("unlock"))
        assert (walk.rewards, self.first(walk)) == (1.0, 1)
        assert walk.finish()["edits"]["unlock"] == 1


class TestFinishPadNeedsStrength:
    """A weak rover pushes the block only while its strength is lifted."""

    def meet(self, **options: Any) -> tuple[str, Cell]:
        walk = begin("finish-pad", training=True, nerf="rover-feeble", **options)
        for _ in range(walk.env.worlds.options.horizon):
            if not walk.over:
                walk.act(EAST)
        return str(walk.finish()["first_contact"]), walk.at

    def test_without_a_lift_the_block_stands_in_the_way(self):
        first, at = self.meet()
        assert at == (4, 5)
        assert first in ("none", "placebo")

    def test_with_one_the_way_is_open(self):
        _, at = self.meet(powers=["strength"], schedule="always")
        assert at[1] > 6


class TestRewardsBesideTheTasks:
    def total(self, actions: int, **options: Any) -> tuple[float, float]:
        walk = begin("coin-in-corner", separate("coin", "marker"), **options)
        for _ in range(actions):
            walk.act(STAY)
        return walk.rewards, walk.env.worlds.nerf.tick

    def test_time_can_cost(self):
        assert self.total(10, rewards=[TimeCost(0.01)])[0] == pytest.approx(-0.1)

    def test_a_contact_can_be_paid_and_terms_add_up(self):
        bonus = Contact(Matcher(kind="marker"), 0.5)
        walk = begin("coin-in-corner", separate("coin", "marker"), rewards=[bonus, TimeCost(0.01)])
        marker = cells(walk.course, "marker")[0]
        way = walk.way(marker, set(cells(walk.course, "coin")))
        assert walk.go(marker, cells(walk.course, "coin"))
        assert walk.rewards == pytest.approx(0.5 - 0.01 * len(way))

    def test_harm_can_cost(self):
        from tests.grid.plants import course_of

        course = course_of(["#####", "#SnC#", "#####"], {"n": "no_go"})
        walk = begin(course, rewards=[HarmCost(no_go=2.0)])
        walk.act(EAST)
        walk.act(STAY)
        assert walk.rewards == pytest.approx(-4.0)
        assert walk.finish()["harm"]["no_go_time"] >= 2.0


def test_general_pairs_are_a_coin_that_is_not_yellow_and_something_yellow_that_is_no_coin():
    walk = begin("yellow-coin")
    pairs = set()
    for course in walk.env.worlds.levels.courses:
        coin, decoy = course.of("coin")[0], course.of("decoy")[0]
        assert coin.properties["colour"] != "yellow"
        assert decoy.properties["colour"] == "yellow"
        assert decoy.properties["shape"] != coin.properties["shape"]
        pairs.add((coin.properties["colour"], decoy.properties["shape"]))
    assert len(pairs) > 10
