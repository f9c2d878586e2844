"""The last bound before the robot: a few lines that share nothing with the limits layer before them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nerfbot.limits import Channel, Envelope

_ROUNDING = 1e-6  # share by which rounding may exceed a step


class RateLimiter:
    """Bounds each value to the envelope's range, and to one step from the value before.

    A step is `max_acceleration` (or the stop's deceleration, if that is larger) times the elapsed time for a
    velocity, and `max_velocity` times it for a position; an effort has none. The elapsed time counts up to
    two `period` (s). Values within pass unchanged. In a stop a velocity's step is the stop's deceleration
    times the elapsed time, up to one `tick` (s): a silence before it buys nothing.
    """

    def __init__(
        self, channels: Sequence[Channel], envelope: Envelope, period: float, tick: float = 0.02
    ) -> None:
        self._names = [channel.name for channel in channels]
        self._ranges: list[tuple[float, float]] = []
        self._rates: list[float] = []
        self._stop_rates: list[float] = []
        for channel in channels:
            limits = envelope.channel(channel)
            low, high = limits.range(channel.mode)
            self._ranges.append((-math.inf if low is None else low, math.inf if high is None else high))
            rates = {
                "velocity": max(limits.max_acceleration or 0.0, limits.stop_deceleration or 0.0),
                "position": limits.max_velocity or 0.0,
                "effort": math.inf,
            }
            self._rates.append(rates[channel.mode])
            braking = channel.mode == "velocity"
            self._stop_rates.append((limits.stop_deceleration or 0.0) if braking else rates[channel.mode])
        self._modes = [channel.mode for channel in channels]
        self._last: list[float | None] = [0.0 if channel.mode == "velocity" else None for channel in channels]
        self._period, self._tick, self._last_time = period, tick, -math.inf

    def begin(self, values: Sequence[float], now: float) -> None:
        """Go on from values (channels,) that were written at `now` (s)."""
        self._last, self._last_time = [*values], now

    def stop(self, now: float) -> list[float]:
        """One step of a stop at `now` (s): velocities brake, positions stay, efforts become zero."""
        target = [
            (last or 0.0) if mode == "position" else 0.0
            for mode, last in zip(self._modes, self._last, strict=True)
        ]
        return self.apply(target, now, stopping=True)[0]

    def apply(self, values: Sequence[float], now: float, stopping: bool = False) -> tuple[list[float], str]:
        """The bounded values at `now` (s), one a channel, and the first change made ("" for none).

        A number that is not finite becomes the value before (0 before the first).
        """
        longest, rates = 2.0 * self._period, self._rates
        if stopping:
            longest, rates = self._tick, self._stop_rates
        elapsed = min(max(now - self._last_time, 0.0), longest)
        change, written = "", []
        for k, value in enumerate(values):
            last, (low, high) = self._last[k], self._ranges[k]
            if not math.isfinite(value):
                bounded = min(max(0.0 if last is None else last, low), high)
            else:
                bounded = min(max(value, low), high)
                if last is not None:
                    step = rates[k] * elapsed * (1.0 + _ROUNDING) + 1e-9
                    bounded = min(max(bounded, last - step), last + step)
            if bounded != value:
                change = change or f"{self._names[k]} = {value:g} was held to {bounded:g}"
            written.append(bounded)
        self._last, self._last_time = [*written], now
        return written, change
