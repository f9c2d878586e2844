"""What limits a plant really has: steps and small commands played on it, and the limits fitted to its answer.

Here are the commands and the arithmetic; a `Probe` plays them on some plant. Standard step-response
identification: the ramp between a fifth and four fifths of the plateau, extended to zero, gives dead time and
acceleration (Seborg, Edgar, Mellichamp, Doyle: Process Dynamics and Control, ch. 7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel, Envelope, NerfSpec

LOW, HIGH = 0.2, 0.8
TURNS = 6.0
"""How far a step of a turning channel may go, rad."""

QUIET = 0.6
"""Seconds of rest before each step."""

SMALLEST, LARGEST, STAIRS = 0.002, 0.1, 14
"""The dead band is looked for with commands of these shares of the largest, in so many steps."""


class Trace(NamedTuple):
    """Times (n,) s, commands (n,) and measured velocities (n,) of one channel."""

    time: NDArray[np.float64]
    command: NDArray[np.float64]
    measured: NDArray[np.float64]


class Probe(Protocol):
    """A plant that can be played commands on, one channel at a time."""

    channels: Sequence[Channel]
    envelope: Envelope

    def play(self, channel: int, commands: NDArray[np.float64]) -> Trace:
        """Play `commands` (n,), one a control period, the other channels at rest; returns what came."""

    @property
    def period(self) -> float:
        """The control period, s."""


@dataclass(frozen=True)
class Found:
    """One effective limit of one channel beside the declared one (None: not declared)."""

    channel: str
    field: str
    unit: str
    effective: float
    declared: float | None


def step_commands(top: float, period: float, hold: float) -> NDArray[np.float64]:
    """Rest, a step to `top` for `hold` s, rest again."""
    quiet = np.zeros(round(QUIET / period))
    return np.concatenate([quiet, np.full(round(hold / period), top), np.zeros(round(1.5 / period))])


def ramp(time: NDArray[np.float64], speed: NDArray[np.float64], plateau: float) -> tuple[float, float]:
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


def identify(trace: Trace) -> dict[str, float]:
    """Latency (s), velocity, acceleration and deceleration of a trace of `step_commands`."""
    time, command, measured = trace
    up = int(np.flatnonzero(command)[0])
    down = int(np.flatnonzero(command)[-1]) + 1
    sign = math.copysign(1.0, command[up])
    speed = sign * measured
    plateau = float(np.median(speed[down - max((down - up) // 3, 2) : down]))
    if plateau <= 0.0:
        return {"latency": math.nan, "velocity": 0.0, "acceleration": math.nan, "deceleration": math.nan}
    began, rise = ramp(time[up:down], speed[up:down], plateau)
    falling = plateau - speed[down:]
    _, fall = ramp(time[down:], falling, plateau)
    return {
        "latency": max(began - float(time[up]), 0.0),
        "velocity": plateau,
        "acceleration": rise,
        "deceleration": fall,
    }


def stairs(top: float) -> NDArray[np.float64]:
    """The small commands with which the dead band is looked for."""
    return np.geomspace(SMALLEST, LARGEST, STAIRS) * top


def dead_band(probe: Probe, channel: int, top: float) -> float:
    """The largest of the small commands that moved nothing; 0 where all did."""
    still = 0.0
    count = round(0.6 / probe.period)
    for value in stairs(top):
        trace = probe.play(channel, np.concatenate([np.full(count, value), np.zeros(count // 2)]))
        moved = np.median(trace.measured[count // 2 : count])
        if moved < 0.5 * value:
            still = float(value)
        else:
            break
    return still


def measure(probe: Probe, spec: NerfSpec | None = None, room: float = 0.8) -> tuple[list[Found], list[Trace]]:
    """Play steps and small commands on every channel, within the envelope; limits found, steps' traces.

    `spec` is what is declared, `room` how far (m or rad) a step may travel. Raises `InvalidCommand` for a
    channel that is not commanded by velocity.
    """
    found: list[Found] = []
    traces: list[Trace] = []
    for index, channel in enumerate(probe.channels):
        if channel.mode != "velocity":
            raise InvalidCommand(f"channel {channel.name}: is measured by velocity only, got {channel.mode}")
        limits = probe.envelope.channel(channel)
        top = float(limits.max_velocity or 0.0)
        trace = _settled_step(probe, index, top, room if channel.base_unit == "m" else TURNS)
        traces.append(trace)
        told = identify(trace)
        told["dead_band"] = dead_band(probe, index, top)
        declared = {} if spec is None else _declared(spec, channel.name)
        base = channel.base_unit
        units = {
            "latency": "s",
            "velocity": f"{base}/s",
            "acceleration": f"{base}/s^2",
            "deceleration": f"{base}/s^2",
            "dead_band": channel.unit,
        }
        found += [
            Found(channel.name, field, units[field], told[field], declared.get(field)) for field in units
        ]
    return found, traces


def _settled_step(probe: Probe, channel: int, top: float, room: float) -> Trace:
    """The first of ever longer steps in which the speed settles, or the longest that there is room for.

    After each one the plant is driven back by the same commands.
    """
    hold = min(0.5, room / top)
    while True:
        commands = step_commands(top, probe.period, hold)
        trace = probe.play(channel, commands)
        probe.play(channel, -commands)
        driven = trace.measured[np.flatnonzero(trace.command)]
        last, before = driven[-len(driven) // 5 :], driven[-2 * len(driven) // 5 : -len(driven) // 5]
        if np.median(last) < 1.02 * np.median(before) or 2.0 * np.median(last) * hold > room:
            return trace
        hold *= 2.0


def _declared(spec: NerfSpec, channel: str) -> dict[str, float]:
    told = {field: limit.at(0.0) for field, limit in spec.channel(channel).limits()}
    told |= {field: limit.at(0.0) for field, limit in spec.link().limits()}
    return told


def fitted(found: Sequence[Found], name: str, envelope: Envelope) -> dict[str, object]:
    """A specification with the limits found, as plain data: what the plant does without any nerf of ours.

    Values stay within the envelope; what could not be told is left out.
    """
    channels: dict[str, dict[str, float]] = {}
    latencies = []
    for item in found:
        if not math.isfinite(item.effective) or item.effective <= 0.0:
            continue
        if item.field == "latency":
            latencies.append(item.effective)
            continue
        value = item.effective
        limits = envelope.find(item.channel)
        bounds = {
            "velocity": (None, "max_velocity"),
            "acceleration": (None, "max_acceleration"),
            "deceleration": ("stop_deceleration", "max_acceleration"),
        }
        low, high = bounds.get(item.field, (None, None))
        if limits is not None and high is not None:
            value = min(value, getattr(limits, high) or value)
        if limits is not None and low is not None:
            value = max(value, getattr(limits, low) or value)
        channels.setdefault(item.channel, {})[item.field] = round(value, 4)
    spec: dict[str, object] = {
        "name": name,
        "description": "Fitted to a measured step response.",
        "channels": channels,
    }
    if latencies:
        spec["command"] = {"latency": round(float(np.median(latencies)), 4)}
    return spec


class SimProbe:
    """The simulated robot behind a nerf, on a course with room around its start."""

    def __init__(self, nerf: str, course: str = "corner", robot: str = "rover", seed: int = 0) -> None:
        from nerfbot.sim.client import CONTROL_STEP
        from nerfbot.sim.nerfed import NerfedPlant

        self._plant = NerfedPlant(course, nerf, robot, seed=seed, pictures=False)
        self._plant.reset(seed=seed)
        self.channels = self._plant.channels
        self.envelope = self._plant.limiter.envelope
        self._period = CONTROL_STEP

    @property
    def period(self) -> float:
        """The control period, s."""
        return self._period

    def play(self, channel: int, commands: NDArray[np.float64]) -> Trace:
        """Play the commands; a measured velocity is that at the end of the period before."""
        rows = []
        for value in commands:
            command = np.zeros(len(self.channels))
            command[channel] = value
            before = self._plant.plant.robot.measured().velocity
            rows.append((self._plant.time, value, 0.0 if before is None else before[0, channel]))
            self._plant.step(command)
        return Trace(*np.array(rows, np.float64).T)

    def close(self) -> None:
        """Close the physics."""
        self._plant.close()
