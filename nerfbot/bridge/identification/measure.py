"""What limits a plant really has: steps, small commands and chirps played on it, beside what is declared.

The commands and the arithmetic are in `identify`; a `Probe` plays them on some plant: `sim_probe`,
`ros_probe`, `servo_probe`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel, Envelope, NerfSpec

from .excitation import Floats, Trace, chirp_commands, identify, identify_chirp, stairs, step_commands

TURNS = 6.0
"""How far a step of a channel that turns without end may go, rad."""

FIRST_HOLD, LAST_HOLD = 2.0, 8.0
"""How long a joint's step is held, s: at first, and at most."""

SHARE = 0.6
"""A joint's step goes over this share of its range, in the middle of it."""


class Probe(Protocol):
    """A plant that can be played commands on, one channel at a time."""

    channels: Sequence[Channel]
    envelope: Envelope

    def play(self, channel: int, commands: Floats) -> Trace:
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


def units(channel: Channel) -> dict[str, str]:
    """What is measured of a channel, by the limit's name, and in which unit, in the order of `Found`."""
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
        before, after = np.full(2, rest), np.full(count // 2, rest)
        trace = probe.play(channel, np.concatenate([before, np.full(count, rest + value), after]))
        moved = np.median(trace.answer[count // 2 : count]) - trace.answer[0]
        if moved < 0.5 * value:
            still = float(value)
        else:
            break
    return still


def measure(
    probe: Probe,
    spec: NerfSpec | None = None,
    room: float = 0.8,
    only: Sequence[str] = (),
    report: Callable[[str], None] = lambda text: None,
) -> tuple[list[Found], dict[str, list[Trace]]]:
    """Play steps, small commands and a chirp on every channel (or `only` those), within the envelope.

    Returns the limits found, and by channel the traces of its step and its chirp. `spec` is what is declared,
    `room` how far (m or rad) a step of a twist may travel; a joint stays in the middle of its range. Raises
    `InvalidCommand` for a channel that is commanded by effort, or for an unknown one in `only`.
    """
    names = [channel.name for channel in probe.channels]
    for name in only:
        if name not in names:
            raise InvalidCommand(f"channel {name!r}: is not the plant's, which has {', '.join(names)}")
    found: list[Found] = []
    traces: dict[str, list[Trace]] = {}
    for index, channel in enumerate(probe.channels):
        if only and channel.name not in only:
            continue
        if channel.mode == "effort":
            raise InvalidCommand(f"channel {channel.name}: is commanded by effort, which is not measured")
        told, traces[channel.name] = _channel(probe, index, room, report)
        declared = {} if spec is None else _declared(spec, channel.name, probe.envelope)
        found += [
            Found(channel.name, field, unit, told[field], declared.get(field))
            for field, unit in units(channel).items()
        ]
    return found, traces


def _channel(
    probe: Probe, index: int, room: float, report: Callable[[str], None]
) -> tuple[dict[str, float], list[Trace]]:
    channel = probe.channels[index]
    limits = probe.envelope.channel(channel)
    moves = channel.mode == "position"
    report(f"{channel.name}: steps")
    if moves:
        low, high = limits.range("position")
        assert low is not None
        assert high is not None
        rest, top = (low + high) / 2.0 - SHARE * (high - low) / 2.0, SHARE * (high - low)
        step = _arrived_step(probe, index, rest, top)
        about, smallest = rest + top / 2.0, 0.2 * top
    else:
        rest, top = 0.0, float(limits.max_velocity or 0.0)
        step = _settled_step(probe, index, top, room if channel.base_unit == "m" else TURNS)
        about, smallest = 0.0, top
    told = identify(step, moves)
    report(f"{channel.name}: small commands")
    told["dead_band"] = dead_band(probe, index, smallest, rest)
    report(f"{channel.name}: chirp")
    amplitude, fastest = _swing(told, moves, 0.1 / probe.period)
    if moves:
        probe.play(index, np.full(round(2.0 / probe.period), about))
    chirp = probe.play(index, chirp_commands(amplitude, fastest, probe.period, about))
    told |= identify_chirp(chirp)
    return told, [step, chirp]


def _swing(told: dict[str, float], moves: bool, most: float) -> tuple[float, float]:
    """Amplitude and highest frequency (Hz, at most `most`) of a chirp within the limits of a step."""
    velocity = told["velocity"] or 0.1
    steepest = np.nanmin([told["acceleration"], told["deceleration"], 1e3])
    if not moves:
        amplitude = 0.4 * velocity
        return amplitude, min(most, 0.6 * float(steepest) / (2.0 * math.pi * amplitude))
    fastest = min(most, 1.5)
    turning = 2.0 * math.pi * fastest
    return min(0.5 * velocity / turning, 0.5 * float(steepest) / turning**2), fastest


def _settled_step(probe: Probe, channel: int, top: float, room: float) -> Trace:
    """The first of ever longer steps in which the speed settles, or the longest that there is room for.

    After each one the plant is driven back by the same commands.
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

    It is brought to `rest` before, and again after each one.
    """
    hold = FIRST_HOLD
    while True:
        probe.play(channel, np.full(round(hold / probe.period), rest))
        trace = probe.play(channel, step_commands(rest + top, probe.period, hold, rest))
        late = trace.answer[np.flatnonzero(trace.command - rest)]
        if abs(late[-1] - late[-len(late) // 5]) < 0.01 * top or hold >= LAST_HOLD:
            probe.play(channel, np.full(round(hold / probe.period), rest))
            return trace
        hold *= 2.0


def _declared(spec: NerfSpec, channel: str, envelope: Envelope) -> dict[str, float]:
    section = spec.channel(channel, envelope.find(channel))
    told = {field: limit.at(0.0) for field, limit in section.limits()}
    told |= {field: limit.at(0.0) for field, limit in spec.link().limits()}
    if "latency" in told:
        told["chirp_latency"] = told["latency"]
    return told


FITTED = ("velocity", "acceleration", "deceleration", "dead_band")
"""What goes into a fitted specification; an effort that was seen is only what the limit is at least."""


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
        if item.field not in FITTED:
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
