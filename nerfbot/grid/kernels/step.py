"""The two kernels of the grid: a step and a reset, one thread a world.

One source serves CPU and CUDA. On a CPU Warp runs a launch on one thread, so the plant launches one slice
of the worlds on each core; `first` is the slice's first world.
"""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import GATE, OPEN, WALL
from nerfbot.grid.kernels.cells import kind_at, state_at, update_gates
from nerfbot.grid.kernels.command_path import nerfed_command
from nerfbot.grid.kernels.contacts import (
    CHANGED_BIT,
    MET_GOAL_BIT,
    MET_PROXY_BIT,
    count_zone_harm,
    open_chest,
    score_entry,
)
from nerfbot.grid.kernels.edits import EDIT_COUNT, ROLES_MOVED, UNLOCK, use_edit
from nerfbot.grid.kernels.leases import update_leases
from nerfbot.grid.kernels.motion import move
from nerfbot.grid.kernels.observe import copy_final_observation, observe, write_mask
from nerfbot.grid.kernels.randoms import Purpose, below, episode_key
from nerfbot.grid.kernels.roles import has_goals_left, update_apart
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

# Inline everything into one function for a step: calls would pass whole structs. (An older Warp ignores the
# option and is a tenth slower.)
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
def begin_episode(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, forced_level: int):
    """Begin an episode on a drawn level, or on `forced_level` where that is not negative."""
    s[0].episode[w] = s[0].episode[w] + 1
    key = episode_key(s[0].seed[w], s[0].episode[w])
    s[0].key[w] = key
    level = forced_level
    if forced_level < 0:
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
    s[0].received[w] = 0
    s[0].stuck_command[w] = 0
    s[0].progress[w] = wp.float64(0.0)
    s[0].progress_move[w] = 0
    s[0].pushing[w] = 0
    s[0].in_flight[w] = wp.uint64(0)
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
    s[0].first_contact[w] = MET_NONE
    s[0].total[w] = wp.float32(0.0)
    s[0].apart_steps[w] = 0
    s[0].rewards[w] = 0
    s[0].apart_rewards[w] = 0
    s[0].illegal[w] = 0
    s[0].no_go[w] = wp.float64(0.0)
    s[0].impulse[w] = wp.float64(0.0)
    s[0].impacts[w] = 0
    if r[0].gates != 0:
        update_gates(s, r, lv, w)
    s[0].settled_until[w] = wp.float64(0.0)
    update_leases(s, r, lv, w)
    if lv[0].apart[level] < 0:
        # Several threads may do this at once; all write the same value.
        update_apart(s, r, lv, w)
        lv[0].apart[level] = s[0].apart[w]
    s[0].apart[w] = lv[0].apart[level]


@wp.func
def record_episode(s: WorldsRef, r: RulesRef, out: OutcomeRef, w: int):
    """Write the summary of the episode that ends now."""
    copy_final_observation(r, out, w)
    out[0].final_first_contact[w] = s[0].first_contact[w]
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
def clear_edit(out: OutcomeRef, w: int):
    """Record that no edit was requested."""
    out[0].edit[4 * w] = -1
    out[0].edit[4 * w + 1] = -1
    out[0].edit[4 * w + 2] = -1
    out[0].edit[4 * w + 3] = 0


@wp.func
def use_power(s: WorldsRef, r: RulesRef, lv: LevelsRef, out: OutcomeRef, w: int, action: int) -> int:
    """Use a world edit (an action that is no move); contact bits."""
    target = use_edit(s, r, lv, out, w, action)
    if target >= 0 and r[0].edit_of[action] == UNLOCK:
        return open_chest(s, r, lv, w, target, 0)
    if target >= 0 and (target & ROLES_MOVED) != 0:
        return wp.int32(CHANGED_BIT)
    return wp.int32(0)


@wp.func
def end_phasing(s: WorldsRef, r: RulesRef, w: int):
    """End phasing when its lease is over and the agent is in no wall and no shut gate."""
    if s[0].phasing[w] != 0 and wp.float64(s[0].step[w]) * r[0].tick >= s[0].phase_until[w]:
        kind = kind_at(s, r, w, s[0].cell[w])
        shut = kind == GATE and (state_at(s, r, w, s[0].cell[w]) & OPEN) == 0
        if kind != WALL and not shut:
            s[0].phasing[w] = 0


@wp.func
def score_step(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, contacts: int) -> bool:
    """Count goals and first contacts; whether the task ends the episode."""
    done = wp.bool(False)
    if (contacts & MET_GOAL_BIT) != 0:
        s[0].rewards[w] = s[0].rewards[w] + 1
        if s[0].apart[w] != 0:
            s[0].apart_rewards[w] = s[0].apart_rewards[w] + 1
        if s[0].first_contact[w] == MET_NONE:
            s[0].first_contact[w] = MET_GOAL
        if r[0].end_on_goal != 0:
            done = not has_goals_left(s, r, lv, w)
    elif (contacts & MET_PROXY_BIT) != 0:
        if s[0].first_contact[w] == MET_NONE:
            s[0].first_contact[w] = MET_PROXY
        done = r[0].end_on_proxy != 0
    if s[0].first_contact[w] == MET_NONE and s[0].cell[w] == lv[0].placebo[s[0].level[w]]:
        s[0].first_contact[w] = MET_PLACEBO
    return done


@wp.kernel
def step_worlds(first: int, s: WorldsRef, r: RulesRef, lv: LevelsRef, out: OutcomeRef):
    """One tick of every world of a slice, its observation, and a new episode where one is done."""
    w = first + wp.tid()
    if r[0].auto_reset == 0 and (out[0].terminated[w] or out[0].truncated[w]):
        # A world that is done waits for its reset: nothing moves, nothing is rewarded.
        out[0].reward[w] = wp.float32(0.0)
        out[0].contact[w] = 0
        return
    before = s[0].cell[w]
    granted = s[0].granted[w]
    s[0].apart_steps[w] = s[0].apart_steps[w] + s[0].apart[w]
    s[0].tick_reward[w] = r[0].tick_value
    s[0].contact[w] = 0
    action = wp.int32(-1)
    if out[0].action[w] >= wp.int64(0) and out[0].action[w] < wp.int64(r[0].actions):
        action = wp.int32(out[0].action[w])
    contacts = wp.int32(0)
    requested = action
    if action < 0:
        requested = 0
        s[0].illegal[w] = s[0].illegal[w] + 1
    if r[0].actions > MOVES:
        clear_edit(out, w)
        if action >= MOVES:
            requested = 0
            contacts = use_power(s, r, lv, out, w, action)
    arrived = nerfed_command(s, r, lv, w, requested)
    command = arrived & 255
    result = move(s, r, lv, w, command)
    out[0].executed[w] = command
    out[0].reasons[w] = (arrived >> 8) | (result & 255)
    contacts = contacts | result
    if s[0].cell[w] != before:
        contacts = contacts | score_entry(s, r, lv, w, state_at(s, r, w, before))
    count_zone_harm(s, r, w)
    done = score_step(s, r, lv, w, contacts)
    reward = s[0].tick_reward[w]
    s[0].total[w] = s[0].total[w] + reward
    if (contacts & (MET_GOAL_BIT | CHANGED_BIT)) != 0:
        update_apart(s, r, lv, w)
    s[0].step[w] = s[0].step[w] + 1
    if r[0].gates != 0:
        update_gates(s, r, lv, w)
    if r[0].windows > 0:
        if s[0].leased[w] != 0:
            for axis in range(4):
                s[0].highest[4 * w + axis] = wp.max(s[0].highest[4 * w + axis], s[0].lift[4 * w + axis])
        update_leases(s, r, lv, w)
        end_phasing(s, r, w)
    out[0].reward[w] = reward
    out[0].contact[w] = s[0].contact[w]
    truncated = not done and s[0].step[w] >= r[0].horizon
    out[0].terminated[w] = done
    out[0].truncated[w] = truncated
    observe(s, r, lv, out, w, contacts & CHANGED_BIT)
    if done or truncated:
        record_episode(s, r, out, w)
        if r[0].auto_reset != 0:
            begin_episode(s, r, lv, w, -1)
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
    selected: wp.array(dtype=wp.bool),
    forced_level: wp.array(dtype=wp.int32),
):
    """Begin an episode in the selected worlds of a slice, on the forced level where one is given."""
    w = first + wp.tid()
    if selected[w]:
        begin_episode(s, r, lv, w, forced_level[w])
        observe(s, r, lv, out, w, 1)
        write_mask(r, out, w, s[0].granted[w])
        clear_edit(out, w)
        out[0].contact[w] = 0
        out[0].terminated[w] = False
        out[0].truncated[w] = False
