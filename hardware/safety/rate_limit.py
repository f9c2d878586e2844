"""The last clamp before the robot: a few lines that share nothing with the limits layer they stand behind."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nerfbot.limits import Channel, Envelope

_ROUNDING = 1e-6  # share by which a sum may miss what it stands for


class LastClamp:
    """Keeps what is written within the envelope's range, and within one step of what was written before.

    A step is `max_acceleration` (or the stop's deceleration, if that is larger) times the time passed for a
    velocity, `max_velocity` times it for a position; an effort has none. Within them, values pass unchanged.
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
        self._starts_at_zero = [channel.mode == "velocity" for channel in channels]
        self._period, self._last_time = period, -math.inf
        self._last: list[float] | None = None

    def apply(self, values: Sequence[float], now: float) -> tuple[list[float], str]:
        """What may be written at `now` (s), one number a channel, and what was changed ("" for nothing).

        A number that is not finite becomes the last one written (0 before the first).
        """
        elapsed = min(max(now - self._last_time, 0.0), 2.0 * self._period)
        before = self._last
        changed, written = "", []
        for k, value in enumerate(values):
            at = before[k] if before is not None else (0.0 if self._starts_at_zero[k] else None)
            low, high = self._ranges[k]
            if not math.isfinite(value):
                bounded = min(max(0.0 if at is None else at, low), high)
            else:
                bounded = min(max(value, low), high)
                if at is not None:
                    step = self._rates[k] * elapsed * (1.0 + _ROUNDING) + 1e-9
                    bounded = min(max(bounded, at - step), at + step)
            if bounded != value:
                changed = changed or f"{self._names[k]} = {value:g} was held to {bounded:g}"
            written.append(bounded)
        self._last, self._last_time = written, now
        return written, changed
