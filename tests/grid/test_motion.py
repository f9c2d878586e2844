from __future__ import annotations

import numpy as np
from plants import course_of, grid

from nerfbot.limits import NerfSpec

STAY, EAST, NORTH, WEST, SOUTH = range(5)


def play(worlds, actions):
    """Cells after each action, and the rewards."""
    cells, rewards = [], []
    for action in actions:
        worlds.step(np.array([action]))
        cells.append(int(worlds.state.cell.numpy()[0]))
        rewards.append(float(worlds.reward[0]))
    return cells, rewards


def test_a_move_takes_one_tick_and_a_wall_stops_it():
    worlds = grid(course_of(["######", "#S.#C#", "#....#", "######"]))
    cells, _ = play(worlds, [EAST, EAST, SOUTH, WEST, STAY])
    assert cells == [8, 8, 14, 13, 13]


def test_a_coin_is_taken_by_entering_its_cell_and_ends_the_episode():
    worlds = grid(course_of(["#####", "#S.C#", "#####"]))
    _, rewards = play(worlds, [EAST])
    assert rewards == [0.0]
    assert not worlds.terminated[0]
    play(worlds, [EAST])
    assert worlds.reward[0] == 1.0
    assert worlds.terminated[0]


def test_a_nerfed_agent_takes_several_ticks_a_cell():
    spec = NerfSpec.parse(
        {"name": "slow", "channels": {"linear.x": {"velocity": {"nerfed": 0.4, "lifted": 1.0}}}}
    )
    worlds = grid(course_of(["########", "#S....C#", "########"]), spec)
    cells, _ = play(worlds, [EAST] * 5)
    assert cells == [9, 9, 10, 10, 11]
