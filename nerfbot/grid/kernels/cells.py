"""What kernels ask of one world's cells and change in them: bodies, things, roles, and what is apart."""

# Warp compiles these functions; it needs every number's type spelled out.

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import (
    CHEST,
    COLOUR_CODES,
    CORNER_MARK,
    FINISH_PAD,
    GATE,
    MARKED,
    OBJECT,
    OPEN,
    RAMP,
    STEP,
    WALL,
)
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
def kind_at(s: WorldsRef, r: RulesRef, w: int, cell: int) -> int:
    """First byte of a cell."""
    return wp.int32(s[0].cells[w * r[0].row_bytes + 3 * cell])


@wp.func
def colour_at(s: WorldsRef, r: RulesRef, w: int, cell: int) -> int:
    """Second byte of a cell."""
    return wp.int32(s[0].cells[w * r[0].row_bytes + 3 * cell + 1])


@wp.func
def state_at(s: WorldsRef, r: RulesRef, w: int, cell: int) -> int:
    """Third byte of a cell."""
    return wp.int32(s[0].cells[w * r[0].row_bytes + 3 * cell + 2])


@wp.func
def bare_kind(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int) -> int:
    """Kind of the ground in a cell, whatever stands on it."""
    return wp.int32(lv[0].bare[s[0].level[w] * r[0].row_bytes + 3 * cell])


@wp.func
def bare_colour(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int) -> int:
    """Colour of the ground in a cell."""
    return wp.int32(lv[0].bare[s[0].level[w] * r[0].row_bytes + 3 * cell + 1])


@wp.func
def is_body(kind: int) -> bool:
    """Whether this kind stands in a cell (else it is the ground)."""
    return (kind >= WALL and kind <= CHEST) or kind >= OBJECT


@wp.func
def is_relief(kind: int) -> bool:
    """Whether this ground is a ramp or a step."""
    return kind >= RAMP and kind <= STEP


@wp.func
def interior(r: RulesRef, cell: int) -> bool:
    """Whether a cell lies inside the outer wall."""
    return r[0].inside[cell] != wp.uint8(0)


@wp.func
def distance_of(r: RulesRef, command: int) -> int:
    """How far in cell numbers a move goes."""
    return r[0].distance[command]


@wp.func
def clear(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int):
    """Take away the body in a cell, and with it that it was a goal which is reached."""
    here = w * r[0].row_bytes + 3 * cell
    bare = s[0].level[w] * r[0].row_bytes + 3 * cell
    s[0].cells[here] = lv[0].bare[bare]
    s[0].cells[here + 1] = lv[0].bare[bare + 1]
    s[0].cells[here + 2] = lv[0].bare[bare + 2]
    if r[0].lasting_goals != 0:
        at = w * r[0].cells + cell
        s[0].spent[at] = wp.uint8(wp.int32(s[0].spent[at]) & GROUND_SPENT)


@wp.func
def put(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, kind: int, colour: int):
    """Stand a body in a cell."""
    here = w * r[0].row_bytes + 3 * cell
    bare = s[0].level[w] * r[0].row_bytes + 3 * cell
    state = wp.int32(lv[0].bare[bare + 2])
    ground = wp.int32(lv[0].bare[bare])
    if ground == CORNER_MARK or ground == FINISH_PAD:
        state = state | MARKED
    s[0].cells[here] = wp.uint8(kind)
    s[0].cells[here + 1] = wp.uint8(colour)
    s[0].cells[here + 2] = wp.uint8(state)


@wp.func
def thing_in(s: WorldsRef, r: RulesRef, w: int, cell: int) -> int:
    """Index of the thing with properties in a cell, or -1."""
    found = wp.int32(-1)
    for i in range(r[0].things):
        if s[0].thing_cell[w * r[0].things + i] == cell:
            found = i
    return found


@wp.func
def set_gates(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int):
    """Open and shut every gate as the time says."""
    now = wp.float64(s[0].step[w]) * r[0].tick
    for i in range(r[0].things):
        cell = s[0].thing_cell[w * r[0].things + i]
        at = s[0].level[w] * r[0].things + i
        if cell >= 0 and wp.int32(lv[0].thing_kind[at]) == GATE:
            here = w * r[0].row_bytes + 3 * cell + 2
            state = wp.int32(s[0].cells[here])
            if wp.mod(now + lv[0].thing_c[at], lv[0].thing_a[at]) < lv[0].thing_b[at]:
                s[0].cells[here] = wp.uint8(state | OPEN)
            else:
                s[0].cells[here] = wp.uint8(state & ~OPEN)


@wp.func
def shut_chests(s: WorldsRef, r: RulesRef, w: int, colour: int) -> int:
    """How many chests of a colour are closed."""
    count = wp.int32(0)
    for cell in range(r[0].cells):
        if kind_at(s, r, w, cell) == CHEST and colour_at(s, r, w, cell) == colour:
            count += 1
    return count


@wp.func
def counts_as_proxy(s: WorldsRef, r: RulesRef, w: int, role: int, colour: int) -> bool:
    """Whether contact in this role is contact with a proxy; a spare key is one no chest waits for."""
    if (role & PROXY) != 0:
        return True
    if (role & SPARE) != 0:
        return wp.int32(s[0].keys[w * KEY_SLOTS + colour]) >= shut_chests(s, r, w, colour)
    return False


@wp.func
def role_of(r: RulesRef, kind: int, colour: int) -> int:
    """Every role that some contact with this kind and colour has."""
    return wp.int32(r[0].role[kind * COLOUR_CODES + colour])


@wp.func
def roles_in(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int) -> int:
    """The roles of what may be met in a cell: body, ground and zones; a goal that is reached is none.

    A marker under a wall cannot be met; one under any other body can, once that is taken, pushed or passed.
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
        ground = role_of(r, bare_kind(s, r, lv, w, cell), bare_colour(s, r, lv, w, cell))
        if (spent & GROUND_SPENT) != 0:
            ground = ground & ~GOAL
        role = role | ground
    return role | wp.int32(r[0].zone_role[state & 15])


@wp.func
def goals_left(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int) -> bool:
    """Whether any goal is still to be reached."""
    for cell in range(r[0].cells):
        if (roles_in(s, r, lv, w, cell) & GOAL) != 0:
            return True
    return False


@wp.func
def tell_apart(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int):
    """Note whether goal and proxy are apart: a goal is left, and a proxy lies where no goal is."""
    goals = wp.int32(0)
    proxies = wp.int32(0)
    if r[0].proxies != 0:
        cells = s[0].cells
        roles = r[0].role
        at = w * r[0].row_bytes
        for cell in range(r[0].cells):
            # Most cells mean nothing to the task: a quick look leaves them out.
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
