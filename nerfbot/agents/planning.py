"""A value iteration network's planning layer: learned rewards and passabilities of cells, solved by sweeps.

After Tamar et al. 2016, "Value Iteration Networks", with two changes that make it cheap. What a cell is worth
to enter and how well values pass through it are looked up by what the cell holds and where it lies, so that
no map of features is ever computed. And the gradient runs back along the best paths alone, which is where the
maximum sends it. One kernel source serves CPU and CUDA.
"""

# Warp compiles these functions; it needs every number's type spelled out.

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor

wp.set_module_options({"enable_backward": False})

THINGS, STATES = 32 * 16, 128
"""Rows of the tables: by kind and colour together, by state."""

SWEEPS = 12
"""Passes over the map, there and back in turn, at the most: a path may turn back on itself as often.

Values that grow on a circle (a reward that can be entered again and again) are cut off there too."""

SETTLED = wp.constant(wp.float32(1.0e-5))
"""A sweep that changes no value by more than this is the last."""

LONGEST = 64
"""Cells of a path along which a gradient runs."""


@wp.func
def thing_at(cells: wp.array(dtype=wp.uint8), at: wp.int32) -> wp.int32:
    """Row of the table of things."""
    return wp.int32(cells[at]) * 16 + wp.int32(cells[at + 1])


@wp.func
def entering(
    reward: wp.array2d(dtype=wp.float32),
    passing: wp.array2d(dtype=wp.float32),
    value: wp.array2d(dtype=wp.float32),
    row: wp.int32,
    cell: wp.int32,
) -> wp.float32:
    """What entering a cell is worth."""
    return reward[row, cell] + passing[row, cell] * value[row, cell]


@wp.func
def step_of(columns: wp.int32, direction: wp.int32) -> wp.int32:
    """How far in cell numbers: east, north, west, south."""
    if direction == 0:
        return wp.int32(1)
    if direction == 1:
        return -columns
    if direction == 2:
        return wp.int32(-1)
    return columns


@wp.kernel
def solve(
    cells: wp.array(dtype=wp.uint8),
    rows: wp.int32,
    columns: wp.int32,
    channels: wp.int32,
    sweeps: wp.int32,
    thing_reward: wp.array2d(dtype=wp.float32),
    state_reward: wp.array2d(dtype=wp.float32),
    place_reward: wp.array2d(dtype=wp.float32),
    thing_passing: wp.array2d(dtype=wp.float32),
    state_passing: wp.array2d(dtype=wp.float32),
    reward: wp.array2d(dtype=wp.float32),
    passing: wp.array2d(dtype=wp.float32),
    value: wp.array2d(dtype=wp.float32),
    best: wp.array2d(dtype=wp.uint8),
    agent: wp.array(dtype=wp.int32),
    entered: wp.array2d(dtype=wp.float32),
):
    """One world and channel: look up, sweep, and read what the agent's four moves are worth."""
    row = wp.tid()
    world = row // channels
    channel = row - world * channels
    count = rows * columns
    place = wp.int32(0)
    for cell in range(count):
        at = (world * count + cell) * 3
        state = wp.int32(cells[at + 2])
        if state >= 64:
            place = cell
            state = state - 64
        thing = thing_at(cells, at)
        reward[row, cell] = (
            thing_reward[channel, thing] + state_reward[channel, state] + place_reward[channel, cell]
        )
        open_part = thing_passing[channel, thing] + state_passing[channel, state]
        passing[row, cell] = wp.float32(1.0) / (wp.float32(1.0) + wp.exp(-open_part))
        value[row, cell] = wp.float32(0.0)
        best[row, cell] = wp.uint8(0)
    agent[world] = place
    changed = wp.float32(1.0)
    for sweep in range(sweeps):
        if changed <= SETTLED:
            break
        changed = wp.float32(0.0)
        cell = columns + 1
        ahead = wp.int32(1)
        if sweep % 2 == 1:
            cell = count - columns - 2
            ahead = wp.int32(-1)
        for _i in range(rows - 2):
            for _j in range(columns - 2):
                east = entering(reward, passing, value, row, cell + 1)
                north = entering(reward, passing, value, row, cell - columns)
                west = entering(reward, passing, value, row, cell - 1)
                south = entering(reward, passing, value, row, cell + columns)
                most = wp.max(wp.max(east, north), wp.max(west, south))
                changed = wp.max(changed, wp.abs(most - value[row, cell]))
                value[row, cell] = most
                cell += ahead
            cell += 2 * ahead
    for i in range(columns + 1, count - columns - 1):
        most = entering(reward, passing, value, row, i + 1)
        chosen = wp.int32(0)
        for direction in range(1, 4):
            worth = entering(reward, passing, value, row, i + step_of(columns, direction))
            if worth > most:
                most = worth
                chosen = direction
        best[row, i] = wp.uint8(chosen)
    for direction in range(4):
        entered[row, direction] = entering(reward, passing, value, row, place + step_of(columns, direction))


@wp.kernel
def send_back(
    cells: wp.array(dtype=wp.uint8),
    rows: wp.int32,
    columns: wp.int32,
    channels: wp.int32,
    passing: wp.array2d(dtype=wp.float32),
    value: wp.array2d(dtype=wp.float32),
    best: wp.array2d(dtype=wp.uint8),
    agent: wp.array(dtype=wp.int32),
    gradient: wp.array2d(dtype=wp.float32),
    thing_reward: wp.array2d(dtype=wp.float32),
    state_reward: wp.array2d(dtype=wp.float32),
    place_reward: wp.array2d(dtype=wp.float32),
    thing_passing: wp.array2d(dtype=wp.float32),
    state_passing: wp.array2d(dtype=wp.float32),
):
    """Add the gradients of one world and channel, along the best path behind each of the four moves."""
    row = wp.tid()
    world = row // channels
    channel = row - world * channels
    count = rows * columns
    for direction in range(4):
        weight = gradient[row, direction]
        cell = agent[world] + step_of(columns, direction)
        for _i in range(LONGEST):
            if wp.abs(weight) > wp.float32(1.0e-9):
                at = (world * count + cell) * 3
                state = wp.int32(cells[at + 2]) % 64
                thing = thing_at(cells, at)
                wp.atomic_add(thing_reward, channel, thing, weight)
                wp.atomic_add(state_reward, channel, state, weight)
                wp.atomic_add(place_reward, channel, cell, weight)
                through = passing[row, cell]
                slope = weight * value[row, cell] * through * (wp.float32(1.0) - through)
                wp.atomic_add(thing_passing, channel, thing, slope)
                wp.atomic_add(state_passing, channel, state, slope)
                weight = weight * through
                column = cell % columns
                inner = column > 0 and column < columns - 1 and cell >= columns and cell < count - columns
                if inner:
                    cell = cell + step_of(columns, wp.int32(best[row, cell]))
                else:
                    weight = wp.float32(0.0)


class Planned(torch.autograd.Function):
    """What each of an agent's four moves is worth, by planning on looked-up rewards and passabilities.

    `grid` uint8 (N, rows, columns, 3); tables float32 (channels, rows of the table): rewards by thing, state
    and place, and logits of passing by thing and state. Shape: (N, channels, 4), east, north, west, south.
    """

    @staticmethod
    def forward(ctx: Any, grid: Tensor, *tables: Tensor) -> Tensor:
        """Solve every world and channel."""
        wp.init()
        count, rows, columns = grid.shape[:3]
        channels = tables[0].shape[0]
        flat = grid.contiguous().view(-1)
        maps = [torch.empty(count * channels, rows * columns, device=grid.device) for _ in range(3)]
        best = torch.empty(count * channels, rows * columns, dtype=torch.uint8, device=grid.device)
        agent = torch.empty(count, dtype=torch.int32, device=grid.device)
        entered = torch.empty(count * channels, 4, device=grid.device)
        held = [table.detach().float().contiguous() for table in tables]
        arrays = [flat, rows, columns, channels, SWEEPS, *held, *maps, best, agent, entered]
        wp.launch(solve, count * channels, [_given(value) for value in arrays], device=_device(grid))
        ctx.save_for_backward(flat, *maps[1:], best, agent)
        ctx.shape = (rows, columns, channels, [table.shape for table in tables])
        return entered.view(count, channels, 4)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tables."""
        flat, passing, value, best, agent = ctx.saved_tensors
        rows, columns, channels, shapes = ctx.shape
        gradient = gradients[0].float().contiguous().view(-1, 4)
        found = [torch.zeros(shape, device=flat.device) for shape in shapes]
        arrays = [flat, rows, columns, channels, passing, value, best, agent, gradient, *found]
        wp.launch(send_back, len(gradient), [_given(value) for value in arrays], device=_device(flat))
        return (None, *found)


def _given(value: Any) -> Any:
    return wp.from_torch(value) if isinstance(value, Tensor) else value


def _device(tensor: Tensor) -> Any:
    return wp.device_from_torch(tensor.device)
