from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from nerfbot.agents import planning as layer
from nerfbot.agents.heads import CategoricalHead
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.planning import THINGS, Planned
from nerfbot.grid.codes import STATES

ROWS, COLUMNS = 6, 7
FLOOR, WALL, COIN, AGENT = 1, 2, 16, 64


def maps(count, seed):
    """Random mazes with an outer wall, a coin and an agent."""
    rng = np.random.default_rng(seed)
    grid = np.zeros((count, ROWS, COLUMNS, 3), np.uint8)
    grid[..., 0] = WALL
    inner = np.where(rng.random((count, ROWS - 2, COLUMNS - 2)) < 0.25, WALL, FLOOR)
    grid[:, 1:-1, 1:-1, 0] = inner
    for world in range(count):
        cells = rng.permutation((ROWS - 2) * (COLUMNS - 2))[:2]
        (coin, agent) = [(1 + cell // (COLUMNS - 2), 1 + cell % (COLUMNS - 2)) for cell in cells]
        grid[(world, *coin)] = COIN, 5, 0
        grid[(world, *agent)] = FLOOR, 0, AGENT
    return torch.from_numpy(grid)


def tables(channels, seed):
    """Small costs everywhere and a coin worth having once, so that best paths are finite; walls shut."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(rows, scale):
        return torch.randn(rows, channels, generator=generator) * scale

    reward = drawn(THINGS, 0.02) - 0.05
    reward[COIN * 16 + 5] = 1.0
    passing = drawn(THINGS, 0.3) + 1.0
    passing[WALL * 16] = -4.0
    passing[COIN * 16 + 5] = -6.0
    found = [reward, drawn(STATES, 0.01), drawn(ROWS * COLUMNS, 0.02), passing, drawn(STATES, 0.1)]
    return [table.requires_grad_() for table in found]


def literal(grid, reward_thing, reward_state, reward_place, passing_thing, passing_state):
    """Value iteration on whole maps in torch, many rounds, differentiated by torch itself."""
    reward_thing, reward_state, reward_place, passing_thing, passing_state = (
        table.T for table in (reward_thing, reward_state, reward_place, passing_thing, passing_state)
    )
    cells = grid.long()
    thing, state = cells[..., 0] * 16 + cells[..., 1], cells[..., 2] % AGENT
    reward = reward_thing[:, thing] + reward_state[:, state] + reward_place.reshape(-1, 1, ROWS, COLUMNS)
    passing = torch.sigmoid(passing_thing[:, thing] + passing_state[:, state])
    value = torch.zeros_like(reward)
    for _ in range(80):
        worth = reward + passing * value
        inner = torch.stack(
            [worth[..., 1:-1, 2:], worth[..., :-2, 1:-1], worth[..., 1:-1, :-2], worth[..., 2:, 1:-1]]
        ).amax(0)
        value = torch.nn.functional.pad(inner, (1, 1, 1, 1))
    worth = reward + passing * value
    agent = (cells[..., 2] >= AGENT).flatten(1).int().argmax(1)
    row, column = agent // COLUMNS, agent % COLUMNS
    world = torch.arange(len(grid))
    near = [(row, column + 1), (row - 1, column), (row, column - 1), (row + 1, column)]
    return torch.stack([worth[:, world, down, right] for down, right in near], -1).transpose(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_planning_agrees_with_value_iteration_and_its_gradient(channels):
    grid, weights = (
        maps(40, channels),
        torch.randn(40, channels, 4, generator=torch.Generator().manual_seed(1)),
    )
    mine, theirs = tables(channels, 2), tables(channels, 2)
    found, wanted = Planned.apply(grid, *mine), literal(grid, *theirs)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    for own, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=2e-3, rtol=2e-3)


def test_a_planning_policy_starts_by_going_where_its_values_point():
    box = spaces.Box(0, 255, (ROWS, COLUMNS, 3), np.uint8)
    config = NetworkConfig(kind="planning", hidden=(), channels=1, embedding=4)
    network = ActorCritic({"grid": box}, CategoricalHead(5), config)
    with torch.no_grad():
        network.encoder.map.place_reward[1 * COLUMNS + COLUMNS - 2, 0] = 5.0  # the north-eastern corner
    grid = torch.ones(1, ROWS, COLUMNS, 3, dtype=torch.uint8) * torch.tensor([FLOOR, 0, 0], dtype=torch.uint8)
    grid[0, 4, 1, 2] = AGENT
    policy = network({"grid": grid}).policy[0]
    # Actions are stay, east, north, west, south.
    assert min(policy[1], policy[2]) > max(policy[0], policy[3], policy[4]) + 0.5


def test_the_predicted_reward_is_that_of_the_cell_a_move_leads_to_and_none_for_anything_else():
    box = spaces.Box(0, 255, (ROWS, COLUMNS, 3), np.uint8)
    config = NetworkConfig(kind="planning", hidden=(), channels=2, embedding=4, place_gain=3.0)
    network = ActorCritic({"grid": box}, CategoricalHead(9), config)
    planning = network.encoder.map
    grid = maps(20, 5)
    with torch.no_grad():
        planning.place_reward.copy_(torch.randn(planning.place_reward.shape))
        planning.state_reward.copy_(torch.randn(planning.state_reward.shape))
        planning.scale.copy_(torch.tensor([2.0, -1.0]))
        planning.shift.copy_(torch.tensor([0.5, 0.1]))
        reward, _ = planning.tables()
        action = torch.randint(9, (20,))
        told = network.predicted_reward({"grid": grid}, action)
        for world in range(20):
            if action[world] in (0, 5, 6, 7, 8):
                assert told[world].isnan().all()
                continue
            cell = int((grid[world, :, :, 2] >= AGENT).flatten().int().argmax())
            cell += [0, 1, -COLUMNS, -1, COLUMNS][int(action[world])]
            kind, colour, state = grid[world].flatten(0, 1)[cell].long().tolist()
            planned = reward[kind * 16 + colour] + planning.state_reward[state % 64]
            planned = planned + 3.0 * planning.place_reward[cell]
            torch.testing.assert_close(told[world], planned * planning.scale + planning.shift)


@pytest.mark.parametrize("count", [1, 5, 16, 17])
def test_problems_side_by_side_do_not_touch_one_another(count):
    grid, given = maps(count, 7), tables(3, 8)
    together = Planned.apply(grid, *given)
    alone = torch.cat([Planned.apply(world.unsqueeze(0), *given) for world in grid])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_the_reward_map_says_of_each_cell_what_a_move_there_is_predicted_to_bring():
    box = spaces.Box(0, 255, (ROWS, COLUMNS, 3), np.uint8)
    config = NetworkConfig(kind="planning", hidden=(), channels=2, embedding=4, place_gain=3.0)
    network = ActorCritic({"grid": box}, CategoricalHead(5), config)
    planning, grid = network.encoder.map, maps(30, 6)
    with torch.no_grad():
        for table in (planning.place_reward, planning.state_reward, planning.scale, planning.shift):
            table.copy_(torch.randn(table.shape))
        action = torch.randint(1, 5, (30,))
        told = network.predicted_reward({"grid": grid}, action).mean(1)
        cell = (grid[:, :, :, 2] >= AGENT).flatten(1).int().argmax(1)
        cell = cell + torch.tensor([0, 1, -COLUMNS, -1, COLUMNS])[action]
        expected = planning.reward_map(grid)[torch.arange(30), cell]
    torch.testing.assert_close(told, expected)


@pytest.mark.parametrize("lanes", [1, 4])
def test_how_many_problems_lie_side_by_side_changes_nothing(lanes, monkeypatch):
    """One a thread is how a GPU solves them."""
    grid, weights = maps(9, 3), torch.randn(9, 3, 4, generator=torch.Generator().manual_seed(1))
    found = []
    for number in (16, lanes):
        monkeypatch.setitem(layer.LANES, "cpu", number)
        given = tables(3, 2)
        worth = Planned.apply(grid, *given)
        (worth * weights).sum().backward()
        found.append([worth.detach(), *(table.grad for table in given)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
