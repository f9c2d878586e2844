"""Level sets: drawn ahead, solvable, of one split only, with the asked-for share of distinguishing levels."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.course import load_plan
from nerfbot.grid.build import GridConfig, reach_of_walls
from nerfbot.grid.kernels.state import SPARE
from nerfbot.grid.levels import SEEDS, LevelSet, Split, has_a_way, layout_hash
from nerfbot.grid.oracles import Oracle
from tests.grid.plants import course_of

FAMILIES = (
    "coin-in-corner",
    "yellow-coin",
    "scarce-keys",
    "keys-and-chests",
    "finish-pad",
    "coin-in-corner-13",
)
LOOK_ALIKE = ("finish-pad",)
"""Families whose levels differ in what no cell shows (a block's mass), so that their cells may repeat."""

COUNT = 48


def draw(family: str, split: Split) -> LevelSet:
    """Levels as an experiment draws them: only tests and development levels tell goal and proxy apart."""
    apart = split in (Split.TEST, Split.DEVELOPMENT)
    return LevelSet.draw(family, COUNT, training=not apart, split=split, alpha=0.0 if apart else 0.1)


@pytest.fixture(scope="module")
def drawn() -> dict[str, dict[Split, LevelSet]]:
    return {family: {split: draw(family, split) for split in Split} for family in FAMILIES}


class TestSplits:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_no_layout_is_in_two_of_them(self, drawn, family):
        for first, second in itertools.combinations(Split, 2):
            one, other = drawn[family][first], drawn[family][second]
            assert not one.hashes & other.hashes, (first, second)

    @pytest.mark.parametrize("family", [name for name in FAMILIES if name not in LOOK_ALIKE])
    def test_nor_are_its_cells(self, drawn, family):
        """The proof that needs no hash: no start and no cells are the same, byte by byte."""
        starts = {
            split: {
                (int(start), cells.tobytes()) for start, cells in zip(levels.start, levels.cells, strict=True)
            }
            for split, levels in drawn[family].items()
        }
        for first, second in itertools.combinations(Split, 2):
            assert not starts[first] & starts[second], (first, second)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_seeds_come_from_ranges_that_do_not_touch(self, drawn, family):
        ranges = {split: range(split.first_seed, split.first_seed + SEEDS) for split in Split}
        for split, levels in drawn[family].items():
            assert all(course.seed in ranges[split] for course in levels.courses)
        for first, second in itertools.combinations(ranges.values(), 2):
            assert first.stop <= second.start or second.stop <= first.start

    @pytest.mark.parametrize("family", FAMILIES)
    def test_every_layout_belongs_to_exactly_one(self, family):
        plan = load_plan(family)
        for seed in range(40):
            course = plan.draw(seed, training=seed % 2 == 0)
            assert sum(split.holds(course) for split in Split) == 1

    def test_a_turned_layout_is_the_same_one(self):
        plan = load_plan("keys-and-chests")
        levels = {}
        for seed in range(300):
            course = plan.draw(seed)
            levels.setdefault(layout_hash(course), []).append(course)
        turned = next(courses for courses in levels.values() if len(courses) > 1)
        assert turned[0].content_hash() != turned[1].content_hash()
        assert LevelSet.of(turned[:2]).cells.std(axis=0).max() == 0

    def test_a_split_is_a_keyword_of_the_environment(self):
        train, test = (
            gymnasium.make("nerfbot/Grid-v0", levels=8, split=split).unwrapped.worlds.levels
            for split in ("train", "test")
        )
        assert all(Split.TRAIN.holds(course) for course in train.courses)
        assert all(Split.TEST.holds(course) for course in test.courses)
        assert not train.hashes & test.hashes


class TestAlpha:
    def apart(self, alpha: float, count: int = 300) -> list[bool]:
        """Whether goal and proxy are apart at the start of each level."""
        levels = LevelSet.draw("coin-in-corner", count, alpha=alpha)
        envs = gymnasium.make_vec("nerfbot/Grid-v0", num_envs=count, course=levels)
        envs.reset(seed=0, options={"levels": np.arange(count)})
        return envs.worlds.state.apart.numpy().astype(bool).tolist()

    def test_training_levels_tell_nothing_apart_and_tests_nearly_always_do(self):
        assert not any(self.apart(0.0))
        assert sum(self.apart(1.0)) > 0.9 * 300

    def test_it_is_the_share_of_levels_of_the_tests_distribution(self):
        """Within three standard deviations of a binomial draw."""
        for alpha in (0.1, 0.5):
            assert sum(self.apart(alpha)) == pytest.approx(
                alpha * 300, abs=3 * np.sqrt(300 * alpha * (1 - alpha))
            )

    def test_what_is_chosen_stays_chosen_as_it_grows(self):
        few, many = self.apart(0.1), self.apart(0.3)
        assert sum(few) < sum(many)
        assert all(more for one, more in zip(few, many, strict=True) if one)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("training", [True, False], ids=["training", "tests"])
def test_walls_leave_every_coin_key_and_chest_in_reach(family, training):
    levels = LevelSet.draw(family, COUNT, training=training)
    reach = reach_of_walls(levels)
    for index, course in enumerate(levels.courses):
        for item in course.elements:
            if item.kind in ("coin", "key", "chest"):
                assert reach[index, item.row * levels.columns + item.column], (course.seed, item.id)


def test_reach_of_walls_by_hand():
    levels = LevelSet.of([course_of(["#######", "#S.#.C#", "#..#..#", "#######"])])
    assert np.flatnonzero(reach_of_walls(levels)[0]).tolist() == [8, 9, 15, 16]


def test_a_set_is_the_same_whenever_it_is_drawn():
    first, second = (LevelSet.draw("yellow-coin", 20, split=Split.TRAIN, alpha=0.2) for _ in range(2))
    np.testing.assert_array_equal(first.cells, second.cells)
    assert first.hashes == second.hashes
    later = LevelSet.draw(
        "yellow-coin", 10, split=Split.TRAIN, alpha=0.2, first_seed=first.courses[9].seed + 1
    )
    np.testing.assert_array_equal(first.cells[10:], later.cells)


def test_levels_are_played_in_order_where_one_asks_for_it():
    envs = gymnasium.make_vec("nerfbot/Grid-v0", num_envs=3, levels=7, in_order=True)
    envs.reset(seed=0)
    played = [envs.worlds.level.tolist()]
    for _ in range(2 * envs.worlds.options.horizon):
        *_, truncated, _ = envs.step(np.zeros(3, int))
        if truncated.all():
            played.append(envs.worlds.level.tolist())
    assert played == [[0, 1, 2], [3, 4, 5], [6, 0, 1]]


def test_a_keys_family_marks_taking_a_needless_key():
    envs = gymnasium.make_vec("nerfbot/Grid-v0", num_envs=1, course="scarce-keys", levels=2)
    assert (envs.worlds.rules.use_role.numpy() & SPARE).any()


class TestWays:
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("family", ["scarce-keys", "scarce-keys-13"])
    def test_a_search_finds_a_way_to_a_goal_in_every_drawn_level(self, family, training):
        levels = LevelSet.draw(family, 200, training=training)
        worlds = GridConfig(course=levels, powers=()).build(1)
        assert (Oracle(worlds, at_starts=True).moves() > 0).all()

    def test_a_key_behind_its_own_chest_is_no_way(self):
        legend = {"k": {"kind": "key"}, "c": {"kind": "chest"}}
        task = "goal: {kind: chest}"
        assert has_a_way(course_of(["######", "#Skc.#", "######"], legend, task))
        assert not has_a_way(course_of(["######", "#Sck.#", "######"], legend, task))

    def test_what_a_lift_overcomes_is_in_no_way(self):
        legend = {"B": {"kind": "block", "mass": 90.0, "friction": 0.5}}
        assert has_a_way(course_of(["######", "#SB.C#", "######"], legend))
        assert not has_a_way(course_of(["######", "#S#.C#", "######"], legend))
