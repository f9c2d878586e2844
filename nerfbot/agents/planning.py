"""A value iteration network's planning layer: learned rewards and passabilities of cells, solved by sweeps.

After Tamar et al. 2016, "Value Iteration Networks", with three changes that make it cheap. What a cell is
worth to enter and how well values pass through it are looked up by what the cell holds and where it lies, so
that no map of features is ever computed. Problems (a world and a channel each) are solved side by side in the
lanes of one vector, in sweeps that take up each cell's new value at once. And the gradient runs back along
the best paths alone, which is where the maximum sends it. One kernel source serves CPU and CUDA.
"""

# Warp compiles these functions; it needs every number's type spelled out, and annotations that are evaluated.

import functools
from typing import Any

import torch
import warp as wp
from torch import Tensor

from nerfbot.grid.codes import COLOUR_CODES, KINDS
from nerfbot.grid.device import start_warp

wp.set_module_options({"enable_backward": False})

THINGS = KINDS * COLOUR_CODES
"""Rows of the table by kind and colour together."""

SWEEPS = 12
"""Passes over the map, there and back in turn, at the most: a path may turn back on itself as often.

Values that grow on a circle (a reward that can be entered again and again) are cut off there too."""

SETTLED = wp.constant(wp.float32(1.0e-5))
"""A sweep that changes no value by more than this is the last."""

LONGEST = 64
"""Cells of a path along which a gradient runs."""

FADED = wp.constant(wp.float32(1.0e-5))
"""A gradient that has fallen to this share of itself is not followed further."""

LANES = {"cpu": 16, "cuda": 1}
"""Problems solved side by side by one thread: a processor's vectors hold as many, a GPU has the threads."""


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


@wp.func
def content_of(cells: wp.array(dtype=wp.uint8), at: wp.int32) -> wp.int32:
    """Row of the table of contents: a thing and a state together, the agent's bit left out."""
    return (wp.int32(cells[at + 2]) % 64) * 512 + wp.int32(cells[at]) * 16 + wp.int32(cells[at + 1])


@wp.struct
class Gradients:
    """Of the five tables, beside the maps that a path is followed on."""

    thing_reward: wp.array2d(dtype=wp.float32)
    state_reward: wp.array2d(dtype=wp.float32)
    place_reward: wp.array2d(dtype=wp.float32)
    thing_passing: wp.array2d(dtype=wp.float32)
    state_passing: wp.array2d(dtype=wp.float32)
    cells: wp.array(dtype=wp.uint8)
    passing: wp.array3d(dtype=wp.float32)
    value: wp.array3d(dtype=wp.float32)
    worth: wp.array3d(dtype=wp.float32)
    rows: wp.int32
    columns: wp.int32


@wp.func
def best_beside(g: Gradients, group: wp.int32, lane: wp.int32, cell: wp.int32) -> wp.int32:
    """The neighbour that is worth most."""
    best = cell + 1
    for direction in range(1, 4):
        near = cell + step_of(g.columns, direction)
        if g.worth[group, near, lane] > g.worth[group, best, lane]:
            best = near
    return best


@wp.func
def follow(
    g: Gradients,
    group: wp.int32,
    lane: wp.int32,
    channel: wp.int32,
    map: wp.int32,
    start: wp.int32,
    end: wp.int32,
    given: wp.float32,
) -> wp.float32:
    """Add a gradient along the best path from `start`, to before `end`; what of it arrives there."""
    weight = given
    cell = start
    least = FADED * wp.abs(given)
    for _i in range(LONGEST):
        if wp.abs(weight) <= least or cell == end:
            break
        content = content_of(g.cells, (map + cell) * 3)
        state = content // 512
        thing = content - state * 512
        wp.atomic_add(g.thing_reward, thing, channel, weight)
        wp.atomic_add(g.state_reward, state, channel, weight)
        wp.atomic_add(g.place_reward, cell, channel, weight)
        through = g.passing[group, cell, lane]
        slope = weight * g.value[group, cell, lane] * through * (wp.float32(1.0) - through)
        wp.atomic_add(g.thing_passing, thing, channel, slope)
        wp.atomic_add(g.state_passing, state, channel, slope)
        column = cell % g.columns
        inner = column > 0 and column < g.columns - 1
        if not inner or cell < g.columns or cell >= (g.rows - 1) * g.columns:
            weight = wp.float32(0.0)
            break
        weight = weight * through
        cell = best_beside(g, group, lane, cell)
    if cell != end:
        weight = wp.float32(0.0)
    return weight


@wp.kernel(enable_backward=False)
def send_back(
    g: Gradients,
    lanes: wp.int32,
    channels: wp.int32,
    agent: wp.array(dtype=wp.int32),
    gradient: wp.array2d(dtype=wp.float32),
):
    """Add the gradients of one problem: along the best paths behind the four moves.

    Most of them lead back through the agent's cell, and are one from there on.
    """
    problem = wp.tid()
    group = problem // lanes
    lane = problem - group * lanes
    world = problem // channels
    channel = problem - world * channels
    map = world * g.rows * g.columns
    place = agent[world]
    best = best_beside(g, group, lane, place)
    behind = wp.float32(0.0)
    ahead = wp.float32(0.0)
    for direction in range(4):
        cell = place + step_of(g.columns, direction)
        if cell == best:
            ahead = gradient[problem, direction]
        else:
            behind += follow(g, group, lane, channel, map, cell, place, gradient[problem, direction])
    ahead += follow(g, group, lane, channel, map, place, best, behind)
    follow(g, group, lane, channel, map, best, wp.int32(-1), ahead)


@functools.cache
def solver(lanes: int) -> tuple[Any, Any]:
    """The kernel that solves `lanes` problems at a time, and the vector type of its maps.

    Problems are numbered world by world, channel by channel; maps have the shape (groups, cells) of vectors.
    """
    vector = wp.types.vector(lanes, wp.float32)
    # The library's own maximum treats NaN with care that costs a third of the sweep.
    larger_of = f"""
    wp::vec_t<{lanes}, wp::float32> out;
    for (int i = 0; i < {lanes}; ++i) out[i] = a[i] > b[i] ? a[i] : b[i];
    return out;
    """

    @wp.func_native(larger_of)
    def larger(a: vector, b: vector) -> vector: ...  # type: ignore[valid-type]

    @wp.kernel(module="unique", enable_backward=False)
    def solve(
        cells: wp.array(dtype=wp.uint8),
        problems: wp.int32,
        rows: wp.int32,
        columns: wp.int32,
        channels: wp.int32,
        sweeps: wp.int32,
        content_reward: wp.array2d(dtype=wp.float32),
        content_passing: wp.array2d(dtype=wp.float32),
        place_reward: wp.array2d(dtype=wp.float32),
        reward: wp.array2d(dtype=vector),
        passing: wp.array2d(dtype=vector),
        value: wp.array2d(dtype=vector),
        worth: wp.array2d(dtype=vector),
        agent: wp.array(dtype=wp.int32),
        entered: wp.array2d(dtype=wp.float32),
    ):
        """Look up, sweep, and read what the agents' four moves are worth."""
        group = wp.tid()
        first = group * lanes
        count = rows * columns
        for cell in range(count):
            gain = vector()
            through = vector()
            for lane in range(lanes):
                problem = wp.min(first + lane, problems - 1)
                world = problem // channels
                channel = problem - world * channels
                at = (world * count + cell) * 3
                content = content_of(cells, at)
                gain[lane] = content_reward[content, channel] + place_reward[cell, channel]
                through[lane] = content_passing[content, channel]
                if cells[at + 2] >= wp.uint8(64):
                    agent[world] = cell
            reward[group, cell] = gain
            passing[group, cell] = through
            value[group, cell] = vector()
            worth[group, cell] = gain
        moved = wp.float32(1.0)
        for sweep in range(sweeps):
            if moved <= SETTLED:
                break
            changed = vector()
            cell = columns + 1
            ahead = wp.int32(1)
            if sweep % 2 == 1:
                cell = count - columns - 2
                ahead = wp.int32(-1)
            for _i in range(rows - 2):
                behind = worth[group, cell - ahead]
                for _j in range(columns - 2):
                    beside = larger(worth[group, cell - columns], worth[group, cell + columns])
                    most = larger(behind, larger(worth[group, cell + ahead], beside))
                    difference = most - value[group, cell]
                    changed = larger(changed, larger(difference, -difference))
                    value[group, cell] = most
                    behind = reward[group, cell] + wp.cw_mul(passing[group, cell], most)
                    worth[group, cell] = behind
                    cell += ahead
                cell += 2 * ahead
            moved = wp.max(changed)
        for lane in range(lanes):
            problem = first + lane
            if problem < problems:
                place = agent[problem // channels]
                for direction in range(4):
                    entered[problem, direction] = worth[group, place + step_of(columns, direction)][lane]

    return solve, vector


class Planned(torch.autograd.Function):
    """What each of an agent's four moves is worth, by planning on looked-up rewards and passabilities.

    `grid` uint8 (N, rows, columns, 3); tables float32 (rows of the table, channels): rewards by thing, state
    and place, and logits of passing by thing and state. Shape: (N, channels, 4), east, north, west, south.
    """

    @staticmethod
    def forward(ctx: Any, grid: Tensor, *tables: Tensor) -> Tensor:
        """Solve every world and channel."""
        start_warp()
        device = grid.device
        count, rows, columns = grid.shape[:3]
        things, states, places, passing_things, passing_states = (table.detach().float() for table in tables)
        channels = places.shape[1]
        problems = count * channels
        # A row for every thing in every state, so that the kernel neither adds nor takes exponentials.
        content_reward = (states[:64, None] + things).flatten(0, 1)
        content_passing = (passing_states[:64, None] + passing_things).flatten(0, 1).sigmoid_()
        lanes = LANES[device.type]
        solve, vector = solver(lanes)
        groups = -(-problems // lanes)
        flat = grid.contiguous().view(-1)
        maps = [torch.empty(groups, rows * columns, lanes, device=device) for _ in range(4)]
        agent = torch.zeros(count, dtype=torch.int32, device=device)
        entered = torch.empty(problems, 4, device=device)
        tables_given = (content_reward, content_passing, places.contiguous())
        given = [
            *(_given(flat), problems, rows, columns, channels, SWEEPS),
            *(_given(table) for table in tables_given),
            *(wp.from_torch(part, dtype=vector) for part in maps),
            *(_given(agent), _given(entered)),
        ]
        wp.launch(solve, groups, given, device=_device(grid))
        ctx.save_for_backward(flat, *maps[1:], agent)
        ctx.shape = (rows, columns, channels, lanes, [table.shape for table in tables])
        return entered.view(count, channels, 4)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tables."""
        flat, passing, value, worth, agent = ctx.saved_tensors
        rows, columns, channels, lanes, shapes = ctx.shape
        gradient = gradients[0].float().contiguous().view(-1, 4)
        found = [torch.zeros(shape, device=flat.device) for shape in shapes]
        g = Gradients()
        g.thing_reward, g.state_reward, g.place_reward = map(_given, found[:3])
        g.thing_passing, g.state_passing = map(_given, found[3:])
        g.cells, g.passing, g.value, g.worth = map(_given, (flat, passing, value, worth))
        g.rows, g.columns = rows, columns
        given = [g, lanes, channels, _given(agent), _given(gradient)]
        wp.launch(send_back, len(gradient), given, device=_device(flat))
        return (None, *found)


def _given(tensor: Tensor) -> Any:
    return wp.from_torch(tensor)


def _device(tensor: Tensor) -> Any:
    return wp.device_from_torch(tensor.device)
