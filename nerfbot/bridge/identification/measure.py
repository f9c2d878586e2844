"""A plant's effective limits, measured by steps, small commands and chirps, beside the declared ones.

`excitation` has the commands and the arithmetic; a `Probe` plays them on a plant: `sim_probe`, `ros_probe`,
`servo_probe`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel, Envelope, NerfSpec

from .excitation import Floats, Trace, chirp_commands, identify_chirp, identify_step, stairs, step_commands

TURNS = 6.0
"""How far a step of a channel that turns without end may go, rad."""

FIRST_HOLD, LAST_HOLD = 2.0, 8.0
"""The first and the longest time that a joint's step is held, s."""

SHARE = 0.6
"""A joint's step covers this share of its range, in the middle of it."""


class Probe(Protocol):
    """A plant on which commands can be played, one channel at a time."""

    channels: Sequence[Channel]
    envelope: Envelope

    def play(self, channel: int, commands: Floats) -> Trace:
        """Play `commands` (n,), one per control period, the other channels at rest; returns the record."""

    @property
    def period(self) -> float:
        """The control period, s."""


@dataclass(frozen=True)
class MeasuredLimit:
    """One effective limit of one channel beside the declared one (None: not declared)."""

    channel: str
    field: str
    unit: str
    effective: float
    declared: float | None


def units(channel: Channel) -> dict[str, str]:
    """The measured limits of a channel in their order, with their units."""
    base = channel.base_unit
    return {
        "latency": "s",
        "chirp_latency": "s",
        "gain": "1",
        "velocity": f"{base}/s",
        "acceleration": f"{base}/s^2",
        "deceleration": f"{base}/s^2",
        "effort": channel.effort_unit,
        "dead_band": channel.unit,
    }


def dead_band(probe: Probe, channel: int, top: float, rest: float = 0.0) -> float:
    """The largest of the small commands that moved nothing; 0 where all did."""
    still = 0.0
    count = round(0.6 / probe.period)
    for value in stairs(top):
        trace = probe.play(channel, np.repeat([rest, rest + value, rest], [2, count, count // 2]))
        moved = np.median(trace.response[count // 2 : count]) - trace.response[0]
        if moved >= 0.5 * value:
            break
        still = float(value)
    return still


def measure(
    probe: Probe,
    spec: NerfSpec | None = None,
    room: float = 0.8,
    only: Sequence[str] = (),
    report: Callable[[str], None] = lambda text: None,
) -> tuple[list[MeasuredLimit], dict[str, list[Trace]]]:
    """Play steps, small commands and a chirp on every channel (or those in `only`), within the envelope.

    Returns the measured limits, and by channel the traces of its step and its chirp. `spec` declares the
    limits to compare with, `room` (m) is how far a step of a twist may travel; a joint stays in the middle
    of its range. Raises `InvalidCommand` for a channel commanded by effort, or an unknown one in `only`.
    """
    names = [channel.name for channel in probe.channels]
    for name in only:
        if name not in names:
            raise InvalidCommand(f"channel {name!r}: is not the plant's, which has {', '.join(names)}")
    measured: list[MeasuredLimit] = []
    traces: dict[str, list[Trace]] = {}
    for index, channel in enumerate(probe.channels):
        if only and channel.name not in only:
            continue
        if channel.mode == "effort":
            raise InvalidCommand(f"channel {channel.name}: is commanded by effort, which is not measured")
        effective, traces[channel.name] = _channel(probe, index, room, report)
        declared = {} if spec is None else _declared(spec, channel.name, probe.envelope)
        measured += [
            MeasuredLimit(channel.name, field, unit, effective[field], declared.get(field))
            for field, unit in units(channel).items()
        ]
    return measured, traces


def _channel(
    probe: Probe, index: int, room: float, report: Callable[[str], None]
) -> tuple[dict[str, float], list[Trace]]:
    channel = probe.channels[index]
    limits = probe.envelope.channel(channel)
    is_position = channel.mode == "position"
    report(f"{channel.name}: steps")
    if is_position:
        low, high = limits.range("position")
        assert low is not None
        assert high is not None
        rest, top = (low + high) / 2.0 - SHARE * (high - low) / 2.0, SHARE * (high - low)
        step = _arrived_step(probe, index, rest, top)
        centre, largest = rest + top / 2.0, 0.2 * top
    else:
        rest, top = 0.0, float(limits.max_velocity or 0.0)
        step = _settled_step(probe, index, top, room if channel.base_unit == "m" else TURNS)
        centre, largest = 0.0, top
    effective = identify_step(step, is_position)
    report(f"{channel.name}: small commands")
    effective["dead_band"] = dead_band(probe, index, largest, rest)
    report(f"{channel.name}: chirp")
    amplitude, fastest = _chirp_size(effective, is_position, 0.1 / probe.period)
    if is_position:
        probe.play(index, np.full(round(2.0 / probe.period), centre))
    chirp = probe.play(index, chirp_commands(amplitude, fastest, probe.period, centre))
    return effective | identify_chirp(chirp), [step, chirp]


def _chirp_size(effective: dict[str, float], is_position: bool, highest: float) -> tuple[float, float]:
    """Amplitude and highest frequency (Hz, at most `highest`) of a chirp within the limits of a step."""
    velocity = effective["velocity"] or 0.1
    steepest = np.nanmin([effective["acceleration"], effective["deceleration"], 1e3])
    if not is_position:
        amplitude = 0.4 * velocity
        return amplitude, min(highest, 0.6 * float(steepest) / (2.0 * math.pi * amplitude))
    fastest = min(highest, 1.5)
    angular = 2.0 * math.pi * fastest
    return min(0.5 * velocity / angular, 0.5 * float(steepest) / angular**2), fastest


def _settled_step(probe: Probe, channel: int, top: float, room: float) -> Trace:
    """The first of ever longer steps in which the speed settles, or the longest that `room` allows.

    After each one the plant drives back by the same commands.
    """
    hold = min(0.5, room / top)
    while True:
        commands = step_commands(top, probe.period, hold)
        trace = probe.play(channel, commands)
        probe.play(channel, -commands)
        driven = trace.velocity[np.flatnonzero(trace.command)]
        last, before = driven[-len(driven) // 5 :], driven[-2 * len(driven) // 5 : -len(driven) // 5]
        if np.median(last) < 1.02 * np.median(before) or 2.0 * np.median(last) * hold > room:
            return trace
        hold *= 2.0


def _arrived_step(probe: Probe, channel: int, rest: float, top: float) -> Trace:
    """The first of ever longer steps by `top` from `rest` in which the joint arrives, or the longest.

    The joint returns to `rest` before each step and after the last one.
    """
    hold = FIRST_HOLD
    while True:
        at_rest = np.full(round(hold / probe.period), rest)
        probe.play(channel, at_rest)
        trace = probe.play(channel, step_commands(rest + top, probe.period, hold, rest))
        late = trace.response[np.flatnonzero(trace.command - rest)]
        if abs(late[-1] - late[-len(late) // 5]) < 0.01 * top or hold >= LAST_HOLD:
            probe.play(channel, at_rest)
            return trace
        hold *= 2.0


def _declared(spec: NerfSpec, channel: str, envelope: Envelope) -> dict[str, float]:
    section = spec.channel(channel, envelope.find(channel))
    declared = {field: limit.at(0.0) for field, limit in (*section.limits(), *spec.link().limits())}
    if "latency" in declared:
        declared["chirp_latency"] = declared["latency"]
    return declared


FITTED: dict[str, tuple[str | None, str | None]] = {
    "velocity": (None, "max_velocity"),
    "acceleration": (None, "max_acceleration"),
    "deceleration": ("stop_deceleration", "max_acceleration"),
    "dead_band": (None, None),
}
"""The limits of a fitted specification, with the envelope's fields that bound them from below and above.

An effort is left out: the measured one is only a lower bound.
"""


def fitted_spec(measured: Sequence[MeasuredLimit], name: str, envelope: Envelope) -> dict[str, object]:
    """A specification of the measured limits as plain data: the plant without any nerf of ours.

    Values stay within the envelope; limits that could not be measured are left out.
    """
    channels: dict[str, dict[str, float]] = {}
    latencies = []
    for item in measured:
        if not math.isfinite(item.effective) or item.effective <= 0.0:
            continue
        if item.field == "latency":
            latencies.append(item.effective)
        if item.field not in FITTED:
            continue
        value, limits = item.effective, envelope.find(item.channel)
        low, high = FITTED[item.field]
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
