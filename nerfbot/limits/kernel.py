"""The arithmetic of the actuator limiter: one channel, one control step, in plain scalar Python.

All of it is in this one file, for the sake of `compiled`'s cache.
Limits, state and envelope are arrays whose last axis is indexed by the constants below.
"""

from __future__ import annotations

import math

import numpy as np

from nerfbot.limits.compiled import compiled
from nerfbot.limits.fields import CHANNEL_BURSTS, CHANNEL_FIELDS

UNLIMITED = 1e12
"""Stands for "no limit": finite, so that interpolation never meets inf - inf."""

POSITION_MODE, VELOCITY_MODE, EFFORT_MODE = 0, 1, 2

# Columns of the limits, in the order of the field table.
FIELDS = {field: info for field, info in CHANNEL_FIELDS.items() if field not in CHANNEL_BURSTS}
_COLUMN = {field: column for column, field in enumerate(FIELDS)}
_EFFORT, _STALL, _NO_LOAD, _GAIN = (
    _COLUMN[f] for f in ("effort", "stall_effort", "no_load_velocity", "gain")
)
_VELOCITY, _ACCELERATION = _COLUMN["velocity"], _COLUMN["acceleration"]
_DECELERATION, _JERK = _COLUMN["deceleration"], _COLUMN["jerk"]
_DEAD_BAND, _BACKLASH, _QUANTUM = _COLUMN["dead_band"], _COLUMN["backlash"], _COLUMN["quantum"]

# Columns of the state: what the nerf follows with, then what the envelope's guard has let out.
_HELD, _GEAR, _TARGET, _AT, _GOAL, _SPEED, _CHANGE, _OUT, _OUT_SPEED = range(9)
STATES = 9
EXECUTED = _OUT

# Columns of the envelope.
LOW, HIGH, MAX_VELOCITY, MAX_ACCELERATION, STOP_DECELERATION, MAX_EFFORT, DAMPING = range(7)
ENVELOPES = 7

# Bits of `Reason`.
_HOLD_BIT, _DROP_BIT, _INTERMITTENT_BIT = 1 << 1, 1 << 2, 1 << 3
_DEAD_BAND_BIT, _BACKLASH_BIT, _QUANTUM_BIT = 1 << 4, 1 << 5, 1 << 6
_JERK_BIT, _ACCELERATION_BIT, _VELOCITY_BIT = 1 << 7, 1 << 8, 1 << 9
_GAIN_BIT, _EFFORT_BIT, _ENVELOPE_BIT = 1 << 10, 1 << 11, 1 << 12

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
    wanted, growth = goal, jerk * dt * dt
    if abs(previous - speed) > growth:
        step = approach(abs(goal - speed), jerk, dt)
        wanted = clamp(goal, speed - step, speed + step)
    return clamp(wanted, speed + change - growth, speed + change + growth)


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
def moved(at: float, velocity: float, wanted: float, target: float, dt: float) -> float:
    """Position after one step; the target itself, to the last bit, where nothing limited the way to it."""
    after = at + velocity * dt
    if velocity == wanted and abs(target - after) <= _ROUNDING * (1.0 + abs(target)):
        return target
    return after


@compiled
def motor_effort(cap: float, stall: float, no_load: float, driving_speed: float) -> float:
    """Effort available from a DC motor, four quadrants: falls with speed when driving, rises when braking.

    ``driving_speed`` is the speed in the direction of the wanted effort; the cap bounds all quadrants.
    """
    return max(min(stall * (1.0 - driving_speed / no_load), cap), 0.0)


@compiled
def guard_position(command: float, at: float, speed: float, envelope: np.ndarray, c: int, dt: float) -> float:
    """Next position inside the envelope's range, velocity and acceleration; the range wins."""
    target = clamp(command, envelope[c, LOW], envelope[c, HIGH])
    acceleration = envelope[c, MAX_ACCELERATION]
    deceleration = max(acceleration, envelope[c, STOP_DECELERATION])
    wanted = target - at
    high = min(reach(speed, acceleration, deceleration, dt), envelope[c, MAX_VELOCITY]) * dt
    low = max(-reach(-speed, acceleration, deceleration, dt), -envelope[c, MAX_VELOCITY]) * dt
    room_up, room_down = envelope[c, HIGH] - at, at - envelope[c, LOW]
    growth = deceleration * dt * dt
    if wanted > 0.0 and room_up >= 0.0 and not ample(room_up, abs(high), growth):
        high = min(high, approach(room_up, deceleration, dt))
    elif wanted < 0.0 and room_down >= 0.0 and not ample(room_down, abs(low), growth):
        low = max(low, -approach(room_down, deceleration, dt))
    step = min(max(wanted, min(low, high)), max(low, high))
    after = target if step == wanted else at + step
    return clamp(after, min(envelope[c, LOW], at), max(envelope[c, HIGH], at))


@compiled
def guard_velocity(command: float, speed: float, envelope: np.ndarray, c: int, dt: float) -> float:
    """Next velocity inside the envelope's acceleration and range; the range wins."""
    acceleration = envelope[c, MAX_ACCELERATION]
    deceleration = max(acceleration, envelope[c, STOP_DECELERATION])
    high = reach(speed, acceleration, deceleration, dt)
    low = -reach(-speed, acceleration, deceleration, dt)
    return clamp(clamp(command, low, high), envelope[c, LOW], envelope[c, HIGH])


@compiled
def braking(
    mode: int, out: float, position: float, velocity: float, envelope: np.ndarray, c: int, dt: float
) -> float:
    """Next command of a controlled stop, by mode: brake, hold the measured position, or damp."""
    if mode == POSITION_MODE:
        return position
    if mode == VELOCITY_MODE:
        return math.copysign(max(abs(out) - envelope[c, STOP_DECELERATION] * dt, 0.0), out)
    return -envelope[c, DAMPING] * velocity


@compiled
def start(
    command: np.ndarray,
    position: np.ndarray,
    velocity: np.ndarray,
    known: tuple,
    envelope: np.ndarray,
    mode: np.ndarray,
    state: np.ndarray,
    r: int,
) -> None:
    """Begin the state of robot ``r`` from what is measured; a position that is not is the first command's."""
    for c in range(mode.shape[0]):
        at = position[r, c] if known[0] else clamp(command[r, c], envelope[c, LOW], envelope[c, HIGH])
        speed = velocity[r, c] if known[1] else 0.0
        rest = at if mode[c] == POSITION_MODE else 0.0
        state[r, c, _HELD] = rest
        state[r, c, _GEAR] = rest
        state[r, c, _TARGET] = at
        state[r, c, _AT] = at
        state[r, c, _GOAL] = 0.0
        state[r, c, _SPEED] = speed
        state[r, c, _CHANGE] = 0.0
        state[r, c, _OUT] = speed if mode[c] == VELOCITY_MODE else rest
        state[r, c, _OUT_SPEED] = speed


@compiled
def limit(
    command: np.ndarray,
    faults: np.ndarray,
    position: np.ndarray,
    velocity: np.ndarray,
    known: tuple,
    stopping: np.ndarray,
    dt: float,
    stretch: float,
    limits: np.ndarray,
    envelope: np.ndarray,
    mode: np.ndarray,
    capped: np.ndarray,
    fresh: np.ndarray,
    state: np.ndarray,
    value: np.ndarray,
    effort_limit: np.ndarray,
    reasons: np.ndarray,
) -> None:
    """Limit the commands of all robots for one step of ``dt`` s into the last three arrays.

    ``command``, ``position``, ``velocity`` (count, channels), ``known`` = (position is measured, velocity
    is); ``faults`` (count, 2 channels + 1): stuck, without power, message lost; ``stopping`` (count,):
    robots that make a controlled stop instead; ``limits`` (count, channels, fields) and ``state``
    (count, channels, STATES) by the columns above; ``fresh`` (count,): robots whose state begins now.
    """
    count, channels = command.shape
    for r in range(count):
        if fresh[r]:
            start(command, position, velocity, known, envelope, mode, state, r)
            fresh[r] = False
        for c in range(channels):
            m = mode[c]
            out, out_speed = state[r, c, _OUT], state[r, c, _OUT_SPEED]
            at_measured = position[r, c] if known[0] else out
            speed_measured = velocity[r, c] if known[1] else 0.0
            without_power = faults[r, channels + c]
            available = limits[r, c, _EFFORT]
            why = 0
            if stopping[r]:
                x = braking(m, out, at_measured, speed_measured, envelope, c, dt)
            else:
                # reliability
                neutral = at_measured if m == POSITION_MODE else 0.0
                x = command[r, c]
                if faults[r, c]:
                    why |= _HOLD_BIT if x != state[r, c, _HELD] else 0
                    x = state[r, c, _HELD]
                state[r, c, _HELD] = x
                if faults[r, 2 * channels]:
                    why |= _DROP_BIT if x != neutral else 0
                    x = neutral
                if without_power:
                    why |= _INTERMITTENT_BIT
                    if m == EFFORT_MODE or not capped[c]:
                        x = neutral
                before = x
                x = dead_band(x, out if m == POSITION_MODE else 0.0, limits[r, c, _DEAD_BAND])
                why |= _DEAD_BAND_BIT if x != before else 0
                before = x
                x = backlash(x, state[r, c, _GEAR], limits[r, c, _BACKLASH])
                state[r, c, _GEAR] = x
                why |= _BACKLASH_BIT if x != before else 0
                before = x
                x = quantum(x, limits[r, c, _QUANTUM], m == POSITION_MODE)
                why |= _QUANTUM_BIT if x != before else 0

                # Nothing is aimed at past the envelope's range: what follows must not wind up on the way.
                before = x
                x = clamp(x, envelope[c, LOW], envelope[c, HIGH])
                why |= _ENVELOPE_BIT if x != before else 0

                # speed
                top = limits[r, c, _VELOCITY]
                if m != EFFORT_MODE:
                    acceleration, deceleration = limits[r, c, _ACCELERATION], limits[r, c, _DECELERATION]
                    # Where the nerf states nothing the envelope's bounds are followed, so that what comes
                    # out never lags behind what the nerf has let through.
                    fast_bit, push_bit, brake_bit = _VELOCITY_BIT, _ACCELERATION_BIT, _ACCELERATION_BIT
                    if m == POSITION_MODE and top > envelope[c, MAX_VELOCITY]:
                        top, fast_bit = envelope[c, MAX_VELOCITY], _ENVELOPE_BIT
                    if acceleration > envelope[c, MAX_ACCELERATION]:
                        acceleration, push_bit = envelope[c, MAX_ACCELERATION], _ENVELOPE_BIT
                    if deceleration >= UNLIMITED:  # not stated: as good as the acceleration, and as a stop
                        deceleration, brake_bit = max(acceleration, envelope[c, STOP_DECELERATION]), push_bit
                    target, at, speed = x, state[r, c, _AT], state[r, c, _SPEED]
                    wanted, eased = x, False
                    if m == POSITION_MODE:
                        off = state[r, c, _TARGET] - at
                        step = towards(x - at, off, speed, top, acceleration, deceleration, dt)
                        wanted, eased = step / dt, step != x - at
                    goal = clamp(wanted, -top, top)
                    why |= fast_bit if goal != wanted else brake_bit if eased else 0
                    x = goal
                    jerk = limits[r, c, _JERK]
                    if m == VELOCITY_MODE and jerk < UNLIMITED:
                        x = smooth(goal, state[r, c, _GOAL], speed, stretch * state[r, c, _CHANGE], jerk, dt)
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
                    state[r, c, _GOAL] = goal
                    state[r, c, _CHANGE] = x - speed
                    state[r, c, _SPEED] = x
                    if m == POSITION_MODE:
                        x = moved(at, x, wanted, target, dt)
                        state[r, c, _TARGET] = target
                        state[r, c, _AT] = x

                # strength
                if m != POSITION_MODE:
                    before = x
                    x *= limits[r, c, _GAIN]
                    why |= _GAIN_BIT if x != before else 0
                if known[1]:
                    push = x
                    if m == POSITION_MODE:
                        push = x - at_measured
                    elif m == VELOCITY_MODE:
                        push = x - speed_measured
                    driving = 0.0 if push == 0.0 else math.copysign(1.0, push) * speed_measured
                    stall = limits[r, c, _STALL]
                    if stall < UNLIMITED:
                        available = motor_effort(available, stall, limits[r, c, _NO_LOAD], driving)
                    if m == EFFORT_MODE and top < UNLIMITED:
                        available *= clamp((top - driving) / (_TAPER * top), 0.0, 1.0)
                if m == EFFORT_MODE:
                    before = x
                    x = clamp(x, -available, available)
                    why |= _EFFORT_BIT if x != before else 0

            # envelope, last and unconditional
            before = x
            if m == POSITION_MODE:
                x = guard_position(x, out, out_speed, envelope, c, dt)
                out_speed = (x - out) / dt
            elif m == VELOCITY_MODE:
                x = guard_velocity(x, out, envelope, c, dt)
                out_speed = x
            else:
                x = clamp(x, envelope[c, LOW], envelope[c, HIGH])
            why |= _ENVELOPE_BIT if x != before else 0
            state[r, c, _OUT] = x
            state[r, c, _OUT_SPEED] = out_speed
            if stopping[r]:  # the nerf goes on from where the stop has led
                state[r, c, _HELD] = x
                state[r, c, _GEAR] = x
                state[r, c, _TARGET] = x
                state[r, c, _AT] = x
                state[r, c, _GOAL] = out_speed
                state[r, c, _SPEED] = out_speed
                state[r, c, _CHANGE] = 0.0
                available = UNLIMITED

            available = min(available, envelope[c, MAX_EFFORT])
            if without_power and not stopping[r]:
                available = 0.0
            value[r, c] = x
            effort_limit[r, c] = math.inf if available >= UNLIMITED else available
            reasons[r, c] = why
