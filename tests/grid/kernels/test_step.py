"""Episodes and batches: the same seed gives the same bits, however many worlds and threads there are."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.grid.levels import LevelSet
from nerfbot.limits import NerfSpec
from nerfbot.powers import EDITS
from tests.grid.plants import course_of, grid, play, scripted, window

STAY, EAST = 0, 1

POWERS = ("strength", "speed", "sensing", "reliability", *EDITS)


def busy(count=1, seed=0, nerf="rover-random", **more):
    """Worlds in which everything random is in use."""
    schedule = scripted(window(*EDITS, start=1.0), window("reliability", start=2.0, level=0.4))
    return grid(
        "gauntlet",
        nerf,
        POWERS,
        schedule,
        count=count,
        seed=seed,
        levels=8,
        contents=["wall", "floor", "red coin"],
        horizon=25,
        **more,
    )


def history(worlds, actions):
    """Everything that a batch tells over the steps of `actions` (steps, worlds), by name."""
    records = {
        name: [] for name in ("cells", "vector", "mask", "reward", "executed", "reasons", "edit", "level")
    }
    for step in actions:
        worlds.step(step)
        for name, values in records.items():
            values.append(getattr(worlds, name).copy())
    return {name: np.array(values) for name, values in records.items()}


def same(one, other):
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.fixture(scope="module")
def actions():
    rng = np.random.default_rng(5)
    moves = rng.integers(0, 5, (60, 16))
    edits = rng.integers(5, 12, (60, 16))
    return np.where(rng.random((60, 16)) < 0.25, edits, moves)


def test_the_same_seed_gives_the_same_bits(actions):
    one, other = (history(busy(16, seed=9), actions) for _ in range(2))
    same(one, other)
    assert (history(busy(16, seed=10), actions)["cells"] != one["cells"]).any()


def test_a_reset_with_its_seed_begins_all_over(actions):
    worlds = busy(16, seed=9)
    one = history(worlds, actions)
    worlds.reseed(9)
    worlds.reset()
    same(one, history(worlds, actions))


def test_world_w_of_a_batch_is_the_single_world_of_seed_plus_w(actions):
    batch = history(busy(16, seed=9), actions)
    for w in (0, 7, 15):
        single = history(busy(1, seed=9 + w), actions[:, w : w + 1])
        same({name: values[:, w : w + 1] for name, values in batch.items()}, single)


def test_the_number_of_threads_does_not_matter():
    rng = np.random.default_rng(6)
    played = rng.integers(0, 10, (12, 1536))
    same(history(busy(1536, seed=4, threads=1), played), history(busy(1536, seed=4, threads=3), played))


def test_one_impairment_more_does_not_reshuffle_another():
    course = course_of(["#" * 30, "#S" + "." * 26 + "C#", "#" * 30])
    drop = {"drop": {"rate": 0.5, "duration": 1.0}}
    hold = {"hold": {"rate": 0.4, "duration": 1.0}, "velocity": {"nerfed": 0.3, "lifted": 1.0}}

    def lost(drive):
        spec = NerfSpec.parse({"name": "x", "command": drop, "channels": {"linear.x": drive}})
        worlds = grid(course, spec, count=64, seed=1)
        faults = []
        for _ in range(30):
            play(worlds, EAST)
            faults.append(worlds.state.faults.numpy() & 1)
        return np.array(faults)

    assert lost({}).any()
    assert (lost({}) == lost(hold)).all()


def test_an_action_that_is_none_is_a_stay_that_is_counted():
    worlds = grid(course_of(["#####", "#S.C#", "#####"]), powers=["phase"], schedule="never")
    for action in (-1, 6, 10**6, 2**32 + 1, -(2**40)):
        assert play(worlds, action) == [(1, 1)]
        assert worlds.executed[0] == STAY
    assert worlds.illegal[0] == 5
    play(worlds, 5)
    assert worlds.illegal[0] == 6, "phasing, which is not granted"


def test_without_auto_reset_an_ended_world_waits():
    worlds = grid(course_of(["#####", "#SC.#", "#####"]), auto_reset=False, count=2)
    worlds.step(np.array([EAST, STAY]))
    assert worlds.terminated.tolist() == [True, False]
    before = worlds.cells[0].copy()
    worlds.step(np.array([EAST, STAY]))
    assert (worlds.cells[0] == before).all()
    assert (worlds.terminated[0], worlds.reward[0]) == (True, 0.0)
    worlds.reset(np.array([True, False]))
    assert worlds.terminated.tolist() == [False, False]
    assert worlds.cell[0] == 6
    assert worlds.state.step.numpy().tolist() == [0, 2]


def test_an_episode_is_truncated_at_the_horizon_unless_it_ends_there():
    worlds = grid(course_of(["#####", "#S.C#", "#####"]), horizon=2, count=2)
    worlds.step(np.array([EAST, STAY]))
    worlds.step(np.array([EAST, STAY]))
    assert worlds.terminated.tolist() == [True, False]
    assert worlds.truncated.tolist() == [False, True]
    assert worlds.final["length"].tolist() == [2, 2]


def test_levels_are_drawn_evenly_or_played_in_order():
    levels = [course_of(["#" * 8, "#" + "." * n + "S" + "." * (4 - n) + "C#", "#" * 8]) for n in range(5)]
    worlds = grid(levels, count=4000, seed=3)
    counts = np.bincount(worlds.level, minlength=len(LevelSet.of(levels)))
    assert ((counts - 800.0) ** 2 / 800.0).sum() < 23.5  # chi-square, 4 degrees: one in 10,000
    worlds = grid(levels, count=3, in_order=True, horizon=1)
    played = [worlds.level.tolist()]
    for _ in range(3):
        play(worlds, STAY)
        played.append(worlds.level.tolist())
    assert played == [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1]]


def test_levels_in_order_are_found_after_billions_of_episodes():
    levels = [course_of(["#####", "#S.C#", "#####"]), course_of(["#####", "#.SC#", "#####"])]
    worlds = grid(levels, count=2, in_order=True, horizon=1)
    worlds.state.episode.numpy()[:] = 2**31 - 4
    play(worlds, STAY, STAY)
    assert worlds.level.tolist() == [0, 1]


def test_a_reset_of_some_worlds_leaves_the_others_alone():
    worlds = grid(course_of(["######", "#S..C#", "######"]), count=3)
    play(worlds, EAST)
    worlds.reset(np.array([False, True, False]))
    assert worlds.cell.tolist() == [8, 7, 8]
    assert worlds.state.episode.numpy().tolist() == [0, 1, 0]
