"""Observations and masks inside the kernels, written into the caller's buffers at every step."""

from __future__ import annotations

import warp as wp

from nerfbot.grid.cells import state_at
from nerfbot.grid.codes import AGENT, COLOUR_CODES, FOG
from nerfbot.grid.leases import charges_left, time_left
from nerfbot.grid.motion import limit
from nerfbot.grid.state import KEY_SLOTS, SIGHT, LevelArrays, Outcome, Rules, Worlds


@wp.func
def sight_in(
    s: wp.array(dtype=Worlds),
    r: wp.array(dtype=Rules),
    lv: wp.array(dtype=LevelArrays),
    w: wp.int32,
    cell: wp.int32,
    reach: wp.float64,
) -> wp.float64:
    """How far, in m, a sensor of that reach sees from or into a cell; fog shortens it."""
    if (state_at(s, r, w, cell) & FOG) == 0:
        return reach
    visibility = r[0].visibility[wp.int32(lv[0].zone[s[0].level[w] * r[0].cells + cell])]
    clear_sight = wp.max(reach, visibility)
    return wp.min(reach, visibility + s[0].lift[4 * w + 2] * (clear_sight - visibility))


@wp.func
def hide_unseen(
    s: wp.array(dtype=Worlds),
    r: wp.array(dtype=Rules),
    lv: wp.array(dtype=LevelArrays),
    out: wp.array(dtype=Outcome),
    w: wp.int32,
):
    """Blank every cell that is out of sight: sight is limited here and there, the nearer limit holds."""
    reach = limit(s, r, w, SIGHT, 2)
    mine = sight_in(s, r, lv, w, s[0].cell[w], reach)
    row = s[0].cell[w] // r[0].columns
    column = s[0].cell[w] - row * r[0].columns
    for cell in range(r[0].cells):
        down = cell // r[0].columns - row
        right = cell - (cell // r[0].columns) * r[0].columns - column
        distance = wp.float64(down * down + right * right) * r[0].cell * r[0].cell
        far = wp.min(mine, sight_in(s, r, lv, w, cell, reach))
        if distance > far * far + wp.float64(1.0e-9):
            at = w * r[0].row_bytes + 3 * cell
            out[0].cells[at] = wp.uint8(0)
            out[0].cells[at + 1] = wp.uint8(0)
            out[0].cells[at + 2] = wp.uint8(0)


@wp.func
def write_vector(
    s: wp.array(dtype=Worlds), r: wp.array(dtype=Rules), out: wp.array(dtype=Outcome), w: wp.int32
):
    """The float part: progress, phasing, keys by colour, then lifts, grants, time and charges if revealed."""
    at = w * r[0].features
    out[0].vector[at] = wp.float32(s[0].progress[w])
    out[0].vector[at + 1] = wp.float32(s[0].phasing[w])
    at += 2
    if r[0].keys != 0:
        for colour in range(1, COLOUR_CODES - 5):
            out[0].vector[at] = wp.float32(s[0].keys[w * KEY_SLOTS + colour])
            at += 1
    if r[0].reveal != 0:
        for axis in range(4):
            out[0].vector[at + axis] = wp.float32(s[0].lift[4 * w + axis])
        for edit in range(5):
            out[0].vector[at + 4 + edit] = wp.float32((s[0].granted[w] >> edit) & 1)
        if r[0].windows > 0:
            out[0].vector[at + 9] = wp.float32(time_left(s, r, w))
            out[0].vector[at + 10] = wp.float32(charges_left(s, r, w))


@wp.func
def observe(
    s: wp.array(dtype=Worlds),
    r: wp.array(dtype=Rules),
    lv: wp.array(dtype=LevelArrays),
    out: wp.array(dtype=Outcome),
    w: wp.int32,
):
    """Write a world's observation."""
    for i in range(r[0].chunks):
        out[0].chunks[w * r[0].chunks + i] = s[0].chunks[w * r[0].chunks + i]
    if r[0].short_sight != 0:
        hide_unseen(s, r, lv, out, w)
    mine = w * r[0].row_bytes + 3 * s[0].cell[w] + 2
    out[0].cells[mine] = wp.uint8(wp.int32(out[0].cells[mine]) | AGENT)
    write_vector(s, r, out, w)


@wp.func
def keep_final(r: wp.array(dtype=Rules), out: wp.array(dtype=Outcome), w: wp.int32):
    """Keep the observation that ended an episode."""
    for i in range(r[0].chunks):
        out[0].final_chunks[w * r[0].chunks + i] = out[0].chunks[w * r[0].chunks + i]
    for i in range(r[0].features):
        out[0].final_vector[w * r[0].features + i] = out[0].vector[w * r[0].features + i]


@wp.func
def write_mask(r: wp.array(dtype=Rules), out: wp.array(dtype=Outcome), w: wp.int32, granted: wp.int32):
    """Which actions are available: every move, and the edits that are granted (all where nothing is told)."""
    for action in range(r[0].actions):
        edit = r[0].power[action]
        open_now = edit < 0 or r[0].reveal == 0
        if not open_now:
            open_now = ((granted >> edit) & 1) != 0
        out[0].mask[w * r[0].actions + action] = open_now
