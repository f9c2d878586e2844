"""Moving inside the kernels: the nerfed command path, and what a move into a cell meets.

The order is that of every plant: reliability (interference, latency, stuck, lost, dead), speed, strength.
"""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import (
    BLOCK,
    CHEST,
    COLOUR_CODES,
    CORNER_MARK,
    FINISH_PAD,
    FLOOR,
    FRAGILE,
    GATE,
    INTERFERENCE,
    KEY,
    NO_GO,
    OBJECT,
    OPEN,
    WALL,
)
from nerfbot.grid.kernels.cells import (
    bare_colour,
    bare_kind,
    clear,
    colour_at,
    counts_as_proxy,
    distance_of,
    interior,
    is_body,
    is_relief,
    kind_at,
    put,
    role_of,
    roles_in,
    state_at,
    thing_in,
)
from nerfbot.grid.kernels.edits import VANISHES
from nerfbot.grid.kernels.randoms import Purpose, uniform
from nerfbot.grid.kernels.state import (
    BLOCKED,
    BODY_SPENT,
    CONTACT_COLOURS,
    CUT,
    CUT_RATE,
    CUT_TIME,
    DROP_RATE,
    DROP_TIME,
    DROPPED,
    GAIN,
    GOAL,
    GROUND_SPENT,
    HELD,
    HOLD_RATE,
    HOLD_TIME,
    INTERFERED,
    KEY_SLOTS,
    LATE,
    LATENCY,
    MOST_LATE,
    NO_LOAD,
    PROXY,
    PUSH,
    QUANTITIES,
    RATE,
    SLOW,
    SPARE,
    STALL,
    WEAK,
    LevelsRef,
    RulesRef,
    WorldsRef,
)

_DROP = wp.constant(wp.int32(int(Purpose.DROP)))
_HOLD = wp.constant(wp.int32(int(Purpose.HOLD)))
_INTERMITTENT = wp.constant(wp.int32(int(Purpose.INTERMITTENT)))
_INTERFERENCE = wp.constant(wp.int32(int(Purpose.INTERFERENCE)))

BLOW_TIME = 0.1
"""s over which a blow is summed, as the simulated plant sums it: the push that goes on counts too."""

# Typed here: an expression of plain numbers in a kernel is worked out in single precision.
_BLOW_TIME = wp.constant(wp.float64(BLOW_TIME))
_WHOLE = wp.constant(wp.float64(1.0 - 1.0e-9))

MET_GOAL_BIT, MET_PROXY_BIT, CROSSED_BIT, CHANGED_BIT = 1 << 8, 1 << 9, 1 << 10, 1 << 11
"""Bits of what a move came to, beside those of the reasons."""


@wp.func
def limit(s: WorldsRef, r: RulesRef, w: int, quantity: int, axis: int) -> wp.float64:
    """A limit at the present lift of its axis."""
    at = (s[0].nerf[w] * QUANTITIES + quantity) * 2
    level = s[0].lift[4 * w + axis]
    if level <= wp.float64(0.0):
        return r[0].nerf[at]
    if level >= wp.float64(1.0):
        return r[0].nerf[at + 1]
    return (wp.float64(1.0) - level) * r[0].nerf[at] + level * r[0].nerf[at + 1]


@wp.func
def pace(s: WorldsRef, r: RulesRef, w: int) -> wp.float64:
    """Cells a tick at the present lift: the speed's limit, then what a weak motor makes of it."""
    return wp.min(limit(s, r, w, RATE, 1) * limit(s, r, w, GAIN, 0), limit(s, r, w, NO_LOAD, 0))


@wp.func
def push_force(s: WorldsRef, r: RulesRef, w: int) -> wp.float64:
    """Newtons that the drive pushes with at the present lift."""
    return wp.min(limit(s, r, w, PUSH, 0), limit(s, r, w, STALL, 0))


@wp.func
def fault(s: WorldsRef, r: RulesRef, w: int, bit: int, rate_of: int, time_of: int, purpose: int):
    """Let a burst process run for one tick: the exact law of its state at the tick's end.

    Onsets come at `rate` while healthy and last `time` on average, so with p the share of time in fault
    and e = exp(-(rate + 1/time) tick), the chance of fault is p (1 - e) from health and p + (1 - p) e from
    fault.
    """
    rate = limit(s, r, w, rate_of, 3)
    before = s[0].faults[w]
    after = before & ~bit
    if rate > wp.float64(0.0):
        end = wp.float64(1.0) / limit(s, r, w, time_of, 3)
        share = rate / (rate + end)
        stays = wp.exp(-(rate + end) * r[0].tick)
        chance = share * (wp.float64(1.0) - stays)
        if (before & bit) != 0:
            chance = share + (wp.float64(1.0) - share) * stays
        if uniform(s[0].key[w], purpose, s[0].step[w], 0) < chance:
            after = after | bit
    s[0].faults[w] = after


@wp.func
def interfere(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int):
    """Draw anew, for every burst in an interference zone, whether it loses commands."""
    now = wp.float64(s[0].step[w]) * r[0].tick
    if (state_at(s, r, w, s[0].cell[w]) & INTERFERENCE) == 0:
        s[0].faults[w] = s[0].faults[w] & ~INTERFERED
        s[0].interfered_until[w] = wp.float64(0.0)
    elif now >= s[0].interfered_until[w]:
        zone = wp.int32(lv[0].zone[s[0].level[w] * r[0].cells + s[0].cell[w]])
        loss = r[0].loss[zone] * (wp.float64(1.0) - s[0].lift[4 * w + 3])
        s[0].faults[w] = s[0].faults[w] & ~INTERFERED
        if uniform(s[0].key[w], _INTERFERENCE, s[0].step[w], 0) < loss:
            s[0].faults[w] = s[0].faults[w] | INTERFERED
        s[0].interfered_until[w] = now + r[0].burst[zone]


@wp.func
def send(s: WorldsRef, r: RulesRef, w: int, command: int) -> int:
    """Send a command and return the one that has arrived last by now; none overtakes another.

    `Worlds.sent` holds, for now and each of the next ticks, one more than the command that is due then.
    """
    word = s[0].sent[w] >> wp.uint64(3)
    due = wp.min(wp.int32(wp.rint(limit(s, r, w, LATENCY, 3) / r[0].tick)), MOST_LATE)
    while due < MOST_LATE and (word >> wp.uint64(3 * due + 3)) != wp.uint64(0):
        due += 1
    slot = wp.uint64(3 * due)
    word = (word & ~(wp.uint64(7) << slot)) | (wp.uint64(command + 1) << slot)
    s[0].sent[w] = word
    arrived = wp.int32(word & wp.uint64(7))
    if arrived > 0:
        s[0].heard[w] = arrived - 1
    return s[0].heard[w]


@wp.func
def command_that_arrives(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, asked: int) -> int:
    """The move that is executed for the one asked for, in the lowest byte, and the reasons above it."""
    command = asked
    reasons = wp.int32(0)
    if r[0].zones != 0:
        interfere(s, r, lv, w)
        if (s[0].faults[w] & INTERFERED) != 0 and command != 0:
            command = 0
            reasons = reasons | INTERFERED
    if r[0].faulty != 0:
        arrived = send(s, r, w, command)
        if arrived != command:
            command = arrived
            reasons = reasons | LATE
        fault(s, r, w, DROPPED, DROP_RATE, DROP_TIME, _DROP)
        fault(s, r, w, HELD, HOLD_RATE, HOLD_TIME, _HOLD)
        fault(s, r, w, CUT, CUT_RATE, CUT_TIME, _INTERMITTENT)
        faults = s[0].faults[w]
        if (faults & HELD) != 0 and command != s[0].kept[w]:
            command = s[0].kept[w]
            reasons = reasons | HELD
        s[0].kept[w] = command
        if (faults & DROPPED) != 0 and command != 0:
            command = 0
            reasons = reasons | DROPPED
        if (faults & CUT) != 0 and command != 0:
            command = 0
            reasons = reasons | CUT
    return command | (reasons << 8)


@wp.func
def reached(s: WorldsRef, r: RulesRef, w: int, cell: int, role: int, bit: int) -> bool:
    """Whether contact with a goal reaches it: from the second time on it does not, where the goal stays."""
    if r[0].lasting_goals != 0 and (role & VANISHES) == 0:
        spent = wp.int32(s[0].spent[w * r[0].cells + cell])
        if (spent & bit) != 0:
            return False
        s[0].spent[w * r[0].cells + cell] = wp.uint8(spent | bit)
    return True


@wp.func
def count(
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
    """What a contact of this role counts for, bits of goal and proxy; its value is added to the reward.

    A proxy in the cell of a goal that is left tells nothing apart. `bit` is where a lasting goal is noted.
    """
    if (role & GOAL) == 0:
        s[0].gain[w] = s[0].gain[w] + value
    elif reached(s, r, w, cell, role, bit):
        s[0].gain[w] = s[0].gain[w] + value
        return MET_GOAL_BIT
    if (role & (PROXY | SPARE)) != 0:
        if counts_as_proxy(s, r, w, role, colour) and (roles_in(s, r, lv, w, cell) & GOAL) == 0:
            return MET_PROXY_BIT
    return wp.int32(0)


@wp.func
def note_contact(s: WorldsRef, w: int, kind: int, colour: int):
    """Note what is met, unless something was met before in this tick."""
    if s[0].contact[w] == 0:
        s[0].contact[w] = kind * CONTACT_COLOURS + colour


@wp.func
def touch(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, kind: int, colour: int) -> int:
    """What touching a body counts for."""
    note_contact(s, w, kind, colour)
    at = kind * COLOUR_CODES + colour
    role = wp.int32(r[0].touch_role[at])
    return count(s, r, lv, w, cell, role, colour, r[0].touch_value[at], BODY_SPENT)


@wp.func
def use(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, kind: int, colour: int) -> int:
    """What taking a key or opening a chest counts for; either is gone afterwards."""
    note_contact(s, w, kind, colour)
    at = kind * COLOUR_CODES + colour
    role = wp.int32(r[0].use_role[at]) | VANISHES
    return count(s, r, lv, w, cell, role, colour, r[0].use_value[at], BODY_SPENT) | CHANGED_BIT


@wp.func
def open_chest(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, with_key: int) -> int:
    """Open the chest in a cell, at the price of a key where it is one that opens it; what it counts for."""
    colour = colour_at(s, r, w, cell)
    met = use(s, r, lv, w, cell, CHEST, colour)
    if with_key != 0:
        held = w * KEY_SLOTS + colour
        s[0].keys[held] = s[0].keys[held] - wp.uint8(1)
    clear(s, r, lv, w, cell)
    return met


@wp.func
def may_slide(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, beyond: int) -> bool:
    """Whether a body can be pushed into a cell."""
    if not interior(r, beyond) or is_body(kind_at(s, r, w, beyond)):
        return False
    return not is_relief(bare_kind(s, r, lv, w, beyond))


@wp.func
def slide(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, beyond: int, thing: int) -> int:
    """Push a body one cell on, and with it whether it was a goal that is reached; whether roles moved."""
    kind = kind_at(s, r, w, cell)
    colour = colour_at(s, r, w, cell)
    put(s, r, lv, w, beyond, kind, colour)
    if r[0].lasting_goals != 0:
        here = w * r[0].cells + cell
        there = w * r[0].cells + beyond
        body = wp.int32(s[0].spent[here]) & BODY_SPENT
        s[0].spent[there] = wp.uint8(wp.int32(s[0].spent[there]) | body)
    clear(s, r, lv, w, cell)
    if thing >= 0:
        s[0].thing_cell[w * r[0].things + thing] = beyond
    if role_of(r, kind, colour) != 0:
        return CHANGED_BIT
    return wp.int32(0)


@wp.func
def climbs(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, command: int) -> bool:
    """Whether the drive has the force for the slopes and edges on the way into the next cell."""
    if r[0].relief == 0:
        return True
    at = (s[0].level[w] * r[0].cells + s[0].cell[w]) * 4 + command - 1
    return r[0].force[wp.int32(lv[0].climb[at])] <= push_force(s, r, w)


@wp.func
def meet_solid(
    s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, command: int, cell: int, speed: wp.float64
) -> int:
    """Run into a block, a fragile object or a chest; the bits of what came of it."""
    kind = kind_at(s, r, w, cell)
    colour = colour_at(s, r, w, cell)
    met = touch(s, r, lv, w, cell, kind, colour)
    if kind == CHEST:
        if s[0].keys[w * KEY_SLOTS + colour] > wp.uint8(0):
            met = met | open_chest(s, r, lv, w, cell, 1)
        return met | BLOCKED
    thing = thing_in(s, r, w, cell)
    needed = wp.float64(0.0)
    if thing >= 0:
        at = s[0].level[w] * r[0].things + thing
        needed = lv[0].thing_a[at]
        if kind == FRAGILE:
            needed = lv[0].thing_c[at]
            if s[0].pushing[w] != command:
                blow = speed * r[0].body_mass * lv[0].thing_b[at] / (r[0].body_mass + lv[0].thing_b[at])
                blow = blow + needed * _BLOW_TIME
                if blow > lv[0].thing_a[at]:
                    s[0].impulse[w] = s[0].impulse[w] + blow
                    s[0].blows[w] = s[0].blows[w] + 1
                    s[0].gain[w] = s[0].gain[w] + r[0].impulse_value * wp.float32(blow)
            s[0].pushing[w] = command
    if needed > push_force(s, r, w):
        return met | WEAK
    beyond = cell + distance_of(r, command)
    if not may_slide(s, r, lv, w, beyond):
        return met | BLOCKED
    return met | slide(s, r, lv, w, cell, beyond, thing) | CROSSED_BIT


@wp.func
def cross(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, command: int, speed: wp.float64) -> int:
    """Try to move into the next cell; the bits of the reasons, of what was met, and whether it crossed."""
    cell = s[0].cell[w] + distance_of(r, command)
    kind = kind_at(s, r, w, cell)
    if not interior(r, cell):
        return BLOCKED
    if kind == WALL or (kind == GATE and (state_at(s, r, w, cell) & OPEN) == 0):
        if s[0].phasing[w] == 0:
            return BLOCKED
    if not climbs(s, r, lv, w, command):
        return WEAK
    came = wp.int32(CROSSED_BIT)
    if kind == BLOCK or kind == FRAGILE or kind == CHEST:
        came = meet_solid(s, r, lv, w, command, cell, speed)
    elif kind == KEY or kind >= OBJECT:
        colour = colour_at(s, r, w, cell)
        came = came | touch(s, r, lv, w, cell, kind, colour)
        if kind == KEY:
            came = came | use(s, r, lv, w, cell, KEY, colour)
            held = wp.int32(s[0].keys[w * KEY_SLOTS + colour])
            s[0].keys[w * KEY_SLOTS + colour] = wp.uint8(wp.min(held + 1, 255))
            clear(s, r, lv, w, cell)
        elif (wp.int32(r[0].touch_role[kind * COLOUR_CODES + colour]) & VANISHES) != 0:
            clear(s, r, lv, w, cell)
            came = came | CHANGED_BIT
    if (came & CROSSED_BIT) != 0:
        s[0].cell[w] = cell
    return came


@wp.func
def move(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, command: int) -> int:
    """Drive for one tick; the bits of what came of it."""
    came = wp.int32(0)
    if command != s[0].last[w]:
        s[0].pushing[w] = 0
    s[0].last[w] = command
    if command == 0:
        return came
    if command != s[0].way[w]:
        s[0].progress[w] = wp.float64(0.0)
        s[0].way[w] = command
    rate = wp.float64(1.0)
    if r[0].slow != 0:
        rate = pace(s, r, w)
    if rate < wp.float64(1.0):
        s[0].progress[w] = s[0].progress[w] + rate
        if s[0].progress[w] < _WHOLE:
            return SLOW
        s[0].progress[w] = wp.max(wp.float64(0.0), s[0].progress[w] - wp.float64(1.0))
    came = cross(s, r, lv, w, command, wp.min(rate, wp.float64(1.0)) * r[0].top_speed)
    if (came & CROSSED_BIT) == 0:
        s[0].progress[w] = wp.float64(0.0)
    return came


@wp.func
def enter(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, before: int) -> int:
    """What entering the present cell counts for: a marker, or a zone that is not in the state `before`."""
    cell = s[0].cell[w]
    if kind_at(s, r, w, cell) == FLOOR and r[0].zones == 0:
        return wp.int32(0)
    kind = bare_kind(s, r, lv, w, cell)
    colour = bare_colour(s, r, lv, w, cell)
    if kind == CORNER_MARK or kind == FINISH_PAD:
        note_contact(s, w, kind, colour)
    at = kind * COLOUR_CODES + colour
    met = count(s, r, lv, w, cell, wp.int32(r[0].use_role[at]), 0, r[0].use_value[at], GROUND_SPENT)
    zones = state_at(s, r, w, cell) & ~before & 15
    if (wp.int32(r[0].zone_role[zones]) & PROXY) != 0:
        met = met | MET_PROXY_BIT
    return met


@wp.func
def linger(s: WorldsRef, r: RulesRef, w: int):
    """Harm of being where one is, for one tick."""
    if r[0].zones != 0 and (state_at(s, r, w, s[0].cell[w]) & NO_GO) != 0:
        s[0].no_go[w] = s[0].no_go[w] + r[0].tick
        s[0].gain[w] = s[0].gain[w] + r[0].no_go_value * wp.float32(r[0].tick)
