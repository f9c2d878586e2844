"""The world edits inside the kernels: whether one is legal, where it is done, and what it does.

An edit outside its lease, or one that is not legal, does nothing and is counted.
"""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import CHEST, COLOUR_CODES, FLOOR, KEY, OBJECT
from nerfbot.grid.kernels.cells import (
    clear,
    colour_at,
    interior,
    is_body,
    kind_at,
    put,
    role_of,
    roles_in,
    thing_in,
)
from nerfbot.grid.kernels.leases import lease_of, use_charge
from nerfbot.grid.kernels.randoms import Purpose, below
from nerfbot.grid.kernels.state import SPARE, LevelsRef, OutcomeRef, RulesRef, WorldsRef

# In the order of `nerfbot.powers.EDITS`.
MOVE_COIN, TELEPORT, REWRITE, PHASE, UNLOCK = range(5)
EDIT_COUNT = 5

VANISHES = 8
"""Bit of `Rules.touch_role`: this object is a coin, and is taken by the touch."""

ROLES_MOVED = 1 << 24
"""Bit beside the destination of an edit: a goal or proxy may have come, gone or moved."""

TRIES = 64
"""A destination is drawn until it is legal, this many times at the most."""

_DESTINATION = wp.constant(wp.int32(int(Purpose.DESTINATION)))


@wp.func
def is_coin(r: RulesRef, kind: int) -> bool:
    """Whether objects of this kind are coins."""
    return kind >= OBJECT and (wp.int32(r[0].touch_role[kind * COLOUR_CODES]) & VANISHES) != 0


@wp.func
def first_coin(s: WorldsRef, r: RulesRef, w: int) -> int:
    """The first cell in reading order that holds a coin, or -1."""
    for cell in range(r[0].cells):
        if is_coin(r, kind_at(s, r, w, cell)):
            return cell
    return wp.int32(-1)


@wp.func
def may_take(s: WorldsRef, r: RulesRef, w: int, action: int, cell: int) -> bool:
    """Whether a cell may be the destination of an action's edit.

    A coin is never written over: a world without its goal could not be solved.
    """
    if not interior(r, cell) or cell == s[0].cell[w]:
        return False
    edit = r[0].power[action]
    kind = kind_at(s, r, w, cell)
    if edit == REWRITE:
        if is_coin(r, kind):
            return False
        if r[0].content_kind[action] == FLOOR:
            return is_body(kind)
        return kind != r[0].content_kind[action] or colour_at(s, r, w, cell) != r[0].content_colour[action]
    if edit == UNLOCK:
        return kind == CHEST
    return not is_body(kind)


@wp.func
def destination(s: WorldsRef, r: RulesRef, w: int, action: int) -> int:
    """A legal cell in the action's rectangle, drawn uniformly, or -1 where none was found."""
    height = r[0].high_row[action] - r[0].low_row[action] + 1
    width = r[0].high_column[action] - r[0].low_column[action] + 1
    if r[0].power[action] == UNLOCK:
        return drawn_chest(s, r, w, action)
    tries = wp.int32(TRIES)
    if height * width == 1:
        tries = 1
    for i in range(tries):
        drawn = below(s[0].key[w], _DESTINATION, s[0].step[w], i, height * width)
        row = r[0].low_row[action] + drawn // width
        cell = row * r[0].columns + r[0].low_column[action] + drawn % width
        if may_take(s, r, w, action, cell):
            return cell
    return wp.int32(-1)


@wp.func
def drawn_chest(s: WorldsRef, r: RulesRef, w: int, action: int) -> int:
    """One of the closed chests in the action's rectangle, or -1; there are few, so they are counted."""
    count = wp.int32(0)
    for row in range(r[0].low_row[action], r[0].high_row[action] + 1):
        for column in range(r[0].low_column[action], r[0].high_column[action] + 1):
            if may_take(s, r, w, action, row * r[0].columns + column):
                count += 1
    if count == 0:
        return wp.int32(-1)
    left = below(s[0].key[w], _DESTINATION, s[0].step[w], 0, count)
    for row in range(r[0].low_row[action], r[0].high_row[action] + 1):
        for column in range(r[0].low_column[action], r[0].high_column[action] + 1):
            if may_take(s, r, w, action, row * r[0].columns + column):
                if left == 0:
                    return row * r[0].columns + column
                left -= 1
    return wp.int32(-1)


@wp.func
def forget_thing(s: WorldsRef, r: RulesRef, w: int, cell: int):
    """A cell's body is gone; its properties go with it."""
    if r[0].things > 0:
        thing = thing_in(s, r, w, cell)
        if thing >= 0:
            s[0].thing_cell[w * r[0].things + thing] = -1


@wp.func
def spare_keys(r: RulesRef, colour: int) -> int:
    """SPARE where keys of a colour are a proxy when no chest waits for them: a chest then tells on them."""
    return role_of(r, KEY, colour) & SPARE


@wp.func
def use_edit(s: WorldsRef, r: RulesRef, lv: LevelsRef, out: OutcomeRef, w: int, action: int) -> int:
    """Use an action's edit; the destination (the agent's cell for phasing), or -1 where nothing was done.

    With the bit `ROLES_MOVED` where what the task names may have changed its place.
    An unlocked chest is left standing: opening it is a contact, and the caller's.
    """
    edit = r[0].power[action]
    origin = s[0].cell[w]
    target = wp.int32(-1)
    lease = wp.int32(-1)
    moved = wp.int32(0)
    if ((s[0].granted[w] >> edit) & 1) != 0:
        lease = lease_of(s, r, w, edit)
    if lease >= 0:
        if edit == PHASE:
            if s[0].phasing[w] == 0:
                target = s[0].cell[w]
                s[0].phasing[w] = 1
                s[0].phase_until[w] = s[0].lease_end[w * r[0].windows + lease]
                s[0].phase_lease[w] = lease
        elif edit == MOVE_COIN:
            origin = first_coin(s, r, w)
            if origin >= 0:
                target = destination(s, r, w, action)
            if target >= 0:
                put(s, r, lv, w, target, kind_at(s, r, w, origin), colour_at(s, r, w, origin))
                clear(s, r, lv, w, origin)
                moved = ROLES_MOVED
        else:
            target = destination(s, r, w, action)
            if target >= 0 and edit == TELEPORT:
                s[0].cell[w] = target
                s[0].progress[w] = wp.float64(0.0)
                s[0].pushing[w] = 0
            if target >= 0 and edit == REWRITE:
                origin = target
                role = roles_in(s, r, lv, w, target)
                if kind_at(s, r, w, target) == CHEST:
                    role = role | spare_keys(r, colour_at(s, r, w, target))
                if r[0].content_kind[action] == CHEST:
                    role = role | spare_keys(r, r[0].content_colour[action])
                forget_thing(s, r, w, target)
                clear(s, r, lv, w, target)
                if r[0].content_kind[action] != FLOOR:
                    put(s, r, lv, w, target, r[0].content_kind[action], r[0].content_colour[action])
                if (role | roles_in(s, r, lv, w, target)) != 0:
                    moved = ROLES_MOVED
            if edit == UNLOCK:
                origin = target
    out[0].edit[4 * w] = action
    out[0].edit[4 * w + 1] = origin
    out[0].edit[4 * w + 2] = target
    if target >= 0:
        use_charge(s, r, w, lease)
        s[0].used[EDIT_COUNT * w + edit] = s[0].used[EDIT_COUNT * w + edit] + 1
        out[0].edit[4 * w + 3] = 1
        target = target | moved
    else:
        s[0].illegal[w] = s[0].illegal[w] + 1
        out[0].edit[4 * w + 3] = 0
    return target
