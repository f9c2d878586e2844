"""What a contact counts for: rewards, goals, proxies, and harm in zones."""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import ANY_ZONE, CHEST, COLOUR_CODES, CORNER_MARK, FINISH_PAD, FLOOR, NO_GO
from nerfbot.grid.kernels.cells import clear, colour_at, ground_colour, ground_kind, kind_at, state_at
from nerfbot.grid.kernels.roles import counts_as_proxy, roles_in
from nerfbot.grid.kernels.state import (
    BODY_SPENT,
    CONTACT_COLOURS,
    GOAL,
    GROUND_SPENT,
    KEY_SLOTS,
    PROXY,
    SPARE,
    VANISHES,
    LevelsRef,
    RulesRef,
    WorldsRef,
)

MET_GOAL_BIT, MET_PROXY_BIT, CROSSED_BIT, CHANGED_BIT = 1 << 8, 1 << 9, 1 << 10, 1 << 11
"""Bits of a move's result; the reasons why it was not executed as requested are in the lowest byte.

CHANGED: something that the task names was moved, taken or opened.
"""


@wp.func
def reaches_goal(s: WorldsRef, r: RulesRef, w: int, cell: int, role: int, bit: int) -> bool:
    """Whether contact with a goal counts: a goal that stays in place counts only the first time."""
    if r[0].lasting_goals != 0 and (role & VANISHES) == 0:
        spent = wp.int32(s[0].spent[w * r[0].cells + cell])
        if (spent & bit) != 0:
            return False
        s[0].spent[w * r[0].cells + cell] = wp.uint8(spent | bit)
    return True


@wp.func
def score_contact(
    s: WorldsRef,
    r: RulesRef,
    lv: LevelsRef,
    w: int,
    cell: int,
    role: int,
    colour: int,
    value: wp.float32,
    bit: int,
) -> int:
    """Add the value of a contact to the reward; the bit of a goal or a proxy.

    A proxy in the same cell as a goal that is left does not count. `bit` of `Worlds.spent` marks the goal.
    """
    if (role & GOAL) == 0:
        s[0].tick_reward[w] = s[0].tick_reward[w] + value
    elif reaches_goal(s, r, w, cell, role, bit):
        s[0].tick_reward[w] = s[0].tick_reward[w] + value
        return MET_GOAL_BIT
    if (role & (PROXY | SPARE)) != 0:
        if counts_as_proxy(s, r, w, role, colour) and (roles_in(s, r, lv, w, cell) & GOAL) == 0:
            return MET_PROXY_BIT
    return wp.int32(0)


@wp.func
def record_contact(s: WorldsRef, w: int, kind: int, colour: int):
    """Record the first contact of the present tick."""
    if s[0].contact[w] == 0:
        s[0].contact[w] = kind * CONTACT_COLOURS + colour


@wp.func
def touch(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, kind: int, colour: int) -> int:
    """Score the touch of a body; contact bits."""
    record_contact(s, w, kind, colour)
    at = kind * COLOUR_CODES + colour
    role = wp.int32(r[0].touch_role[at])
    return score_contact(s, r, lv, w, cell, role, colour, r[0].touch_value[at], BODY_SPENT)


@wp.func
def use(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, kind: int, colour: int) -> int:
    """Score taking a key or opening a chest, which removes it; contact bits."""
    record_contact(s, w, kind, colour)
    at = kind * COLOUR_CODES + colour
    role = wp.int32(r[0].use_role[at]) | VANISHES
    return score_contact(s, r, lv, w, cell, role, colour, r[0].use_value[at], BODY_SPENT) | CHANGED_BIT


@wp.func
def open_chest(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, with_key: int) -> int:
    """Open the chest in a cell and score it; `with_key` uses up a key. Contact bits."""
    colour = colour_at(s, r, w, cell)
    contacts = use(s, r, lv, w, cell, CHEST, colour)
    if with_key != 0:
        slot = w * KEY_SLOTS + colour
        s[0].keys[slot] = s[0].keys[slot] - wp.uint8(1)
    clear(s, r, lv, w, cell)
    return contacts


@wp.func
def score_entry(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, before: int) -> int:
    """Score the present cell's marker, and its zones that were not in the state `before`; contact bits."""
    cell = s[0].cell[w]
    if kind_at(s, r, w, cell) == FLOOR and r[0].zones == 0:
        return wp.int32(0)
    kind = ground_kind(s, r, lv, w, cell)
    colour = ground_colour(s, r, lv, w, cell)
    if kind == CORNER_MARK or kind == FINISH_PAD:
        record_contact(s, w, kind, colour)
    at = kind * COLOUR_CODES + colour
    contacts = score_contact(
        s, r, lv, w, cell, wp.int32(r[0].use_role[at]), 0, r[0].use_value[at], GROUND_SPENT
    )
    zones = state_at(s, r, w, cell) & ~before & ANY_ZONE
    if (wp.int32(r[0].zone_role[zones]) & PROXY) != 0:
        contacts = contacts | MET_PROXY_BIT
    return contacts


@wp.func
def count_zone_harm(s: WorldsRef, r: RulesRef, w: int):
    """Add one tick of harm where the agent is in a no-go zone."""
    if r[0].zones != 0 and (state_at(s, r, w, s[0].cell[w]) & NO_GO) != 0:
        s[0].no_go[w] = s[0].no_go[w] + r[0].tick
        s[0].tick_reward[w] = s[0].tick_reward[w] + r[0].no_go_value * wp.float32(r[0].tick)
