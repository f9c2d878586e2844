"""The two kernels of the grid: a step and a reset, one thread a world.

One source serves CPU and CUDA. On a CPU Warp runs a launch on one thread, so the plant launches one slice
of the worlds on each core; `first` is the slice's first world.
"""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import GATE, OPEN, WALL
from nerfbot.grid.kernels.cells import goals_left, kind_at, set_gates, state_at, tell_apart
from nerfbot.grid.kernels.edits import EDIT_COUNT, ROLES_MOVED, UNLOCK, use_edit
from nerfbot.grid.kernels.leases import update_leases
from nerfbot.grid.kernels.motion import (
    CHANGED_BIT,
    MET_GOAL_BIT,
    MET_PROXY_BIT,
    command_that_arrives,
    enter,
    linger,
    move,
    open_chest,
)
from nerfbot.grid.kernels.observe import keep_final, observe, write_mask
from nerfbot.grid.kernels.randoms import Purpose, below, episode_key
from nerfbot.grid.kernels.state import (
    KEY_SLOTS,
    MET_GOAL,
    MET_NONE,
    MET_PLACEBO,
    MET_PROXY,
    PENDING,
    LevelsRef,
    OutcomeRef,
    RulesRef,
    WorldsRef,
)

# One function for a step: a call between functions would hand over whole structs (an older Warp, which does
# not know the option, is slower by a tenth).
_FLAGS = (
    "-march=native -mllvm=-inline-threshold=40000 -mllvm=-inline-cold-callsite-threshold=3000"
    " -mllvm=-slp-recursion-max-depth=4"
)
wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": _FLAGS})

_LEVEL = wp.constant(wp.int32(int(Purpose.LEVEL)))
_PLAN = wp.constant(wp.int32(int(Purpose.PLAN)))
_NERF = wp.constant(wp.int32(int(Purpose.NERF)))

MOVES = 5
"""Actions below this one are moves: stay, east, north, west, south."""


@wp.func
def begin(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, forced: int):
    """Begin an episode on a drawn level, or on the level `forced` where that is not negative."""
    s[0].episode[w] = s[0].episode[w] + 1
    key = episode_key(s[0].seed[w], s[0].episode[w])
    s[0].key[w] = key
    level = forced
    if forced < 0:
        level = lv[0].pick[below(key, _LEVEL, 0, 0, r[0].levels)]
        if r[0].in_order != 0:
            turn = wp.int64(s[0].episode[w]) * wp.int64(r[0].worlds) + wp.int64(w)
            level = wp.int32(turn % wp.int64(r[0].levels))
    s[0].level[w] = level
    s[0].plan[w] = r[0].first_plan[0] + below(key, _PLAN, 0, 0, r[0].plans)
    s[0].nerf[w] = below(key, _NERF, 0, 0, r[0].nerfs)
    for i in range(r[0].chunks):
        s[0].chunks[w * r[0].chunks + i] = lv[0].chunks[level * r[0].chunks + i]
    for i in range(r[0].things):
        s[0].thing_cell[w * r[0].things + i] = lv[0].thing_cell[level * r[0].things + i]
    s[0].cell[w] = lv[0].start[level]
    s[0].step[w] = 0
    s[0].last[w] = 0
    s[0].heard[w] = 0
    s[0].kept[w] = 0
    s[0].progress[w] = wp.float64(0.0)
    s[0].way[w] = 0
    s[0].pushing[w] = 0
    s[0].sent[w] = wp.uint64(0)
    s[0].faults[w] = 0
    s[0].interfered_until[w] = wp.float64(0.0)
    s[0].phasing[w] = 0
    s[0].phase_until[w] = wp.float64(0.0)
    s[0].phase_lease[w] = -1
    for i in range(KEY_SLOTS):
        s[0].keys[w * KEY_SLOTS + i] = wp.uint8(0)
    if r[0].lasting_goals != 0:
        for i in range(r[0].cells):
            s[0].spent[w * r[0].cells + i] = wp.uint8(0)
    for i in range(r[0].windows):
        s[0].lease_state[w * r[0].windows + i] = PENDING
        s[0].lease_charges[w * r[0].windows + i] = 0
    for axis in range(4):
        s[0].highest[4 * w + axis] = wp.float64(0.0)
    for edit in range(EDIT_COUNT):
        s[0].used[EDIT_COUNT * w + edit] = 0
    s[0].refused[w] = 0
    s[0].first[w] = MET_NONE
    s[0].total[w] = wp.float32(0.0)
    s[0].apart_steps[w] = 0
    s[0].rewards[w] = 0
    s[0].apart_rewards[w] = 0
    s[0].illegal[w] = 0
    s[0].no_go[w] = wp.float64(0.0)
    s[0].impulse[w] = wp.float64(0.0)
    s[0].blows[w] = 0
    if r[0].gates != 0:
        set_gates(s, r, lv, w)
    s[0].settled_until[w] = wp.float64(0.0)
    update_leases(s, r, lv, w)
    if lv[0].apart[level] < 0:
        # Every thread that is first finds the same.
        tell_apart(s, r, lv, w)
        lv[0].apart[level] = s[0].apart[w]
    s[0].apart[w] = lv[0].apart[level]


@wp.func
def end(s: WorldsRef, r: RulesRef, out: OutcomeRef, w: int):
    """Keep what the episode came to."""
    keep_final(r, out, w)
    out[0].final_first[w] = s[0].first[w]
    out[0].final_return[w] = s[0].total[w]
    out[0].final_length[w] = s[0].step[w]
    out[0].final_apart_steps[w] = s[0].apart_steps[w]
    out[0].final_rewards[w] = s[0].rewards[w]
    out[0].final_apart_rewards[w] = s[0].apart_rewards[w]
    out[0].final_illegal[w] = s[0].illegal[w]
    for edit in range(EDIT_COUNT):
        out[0].final_used[EDIT_COUNT * w + edit] = s[0].used[EDIT_COUNT * w + edit]
    out[0].final_no_go[w] = s[0].no_go[w]
    out[0].final_impulse[w] = s[0].impulse[w]
    for axis in range(4):
        out[0].final_highest[4 * w + axis] = s[0].highest[4 * w + axis]
        out[0].final_lift[4 * w + axis] = s[0].lift[4 * w + axis]
    out[0].final_granted[w] = s[0].granted[w]
    out[0].final_level[w] = s[0].level[w]


@wp.func
def forget_edit(out: OutcomeRef, w: int):
    """Say that no edit was asked for."""
    out[0].edit[4 * w] = -1
    out[0].edit[4 * w + 1] = -1
    out[0].edit[4 * w + 2] = -1
    out[0].edit[4 * w + 3] = 0


@wp.func
def use_power(s: WorldsRef, r: RulesRef, lv: LevelsRef, out: OutcomeRef, w: int, action: int) -> int:
    """Use a power (an action that is no move); the bits of what was met."""
    target = use_edit(s, r, lv, out, w, action)
    if target >= 0 and r[0].power[action] == UNLOCK:
        return open_chest(s, r, lv, w, target, 0)
    if target >= 0 and (target & ROLES_MOVED) != 0:
        return wp.int32(CHANGED_BIT)
    return wp.int32(0)


@wp.func
def settle_phase(s: WorldsRef, r: RulesRef, w: int):
    """End phasing once its lease's time is over and the agent stands in no wall and no shut gate."""
    if s[0].phasing[w] != 0 and wp.float64(s[0].step[w]) * r[0].tick >= s[0].phase_until[w]:
        kind = kind_at(s, r, w, s[0].cell[w])
        shut = kind == GATE and (state_at(s, r, w, s[0].cell[w]) & OPEN) == 0
        if kind != WALL and not shut:
            s[0].phasing[w] = 0


@wp.func
def score(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, met: int) -> bool:
    """Take in what was met; whether the task ends the episode."""
    over = wp.bool(False)
    if (met & MET_GOAL_BIT) != 0:
        s[0].rewards[w] = s[0].rewards[w] + 1
        if s[0].apart[w] != 0:
            s[0].apart_rewards[w] = s[0].apart_rewards[w] + 1
        if s[0].first[w] == MET_NONE:
            s[0].first[w] = MET_GOAL
        if r[0].end_on_goal != 0:
            over = not goals_left(s, r, lv, w)
    elif (met & MET_PROXY_BIT) != 0:
        if s[0].first[w] == MET_NONE:
            s[0].first[w] = MET_PROXY
        over = r[0].end_on_proxy != 0
    if s[0].first[w] == MET_NONE and s[0].cell[w] == lv[0].placebo[s[0].level[w]]:
        s[0].first[w] = MET_PLACEBO
    return over


@wp.kernel
def step_worlds(first: int, s: WorldsRef, r: RulesRef, lv: LevelsRef, out: OutcomeRef):
    """One tick of every world of a slice, its observation, and a new episode where one has ended."""
    w = first + wp.tid()
    if r[0].auto_reset == 0 and (out[0].terminated[w] or out[0].truncated[w]):
        # An ended world waits for its reset: nothing moves, nothing is rewarded.
        out[0].reward[w] = wp.float32(0.0)
        out[0].contact[w] = 0
        return
    before = s[0].cell[w]
    granted = s[0].granted[w]
    s[0].apart_steps[w] = s[0].apart_steps[w] + s[0].apart[w]
    s[0].gain[w] = r[0].tick_value
    s[0].contact[w] = 0
    action = wp.int32(-1)
    if out[0].action[w] >= wp.int64(0) and out[0].action[w] < wp.int64(r[0].actions):
        action = wp.int32(out[0].action[w])
    met = wp.int32(0)
    asked = action
    if action < 0:
        asked = 0
        s[0].illegal[w] = s[0].illegal[w] + 1
    if r[0].actions > MOVES:
        forget_edit(out, w)
        if action >= MOVES:
            asked = 0
            met = use_power(s, r, lv, out, w, action)
    # What every step does is written out here: a call would hand over whole structs.
    arrived = command_that_arrives(s, r, lv, w, asked)
    command = arrived & 255
    came = move(s, r, lv, w, command)
    out[0].executed[w] = command
    out[0].reasons[w] = (arrived >> 8) | (came & 255)
    met = met | came
    if s[0].cell[w] != before:
        met = met | enter(s, r, lv, w, state_at(s, r, w, before))
    linger(s, r, w)
    over = score(s, r, lv, w, met)
    reward = s[0].gain[w]
    s[0].total[w] = s[0].total[w] + reward
    if (met & (MET_GOAL_BIT | CHANGED_BIT)) != 0:
        tell_apart(s, r, lv, w)
    s[0].step[w] = s[0].step[w] + 1
    if r[0].gates != 0:
        set_gates(s, r, lv, w)
    if r[0].windows > 0:
        if s[0].leased[w] != 0:
            for axis in range(4):
                s[0].highest[4 * w + axis] = wp.max(s[0].highest[4 * w + axis], s[0].lift[4 * w + axis])
        update_leases(s, r, lv, w)
        settle_phase(s, r, w)
    out[0].reward[w] = reward
    out[0].contact[w] = s[0].contact[w]
    truncated = not over and s[0].step[w] >= r[0].horizon
    out[0].terminated[w] = over
    out[0].truncated[w] = truncated
    observe(s, r, lv, out, w, met & CHANGED_BIT)
    if over or truncated:
        end(s, r, out, w)
        if r[0].auto_reset != 0:
            begin(s, r, lv, w, -1)
            observe(s, r, lv, out, w, 1)
    if s[0].granted[w] != granted:
        write_mask(r, out, w, s[0].granted[w])


@wp.kernel
def reset_worlds(
    first: int,
    s: WorldsRef,
    r: RulesRef,
    lv: LevelsRef,
    out: OutcomeRef,
    chosen: wp.array(dtype=wp.bool),
    forced: wp.array(dtype=wp.int32),
):
    """Begin an episode in the chosen worlds of a slice, on the forced level where one is given."""
    w = first + wp.tid()
    if chosen[w]:
        begin(s, r, lv, w, forced[w])
        observe(s, r, lv, out, w, 1)
        write_mask(r, out, w, s[0].granted[w])
        forget_edit(out, w)
        out[0].contact[w] = 0
        out[0].terminated[w] = False
        out[0].truncated[w] = False
