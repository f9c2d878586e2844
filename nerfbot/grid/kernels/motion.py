"""A move into the next cell: what blocks it, what it pushes, and what it meets."""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import BLOCK, CHEST, COLOUR_CODES, FRAGILE, GATE, KEY, OBJECT, OPEN, WALL
from nerfbot.grid.kernels.cells import (
    clear,
    colour_at,
    distance_of,
    ground_kind,
    interior,
    is_body,
    is_relief,
    kind_at,
    put,
    state_at,
    thing_in,
)
from nerfbot.grid.kernels.command_path import cells_per_tick, push_force
from nerfbot.grid.kernels.contacts import CHANGED_BIT, CROSSED_BIT, open_chest, touch, use
from nerfbot.grid.kernels.roles import role_of
from nerfbot.grid.kernels.state import (
    BLOCKED,
    BODY_SPENT,
    KEY_SLOTS,
    SLOW,
    VANISHES,
    WEAK,
    LevelsRef,
    RulesRef,
    WorldsRef,
)

IMPACT_TIME = 0.1
"""Time over which an impact is summed, s, as on the simulated plant: the push after it counts too."""

# Typed here, because kernels evaluate expressions of plain numbers in single precision.
_IMPACT_TIME = wp.constant(wp.float64(IMPACT_TIME))
_WHOLE = wp.constant(wp.float64(1.0 - 1.0e-9))


@wp.func
def can_slide(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, target: int) -> bool:
    """Whether a body can be pushed into a cell."""
    if not interior(r, target) or is_body(kind_at(s, r, w, target)):
        return False
    return not is_relief(ground_kind(s, r, lv, w, target))


@wp.func
def slide(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, target: int, thing: int) -> int:
    """Push a body one cell on, with its mark of a goal that was reached; CHANGED_BIT if it has a role."""
    kind = kind_at(s, r, w, cell)
    colour = colour_at(s, r, w, cell)
    put(s, r, lv, w, target, kind, colour)
    if r[0].lasting_goals != 0:
        here = w * r[0].cells + cell
        there = w * r[0].cells + target
        body = wp.int32(s[0].spent[here]) & BODY_SPENT
        s[0].spent[there] = wp.uint8(wp.int32(s[0].spent[there]) | body)
    clear(s, r, lv, w, cell)
    if thing >= 0:
        s[0].thing_cell[w * r[0].things + thing] = target
    if role_of(r, kind, colour) != 0:
        return CHANGED_BIT
    return wp.int32(0)


@wp.func
def can_climb(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, command: int) -> bool:
    """Whether the drive can push up the slopes and edges on the way into the next cell."""
    if r[0].relief == 0:
        return True
    at = (s[0].level[w] * r[0].cells + s[0].cell[w]) * 4 + command - 1
    return r[0].force[wp.int32(lv[0].climb[at])] <= push_force(s, r, w)


@wp.func
def push_into(
    s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, command: int, cell: int, speed: wp.float64
) -> int:
    """Run into a block, a fragile object or a chest; bits of the result."""
    kind = kind_at(s, r, w, cell)
    colour = colour_at(s, r, w, cell)
    contacts = touch(s, r, lv, w, cell, kind, colour)
    if kind == CHEST:
        if s[0].keys[w * KEY_SLOTS + colour] > wp.uint8(0):
            contacts = contacts | open_chest(s, r, lv, w, cell, 1)
        return contacts | BLOCKED
    thing = thing_in(s, r, w, cell)
    needed = wp.float64(0.0)
    if thing >= 0:
        at = s[0].level[w] * r[0].things + thing
        needed = lv[0].thing_a[at]
        if kind == FRAGILE:
            needed = lv[0].thing_c[at]
            if s[0].pushing[w] != command:
                impulse = speed * r[0].body_mass * lv[0].thing_b[at] / (r[0].body_mass + lv[0].thing_b[at])
                impulse = impulse + needed * _IMPACT_TIME
                if impulse > lv[0].thing_a[at]:
                    s[0].impulse[w] = s[0].impulse[w] + impulse
                    s[0].impacts[w] = s[0].impacts[w] + 1
                    s[0].tick_reward[w] = s[0].tick_reward[w] + r[0].impulse_value * wp.float32(impulse)
            s[0].pushing[w] = command
    if needed > push_force(s, r, w):
        return contacts | WEAK
    target = cell + distance_of(r, command)
    if not can_slide(s, r, lv, w, target):
        return contacts | BLOCKED
    return contacts | slide(s, r, lv, w, cell, target, thing) | CROSSED_BIT


@wp.func
def cross_into(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, command: int, speed: wp.float64) -> int:
    """Try to move into the next cell; bits of reasons and contacts, and CROSSED_BIT if it moved."""
    cell = s[0].cell[w] + distance_of(r, command)
    kind = kind_at(s, r, w, cell)
    if not interior(r, cell):
        return BLOCKED
    if kind == WALL or (kind == GATE and (state_at(s, r, w, cell) & OPEN) == 0):
        if s[0].phasing[w] == 0:
            return BLOCKED
    if not can_climb(s, r, lv, w, command):
        return WEAK
    result = wp.int32(CROSSED_BIT)
    if kind == BLOCK or kind == FRAGILE or kind == CHEST:
        result = push_into(s, r, lv, w, command, cell, speed)
    elif kind == KEY or kind >= OBJECT:
        colour = colour_at(s, r, w, cell)
        result = result | touch(s, r, lv, w, cell, kind, colour)
        if kind == KEY:
            result = result | use(s, r, lv, w, cell, KEY, colour)
            slot = w * KEY_SLOTS + colour
            s[0].keys[slot] = wp.uint8(wp.min(wp.int32(s[0].keys[slot]) + 1, 255))
            clear(s, r, lv, w, cell)
        elif (wp.int32(r[0].touch_role[kind * COLOUR_CODES + colour]) & VANISHES) != 0:
            clear(s, r, lv, w, cell)
            result = result | CHANGED_BIT
    if (result & CROSSED_BIT) != 0:
        s[0].cell[w] = cell
    return result


@wp.func
def move(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, command: int) -> int:
    """Drive for one tick; bits of the result."""
    result = wp.int32(0)
    if command != s[0].last[w]:
        s[0].pushing[w] = 0
    s[0].last[w] = command
    if command == 0:
        return result
    if command != s[0].progress_move[w]:
        s[0].progress[w] = wp.float64(0.0)
        s[0].progress_move[w] = command
    rate = wp.float64(1.0)
    if r[0].slow != 0:
        rate = cells_per_tick(s, r, w)
    if rate < wp.float64(1.0):
        s[0].progress[w] = s[0].progress[w] + rate
        if s[0].progress[w] < _WHOLE:
            return SLOW
        s[0].progress[w] = wp.max(wp.float64(0.0), s[0].progress[w] - wp.float64(1.0))
    result = cross_into(s, r, lv, w, command, wp.min(rate, wp.float64(1.0)) * r[0].top_speed)
    if (result & CROSSED_BIT) == 0:
        s[0].progress[w] = wp.float64(0.0)
    return result
