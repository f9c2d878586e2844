"""A move of the grid on the rover in PyBullet, through the nerf layer."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.bridge.cells.cell_controller import Pace

EAST, NORTH, WEST, SOUTH = 1, 2, 3, 4
YARD = ("#######", "#.....#", "#.....#", "#..S..#", "#.....#", "#....C#", "#######")
LANE = ("#########", "#S......#", "#C#######", "#########")


@pytest.mark.parametrize(
    ("action", "cell"), [(EAST, (3, 4)), (NORTH, (2, 3)), (WEST, (3, 2)), (SOUTH, (4, 3))]
)
@pytest.mark.parametrize("nerf", ["none", "rover-weak"])
def test_each_direction_leads_into_its_cell(rover, nerf: str, action: int, cell: tuple[int, int]) -> None:
    env = rover(*YARD, nerf=nerf)
    env.reset(seed=1)
    _, _, _, _, info = env.step(action)
    assert info["nerf"]["outcome"] == "arrived"
    assert env.nerfed.plant.cell == cell


def test_a_walk_of_many_moves_stays_on_the_cells(rover) -> None:
    env = rover(*YARD, horizon=300.0)
    env.reset(seed=0)
    random, cell = np.random.default_rng(0), (3, 3)
    steps = {EAST: (0, 1), NORTH: (-1, 0), WEST: (0, -1), SOUTH: (1, 0)}
    for _ in range(60):
        action = int(random.integers(1, 5))
        there = (cell[0] + steps[action][0], cell[1] + steps[action][1])
        if there == (5, 5):
            continue  # the coin would end the walk
        _, _, _, _, info = env.step(action)
        inside = 1 <= there[0] <= 5 and 1 <= there[1] <= 5
        assert info["nerf"]["outcome"] == ("arrived" if inside else "blocked")
        cell = there if inside else cell
        assert env.nerfed.plant.cell == cell


def seconds(env, moves: int = 4, seed: int = 0) -> float:
    env.reset(seed=seed)
    return sum(env.step(EAST)[4]["nerf"]["seconds"] for _ in range(moves))


def test_a_slow_rover_is_slower_and_a_lift_makes_it_faster(rover) -> None:
    def at(level: float) -> float:
        schedule = {"kind": "always", "axes": {"speed": level}}
        return seconds(rover(*LANE, nerf="rover-slow", schedule=schedule))

    nerfed, half, lifted = at(0.0), at(0.5), at(1.0)
    assert nerfed > 1.2 * half > 1.2 * lifted
    assert nerfed > 4 * 0.9 / 0.4  # no faster than the limit of 0.4 m/s allows, the arrival's slack aside


def test_lost_commands_cost_time(rover) -> None:
    faulty, sound = rover(*LANE, nerf="rover-unreliable"), rover(*LANE, nerf="none")
    lost = [seconds(faulty, 6, seed) - seconds(sound, 6, seed) for seed in range(6)]
    assert min(lost) > 0.05  # the latency of 0.1 s
    assert max(lost) > min(lost) + 0.1  # bursts of lost commands, by chance


def test_a_weak_rover_is_stuck_at_the_block_that_a_strong_one_pushes(rover) -> None:
    block = "B: {kind: block, mass: 6.0, friction: 0.45}"
    rows = ("########", "#S.B...#", "#C######", "########")
    env = rover(*rows, legend=block, nerf="rover-weak", horizon=120.0)
    env.reset(seed=0)
    assert env.step(EAST)[4]["nerf"]["outcome"] == "arrived"
    assert env.step(EAST)[4]["nerf"]["outcome"] == "stuck"
    assert env.nerfed.plant.cell == (1, 2)
    env = rover(*rows, legend=block, nerf="rover-weak", schedule="always", horizon=120.0)
    env.reset(seed=0)
    assert [env.step(EAST)[4]["nerf"]["outcome"] for _ in range(2)] == ["arrived", "arrived"]
    assert env.nerfed.plant.cell == (1, 3)


def test_a_move_that_takes_too_long_is_reported(rover) -> None:
    env = rover(*LANE, nerf="rover-slow", pace=Pace(time_out=0.2, times=0.1))
    env.reset(seed=0)
    _, _, _, _, info = env.step(EAST)
    assert info["nerf"]["outcome"] == "timed-out"
    assert env.nerfed.plant.cell == (1, 1)


def test_a_wall_costs_a_tick_and_no_contact(rover) -> None:
    env = rover(*LANE)
    env.reset(seed=0)
    steps = []
    env.on_step = steps.append
    _, _, _, _, info = env.step(WEST)
    assert info["nerf"]["outcome"] == "blocked"
    assert info["nerf"]["seconds"] == pytest.approx(env.grid_nerf.tick)
    assert not any(event.harm for step in steps for event in step.events)
    assert env.nerfed.plant.cell == (1, 1)
