"""Step and chirp commands, and what a plant's answer to them tells of its limits: arithmetic without a plant.

Standard identification: the ramp between a fifth and four fifths of the plateau, extended to zero, gives dead
time and acceleration (Seborg, Edgar, Mellichamp, Doyle: Process Dynamics and Control, ch. 7); a sine whose
frequency rises, compared with the answer by least squares, gives delay and gain (Ljung: System
Identification, ch. 6).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOW, HIGH = 0.2, 0.8
QUIET = 0.6
"""Seconds of rest before each step."""

SMALLEST, LARGEST, STAIRS = 0.002, 0.1, 14
"""The dead band is looked for with commands of these shares of the largest, in so many steps."""

SLOWEST, CHIRP = 0.2, 6.0
"""A chirp begins at so many Hz and lasts so many s."""

MOST_DELAY = 0.5
"""s; a chirp's delay is looked for up to here."""


class Trace(NamedTuple):
    """One channel's record, each (n,): time in s, command and answer in the channel's unit, velocity, effort.

    Of a velocity channel, the answer is the velocity. An effort that is not measured is NaN.
    """

    time: Floats
    command: Floats
    answer: Floats
    velocity: Floats
    effort: Floats


def step_commands(top: float, period: float, hold: float, rest: float = 0.0) -> Floats:
    """Rest, a step to `top` for `hold` s, and back to `rest`; one command a period (s)."""
    quiet = np.full(round(QUIET / period), rest)
    return np.concatenate(
        [quiet, np.full(round(hold / period), top), np.full(round(1.5 / period), rest)]
    ).astype(np.float64)


def stairs(top: float) -> Floats:
    """The small commands with which the dead band is looked for."""
    return np.geomspace(SMALLEST, LARGEST, STAIRS) * top


def chirp_commands(amplitude: float, fastest: float, period: float, about: float = 0.0) -> Floats:
    """A sine of `amplitude` about `about`, whose frequency rises steadily to `fastest` (Hz)."""
    time = period * np.arange(round(CHIRP / period))
    rise = (max(fastest, SLOWEST) - SLOWEST) / CHIRP
    swing = amplitude * np.sin(2.0 * math.pi * (SLOWEST * time + 0.5 * rise * time**2))
    quiet = np.zeros(round(QUIET / period))
    return about + np.concatenate([quiet, swing, quiet])


def ramp(time: Floats, speed: Floats, plateau: float) -> tuple[float, float]:
    """When a rise to `plateau` began (s) and how steep it was (per s); NaN where there is none."""
    inside = (speed > LOW * plateau) & (speed < HIGH * plateau)
    above = np.flatnonzero(speed >= HIGH * plateau)
    if not len(above):
        return math.nan, math.nan
    until = above[0]
    # At least the last sample below and the first above: a rise of one period is as steep as can be told
    chosen = np.flatnonzero(inside[:until])
    rows = np.unique(np.concatenate([chosen, [max(until - 1, 0), until]]))
    slope, offset = np.polyfit(time[rows], speed[rows], 1)
    return (-offset / slope, float(slope)) if slope > 0.0 else (math.nan, math.nan)


def identify(trace: Trace, moves: bool = False) -> dict[str, float]:
    """Latency (s), velocity, acceleration, deceleration and effort of a trace of `step_commands`.

    With `moves` the command is a position, and what is looked at is the way there. The effort is the largest
    that was seen: what the limit is at least.
    """
    time, command = trace.time, trace.command
    away = command - command[0]
    up = int(np.flatnonzero(away)[0])
    down = int(np.flatnonzero(away)[-1]) + 1
    speed = math.copysign(1.0, away[up]) * trace.velocity
    seen = np.abs(trace.effort[np.isfinite(trace.effort)])
    effort = float(np.max(seen)) if len(seen) else math.nan
    told = {"latency": math.nan, "velocity": 0.0, "acceleration": math.nan, "deceleration": math.nan}
    if moves:
        # Sorted, the fastest tenth of the way: a profile without a plateau has a top at least
        driven = speed[up:down]
        plateau = float(np.median(np.sort(driven)[-max(len(driven) // 10, 3) :]))
    else:
        plateau = float(np.median(speed[down - max((down - up) // 3, 2) : down]))
    if plateau <= 0.0 or (moves and plateau * (time[down - 1] - time[up]) < 0.1 * abs(away[up])):
        return {**told, "effort": effort}
    began, rise = ramp(time[up:down], speed[up:down], plateau)
    if moves:
        last = up + int(np.flatnonzero(speed[up:down] >= HIGH * plateau)[-1])
        falling, since = plateau - speed[last:down], time[last:down]
    else:
        falling, since = plateau - speed[down:], time[down:]
    _, fall = ramp(since, falling, plateau)
    return {
        "latency": max(began - float(time[up]), 0.0),
        "velocity": plateau,
        "acceleration": rise,
        "deceleration": fall,
        "effort": effort,
    }


def identify_chirp(trace: Trace) -> dict[str, float]:
    """Delay (s) and gain of a trace of `chirp_commands`: the command, late and scaled, fits the answer best.

    What is read beside a command came before it: a plant without delay answers one period later.
    """
    period = float(np.median(np.diff(trace.time)))
    answer = trace.answer - trace.answer[0]
    best = (math.inf, math.nan, math.nan)
    for delay in np.arange(0.0, MOST_DELAY, 0.002):
        late = np.interp(trace.time - period - delay, trace.time, trace.command) - trace.command[0]
        power = float(late @ late)
        gain = float(late @ answer) / power if power > 0.0 else 0.0
        left = float(np.sum((answer - gain * late) ** 2))
        if left < best[0]:
            best = (left, float(delay), gain)
    return {"chirp_latency": best[1], "gain": best[2]}
