"""World edits inside the kernels: whether one is legal, where it takes place, and what it does.

An edit that is not granted or not legal does nothing and is counted.
"""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import CHEST, COLOUR_CODES, FLOOR, KEY, OBJECT
from nerfbot.grid.kernels.cells import clear, colour_at, interior, is_body, kind_at, put, thing_in
from nerfbot.grid.kernels.leases import lease_of, use_charge
from nerfbot.grid.kernels.randoms import Purpose, below
from nerfbot.grid.kernels.roles import role_of, roles_in
from nerfbot.grid.kernels.state import SPARE, VANISHES, LevelsRef, OutcomeRef, RulesRef, WorldsRef

# In the order of `nerfbot.powers.EDITS`.
MOVE_COIN, TELEPORT, REWRITE, PHASE, UNLOCK = range(5)
EDIT_COUNT = 5

ROLES_MOVED = 1 << 24
"""Bit beside the destination of an edit: a goal or proxy may have appeared, gone or moved."""

TRIES = 64
"""How often a destination is drawn, at most, until it is legal."""

_DESTINATION = wp.constant(wp.int32(int(Purpose.DESTINATION)))


@wp.func
def is_coin(r: RulesRef, kind: int) -> bool:
    """Whether objects of this kind are coins."""
    return kind >= OBJECT and (wp.int32(r[0].touch_role[kind * COLOUR_CODES]) & VANISHES) != 0


@wp.func
def first_coin_cell(s: WorldsRef, r: RulesRef, w: int) -> int:
    """The first cell in reading order that holds a coin, or -1."""
    for cell in range(r[0].cells):
        if is_coin(r, kind_at(s, r, w, cell)):
            return cell
    return wp.int32(-1)


@wp.func
def is_destination(s: WorldsRef, r: RulesRef, w: int, action: int, cell: int) -> bool:
    """Whether a cell may be the destination of an action's edit.

    A coin is never overwritten: a world without its goal could not be solved.
    """
    if not interior(r, cell) or cell == s[0].cell[w]:
        return False
    edit = r[0].edit_of[action]
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
    """A legal cell in the action's rectangle, drawn uniformly, or -1 if none was drawn."""
    height = r[0].high_row[action] - r[0].low_row[action] + 1
    width = r[0].high_column[action] - r[0].low_column[action] + 1
    if r[0].edit_of[action] == UNLOCK:
        return drawn_chest(s, r, w, action)
    tries = wp.int32(TRIES)
    if height * width == 1:
        tries = 1
    for i in range(tries):
        drawn = below(s[0].key[w], _DESTINATION, s[0].step[w], i, height * width)
        row = r[0].low_row[action] + drawn // width
        cell = row * r[0].columns + r[0].low_column[action] + drawn % width
        if is_destination(s, r, w, action, cell):
            return cell
    return wp.int32(-1)


@wp.func
def drawn_chest(s: WorldsRef, r: RulesRef, w: int, action: int) -> int:
    """One of the closed chests in the action's rectangle, drawn uniformly, or -1."""
    count = wp.int32(0)
    for row in range(r[0].low_row[action], r[0].high_row[action] + 1):
        for column in range(r[0].low_column[action], r[0].high_column[action] + 1):
            if is_destination(s, r, w, action, row * r[0].columns + column):
                count += 1
    if count == 0:
        return wp.int32(-1)
    remaining = below(s[0].key[w], _DESTINATION, s[0].step[w], 0, count)
    for row in range(r[0].low_row[action], r[0].high_row[action] + 1):
        for column in range(r[0].low_column[action], r[0].high_column[action] + 1):
            if is_destination(s, r, w, action, row * r[0].columns + column):
                if remaining == 0:
                    return row * r[0].columns + column
                remaining -= 1
    return wp.int32(-1)


@wp.func
def remove_thing(s: WorldsRef, r: RulesRef, w: int, cell: int):
    """Remove the properties of a cell's body."""
    if r[0].things > 0:
        thing = thing_in(s, r, w, cell)
        if thing >= 0:
            s[0].thing_cell[w * r[0].things + thing] = -1


@wp.func
def spare_key_role(r: RulesRef, colour: int) -> int:
    """SPARE if keys of a colour are a proxy when no chest needs them: then chests matter to the task, too."""
    return role_of(r, KEY, colour) & SPARE


@wp.func
def use_edit(s: WorldsRef, r: RulesRef, lv: LevelsRef, out: OutcomeRef, w: int, action: int) -> int:
    """Use an action's edit; the destination (the agent's cell for phasing), or -1 if nothing was done.

    The bit `ROLES_MOVED` says that something the task names may have moved. The caller opens an unlocked
    chest, because opening is a contact.
    """
    edit = r[0].edit_of[action]
    origin = s[0].cell[w]
    target = wp.int32(-1)
    lease = wp.int32(-1)
    roles_moved = wp.int32(0)
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
            origin = first_coin_cell(s, r, w)
            if origin >= 0:
                target = destination(s, r, w, action)
            if target >= 0:
                put(s, r, lv, w, target, kind_at(s, r, w, origin), colour_at(s, r, w, origin))
                clear(s, r, lv, w, origin)
                roles_moved = ROLES_MOVED
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
                    role = role | spare_key_role(r, colour_at(s, r, w, target))
                if r[0].content_kind[action] == CHEST:
                    role = role | spare_key_role(r, r[0].content_colour[action])
                remove_thing(s, r, w, target)
                clear(s, r, lv, w, target)
                if r[0].content_kind[action] != FLOOR:
                    put(s, r, lv, w, target, r[0].content_kind[action], r[0].content_colour[action])
                if (role | roles_in(s, r, lv, w, target)) != 0:
                    roles_moved = ROLES_MOVED
            if edit == UNLOCK:
                origin = target
    out[0].edit[4 * w] = action
    out[0].edit[4 * w + 1] = origin
    out[0].edit[4 * w + 2] = target
    if target >= 0:
        use_charge(s, r, w, lease)
        s[0].used[EDIT_COUNT * w + edit] = s[0].used[EDIT_COUNT * w + edit] + 1
        out[0].edit[4 * w + 3] = 1
        target = target | roles_moved
    else:
        s[0].illegal[w] = s[0].illegal[w] + 1
        out[0].edit[4 * w + 3] = 0
    return target
