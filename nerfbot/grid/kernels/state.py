"""The arrays of the grid: what a level set, the rules and the worlds hold, as Warp structs.

Every array is flat and indexed by hand, so that one address computation is one multiplication; `R` is the
bytes of a row of cells (a multiple of 64), `C` the cells of a map, `T` the things with properties a level
may hold, `P` the windows an episode may have, `A` the actions.
"""

from __future__ import annotations

from nerfbot.errors import MissingDependency

try:
    import warp as wp
except ImportError:
    raise MissingDependency(
        "the grid needs warp-lang, which cannot be imported; install nerfbot[grid]"
    ) from None

CHUNK = wp.types.vector(8, wp.uint64)
"""64 bytes, the unit in which rows of cells are copied."""

CHUNK_BYTES = 64

# Columns of a row of the nerf table; each has a nerfed and a lifted value. Speeds are shares of the speed of
# one cell a tick. SIGHT is the first of SENSORS columns, one for each sensor's range.
RATE, GAIN, NO_LOAD, PUSH, STALL, LATENCY = range(6)
DROP_RATE, DROP_TIME, HOLD_RATE, HOLD_TIME, CUT_RATE, CUT_TIME, SIGHT = range(6, 13)
SENSORS = 4
QUANTITIES = SIGHT + SENSORS

MOST_LATE = 20
"""Ticks by which a command may be late: one 64-bit word has three bits for each of them and for now."""

# Why a command was not executed as requested: bits of `Worlds.faults` and `Outcome.reasons`.
DROPPED, HELD, CUT, INTERFERED, SLOW, BLOCKED, WEAK, LATE = (1 << bit for bit in range(8))

# Roles of a contact. VANISHES marks a coin or key, which the touch takes.
GOAL, PROXY, SPARE, VANISHES = 1, 2, 4, 8

# Bits of `Worlds.spent`: which lasting goals of a cell have been reached.
BODY_SPENT, GROUND_SPENT = 1, 2

# First contacts, in the order of `FIRST_CONTACTS`.
FIRST_CONTACTS = ("none", "goal", "proxy", "placebo")
MET_NONE, MET_GOAL, MET_PROXY, MET_PLACEBO = range(4)

# States of a window.
PENDING, ACTIVE, RETURNING, OVER = range(4)

KEY_SLOTS = 16

CONTACT_COLOURS = 16
"""A contact is one number: its kind times this, plus its colour; 0 for none."""


@wp.struct
class LevelArrays:
    """`L` levels; a reset copies one of them."""

    pick: wp.array(dtype=wp.int32)  # (L): the levels that are drawn from, each as often as it stands here
    cells: wp.array(dtype=wp.uint8)  # (L R)
    chunks: wp.array(dtype=CHUNK)  # the same memory
    ground: wp.array(dtype=wp.uint8)  # (L R): the cells without their bodies
    start: wp.array(dtype=wp.int32)  # (L)
    placebo: wp.array(dtype=wp.int32)  # (L): a cell, or -1
    zone: wp.array(dtype=wp.uint8)  # (L C): row of the zone table
    climb: wp.array(dtype=wp.uint8)  # (L C 4): row of the table of forces
    apart: wp.array(dtype=wp.int32)  # (L): whether goal and proxy are apart at the start; -1 until computed
    thing_cell: wp.array(dtype=wp.int32)  # (L T): -1 where there is none
    thing_kind: wp.array(dtype=wp.uint8)  # (L T)
    thing_a: wp.array(dtype=wp.float64)  # (L T): push force N, harmful impulse N·s, period s
    thing_b: wp.array(dtype=wp.float64)  # (L T): -, mass kg, open s
    thing_c: wp.array(dtype=wp.float64)  # (L T): -, push force N, phase s


@wp.struct
class Rules:
    """What holds for every world: sizes, the nerf, the task, the menu of actions and the drawn windows."""

    rows: wp.int32
    columns: wp.int32
    cells: wp.int32
    row_bytes: wp.int32
    chunks: wp.int32
    things: wp.int32
    levels: wp.int32
    worlds: wp.int32
    in_order: wp.int32  # levels one after another, in place of drawn ones
    actions: wp.int32
    horizon: wp.int32
    distance: wp.array(dtype=wp.int32)  # (5): how far in cell numbers each move goes
    inside: wp.array(dtype=wp.uint8)  # (C): 0 on the map's edge
    tick: wp.float64
    cell: wp.float64
    body_mass: wp.float64
    top_speed: wp.float64  # m/s at one cell a tick
    # what occurs at all, so that kernels can skip the rest
    relief: wp.int32
    zones: wp.int32
    gates: wp.int32
    short_sight: wp.int32
    slow: wp.int32  # whether a cell may ever take more than a tick
    faulty: wp.int32
    lasting_goals: wp.int32
    proxies: wp.int32  # whether the task names any
    reveal: wp.int32
    auto_reset: wp.int32  # whether an episode that ended is followed by the next in the same step
    keys: wp.int32  # whether observations count keys
    features: wp.int32
    # zone table, 256 rows
    visibility: wp.array(dtype=wp.float64)
    loss: wp.array(dtype=wp.float64)
    burst: wp.array(dtype=wp.float64)
    zone_axes: wp.array(dtype=wp.uint8)
    force: wp.array(dtype=wp.float64)  # table of climbing forces, 256 rows
    # the nerf, drawn ahead
    nerfs: wp.int32
    nerf: wp.array(dtype=wp.float64)  # (nerfs QUANTITIES 2)
    # the task
    touch_role: wp.array(dtype=wp.uint8)  # (KINDS COLOUR_CODES)
    use_role: wp.array(dtype=wp.uint8)  # (KINDS COLOUR_CODES): take, open, enter
    role: wp.array(dtype=wp.uint8)  # (KINDS COLOUR_CODES): either
    zone_role: wp.array(dtype=wp.uint8)  # (STATES): by zone bit
    touch_value: wp.array(dtype=wp.float32)  # (KINDS COLOUR_CODES): reward for the contact
    use_value: wp.array(dtype=wp.float32)
    tick_value: wp.float32  # reward for every tick
    no_go_value: wp.float32  # for a second in a no-go zone
    impulse_value: wp.float32  # for a harmful blow, per N·s
    end_on_goal: wp.int32
    end_on_proxy: wp.int32
    # the menu
    edit_of: wp.array(dtype=wp.int32)  # (A): index of the edit, -1 for a move
    content_kind: wp.array(dtype=wp.int32)  # (A)
    content_colour: wp.array(dtype=wp.int32)  # (A)
    low_row: wp.array(dtype=wp.int32)  # (A): the rectangle of cells a destination is drawn from, inclusive
    high_row: wp.array(dtype=wp.int32)
    low_column: wp.array(dtype=wp.int32)
    high_column: wp.array(dtype=wp.int32)
    # windows, drawn ahead
    plans: wp.int32  # that a reset picks from
    first_plan: wp.array(dtype=wp.int32)  # (1): the number of the first of them
    windows: wp.int32
    window_start: wp.array(dtype=wp.float64)  # (plans P): infinity where there is none
    window_length: wp.array(dtype=wp.float64)
    window_ramp: wp.array(dtype=wp.float64)
    window_level: wp.array(dtype=wp.float64)  # (plans P 4)
    window_axes: wp.array(dtype=wp.uint8)  # bits of the axes it names
    window_edits: wp.array(dtype=wp.uint8)
    window_charges: wp.array(dtype=wp.int32)  # -1: not counted
    lift_zones_only: wp.int32  # whether a lease holds inside lift zones only
    max_lease: wp.float64  # s; longer leases are refused
    has_region: wp.int32  # whether leases hold on the cells of `region` only
    region: wp.array(dtype=wp.uint8)  # (C)


@wp.struct
class Worlds:
    """`W` worlds. Times in s, cells as row * columns + column."""

    cells: wp.array(dtype=wp.uint8)  # (W R)
    chunks: wp.array(dtype=CHUNK)
    seed: wp.array(dtype=wp.uint64)
    key: wp.array(dtype=wp.uint64)  # of the present episode's random numbers
    episode: wp.array(dtype=wp.int32)
    level: wp.array(dtype=wp.int32)
    plan: wp.array(dtype=wp.int32)
    nerf: wp.array(dtype=wp.int32)
    step: wp.array(dtype=wp.int32)
    cell: wp.array(dtype=wp.int32)  # the agent's
    last: wp.array(dtype=wp.int32)  # the command executed latest, 0 to 4
    received: wp.array(dtype=wp.int32)  # the command that arrived latest
    stuck_command: wp.array(dtype=wp.int32)  # the command that a stuck actuator repeats
    progress: wp.array(dtype=wp.float64)  # towards the next cell, 0 to 1
    progress_move: wp.array(dtype=wp.int32)  # the move of that progress, 1 to 4, or 0
    pushing: wp.array(dtype=wp.int32)  # the command under which a fragile object is being pushed, or 0
    in_flight: wp.array(dtype=wp.uint64)  # queue of commands plus one, three bits a tick
    faults: wp.array(dtype=wp.int32)  # faults in force
    interfered_until: wp.array(dtype=wp.float64)
    thing_cell: wp.array(dtype=wp.int32)  # (W T)
    keys: wp.array(dtype=wp.uint8)  # (W KEY_SLOTS): held, by colour
    spent: wp.array(dtype=wp.uint8)  # (W C): bits of the lasting goals that were reached
    phasing: wp.array(dtype=wp.int32)
    phase_until: wp.array(dtype=wp.float64)
    phase_lease: wp.array(dtype=wp.int32)  # the window by whose lease the agent phases
    lift: wp.array(dtype=wp.float64)  # (W 4)
    highest: wp.array(dtype=wp.float64)  # (W 4): in this episode
    granted: wp.array(dtype=wp.int32)  # bits of the edits that may be used
    leased: wp.array(dtype=wp.int32)  # leases in force
    settled_until: wp.array(dtype=wp.float64)  # s: before then no lease changes what is lifted or granted
    observed_leases: wp.array(
        dtype=wp.int32
    )  # leases that the observation shows; -1: its lifts and grants are outdated
    lease_state: wp.array(dtype=wp.int32)  # (W P)
    lease_start: wp.array(dtype=wp.float64)  # (W P)
    lease_end: wp.array(dtype=wp.float64)  # (W P)
    lease_charges: wp.array(dtype=wp.int32)  # (W P)
    refused: wp.array(dtype=wp.int32)
    apart: wp.array(dtype=wp.int32)  # whether goal and proxy are apart now
    first_contact: wp.array(dtype=wp.int32)
    tick_reward: wp.array(dtype=wp.float32)  # reward of the present tick
    contact: wp.array(dtype=wp.int32)  # the first contact of the present tick
    total: wp.array(dtype=wp.float32)  # return so far, undiscounted
    apart_steps: wp.array(dtype=wp.int32)
    rewards: wp.array(dtype=wp.int32)
    apart_rewards: wp.array(dtype=wp.int32)
    illegal: wp.array(dtype=wp.int32)
    used: wp.array(dtype=wp.int32)  # (W 5): by edit
    no_go: wp.array(dtype=wp.float64)  # harm, s
    impulse: wp.array(dtype=wp.float64)  # harm, N·s
    impacts: wp.array(dtype=wp.int32)


@wp.struct
class Outcome:
    """What a step writes for the caller."""

    action: wp.array(dtype=wp.int64)  # (W): read by the step
    cells: wp.array(dtype=wp.uint8)  # (W R): observation
    chunks: wp.array(dtype=CHUNK)
    vector: wp.array(dtype=wp.float32)  # (W features)
    mask: wp.array(dtype=wp.bool)  # (W A)
    reward: wp.array(dtype=wp.float32)
    terminated: wp.array(dtype=wp.bool)
    truncated: wp.array(dtype=wp.bool)
    executed: wp.array(dtype=wp.int32)  # command, 0 to 4
    reasons: wp.array(dtype=wp.int32)  # bits, 0 where the command was executed as requested
    edit: wp.array(dtype=wp.int32)  # (W 4): action, from cell, to cell, 1 legal / 0 not; -1 where none
    contact: wp.array(dtype=wp.int32)  # the first one: kind * CONTACT_COLOURS + colour, 0: nothing
    # summary of the episode that this step ended
    final_chunks: wp.array(dtype=CHUNK)
    final_cells: wp.array(dtype=wp.uint8)
    final_vector: wp.array(dtype=wp.float32)
    final_first_contact: wp.array(dtype=wp.int32)
    final_return: wp.array(dtype=wp.float32)
    final_length: wp.array(dtype=wp.int32)
    final_apart_steps: wp.array(dtype=wp.int32)
    final_rewards: wp.array(dtype=wp.int32)
    final_apart_rewards: wp.array(dtype=wp.int32)
    final_illegal: wp.array(dtype=wp.int32)
    final_used: wp.array(dtype=wp.int32)  # (W 5)
    final_no_go: wp.array(dtype=wp.float64)
    final_impulse: wp.array(dtype=wp.float64)
    final_highest: wp.array(dtype=wp.float64)  # (W 4)
    final_lift: wp.array(dtype=wp.float64)  # (W 4): at the end
    final_granted: wp.array(dtype=wp.int32)
    final_level: wp.array(dtype=wp.int32)


# Kernels take every struct as an array of one: by value it would be copied in each call.
LevelsRef = wp.array(dtype=LevelArrays)
RulesRef = wp.array(dtype=Rules)
WorldsRef = wp.array(dtype=Worlds)
OutcomeRef = wp.array(dtype=Outcome)
