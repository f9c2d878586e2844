"""Step and chirp commands, and the limits that a plant's response to them reveals: arithmetic, no plant.

Standard identification: the ramp between a fifth and four fifths of the plateau, extended to zero, gives dead
time and acceleration (Seborg, Edgar, Mellichamp, Doyle: Process Dynamics and Control, ch. 7); a sine whose
frequency rises, fitted to the response by least squares, gives delay and gain (Ljung: System Identification,
ch. 6).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOW, HIGH = 0.2, 0.8
"""The part of a rise to which a line is fitted, in shares of the plateau."""

QUIET = 0.6
"""Rest before each step, s."""

SMALLEST, LARGEST, STAIRS = 0.002, 0.1, 14
"""The search for a dead band tries this many commands between these shares of the largest one."""

SLOWEST, CHIRP = 0.2, 6.0
"""A chirp starts at this frequency (Hz) and lasts so long (s)."""

LONGEST_DELAY = 0.5
"""The longest delay that a chirp can reveal, s."""


class Trace(NamedTuple):
    """One channel's record, each (n,): time (s), command and response (the channel's unit), velocity, effort.

    The response of a velocity channel is its velocity. An effort that is not measured is NaN.
    """

    time: Floats
    command: Floats
    response: Floats
    velocity: Floats
    effort: Floats


def step_commands(top: float, period: float, hold: float, rest: float = 0.0) -> Floats:
    """Rest, a step to `top` for `hold` s, and back to `rest`: one command per `period` (s)."""
    counts = [round(seconds / period) for seconds in (QUIET, hold, 1.5)]
    return np.repeat(np.array([rest, top, rest], np.float64), counts)


def stairs(top: float) -> Floats:
    """The small commands that reveal a dead band, up to a tenth of `top`."""
    return np.geomspace(SMALLEST, LARGEST, STAIRS) * top


def chirp_commands(amplitude: float, fastest: float, period: float, centre: float = 0.0) -> Floats:
    """A sine of `amplitude` around `centre`, whose frequency rises steadily to `fastest` (Hz)."""
    time = period * np.arange(round(CHIRP / period))
    rise = (max(fastest, SLOWEST) - SLOWEST) / CHIRP
    swing = amplitude * np.sin(2.0 * math.pi * (SLOWEST * time + 0.5 * rise * time**2))
    quiet = np.zeros(round(QUIET / period))
    return centre + np.concatenate([quiet, swing, quiet])


def ramp(time: Floats, speed: Floats, plateau: float) -> tuple[float, float]:
    """The start (s) and slope (per s) of a rise to `plateau`; NaN where there is none."""
    above = np.flatnonzero(speed >= HIGH * plateau)
    if not len(above):
        return math.nan, math.nan
    until = above[0]
    # At least the last sample below and the first above: no rise looks steeper than one period
    rising = np.flatnonzero((speed[:until] > LOW * plateau) & (speed[:until] < HIGH * plateau))
    rows = np.unique([*rising, max(until - 1, 0), until])
    slope, offset = np.polyfit(time[rows], speed[rows], 1)
    return (-offset / slope, float(slope)) if slope > 0.0 else (math.nan, math.nan)


def identify_step(trace: Trace, is_position: bool = False) -> dict[str, float]:
    """Latency (s), velocity, acceleration, deceleration and effort of a trace of `step_commands`.

    Of a position channel the velocity on the way to the goal counts. The effort is the largest measured one,
    a lower bound of the limit.
    """
    time, command = trace.time, trace.command
    away = command - command[0]
    up, down = int(np.flatnonzero(away)[0]), int(np.flatnonzero(away)[-1]) + 1
    speed = math.copysign(1.0, away[up]) * trace.velocity
    efforts = np.abs(trace.effort[np.isfinite(trace.effort)])
    effort = float(np.max(efforts)) if len(efforts) else math.nan
    if is_position:
        # The fastest tenth of the way: a profile without a plateau still has a peak
        driven = speed[up:down]
        plateau = float(np.median(np.sort(driven)[-max(len(driven) // 10, 3) :]))
    else:
        plateau = float(np.median(speed[down - max((down - up) // 3, 2) : down]))
    if plateau <= 0.0 or (is_position and plateau * (time[down - 1] - time[up]) < 0.1 * abs(away[up])):
        unknown = dict.fromkeys(("latency", "acceleration", "deceleration"), math.nan)
        return {**unknown, "velocity": 0.0, "effort": effort}
    start, rise = ramp(time[up:down], speed[up:down], plateau)
    braking = slice(down, None)
    if is_position:
        braking = slice(up + int(np.flatnonzero(speed[up:down] >= HIGH * plateau)[-1]), down)
    _, fall = ramp(time[braking], plateau - speed[braking], plateau)
    return {
        "latency": max(start - float(time[up]), 0.0),
        "velocity": plateau,
        "acceleration": rise,
        "deceleration": fall,
        "effort": effort,
    }


def identify_chirp(trace: Trace) -> dict[str, float]:
    """Delay (s) and gain of a trace of `chirp_commands`, by the delayed and scaled command that fits best.

    A reading precedes the command beside it, so a plant without delay responds one period later.
    """
    period = float(np.median(np.diff(trace.time)))
    response = trace.response - trace.response[0]
    best = (math.inf, math.nan, math.nan)
    for delay in np.arange(0.0, LONGEST_DELAY, 0.002):
        delayed = np.interp(trace.time - period - delay, trace.time, trace.command) - trace.command[0]
        power = float(delayed @ delayed)
        gain = float(delayed @ response) / power if power > 0.0 else 0.0
        residual = float(np.sum((response - gain * delayed) ** 2))
        if residual < best[0]:
            best = (residual, float(delay), gain)
    return {"chirp_latency": best[1], "gain": best[2]}
