"""The last bound before the robot: a few lines that share nothing with the limits layer before them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nerfbot.limits import Channel, Envelope

_ROUNDING = 1e-6  # share by which rounding may exceed a step


class RateLimiter:
    """Bounds each value to the envelope's range, and to one step from the value before.

    A step is `max_acceleration` (or the stop's deceleration, if that is larger) times the elapsed time for a
    velocity, and `max_velocity` times it for a position; an effort has none. Values within pass unchanged.
    """

    def __init__(self, channels: Sequence[Channel], envelope: Envelope, period: float) -> None:
        self._names = [channel.name for channel in channels]
        self._ranges: list[tuple[float, float]] = []
        self._rates: list[float] = []
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
        self._last: list[float | None] = [0.0 if channel.mode == "velocity" else None for channel in channels]
        self._period, self._last_time = period, -math.inf

    def apply(self, values: Sequence[float], now: float) -> tuple[list[float], str]:
        """The bounded values at `now` (s), one a channel, and the first change made ("" for none).

        A number that is not finite becomes the value before (0 before the first).
        """
        elapsed = min(max(now - self._last_time, 0.0), 2.0 * self._period)
        change, written = "", []
        for k, value in enumerate(values):
            last, (low, high) = self._last[k], self._ranges[k]
            if not math.isfinite(value):
                bounded = min(max(0.0 if last is None else last, low), high)
            else:
                bounded = min(max(value, low), high)
                if last is not None:
                    step = self._rates[k] * elapsed * (1.0 + _ROUNDING) + 1e-9
                    bounded = min(max(bounded, last - step), last + step)
            if bounded != value:
                change = change or f"{self._names[k]} = {value:g} was held to {bounded:g}"
            written.append(bounded)
        self._last, self._last_time = [*written], now
        return written, change
