"""The nerfed command path: which move is executed for the one that was requested.

The order is that of every plant: interference, latency, stuck actuator, lost command, dead actuator.
"""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import INTERFERENCE
from nerfbot.grid.kernels.cells import state_at
from nerfbot.grid.kernels.randoms import Purpose, uniform
from nerfbot.grid.kernels.state import (
    CUT,
    CUT_RATE,
    CUT_TIME,
    DROP_RATE,
    DROP_TIME,
    DROPPED,
    GAIN,
    HELD,
    HOLD_RATE,
    HOLD_TIME,
    INTERFERED,
    LATE,
    LATENCY,
    MOST_LATE,
    NO_LOAD,
    PUSH,
    QUANTITIES,
    RATE,
    STALL,
    LevelsRef,
    RulesRef,
    WorldsRef,
)

_DROP = wp.constant(wp.int32(int(Purpose.DROP)))
_HOLD = wp.constant(wp.int32(int(Purpose.HOLD)))
_INTERMITTENT = wp.constant(wp.int32(int(Purpose.INTERMITTENT)))
_INTERFERENCE = wp.constant(wp.int32(int(Purpose.INTERFERENCE)))


@wp.func
def limit(s: WorldsRef, r: RulesRef, w: int, quantity: int, axis: int) -> wp.float64:
    """A quantity of the nerf at the present lift of its axis."""
    at = (s[0].nerf[w] * QUANTITIES + quantity) * 2
    level = s[0].lift[4 * w + axis]
    if level <= wp.float64(0.0):
        return r[0].nerf[at]
    if level >= wp.float64(1.0):
        return r[0].nerf[at + 1]
    return (wp.float64(1.0) - level) * r[0].nerf[at] + level * r[0].nerf[at + 1]


@wp.func
def cells_per_tick(s: WorldsRef, r: RulesRef, w: int) -> wp.float64:
    """Cells per tick at the present lift: the limit of speed, lowered by a weak motor."""
    return wp.min(limit(s, r, w, RATE, 1) * limit(s, r, w, GAIN, 0), limit(s, r, w, NO_LOAD, 0))


@wp.func
def push_force(s: WorldsRef, r: RulesRef, w: int) -> wp.float64:
    """Force of the drive at the present lift, N."""
    return wp.min(limit(s, r, w, PUSH, 0), limit(s, r, w, STALL, 0))


@wp.func
def update_burst(s: WorldsRef, r: RulesRef, w: int, bit: int, rate_of: int, time_of: int, purpose: int):
    """Draw whether a fault that comes in bursts is in force at the end of this tick.

    Bursts begin at `rate` and last `time` on average. With p the share of time in fault and
    e = exp(-(rate + 1/time) tick), the chance of fault is p (1 - e) from health, p + (1 - p) e from fault.
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
def update_interference(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int):
    """Draw for every burst in an interference zone whether commands are lost."""
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
def delay_command(s: WorldsRef, r: RulesRef, w: int, command: int) -> int:
    """Send a command and return the latest one that has arrived; commands never overtake each other.

    `Worlds.in_flight` holds three bits for each tick from now on: the command due then plus one, or 0.
    """
    queue = s[0].in_flight[w] >> wp.uint64(3)
    due = wp.min(wp.int32(wp.rint(limit(s, r, w, LATENCY, 3) / r[0].tick)), MOST_LATE)
    while due < MOST_LATE and (queue >> wp.uint64(3 * due + 3)) != wp.uint64(0):
        due += 1
    slot = wp.uint64(3 * due)
    queue = (queue & ~(wp.uint64(7) << slot)) | (wp.uint64(command + 1) << slot)
    s[0].in_flight[w] = queue
    arrived = wp.int32(queue & wp.uint64(7))
    if arrived > 0:
        s[0].received[w] = arrived - 1
    return s[0].received[w]


@wp.func
def nerfed_command(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, requested: int) -> int:
    """The move that is executed for the requested one, in the lowest byte, and the reasons above it."""
    command = requested
    reasons = wp.int32(0)
    if r[0].zones != 0:
        update_interference(s, r, lv, w)
        if (s[0].faults[w] & INTERFERED) != 0 and command != 0:
            command = 0
            reasons = reasons | INTERFERED
    if r[0].faulty != 0:
        arrived = delay_command(s, r, w, command)
        if arrived != command:
            command = arrived
            reasons = reasons | LATE
        update_burst(s, r, w, DROPPED, DROP_RATE, DROP_TIME, _DROP)
        update_burst(s, r, w, HELD, HOLD_RATE, HOLD_TIME, _HOLD)
        update_burst(s, r, w, CUT, CUT_RATE, CUT_TIME, _INTERMITTENT)
        faults = s[0].faults[w]
        if (faults & HELD) != 0 and command != s[0].stuck_command[w]:
            command = s[0].stuck_command[w]
            reasons = reasons | HELD
        s[0].stuck_command[w] = command
        if (faults & DROPPED) != 0 and command != 0:
            command = 0
            reasons = reasons | DROPPED
        if (faults & CUT) != 0 and command != 0:
            command = 0
            reasons = reasons | CUT
    return command | (reasons << 8)
