"""Observations and masks inside the kernels, written into the caller's buffers at every step."""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import AGENT, COLOURS, FOG
from nerfbot.grid.kernels.cells import state_at
from nerfbot.grid.kernels.command_path import limit
from nerfbot.grid.kernels.leases import charges_left, time_left
from nerfbot.grid.kernels.state import (
    KEY_SLOTS,
    QUANTITIES,
    SENSORS,
    SIGHT,
    LevelsRef,
    OutcomeRef,
    RulesRef,
    WorldsRef,
)

_COLOURS = wp.constant(wp.int32(len(COLOURS)))

UNLIMITED_SIGHT = 1.0e9
"""Range of sight without fog, m."""


@wp.func
def cells_to_part(cells: int, part: int, parts: int) -> int:
    """Cells to the end of `part` of `parts` equal parts of a line of `cells` (of either sign), rounded."""
    gone = (2 * wp.abs(cells) * part + parts) // (2 * parts)
    if cells < 0:
        gone = -gone
    return gone


@wp.func
def sight_through(
    s: WorldsRef,
    r: RulesRef,
    lv: LevelsRef,
    w: int,
    down: int,
    right: int,
    distance: wp.float64,
    own: wp.float64,
) -> wp.float64:
    """Range of sight towards a cell, m. The cell lies `down` and `right` of the agent, `distance` m away.

    Where the line of sight enters fog, it reaches on for the fog's visibility, or with sensing lifted for
    the sensor's `own` range. The line is followed in quarters of a cell.
    """
    sight = wp.float64(UNLIMITED_SIGHT)
    parts = 4 * wp.max(wp.abs(down), wp.abs(right))
    for part in range(parts):
        at = (
            s[0].cell[w] + cells_to_part(down, part, parts) * r[0].columns + cells_to_part(right, part, parts)
        )
        if (state_at(s, r, w, at) & FOG) != 0:
            visibility = r[0].visibility[wp.int32(lv[0].zone[s[0].level[w] * r[0].cells + at])]
            more = s[0].lift[4 * w + 2] * wp.max(own - visibility, wp.float64(0.0))
            entry = distance * wp.float64(part) / wp.float64(parts)
            sight = wp.min(sight, entry + visibility + more)
    return sight


@wp.func
def blank_out_of_sight(s: WorldsRef, r: RulesRef, lv: LevelsRef, out: OutcomeRef, w: int):
    """Blank every cell that is out of a sensor's range, or behind too much fog."""
    reach = limit(s, r, w, SIGHT, 2)
    own = r[0].nerf[(s[0].nerf[w] * QUANTITIES + SIGHT) * 2 + 1]
    for sensor in range(1, SENSORS):
        reach = wp.max(reach, limit(s, r, w, SIGHT + sensor, 2))
        own = wp.max(own, r[0].nerf[(s[0].nerf[w] * QUANTITIES + SIGHT + sensor) * 2 + 1])
    row = s[0].cell[w] // r[0].columns
    column = s[0].cell[w] - row * r[0].columns
    for cell in range(r[0].cells):
        down = cell // r[0].columns - row
        right = cell - (cell // r[0].columns) * r[0].columns - column
        distance = wp.sqrt(wp.float64(down * down + right * right)) * r[0].cell
        far = reach
        if r[0].short_sight > 1 and distance <= reach:
            far = wp.min(far, sight_through(s, r, lv, w, down, right, distance, own))
        if distance > far + wp.float64(1.0e-9):
            at = w * r[0].row_bytes + 3 * cell
            out[0].cells[at] = wp.uint8(0)
            out[0].cells[at + 1] = wp.uint8(0)
            out[0].cells[at + 2] = wp.uint8(0)


@wp.func
def write_vector(s: WorldsRef, r: RulesRef, out: OutcomeRef, w: int, changed: int):
    """Write the vector: progress, phasing, keys by colour, then lifts, grants, time and charges if revealed.

    Keys are written where they may have `changed`, the rest where a lease is or was in force.
    """
    at = w * r[0].features
    out[0].vector[at] = wp.float32(s[0].progress[w])
    out[0].vector[at + 1] = wp.float32(s[0].phasing[w])
    at += 2
    if r[0].keys != 0:
        if changed != 0:
            for colour in range(_COLOURS):
                out[0].vector[at + colour] = wp.float32(s[0].keys[w * KEY_SLOTS + colour + 1])
        at += _COLOURS
    if r[0].reveal != 0 and (s[0].leased[w] | s[0].observed_leases[w]) != 0:
        if s[0].observed_leases[w] < 0:
            for axis in range(4):
                out[0].vector[at + axis] = wp.float32(s[0].lift[4 * w + axis])
            for edit in range(5):
                out[0].vector[at + 4 + edit] = wp.float32((s[0].granted[w] >> edit) & 1)
        s[0].observed_leases[w] = s[0].leased[w]
        if r[0].windows > 0:
            out[0].vector[at + 9] = wp.float32(time_left(s, r, w))
            out[0].vector[at + 10] = wp.float32(charges_left(s, r, w))


@wp.func
def observe(s: WorldsRef, r: RulesRef, lv: LevelsRef, out: OutcomeRef, w: int, changed: int):
    """Write a world's observation; `changed` where keys may have been taken or used since the last one."""
    for i in range(r[0].chunks):
        out[0].chunks[w * r[0].chunks + i] = s[0].chunks[w * r[0].chunks + i]
    if r[0].short_sight != 0:
        blank_out_of_sight(s, r, lv, out, w)
    here = w * r[0].row_bytes + 3 * s[0].cell[w] + 2
    out[0].cells[here] = wp.uint8(wp.int32(out[0].cells[here]) | AGENT)
    write_vector(s, r, out, w, changed)


@wp.func
def copy_final_observation(r: RulesRef, out: OutcomeRef, w: int):
    """Store the last observation of an episode."""
    for i in range(r[0].chunks):
        out[0].final_chunks[w * r[0].chunks + i] = out[0].chunks[w * r[0].chunks + i]
    for i in range(r[0].features):
        out[0].final_vector[w * r[0].features + i] = out[0].vector[w * r[0].features + i]


@wp.func
def write_mask(r: RulesRef, out: OutcomeRef, w: int, granted: int):
    """Which actions are available: all moves, and the edits that are granted (all if not revealed)."""
    for action in range(r[0].actions):
        edit = r[0].edit_of[action]
        open_now = edit < 0 or r[0].reveal == 0
        if not open_now:
            open_now = ((granted >> edit) & 1) != 0
        out[0].mask[w * r[0].actions + action] = open_now
