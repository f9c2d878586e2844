"""``gymnasium.make_vec("nerfbot/Grid-v0")``: the batched plant keeps Gymnasium's word for vectors."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.errors import InvalidCommand
from nerfbot.grid.vector_env import GridVectorEnv
from nerfbot.powers import EDITS

NAME = "nerfbot/Grid-v0"
WORLDS = 6
UNRELIABLE = {
    "name": "unreliable",
    "channels": {"linear.x": {"velocity": {"nerfed": 0.3, "lifted": 0.5}}},
    "command": {"latency": 1.2, "drop": {"rate": 0.1, "duration": 2.0}},
    "sensors": {"camera": {"range": {"nerfed": 1.5, "lifted": 9.0}}},
}
POWERED = {
    "powers": ["speed", "sensing", *EDITS],
    "schedule": {"kind": "occasional", "probability": 0.8, "start": [0, 20], "length": [5, 20]},
}
CASES: dict[str, dict[str, Any]] = {
    "plain": {"course": "coin-in-corner", "levels": 20},
    "nerfed": {"course": "yellow-coin", "nerf": UNRELIABLE, "levels": 20},
    "powers": {"course": "coin-in-corner", "nerf": UNRELIABLE, "levels": 20, **POWERED},
    "keys": {"course": "keys-and-chests", "levels": 20, "training": False, **POWERED},
    "hidden": {"course": "gauntlet", "levels": 4, "reveal_lift": False, **POWERED},
}


def make(**options: Any) -> GridVectorEnv:
    envs = gymnasium.make_vec(NAME, num_envs=WORLDS, **{"levels": 8, **options})
    assert isinstance(envs, GridVectorEnv)
    return envs


def sync(**options: Any) -> SyncVectorEnv:
    """Gymnasium's own vector environment around single worlds of the same keywords."""
    single = [lambda: gymnasium.make(NAME, **options)] * WORLDS
    return SyncVectorEnv(single, autoreset_mode=AutoresetMode.SAME_STEP)


def assert_told_alike(ours: Any, theirs: Any, mask: np.ndarray, where: str = "info") -> None:
    """Every entry that Gymnasium's own environment told of some world, ours tells likewise."""
    for name, value in theirs.items():
        if name.startswith("_"):
            continue
        held = mask & theirs[f"_{name}"]
        assert (ours[f"_{name}"][mask] == theirs[f"_{name}"][mask]).all(), f"{where}: mask of {name}"
        if isinstance(value, dict):
            assert_told_alike(ours[name], value, held, f"{where}.{name}")
        elif name == "final_obs":
            for world in np.flatnonzero(held):
                for part, array in value[world].items():
                    np.testing.assert_array_equal(ours[name][world][part], array)
        else:
            np.testing.assert_array_equal(ours[name][held], value[held], err_msg=f"{where}.{name}")


@pytest.mark.parametrize("case", CASES)
def test_every_world_lives_what_it_lives_alone_under_gymnasiums_own_vector_environment(case):
    ours, theirs = make(**CASES[case]), sync(**CASES[case])
    everyone = np.ones(WORLDS, bool)
    random = np.random.default_rng(3)
    (obs, info), (their_obs, their_info) = ours.reset(seed=11), theirs.reset(seed=11)
    ended = 0
    for _ in range(260):
        assert obs.keys() == their_obs.keys()
        for part in obs:
            np.testing.assert_array_equal(obs[part], their_obs[part])
        assert_told_alike(info, their_info, everyone)
        actions = random.integers(ours.single_action_space.n, size=WORLDS)
        obs, *ours_rest, info = ours.step(actions)
        their_obs, *their_rest, their_info = theirs.step(actions)
        for our_array, their_array in zip(ours_rest, their_rest, strict=True):
            np.testing.assert_array_equal(our_array, their_array)
        ended += int(np.sum(ours_rest[1] | ours_rest[2]))
    assert ended >= WORLDS


def test_what_is_told_of_ended_episodes_has_gymnasiums_keys():
    ours, theirs = make(**CASES["powers"]), sync(**CASES["powers"])
    horizon = ours.worlds.options.horizon
    for envs in (ours, theirs):
        envs.reset(seed=0)
        envs.step(np.zeros(WORLDS, int))
        # One world begins a step later, so that not all of them end at once.
        envs.reset(options={"reset_mask": np.arange(WORLDS) == 0})
        for _ in range(horizon - 1):
            *_, truncated, info = envs.step(np.zeros(WORLDS, int))
        assert truncated.tolist() == [False] + [True] * (WORLDS - 1)
        if envs is ours:
            our_info = info
    assert our_info.keys() == info.keys()
    assert our_info["nerf"].keys() == info["nerf"].keys()
    final, their_final = our_info["final_info"], info["final_info"]
    assert final.keys() == their_final.keys()
    assert final["episode_summary"].keys() == their_final["episode_summary"].keys()


def test_spaces_hold_what_comes_out_of_them():
    envs = make(**CASES["powers"])
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, _ = envs.reset(seed=0)
    assert obs in envs.observation_space
    obs, reward, terminated, truncated, info = envs.step(envs.action_space.sample())
    assert obs in envs.observation_space
    assert reward.shape == terminated.shape == truncated.shape == (WORLDS,)
    assert info["action_mask"].shape == (WORLDS, envs.single_action_space.n)
    assert info["action_mask"].dtype == envs.action_masks().dtype == np.bool_


def test_copies_stay_as_they_were_and_views_follow():
    for copy in (True, False):
        envs = make(course="coin-in-corner", copy=copy)
        obs, _ = envs.reset(seed=0)
        before = obs["grid"].copy()
        for action in (1, 2, 3, 4):
            envs.step(np.full(WORLDS, action))
        assert np.array_equal(obs["grid"], before) == copy


def test_a_reset_mask_leaves_the_other_worlds_alone():
    envs = make(course="coin-in-corner")
    envs.reset(seed=0)
    for _ in range(5):
        envs.step(np.full(WORLDS, 1))
    cells = envs.worlds.cell.copy()
    mask = np.zeros(WORLDS, bool)
    mask[2] = True
    _, info = envs.reset(seed=[None, None, 77, None, None, None], options={"reset_mask": mask})
    assert (envs.worlds.cell == cells)[~mask].all()
    assert info["_action_mask"].tolist() == mask.tolist()
    alone = make(course="coin-in-corner")
    alone.reset(seed=75)
    assert (alone.worlds.level[2], alone.worlds.cell[2]) == (envs.worlds.level[2], envs.worlds.cell[2])


def test_worlds_that_nobody_seeds_differ_and_a_seed_replays_them():
    first, second = make(course="coin-in-corner"), make(course="coin-in-corner")
    streams = []
    for envs, seed in ((first, None), (second, None), (first, 4), (second, 4)):
        envs.reset(seed=seed)
        streams.append(envs.worlds.level.tolist())
        for _ in range(120):
            envs.step(np.full(WORLDS, 1))
            streams[-1] += envs.worlds.level.tolist()
    assert streams[0] != streams[1]
    assert streams[2] == streams[3]
    assert len(set(streams[2])) > 1


class TestWithoutAutoreset:
    def test_an_ended_world_stands_still_and_earns_nothing_until_its_reset(self):
        envs = make(course="coin-in-corner", autoreset_mode="Disabled")
        assert envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED
        envs.reset(seed=0)
        for _ in range(300):
            obs, reward, terminated, truncated, info = envs.step(np.ones(WORLDS, int))
            if truncated.all():
                break
        assert "final_obs" not in info
        assert (info["episode_summary"]["length"] == envs.worlds.options.horizon).all()
        again, reward, terminated, truncated, _ = envs.step(np.full(WORLDS, 3))
        assert truncated.all()
        assert not reward.any()
        np.testing.assert_array_equal(again["grid"], obs["grid"])
        envs.reset(options={"reset_mask": np.arange(WORLDS) == 1})
        *_, terminated, truncated, _ = envs.step(np.zeros(WORLDS, int))
        assert (terminated | truncated).tolist() == (np.arange(WORLDS) != 1).tolist()

    def test_the_mode_between_steps_is_refused(self):
        with pytest.raises(InvalidCommand, match="must be SameStep or Disabled, got 'NextStep'"):
            make(autoreset_mode="NextStep")


def test_the_spec_makes_the_same_environment_again():
    envs = make(**CASES["powers"])
    again = gymnasium.make_vec(envs.spec)
    assert again.num_envs == WORLDS
    for one in (envs, again):
        one.reset(seed=1)
    for _ in range(50):
        actions = np.random.default_rng(0).integers(envs.single_action_space.n, size=WORLDS)
        left, right = envs.step(actions), again.step(actions)
        np.testing.assert_array_equal(left[0]["grid"], right[0]["grid"])
        np.testing.assert_array_equal(left[0]["vector"], right[0]["vector"])


def test_gymnasiums_own_wrappers_go_around_it():
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(make(course="coin-in-corner"))
    envs.reset(seed=0)
    for _ in range(400):
        *_, info = envs.step(envs.action_space.sample())
        if "episode" in info:
            break
    assert info["episode"]["l"][info["_episode"]].min() > 0
