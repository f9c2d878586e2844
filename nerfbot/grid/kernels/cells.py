"""What lies in the cells of one world, and how bodies are put there and removed."""

from __future__ import annotations

import warp as wp

from nerfbot.grid.codes import CHEST, CORNER_MARK, FINISH_PAD, GATE, MARKED, OBJECT, OPEN, RAMP, STEP, WALL
from nerfbot.grid.kernels.state import GROUND_SPENT, LevelsRef, RulesRef, WorldsRef


@wp.func
def kind_at(s: WorldsRef, r: RulesRef, w: int, cell: int) -> int:
    """First byte of a cell."""
    return wp.int32(s[0].cells[w * r[0].row_bytes + 3 * cell])


@wp.func
def colour_at(s: WorldsRef, r: RulesRef, w: int, cell: int) -> int:
    """Second byte of a cell."""
    return wp.int32(s[0].cells[w * r[0].row_bytes + 3 * cell + 1])


@wp.func
def state_at(s: WorldsRef, r: RulesRef, w: int, cell: int) -> int:
    """Third byte of a cell."""
    return wp.int32(s[0].cells[w * r[0].row_bytes + 3 * cell + 2])


@wp.func
def ground_kind(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int) -> int:
    """Kind of the ground in a cell, below any body."""
    return wp.int32(lv[0].ground[s[0].level[w] * r[0].row_bytes + 3 * cell])


@wp.func
def ground_colour(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int) -> int:
    """Colour of the ground in a cell."""
    return wp.int32(lv[0].ground[s[0].level[w] * r[0].row_bytes + 3 * cell + 1])


@wp.func
def is_body(kind: int) -> bool:
    """Whether a kind is a body (else it is ground)."""
    return (kind >= WALL and kind <= CHEST) or kind >= OBJECT


@wp.func
def is_relief(kind: int) -> bool:
    """Whether this ground is a ramp or a step."""
    return kind >= RAMP and kind <= STEP


@wp.func
def interior(r: RulesRef, cell: int) -> bool:
    """Whether a cell lies inside the outer wall."""
    return r[0].inside[cell] != wp.uint8(0)


@wp.func
def distance_of(r: RulesRef, command: int) -> int:
    """How far in cell numbers a move goes."""
    return r[0].distance[command]


@wp.func
def clear(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int):
    """Remove the body in a cell, with its mark of a goal that was reached."""
    here = w * r[0].row_bytes + 3 * cell
    bare = s[0].level[w] * r[0].row_bytes + 3 * cell
    s[0].cells[here] = lv[0].ground[bare]
    s[0].cells[here + 1] = lv[0].ground[bare + 1]
    s[0].cells[here + 2] = lv[0].ground[bare + 2]
    if r[0].lasting_goals != 0:
        at = w * r[0].cells + cell
        s[0].spent[at] = wp.uint8(wp.int32(s[0].spent[at]) & GROUND_SPENT)


@wp.func
def put(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int, cell: int, kind: int, colour: int):
    """Put a body into a cell."""
    here = w * r[0].row_bytes + 3 * cell
    bare = s[0].level[w] * r[0].row_bytes + 3 * cell
    state = wp.int32(lv[0].ground[bare + 2])
    ground = wp.int32(lv[0].ground[bare])
    if ground == CORNER_MARK or ground == FINISH_PAD:
        state = state | MARKED
    s[0].cells[here] = wp.uint8(kind)
    s[0].cells[here + 1] = wp.uint8(colour)
    s[0].cells[here + 2] = wp.uint8(state)


@wp.func
def thing_in(s: WorldsRef, r: RulesRef, w: int, cell: int) -> int:
    """Index of the block, gate or fragile object in a cell, or -1."""
    index = wp.int32(-1)
    for i in range(r[0].things):
        if s[0].thing_cell[w * r[0].things + i] == cell:
            index = i
    return index


@wp.func
def update_gates(s: WorldsRef, r: RulesRef, lv: LevelsRef, w: int):
    """Open and shut every gate by the time."""
    now = wp.float64(s[0].step[w]) * r[0].tick
    for i in range(r[0].things):
        cell = s[0].thing_cell[w * r[0].things + i]
        at = s[0].level[w] * r[0].things + i
        if cell >= 0 and wp.int32(lv[0].thing_kind[at]) == GATE:
            here = w * r[0].row_bytes + 3 * cell + 2
            state = wp.int32(s[0].cells[here])
            if wp.mod(now + lv[0].thing_c[at], lv[0].thing_a[at]) < lv[0].thing_b[at]:
                s[0].cells[here] = wp.uint8(state | OPEN)
            else:
                s[0].cells[here] = wp.uint8(state & ~OPEN)
