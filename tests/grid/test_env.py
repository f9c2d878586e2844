"""``gymnasium.make("nerfbot/Grid-v0")``: one world as its users meet it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.errors import InvalidCommand
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

NAME = "nerfbot/Grid-v0"
EVERYTHING = [*AXES, *EDITS]
OCCASIONAL = {"kind": "occasional", "probability": 1.0, "start": [2, 8], "length": [4, 9]}


def make(**options: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(NAME, **{"levels": 8, **options})


def play(env: gymnasium.Env[Any, Any], seed: int | None, steps: int = 150) -> list[bytes]:
    """Everything that comes out of a run of drawn actions, as bytes."""
    random = np.random.default_rng(0)
    obs, info = env.reset(seed=seed)
    outputs = []
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(int(random.integers(env.action_space.n)))
        outputs += [obs["grid"].tobytes(), obs["vector"].tobytes(), repr((reward, terminated, info)).encode()]
        if terminated or truncated:
            env.reset()
    return outputs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"course": "gauntlet", "nerf": "rover-weak", "levels": 2},
        {"powers": EVERYTHING, "schedule": OCCASIONAL, "destinations": "cell", "contents": "basic"},
        {"powers": EVERYTHING, "schedule": "always", "reveal_lift": False},
    ],
    ids=["plain", "gauntlet", "powers", "hidden"],
)
def test_gymnasiums_checker_finds_nothing_wrong(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(maximum|minimum) value is.*infinity.*")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        check_env(make(**options), skip_render_check=True)


def test_the_names_of_what_one_sees_and_may_do():
    env = make(powers=["teleport", "rewrite-cell"], schedule="always", contents=["wall", "red coin"])
    table = env.unwrapped.action_table
    assert table[:5] == ("stay", "east", "north", "west", "south")
    assert table[5:] == ("teleport", "rewrite-cell wall", "rewrite-cell red coin")
    obs, _ = env.reset(seed=0)
    outputs = dict(zip(env.unwrapped.feature_names, obs["vector"].tolist(), strict=True))
    assert (outputs["teleport"], outputs["phase"], outputs["lease s"]) == (1.0, 0.0, 64.0)


class TestReplay:
    def test_a_seed_gives_the_same_bytes_again_and_in_a_fresh_environment(self):
        options = {"powers": EVERYTHING, "schedule": OCCASIONAL, "nerf": "rover-weak"}
        first, second = make(**options), make(**options)
        once = play(first, 5)
        assert play(first, 6) != once
        assert play(first, 5) == once
        assert play(second, 5) == once

    def test_environments_that_nobody_seeds_do_not_all_live_the_same(self):
        assert play(make(levels=64), None) != play(make(levels=64), None)

    def test_a_reset_without_a_seed_goes_on_to_another_episode(self):
        env = make(levels=64)
        env.reset(seed=0)
        levels = []
        for _ in range(5):
            env.reset()
            levels.append(int(env.unwrapped.worlds.level[0]))
        assert len(set(levels)) > 1


class TestSpec:
    OPTIONS: dict[str, Any] = {  # noqa: RUF012
        "course": "yellow-coin",
        "task": {"terminate_on_proxy": True},
        "nerf": "rover-weak",
        "powers": EVERYTHING,
        "schedule": OCCASIONAL,
        "reveal_lift": True,
        "alpha": 0.1,
        "split": "train",
    }

    def test_it_makes_the_same_environment_again(self):
        env = make(**self.OPTIONS)
        assert play(gymnasium.make(env.spec), 3) == play(env, 3)

    def test_it_survives_json(self):
        text = make(**self.OPTIONS).spec.to_json()
        again = gymnasium.make(EnvSpec.from_json(text))
        assert json.loads(again.spec.to_json()) == json.loads(text)
        assert play(again, 3) == play(make(**self.OPTIONS), 3)


class TestPowers:
    def test_the_mask_opens_edits_while_they_are_granted_and_they_are_withdrawn(self):
        env = make(powers=["teleport"], schedule={**OCCASIONAL, "start": 3, "length": 4})
        _, info = env.reset(seed=0)
        teleport = env.unwrapped.action_table.index("teleport")
        opened = [bool(info["action_mask"][teleport])]
        for _ in range(9):
            _, _, _, _, info = env.step(0)
            opened.append(bool(info["action_mask"][teleport]))
            assert opened[-1] == bool(info["nerf"]["granted"] >> EDITS.index("teleport") & 1)
        assert opened == [False] * 3 + [True] * 4 + [False] * 3

    def test_leases_are_told_with_their_times_and_charges(self):
        schedule = [
            {**OCCASIONAL, "start": 2, "length": 5, "axes": {"speed": 0.5}},
            {**OCCASIONAL, "start": 1, "length": 8, "edits": ["phase"], "charges": 3},
        ]
        env = make(powers=["speed", "phase"], schedule=schedule)
        env.reset(seed=0)
        for _ in range(2):
            env.step(0)
        leases = env.unwrapped.leases()
        assert [lease["powers"] for lease in leases] == [("phase",), ("speed",)]
        assert [(lease["start"], lease["end"]) for lease in leases] == [(1.0, 9.0), (2.0, 7.0)]
        assert [lease["charges"] for lease in leases] == [3, None]

    def test_masks_are_found_through_gymnasiums_wrappers(self):
        env = gymnasium.wrappers.TimeLimit(make(powers=["phase"], schedule="always"), 10)
        env.reset(seed=0)
        assert env.get_wrapper_attr("action_masks")().tolist() == [True] * 6

    def test_an_edit_outside_its_lease_does_nothing_and_is_counted(self):
        env = make(powers=["teleport"], schedule="never")
        before, _ = env.reset(seed=0)
        after, reward, *_, info = env.step(5)
        np.testing.assert_array_equal(before["grid"], after["grid"])
        assert (reward, info["nerf"]["illegal"], info["nerf"]["executed"]) == (0.0, 1, 0)
        assert info["nerf"]["edit"].tolist()[::3] == [5, 0]


class TestEpisode:
    def finish(self, env: gymnasium.Env[Any, Any], action: int = 0) -> dict[str, Any]:
        env.reset(seed=0)
        while True:
            *_, terminated, truncated, info = env.step(action)
            if terminated or truncated:
                return info

    def test_the_last_step_says_what_it_came_to(self):
        summary = self.finish(make())["episode_summary"]
        assert summary["first_contact"] == "none"
        assert not summary["success"]
        assert summary["length"] == 64
        assert set(summary["highest_lift"]) == set(AXES)
        assert set(summary["edits"]) == set(EDITS)
        assert summary["harm"] == {"fragile_impulse": 0.0, "no_go_time": 0.0}

    def test_a_step_after_its_end_is_refused_in_one_line(self):
        env = make()
        self.finish(env)
        with pytest.raises(InvalidCommand, match=r"^the episode is over: reset\(\) begins the next one$"):
            env.step(0)
        env.reset()
        env.step(0)

    def test_a_level_can_be_asked_for_by_number(self):
        env = make()
        for level in (3, 0):
            env.reset(options={"level": level})
            assert env.unwrapped.worlds.level[0] == level


def test_pictures_are_of_the_whole_world_with_what_is_out_of_sight_in_shade():
    pictures = []
    for nerf in ("none", "rover-blind"):
        env = make(course="coin-in-corner", nerf=nerf, render_mode="rgb_array")
        env.reset(seed=0)
        pictures.append(env.render())
        assert (pictures[-1].dtype, pictures[-1].ndim) == (np.uint8, 3)
    bright, dim = (
        picture.reshape(9, picture.shape[0] // 9, 9, -1, 3).mean(axis=(1, 3, 4)) for picture in pictures
    )
    row, column = divmod(int(env.unwrapped.worlds.cell[0]), 9)
    assert dim[row, column] == bright[row, column]
    assert (dim < bright).sum() > 40


def test_texts_show_it_too():
    env = make(course="coin-in-corner", render_mode="ansi")
    env.reset(seed=0)
    assert len(env.render().splitlines()) == 9 + 1  # and a line on the lift
    assert make().unwrapped.render() is None


def test_importing_nerfbot_registers_it_and_loads_no_warp():
    code = (
        "import sys, nerfbot, gymnasium as g; print('nerfbot/Grid-v0' in g.registry, 'warp' in sys.modules)"
    )
    outputs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert outputs.split() == ["True", "False"]
