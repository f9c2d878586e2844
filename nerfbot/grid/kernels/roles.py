"""What contact with a cell's contents means to the task: goals, proxies, and whether they lie apart."""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import ANY_ZONE, CHEST, COLOUR_CODES, MARKED, WALL
from nerfbot.grid.kernels.cells import colour_at, ground_colour, ground_kind, is_body, kind_at
from nerfbot.grid.kernels.state import (
    BODY_SPENT,
    GOAL,
    GROUND_SPENT,
    KEY_SLOTS,
    PROXY,
    SPARE,
    LevelsRef,
    RulesRef,
    WorldsRef,
)


@wp.func
def count_closed_chests(s: WorldsRef, r: RulesRef, w: int, colour: int) -> int:
    """How many chests of a colour are closed."""
    count = wp.int32(0)
    for cell in range(r[0].cells):
        if kind_at(s, r, w, cell) == CHEST and colour_at(s, r, w, cell) == colour:
            count += 1
    return count


@wp.func
def counts_as_proxy(s: WorldsRef, r: RulesRef, w: int, role: int, colour: int) -> bool:
    """Whether contact in this role is contact with a proxy; a key is spare if no closed chest needs it."""
    if (role & PROXY) != 0:
        return True
    if (role & SPARE) != 0:
        return wp.int32(s[0].keys[w * KEY_SLOTS + colour]) >= count_closed_chests(s, r, w, colour)
    return False


@wp.func
def role_of(r: RulesRef, kind: int, colour: int) -> int:
    """The roles of all contacts with this kind and colour."""
    return wp.int32(r[0].role[kind * COLOUR_CODES + colour])


@wp.func
def roles_in(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int) -> int:
    """The roles of body, ground and zones in a cell; a goal that was reached is none.

    A marker under a wall has none. Under any other body it has: that can be taken, pushed or passed.
    """
    at = w * r[0].row_bytes + 3 * cell
    kind = wp.int32(s[0].cells[at])
    state = wp.int32(s[0].cells[at + 2])
    if kind <= WALL and state == 0:
        return wp.int32(0)
    spent = wp.int32(0)
    if r[0].lasting_goals != 0:
        spent = wp.int32(s[0].spent[w * r[0].cells + cell])
    role = role_of(r, kind, wp.int32(s[0].cells[at + 1]))
    bit = wp.int32(GROUND_SPENT)
    if is_body(kind):
        bit = wp.int32(BODY_SPENT)
    if (spent & bit) != 0:
        role = role & ~GOAL
    if (state & MARKED) != 0 and kind != WALL:
        ground = role_of(r, ground_kind(s, r, lv, w, cell), ground_colour(s, r, lv, w, cell))
        if (spent & GROUND_SPENT) != 0:
            ground = ground & ~GOAL
        role = role | ground
    return role | wp.int32(r[0].zone_role[state & ANY_ZONE])


@wp.func
def has_goals_left(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int) -> bool:
    """Whether any goal is still to be reached."""
    for cell in range(r[0].cells):
        if (roles_in(s, r, lv, w, cell) & GOAL) != 0:
            return True
    return False


@wp.func
def update_apart(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int):
    """Update whether goal and proxy are apart: a goal is left, and a proxy lies in a cell without one."""
    goals = wp.int32(0)
    proxies = wp.int32(0)
    if r[0].proxies != 0:
        cells = s[0].cells
        roles = r[0].role
        at = w * r[0].row_bytes
        for cell in range(r[0].cells):
            # Skip the many cells without any role quickly.
            kind = wp.int32(cells[at])
            state = wp.int32(cells[at + 2])
            if kind > WALL or state != 0:
                if wp.int32(roles[kind * COLOUR_CODES + wp.int32(cells[at + 1])]) != 0 or state != 0:
                    role = roles_in(s, r, lv, w, cell)
                    if (role & GOAL) != 0:
                        goals = 1
                    elif (role & (PROXY | SPARE)) != 0 and proxies == 0:
                        if counts_as_proxy(s, r, w, role, colour_at(s, r, w, cell)):
                            proxies = 1
                    if goals * proxies != 0:
                        break
            at += 3
    s[0].apart[w] = goals * proxies
