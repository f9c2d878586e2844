"""The rover with the grid's actions and observations as an environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import nerfbot  # noqa: F401  # registers the environments
from nerfbot.errors import InvalidCommand, LeaseError
from nerfbot.grid.codes import AGENT
from nerfbot.grid.env import GridEnv
from nerfbot.grid.oracles import Oracle

YARD = ("#######", "#.....#", "#.....#", "#..S..#", "#.....#", "#....C#", "#######")


def test_gymnasium_s_checker_finds_no_fault() -> None:
    env = gymnasium.make("nerfbot/RoverCells-v0", levels=4)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_spaces_table_and_features_are_the_grid_s(rover) -> None:
    keywords = {"course": "keys-and-chests", "powers": ["teleport", "unlock", "speed"], "levels": 4}
    env, grid = rover(**keywords), GridEnv(**keywords)
    assert env.observation_space == grid.observation_space
    assert env.action_space == grid.action_space
    assert env.action_table == grid.action_table
    assert env.feature_names == grid.feature_names


def test_the_same_seed_replays_an_episode(rover) -> None:
    def played() -> list:
        env = rover(course="coin-in-corner", nerf="rover-weak", levels=3, in_order=True)
        outcomes = []
        for seed in (5, 6):
            observation, _ = env.reset(seed=seed)
            for action in (1, 2, 3, 4, 1):
                observation, reward, over, late, info = env.step(action)
                outcomes.append((observation["grid"].tobytes(), reward, info["nerf"]["seconds"]))
                if over or late:
                    break
        return outcomes

    assert played() == played()


def test_the_shortest_way_on_the_grid_leads_the_rover_to_the_coin(rover) -> None:
    count = 12
    env = rover(course="coin-in-corner", levels=count, training=False)
    worlds = GridEnv(course=env.levels, in_order=True).config.build(count, auto_reset=False)
    oracle, reached = Oracle(worlds), 0
    for level in range(count):
        env.reset(seed=level, options={"level": level})
        for move in oracle.path(level):
            _, reward, over, late, info = env.step(move)
            if over or late:
                break
        assert over
        summary = info["episode_summary"]
        assert summary["success"]
        assert reward == 1.0
        assert summary["length"] == len(oracle.path(level))
        assert not summary["harm"]
        reached += 1
    assert reached == count


def test_an_edit_is_done_once_and_only_while_granted(rover) -> None:
    schedule = {"kind": "occasional", "probability": 1.0, "start": 0.0, "length": 5.0, "charges": 1}
    env = rover(*YARD, powers=["move-coin"], schedule=schedule)
    _, info = env.reset(seed=0)
    edit = env.action_table.index("move-coin")
    assert info["action_mask"][edit]
    before = env.nerfed.plant.course.cell_of(*env.nerfed.plant.arena.things["coin-1"].position[:2])
    observation, _, _, _, info = env.step(edit)
    after = env.nerfed.plant.course.cell_of(*env.nerfed.plant.arena.things["coin-1"].position[:2])
    assert before != after
    assert observation["grid"][after][0] >= 16 > observation["grid"][before][0]
    assert info["nerf"]["outcome"] == "edited"
    assert not info["action_mask"][edit]
    assert env.step(edit)[4]["nerf"]["outcome"] == "illegal"


def test_a_teleport_and_a_wall_are_seen_in_the_next_observation(rover) -> None:
    env = rover(*YARD, powers=["teleport", "rewrite-cell"], schedule="always", destinations="cell")
    env.reset(seed=0)
    observation = env.step(env.action_table.index("teleport at 1,1"))[0]
    assert observation["grid"][1, 1, 2] & AGENT
    assert env.step(env.action_table.index("rewrite-cell wall at 1,3"))[4]["nerf"]["outcome"] == "edited"
    for _ in range(2):
        observation = env.step(1)[0]
    assert observation["grid"][1, 3, 0] == 2
    assert observation["grid"][1, 2, 2] & AGENT


@pytest.mark.parametrize("poses", ["tracked", "seen"])
def test_a_coin_that_is_written_ahead_is_seen_and_rewarded(rover, poses: str) -> None:
    powers = {"powers": ["rewrite-cell"], "contents": ["yellow coin", "red gem"], "destinations": "cell"}
    env = rover(*YARD, schedule="always", poses=poses, **powers)
    env.reset(seed=0)
    goal = env.action_table.index("rewrite-cell yellow coin at 3,5")
    assert env.step(goal)[4]["nerf"]["outcome"] == "edited"
    assert env.step(goal)[4]["nerf"]["outcome"] == "illegal"  # a coin is never written over
    observation = env.step(0)[0]
    assert observation["grid"][3, 5, 0] >= 16
    rewards = [env.step(1)[1] for _ in range(2)]
    assert sum(rewards) == 1.0


def test_unlocking_the_chest_that_is_the_goal_is_rewarded(rover) -> None:
    env = rover(course="keys-and-chests", powers=["unlock"], schedule="always", levels=2)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(env.action_table.index("unlock"))
    assert reward == 1.0
    assert info["nerf"]["first"] == 1


def test_sensing_widens_the_view_only_while_lifted(rover) -> None:
    def unseen(schedule: object) -> int:
        env = rover(course="coin-in-corner", nerf="rover-weak", schedule=schedule, levels=2)
        observation, _ = env.reset(seed=0, options={"level": 0})
        return int((observation["grid"][:, :, 0] == 0).sum())

    assert unseen("never") > 60 > unseen("always") == 0


def test_with_its_own_detector_the_rover_finds_out_where_the_coin_is(rover) -> None:
    rows = ("#########", "#S#....C#", "#.#.....#", "#.......#", "#########")
    env = rover(*rows, poses="seen")
    observation, _ = env.reset(seed=0)
    assert observation["grid"][1, 7, 0] == 1  # behind a wall: bare floor as far as it knows
    for action in (4, 4, 1, 1, 1, 2):
        observation = env.step(action)[0]
    assert observation["grid"][1, 7, 0] >= 16


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"poses": "guessed"}, InvalidCommand, "poses: must be one of tracked, seen, got 'guessed'"),
        ({"powers": ["rewrite-cell"], "contents": ["red gate"]}, LeaseError, "'red gate' is neither wall"),
        ({"powers": ["fly"]}, LeaseError, "unknown power 'fly'"),
        ({"levels": 0}, ValueError, "levels: must be"),
        ({"render_mode": "ascii"}, InvalidCommand, "render_mode"),
    ],
)
def test_bad_keywords_are_one_line(keywords: dict, error: type[Exception], words: str) -> None:
    from nerfbot.bridge.cells.cells_env import RoverCells

    with pytest.raises(error, match=words) as told:
        RoverCells(**keywords)
    assert "\n" not in str(told.value)


def test_bad_actions_and_levels_are_refused(rover) -> None:
    env = rover(course="coin-in-corner", levels=2)
    with pytest.raises(InvalidCommand, match="the episode is over"):
        env.step(0)
    with pytest.raises(InvalidCommand, match="level must be -1 to 1, got 2"):
        env.reset(options={"level": 2})
    env.reset(seed=0)
    for action in (-1, 5, 1.5, None):
        with pytest.raises(InvalidCommand, match="action must be"):
            env.step(action)
    assert env.nerfed.time == 0.0
    assert np.isfinite(env.nerfed.position).all()
