"""The arithmetic of the actuator limiter in plain scalar Python, one control step of one channel at a time.

All of it is in one file, as `compiled`'s cache requires. Limits and state lie in blocks of
robots, so that the compiler works on several robots at once; the constants below say where.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nerfbot.limits.compiled import compiled
from nerfbot.limits.fields import CHANNEL_BURSTS, CHANNEL_FIELDS

UNLIMITED = 1e12
"""Stands for "no limit": finite, so that interpolation never meets inf - inf."""

POSITION_MODE, VELOCITY_MODE, EFFORT_MODE = 0, 1, 2

FIELDS = {field: info for field, info in CHANNEL_FIELDS.items() if field not in CHANNEL_BURSTS}

LANES = 64
"""Robots in a block. A cell holds limits and state of one channel of a block: `COLUMNS` columns of ``LANES``
numbers, end to end. Since the distances are constants the compiler sees that columns never overlap."""

# Where the columns of a cell begin: the limits in the order of the field table, ...
_COLUMN = {field: LANES * number for number, field in enumerate(FIELDS)}
_EFFORT, _STALL, _NO_LOAD, _GAIN = (
    _COLUMN[f] for f in ("effort", "stall_effort", "no_load_velocity", "gain")
)
_VELOCITY, _ACCELERATION = _COLUMN["velocity"], _COLUMN["acceleration"]
_DECELERATION, _JERK = _COLUMN["deceleration"], _COLUMN["jerk"]
_DEAD_BAND, _BACKLASH, _QUANTUM = _COLUMN["dead_band"], _COLUMN["backlash"], _COLUMN["quantum"]
# ... then the state: what the nerf follows with, and what the envelope's guard has let out.
_STATES = 9
_HELD, _GEAR, _TARGET, _AT, _GOAL, _SPEED, _CHANGE, _OUT, _OUT_SPEED = (
    LANES * (len(FIELDS) + number) for number in range(_STATES)
)
COLUMNS = len(FIELDS) + _STATES

# Where the columns of a call begin: what comes in for one cell, and the effort limit that goes out.
_COMMAND, _POSITION, _VELOCITY_NOW, _STUCK, _POWERLESS, _LOST, _STOPPING, _AVAILABLE = (
    LANES * number for number in range(8)
)
_CALL_COLUMNS = 8

# Columns of the envelope: the command's range, then what is measured or follows from the command.
LOW, HIGH, MAX_VELOCITY, MAX_ACCELERATION, STOP_DECELERATION, MAX_EFFORT, DAMPING = range(7)
MIN_VELOCITY, MIN_POSITION, MAX_POSITION = 7, 8, 9
ENVELOPES = 10

# Bits of `Reason`.
_LATENCY_BIT, _HOLD_BIT, _DROP_BIT, _INTERMITTENT_BIT = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_DEAD_BAND_BIT, _BACKLASH_BIT, _QUANTUM_BIT = 1 << 4, 1 << 5, 1 << 6
_JERK_BIT, _ACCELERATION_BIT, _VELOCITY_BIT = 1 << 7, 1 << 8, 1 << 9
_GAIN_BIT, _EFFORT_BIT, _ENVELOPE_BIT = 1 << 10, 1 << 11, 1 << 12

_LASTING = 0xFFFF & ~(_JERK_BIT | _ACCELERATION_BIT | _VELOCITY_BIT | _ENVELOPE_BIT)

_TAPER = 0.1  # over this share below its velocity limit an effort channel's driving effort falls to zero
_HAIR = 1e-9  # of a quantum: keeps 0.7 / 0.1 from falling to 6
_ROUNDING = 1e-9  # share by which a sum may miss what it stands for
_FINE = 2.0**50  # quanta or steps in a number that are too many to count exactly


@compiled
def clamp(value: float, low: float, high: float) -> float:
    """``value`` within [low, high]; ``low`` wins where they cross."""
    return max(min(value, high), low)


@compiled
def modest(array: np.ndarray, most: float) -> bool:
    """Whether every number of a (count, channels) array is finite and at most ``most`` in size."""
    wild = 0
    for number in array.flat:  # without a branch, and NaN compares false
        wild += not abs(number) <= most
    return wild == 0


@compiled
def all_modest(command: np.ndarray, position: np.ndarray, velocity: np.ndarray, most: float) -> bool:
    """Whether all three arrays are `modest`."""
    return modest(command, most) and modest(position, most) and modest(velocity, most)


@compiled
def approach(gap: float, rate: float, dt: float) -> float:
    """Largest step towards a target ``gap`` >= 0 away from which one can still come to rest on it.

    The ``whole`` steps that follow shrink by ``growth = rate * dt**2`` each, and all together are the gap:
    ``step * (whole + 1) - growth * whole * (whole + 1) / 2``.
    """
    growth = rate * dt * dt
    if gap <= growth:
        return gap
    if gap >= growth * _FINE:
        return math.sqrt(2.0 * growth) * math.sqrt(gap)
    whole = np.floor(0.5 * (math.sqrt(1.0 + 8.0 * (gap / growth)) - 1.0))
    return 0.5 * growth * whole + gap / (whole + 1.0)


@compiled
def ample(gap: float, step: float, growth: float) -> bool:
    """Whether `approach` surely allows ``step`` >= 0 over ``gap`` >= 0; to see that takes no root.

    Steps that shrink from ``step`` by ``growth`` each cover at most ``(step + growth / 2)**2 / (2 growth)``.
    """
    return (step + growth) * (step + growth) < 2.0 * growth * gap


@compiled
def reach(velocity: float, acceleration: float, deceleration: float, dt: float) -> float:
    """Largest velocity within one step of ``velocity``, upwards; mirror both for downwards.

    Slowing down is bounded by the deceleration, speeding up by the acceleration; a step through zero
    spends what time is left after braking on speeding up.
    """
    rate = acceleration if velocity >= 0.0 else deceleration
    after = velocity + rate * dt
    if velocity < 0.0 < after:
        after *= acceleration / deceleration
    return after


@compiled
def dead_band(command: float, rest: float, width: float) -> float:
    """``rest`` where the command is closer to it than ``width``."""
    return rest if abs(command - rest) < width else command


@compiled
def backlash(command: float, previous: float, width: float) -> float:
    """Play in the gears: the output is dragged along by the edges of a gap of ``width``."""
    return clamp(previous, command - 0.5 * width, command + 0.5 * width)


@compiled
def quantum(command: float, step: float, nearest: bool) -> float:
    """A multiple of ``step``: the nearest, or the next towards zero, so that no authority is added."""
    if abs(command) >= step * _FINE:
        return command
    offset = 0.5 if nearest else _HAIR
    return math.copysign(np.floor(abs(command) / step + offset) * step, command)


@compiled
def smooth(goal: float, previous: float, speed: float, change: float, jerk: float, dt: float) -> float:
    """Velocity after one step towards ``goal`` under a jerk limit.

    ``previous`` is the last goal: one that was reached is followed exactly as far as the jerk allows;
    another is approached on an S-curve. ``change`` is what the last acceleration adds in this step.
    """
    desired, growth = goal, jerk * dt * dt
    if abs(previous - speed) > growth:
        step = approach(abs(goal - speed), jerk, dt)
        desired = clamp(goal, speed - step, speed + step)
    return clamp(desired, speed + change - growth, speed + change + growth)


@compiled
def towards(
    gap: float, off: float, speed: float, top: float, acceleration: float, deceleration: float, dt: float
) -> float:
    """Step that a position channel wants over ``gap``: all of it where it follows a target that moves.

    It does where it was on its last target (``off`` is how far it was from that) and this one takes no
    more change of ``speed`` than it may make and undo. Any other target is approached as braking allows;
    one from which even ``top`` leaves room to brake is the velocity limit's to bound.
    """
    growth = deceleration * dt * dt
    if ample(abs(gap), top * dt, growth):
        return gap
    change = min(acceleration, deceleration) * dt
    if abs(off) <= growth and abs(gap / dt - speed) <= change * (1.0 + _ROUNDING):
        return gap
    return math.copysign(approach(abs(gap), deceleration, dt), gap)


@compiled
def moved(at: float, velocity: float, desired: float, target: float, dt: float) -> float:
    """Position after one step; the target itself, to the last bit, where nothing limited the way to it."""
    after = at + velocity * dt
    if velocity == desired and abs(target - after) <= _ROUNDING * (1.0 + abs(target)):
        return target
    return after


@compiled
def motor_effort(cap: float, stall: float, no_load: float, driving_speed: float) -> float:
    """Effort available from a DC motor, four quadrants: falls with speed when driving, rises when braking.

    ``driving_speed`` is the speed in the direction of the desired effort; the cap bounds all quadrants.
    """
    return max(min(stall * (1.0 - driving_speed / no_load), cap), 0.0)


@compiled
def guard_position(command: float, at: float, speed: float, envelope: tuple, dt: float) -> float:
    """Next position inside the envelope's range, velocity and acceleration; the range wins."""
    target = clamp(command, envelope[LOW], envelope[HIGH])
    acceleration = envelope[MAX_ACCELERATION]
    deceleration = max(acceleration, envelope[STOP_DECELERATION])
    desired = target - at
    high = min(reach(speed, acceleration, deceleration, dt), envelope[MAX_VELOCITY]) * dt
    low = max(-reach(-speed, acceleration, deceleration, dt), -envelope[MAX_VELOCITY]) * dt
    upwards = desired > 0.0
    room, most = (envelope[HIGH] - at, abs(high)) if upwards else (at - envelope[LOW], abs(low))
    if desired != 0.0 and room >= 0.0 and not ample(room, most, deceleration * dt * dt):
        most = approach(room, deceleration, dt)
        high, low = (min(high, most), low) if upwards else (high, max(low, -most))
    step = min(max(desired, min(low, high)), max(low, high))
    after = target if step == desired else at + step
    return clamp(after, min(envelope[LOW], at), max(envelope[HIGH], at))


@compiled
def speed_towards(gap: float, rate: float, dt: float) -> float:
    """Largest velocity towards the end of a range that is ``gap`` away; 0 at the end and past it."""
    return approach(gap, rate, dt) / dt if gap > 0.0 else 0.0


@compiled
def guard_velocity(
    command: float, speed: float, position: float, measured: bool, envelope: tuple, dt: float
) -> float:
    """Next velocity inside the envelope's acceleration, range, and range of ``position``; the ranges win."""
    acceleration = envelope[MAX_ACCELERATION]
    deceleration = max(acceleration, envelope[STOP_DECELERATION])
    high = reach(speed, acceleration, deceleration, dt)
    low = -reach(-speed, acceleration, deceleration, dt)
    after = clamp(clamp(command, low, high), envelope[LOW], envelope[HIGH])
    if measured and envelope[MAX_POSITION] < UNLIMITED:
        after = min(after, speed_towards(envelope[MAX_POSITION] - position, deceleration, dt))
    if measured and envelope[MIN_POSITION] > -UNLIMITED:
        after = max(after, -speed_towards(position - envelope[MIN_POSITION], deceleration, dt))
    return after + 0.0  # no -0.0


@compiled
def guard_effort(command: float, position: float, velocity: float, known: tuple, envelope: tuple) -> float:
    """Effort inside the envelope's range; none that drives on past its velocity or position range.

    There the damping brakes instead.
    """
    x = clamp(command, envelope[LOW], envelope[HIGH])
    damping = envelope[DAMPING]
    if known[1]:
        if velocity >= envelope[MAX_VELOCITY]:
            x = min(x, damping * (envelope[MAX_VELOCITY] - velocity))
        if velocity <= envelope[MIN_VELOCITY]:
            x = max(x, damping * (envelope[MIN_VELOCITY] - velocity))
    if known[0]:
        outwards = damping * velocity if known[1] else 0.0
        if position >= envelope[MAX_POSITION]:
            x = min(x, -max(outwards, 0.0))
        if position <= envelope[MIN_POSITION]:
            x = max(x, -min(outwards, 0.0))
    return clamp(x, envelope[LOW], envelope[HIGH]) + 0.0  # no -0.0


@compiled
def top_speed_effort(effort: float, velocity: float, top: float, available: float, damping: float) -> float:
    """``effort`` where the command alone keeps a joint below ``top``: driving fades out, then damping brakes.

    ``available``: the largest effort in either direction.
    """
    fading = available * clamp((top - abs(velocity)) / (_TAPER * top), 0.0, 1.0)
    braking = min(damping * max(abs(velocity) - top, 0.0), available)
    most = fading - braking  # in the direction of motion
    return min(effort, most) if velocity >= 0.0 else max(effort, -most)


@compiled
def braking(mode: int, out: float, position: float, velocity: float, envelope: tuple, dt: float) -> float:
    """Next command of a controlled stop, by mode: brake, hold the measured position, or damp."""
    if mode == POSITION_MODE:
        return position
    if mode == VELOCITY_MODE:
        return math.copysign(max(abs(out) - envelope[STOP_DECELERATION] * dt, 0.0), out)
    return -envelope[DAMPING] * velocity


@compiled
def start(cell: np.ndarray, call: np.ndarray, i: int, mode: int, envelope: tuple, known: tuple) -> None:
    """Begin the state in lane ``i`` from what is measured; a position that is not is the first command's."""
    at = call[_POSITION + i] if known[0] else clamp(call[_COMMAND + i], envelope[LOW], envelope[HIGH])
    speed = call[_VELOCITY_NOW + i]
    rest = at if mode == POSITION_MODE else 0.0
    cell[_HELD + i] = rest
    cell[_GEAR + i] = rest
    cell[_TARGET + i] = rest
    cell[_AT + i] = rest
    cell[_GOAL + i] = 0.0
    cell[_SPEED + i] = speed
    cell[_CHANGE + i] = 0.0
    cell[_OUT + i] = speed if mode == VELOCITY_MODE else rest
    cell[_OUT_SPEED + i] = speed


@compiled
def bounds(envelope: np.ndarray, c: int) -> tuple:
    """Row ``c`` as a tuple: what the compiler knows to stay the same while a cell is limited."""
    return (
        envelope[c, LOW],
        envelope[c, HIGH],
        envelope[c, MAX_VELOCITY],
        envelope[c, MAX_ACCELERATION],
        envelope[c, STOP_DECELERATION],
        envelope[c, MAX_EFFORT],
        envelope[c, DAMPING],
        envelope[c, MIN_VELOCITY],
        envelope[c, MIN_POSITION],
        envelope[c, MAX_POSITION],
    )


@compiled
def limit_cell(
    cell: np.ndarray,
    call: np.ndarray,
    reasons: np.ndarray,
    lanes: int,
    mode: int,
    capped: bool,
    bounds_speed: bool,
    envelope: tuple,
    known: tuple,
    dt: float,
    stretch: float,
) -> None:
    """Limit one channel of a block of robots for one step; see `limit` for the arguments.

    Every lane takes the same path through the loop and selects at the end, so that the compiler can work
    on several lanes at once. ``mode`` is a constant where this is called.
    """
    for i in range(lanes):
        out = cell[_OUT + i]
        at_measured = call[_POSITION + i] if known[0] else out
        speed_measured = call[_VELOCITY_NOW + i]
        without_power, stopping = call[_POWERLESS + i] != 0.0, call[_STOPPING + i] != 0.0
        available = cell[_EFFORT + i]
        why = 0

        # reliability
        neutral = at_measured if mode == POSITION_MODE else 0.0
        x, held = call[_COMMAND + i], cell[_HELD + i]
        if call[_STUCK + i] != 0.0:
            why |= _HOLD_BIT if x != held else 0
            x = held
        cell[_HELD + i] = x
        if call[_LOST + i] != 0.0:
            why |= _DROP_BIT if x != neutral else 0
            x = neutral
        if without_power:
            why |= _INTERMITTENT_BIT
            if mode == EFFORT_MODE or not capped:
                x = neutral
        before = x
        x = dead_band(x, out if mode == POSITION_MODE else 0.0, cell[_DEAD_BAND + i])
        why |= _DEAD_BAND_BIT if x != before else 0
        before = x
        x = backlash(x, cell[_GEAR + i], cell[_BACKLASH + i])
        cell[_GEAR + i] = x
        why |= _BACKLASH_BIT if x != before else 0
        before = x
        x = quantum(x, cell[_QUANTUM + i], mode == POSITION_MODE)
        why |= _QUANTUM_BIT if x != before else 0

        # Nothing is aimed at past the envelope's range: what follows must not wind up on the way.
        before = x
        x = clamp(x, envelope[LOW], envelope[HIGH])
        why |= _ENVELOPE_BIT if x != before else 0

        # speed
        top = cell[_VELOCITY + i]
        if mode != EFFORT_MODE:
            acceleration, deceleration = cell[_ACCELERATION + i], cell[_DECELERATION + i]
            # Where the nerf states nothing the envelope's bounds are followed, so that what comes
            # out never lags behind what the nerf has let through.
            fast_bit, push_bit, brake_bit = _VELOCITY_BIT, _ACCELERATION_BIT, _ACCELERATION_BIT
            if mode == POSITION_MODE and top > envelope[MAX_VELOCITY]:
                top, fast_bit = envelope[MAX_VELOCITY], _ENVELOPE_BIT
            if acceleration > envelope[MAX_ACCELERATION]:
                acceleration, push_bit = envelope[MAX_ACCELERATION], _ENVELOPE_BIT
            if deceleration >= UNLIMITED:  # not stated: as good as the acceleration, and as a stop
                deceleration, brake_bit = max(acceleration, envelope[STOP_DECELERATION]), push_bit
            target, at, speed = x, cell[_AT + i], cell[_SPEED + i]
            desired, eased = x, False
            if mode == POSITION_MODE:
                off = cell[_TARGET + i] - at
                step = towards(x - at, off, speed, top, acceleration, deceleration, dt)
                desired, eased = step / dt, step != x - at
            goal = clamp(desired, -top, top)
            why |= fast_bit if goal != desired else brake_bit if eased else 0
            x = goal
            jerk = cell[_JERK + i]
            if mode == VELOCITY_MODE and jerk < UNLIMITED:
                x = smooth(goal, cell[_GOAL + i], speed, stretch * cell[_CHANGE + i], jerk, dt)
                why |= _JERK_BIT if x != goal else 0
            before = x
            low = -reach(-speed, acceleration, deceleration, dt)
            x = clamp(x, low, reach(speed, acceleration, deceleration, dt))
            change_bit = push_bit if abs(x) > abs(speed) else brake_bit
            why |= change_bit if x != before else 0
            # Above its velocity limit (a lift was withdrawn) a channel may only slow down.
            before = x
            x = clamp(x, min(-top, speed), max(top, speed))
            why |= fast_bit if x != before else 0
            cell[_SPEED + i] = x
            if mode == VELOCITY_MODE:
                cell[_GOAL + i] = goal
                cell[_CHANGE + i] = x - speed
            else:
                x = moved(at, x, desired, target, dt)
                cell[_TARGET + i] = target
                cell[_AT + i] = x

        # strength
        if mode != POSITION_MODE:
            before = x
            x *= cell[_GAIN + i]
            why |= _GAIN_BIT if x != before else 0
        if known[1]:
            push = x
            if mode == POSITION_MODE:
                push = x - at_measured
            elif mode == VELOCITY_MODE:
                push = x - speed_measured
            driving = 0.0 if push == 0.0 else math.copysign(1.0, push) * speed_measured
            stall = cell[_STALL + i]
            braking_effort = available
            if stall < UNLIMITED:
                no_load = cell[_NO_LOAD + i]
                braking_effort = motor_effort(available, stall, no_load, -abs(speed_measured))
                available = motor_effort(available, stall, no_load, driving)
        if mode == EFFORT_MODE:
            before = x
            x = clamp(x, -available, available)
            why |= _EFFORT_BIT if x != before else 0
            if known[1] and top < UNLIMITED and not without_power:
                before = x
                available = min(braking_effort, envelope[MAX_EFFORT])  # also to brake at the limit with
                if not bounds_speed:
                    x = top_speed_effort(x, speed_measured, top, available, envelope[DAMPING])
                why |= _VELOCITY_BIT if x != before or abs(speed_measured) >= top else 0
        if without_power:
            available = 0.0

        if stopping:  # instead of all that
            x = braking(mode, out, at_measured, speed_measured, envelope, dt)
            available, why = UNLIMITED, 0

        # envelope, last and unconditional
        before = x
        if mode == POSITION_MODE:
            x = guard_position(x, out, cell[_OUT_SPEED + i], envelope, dt)
        elif mode == VELOCITY_MODE:
            x = guard_velocity(x, out, at_measured, known[0], envelope, dt)
        else:
            x = guard_effort(x, at_measured, speed_measured, known, envelope)
        why |= _ENVELOPE_BIT if x != before else 0
        cell[_OUT + i] = x
        if stopping:  # the nerf goes on from where the stop has led
            cell[_HELD + i] = x
            cell[_GEAR + i] = x
        if mode == POSITION_MODE:
            out_speed = (x - out) / dt
            cell[_OUT_SPEED + i] = out_speed
            if stopping:
                cell[_TARGET + i] = x
                cell[_AT + i] = x
                cell[_SPEED + i] = out_speed
        elif mode == VELOCITY_MODE and stopping:
            cell[_GOAL + i] = x
            cell[_SPEED + i] = x
            cell[_CHANGE + i] = 0.0
        available = min(available, envelope[MAX_EFFORT])
        call[_AVAILABLE + i] = math.inf if available >= UNLIMITED else available
        reasons[i] = why


@compiled
def limit(
    command: np.ndarray,
    sent: np.ndarray,
    faults: np.ndarray,
    position: np.ndarray,
    velocity: np.ndarray,
    known: tuple,
    stopping: np.ndarray,
    dt: float,
    stretch: float,
    envelope: np.ndarray,
    mode: np.ndarray,
    capped: np.ndarray,
    bounds_speed: np.ndarray,
    fresh: np.ndarray,
    cells: np.ndarray,
    value: np.ndarray,
    effort_limit: np.ndarray,
    reasons: np.ndarray,
) -> None:
    """Limit the commands of all robots for one step of ``dt`` s into the last three arrays.

    ``command``, ``position``, ``velocity`` (count, channels), ``sent``, as large: ``command`` if none were
    late; ``known`` = (position is measured, velocity is); ``faults`` (2 channels + 1, count):
    stuck, without power, message lost; ``stopping`` (count,): robots that make a controlled stop instead;
    ``stretch``: this step over the last; ``envelope`` (channels, ENVELOPES); ``capped`` (channels,): whether
    the plant caps the effort; ``bounds_speed`` (channels,): whether it bounds the speed
    under an effort; ``fresh`` (count,): robots whose state begins now; ``cells`` as `blank` makes them, with
    the limits of `place`.
    """
    channels, call, why = command.shape[1], np.empty(_CALL_COLUMNS * LANES), np.empty(LANES, np.uint16)
    for block in range(cells.shape[0]):
        rows = slice(block * LANES, (block + 1) * LANES)
        commands, positions, velocities = command[rows], position[rows], velocity[rows]
        newest = sent[rows]
        values, efforts, whys = value[rows], effort_limit[rows], reasons[rows]
        faulty, stops, begins = faults[:, rows], stopping[rows], fresh[rows]
        lanes = commands.shape[0]
        for c in range(channels):
            cell, m, hard = cells[block, c], mode[c], bounds(envelope, c)
            for i in range(lanes):
                call[_COMMAND + i] = commands[i, c]
                call[_POSITION + i] = positions[i, c]
                call[_VELOCITY_NOW + i] = velocities[i, c] if known[1] else 0.0
            for i in range(lanes):
                call[_STUCK + i] = faulty[c, i]
                call[_POWERLESS + i] = faulty[channels + c, i]
                call[_LOST + i] = faulty[2 * channels, i]
                call[_STOPPING + i] = stops[i]
            for i in range(lanes):
                if begins[i]:
                    start(cell, call, i, m, hard, known)
            if m == POSITION_MODE:
                limit_cell(
                    cell,
                    call,
                    why,
                    lanes,
                    POSITION_MODE,
                    capped[c],
                    bounds_speed[c],
                    hard,
                    known,
                    dt,
                    stretch,
                )
            elif m == VELOCITY_MODE:
                limit_cell(
                    cell,
                    call,
                    why,
                    lanes,
                    VELOCITY_MODE,
                    capped[c],
                    bounds_speed[c],
                    hard,
                    known,
                    dt,
                    stretch,
                )
            else:
                limit_cell(
                    cell, call, why, lanes, EFFORT_MODE, capped[c], bounds_speed[c], hard, known, dt, stretch
                )
            for i in range(lanes):
                values[i, c] = cell[_OUT + i]
                efforts[i, c] = call[_AVAILABLE + i]
                whys[i, c] = why[i] | (_LATENCY_BIT if commands[i, c] != newest[i, c] else 0)
    fresh[:] = False


@compiled
def together(before: Any, now: Any) -> Any:
    """The reasons of two steps of one command: what bounded only the way to it is over when it is reached."""
    return (before & _LASTING) | now


@compiled
def limit_ahead(
    command: np.ndarray,
    sent: np.ndarray,
    faults: np.ndarray,
    position: np.ndarray,
    velocity: np.ndarray,
    known: tuple,
    stopping: np.ndarray,
    first_dt: float,
    first_stretch: float,
    dt: float,
    envelope: np.ndarray,
    mode: np.ndarray,
    capped: np.ndarray,
    bounds_speed: np.ndarray,
    fresh: np.ndarray,
    cells: np.ndarray,
    value: np.ndarray,
    effort_limit: np.ndarray,
    reasons: np.ndarray,
) -> None:
    """`limit` for several steps, which ``value`` and ``effort_limit`` have in front.

    ``command`` (steps, count, channels), or one for all steps. The first step takes ``first_dt`` s, the
    others ``dt``. ``reasons`` gets those of all steps `together`.
    """
    several, stretch = command.shape[0] > 1, first_stretch
    why = np.empty_like(reasons)
    reasons[:] = 0
    for k in range(value.shape[0]):
        limit(
            command[k if several else 0],
            sent,
            faults,
            position,
            velocity,
            known,
            stopping,
            first_dt if k == 0 else dt,
            stretch,
            envelope,
            mode,
            capped,
            bounds_speed,
            fresh,
            cells,
            value[k],
            effort_limit[k],
            why,
        )
        for r in range(reasons.shape[0]):
            for c in range(reasons.shape[1]):
                reasons[r, c] = together(reasons[r, c], why[r, c])
        stretch = dt / first_dt if k == 0 else 1.0


@compiled
def place(values: np.ndarray, robots: np.ndarray, cells: np.ndarray) -> None:
    """Copy the limits of ``robots`` from ``values`` (count, channels, fields) into their cells."""
    for n in range(robots.shape[0]):
        block, lane = robots[n] // LANES, robots[n] % LANES
        for c in range(values.shape[1]):
            for f in range(values.shape[2]):
                cells[block, c, f * LANES + lane] = values[robots[n], c, f]


@compiled
def update_levels(lift: np.ndarray, levels: np.ndarray, robots: np.ndarray) -> int:
    """Copy ``lift`` into ``levels`` (count, 4): not finite becomes 0, the rest is clamped to [0, 1].

    Lists the robots whose levels changed in ``robots`` (count,) and returns their number.
    """
    changed = 0
    for r in range(lift.shape[0]):
        new = False
        for axis in range(lift.shape[1]):
            level = clamp(lift[r, axis], 0.0, 1.0) if math.isfinite(lift[r, axis]) else 0.0
            new |= level != levels[r, axis]
            levels[r, axis] = level
        if new:
            robots[changed] = r
            changed += 1
    return changed


def blank(count: int, channels: int) -> np.ndarray:
    """Make the cells of ``count`` robots: (blocks, channels, COLUMNS * LANES)."""
    return np.zeros((-(-count // LANES), channels, COLUMNS * LANES))


def executed(cells: np.ndarray, count: int) -> np.ndarray:
    """Return what was let out last, (count, channels)."""
    lanes = cells[:, :, _OUT : _OUT + LANES].swapaxes(1, 2)
    return np.ascontiguousarray(lanes.reshape(-1, cells.shape[1])[:count])
