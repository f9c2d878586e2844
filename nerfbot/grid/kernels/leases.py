"""Leases inside the kernels: they begin, end, and add up to lift levels.

The rules are those of `nerfbot.powers.LeaseAuthority`, in ticks. Each window is requested once, at the first
tick at or after its start. A lease that ramps down never rises again.
"""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import LIFT_ZONE
from nerfbot.grid.kernels.cells import state_at
from nerfbot.grid.kernels.state import ACTIVE, OVER, PENDING, RETURNING, LevelsRef, RulesRef, WorldsRef

FOREVER = 1.0e300
"""A time later than any window, s."""


@wp.func
def lease_holds_here(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, window: int) -> bool:
    """Whether this window's lease may be in force where the agent is."""
    cell = s[0].cell[w]
    if r[0].has_region != 0 and r[0].region[cell] == wp.uint8(0):
        return False
    if r[0].lift_zones_only == 0:
        return True
    if (state_at(s, r, w, cell) & LIFT_ZONE) == 0:
        return False
    axes = wp.int32(r[0].window_axes[window])
    allowed = wp.int32(r[0].zone_axes[wp.int32(lv[0].zone[s[0].level[w] * r[0].cells + cell])])
    return (axes & ~allowed) == 0


@wp.func
def ramp_factor(s: WorldsRef, r: RulesRef, lease: int, window: int, now: wp.float64) -> wp.float64:
    """The fraction of its levels that a lease lifts at `now`, by its ramp."""
    ramp = r[0].window_ramp[window]
    if ramp <= wp.float64(0.0):
        return wp.float64(1.0)
    rise = (now - s[0].lease_start[lease]) / ramp
    fall = (s[0].lease_end[lease] - now) / ramp
    return wp.min(wp.float64(1.0), wp.min(rise, fall))


@wp.func
def begin_return(s: WorldsRef, r: RulesRef, lease: int, window: int, now: wp.float64):
    """Let a lease ramp down from its present level."""
    left = ramp_factor(s, r, lease, window, now) * r[0].window_ramp[window]
    s[0].lease_end[lease] = wp.min(s[0].lease_end[lease], now + left)
    if s[0].lease_end[lease] > now:
        s[0].lease_state[lease] = RETURNING
    else:
        s[0].lease_state[lease] = OVER


@wp.func
def update_leases(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int):
    """Bring every window of a world to the present time, and add up what is granted."""
    now = wp.float64(s[0].step[w]) * r[0].tick
    if now < s[0].settled_until[w]:
        return
    until = wp.float64(FOREVER)
    strength = wp.float64(0.0)
    speed = wp.float64(0.0)
    sensing = wp.float64(0.0)
    reliability = wp.float64(0.0)
    granted = wp.int32(0)
    leased = wp.int32(0)
    for i in range(r[0].windows):
        lease = w * r[0].windows + i
        window = s[0].plan[w] * r[0].windows + i
        state = s[0].lease_state[lease]
        if state == ACTIVE or state == RETURNING:
            if s[0].lease_end[lease] <= now:
                s[0].lease_state[lease] = OVER
            elif state == ACTIVE and not lease_holds_here(s, r, lv, w, window):
                if s[0].phase_lease[w] == i:
                    s[0].phase_until[w] = now
                begin_return(s, r, lease, window, now)
        elif state == PENDING and r[0].window_start[window] <= now:
            if r[0].window_length[window] <= r[0].max_lease and lease_holds_here(s, r, lv, w, window):
                s[0].lease_state[lease] = ACTIVE
                s[0].lease_start[lease] = now
                s[0].lease_end[lease] = now + r[0].window_length[window]
                s[0].lease_charges[lease] = r[0].window_charges[window]
            else:
                s[0].lease_state[lease] = OVER
                s[0].refused[w] = s[0].refused[w] + 1
        state = s[0].lease_state[lease]
        if state == PENDING:
            until = wp.min(until, r[0].window_start[window])
        if state == ACTIVE or state == RETURNING:
            leased += 1
            until = wp.min(until, s[0].lease_end[lease])
            if r[0].window_ramp[window] > wp.float64(0.0) or r[0].lift_zones_only + r[0].has_region != 0:
                until = wp.float64(0.0)
            part = ramp_factor(s, r, lease, window, now)
            strength = wp.max(strength, part * r[0].window_level[4 * window])
            speed = wp.max(speed, part * r[0].window_level[4 * window + 1])
            sensing = wp.max(sensing, part * r[0].window_level[4 * window + 2])
            reliability = wp.max(reliability, part * r[0].window_level[4 * window + 3])
            if state == ACTIVE:
                granted = granted | wp.int32(r[0].window_edits[window])
    s[0].settled_until[w] = until
    if leased + s[0].leased[w] != 0:
        s[0].observed_leases[w] = -1
        s[0].lift[4 * w] = strength
        s[0].lift[4 * w + 1] = speed
        s[0].lift[4 * w + 2] = sensing
        s[0].lift[4 * w + 3] = reliability
        s[0].granted[w] = granted
        s[0].leased[w] = leased


@wp.func
def lease_of(s: WorldsRef, r: RulesRef, w: int, edit: int) -> int:
    """Number of the first window whose lease grants an edit now, or -1."""
    first_window = wp.int32(-1)
    for i in range(r[0].windows):
        if first_window < 0 and s[0].lease_state[w * r[0].windows + i] == ACTIVE:
            if (wp.int32(r[0].window_edits[s[0].plan[w] * r[0].windows + i]) >> edit) & 1 != 0:
                first_window = i
    return first_window


@wp.func
def use_charge(s: WorldsRef, r: RulesRef, w: int, i: int):
    """Use one charge of a lease; after the last one it ramps down."""
    lease = w * r[0].windows + i
    if s[0].lease_charges[lease] > 0:
        s[0].lease_charges[lease] = s[0].lease_charges[lease] - 1
        if s[0].lease_charges[lease] == 0:
            s[0].settled_until[w] = wp.float64(0.0)
            begin_return(s, r, lease, s[0].plan[w] * r[0].windows + i, wp.float64(s[0].step[w]) * r[0].tick)


@wp.func
def time_left(s: WorldsRef, r: RulesRef, w: int) -> wp.float64:
    """Seconds until the last active lease ends; 0 with none."""
    now = wp.float64(s[0].step[w]) * r[0].tick
    left = wp.float64(0.0)
    for i in range(r[0].windows):
        lease = w * r[0].windows + i
        if s[0].lease_state[lease] == ACTIVE:
            left = wp.max(left, s[0].lease_end[lease] - now)
    return left


@wp.func
def charges_left(s: WorldsRef, r: RulesRef, w: int) -> int:
    """Charges of the latest active lease (-1: not counted); 0 with none."""
    left = wp.int32(0)
    for i in range(r[0].windows):
        lease = w * r[0].windows + i
        if s[0].lease_state[lease] == ACTIVE:
            left = s[0].lease_charges[lease]
    return left
