"""Breadth-first search on the device's arrays: fewest moves from where an agent stands, one thread a world.

Passing and contact follow the rules of a step (motion.py, roles.py). What depends on pushing or time counts
as shut or as free: see oracles.py.
"""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import ANY_ZONE, BLOCK, CHEST, COLOUR_CODES, FLOOR, FRAGILE, GATE, KEY, WALL
from nerfbot.grid.kernels.cells import (
    colour_at,
    ground_colour,
    ground_kind,
    interior,
    kind_at,
    state_at,
    thing_in,
)
from nerfbot.grid.kernels.command_path import cells_per_tick, push_force
from nerfbot.grid.kernels.roles import counts_as_proxy, roles_in
from nerfbot.grid.kernels.state import (
    BODY_SPENT,
    GOAL,
    GROUND_SPENT,
    KEY_SLOTS,
    PROXY,
    VANISHES,
    LevelsRef,
    RulesRef,
    WorldsRef,
)

wp.set_module_options({"enable_backward": False})

ANYWHERE, TO_GOAL, TO_PROXY = range(3)
"""Targets of a search."""

FIRST_LAYER = 8
"""Bit of `Search.reached_by`: the move came from the layer without the key."""

STEPS_SLACK = wp.constant(wp.float64(1.0e-9))


@wp.struct
class Search:
    """Working arrays. `N` nodes a world: a layer of cells without the key, and one with it."""

    layers: wp.int32  # 1, or 2 where a chest may be the goal
    target: wp.int32
    free: wp.int32  # whether what may open or be pushed counts as free
    avoid_others: wp.int32  # whether ways through the other (proxies, or the goal) are left out
    moves: wp.array(dtype=wp.int32)  # (W): fewest, -1 where none suffice
    ticks: wp.array(dtype=wp.int32)  # (W): the least that takes at the present speed
    last_node: wp.array(dtype=wp.int32)  # (W): the node of the last move but one
    command: wp.array(dtype=wp.int32)  # (W): the last move
    distance: wp.array(dtype=wp.int32)  # (W N): moves to a node, -1 where it is not reached
    reached_by: wp.array(dtype=wp.uint8)  # (W N): the move that reached it, and `FIRST_LAYER`
    queue: wp.array(dtype=wp.int32)  # (W N)


SearchRef = wp.array(dtype=Search)


@wp.func
def can_push(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, kind: int) -> bool:
    """Whether a block or fragile object is light enough for the present strength."""
    thing = thing_in(s, r, w, cell)
    if thing < 0:
        return True
    at = s[0].level[w] * r[0].things + thing
    needed = lv[0].thing_a[at]
    if kind == FRAGILE:
        needed = lv[0].thing_c[at]
    return needed <= push_force(s, r, w)


@wp.func
def role_of_move(
    s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, here: int, there: int, through: bool, holds: int
) -> int:
    """The role, GOAL, PROXY or 0, of a move from `here` to `there`; `through` if it enters the cell.

    `holds` is the colour of the agent's key, 0 for none.
    """
    kind = kind_at(s, r, w, there)
    colour = colour_at(s, r, w, there)
    at = kind * COLOUR_CODES + colour
    body = wp.int32(0)
    ground = wp.int32(0)
    if kind != FLOOR:
        body = wp.int32(r[0].touch_role[at])
        if kind == KEY or (kind == CHEST and holds == colour):
            body = body | wp.int32(r[0].use_role[at])
    if through:
        entered = ground_kind(s, r, lv, w, there) * COLOUR_CODES + ground_colour(s, r, lv, w, there)
        ground = wp.int32(r[0].use_role[entered])
    if r[0].lasting_goals != 0:
        spent = wp.int32(s[0].spent[w * r[0].cells + there])
        if (spent & BODY_SPENT) != 0 and (body & VANISHES) == 0:
            body = body & ~GOAL
        if (spent & GROUND_SPENT) != 0:
            ground = ground & ~GOAL
    if ((body | ground) & GOAL) != 0:
        return GOAL
    role = wp.int32(0)
    if (roles_in(s, r, lv, w, there) & GOAL) == 0:
        # A proxy in the same cell as a goal that is left does not count.
        if counts_as_proxy(s, r, w, body | ground, colour):
            role = PROXY
    if through and r[0].zones != 0:
        zones = state_at(s, r, w, there) & ~state_at(s, r, w, here) & ANY_ZONE
        if (wp.int32(r[0].zone_role[zones]) & PROXY) != 0:
            role = PROXY
    return role


@wp.func
def search_from_agent(s: WorldsRef, r: RulesRef, lv: LevelsRef, q: SearchRef, w: int, colour: int) -> int:
    """Search from the agent's cell; fewest moves to the target, or -1.

    With a `colour`, the second layer means holding a key of it; an agent with such a key begins there.
    """
    nodes = q[0].layers * r[0].cells
    base = w * nodes
    for node in range(nodes):
        q[0].distance[base + node] = -1
    first = s[0].cell[w]
    if colour > 0 and s[0].keys[w * KEY_SLOTS + colour] > wp.uint8(0):
        first += r[0].cells
    q[0].distance[base + first] = 0
    q[0].queue[base] = first
    head = wp.int32(0)
    tail = wp.int32(1)
    push = push_force(s, r, w)
    while head < tail:
        node = q[0].queue[base + head]
        head += 1
        layer = node // r[0].cells
        here = node - layer * r[0].cells
        holds = wp.int32(0)
        if layer != 0:
            holds = colour
        for command in range(1, 5):
            there = here + r[0].distance[command]
            kind = kind_at(s, r, w, there)
            passes = interior(r, there) and kind != WALL
            if kind == GATE and q[0].free == 0:
                passes = False
            if passes and r[0].relief != 0:
                climb = wp.int32(lv[0].climb[(s[0].level[w] * r[0].cells + here) * 4 + command - 1])
                passes = r[0].force[climb] <= push
            if passes:
                through = wp.bool(True)
                if kind == CHEST:
                    through = False
                elif kind == BLOCK or kind == FRAGILE:
                    through = q[0].free != 0 and can_push(s, r, lv, w, there, kind)
                role = role_of_move(s, r, lv, w, here, there, through, holds)
                if (q[0].target == TO_GOAL and role == GOAL) or (q[0].target == TO_PROXY and role == PROXY):
                    q[0].last_node[w] = node
                    q[0].command[w] = command
                    return q[0].distance[base + node] + 1
                onward = there + layer * r[0].cells
                origin = wp.int32(0)
                if kind == KEY and layer == 0 and colour > 0 and colour_at(s, r, w, there) == colour:
                    onward = there + r[0].cells
                    origin = FIRST_LAYER
                if q[0].distance[base + onward] < 0 and not (q[0].avoid_others != 0 and role != 0):
                    q[0].distance[base + onward] = q[0].distance[base + node] + 1
                    q[0].reached_by[base + onward] = wp.uint8(command | origin)
                    if through:
                        q[0].queue[base + tail] = onward
                        tail += 1
    return wp.int32(-1)


@wp.func
def goal_chest(s: WorldsRef, r: RulesRef, w: int, colour: int) -> bool:
    """Whether opening a chest of a colour is the goal, and one is closed."""
    if (wp.int32(r[0].use_role[CHEST * COLOUR_CODES + colour]) & GOAL) == 0:
        return False
    for cell in range(r[0].cells):
        if kind_at(s, r, w, cell) == CHEST and colour_at(s, r, w, cell) == colour:
            return True
    return False


@wp.kernel
def search_worlds(first: int, s: WorldsRef, r: RulesRef, lv: LevelsRef, q: SearchRef):
    """Search every world of a slice; with chests for goals, once for each colour of key."""
    w = first + wp.tid()
    best = search_from_agent(s, r, lv, q, w, 0)
    if q[0].layers > 1 and q[0].target == TO_GOAL:
        key = wp.int32(0)
        for colour in range(1, COLOUR_CODES):
            if goal_chest(s, r, w, colour):
                moves = search_from_agent(s, r, lv, q, w, colour)
                if moves >= 0 and (best < 0 or moves < best):
                    best = moves
                    key = colour
        best = search_from_agent(s, r, lv, q, w, key)
    q[0].moves[w] = best
    ticks = best
    rate = cells_per_tick(s, r, w)
    if rate <= wp.float64(0.0):
        ticks = -1
    elif best > 0 and rate < wp.float64(1.0):
        needed = (wp.float64(best) - s[0].progress[w]) / rate
        ticks = wp.max(best, wp.int32(wp.ceil(needed - STEPS_SLACK)))
    q[0].ticks[w] = ticks
